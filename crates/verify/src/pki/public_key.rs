//! Verification of a signature under the public key of a certificate.

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::AlgorithmIdentifier;
use super::budget::{Budget, Exhausted};
use super::ecdsa::{Curve, Form};
use super::gost;
use super::hash::Hash;
use super::rsa::{self, PssParameters};

const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const ED25519: &str = "1.3.101.112";
const ED448: &str = "1.3.101.113";
const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
/// Fixed cost of each verification, and costs of algorithms.
const VERIFY_NS: u64 = 5_000;
const ED25519_NS: u64 = 100_000;
const ED448_NS: u64 = 2_000_000;
const GOST_256_NS: u64 = 3_000_000;
const GOST_512_NS: u64 = 12_000_000;
/// The error that a kind of key or signature is not supported, or needs more work than is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsupported;

impl From<Exhausted> for Unsupported {
    fn from(Exhausted: Exhausted) -> Self {
        Self
    }
}

/// The algorithm of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    Ec,
    Ed25519,
    Ed448,
    /// GOST R 34.10-2015 of Kazakhstan's authority.
    GostKazakh,
    /// GOST R 34.10-2012 by the identifiers of RFC 9215.
    Gost,
    Other,
}

/// The algorithm of this key.
pub(crate) fn kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    match key.algorithm.algorithm.to_id_string().as_str() {
        RSA | RSA_PSS => KeyKind::Rsa,
        EC => KeyKind::Ec,
        ED25519 => KeyKind::Ed25519,
        ED448 => KeyKind::Ed448,
        gost::RUSSIAN_256 | gost::RUSSIAN_512 => KeyKind::Gost,
        oid if gost::KAZAKH.contains(&oid) => KeyKind::GostKazakh,
        _ => KeyKind::Other,
    }
}

/// The signature scheme that an OID names. Nothing is guessed from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2), with the default digest if the OID names none.
    Pkcs1(Option<Hash>),
    /// RSASSA-PSS (RFC 8017 section 8.1).
    Pss,
    /// ECDSA, with the default digest if the OID names none.
    Ecdsa(Option<Hash>, Form),
    Ed25519,
    Ed448,
    /// Kazakhstan's GOST, with Streebog of 512 bits.
    GostKazakh,
    /// GOST with Streebog of as many bits as the key has. Without a digest if the OID is that of a key.
    Gost(Option<Hash>),
}

impl Scheme {
    fn named(oid: &str) -> Option<Self> {
        Some(match oid {
            RSA => Self::Pkcs1(None),
            // OIDs of OIW and of RFC 8017 appendix C.
            "1.3.14.3.2.29" | "1.2.840.113549.1.1.5" => Self::Pkcs1(Some(Hash::Sha1)),
            "1.2.840.113549.1.1.14" => Self::Pkcs1(Some(Hash::Sha224)),
            "1.2.840.113549.1.1.11" => Self::Pkcs1(Some(Hash::Sha256)),
            "1.2.840.113549.1.1.12" => Self::Pkcs1(Some(Hash::Sha384)),
            "1.2.840.113549.1.1.13" => Self::Pkcs1(Some(Hash::Sha512)),
            "1.2.840.113549.1.1.15" => Self::Pkcs1(Some(Hash::Sha512_224)),
            "1.2.840.113549.1.1.16" => Self::Pkcs1(Some(Hash::Sha512_256)),
            // OIDs of NIST's register of algorithms.
            "2.16.840.1.101.3.4.3.13" => Self::Pkcs1(Some(Hash::Sha3_224)),
            "2.16.840.1.101.3.4.3.14" => Self::Pkcs1(Some(Hash::Sha3_256)),
            "2.16.840.1.101.3.4.3.15" => Self::Pkcs1(Some(Hash::Sha3_384)),
            "2.16.840.1.101.3.4.3.16" => Self::Pkcs1(Some(Hash::Sha3_512)),
            RSA_PSS => Self::Pss,
            ED25519 => Self::Ed25519,
            ED448 => Self::Ed448,
            gost::RUSSIAN_256 | gost::RUSSIAN_512 => Self::Gost(None),
            // RFC 9215 section 2.
            "1.2.643.7.1.1.3.2" => Self::Gost(Some(Hash::Streebog256)),
            "1.2.643.7.1.1.3.3" => Self::Gost(Some(Hash::Streebog512)),
            oid if gost::KAZAKH.contains(&oid) => Self::GostKazakh,
            // Some signers give the OID of the key's algorithm.
            EC => Self::Ecdsa(None, Form::Der),
            oid => {
                let (hash, form) = ecdsa_with(oid)?;
                Self::Ecdsa(Some(hash), form)
            }
        })
    }

