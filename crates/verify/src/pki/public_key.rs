//! Whether a signature holds under the public key of a certificate.

use asn1_rs::{FromDer as _, Oid};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use num_bigint::BigUint;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::AlgorithmIdentifier;
use super::ber::{Reader, tlv};
use super::gost;
use super::hash::Hash;
use super::work::{Exhausted, Work};

const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const ED25519: &str = "1.3.101.112";
/// Keys by GOST R 34.10-2015 with 512 bits of Kazakhstan's authority, and what it calls signatures with them.
const GOST: [&str; 2] = ["1.2.398.3.10.1.1.2.2", "1.2.398.3.10.1.1.2.3.2"];
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const P521: &str = "1.3.132.0.35";
/// Largest modulus of an RSA key, in bits: what is larger is only there to take time.
const MAX_RSA_BITS: usize = 8192;
/// Largest exponent of an RSA key, in bits.
const MAX_EXPONENT_BITS: u64 = 64;

/// Smallest modulus of an RSA key that proves anything today, in bits (NIST SP 800-131A revision 2, table 2).
const MIN_RSA_BITS: usize = 2048;
/// What there is to do for each verification.
const VERIFY_NS: u64 = 5_000;
const ED25519_NS: u64 = 100_000;
const P256_NS: u64 = 100_000;
const P384_NS: u64 = 500_000;
const P521_NS: u64 = 800_000;
const GOST_NS: u64 = 6_000_000;
/// What the library takes for a key of RSA of 1,024 bits, of which it takes the square for larger ones.
const RSA_NS: u64 = 8_000;
/// What one multiplication of numbers of 64 bits takes, of which there is the square for larger ones.
const LIMB_NS: u64 = 4;

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
        "1.2.840.113549.1.1.1" | RSA_PSS => KeyKind::Rsa,
        "1.2.840.10045.2.1" => KeyKind::Ec,
        ED25519 => KeyKind::Ed25519,
        oid if GOST.contains(&oid) => KeyKind::Gost,
        _ => KeyKind::Other,
    }
}

/// The curve of an EC key.
fn curve(key: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let parameters = key.algorithm.parameters.as_ref()?;
    Some(parameters.as_oid().ok()?.to_id_string())
}

/// Bytes of a number of an EC key's curve (RFC 5480 section 2.1.1.1), where it is a known one.
pub(crate) fn field_bytes(key: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    Some(match curve(key)?.as_str() {
        P256 => 32,
        P384 => 48,
        P521 => 66,
        _ => return None,
    })
}

/// Whether a signature of `message` by this algorithm holds. `default` is the digest where the algorithm names none.
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
    let oid = algorithm.oid.as_str();
    work.spend(VERIFY_NS)?;
    let bits = &key.subject_public_key.data;
    match kind(key) {
        KeyKind::Gost => {
            work.spend(GOST_NS)?;
            work.spend_hash(Hash::Streebog512, message.len())?;
            let digest = Hash::Streebog512.digest(message);
            let point = Reader::new(bits).next().ok().flatten();
            let point = point.ok_or(Unsupported)?;
            Ok(gost::verify(point.content(), &digest, signature))
        }
        KeyKind::Ed25519 if oid == ED25519 => {
            work.spend(ED25519_NS)?;
            work.spend_hash(Hash::Sha512, message.len())?;
            let key = UnparsedPublicKey::new(&signature::ED25519, bits);
            Ok(key.verify(message, signature).is_ok())
        }
        KeyKind::Ec => {
            let curve = curve(key).ok_or(Unsupported)?;
            let hash = Hash::of(oid).or(default).ok_or(Unsupported)?;
            let scheme = ecdsa(&curve, hash).ok_or(Unsupported)?;
            work.spend(match curve.as_str() {
                P256 => P256_NS,
                P384 => P384_NS,
                _ => P521_NS,
            })?;
            work.spend_hash(hash, message.len())?;
            let key = UnparsedPublicKey::new(scheme, bits);
            Ok(key.verify(message, signature).is_ok())
        }
        KeyKind::Rsa => {
            let rsa = rsa(key).ok_or(Unsupported)?;
            if oid == RSA_PSS {
                let parameters = algorithm.parameters.ok_or(Unsupported)?;
                let parameters = PssParameters::read(parameters).ok_or(Unsupported)?;
                return pss(&rsa, &parameters, message, signature, work);
            }
            let named = Hash::of(oid);
            let hash = named.or(default).ok_or(Unsupported)?;
            // Some signers name another digest in the signature's algorithm than the one that they use throughout.
            let other = default.filter(|default| named.is_some_and(|named| named != *default));
            match (pkcs1(&rsa, bits, hash, message, signature, work)?, other) {
                (false, Some(other)) => pkcs1(&rsa, bits, other, message, signature, work),
                (held, _) => Ok(held),
            }
        }
        KeyKind::Ed25519 | KeyKind::Other => Err(Unsupported),
    }
}

