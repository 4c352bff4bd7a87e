#!/usr/bin/env bash
# Regenerates the signatures in this folder, which test verification, with OpenSSL and, for what its command line can't do,
# der.py. The private keys are thrown away.
#   algorithms.txt     lines of a name and a signature: one for each kind of key and padding
#   evidence.txt       lines of a name and a signature with time stamps, countersignatures, revocation data or odd attributes
#   chained.cms.b64    signed with a certificate of an intermediate authority, whose certificate is included too
#   late.cms.b64       like chained.cms.b64, but signed after the signer's certificate had expired
#   signed.xml         like chained.cms.b64, in XML (XAdES)
#   stamped.xml        like signed.xml, with a time stamp and CRLs in which nothing is revoked
#   revoked.xml        like stamped.xml, but the signer's certificate was revoked long before
#   beside.xml, properties-alone.xml  intact signatures of an element beside them, or only of their own properties
#   ca.crt.b64         the root authority's certificate
#   other.crt.b64      the certificate of another authority with the same name and another key
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
der() { python3 "$here/der.py" "$@"; }
digest() { openssl dgst -sha256 -binary "$1"; } # FILE
certificate() { openssl x509 -in "$1.pem" -outform DER -out "$1.crt"; }

# Signatures of every kind.

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
self ed25519 /CN=ed25519 -newkey ed25519
for digest in sha1 sha224 sha256 sha384 sha512 sha3-256; do algorithm "rsa-$digest" rsa -md $digest; done
for digest in sha256 sha384 sha512; do algorithm "pss-$digest" rsa -md $digest -keyopt rsa_padding_mode:pss; done
algorithm pss-short-salt rsa -md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:11
algorithm pss-mixed rsa -md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_mgf1_md:sha1
for curve in p256 p384 p521; do
  for digest in sha256 sha384 sha512; do algorithm "$curve-$digest" $curve -md $digest; done
done
algorithm no-attributes rsa -md sha256 -noattr

# OpenSSL's `cms` doesn't sign with Ed25519 before 3.2.
data=1.2.840.113549.1.7.1
now=$(date -u +%y%m%d%H%M%SZ)
certificate ed25519
openssl dgst -sha512 -binary -out document.sha512 document.txt
der attributes content-type=$data signing-time="$now" message-digest=document.sha512 >ed25519.attributes
openssl pkeyutl -sign -rawin -inkey ed25519.key -in ed25519.attributes -out ed25519.signature
der signer-info ed25519 ed25519.crt ed25519.attributes ed25519.signature >ed25519.signer
der signed-data document.txt ed25519.signer ed25519.crt >ed25519.der
printf 'ed25519 %s\n' "$(base64 ed25519.der)" >>"$here/algorithms.txt"

# Chains.

ca='basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n'
end='keyUsage=digitalSignature,nonRepudiation\n'
self ca "/O=Sigpersist/CN=Upper" -newkey rsa:2048
self other "/O=Sigpersist/CN=Upper" -newkey rsa:2048
issue below ca "/O=Sigpersist/CN=Below" "$ca" -days 36000
issue signer below "/CN=Signer" "$end" -days 35000
issue late below "/CN=Late" "$end" -not_before 20200101000000Z -not_after 20210101000000Z 2>/dev/null ||
  openssl ca -version >/dev/null 2>&1 || true
if [ ! -s late.pem ]; then
  # Before OpenSSL 3.4, only `ca` accepts dates.
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
  certificate $name
  base64 $name.crt >"$here/$name.crt.b64"
