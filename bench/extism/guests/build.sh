#!/usr/bin/env bash
# Builds the two guests of the comparison and puts each beside its source. SIGPERSIST_WASM_BUILD works as in plugins/build.sh.
set -euo pipefail
cd "$(dirname "$0")"
sysroot=$(rustc --print sysroot)
bin=$sysroot/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
cargo_home=${CARGO_HOME:-$HOME/.cargo}
# The output must not depend on the paths of this machine.
flags="-C link-arg=--wasm-ld-path=$bin/gcc-ld/wasm-ld --remap-path-prefix=$HOME=home --remap-path-prefix=$sysroot=rust"
flags+=" --remap-path-prefix=$PWD=guests --remap-path-prefix=$(cd ../../.. && pwd)=sigpersist"
for registry in "$cargo_home"/registry/src/*/; do
  flags+=" --remap-path-prefix=${registry%/}=crates"
done
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$bin/wasm-component-ld
for name in typed json; do
  # Extism needs a core module, so for it the linker must not make a component.
  RUSTFLAGS=$flags; [ "$name" = typed ] || RUSTFLAGS+=" -C link-arg=--skip-wit-component"
  export RUSTFLAGS
  if [ -n "${SIGPERSIST_WASM_BUILD:-}" ]; then
    $SIGPERSIST_WASM_BUILD "$PWD/$name" --locked
  else
    (cd "$name" && cargo build --release --locked --target wasm32-unknown-unknown)
  fi
  cp "$name/target/wasm32-unknown-unknown/release/$name.wasm" "$name/$name.wasm"
  echo "$name/$name.wasm: $(wc -c <"$name/$name.wasm") bytes"
done
