#!/usr/bin/env bash
# Regenerates the signatures in this folder with OpenSSL: real CMS of one small document, signed by fictitious people, with
# subjects as in certificates of Kazakhstan's national certification authority (IIN in serialNumber, BIN in OU).
# The private keys are thrown away.
#   first.cms.b64           signed by Aigerim (RSA)
#   countersigned.cms.b64   first.cms.b64, countersigned by Daulet (ECDSA)
#   forged.cms.b64          first.cms.b64 with a changed signature value
#   dropped.cms.b64         signed by Daulet alone
#   detached.cms.pem        signed by Daulet, without the document, in PEM armour
#   indefinite.cms.b64      signed by Aigerim, in BER with indefinite lengths
#   large.cms.b64           signed by Aigerim, 12 KB, with a larger document, for benchmarks
#   two-issuers.cms.b64     signed by Daulet, and by Marat with a certificate of another authority
#   unnamed.cms.b64         signed by Daulet, without certificates, with a signer named only by key identifier
# Also replaces the copies in the cases of the example plugins.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

authority() { # NAME SUBJECT
  openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 36500 -keyout "$1.key" -out "$1.pem" -utf8 -subj "$2" 2>/dev/null
}
authority ca "/C=KZ/O=Sigpersist/CN=Sigpersist Test CA"
authority other "/C=KZ/O=Another Authority/CN=Another Test CA"

issuer=ca
person() { # NAME SUBJECT KEY-OPTIONS…
  local name=$1 subject=$2; shift 2
  openssl req -new -nodes -utf8 -keyout "$name.key" -out "$name.csr" -subj "$subject" "$@" 2>/dev/null
  openssl x509 -req -in "$name.csr" -CA $issuer.pem -CAkey $issuer.key -CAcreateserial -sha256 -days 36500 -out "$name.pem" \
    -extfile <(printf 'keyUsage=digitalSignature,nonRepudiation\nsubjectKeyIdentifier=hash\n') 2>/dev/null
}
person aigerim "/C=KZ/SN=АХМЕТОВА/GN=БОЛАТҚЫЗЫ/serialNumber=IIN123456789011/O=ТОО \"Тест\", филиал/OU=BIN123456789021/CN=АХМЕТОВА АЙГЕРІМ" -newkey rsa:2048
person daulet "/C=KZ/serialNumber=IIN123456789022/CN=ДӘУЛЕТ НҰРЛАН" -newkey ec -pkeyopt ec_paramgen_curve:P-256
issuer=other
person marat "/C=KZ/serialNumber=IIN123456789033/CN=МАРАТ ЕРЛАН" -newkey ec -pkeyopt ec_paramgen_curve:P-256

printf 'A contract between two people who do not exist.\n' >document.txt
sign() { openssl cms -sign -binary -in document.txt -outform DER -md sha256 "$@"; }
sign -nodetach -signer aigerim.pem -inkey aigerim.key -out first.der
# The signature value is at the end.
{ head -c -1 first.der; tail -c 1 first.der | tr '\000-\377' '\001-\377\000'; } >forged.der
openssl cms -resign -binary -inform DER -in first.der -signer daulet.pem -inkey daulet.key -md sha256 -outform DER -out countersigned.der
sign -nodetach -signer daulet.pem -inkey daulet.key -out dropped.der
sign -nodetach -signer aigerim.pem -inkey aigerim.key -stream -out indefinite.der
openssl cms -resign -binary -inform DER -in dropped.der -signer marat.pem -inkey marat.key -md sha256 -outform DER -out two-issuers.der
sign -nodetach -nocerts -keyid -signer daulet.pem -inkey daulet.key -out unnamed.der
openssl cms -sign -binary -in document.txt -outform PEM -md sha256 -keyid -signer daulet.pem -inkey daulet.key -out "$here/detached.cms.pem"
for copy in "$here"/../../plugins/*/cases/detached.cms.pem; do cp "$here/detached.cms.pem" "$copy"; done
openssl rand -base64 5400 >document.txt
sign -nodetach -signer aigerim.pem -inkey aigerim.key -out large.der
for name in first forged countersigned dropped indefinite large two-issuers unnamed; do
  openssl base64 -A -in $name.der -out "$here/$name.cms.b64"
  for copy in "$here"/../../plugins/*/cases/$name.cms.b64; do
    [ ! -f "$copy" ] || cp "$here/$name.cms.b64" "$copy"
  done
done