    /// The digest that the OID names.
    fn hash(self) -> Option<Hash> {
        match self {
            Self::Pkcs1(hash) | Self::Ecdsa(hash, _) | Self::Gost(hash) => hash,
            Self::Pss | Self::Ed25519 | Self::Ed448 | Self::GostKazakh => None,
        }
    }
}

/// The digest of an OID of ECDSA, and the form of its signatures.
fn ecdsa_with(oid: &str) -> Option<(Hash, Form)> {
    // BSI TR-03111 section 5.2.1.1.
    if let Some(plain) = oid.strip_prefix("0.4.0.127.0.7.1.1.4.1.") {
        let hash = match plain {
            "1" => Hash::Sha1,
            "2" => Hash::Sha224,
            "3" => Hash::Sha256,
            "4" => Hash::Sha384,
            "5" => Hash::Sha512,
            "8" => Hash::Sha3_224,
            "9" => Hash::Sha3_256,
            "10" => Hash::Sha3_384,
            "11" => Hash::Sha3_512,
            _ => return None,
        };
        return Some((hash, Form::Plain));
    }
    let hash = match oid {
        // RFC 5758 section 3.2.
        "1.2.840.10045.4.1" => Hash::Sha1,
        "1.2.840.10045.4.3.1" => Hash::Sha224,
        "1.2.840.10045.4.3.2" => Hash::Sha256,
        "1.2.840.10045.4.3.3" => Hash::Sha384,
        "1.2.840.10045.4.3.4" => Hash::Sha512,
        // OIDs of NIST's register of algorithms.
        "2.16.840.1.101.3.4.3.9" => Hash::Sha3_224,
        "2.16.840.1.101.3.4.3.10" => Hash::Sha3_256,
        "2.16.840.1.101.3.4.3.11" => Hash::Sha3_384,
        "2.16.840.1.101.3.4.3.12" => Hash::Sha3_512,
        // RFC 8692 section 4.
        "1.3.6.1.5.5.7.6.32" => Hash::Shake128,
        "1.3.6.1.5.5.7.6.33" => Hash::Shake256,
        _ => return None,
    };
    Some((hash, Form::Der))
}