done
# Replaces the copies in the cases of the example plugins.
for cases in "$here"/../../../plugins/*/cases; do
  [ ! -f "$cases/chained.cms.b64" ] || cp "$here/chained.cms.b64" "$cases/"
  [ ! -f "$cases/ca.crt.pem" ] || openssl x509 -in ca.pem -out "$cases/ca.crt.pem"
done

# Evidence.

: >"$here/evidence.txt"
evidence() { printf '%s %s\n' "$1" "$(base64 "$2")" >>"$here/evidence.txt"; } # NAME FILE
issue counter below "/CN=Counter" "$end" -days 35000
certificate below; certificate signer; certificate counter

# Time stamps.
stamping='keyUsage=digitalSignature\nextendedKeyUsage=critical,timeStamping\n'
issue tsa ca "/CN=TSA" "$stamping" -days 36000
issue ours-not-tsa ca "/CN=Not a TSA" "$end" -days 36000
self stranger /CN=Stranger -newkey rsa:2048 -addext keyUsage=digitalSignature -addext extendedKeyUsage=critical,timeStamping
cat >ts.cnf <<'END'
[tsa]
default_tsa=t
[t]
serial=ts.serial
signer_digest=sha256
default_policy=1.2.3.4.1
digests=sha256
ess_cert_id_alg=sha256
END
echo 01 >ts.serial
stamp() { # NAME STAMPED SIGNER
  openssl ts -query -data "$2" -sha256 -cert -out "$1.query" 2>/dev/null
  openssl ts -reply -config ts.cnf -queryfile "$1.query" -signer "$3.pem" -inkey "$3.key" -token_out -out "$1.token" 2>/dev/null
}
stamped() { # NAME TOKEN
  der unsigned bare.der 1.2.840.113549.1.9.16.2.14 "$2" >"$1.der"
  evidence "$1" "$1.der"
}
sign -signer signer.pem -inkey signer.key -certfile below.pem -md sha256 -noattr -out bare.der
der signature bare.der >bare.signature
der signature signer.der >signer.signature
stamp tsa bare.signature tsa
stamp other-value signer.signature tsa
stamp stranger bare.signature stranger
# `ts` refuses to sign without the extended key usage timeStamping.
openssl cms -verify -noverify -binary -inform DER -in tsa.token -out info.der 2>/dev/null
openssl cms -sign -binary -nodetach -cades -md sha256 -econtent_type 1.2.840.113549.1.9.16.1.4 -in info.der \
  -signer ours-not-tsa.pem -inkey ours-not-tsa.key -outform DER -out no-usage.token
der tamper tsa.token >tampered.token
stamped stamped tsa.token
stamped stamped-other other-value.token
stamped stamped-stranger stranger.token
stamped stamped-no-usage no-usage.token
stamped stamped-tampered tampered.token

# CRLs.
printf '[ca]\ndefault_ca=c\n[c]\ndatabase=revoked.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n' >crl.cnf
echo 01 >crlnumber
serial() { openssl x509 -in "$1.pem" -noout -serial | cut -d= -f2; }
entry() { printf '%s\t21000101000000Z\t%s\t%s\tunknown\t/CN=%s\n' "$@"; } # V|R WHEN[,REASON] SERIAL NAME
crl() { # NAME ISSUER KEY OPTIONS…; entries on standard input
  local name=$1 issuer=$2 key=$3; shift 3
  cat >revoked.txt
  openssl ca -gencrl -config crl.cnf -cert "$issuer.pem" -keyfile "$key.key" "$@" -out "$name.crl.pem" 2>/dev/null
  openssl crl -in "$name.crl.pem" -outform DER -out "$name.crl"
}
revocation() { # NAME CMS FILE…
  local name=$1 cms=$2; shift 2
  der revocation "$cms" "$@" >"$name.der"
  evidence "$name" "$name.der"
}
long='-crldays 36500'
later='-crl_lastupdate 20900601000000Z -crl_nextupdate 20900701000000Z'
stale='-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z'
somebody=$(entry R 200101000000Z 0123456789ABCDEF Somebody)
revoked=$(entry R 200101000000Z,keyCompromise "$(serial signer)" Signer)
revoked_below=$(entry R 200101000000Z "$(serial below)" Below)
openssl req -x509 -key other.key -subj "/O=Sigpersist/CN=Below" -out forger.pem
crl ca ca ca $long </dev/null
crl ca-stale ca ca $stale </dev/null
crl ca-below-revoked ca ca $long <<<"$revoked_below"
crl below below below $long <<<"$somebody"
crl below-stale below below $stale <<<"$somebody"
crl below-revoked below below $long <<<"$revoked"
crl below-revoked-later below below $later <<<"$(entry R 200101000000Z "$(serial signer)" Signer)"
# `ca` can't read revocation dates after 2049.
der revoked-at below-revoked-later.crl 20900101000000Z >later.body
openssl dgst -sha256 -sign below.key -out later.signature later.body
der signed-crl later.body later.signature >below-revoked-later.crl
crl below-forged forger other $long <<<"$revoked"
revocation stamped-revoked-later stamped.der ca.crl below-revoked-later.crl
revocation crl-good signer.der ca.crl below.crl
revocation crl-revoked signer.der ca.crl below-revoked.crl
revocation crl-revoked-later signer.der ca.crl below-revoked-later.crl
revocation crl-below-revoked signer.der ca-below-revoked.crl below.crl
revocation crl-forged signer.der ca.crl below-forged.crl
revocation crl-stale signer.der ca-stale.crl below-stale.crl

# OCSP responses.
responding='keyUsage=digitalSignature\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored\n'
issue responder below "/CN=Responder" "$responding" -days 35000
issue strange-responder other "/CN=Responder" "$responding" -days 35000
openssl ocsp -issuer below.pem -cert signer.pem -no_nonce -reqout signer.query 2>/dev/null
ocsp() { # NAME RESPONDER; entry on standard input
  cat >answered.txt
  openssl ocsp -index answered.txt -CA below.pem -rsigner "$2.pem" -rkey "$2.key" -rmd sha256 -reqin signer.query -ndays 36500 \
    -respout "$1.ocsp" >/dev/null 2>&1
}
ocsp good responder <<<"$(entry V '' "$(serial signer)" Signer)"
ocsp revoked responder <<<"$revoked"
ocsp stranger strange-responder <<<"$revoked"
ocsp by-issuer below <<<"$(entry V '' "$(serial signer)" Signer)"
for name in good revoked stranger by-issuer; do revocation ocsp-$name signer.der $name.ocsp; done

# CRLs and OCSP responses in an unsigned attribute.
values() { # NAME FILE…
  local name=$1; shift
  der revocation-values "$@" >"$name.values"
  der unsigned signer.der 1.2.840.113549.1.9.16.2.24 "$name.values" >"$name.der"
  evidence "$name" "$name.der"
}
values values-ocsp ca.crl revoked.ocsp
values values-crl ca.crl below.crl

# Countersignatures.
countersign() { # NAME SIGNER SIGNED [COUNTERSIGNATURE]: NAME.counter, signed by SIGNER over the file SIGNED
  digest "$3" >"$1.digest"
  der attributes message-digest="$1.digest" signing-time="$now" >"$1.attributes"
  openssl dgst -sha256 -sign "$2.key" -out "$1.signature" "$1.attributes"
  der signer-info rsa "$2.crt" "$1.attributes" "$1.signature" ${4:+1.2.840.113549.1.9.6 "$4"} >"$1.counter"
}
countersigned() { # NAME COUNTERSIGNATURE
  der unsigned both.der 1.2.840.113549.1.9.6 "$2" >"$1.der"
  evidence "$1" "$1.der"
}
cat below.pem counter.pem >below-and-counter.pem
sign -signer signer.pem -inkey signer.key -certfile below-and-counter.pem -md sha256 -out both.der
der signature both.der >both.signature
now=$(date -u +%y%m%d%H%M%SZ)
countersign once counter both.signature
countersign wrong counter document.txt
countersign upper signer once.signature
countersign twice counter both.signature upper.counter
countersigned countersigned once.counter
countersigned countersigned-wrong wrong.counter
countersigned countersigned-twice twice.counter
for cases in "$here"/../../../plugins/*/cases; do
  [ ! -f "$cases/countersigned-over.cms.b64" ] || base64 countersigned.der >"$cases/countersigned-over.cms.b64"
  [ ! -f "$cases/countersigned-wrong-over.cms.b64" ] || base64 countersigned-wrong.der >"$cases/countersigned-wrong-over.cms.b64"
