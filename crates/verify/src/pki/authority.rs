//! An authority for tests, which makes certificates, lists and signatures as one wants them, right or wrong.

use asn1_rs::Oid;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::ber::tlv;

pub(crate) const SIGNED_DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 2];
pub(crate) const DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 1];
pub(crate) const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const ECDSA_SHA384: [u64; 7] = [1, 2, 840, 10045, 4, 3, 3];
const EC: [u64; 6] = [1, 2, 840, 10045, 2, 1];
const P256: [u64; 7] = [1, 2, 840, 10045, 3, 1, 7];
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];

/// The middle of 2026, in milliseconds since 1970, at which all is valid.
pub(crate) const NOW_MS: i64 = 1_782_000_000_000;

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn oid(arcs: &[u64]) -> Vec<u8> {
    tlv(0x06, Oid::from(arcs).unwrap().as_bytes())
}

pub(crate) fn algorithm(arcs: &[u64]) -> Vec<u8> {
    sequence(&[oid(arcs)])
}

/// A name of one part, as a string with this tag.
pub(crate) fn name(tag: u8, text: &str) -> Vec<u8> {
    let attribute = sequence(&[oid(&COMMON_NAME), tlv(tag, text.as_bytes())]);
    sequence(&[tlv(0x31, &attribute)])
}

/// An extension of a certificate, list or entry.
pub(crate) fn extension(kind: &[u64], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if is_critical {
        tlv(0x01, &[0xff])
    } else {
        Vec::new()
    };
    sequence(&[oid(kind), critical, tlv(0x04, value)])
}

/// Tags of strings.
pub(crate) const UTF8: u8 = 0x0c;
pub(crate) const PRINTABLE: u8 = 0x13;

/// A key, and what its holder is called.
pub(crate) struct Party {
    pub(crate) name: Vec<u8>,
    key: EcdsaKeyPair,
}

/// Bits of `KeyUsage`, the first one highest.
const CERT_AND_CRL_SIGN: u8 = 0b0000_0110;
const CRL_SIGN: u8 = 0b0000_0010;
const DIGITAL_SIGNATURE: u8 = 0b1000_0000;

/// What a certificate is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Authority,
    Lists,
    Person,
}

