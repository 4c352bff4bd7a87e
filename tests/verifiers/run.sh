#!/usr/bin/env bash
# Lets programs of others verify what a server serves of its logs, how it calls webhooks, and what was changed in one place, which
# they have to refuse. Prints a table of the verdicts; exits with 1 if one is wrong. Needs Python 3.11 with venv, Node with npm,
# openssl, and Go with its module x/mod, which is taken from Debian's packages; without Go, its part is skipped, but not in CI.
# Takes about two minutes.
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
if ! cat "$here/requirements.txt" "$here/witness.txt" | cmp -s - "$venv/requirements.txt"; then
  echo "Installing into $venv: $(grep -hv '^#' "$here/requirements.txt" "$here/witness.txt" | tr '\n' ' ')"
  python3 -m venv --clear "$venv"
  pip=("$venv/bin/pip" install --quiet --disable-pip-version-check)
  "${pip[@]}" --ignore-requires-python -r "$here/witness.txt"
  "${pip[@]}" -r "$here/requirements.txt"
  cat "$here/requirements.txt" "$here/witness.txt" >"$venv/requirements.txt"
fi
export NODE_FOLDER=$folder/node
mkdir -p "$NODE_FOLDER"
cp "$here"/node/* "$NODE_FOLDER/"
if ! cmp -s "$here/node/package-lock.json" "$NODE_FOLDER/installed.json"; then
  npm --prefix "$NODE_FOLDER" ci --silent --no-audit --no-fund
  cp "$here/node/package-lock.json" "$NODE_FOLDER/installed.json"
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
"$venv/bin/python" "$here/called.py" "$program" "$work"
python3 "$here/cases.py" "$work"
# First, since they add cases.
"$venv/bin/python" "$here/witness.py" "$work" >"$work/verdicts/aics-witness"
"$venv/bin/python" "$here/asked.py" "$program" "$work"
"$venv/bin/python" "$here/merkle.py" "$work" >"$work/verdicts/pymerkle"
"$folder/rust/debug/sigpersist-verifiers" "$work/cases" >"$work/verdicts/rust"
[ -z "$has_go" ] || "$folder/go" "$work/cases" >"$work/verdicts/go"
python3 "$here/programs.py" "$program" "$work"
for library in standardwebhooks svix; do
  "$venv/bin/python" "$here/standard.py" "$work" "$library" >"$work/verdicts/$library"
done
node "$NODE_FOLDER/standard.js" "$work" >"$work/verdicts/standard.js"
"$venv/bin/python" "$here/receivers.py" "$work"

[ -z "$has_go" ] || echo "$(go version); x/mod $(dpkg-query -W -f '${Version}' golang-golang-x-mod-dev)"
grep -A1 -E '^name = "(signed_note|tlog_tiles)"' "$here/rust/Cargo.lock" | sed -n 's/^[a-z]* = "\(.*\)"/\1/p' | paste -s -d ' '
grep -hv '^#' "$here/requirements.txt" "$here/witness.txt" | paste -s -d ' '
sed -n 's/^    "\(standardwebhooks\|typescript\)": "\(.*\)".*/npm \1 \2/p' "$here/node/package.json" | paste -s -d ' '
echo "$(python3 --version); node $(node --version); $(openssl version)"
python3 "$here/report.py" "$work"