done

# Signed attributes.
attributed() { # NAME ATTRIBUTES…
  local name=$1; shift
  der attributes "$@" >"$name.attributes"
  openssl dgst -sha256 -sign signer.key -out "$name.signature" "$name.attributes"
  der signer-info rsa signer.crt "$name.attributes" "$name.signature" >"$name.signer"
  der signed-data document.txt "$name.signer" signer.crt below.crt >"$name.der"
  evidence "$name" "$name.der"
}
digest document.txt >document.sha256
digest counter.crt >counter.sha256
sign -cades -signer signer.pem -inkey signer.key -certfile below.pem -md sha256 -out cades.der
evidence cades cades.der
attributed cades-other content-type=$data signing-time="$now" message-digest=document.sha256 signing-certificate=counter.sha256
attributed twice content-type=$data signing-time="$now" signing-time=300101000000Z message-digest=document.sha256
attributed no-content-type signing-time="$now" message-digest=document.sha256

# Signers.
sign -signer signer.pem -inkey signer.key -signer counter.pem -inkey counter.key -certfile below.pem -md sha256 -out two-signers.der
evidence two-signers two-signers.der
openssl crl2pkcs7 -nocrl -certfile below.pem -outform DER -out nobody.der
evidence nobody nobody.der
sign -nocerts -signer signer.pem -inkey signer.key -certfile below.pem -md sha256 -out without-certificate.der
evidence without-certificate without-certificate.der