impl Party {
    pub(crate) fn new(name: Vec<u8>) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { name, key }
    }

    /// One with this key, as PKCS #8 has it.
    pub(crate) fn with_key(name: Vec<u8>, key: &[u8]) -> Self {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).unwrap();
        Self { name, key }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let value = self.key.sign(&SystemRandom::new(), message).unwrap();
        value.as_ref().to_vec()
    }

    /// Its key, as certificates have it.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let key = [&[0], self.key.public_key().as_ref()].concat();
        sequence(&[sequence(&[oid(&EC), oid(&P256)]), tlv(0x03, &key)])
    }

    /// The inside, its algorithm, and a signature of it.
    pub(crate) fn signed(&self, tbs: Vec<u8>, algorithm: Vec<u8>) -> Vec<u8> {
        let value = [vec![0], self.sign(&tbs)].concat();
        sequence(&[tbs, algorithm, tlv(0x03, &value)])
    }

    /// A certificate for somebody, in DER.
    pub(crate) fn certify(&self, of: &Self, role: Role, serial: u8) -> Vec<u8> {
        self.certify_with(of, role, serial, &[])
    }

    /// The same with more extensions.
    pub(crate) fn certify_with(
        &self,
        of: &Self,
        role: Role,
        serial: u8,
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let inner = algorithm(&ECDSA_SHA256);
        self.certify_as(&self.name, &inner, of, role, serial, extensions)
    }

    /// A certificate whose signed part names another algorithm than the one that it is signed with.
    pub(crate) fn certify_with_two_algorithms(&self, of: &Self, serial: u8) -> Vec<u8> {
        let inner = algorithm(&ECDSA_SHA384);
        self.certify_as(&self.name, &inner, of, Role::Person, serial, &[])
    }

    /// A certificate that spells the issuer's name in this way.
    pub(crate) fn certify_by(&self, issuer: &[u8], of: &Self, serial: u8) -> Vec<u8> {
        let inner = algorithm(&ECDSA_SHA256);
        self.certify_as(issuer, &inner, of, Role::Person, serial, &[])
    }

    fn certify_as(
        &self,
        issuer: &[u8],
        inner: &[u8],
        of: &Self,
        role: Role,
        serial: u8,
        more: &[Vec<u8>],
    ) -> Vec<u8> {
        let validity = [&b"200101000000Z"[..], b"491231235959Z"].map(|time| tlv(0x17, time));
        let usage = match role {
            Role::Authority => CERT_AND_CRL_SIGN,
            Role::Lists => CRL_SIGN,
            Role::Person => DIGITAL_SIGNATURE,
        };
        let mut extensions = vec![extension(&KEY_USAGE, true, &tlv(0x03, &[1, usage]))];
        if role == Role::Authority {
            let is_ca = tlv(0x30, &tlv(0x01, &[0xff]));
            extensions.push(extension(&BASIC_CONSTRAINTS, true, &is_ca));
        }
        extensions.extend_from_slice(more);
        let tbs = sequence(&[
            tlv(0xa0, &tlv(0x02, &[2])),
            tlv(0x02, &[serial]),
            inner.to_vec(),
            issuer.to_vec(),
            sequence(&validity),
            of.name.clone(),
            of.public_key(),
            tlv(0xa3, &sequence(&extensions)),
        ]);
        self.signed(tbs, algorithm(&ECDSA_SHA256))
    }

    /// A list by this name, of the certificates with these serial numbers, in DER.
    pub(crate) fn list(&self, issuer: &[u8], serials: &[u8]) -> Vec<u8> {
        self.list_of(issuer, serials, "250101")
    }

    /// A list of certificates that were revoked on a day (`YYMMDD`).
    pub(crate) fn list_since(&self, serials: &[u8], day: &str) -> Vec<u8> {
        self.list_of(&self.name, serials, day)
    }

    fn list_of(&self, issuer: &[u8], serials: &[u8], day: &str) -> Vec<u8> {
        let revoked = serials.iter().map(|&serial| {
            let since = tlv(0x17, format!("{day}000000Z").as_bytes());
            sequence(&[tlv(0x02, &[serial]), since])
        });
        self.list_with(issuer, &revoked.collect::<Vec<_>>(), &[])
    }

    /// A list of these entries with these extensions.
    pub(crate) fn list_with(
        &self,
        issuer: &[u8],
        revoked: &[Vec<u8>],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let mut fields = vec![
            tlv(0x02, &[1]),
            algorithm(&ECDSA_SHA256),
            issuer.to_vec(),
            tlv(0x17, b"270101000000Z"),
            tlv(0x17, b"280101000000Z"),
        ];
        if !revoked.is_empty() {
            fields.push(sequence(revoked));
        }
        if !extensions.is_empty() {
            fields.push(tlv(0xa0, &sequence(extensions)));
        }
        self.signed(sequence(&fields), algorithm(&ECDSA_SHA256))
    }

    /// A CMS of a message, with these certificates and lists, in DER.
    pub(crate) fn cms(
        &self,
        message: &[u8],
        identifier: (&[u8], u8),
        certificates: &[Vec<u8>],
        lists: &[Vec<u8>],
    ) -> Vec<u8> {
        self.cms_of(&Parts {
            content: tlv(0x04, message),
            signed: message.to_vec(),
            attributes: None,
            unsigned: Vec::new(),
            identifier,
            certificates,
            lists,
        })
    }

    pub(crate) fn cms_of(&self, parts: &Parts<'_>) -> Vec<u8> {
        let (issuer, serial) = parts.identifier;
        let mut signer = vec![
            tlv(0x02, &[1]),
            sequence(&[issuer.to_vec(), tlv(0x02, &[serial])]),
            algorithm(&SHA256),
        ];
        signer.extend(parts.attributes.iter().map(|stored| tlv(0xa0, stored)));
        signer.push(algorithm(&ECDSA_SHA256));
        signer.push(tlv(0x04, &self.sign(&parts.signed)));
        if !parts.unsigned.is_empty() {
            signer.push(tlv(0xa1, &parts.unsigned));
        }
        let signed_data = sequence(&[
            tlv(0x02, &[1]),
            tlv(0x31, &algorithm(&SHA256)),
            if parts.content.is_empty() {
                sequence(&[oid(&DATA)])
            } else {
                sequence(&[oid(&DATA), tlv(0xa0, &parts.content)])
            },
            tlv(0xa0, &parts.certificates.concat()),
            tlv(0xa1, &parts.lists.concat()),
            tlv(0x31, &sequence(&signer)),
        ]);
        sequence(&[oid(&SIGNED_DATA), tlv(0xa0, &signed_data)])
    }
}

/// What a CMS is made of.
pub(crate) struct Parts<'a> {
    /// The content's encoding; empty if it is elsewhere.
    pub(crate) content: Vec<u8>,
    /// What is signed.
    pub(crate) signed: Vec<u8>,
    /// The signed attributes, as they are stored.
    pub(crate) attributes: Option<Vec<u8>>,
    /// The unsigned attributes.
    pub(crate) unsigned: Vec<u8>,
    /// The name of the signer's issuer, and the certificate's serial number.
    pub(crate) identifier: (&'a [u8], u8),
    pub(crate) certificates: &'a [Vec<u8>],
    pub(crate) lists: &'a [Vec<u8>],
}

/// An attribute with one value.
pub(crate) fn attribute(kind: &[u64], value: &[u8]) -> Vec<u8> {
    sequence(&[oid(kind), tlv(0x31, value)])
}
