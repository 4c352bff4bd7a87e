#!/usr/bin/env bash
# Makes the signatures of this folder anew with OpenSSL: what verification is tested with. The private keys are thrown away.
#   algorithms.txt     a signature on each line, after its name: one for each kind of key and padding
#   chained.cms.b64    signed by somebody whom an authority below another certified, with both certificates inside
#   late.cms.b64       the same by somebody whose certificate was over when he signed
#   ca.crt.b64         the upper authority's certificate
#   other.crt.b64      another authority's, of the same name and another key
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'A contract between two people who do not exist.\n' >document.txt

self() { # NAME SUBJECT OPTIONS…
  local name=$1 subject=$2; shift 2
  openssl req -x509 -nodes -days 36500 -keyout "$name.key" -out "$name.pem" -subj "$subject" "$@" 2>/dev/null
}
issue() { # NAME ISSUER SUBJECT EXTENSIONS OPTIONS…
  local name=$1 issuer=$2 subject=$3 extensions=$4; shift 4
  openssl req -new -newkey rsa:2048 -nodes -keyout "$name.key" -out "$name.csr" -subj "$subject" 2>/dev/null
  openssl x509 -req -in "$name.csr" -CA "$issuer.pem" -CAkey "$issuer.key" -CAcreateserial -sha256 -out "$name.pem" \
    -extfile <(printf '%b' "$extensions") "$@" 2>/dev/null
}
sign() { openssl cms -sign -binary -nodetach -in document.txt -outform DER "$@"; }
base64() { openssl base64 -A -in "$1"; echo; }

: >"$here/algorithms.txt"
algorithm() { # NAME SIGNER OPTIONS…
  local name=$1 signer=$2; shift 2
  sign -signer "$signer.pem" -inkey "$signer.key" "$@" -out "$name.der"
  printf '%s %s\n' "$name" "$(base64 "$name.der")" >>"$here/algorithms.txt"
}
self rsa /CN=rsa -newkey rsa:2048
self p256 /CN=p256 -newkey ec -pkeyopt ec_paramgen_curve:P-256
self p384 /CN=p384 -newkey ec -pkeyopt ec_paramgen_curve:P-384
self p521 /CN=p521 -newkey ec -pkeyopt ec_paramgen_curve:P-521
for digest in sha1 sha224 sha256 sha384 sha512 sha3-256; do algorithm "rsa-$digest" rsa -md $digest; done
for digest in sha256 sha384 sha512; do algorithm "pss-$digest" rsa -md $digest -keyopt rsa_padding_mode:pss; done
algorithm pss-short-salt rsa -md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:11
algorithm pss-mixed rsa -md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1
for curve in p256 p384 p521; do
  for digest in sha256 sha384 sha512; do algorithm "$curve-$digest" $curve -md $digest; done
done
algorithm no-attributes rsa -md sha256 -noattr

ca='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'
end='keyUsage=digitalSignature,nonRepudiation\n'
self ca "/O=Sigpersist/CN=Upper" -newkey rsa:2048
self other "/O=Sigpersist/CN=Upper" -newkey rsa:2048
issue below ca "/O=Sigpersist/CN=Below" "$ca" -days 36000
issue signer below "/CN=Signer" "$end" -days 35000
issue late below "/CN=Late" "$end" -not_before 20200101000000Z -not_after 20210101000000Z 2>/dev/null ||
  openssl ca -version >/dev/null 2>&1 || true
if [ ! -s late.pem ]; then
  # Before OpenSSL 3.4 only `ca` takes dates.
  touch index.txt; echo 01 >serial
  printf '[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\npolicy=p\n[p]\ncommonName=supplied\n' >ca.cnf
  openssl ca -batch -config ca.cnf -cert below.pem -keyfile below.key -in late.csr -out late.pem -md sha256 -notext \
    -startdate 20200101000000Z -enddate 20210101000000Z -extfile <(printf '%b' "$end") 2>/dev/null
fi
for name in signer late; do
  sign -signer $name.pem -inkey $name.key -certfile below.pem -md sha256 -out $name.der
done
base64 signer.der >"$here/chained.cms.b64"
base64 late.der >"$here/late.cms.b64"
for name in ca other; do
  openssl x509 -in $name.pem -outform DER -out $name.crt
  base64 $name.crt >"$here/$name.crt.b64"
done
