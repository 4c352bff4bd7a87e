//! An authority for tests. It makes certificates, revocation lists and signatures, correct or wrong ones.

use asn1_rs::Oid;
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::ber::tlv;

pub(crate) const SIGNED_DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 2];
pub(crate) const DATA: [u64; 7] = [1, 2, 840, 113_549, 1, 7, 1];
pub(crate) const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const ECDSA_SHA1: [u64; 6] = [1, 2, 840, 10045, 4, 1];
const ECDSA_SHA384: [u64; 7] = [1, 2, 840, 10045, 4, 3, 3];
const EC: [u64; 6] = [1, 2, 840, 10045, 2, 1];
const P256: [u64; 7] = [1, 2, 840, 10045, 3, 1, 7];
const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];

/// The middle of 2026, in milliseconds since 1970. Everything is valid then.
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

/// A name with one part, the common name, as a string with this tag.
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

/// A key and the name of its holder.
pub(crate) struct Party {
    pub(crate) name: Vec<u8>,
    key: EcdsaKeyPair,
}

/// Bits of `KeyUsage`, the first one highest.
const CERT_AND_CRL_SIGN: u8 = 0b0000_0110;
const CRL_SIGN: u8 = 0b0000_0010;
const DIGITAL_SIGNATURE: u8 = 0b1000_0000;

/// The purpose of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Authority,
    Lists,
    Person,
}

/// A trusted root, and a person with a certificate of it.
pub(crate) struct Pki {
    pub(crate) root: Party,
    pub(crate) anchor: Vec<u8>,
    pub(crate) person: Party,
    pub(crate) certificate: Vec<u8>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let root = Party::new(name(UTF8, "Test Root"));
        let person = Party::new(name(UTF8, "Somebody"));
        Self {
            anchor: root.certify(&root, Role::Authority, 1),
            certificate: root.certify(&person, Role::Person, 2),
            root,
            person,
        }
    }
}

