//! Tests with Project Wycheproof's vectors: invalid signatures never hold, and valid ones hold if the algorithm is
//! supported.

use std::collections::BTreeSet;
use std::fmt::Debug;

use ::wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
use asn1_rs::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::AlgorithmIdentifier;
use super::ber::tlv;
use super::budget::Budget;
use super::hash::Hash;
use super::public_key::{Unsupported, verify};

/// Names of test sets that are not supported: curves, SHAKE as a mask, and SHAKE without an OID for this form of
/// signature.
const UNKNOWN: [&str; 11] = [
    "Brainpool224",
    "Brainpool320",
    "Secp160",
    "Secp192",
    "Secp224",
    "Secp256k1",
    "RsaPss2048Shake",
    "RsaPss3072Shake",
    "RsaPss4096Shake",
    "Shake128P1363",
    "Shake256P1363",
];

/// The results.
#[derive(Debug, Default)]
struct Tally {
    right: usize,
    /// Vectors of unsupported curves and digests that are not invalid.
    not_known: usize,
    /// Acceptable vectors: whether they hold, and the flags that say why they need not.
    acceptable: BTreeSet<(bool, String)>,
    /// Sets with unsupported vectors that are not invalid.
    unknown: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(
        &mut self,
        set: &str,
        held: Result<bool, Unsupported>,
        expected: TestResult,
        flags: impl Debug,
    ) {
        match (held, expected) {
            (Ok(true), TestResult::Valid) | (Ok(false) | Err(_), TestResult::Invalid) => {
                self.right += 1;
            }
            (Ok(held), TestResult::Acceptable) => {
                self.acceptable.insert((held, format!("{flags:?}")));
            }
            (Err(_), _) => {
                self.not_known += 1;
                self.unknown.insert(set.to_owned());
            }
            (Ok(held), _) => self.wrong.push(format!("{set}: {held} {flags:?}")),
        }
    }

    /// Checks that no result is wrong, and that only sets of `UNKNOWN` are unsupported.
    #[track_caller]
    fn check(&self, right: usize, acceptable: &[(bool, &str)]) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        let is_known = |set: &&String| !UNKNOWN.iter().any(|unknown| set.contains(unknown));
        let missed: Vec<_> = self.unknown.iter().filter(is_known).collect();
        assert!(missed.is_empty(), "{missed:?}");
        let found = self.acceptable.iter();
        let found: Vec<_> = found.map(|(held, flags)| (*held, flags.as_str())).collect();
        assert_eq!(found, acceptable);
        assert_eq!(self.right, right);
        self.tell();
    }

    /// Prints the number of results of each kind, for `tests/conformance/run.sh`.
    #[expect(
        clippy::print_stdout,
        reason = "the table is for people who ask for it"
    )]
    fn tell(&self) {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        let test = test.rsplit("::").next().unwrap_or_default();
        let suite = test.replace('_', " ");
        let known = self.right + self.acceptable.len() + self.wrong.len();
        println!("| Wycheproof: {suite} | {} | {known} |", self.right);
        if self.not_known > 0 {
            let not_known = self.not_known;
            println!("| Wycheproof: {suite}, by what is not known here | 0 | {not_known} |");
        }
    }
}

/// Judges all vectors of a suite that are not skipped, each with the OID and the parameters of an algorithm.
macro_rules! judge {
    ($suite:ident, $skip:expr, |$set:ident, $group:ident| $algorithm:expr) => {{
        let mut found = Tally::default();
        for name in $suite::TestName::all() {
            let $set = format!("{name:?}");
            if $skip(&$set) {
                continue;
            }
            for $group in $suite::TestSet::load(name).unwrap().test_groups {
                let (oid, parameters): (&str, Option<Vec<u8>>) = $algorithm;
                let algorithm = AlgorithmIdentifier {
                    oid: oid.to_owned(),
                    parameters: parameters.as_deref(),
                };
                let (_, key) = SubjectPublicKeyInfo::from_der(&$group.der).unwrap();
                for test in &$group.tests {
                    let budget = Budget::new();
                    let held = verify(&key, &algorithm, None, &test.msg, &test.sig, &budget);
                    found.add(&$set, held, test.result, &test.flags);
                }
            }
        }
        found
    }};
}