/// An RSA key, also where it is only for PSS (RFC 8017 appendix A.1.1).
fn rsa<'k>(key: &'k SubjectPublicKeyInfo<'_>) -> Option<RSAPublicKey<'k>> {
    let mut fields = Reader::new(&key.subject_public_key.data)
        .next()
        .ok()??
        .inside();
    let modulus = fields.next().ok()??.content();
    let exponent = fields.next().ok()??.content();
    Some(RSAPublicKey { modulus, exponent })
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
        Hash::of(&algorithm.oid)
    };
    let weak_hash = [hash, default].iter().flatten().any(|hash| hash.is_weak());
    let small = kind(key) == KeyKind::Rsa
        && rsa(key).is_none_or(|rsa| modulus(&rsa).bits() < MIN_RSA_BITS as u64);
    weak_hash || small
}

fn ecdsa(curve: &str, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (curve, hash) {
        (P256, Hash::Sha1) => &signature::ECDSA_P256_SHA1_ASN1,
        (P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (P256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (P384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (P521, Hash::Sha1) => &signature::ECDSA_P521_SHA1_ASN1,
        (P521, Hash::Sha224) => &signature::ECDSA_P521_SHA224_ASN1,
        (P521, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (P521, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (P521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        _ => return None,
    })
}

/// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2): by the library where it knows the digest, by hand otherwise.
fn pkcs1(
    rsa: &RSAPublicKey<'_>,
    key: &[u8],
    hash: Hash,
    message: &[u8],
    signature: &[u8],
    work: &Work,
) -> Result<bool, Unsupported> {
    let scheme: Option<&'static dyn VerificationAlgorithm> = match hash {
        Hash::Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Hash::Sha384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    };
    if let Some(scheme) = scheme {
        work.spend(RSA_NS * (rsa.modulus.len() as u64 / 128 + 1).pow(2))?;
        work.spend_hash(hash, message.len())?;
        let key = UnparsedPublicKey::new(scheme, key);
        if key.verify(message, signature).is_ok() {
            return Ok(true);
        }
    }
    let recovered = recover(rsa, signature, work)?;
    let oid = hash.oid_der().ok_or(Unsupported)?;
    work.spend_hash(hash, message.len())?;
    let digest = hash.digest(message);
    // DigestInfo with the parameters that belong there, and without, as some signers have it (RFC 8017 appendix A.2.4).
    Ok([&[5, 0][..], &[]].iter().any(|parameters| {
        let algorithm = tlv(0x30, &[oid, parameters].concat());
        let info = tlv(0x30, &[algorithm, tlv(0x04, &digest)].concat());
        let padding = recovered.len().checked_sub(info.len() + 3);
        padding.is_some_and(|padding| {
            let padding = vec![0xff; padding];
            padding.len() >= 8 && recovered == [&[0, 1], &*padding, &[0], &info].concat()
        })
    }))
}

/// What an RSASSA-PSS signature is made with (RFC 8017 appendix A.2.3).
pub(crate) struct PssParameters {
    pub(crate) hash: Hash,
    pub(crate) mask_hash: Hash,
    pub(crate) salt_bytes: usize,
}

impl PssParameters {
    fn read(encoding: &[u8]) -> Option<Self> {
        let (_, parameters) = asn1_rs::Any::from_der(encoding).ok()?;
        let parameters = RsaSsaPssParams::try_from(&parameters).ok()?;
        let mask_hash = match parameters.mask_gen_algorithm_raw() {
            None => Hash::Sha1,
            Some(mask) => {
                let (_, oid) = Oid::from_der(mask.parameters()?.data).ok()?;
                Hash::of(&oid.to_id_string())?
            }
        };
        Some(Self {
            hash: Hash::of(&parameters.hash_algorithm_oid().to_id_string())?,
            mask_hash,
            salt_bytes: parameters.salt_length() as usize,
        })
    }
}

/// RSASSA-PSS with any digests and salt (RFC 8017 sections 8.1.2 and 9.1.2).
fn pss(
    rsa: &RSAPublicKey<'_>,
    parameters: &PssParameters,
    message: &[u8],
    signature: &[u8],
    work: &Work,
) -> Result<bool, Unsupported> {
    let &PssParameters {
        hash,
        mask_hash,
        salt_bytes,
    } = parameters;
    let encoded = recover(rsa, signature, work)?;
    work.spend_hash(hash, message.len())?;
    let digest = hash.digest(message);
    // The encoding is of one bit less than the modulus.
    let bits = modulus(rsa).bits() as usize - 1;
    let encoded = match (bits % 8, encoded.split_first()) {
        (0, Some((0, rest))) => rest,
        (0, _) => return Ok(false),
        _ => &encoded[..],
    };
    let Some(masked_bytes) = encoded.len().checked_sub(digest.len() + 1) else {
        return Ok(false);
    };
    let (masked, rest) = encoded.split_at(masked_bytes);
    let Some((&[0xbc], expected)) = rest
        .split_last_chunk::<1>()
        .map(|(rest, last)| (last, rest))
    else {
        return Ok(false);
    };
    // Each digest of the mask is as long as it is itself.
    let rounds = masked_bytes / mask_hash.digest_bytes() + 1;
    work.spend_each(rounds, mask_hash.cost_ns(expected.len() + 4))?;
    let mut data: Vec<_> = masked
        .iter()
        .zip(mask(mask_hash, expected, masked.len()))
        .map(|(masked, mask)| masked ^ mask)
        .collect();
    let unused = masked.len() * 8 + (digest.len() + 1) * 8 - bits;
    if let Some(first) = data.first_mut() {
        *first &= 0xff_u8
            .checked_shr(u32::try_from(unused).unwrap_or(8))
            .unwrap_or(0);
    }
    let Some(zeros) = data.len().checked_sub(salt_bytes + 1) else {
        return Ok(false);
    };
    let (padding, salt) = data.split_at(zeros + 1);
    let well_padded = padding
        .split_last()
        .is_some_and(|(last, zeros)| *last == 1 && zeros.iter().all(|zero| *zero == 0));
    let whole = [&[0; 8], &*digest, salt].concat();
    Ok(well_padded && hash.digest(&whole) == expected)
}

/// MGF1 (RFC 8017 appendix B.2.1).
fn mask(hash: Hash, seed: &[u8], bytes: usize) -> impl Iterator<Item = u8> {
    let seed = seed.to_vec();
    (0_u32..)
        .flat_map(move |counter| hash.digest(&[&*seed, &counter.to_be_bytes()].concat()))
        .take(bytes)
}

fn modulus(rsa: &RSAPublicKey<'_>) -> BigUint {
    BigUint::from_bytes_be(rsa.modulus)
}

/// What was signed, as long as the modulus (RFC 8017 section 5.2.2).
fn recover(rsa: &RSAPublicKey<'_>, signature: &[u8], work: &Work) -> Result<Vec<u8>, Unsupported> {
    let (n, e) = (modulus(rsa), BigUint::from_bytes_be(rsa.exponent));
    let bits = usize::try_from(n.bits()).unwrap_or(usize::MAX);
    if !(512..=MAX_RSA_BITS).contains(&bits) || e.bits() > MAX_EXPONENT_BITS || !n.bit(0) {
        return Err(Unsupported);
    }
    // Sixteen powers are made ready; then there is a squaring for each bit of the exponent, and a product for every fourth.
    let products = 20 + e.bits() * 5 / 4;
    work.spend((n.bits() / 64 + 1).pow(2) * products * LIMB_NS)?;
    let signature = BigUint::from_bytes_be(signature);
    let bytes = bits.div_ceil(8);
    if signature >= n {
        return Ok(vec![0; bytes]);
    }
    let recovered = signature.modpow(&e, &n).to_bytes_be();
    let mut padded = vec![0; bytes - recovered.len()];
    padded.extend(recovered);
    Ok(padded)
}
