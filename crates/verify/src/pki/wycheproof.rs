//! Project Wycheproof's vectors: what is invalid never holds, what is valid holds wherever the algorithm is known here.

use std::collections::BTreeMap;

use ::wycheproof::{HashFunction, TestResult, ecdsa, eddsa, rsa_pkcs1_verify, rsa_pss_verify};
use asn1_rs::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::AlgorithmIdentifier;
use super::ber::tlv;
use super::hash::Hash;
use super::public_key::verify;
use super::work::Work;

/// What was found, of how many vectors.
#[derive(Debug, Default)]
struct Found {
    right: usize,
    /// Acceptable ones, by whether they hold and their flags.
    acceptable: BTreeMap<(bool, String), usize>,
    /// Valid and acceptable ones that can't be judged, by set.
    unknown: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Found {
    #[expect(clippy::too_many_arguments, reason = "they are a vector's own")]
    fn judge(
        &mut self,
        set: &str,
        key: &[u8],
        algorithm: &AlgorithmIdentifier<'_>,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
        flags: &str,
    ) {
        let Ok((_, key)) = SubjectPublicKeyInfo::from_der(key) else {
            self.wrong.push(format!("{set}: no key"));
            return;
        };
        let held = verify(&key, algorithm, None, message, signature, &Work::new());
        match (held, expected) {
            (Ok(true), TestResult::Valid) | (Ok(false) | Err(_), TestResult::Invalid) => {
                self.right += 1;
            }
            (Ok(held), TestResult::Acceptable) => {
                let flags = flags.to_owned();
                *self.acceptable.entry((held, flags)).or_default() += 1;
            }
            (Err(_), _) => *self.unknown.entry(set.to_owned()).or_default() += 1,
            (Ok(held), _) => self.wrong.push(format!("{set}: {held} {flags}")),
        }
    }
}

fn named(oid: &str) -> AlgorithmIdentifier<'static> {
    AlgorithmIdentifier {
        oid: oid.to_owned(),
        parameters: None,
    }
}

/// The digest's place among the identifiers of NIST's register, by family: with RSA, ECDSA and by itself.
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
        _ => return None,
    })
}

/// `RSASSA-PSS-params` (RFC 8017 appendix A.2.3).
fn pss_parameters(hash: Hash, mask: Hash, salt_bytes: usize) -> Vec<u8> {
    let algorithm = |hash: Hash| tlv(0x30, &[hash.oid_der().unwrap(), &[5, 0]].concat());
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
    tlv(0x30, &members.concat())
}

#[test]
fn rsa_is_as_rfc_8017_says() {
    let mut found = Found::default();
    for name in rsa_pkcs1_verify::TestName::all() {
        let set = format!("{name:?}");
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let algorithm = digest(group.hash).map_or("0.0", |(_, oid, _)| oid);
            for test in &group.tests {
                let flags = format!("{:?}", test.flags);
                found.judge(
                    &set,
                    &group.der,
                    &named(algorithm),
                    &test.msg,
                    &test.sig,
                    test.result,
                    &flags,
                );
            }
        }
    }
    println!("{found:#?}");
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}

#[test]
fn pss_is_as_rfc_8017_says() {
    let mut found = Found::default();
    for name in rsa_pss_verify::TestName::all() {
        let set = format!("{name:?}");
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let hash = digest(group.hash).map(|(hash, _, _)| hash);
            let mask = group.mgf_hash.unwrap_or(group.hash);
            let mask = digest(mask).map(|(hash, _, _)| hash);
            let parameters = hash
                .zip(mask)
                .map(|(hash, mask)| pss_parameters(hash, mask, group.salt_size));
            let algorithm = AlgorithmIdentifier {
                oid: "1.2.840.113549.1.1.10".to_owned(),
                parameters: parameters.as_deref(),
            };
            for test in &group.tests {
                let flags = format!("{:?}", test.flags);
                found.judge(
                    &set,
                    &group.der,
                    &algorithm,
                    &test.msg,
                    &test.sig,
                    test.result,
                    &flags,
                );
            }
        }
    }
    println!("{found:#?}");
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}

#[test]
fn ecdsa_is_as_fips_186_says() {
    let mut found = Found::default();
    for name in ecdsa::TestName::all() {
        let set = format!("{name:?}");
        // These have `r` and `s` side by side, or rules of their own.
        if set.contains("P1363") || set.contains("Bitcoin") {
            continue;
        }
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let algorithm = digest(group.hash).map_or("0.0", |(_, _, oid)| oid);
            for test in &group.tests {
                let flags = format!("{:?}", test.flags);
                found.judge(
                    &set,
                    &group.der,
                    &named(algorithm),
                    &test.msg,
                    &test.sig,
                    test.result,
                    &flags,
                );
            }
        }
    }
    println!("{found:#?}");
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}

#[test]
fn eddsa_is_as_rfc_8032_says() {
    let mut found = Found::default();
    for name in eddsa::TestName::all() {
        let set = format!("{name:?}");
        for group in eddsa::TestSet::load(name).unwrap().test_groups {
            let algorithm = if set.contains("25519") {
                "1.3.101.112"
            } else {
                "1.3.101.113"
            };
            for test in &group.tests {
                let flags = format!("{:?}", test.flags);
                found.judge(
                    &set,
                    &group.der,
                    &named(algorithm),
                    &test.msg,
                    &test.sig,
                    test.result,
                    &flags,
                );
            }
        }
    }
    println!("{found:#?}");
    assert!(found.wrong.is_empty(), "{:#?}", found.wrong);
}