# Chains that must be rejected, or accepted only within limits.
by() { # NAME SIGNER AUTHORITY
  cat "$3.pem" >by.pem
  sign -signer "$2.pem" -inkey "$2.key" -certfile by.pem -md sha256 -out "$1.der"
  evidence "$1" "$1.der"
}
issue no-authority ca "/O=Sigpersist/CN=No authority" 'basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyCertSign\n' -days 36000
issue below-none no-authority /CN=Fooled "$end" -days 35000
by not-an-authority below-none no-authority
issue no-signing ca "/O=Sigpersist/CN=No signing" 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign\n' -days 36000
issue below-no-signing no-signing /CN=Fooled "$end" -days 35000
by not-for-certificates below-no-signing no-signing
issue last ca "/O=Sigpersist/CN=Last" 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n' -days 36000
issue after-last last "/O=Sigpersist/CN=After" "$ca" -days 35500
issue too-deep after-last /CN=Deep "$end" -days 35000
issue deep-enough last /CN=Enough "$end" -days 35000
cat last.pem after-last.pem >two-authorities.pem; cp two-authorities.pem path.pem
by path-too-long too-deep path
by path-long-enough deep-enough last
issue limited ca "/O=Sigpersist/CN=Limited" "${ca}nameConstraints=excluded;DNS:example.org\n" -days 36000
issue below-limited limited /CN=Limited "$end" -days 35000
by names-restricted below-limited limited
usage() { printf '%sextendedKeyUsage=%s\n' "$end" "$1"; }
issue server below /CN=Server "$(usage serverAuth)" -days 35000
issue login below /CN=Login 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth,1.2.398.3.3.4.1.1\n' -days 35000
issue mail below /CN=Mail "$(usage emailProtection,clientAuth)" -days 35000
issue ciphering below /CN=Ciphering 'keyUsage=keyEncipherment\n' -days 35000
for name in server login mail ciphering; do by for-$name $name below; done

