#!/usr/bin/env bash
# Checks a running server against its own OpenAPI document. openapi-spec-validator checks the document itself. Schemathesis
# sends requests that the document allows and others that it forbids, and follows links in answers. Both come from PyPI.
# EXAMPLES is the number of cases per operation and phase (10).
#   usage: tests/contract/run.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly version=4.32.5 validator=0.9.0
readonly venv=target/contract/venv
if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -q " $version\$" ||
  ! "$venv/bin/openapi-spec-validator" --version 2>/dev/null | grep -q " $validator\$"; then
  echo "Installing Schemathesis $version and openapi-spec-validator $validator into $venv."
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check \
    "schemathesis==$version" "openapi-spec-validator==$validator"
fi

if [ $# -gt 0 ]; then
  program=$(realpath "$1")
else
  cargo build --locked
  program=$PWD/target/debug/sigpersist
fi
folder=$(mktemp -d)
chmod 755 "$folder"
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null && wait "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT
export SIGPERSIST_DATA_DIR=$folder/data SIGPERSIST_LOG_FILTER=error
unset DATABASE_URL

scopes() { printf -- '--scope %s ' "$@"; }
readonly operators=(plugins:read plugins:write hooks:read hooks:write policy:read policy:write audit:read tenants:read)
"$program" tenant create acme >/dev/null
"$program" key add acme >/dev/null
"$program" key add --platform >/dev/null
# shellcheck disable=SC2046 # the scopes are words
tenant=$("$program" token issue acme $(scopes signatures:read signatures:write signatures:delete log:read log:write events:read webhooks:read webhooks:write "${operators[@]}"))
# shellcheck disable=SC2046
platform=$("$program" token issue --platform $(scopes "${operators[@]}" tenants:write tenants:transfer keys:write metrics:read))
# Creates the objects that the examples name.
"$program" plugin upload signer-tags plugins/signer-tags/signer-tags.wasm >/dev/null
"$program" hook set acme signer-tags --plugin signer-tags >/dev/null

"$program" serve --listen 127.0.0.1:0 >"$folder/listening" 2>"$folder/log" &
server=$!
until address=$(grep -o 'http://.*' "$folder/listening"); do
  kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
  sleep 0.1
done

"$venv/bin/python" -c 'import sys, urllib.request as r; r.urlretrieve(*sys.argv[1:])' "$address/openapi.json" "$folder/openapi.json"
"$venv/bin/openapi-spec-validator" "$folder/openapi.json"

check() { # NAME TOKEN OPERATIONS…
  local name=$1 token=$2
  shift 2
  printf '\n-- as %s\n' "$name"
  # Schemathesis reads its configuration and hooks from the current directory.
  (cd tests/contract && SCHEMATHESIS_HOOKS=hooks "../../$venv/bin/schemathesis" run "$address/openapi.json" \
    --header "Authorization: Bearer $token" --phases examples,coverage,fuzzing,stateful \
    --max-examples "${EXAMPLES:-10}" --seed "${SEED:-1}" --warnings off --no-color "$@")
}
# A stream has no end.
check "a tenant" "$tenant" --exclude-path-regex '^/(tenants|imports|keys|tokens|metrics|events/stream)' ||
  { cat "$folder/log" >&2; exit 1; }
# Excludes revoke_key, which could revoke the key of the token in use, and begin_export, of which two run at once.
check "the platform" "$platform" --include-path-regex '^/(tenants|imports|keys|tokens|metrics|plugins|audit|health)' \
  --exclude-operation-id revoke_key --exclude-operation-id begin_export || { cat "$folder/log" >&2; exit 1; }
