#!/usr/bin/env bash
# How a script lives with Sigpersist, by curl and jq. It needs the server's command line to make its token:
#
#   SIGPERSIST_TENANT=acme docs/clients/curl.sh
set -euo pipefail

url=${SIGPERSIST_URL:-http://127.0.0.1:8080}
token=${SIGPERSIST_TOKEN:-$(sigpersist token issue "${SIGPERSIST_TENANT:-acme}" --ttl 15m)}
data=${SIGPERSIST_EXAMPLE_DATA:-$(dirname "$0")/../../tests/data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Sends a request; its answer is in $work/answer, its status in $status. curl itself waits as Retry-After says where the
# server answers 429 or 503, and repeats what got no answer: every request here can be repeated. The token is in a file,
# since others on the machine see command lines.
printf 'Authorization: Bearer %s\n' "$token" >"$work/header"
request() { # METHOD PATH CURL-OPTIONS…
  local method=$1 path=$2
  shift 2
  status=$(curl -sS -X "$method" -H @"$work/header" -o "$work/answer" -w '%{http_code}' \
    --connect-timeout 5 --max-time 60 --retry 5 --retry-all-errors "$@" "$url$path")
}

# A part of the answer.
answer() { # JQ-FILTER
  jq -r "$1" "$work/answer"
}

# Ends the script where the answer is not what it must be.
expect() { # STATUS-PATTERN [JQ-CONDITION]
  # shellcheck disable=SC2053 # the right side is a pattern
  if [[ $status != $1 ]] || ! jq -e "${2:-true}" "$work/answer" >/dev/null; then
    echo "Expected $1 ${2:-}, got $status: $(answer '"\(.code): \(.message) (request \(.request_id))"')" >&2
    exit 1
  fi
}

# Saves a file as the version after OVER, the one that it was signed over; 0 for a first signature.
save() { # DOCUMENT THREAD OVER FILE [TAG…]
  jq -n --arg document "$1" --arg thread "$2" --argjson version "$3" --rawfile cms "$4" \
    '{$document, $thread, $version, cms: ($cms | rtrimstr("\n")), tags: $ARGS.positional}' --args "${@:5}" >"$work/body"
  request POST /signature -H 'Content-Type: application/json' --data-binary @"$work/body"
}

same() { # TEXT EXPECTED
  if [ "$1" != "$2" ]; then
    echo "Expected: $2"$'\n'"Got: $1" >&2
    exit 1
  fi
}

read_signature() { # DOCUMENT THREAD [PARAMETER=VALUE…]
  local document=$1 thread=$2 options=() parameter
  shift 2
  for parameter in "document=$document" "thread=$thread" "$@"; do options+=(--data-urlencode "$parameter"); done
  request GET /signature -G "${options[@]}"
}

run=$(date +%s)-$$
document=contract-$run thread=approval

echo "Aigerim signs: the first version, over version 0"
save "$document" $thread 0 "$data/first.cms.b64" "$run"
expect 201 '.content.signature.version == 1'

echo "The answer is lost, and the same is sent again: 200, still version 1, stored once"
save "$document" $thread 0 "$data/first.cms.b64" "$run"
expect 200 '.content.signature.version == 1'

echo "Daulet countersigns, over version 1"
save "$document" $thread 1 "$data/countersigned.cms.b64" "$run" signed
expect 201 '.content.signature.version == 2'

echo "Someone else signs over version 1 too: 409, and the way on is to read what is there now"
save "$document" $thread 1 "$data/dropped.cms.b64" "$run"
expect 409 '.code == "version_conflict" and .details.current_version == 2'
read_signature "$document" $thread inspect=true
expect 200 'any(.content.inspection.signers[]; .certificate.iin == "123456789022")'
echo "  Daulet has signed version $(answer .content.signature.version) already: nothing is left to do"

echo "Both versions are there, byte for byte"
read_signature "$document" $thread
same "$(answer .content.signature.signature)" "$(cat "$data/countersigned.cms.b64")"
read_signature "$document" $thread version=1
same "$(answer .content.signature.signature)" "$(cat "$data/first.cms.b64")"

echo "Verified: both signatures are intact"
read_signature "$document" $thread verify=true
# INDETERMINATE unless the tenant trusts the authority that issued the certificate.
answer '.content.inspection.signers[] | "  IIN \(.certificate.iin): \(.verdict.indication)"'
expect 200 '[.content.inspection.signers[].verdict.intact] == [true, true]'

echo "Five threads of one tag, listed in pages of two"
for number in 0 1 2 3; do
  save "annex-$number-$run" $thread 0 "$data/first.cms.b64" "$run"
  expect '20[01]' # 200 where curl had to repeat it
done
listed=()
query=(--data-urlencode "tags=$run" -d limit=2 -d omit=signature)
page=("${query[@]}")
while true; do
  request GET /signatures -G "${page[@]}"
  expect 200
  while read -r name; do listed+=("$name"); done < <(answer '.content.signatures[].document')
  [ "$(answer .content.next)" != null ] || break
  page=("${query[@]}" --data-urlencode "cursor=$(answer .content.next)")
done
same "${listed[*]}" "annex-3-$run annex-2-$run annex-1-$run annex-0-$run $document"

echo "Deleted; doing it again does no harm"
for name in "${listed[@]}"; do
  request DELETE "/signature?thread=$thread" -G --data-urlencode "document=$name"
  # A deletion that curl had to repeat, since its answer was lost, finds nothing more.
  [ "$status" = 404 ] || expect 200 '. == {status: true}'
done
request DELETE "/signature?thread=$thread" -G --data-urlencode "document=$document"
expect 404 '.code == "signature_not_found"'