# CRLs with restrictions: of another distribution point, a delta CRL, and one of an authority without the usage cRLSign.
place='[place]\nissuingDistributionPoint=critical,@point\n[point]\nfullname=URI:http://example.org/other.crl\n[delta]\ndeltaCRL=critical,1\n'
printf '%b' "$place" >>crl.cnf
crl below-elsewhere below below $long -crlexts place <<<"$somebody"
crl below-elsewhere-revoked below below $long -crlexts place <<<"$revoked"
revocation crl-elsewhere signer.der ca.crl below-elsewhere.crl
revocation crl-elsewhere-revoked signer.der ca.crl below-elsewhere-revoked.crl
issue no-lists ca "/O=Sigpersist/CN=No lists" 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' -days 36000
issue below-no-lists no-lists /CN=Unlisted "$end" -days 35000
sign -signer below-no-lists.pem -inkey below-no-lists.key -certfile no-lists.pem -md sha256 -out unlisted.der
crl no-lists no-lists no-lists $long <<<"$(entry R 200101000000Z "$(serial below-no-lists)" Unlisted)"
revocation crl-by-no-list-signer unlisted.der ca.crl no-lists.crl

# OCSP responses of responders that are not, or no longer, authorized.
issue not-responder below "/CN=Responder" "$end" -days 35000
ocsp by-anybody not-responder <<<"$revoked"
revocation ocsp-by-anybody signer.der by-anybody.ocsp

# A signing time in the future, and a signature whose content is the signed attributes of an honest signature.
attributed future content-type=$data signing-time=450101000000Z message-digest=document.sha256
digest document.txt >honest.sha256
der attributes content-type=$data signing-time="$now" message-digest=honest.sha256 >honest.attributes
openssl cms -sign -binary -nodetach -noattr -in honest.attributes -outform DER -signer signer.pem -inkey signer.key \
  -certfile below.pem -md sha256 -out attributes-as-content.der
evidence attributes-as-content attributes-as-content.der
openssl cms -sign -binary -nodetach -noattr -econtent_type 1.2.3.4 -in document.txt -outform DER -signer signer.pem -inkey signer.key \
  -certfile below.pem -md sha256 -out other-type.der
evidence other-type other-type.der

