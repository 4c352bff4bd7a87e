#!/usr/bin/env python3
"""Does to signatures (CMS SignedData, in DER) what OpenSSL's command line can't: takes one apart, puts one together.
It writes to standard output. The cryptography is all OpenSSL's.

  der.py signature CMS                       the signature value of the first signer
  der.py attributes NAME=VALUE...            signed attributes, as the SET that is to be signed:
             content-type=OID  signing-time=YYMMDDHHMMSSZ  message-digest=FILE  signing-certificate=FILE (files: a digest)
  der.py signer-info rsa|ed25519 CERTIFICATE ATTRIBUTES SIGNATURE [OID VALUE]
                                             a SignerInfo, if wanted with one unsigned attribute
  der.py signed-data DOCUMENT SIGNER-INFO CERTIFICATE...
                                             a CMS of one signer, with the document in it
  der.py unsigned CMS OID VALUE              the CMS with an unsigned attribute added to its first signer
  der.py revocation CMS FILE...              the CMS with CRLs (*.crl) and OCSP responses (*.ocsp) added to its `crls`
  der.py revocation-values FILE...           RevocationValues (RFC 5126, 6.3.4) of CRLs (*.crl) and OCSP responses (*.ocsp)
  der.py revoked-at CRL YYYYMMDDHHMMSSZ      the part of a CRL that is to be signed, with all its entries revoked then
  der.py signed-crl BODY SIGNATURE           that part and its signature as a CRL
  der.py tamper TOKEN                        the time stamp token with the last digit of its genTime changed
  der.py certificates CMS CERTIFICATE...     the CMS with these certificates, in this order, in place of its own
  der.py content-type CMS OID                the CMS with another type of its content than the one that was signed
  der.py respell CMS WORDS OTHERS            the CMS with words in the names of its signers' issuers spelt otherwise, as long
"""
import sys

INTEGER, BITS, OCTETS, NULL, UTC_TIME, GENERALIZED_TIME, SEQUENCE, SET = 0x02, 0x03, 0x04, 0x05, 0x17, 0x18, 0x30, 0x31
CONTEXT = [0xA0, 0xA1]

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
OCSP_RESPONSE = "1.3.6.1.5.5.7.16.2"
SHA256 = "2.16.840.1.101.3.4.2.1"
SHA512 = "2.16.840.1.101.3.4.2.3"
RSA = "1.2.840.113549.1.1.1"
ED25519 = "1.3.101.112"


# Writing.

def tlv(tag, *parts):
    value = b"".join(parts)
    size = len(value)
    if size < 0x80:
        return bytes([tag, size]) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + value


def oid(text):
    first, second, *rest = map(int, text.split("."))
    value = b""
    for arc in [first * 40 + second, *rest]:
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.insert(0, arc & 0x7F | 0x80)
        value += bytes(septets)
    return tlv(0x06, value)


def number(small):
    return tlv(INTEGER, bytes([small]))


def set_of(tag, members):
    return tlv(tag, *sorted(members))


def attribute(kind, value):
    return tlv(SEQUENCE, oid(kind), tlv(SET, value))


# Reading.

def read(data, start=0):
    """The start and end of the contents of the value at this offset."""
    size, at = data[start + 1], start + 2
    if size == 0x80:
        sys.exit("der.py: an indefinite length: this isn't DER")
    if size > 0x80:
        octets = size & 0x7F
        size, at = int.from_bytes(data[at:at + octets], "big"), at + octets
    return at, at + size


def contents(data):
    start, end = read(data)
    return data[start:end]


def members(data):
    """The complete values inside a value."""
    at, end = read(data)
    found = []
    while at < end:
        after = read(data, at)[1]
        found.append(data[at:after])
        at = after
    return found


def file(name):
    with open(name, "rb") as opened:
        return opened.read()


def open_cms(name):
    """The parts of a CMS's SignedData."""
    kind, content = members(file(name))
    assert kind == oid(SIGNED_DATA)
    return members(members(content)[0])


def close_cms(parts):
    return tlv(SEQUENCE, oid(SIGNED_DATA), tlv(CONTEXT[0], tlv(SEQUENCE, *parts)))


def basic_response(name):
    """The BasicOCSPResponse inside an OCSPResponse."""
    status, response = members(file(name))
    return contents(members(members(response)[0])[1])


# The subcommands.

def signature(cms):
    signer = members(open_cms(cms)[-1])[0]
    return contents([part for part in members(signer) if part[0] == OCTETS][0])


def attributes(*wanted):
    made = []
    for word in wanted:
        name, value = word.split("=", 1)
        if name == "content-type":
            made.append(attribute(CONTENT_TYPE, oid(value)))
        elif name == "signing-time":
            made.append(attribute(SIGNING_TIME, tlv(UTC_TIME, value.encode())))
        elif name == "message-digest":
            made.append(attribute(MESSAGE_DIGEST, tlv(OCTETS, file(value))))
        elif name == "signing-certificate":
            identifier = tlv(SEQUENCE, tlv(OCTETS, file(value)))  # The hash algorithm defaults to SHA-256.
            made.append(attribute(SIGNING_CERTIFICATE_V2, tlv(SEQUENCE, tlv(SEQUENCE, identifier))))
        else:
            sys.exit(f"der.py: no such attribute: {name}")
    return set_of(SET, made)


