#!/usr/bin/env bash
# Lets a real identity provider (oidc-provider, certified by the OpenID Foundation) issue tokens, and a server take or refuse them.
# Prints what was tried; exits with 1 if one thing went wrong. Needs Node with npm, and openssl. Takes about half a minute.
#   usage: tests/providers/run.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly folder=$PWD/target/providers here=$PWD/tests/providers/node
mkdir -p "$folder"
if [ $# -gt 0 ]; then
  program=$(realpath "$1")
else
  cargo build --locked
  program=$PWD/target/debug/sigpersist
fi
cp "$here"/* "$folder/"
if ! cmp -s "$here/package-lock.json" "$folder/installed.json"; then
  npm --prefix "$folder" ci --silent --no-audit --no-fund
  cp "$here/package-lock.json" "$folder/installed.json"
fi

work=$(mktemp -d)
# The user that runs Postgres must be able to enter the folder.
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
cat >"$work/openssl.cnf" <<'CONFIG'
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = a provider of tests
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1
CONFIG
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -config "$work/openssl.cnf" \
  -keyout "$work/key.pem" -out "$work/certificate.pem" 2>/dev/null

NODE_EXTRA_CA_CERTS=$work/certificate.pem node "$folder/provider.js" "$program" "$work"
