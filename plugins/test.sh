#!/usr/bin/env bash
# Runs the cases of example plugins with `sigpersist plugin test`: of the named ones, or of all that have a component.
#   usage: plugins/test.sh [--in FOLDER] [NAME …]
# The components are <name>/<name>.wasm, or those in the folder. The program is SIGPERSIST, or target/release, or target/debug.
set -euo pipefail
in=
if [ "${1:-}" = --in ]; then
  in=$(cd "$2" && pwd)
  shift 2
fi
sigpersist=${SIGPERSIST:+$(realpath "$SIGPERSIST")}
cd "$(dirname "$0")"
for built in ../target/release/sigpersist ../target/debug/sigpersist; do
  [ -n "$sigpersist" ] || [ ! -x "$built" ] || sigpersist=$built
done
if [ -z "$sigpersist" ]; then
  echo "There is no sigpersist program to test with. Run cargo build --release, or set SIGPERSIST to one." >&2
  exit 1
fi
if [ $# -eq 0 ]; then
  for cases in */cases; do
    name=${cases%/cases}
    [ ! -f "${in:-$name}/$name.wasm" ] || set -- "$@" "$name"
  done
fi

failed=0
for name in "$@"; do
  echo "$name:"
  "$sigpersist" plugin test "${in:-$name}/$name.wasm" "$name/cases" || failed=1
done
exit $failed