impl Party {
    pub(crate) fn new(name: Vec<u8>) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { name, key }
    }

    /// A party with this key, which is in PKCS #8.
    pub(crate) fn with_key(name: Vec<u8>, key: &[u8]) -> Self {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).unwrap();
        Self { name, key }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let value = self.key.sign(&SystemRandom::new(), message).unwrap();
        value.as_ref().to_vec()
    }

    /// The public key, as encoded in certificates.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let key = [&[0], self.key.public_key().as_ref()].concat();
        sequence(&[sequence(&[oid(&EC), oid(&P256)]), tlv(0x03, &key)])
    }

    /// The signed part, its algorithm, and a signature of it.
    pub(crate) fn signed(&self, tbs: Vec<u8>, algorithm: Vec<u8>) -> Vec<u8> {
        let value = [vec![0], self.sign(&tbs)].concat();
        sequence(&[tbs, algorithm, tlv(0x03, &value)])
    }

    /// A certificate for a party, in DER.
    pub(crate) fn certify(&self, of: &Self, role: Role, serial: u8) -> Vec<u8> {
        self.certify_with(of, role, serial, &[])
    }

    /// Like [`Self::certify`], with more extensions.
    pub(crate) fn certify_with(
        &self,
        of: &Self,
        role: Role,
        serial: u8,
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let terms = Terms::of(&self.name, extensions);
        self.certify_as(of, role, serial, &terms)
    }

    /// Like [`Self::certify_with`], valid from one time to another.
    pub(crate) fn certify_for(
        &self,
        of: &Self,
        role: Role,
        serial: u8,
        extensions: &[Vec<u8>],
        validity: [Vec<u8>; 2],
    ) -> Vec<u8> {
        let terms = Terms {
            validity,
            ..Terms::of(&self.name, extensions)
        };
        self.certify_as(of, role, serial, &terms)
    }

    /// A certificate whose signed part names another algorithm than the one that it is signed with.
    pub(crate) fn certify_with_two_algorithms(&self, of: &Self, serial: u8) -> Vec<u8> {
        let terms = Terms {
            algorithm: algorithm(&ECDSA_SHA384),
            ..Terms::of(&self.name, &[])
        };
        self.certify_as(of, Role::Person, serial, &terms)
    }

    /// A certificate of version 1, which has no extensions.
    pub(crate) fn certify_in_version_1(&self, of: &Self, serial: u8) -> Vec<u8> {
        let terms = Terms::of(&self.name, &[]);
        self.certify_over([&[], &[]], of, serial, &terms)
    }

    /// A certificate that has this spelling of the issuer's name.
    pub(crate) fn certify_by(&self, issuer: &[u8], of: &Self, serial: u8) -> Vec<u8> {
        self.certify_as(of, Role::Person, serial, &Terms::of(issuer, &[]))
    }

    fn certify_as(&self, of: &Self, role: Role, serial: u8, terms: &Terms<'_>) -> Vec<u8> {
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
        extensions.extend_from_slice(terms.extensions);
        let [version, extensions] = [
            tlv(0xa0, &tlv(0x02, &[2])),
            tlv(0xa3, &sequence(&extensions)),
        ];
        self.certify_over([&version, &extensions], of, serial, terms)
    }

    /// A certificate with this encoded version, and these encoded extensions.
    fn certify_over(
        &self,
        [version, extensions]: [&[u8]; 2],
        of: &Self,
        serial: u8,
        terms: &Terms<'_>,
    ) -> Vec<u8> {
        let tbs = sequence(&[
            version.to_vec(),
            tlv(0x02, &[serial]),
            terms.algorithm.clone(),
            terms.issuer.to_vec(),
            sequence(&terms.validity),
            of.name.clone(),
            of.public_key(),
            extensions.to_vec(),
        ]);
        self.signed(tbs, algorithm(&ECDSA_SHA256))
    }

    /// A revocation list in this issuer's name, of the certificates with these serial numbers, in DER.
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

    /// A list with these entries and these extensions.
    pub(crate) fn list_with(
        &self,
        issuer: &[u8],
        revoked: &[Vec<u8>],
        extensions: &[Vec<u8>],
    ) -> Vec<u8> {
        let tbs = inside_of_list(issuer, algorithm(&ECDSA_SHA256), revoked, extensions, DAYS);
        self.signed(tbs, algorithm(&ECDSA_SHA256))
    }

    /// A list of these entries that was made on a day (`YYMMDD`) and is valid until another.
    pub(crate) fn list_for(&self, revoked: &[Vec<u8>], days: [&str; 2]) -> Vec<u8> {
        let tbs = inside_of_list(&self.name, algorithm(&ECDSA_SHA256), revoked, &[], days);
        self.signed(tbs, algorithm(&ECDSA_SHA256))
    }

    /// A list of these entries whose signed part names another algorithm than the one that it is signed with.
    pub(crate) fn list_with_two_algorithms(&self, revoked: &[Vec<u8>]) -> Vec<u8> {
        let tbs = inside_of_list(&self.name, algorithm(&ECDSA_SHA384), revoked, &[], DAYS);
        self.signed(tbs, algorithm(&ECDSA_SHA256))
    }

    /// A list of these entries that is signed with SHA-1.
    pub(crate) fn weak_list(&self, revoked: &[Vec<u8>]) -> Vec<u8> {
        let named = algorithm(&ECDSA_SHA1);
        let tbs = inside_of_list(&self.name, named.clone(), revoked, &[], DAYS);
        // ECDSA takes a digest as a number, whose length does not matter.
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &tbs);
        let number = [&[0; 12], sha1.as_ref()].concat();
        let number = digest::Digest::import_less_safe(&number, &digest::SHA256).unwrap();
        let value = self.key.sign_digest(&number).unwrap();
        let value = [&[0], value.as_ref()].concat();
        sequence(&[tbs, named, tlv(0x03, &value)])
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

/// The beginning of a day (`YYMMDD`), encoded.
pub(crate) fn day(day: &str) -> Vec<u8> {
    tlv(0x17, format!("{day}000000Z").as_bytes())
}

/// The days from which and until which lists are valid.
const DAYS: [&str; 2] = ["270101", "280101"];

/// The contents of a certificate besides its holder.
struct Terms<'a> {
    issuer: &'a [u8],
    /// The algorithm that its signed part names.
    algorithm: Vec<u8>,
    /// The first and the last time at which it is valid, as encoded.
    validity: [Vec<u8>; 2],
    extensions: &'a [Vec<u8>],
}

impl<'a> Terms<'a> {
    fn of(issuer: &'a [u8], extensions: &'a [Vec<u8>]) -> Self {
        Self {
            issuer,
            algorithm: algorithm(&ECDSA_SHA256),
            validity: ["200101", "491231"].map(day),
            extensions,
        }
    }
}

/// The signed part of a list.
fn inside_of_list(
    issuer: &[u8],
    algorithm: Vec<u8>,
    revoked: &[Vec<u8>],
    extensions: &[Vec<u8>],
    [made, next]: [&str; 2],
) -> Vec<u8> {
    let mut fields = vec![
        tlv(0x02, &[1]),
        algorithm,
        issuer.to_vec(),
        day(made),
        day(next),
    ];
    if !revoked.is_empty() {
        fields.push(sequence(revoked));
    }
    if !extensions.is_empty() {
        fields.push(tlv(0xa0, &sequence(extensions)));
    }
    sequence(&fields)
}

/// The parts of a CMS.
pub(crate) struct Parts<'a> {
    /// The encoded content; empty if the signature is detached.
    pub(crate) content: Vec<u8>,
    /// The bytes to sign.
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
