#!/usr/bin/env bash
# Makes keys and signatures with minisign itself (Debian's package), so that tests know what it writes. The keys are for tests only.
set -euo pipefail
cd "$(dirname "$0")"
readonly component=../hooks-1.0/signer-tags.wasm

# Usage: sign KEY NAME COMMENT [OPTION]
sign() {
  minisign -S -W -s "$1" -m "$component" -x "$2.minisig" -t "$3" "${@:4}"
}

minisign -G -W -f -p publisher.pub -s publisher.key
minisign -G -W -f -p other.pub -s other.key
sign publisher.key signer-tags-1.2.0 $'timestamp:1796083200\tplugin:signer-tags\tversion:1.2.0'
sign publisher.key signer-tags-plain $'timestamp:1796083200\tfile:signer-tags.wasm\thashed'
sign publisher.key signer-tags-legacy 'plugin:signer-tags version:1.2.0' -l
sign other.key signer-tags-other 'plugin:signer-tags version:1.2.0'
rm other.key
