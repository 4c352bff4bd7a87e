#!/usr/bin/env bash
# Lets programs of others verify what a server serves of its logs, and what was changed in one place, which they have to refuse.
# Prints a table of the verdicts; exits with 1 if one is wrong. Needs Python 3.11 with venv, openssl, and Go with its module
# x/mod, which is taken from Debian's packages; without Go, its part is skipped, but not in CI. Takes about a minute.
#   usage: tests/verifiers/run.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly folder=$PWD/target/verifiers here=$PWD/tests/verifiers
mkdir -p "$folder"
if [ $# -gt 0 ]; then
  program=$(realpath "$1")
else
  cargo build --locked
  program=$PWD/target/debug/sigpersist
fi

python3 "$here/excerpts.py"

readonly venv=$folder/venv
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  echo "Installing into $venv: $(grep -v '^#' "$here/requirements.txt" | tr '\n' ' ')"
  python3 -m venv --clear "$venv"
  # aics-witness asks for Python 3.12, but runs on 3.11.
  "$venv/bin/pip" install --quiet --disable-pip-version-check --ignore-requires-python -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/"
fi
cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" --target-dir "$folder/rust"
# Debian's folder of packages for builds without modules, which need no network.
readonly packages=/usr/share/gocode
has_go=
if command -v go >/dev/null && [ -d "$packages/src/golang.org/x/mod" ]; then
  has_go=1
  GO111MODULE=off GOPATH=$packages GOCACHE=$folder/gocache GOFLAGS='' go build -o "$folder/go" "$here/go/verify.go"
elif [ -n "${CI:-}" ]; then
  echo "Go or its module x/mod is missing: install golang-go and golang-golang-x-mod-dev." >&2
  exit 1
else
  echo "Skips Go, since it or its module x/mod is missing: install golang-go and golang-golang-x-mod-dev."
fi

work=$(mktemp -d)
# The user that runs Postgres must be able to enter the folder.
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
mkdir "$work/verdicts"
export PYTHONDONTWRITEBYTECODE=1

python3 "$here/served.py" "$program" "$work"
python3 "$here/cases.py" "$work"
# First, since they add cases.
"$venv/bin/python" "$here/witness.py" "$work" >"$work/verdicts/aics-witness"
"$venv/bin/python" "$here/asked.py" "$program" "$work"
"$venv/bin/python" "$here/merkle.py" "$work" >"$work/verdicts/pymerkle"
"$folder/rust/debug/sigpersist-verifiers" "$work/cases" >"$work/verdicts/rust"
[ -z "$has_go" ] || "$folder/go" "$work/cases" >"$work/verdicts/go"
python3 "$here/programs.py" "$program" "$work"

[ -z "$has_go" ] || echo "$(go version); x/mod $(dpkg-query -W -f '${Version}' golang-golang-x-mod-dev)"
grep -A1 -E '^name = "(signed_note|tlog_tiles)"' "$here/rust/Cargo.lock" | sed -n 's/^[a-z]* = "\(.*\)"/\1/p' | paste -s -d ' '
grep -v '^#' "$here/requirements.txt" | paste -s -d ' '
echo "$(python3 --version); $(openssl version)"
python3 "$here/report.py" "$work"
