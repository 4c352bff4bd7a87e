#!/usr/bin/env bash
# Pushes and pulls plugins with programs of others: Docker's registry with a password, skopeo as another client, and minisign. Needs
# the packages docker-registry, skopeo and minisign of Debian; without them it is skipped, but not in CI. Takes about ten seconds.
#   usage: tests/registry/run.sh [PROGRAM]
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -gt 0 ]; then
  program=$(realpath "$1")
else
  cargo build --locked
  program=$PWD/target/debug/sigpersist
fi
for tool in docker-registry skopeo minisign curl python3; do
  command -v "$tool" >/dev/null && continue
  echo "$tool is missing: install docker-registry, skopeo, minisign, curl and python3." >&2
  [ -z "${CI:-}" ] || exit 1
  exit 0
done

readonly component=$PWD/plugins/signer-tags/signer-tags.wasm
work=$(mktemp -d)
chmod 755 "$work"
registry=
trap 'if [ -n "$registry" ]; then kill "$registry"; fi; rm -rf "$work"' EXIT

# A port that is free now.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Made by `htpasswd -Bbn olga pa:ss`.
echo 'olga:$2y$05$Uhl/h47J9GOgmoumoN7iKulZn2Q/.SL5TQZ47WEEFq0v0FDzaBfku' >"$work/htpasswd"
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/storage}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port"}
auth: {htpasswd: {realm: tests, path: $work/htpasswd}}
END
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
registry=$!
for _ in $(seq 100); do
  [ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/v2/")" = 401 ] && break
  sleep 0.1
done

export DOCKER_CONFIG=$work/docker SIGPERSIST_HOOKS_COMPILE_TIMEOUT_MS=600000
mkdir "$DOCKER_CONFIG"
readonly place=127.0.0.1:$port/acme/signer-tags
sigpersist() { "$program" --data-dir "$work/data" "$@"; }
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
fails() {
  if "${@:2}" >"$work/out" 2>&1; then
    echo "This should have failed: ${*:2}" >&2
    exit 1
  fi
  grep -qF -e "$1" "$work/out" || { cat "$work/out" >&2; exit 1; }
}

sigpersist migrate
fails 'docker login' sigpersist plugin push "$component" "$place:1.0.0"
printf '{"auths": {"127.0.0.1:%s": {"auth": "%s"}}}' "$port" "$(printf 'olga:pa:ss' | base64)" >"$DOCKER_CONFIG/config.json"

# Minisign's key signs here, and minisign verifies what was pulled.
minisign -G -W -p "$work/acme.pub" -s "$work/acme.key" >/dev/null
pushed=$(sigpersist plugin push "$component" "$place:1.0.0" --key "$work/acme.key" --json)
digest=$(member digest <<<"$pushed")
sigpersist plugin pull "$place:1.0.0" -o "$work/pulled.wasm" --publisher-key "$work/acme.pub"
cmp "$component" "$work/pulled.wasm"
minisign -V -p "$work/acme.pub" -m "$work/pulled.wasm" | grep -q 'version:1.0.0'
# Our key signs with minisign, and the other way round.
sigpersist plugin keygen "$work/own" --no-password >/dev/null
minisign -S -W -s "$work/own.key" -m "$work/pulled.wasm" -x "$work/by-minisign" -t 'plugin:signer-tags version:2.0.0' >/dev/null
sigpersist plugin push "$component" "$place:2.0.0" --signature "$work/by-minisign" >/dev/null
sigpersist plugin pull "$place:2.0.0" -o "$work/second.wasm" --publisher-key "$work/own.pub" >/dev/null
sigpersist plugin sign "$work/second.wasm" --key "$work/own.key" --name signer-tags --plugin-version 3.0.0 >/dev/null
minisign -V -p "$work/own.pub" -m "$work/second.wasm" >/dev/null
fails 'not trusted' sigpersist plugin pull "$place:2.0.0" -o "$work/x" --publisher-key "$work/acme.pub"

# Skopeo reads what was pushed, and copies it with its signature.
skopeo() { command skopeo --tmpdir "$work" "$@"; }
readonly login=olga:pa:ss
skopeo inspect --raw --tls-verify=false --creds "$login" "docker://$place:1.0.0" >"$work/manifest"
[ "sha256:$(sha256sum <"$work/manifest" | cut -d' ' -f1)" = "$digest" ]
skopeo copy --quiet --preserve-digests --src-tls-verify=false --dest-tls-verify=false --src-creds "$login" --dest-creds "$login" \
  "docker://$place:1.0.0" "docker://127.0.0.1:$port/mirror/signer-tags:copied"
copied=$(sigpersist plugin pull "127.0.0.1:$port/mirror/signer-tags:copied" -o "$work/copied.wasm" --publisher-key "$work/acme.pub" --json)
[ "$(member digest <<<"$copied")" = "$digest" ]
skopeo copy --quiet --src-tls-verify=false --src-creds "$login" "docker://$place:1.0.0" "dir:$work/dir"
cmp "$component" "$work/dir/$(sha256sum "$component" | cut -d' ' -f1)"
# Something that is no plugin.
mkdir "$work/image"
printf '{}' >"$work/image/config.json"
config=$(sha256sum "$work/image/config.json" | cut -d' ' -f1)
mv "$work/image/config.json" "$work/image/$config"
printf 'Directory Transport Version: 1.1\n' >"$work/image/version"
printf '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "sha256:%s", "size": 2}, "layers": []}' "$config" >"$work/image/manifest.json"
skopeo copy --quiet --dest-tls-verify=false --dest-creds "$login" "dir:$work/image" "docker://127.0.0.1:$port/acme/image:1"
fails 'holds no WebAssembly' sigpersist plugin pull "127.0.0.1:$port/acme/image:1" -o "$work/x"

# A server that trusts the key takes what it signed, and nothing else.
SIGPERSIST_PLUGINS_REQUIRE_SIGNATURE=$(sed -n 2p "$work/acme.pub")
export SIGPERSIST_PLUGINS_REQUIRE_SIGNATURE
fails 'plugins.require_signature' sigpersist plugin upload signer-tags "$component"
fails 'not trusted' sigpersist plugin upload signer-tags "oci://$place:2.0.0"
sigpersist plugin upload signer-tags "oci://$place:1.0.0" >/dev/null
sigpersist plugin show signer-tags | grep -F "$place:1.0.0@$digest"

dpkg-query -W -f '${Package} ${Version}\n' docker-registry skopeo minisign 2>/dev/null || true
echo "Plugins go through registries, clients and keys of others."
