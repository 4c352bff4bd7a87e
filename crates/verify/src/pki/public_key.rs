//! Whether a signature holds under the public key of a certificate.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::AlgorithmIdentifier;
use super::ber::Reader;
use super::gost;
use super::hash::Hash;
use super::rsa::{self, PssParameters};
use super::work::{Exhausted, Work};

const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const ED25519: &str = "1.3.101.112";
const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
/// Keys by GOST R 34.10-2015 with 512 bits of Kazakhstan's authority, and what it calls signatures with them.
const GOST: [&str; 2] = ["1.2.398.3.10.1.1.2.2", "1.2.398.3.10.1.1.2.3.2"];
/// What there is to do for each verification.
const VERIFY_NS: u64 = 5_000;
const ED25519_NS: u64 = 100_000;
const P256_NS: u64 = 100_000;
const P384_NS: u64 = 500_000;
const P521_NS: u64 = 800_000;
const GOST_NS: u64 = 6_000_000;
/// The kind of key or signature is not known here, or asks for more work than is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsupported;

impl From<Exhausted> for Unsupported {
    fn from(Exhausted: Exhausted) -> Self {
        Self
    }
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    Ec,
    Ed25519,
    Gost,
    Other,
}

/// What this key is for.
pub(crate) fn kind(key: &SubjectPublicKeyInfo<'_>) -> KeyKind {
    match key.algorithm.algorithm.to_id_string().as_str() {
        RSA | RSA_PSS => KeyKind::Rsa,
        EC => KeyKind::Ec,
        ED25519 => KeyKind::Ed25519,
        oid if GOST.contains(&oid) => KeyKind::Gost,
        _ => KeyKind::Other,
    }
}

/// A curve of NIST (RFC 5480 section 2.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The curve of an EC key; none where it is not known.
    fn of(key: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let parameters = key.algorithm.parameters.as_ref()?;
        Some(match parameters.as_oid().ok()?.to_id_string().as_str() {
            "1.2.840.10045.3.1.7" => Self::P256,
            "1.3.132.0.34" => Self::P384,
            "1.3.132.0.35" => Self::P521,
            _ => return None,
        })
    }

    /// Bytes of a number of its field.
    fn field_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn cost_ns(self) -> u64 {
        match self {
            Self::P256 => P256_NS,
            Self::P384 => P384_NS,
            Self::P521 => P521_NS,
        }
    }

    /// Whether a signature of a digest holds. ECDSA takes the leftmost bits of a digest, as many as the order of the curve has,
    /// as a number (FIPS 186-5 section 6.4.2): so any digest is one of the length that the library knows for the curve.
    fn verify(self, key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
        let (algorithm, known): (&'static dyn VerificationAlgorithm, _) = match self {
            Self::P256 => (&signature::ECDSA_P256_SHA256_ASN1, &digest::SHA256),
            Self::P384 => (&signature::ECDSA_P384_SHA384_ASN1, &digest::SHA384),
            Self::P521 => (&signature::ECDSA_P521_SHA512_ASN1, &digest::SHA512),
        };
        let bytes = known.output_len();
        let taken = &digest[..digest.len().min(bytes)];
        let mut number = vec![0; bytes - taken.len()];
        number.extend_from_slice(taken);
        let Ok(number) = Digest::import_less_safe(&number, known) else {
            return false;
        };
        let key = UnparsedPublicKey::new(algorithm, key);
        key.verify_digest(&number, signature).is_ok()
    }
}

/// Bytes of a number of an EC key's curve, where it is a known one.
pub(crate) fn field_bytes(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    Curve::of(key).map(Curve::field_bytes)
}

/// What the identifier of a signature's algorithm says, and nothing that is guessed from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2), with the digest of the signature where the identifier names none.
    Pkcs1(Option<Hash>),
    /// RSASSA-PSS (RFC 8017 section 8.1).
    Pss,
    /// ECDSA with `r` and `s` in DER (RFC 3279 section 2.2.3), with the digest of the signature where it names none.
    Ecdsa(Option<Hash>),
    Ed25519,
    Gost,
}