# XML in the form of exclusive canonicalization, so that the text of the file is hashed as it is.
ds='xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
xades='xmlns:xades="http://uri.etsi.org/01903/v1.3.2#"'
exclusive='Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"'
sha256='Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"'
text='<text>A contract between two people who do not exist.</text>'
encoded() { base64 "$1" | tr -d '\n'; }
digested() { printf %s "$1" >digested.txt; digest digested.txt >digested.sha256; encoded digested.sha256; } # TEXT
xml() { # NAME EMBEDDED-CERTIFICATES UNSIGNED-PROPERTIES
  printf '<contract>%s<ds:Signature %s>%s%s<ds:KeyInfo><ds:X509Data>%s</ds:X509Data></ds:KeyInfo><ds:Object>%s</ds:Object></ds:Signature></contract>\n' \
    "$text" "$ds" "$info" "$value" "$2" "<xades:QualifyingProperties $xades>$properties$3</xades:QualifyingProperties>" >"$here/$1.xml"
}
named="<xades:CertDigest><ds:DigestMethod $ds $sha256></ds:DigestMethod><ds:DigestValue $ds>$(digest signer.crt >signer.sha256; encoded signer.sha256)</ds:DigestValue></xades:CertDigest>"
properties="<xades:SignedProperties $xades Id=\"properties\"><xades:SignedSignatureProperties><xades:SigningTime>$(date -u +%Y-%m-%dT%H:%M:%SZ)</xades:SigningTime>"
properties+="<xades:SigningCertificateV2><xades:Cert>$named</xades:Cert></xades:SigningCertificateV2></xades:SignedSignatureProperties></xades:SignedProperties>"
reference() { # URI TRANSFORMS DIGEST
  printf '<ds:Reference URI="%s"><ds:Transforms>%s<ds:Transform %s></ds:Transform></ds:Transforms><ds:DigestMethod %s></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference>' \
    "$1" "$2" "$exclusive" "$sha256" "$3"
}
enveloped='<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>'
info="<ds:SignedInfo $ds><ds:CanonicalizationMethod $exclusive></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"></ds:SignatureMethod>"
info+="$(reference "" "$enveloped" "$(digested "<contract>$text</contract>")")$(reference "#properties" "" "$(digested "$properties")")</ds:SignedInfo>"
printf %s "$info" >info.txt
openssl dgst -sha256 -sign signer.key -out info.signature info.txt
value="<ds:SignatureValue $ds>$(encoded info.signature)</ds:SignatureValue>"
printf %s "$value" >value.txt
stamp value value.txt tsa
own="<ds:X509Certificate>$(encoded signer.crt)</ds:X509Certificate>"
unsigned() { # CRL…
  printf '<xades:UnsignedProperties><xades:UnsignedSignatureProperties><xades:SignatureTimeStamp><ds:CanonicalizationMethod %s/>' "$exclusive"
  printf '<xades:EncapsulatedTimeStamp>%s</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>' "$(encoded value.token)"
  printf '<xades:CertificateValues><xades:EncapsulatedX509Certificate>%s</xades:EncapsulatedX509Certificate></xades:CertificateValues>' "$(encoded below.crt)"
  printf '<xades:RevocationValues><xades:CRLValues>'
  for list; do printf '<xades:EncapsulatedCRLValue>%s</xades:EncapsulatedCRLValue>' "$(encoded "$list")"; done
  printf '</xades:CRLValues></xades:RevocationValues></xades:UnsignedSignatureProperties></xades:UnsignedProperties>'
}
# A signature of an element beside it, and one of only its own properties.
beside="<ds:SignedInfo $ds><ds:CanonicalizationMethod $exclusive></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"></ds:SignatureMethod>"
element='<text Id="text">A contract between two people who do not exist.</text>'
aside() { # NAME REFERENCE BEFORE
  printf %s "$beside$2</ds:SignedInfo>" >aside.txt
  openssl dgst -sha256 -sign signer.key -out aside.signature aside.txt
  printf '<contract>%s<ds:Signature %s>%s</ds:SignedInfo><ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data>%s</ds:X509Data></ds:KeyInfo><ds:Object>%s</ds:Object></ds:Signature></contract>\n' \
    "$3" "$ds" "$beside$2" "$(encoded aside.signature)" "$own<ds:X509Certificate>$(encoded below.crt)</ds:X509Certificate>" \
    "<xades:QualifyingProperties $xades>$properties</xades:QualifyingProperties>" >"$here/$1.xml"
}
aside beside "$(reference "#text" "" "$(digested "$element")")" "$element"
aside properties-alone "$(reference "#properties" "" "$(digested "$properties")")" "$element"
xml signed "$own<ds:X509Certificate>$(encoded below.crt)</ds:X509Certificate>" ""
xml stamped "$own" "$(unsigned ca.crl below.crl)"
xml revoked "$own" "$(unsigned ca.crl below-revoked.crl)"

# For benchmarks: 12 KB, with an intermediate authority between the signer and the trusted one, all used only for this.

self large-ca "/O=Sigpersist/CN=Large Upper" -newkey rsa:2048
issue large-below large-ca "/O=Sigpersist/CN=Large Below" "$ca" -days 36000
issue large-signer large-below "/CN=Large Signer" "$end" -days 35000
openssl rand -base64 4700 >large.txt
openssl cms -sign -binary -nodetach -in large.txt -outform DER -signer large-signer.pem -inkey large-signer.key -certfile large-below.pem \
  -md sha256 -out large.der
base64 large.der >"$here/large.cms.b64"
certificate large-ca
base64 large-ca.crt >"$here/large-ca.crt.b64"
