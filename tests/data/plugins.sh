#!/usr/bin/env bash
# Regenerates, with OpenSSL and verify/der.py, the signatures that are used only in cases of the example plugins. Their signers
# are fictitious. Reading such a signature without verifying it leads to wrong conclusions. The private keys are thrown away.
#   authorities.pem              two authorities that a tenant trusts: Good CA and Other CA
#   mallory.pem                  the certificate of Mallory, which a tenant trusts directly
#   front-first.cms.b64          signed by Vera, with a certificate of Good CA
#   front-next.cms.b64           signed by Mallory, with a certificate of Other CA, and named by key identifier;
#                                in both files, the first certificate is a forged one that fits both signers
#   respelt.cms.b64              signed by Mallory, without certificates; the signature spells the issuer OTHER CA
#   relabelled.cms.b64           signed by Vera, with another content type than the signed one
#   nobody.cms.b64               a CMS without signers
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
printf 'A contract between two people who do not exist.\n' >document.txt
der() { python3 "$here/verify/der.py" "$@"; }

authority() { # NAME SUBJECT
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -keyout "$1.key" -out "$1.pem" -subj "$2" 2>/dev/null
}
person() { # NAME ISSUER SERIAL SUBJECT KEY-IDENTIFIER
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$4" 2>/dev/null
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -set_serial "$3" -sha256 -days 36000 -out "$1.pem" \
    -extfile <(printf 'keyUsage=digitalSignature,nonRepudiation\nsubjectKeyIdentifier=%s\n' "$5") 2>/dev/null
  openssl x509 -in "$1.pem" -outform DER -out "$1.crt"
}
authority good "/O=Sigpersist/CN=Good CA"
authority other "/O=Sigpersist/CN=Other CA"
authority anybody "/O=Sigpersist/CN=Good CA"
person vera good 0x5601 /CN=Vera hash
person mallory other 0x4d01 /CN=Mallory hash
identifier=$(openssl x509 -in mallory.pem -noout -ext subjectKeyIdentifier | tail -n 1 | tr -d ' :')
person front anybody 0x5601 /CN=Vera "$identifier"

sign() { # SIGNER OPTIONS…
  local signer=$1; shift
  openssl cms -sign -binary -nodetach -in document.txt -outform DER -md sha256 -signer "$signer.pem" -inkey "$signer.key" "$@"
}
sign vera -out vera.der
sign mallory -keyid -out by-key.der
sign mallory -nocerts -out mallory.der
der certificates vera.der front.crt vera.crt >front-first.der
der certificates by-key.der front.crt mallory.crt >front-next.der
der respell mallory.der "Other CA" "OTHER CA" >respelt.der
# TSTInfo (RFC 3161).
der content-type vera.der 1.2.840.113549.1.9.16.1.4 >relabelled.der
openssl crl2pkcs7 -nocrl -outform DER -out nobody.der

for cases in "$here"/../../plugins/*/cases; do
  [ ! -f "$cases/authorities.pem" ] || cat good.pem other.pem >"$cases/authorities.pem"
  [ ! -f "$cases/mallory.pem" ] || cp mallory.pem "$cases/"
  for name in front-first front-next respelt relabelled nobody; do
    [ ! -f "$cases/$name.cms.b64" ] || openssl base64 -A -in $name.der -out "$cases/$name.cms.b64"
  done
done