/// A digest, and the OIDs of signatures with it by RSA and ECDSA, or `NO_ALGORITHM` if there is none.
fn digest(hash: HashFunction) -> Option<(Hash, &'static str, &'static str)> {
    Some(match hash {
        HashFunction::Sha1 => (Hash::Sha1, "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"),
        HashFunction::Sha2_224 => (Hash::Sha224, "1.2.840.113549.1.1.14", "1.2.840.10045.4.3.1"),
        HashFunction::Sha2_256 => (Hash::Sha256, "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"),
        HashFunction::Sha2_384 => (Hash::Sha384, "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"),
        HashFunction::Sha2_512 => (Hash::Sha512, "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"),
        HashFunction::Sha3_224 => (
            Hash::Sha3_224,
            "2.16.840.1.101.3.4.3.13",
            "2.16.840.1.101.3.4.3.9",
        ),
        HashFunction::Sha3_256 => (
            Hash::Sha3_256,
            "2.16.840.1.101.3.4.3.14",
            "2.16.840.1.101.3.4.3.10",
        ),
        HashFunction::Sha3_384 => (
            Hash::Sha3_384,
            "2.16.840.1.101.3.4.3.15",
            "2.16.840.1.101.3.4.3.11",
        ),
        HashFunction::Sha3_512 => (
            Hash::Sha3_512,
            "2.16.840.1.101.3.4.3.16",
            "2.16.840.1.101.3.4.3.12",
        ),
        HashFunction::Sha2_512_224 => (Hash::Sha512_224, "1.2.840.113549.1.1.15", NO_ALGORITHM),
        HashFunction::Sha2_512_256 => (Hash::Sha512_256, "1.2.840.113549.1.1.16", NO_ALGORITHM),
        HashFunction::Shake128 => (Hash::Shake128, NO_ALGORITHM, "1.3.6.1.5.5.7.6.32"),
        HashFunction::Shake256 => (Hash::Shake256, NO_ALGORITHM, "1.3.6.1.5.5.7.6.33"),
    })
}

/// The OID of plain ECDSA with a digest; none if there is none here.
fn plain(hash: HashFunction) -> Option<&'static str> {
    Some(match hash {
        HashFunction::Sha2_224 => "0.4.0.127.0.7.1.1.4.1.2",
        HashFunction::Sha2_256 => "0.4.0.127.0.7.1.1.4.1.3",
        HashFunction::Sha2_384 => "0.4.0.127.0.7.1.1.4.1.4",
        HashFunction::Sha2_512 => "0.4.0.127.0.7.1.1.4.1.5",
        _ => return None,
    })
}

/// Encodes `RSASSA-PSS-params` (RFC 8017 appendix A.2.3).
fn pss_parameters(hash: Hash, mask: Hash, salt_bytes: usize) -> Option<Vec<u8>> {
    let [hash, mask] = [hash.oid_der()?, mask.oid_der()?];
    let algorithm = |oid: &[u8]| tlv(0x30, &[oid, &[5, 0]].concat());
    const MGF1: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 8];
    let mask = tlv(0x30, &[&MGF1[..], &algorithm(mask)].concat());
    let salt = u16::try_from(salt_bytes).unwrap().to_be_bytes();
    let salt = if salt[0] == 0 && salt[1] < 0x80 {
        &salt[1..]
    } else {
        &salt[..]
    };
    let members = [
        tlv(0xa0, &algorithm(hash)),
        tlv(0xa1, &mask),
        tlv(0xa2, &tlv(0x02, salt)),
    ];
    Some(tlv(0x30, &members.concat()))
}

const NO_ALGORITHM: &str = "0.0";

fn none(_: &str) -> bool {
    false
}

#[test]
fn rsa_is_as_rfc_8017_says() {
    let found = judge!(rsa_pkcs1_verify, none, |set, group| {
        (
            digest(group.hash).map_or(NO_ALGORITHM, |(_, oid, _)| oid),
            None,
        )
    });
    // Some signers omit the parameters of a digest.
    found.check(6178, &[(true, "[MissingNull]")]);
}

#[test]
fn pss_is_as_rfc_8017_says() {
    let found = judge!(rsa_pss_verify, none, |set, group| {
        let hash = digest(group.hash).map(|(hash, _, _)| hash);
        let mask = digest(group.mgf_hash.unwrap_or(group.hash)).map(|(hash, _, _)| hash);
        let parameters = hash.zip(mask);
        let parameters =
            parameters.and_then(|(hash, mask)| pss_parameters(hash, mask, group.salt_size));
        ("1.2.840.113549.1.1.10", parameters)
    });
    found.check(2945, &[]);
}

/// `r` and `s` in DER.
#[test]
fn ecdsa_is_as_fips_186_says() {
    let skipped = |set: &str| set.contains("P1363") || set.contains("Bitcoin");
    let found = judge!(ecdsa, skipped, |set, group| {
        (
            digest(group.hash).map_or(NO_ALGORITHM, |(_, _, oid)| oid),
            None,
        )
    });
    found.check(17715, &[]);
}

/// `r` and `s` concatenated, as in BSI's form and in XML.
#[test]
fn plain_ecdsa_is_as_bsi_says() {
    let skipped = |set: &str| !set.contains("P1363");
    let found = judge!(ecdsa, skipped, |set, group| {
        (plain(group.hash).unwrap_or(NO_ALGORITHM), None)
    });
    found.check(4096, &[]);
}

#[test]
fn eddsa_is_as_rfc_8032_says() {
    let found = judge!(eddsa, none, |set, group| {
        let is_known = set.contains("25519");
        (
            if is_known {
                "1.3.101.112"
            } else {
                "1.3.101.113"
            },
            None,
        )
    });
    found.check(238, &[]);
}
