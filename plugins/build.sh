#!/usr/bin/env bash
# Builds example plugins: each component becomes <name>/<name>.wasm, or goes to FOLDER.
#   usage: plugins/build.sh [--out FOLDER] [NAME …]
# Exits with 3, after one sentence, if a required tool is missing and can't be installed. Required tools:
#   Rust        rustup target add wasm32-unknown-unknown. Without that target, set SIGPERSIST_WASM_BUILD to a command that
#               takes a crate's folder and cargo's options, and builds it for that target
#   C           zig; without it, the one of c/requirements.txt from PyPI. SIGPERSIST_WASM_CC names another compiler and its
#               target: "clang --target=wasm32"
#   JavaScript  npm, for the versions of package-lock.json
#   Python      python3 with venv, for the versions of requirements.txt
# C also needs sigpersist, to make a component of the compiled module: SIGPERSIST, or target/release, or target/debug.
set -euo pipefail
out=
if [ "${1:-}" = --out ]; then
  mkdir -p "$2"
  out=$(cd "$2" && pwd)
  shift 2
fi
sigpersist=${SIGPERSIST:+$(realpath "$SIGPERSIST")}
cd "$(dirname "$0")"
here=$PWD
for built in "$here"/../target/release/sigpersist "$here"/../target/debug/sigpersist; do
  [ -n "$sigpersist" ] || [ ! -x "$built" ] || sigpersist=$built
done
if [ $# -eq 0 ]; then
  for cases in */cases; do set -- "$@" "${cases%/cases}"; done
fi

missing() {
  echo "$*" >&2
  exit 3
}

# A folder for the tools and intermediate results of a plugin.
work() {
  mkdir -p "$here/target/$1"
  echo "$here/target/$1"
}

# The contract and a plugin's own world, as the tools expect them: one folder, with the contract under deps.
wit() { # NAME
  local folder
  folder=$(work "$1")/wit
  mkdir -p "$folder/deps"
  cp "$1"/*.wit "$folder/"
  cp wit/hooks.wit "$folder/deps/"
  echo "$folder"
}

# A Python environment with exactly these requirements; made once.
environment() { # REQUIREMENTS
  local folder
  folder=$(work python)/$(cksum <"$1" | tr ' ' -)
  if [ ! -e "$folder/complete" ]; then
    python3 -m venv "$folder" >"$folder.log" 2>&1 || missing "python3 can't make a virtual environment: see $folder.log."
    "$folder/bin/pip" install --retries 1 --requirement "$1" >"$folder.log" 2>&1 ||
      missing "The packages of plugins/$1 can't be installed from PyPI: see $folder.log."
    touch "$folder/complete"
  fi
  echo "$folder"
}

rust() { # NAME FILE
  local sysroot bin crates
  command -v cargo >/dev/null || missing "Plugins in Rust need cargo."
  sysroot=$(rustc --print sysroot)
  bin=$sysroot/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
  # The component linker makes the output a component at once, from the WIT that the kit embeds.
  export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$bin/wasm-component-ld
  # The component must not contain the path where it was built.
  RUSTFLAGS="-C link-arg=--wasm-ld-path=$bin/gcc-ld/wasm-ld --remap-path-prefix=$HOME=home --remap-path-prefix=$sysroot=rust"
  RUSTFLAGS+=" --remap-path-prefix=$here=plugins"
  for crates in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/; do
    RUSTFLAGS+=" --remap-path-prefix=${crates%/}=crates"
  done
  export RUSTFLAGS
  if [ -n "${SIGPERSIST_WASM_BUILD:-}" ]; then
    $SIGPERSIST_WASM_BUILD "$here/$1" --locked
  elif ls "$sysroot"/lib/rustlib/wasm32-unknown-unknown/lib/libstd-*.rlib >/dev/null 2>&1; then
    (cd "$1" && cargo build --release --locked --target wasm32-unknown-unknown)
  else
    missing "Plugins in Rust need the target wasm32-unknown-unknown: rustup target add wasm32-unknown-unknown."
  fi
  cp "target/wasm32-unknown-unknown/release/${1//-/_}.wasm" "$2"
}

c() { # NAME FILE
  local compiler folder exports
  [ -n "$sigpersist" ] || missing "Plugins in C need sigpersist, to make components: cargo build --release."
  if [ -n "${SIGPERSIST_WASM_CC:-}" ]; then
    compiler=$SIGPERSIST_WASM_CC
  elif command -v zig >/dev/null; then
    compiler="zig cc -target wasm32-freestanding"
  else
    compiler="$(environment c/requirements.txt)/bin/python -m ziglang cc -target wasm32-freestanding" || exit $?
  fi
  folder=$(work "$1")
  # The exports are those that the plugin has functions for.
  exports=$(grep -ohE '^bool exports_sigpersist_hooks_(tagger|save_validator|delete_validator)' "$1"/*.c |
    sed 's/.*_hooks_/HOOK_/' | tr '[:lower:]' '[:upper:]' | sed 's/^/-D/')
  $compiler -std=c11 -Os -Wall -Wextra -Werror -nostdlib -fno-builtin -Ic/include -Ic -Wl,--no-entry -Wl,--strip-debug \
    -Wl,-z,stack-size=65536 $exports "$1"/*.c c/*.c c/bindings/hook.c -o "$folder/core.wasm"
  "$sigpersist" plugin pack "$folder/core.wasm" -o "$2" >&2
}

javascript() { # NAME FILE
  local folder
  folder=$(work "$1")
  command -v npm >/dev/null || missing "Plugins in JavaScript need npm."
  if ! cmp --silent "$1/package-lock.json" "$folder/package-lock.json" || [ ! -e "$folder/complete" ]; then
    cp "$1/package.json" "$1/package-lock.json" "$folder/"
    (cd "$folder" && npm ci --ignore-scripts --fetch-retries 1 >npm.log 2>&1) ||
      missing "The packages of plugins/$1/package-lock.json can't be installed from npm: see $folder/npm.log."
    touch "$folder/complete"
  fi
  cp "$1/plugin.js" js/sigpersist.js "$folder/"
  "$folder/node_modules/.bin/componentize-qjs" --wit "$(wit "$1")" --js "$folder/plugin.js" --stub-wasi --sync --opt-size \
    -o "$2" >&2
}

python() { # NAME FILE
  local tools
  tools=$(environment "$1/requirements.txt") || exit $?
  "$tools/bin/componentize-py" -d "$(wit "$1")" -w hook componentize -p "$1" -p python --stub-wasi -o "$2" plugin >&2
}

for name in "$@"; do
  file=${out:-$here/$name}/$name.wasm
  if [ -f "$name/Cargo.toml" ]; then
    rust "$name" "$file"
  elif [ -f "$name/package.json" ]; then
    javascript "$name" "$file"
  elif [ -f "$name/requirements.txt" ]; then
    python "$name" "$file"
  else
    c "$name" "$file"
  fi
  echo "$file: $(wc -c <"$file") bytes"
done