impl Scheme {
    fn named(oid: &str) -> Option<Self> {
        Some(match oid {
            RSA => Self::Pkcs1(None),
            // By OIW, and by RFC 8017 appendix C.
            "1.3.14.3.2.29" | "1.2.840.113549.1.1.5" => Self::Pkcs1(Some(Hash::Sha1)),
            "1.2.840.113549.1.1.14" => Self::Pkcs1(Some(Hash::Sha224)),
            "1.2.840.113549.1.1.11" => Self::Pkcs1(Some(Hash::Sha256)),
            "1.2.840.113549.1.1.12" => Self::Pkcs1(Some(Hash::Sha384)),
            "1.2.840.113549.1.1.13" => Self::Pkcs1(Some(Hash::Sha512)),
            // By NIST's register of algorithms.
            "2.16.840.1.101.3.4.3.13" => Self::Pkcs1(Some(Hash::Sha3_224)),
            "2.16.840.1.101.3.4.3.14" => Self::Pkcs1(Some(Hash::Sha3_256)),
            "2.16.840.1.101.3.4.3.15" => Self::Pkcs1(Some(Hash::Sha3_384)),
            "2.16.840.1.101.3.4.3.16" => Self::Pkcs1(Some(Hash::Sha3_512)),
            RSA_PSS => Self::Pss,
            // Some signers name the kind of the key.
            EC => Self::Ecdsa(None),
            // RFC 5758 section 3.2.
            "1.2.840.10045.4.1" => Self::Ecdsa(Some(Hash::Sha1)),
            "1.2.840.10045.4.3.1" => Self::Ecdsa(Some(Hash::Sha224)),
            "1.2.840.10045.4.3.2" => Self::Ecdsa(Some(Hash::Sha256)),
            "1.2.840.10045.4.3.3" => Self::Ecdsa(Some(Hash::Sha384)),
            "1.2.840.10045.4.3.4" => Self::Ecdsa(Some(Hash::Sha512)),
            "2.16.840.1.101.3.4.3.9" => Self::Ecdsa(Some(Hash::Sha3_224)),
            "2.16.840.1.101.3.4.3.10" => Self::Ecdsa(Some(Hash::Sha3_256)),
            "2.16.840.1.101.3.4.3.11" => Self::Ecdsa(Some(Hash::Sha3_384)),
            "2.16.840.1.101.3.4.3.12" => Self::Ecdsa(Some(Hash::Sha3_512)),
            ED25519 => Self::Ed25519,
            oid if GOST.contains(&oid) => Self::Gost,
            _ => return None,
        })
    }

    /// The digest that it names.
    fn hash(self) -> Option<Hash> {
        match self {
            Self::Pkcs1(hash) | Self::Ecdsa(hash) => hash,
            Self::Pss | Self::Ed25519 | Self::Gost => None,
        }
    }
}

/// Whether a signature of `message` by this algorithm holds. `default` is the digest where the algorithm names none. One by an
/// algorithm that the key is not for does not hold.
///
/// # Errors
///
/// [`Unsupported`], where nothing can be said.
pub(crate) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    default: Option<Hash>,
    message: &[u8],
    signature: &[u8],
    work: &Work,
) -> Result<bool, Unsupported> {
    work.spend(VERIFY_NS)?;
    let bits = &key.subject_public_key.data;
    match (Scheme::named(&algorithm.oid).ok_or(Unsupported)?, kind(key)) {
        (_, KeyKind::Other) => Err(Unsupported),
        (Scheme::Gost, KeyKind::Gost) => {
            work.spend(GOST_NS)?;
            work.spend_hash(Hash::Streebog512, message.len())?;
            let digest = Hash::Streebog512.digest(message);
            let point = Reader::new(bits).next().ok().flatten();
            let point = point.ok_or(Unsupported)?;
            Ok(gost::verify(point.content(), &digest, signature))
        }
        (Scheme::Ed25519, KeyKind::Ed25519) => {
            work.spend(ED25519_NS)?;
            work.spend_hash(Hash::Sha512, message.len())?;
            let key = UnparsedPublicKey::new(&signature::ED25519, bits);
            Ok(key.verify(message, signature).is_ok())
        }
        (Scheme::Ecdsa(named), KeyKind::Ec) => {
            let curve = Curve::of(key).ok_or(Unsupported)?;
            let hash = named.or(default).ok_or(Unsupported)?;
            work.spend(curve.cost_ns())?;
            work.spend_hash(hash, message.len())?;
            Ok(curve.verify(bits, &hash.digest(message), signature))
        }
        // A key that is only for PSS is for nothing else (RFC 4055 section 1.2).
        (Scheme::Pkcs1(named), KeyKind::Rsa) if !is_for_pss(key) => {
            let rsa = rsa::key(key).ok_or(Unsupported)?;
            let hash = named.or(default).ok_or(Unsupported)?;
            // Some signers name another digest in the signature's algorithm than the one that they use throughout.
            let other = default.filter(|default| *default != hash);
            match (
                rsa::pkcs1(&rsa, bits, hash, message, signature, work)?,
                other,
            ) {
                (false, Some(other)) => rsa::pkcs1(&rsa, bits, other, message, signature, work),
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
            rsa::pss(&rsa, &parameters, message, signature, work)
        }
        _ => Ok(false),
    }
}

/// Whether an RSA key is for PSS alone.
fn is_for_pss(key: &SubjectPublicKeyInfo<'_>) -> bool {
    key.algorithm.algorithm.to_id_string() == RSA_PSS
}

/// Whether a signature with such a key and algorithm, though it may hold, proves nothing today: forging one is within reach.
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
