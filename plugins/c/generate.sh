#!/usr/bin/env bash
# Writes bindings/hook.h and bindings/hook.c anew from the contract: all imports, and the exports that HOOK_TAGGER,
# HOOK_SAVE_VALIDATOR and HOOK_DELETE_VALIDATOR name when hook.c is compiled. So plugins in C need no generator.
# Needs wit-bindgen, which takes minutes to build:
#   cargo install wit-bindgen-cli --version 0.61.1 --locked --no-default-features --features c
#   usage: plugins/c/generate.sh [--out FOLDER]
set -euo pipefail
cd "$(dirname "$0")"
out=bindings
[ "${1:-}" != --out ] || out=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/wit/deps" "$out"
cp ../wit/hooks.wit "$work/wit/deps/"
echo 'package local:plugin; world hook { include sigpersist:hooks/plugin@1.1.0; }' >"$work/wit/world.wit"
wit-bindgen c "$work/wit" --world hook --out-dir "$work" >/dev/null 2>&1
cp "$work/hook.h" "$out/"
# The object file with the component's type is left out: it would require all exports. `sigpersist plugin pack` finds the
# type by the exports.
awk '
  /^\/\/ Ensure that the \*_component_type.o object is linked in/ { exit }
  match($0, /__export_name__\("(cabi_post_)?sigpersist:hooks\/(tagger|save-validator|delete-validator)@/) {
    name = substr($0, RSTART, RLENGTH); sub(/.*\//, "", name); sub(/@/, "", name); gsub(/-/, "_", name)
    print "#ifdef HOOK_" toupper(name); within = 1
  }
  { print }
  within && /^}/ { print "#endif"; within = 0 }
' "$work/hook.c" >"$out/hook.c"
