#!/usr/bin/env bash
# Builds the example plugins in Rust and puts each component beside its source, as <name>/<name>.wasm.
# Needs the target: rustup target add wasm32-unknown-unknown. Where rustup has none to give, set SIGPERSIST_WASM_BUILD to
# a command that takes a crate's folder and cargo's options, and builds it for that target.
#   usage: plugins/build.sh [NAME …]
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- signer-tags require-countersignature

sysroot=$(rustc --print sysroot)
bin=$sysroot/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
# The component linker makes the output a component at once, from the WIT that the bindings embed.
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$bin/wasm-component-ld
# The component must not tell where it was built.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
flags="-C link-arg=--wasm-ld-path=$bin/gcc-ld/wasm-ld --remap-path-prefix=$HOME=home --remap-path-prefix=$sysroot=rust"
flags+=" --remap-path-prefix=$PWD=plugins"
for registry in "$cargo_home"/registry/src/*/; do
  flags+=" --remap-path-prefix=${registry%/}=crates"
done
export RUSTFLAGS=$flags

build() {
  if [ -n "${SIGPERSIST_WASM_BUILD:-}" ]; then
    $SIGPERSIST_WASM_BUILD "$PWD/$1" --locked
  elif ls "$sysroot"/lib/rustlib/wasm32-unknown-unknown/lib/libstd-*.rlib >/dev/null 2>&1; then
    (cd "$1" && cargo build --release --locked --target wasm32-unknown-unknown)
  else
    echo "The Rust toolchain lacks the target wasm32-unknown-unknown: rustup target add wasm32-unknown-unknown." >&2
    exit 1
  fi
}

for name in "$@"; do
  build "$name"
  cp "$name/target/wasm32-unknown-unknown/release/${name//-/_}.wasm" "$name/$name.wasm"
  echo "plugins/$name/$name.wasm: $(wc -c <"$name/$name.wasm") bytes"
done