/// Whether a signature of `message` by this algorithm holds. `default` is the digest if the algorithm names none.
///
/// A signature by an algorithm that does not fit the key does not hold.
///
/// # Errors
///
/// [`Unsupported`] if the signature can't be judged.
pub(crate) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    default: Option<Hash>,
    message: &[u8],
    signature: &[u8],
    budget: &Budget,
) -> Result<bool, Unsupported> {
    budget.spend(VERIFY_NS)?;
    let bits = &key.subject_public_key.data;
    match (Scheme::named(&algorithm.oid).ok_or(Unsupported)?, kind(key)) {
        (_, KeyKind::Other) => Err(Unsupported),
        (Scheme::GostKazakh, KeyKind::GostKazakh) => {
            verify_gost(key, Hash::Streebog512, message, signature, budget)
        }
        (Scheme::Gost(named), KeyKind::Gost) => {
            let hash = named.or(default).ok_or(Unsupported)?;
            verify_gost(key, hash, message, signature, budget)
        }
        (Scheme::Ed25519, KeyKind::Ed25519) => {
            budget.spend(ED25519_NS)?;
            budget.spend_hash(Hash::Sha512, message.len())?;
            let key = UnparsedPublicKey::new(&signature::ED25519, bits);
            Ok(key.verify(message, signature).is_ok())
        }
        (Scheme::Ed448, KeyKind::Ed448) => {
            budget.spend(ED448_NS)?;
            budget.spend_hash(Hash::Shake256, message.len())?;
            Ok(ed448_holds(bits, message, signature))
        }
        (Scheme::Ecdsa(named, form), KeyKind::Ec) => {
            let curve = Curve::of(key).ok_or(Unsupported)?;
            let hash = named.or(default).ok_or(Unsupported)?;
            budget.spend(curve.cost_ns())?;
            budget.spend_hash(hash, message.len())?;
            Ok(curve.verify(bits, &hash.digest(message), form, signature))
        }
        // A key for PSS signs nothing else (RFC 4055 section 1.2).
        (Scheme::Pkcs1(named), KeyKind::Rsa) if !is_for_pss(key) => {
            let rsa = rsa::key(key).ok_or(Unsupported)?;
            let hash = named.or(default).ok_or(Unsupported)?;
            // Some signers use one digest throughout, and name another in the signature's algorithm.
            let other = default.filter(|default| *default != hash);
            match (
                rsa::pkcs1(&rsa, bits, hash, message, signature, budget)?,
                other,
            ) {
                (false, Some(other)) => rsa::pkcs1(&rsa, bits, other, message, signature, budget),
                (held, _) => Ok(held),
            }
        }
        (Scheme::Pss, KeyKind::Rsa) => {
            let rsa = rsa::key(key).ok_or(Unsupported)?;
            let parameters = algorithm.parameters.ok_or(Unsupported)?;
            let parameters = PssParameters::read(parameters).ok_or(Unsupported)?;
            let demanded = key.algorithm.parameters.as_ref();
            let demanded = demanded.filter(|_| is_for_pss(key));
            if let Some(demanded) = demanded
                && !parameters.obey(demanded).ok_or(Unsupported)?
            {
                return Ok(false);
            }
            rsa::pss(&rsa, &parameters, message, signature, budget)
        }
        _ => Ok(false),
    }
}

/// Verifies GOST R 34.10, with a digest as long as the numbers of the key's curve.
fn verify_gost(
    key: &SubjectPublicKeyInfo<'_>,
    hash: Hash,
    message: &[u8],
    signature: &[u8],
    budget: &Budget,
) -> Result<bool, Unsupported> {
    let key = gost::Key::read(key).ok_or(Unsupported)?;
    if !hash.is_streebog() || hash.digest_bytes() != key.bytes() {
        return Ok(false);
    }
    budget.spend(match hash {
        Hash::Streebog256 => GOST_256_NS,
        _ => GOST_512_NS,
    })?;
    budget.spend_hash(hash, message.len())?;
    Ok(key.verify(&hash.digest(message), signature))
}

/// Verifies Ed448 without a context (RFC 8032 section 5.2.7).
fn ed448_holds(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = crrl::ed448::PublicKey::decode(key);
    key.is_some_and(|key| key.verify_raw(signature, message))
}

/// Whether an RSA key is restricted to PSS.
fn is_for_pss(key: &SubjectPublicKeyInfo<'_>) -> bool {
    key.algorithm.algorithm.to_id_string() == RSA_PSS
}

/// Whether a signature with such a key and algorithm is too weak to prove anything today, although it may verify: it
/// can be forged.
pub(crate) fn is_weak(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    default: Option<Hash>,
) -> bool {
    let hash = if algorithm.oid == RSA_PSS {
        let parameters = algorithm.parameters.and_then(PssParameters::read);
        parameters.map(|parameters| parameters.hash)
    } else {
        Scheme::named(&algorithm.oid).and_then(Scheme::hash)
    };
    let weak_hash = [hash, default].iter().flatten().any(|hash| hash.is_weak());
    let small = kind(key) == KeyKind::Rsa && rsa::key(key).is_none_or(|rsa| rsa::is_small(&rsa));
    weak_hash || small
}