def signer_info(kind, certificate, signed, value, unsigned_oid=None, unsigned_value=None):
    digest, algorithm = {
        "rsa": (tlv(SEQUENCE, oid(SHA256)), tlv(SEQUENCE, oid(RSA), tlv(NULL))),
        "ed25519": (tlv(SEQUENCE, oid(SHA512)), tlv(SEQUENCE, oid(ED25519))),
    }[kind]
    version, serial, certificate_algorithm, issuer, *rest = members(members(file(certificate))[0])
    parts = [number(1), tlv(SEQUENCE, issuer, serial), digest, tlv(CONTEXT[0], contents(file(signed))), algorithm,
             tlv(OCTETS, file(value))]
    if unsigned_oid:
        parts.append(tlv(CONTEXT[1], attribute(unsigned_oid, file(unsigned_value))))
    return tlv(SEQUENCE, *parts)


def signed_data(document, signer, *certificates):
    return close_cms([
        number(1),
        tlv(SET, members(file(signer))[2]),
        tlv(SEQUENCE, oid(DATA), tlv(CONTEXT[0], tlv(OCTETS, file(document)))),
        set_of(CONTEXT[0], map(file, certificates)),
        tlv(SET, file(signer)),
    ])


def unsigned(cms, kind, value):
    *before, signers = open_cms(cms)
    first, *others = members(signers)
    parts = members(first)
    already = members(parts.pop()) if parts[-1][0] == CONTEXT[1] else []
    parts.append(set_of(CONTEXT[1], already + [attribute(kind, file(value))]))
    return close_cms([*before, set_of(SET, [tlv(SEQUENCE, *parts), *others])])


def revocation(cms, *names):
    *before, signers = open_cms(cms)
    already = members(before.pop()) if before[-1][0] == CONTEXT[1] else []
    added = []
    for name in names:
        if name.endswith(".ocsp"):
            added.append(tlv(CONTEXT[1], oid(OCSP_RESPONSE), file(name)))
            before[0] = number(5)  # RFC 5652, 5.1: the version if `crls` contains anything but CRLs.
        else:
            added.append(file(name))
    return close_cms([*before, set_of(CONTEXT[1], already + added), signers])


def revocation_values(*names):
    lists = [file(name) for name in names if name.endswith(".crl")]
    responses = [basic_response(name) for name in names if name.endswith(".ocsp")]
    parts = []
    if lists:
        parts.append(tlv(CONTEXT[0], tlv(SEQUENCE, *lists)))
    if responses:
        parts.append(tlv(CONTEXT[1], tlv(SEQUENCE, *responses)))
    return tlv(SEQUENCE, *parts)


def revoked_at(crl, time):
    version, algorithm, issuer, this_update, next_update, entries, *rest = members(members(file(crl))[0])
    changed = []
    for entry in members(entries):
        serial, _, *extensions = members(entry)
        changed.append(tlv(SEQUENCE, serial, tlv(GENERALIZED_TIME, time.encode()), *extensions))
    return tlv(SEQUENCE, version, algorithm, issuer, this_update, next_update, tlv(SEQUENCE, *changed), *rest)


def signed_crl(body, value):
    algorithm = members(file(body))[1]
    return tlv(SEQUENCE, file(body), algorithm, tlv(BITS, b"\0", file(value)))


def tamper(token):
    encapsulated = open_cms(token)[2]
    info = contents(members(members(encapsulated)[1])[0])
    time = [part for part in members(info) if part[0] == GENERALIZED_TIME][0]
    last = chr(time[-2])
    other = "8" if last == "9" else str(int(last) + 1)
    changed = time[:-2] + other.encode() + time[-1:]
    return file(token).replace(info, info.replace(time, changed))


def certificates(cms, *names):
    before, rest = open_cms(cms)[:3], [part for part in open_cms(cms)[3:] if part[0] != CONTEXT[0]]
    # Keeps this order, in which readers will find them, instead of sorting as DER requires.
    return close_cms([*before, tlv(CONTEXT[0], *map(file, names)), *rest])


def content_type(cms, kind):
    version, digests, encapsulated, *rest = open_cms(cms)
    _, *content = members(encapsulated)
    return close_cms([version, digests, tlv(SEQUENCE, oid(kind), *content), *rest])


def respell(cms, words, others):
    *before, signers = open_cms(cms)
    assert len(words) == len(others) and words.encode() in signers
    return close_cms([*before, signers.replace(words.encode(), others.encode())])


COMMANDS = {
    "signature": signature,
    "attributes": attributes,
    "signer-info": signer_info,
    "signed-data": signed_data,
    "unsigned": unsigned,
    "revocation": revocation,
    "revocation-values": revocation_values,
    "revoked-at": revoked_at,
    "signed-crl": signed_crl,
    "tamper": tamper,
    "certificates": certificates,
    "content-type": content_type,
    "respell": respell,
}

if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
    sys.exit(__doc__)
sys.stdout.buffer.write(COMMANDS[sys.argv[1]](*sys.argv[2:]))
