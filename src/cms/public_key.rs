//! Whether a signature holds under the public key of a certificate.

use asn1_rs::{FromDer as _, Oid};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use num_bigint::BigUint;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ber::Reader;
use super::gost;
use super::hash::Hash;
use super::signed_data::AlgorithmIdentifier;

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

/// The kind of key or signature is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsupported;

/// Whether a signature of `message` by this algorithm holds. `default` is the digest where the algorithm names none.
///
/// # Errors
///
/// [`Unsupported`], where nothing can be said.
pub(super) fn verify(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    default: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Unsupported> {
    let oid = algorithm.oid.as_str();
    let key_oid = key.algorithm.algorithm.to_id_string();
    if GOST.contains(&key_oid.as_str()) {
        let digest = Hash::Streebog512.digest(message);
        let inner = Reader::new(&key.subject_public_key.data).next();
        let point = inner.ok().flatten().ok_or(Unsupported)?;
        return Ok(gost::verify(point.content(), &digest, signature));
    }
    let bits = &key.subject_public_key.data;
    if key_oid == ED25519 && oid == ED25519 {
        let key = UnparsedPublicKey::new(&signature::ED25519, bits);
        return Ok(key.verify(message, signature).is_ok());
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if oid == RSA_PSS => {
            let parameters = algorithm.parameters.ok_or(Unsupported)?;
            pss(&rsa, parameters, message, signature)
        }
        Ok(PublicKey::RSA(rsa)) => {
            let named = Hash::of(oid);
            let hash = named.or(default).ok_or(Unsupported)?;
            // Some signers name another digest in the signature's algorithm than the one that they use throughout.
            let other = default.filter(|default| named.is_some_and(|named| named != *default));
            match (pkcs1(&rsa, bits, hash, message, signature)?, other) {
                (false, Some(other)) => pkcs1(&rsa, bits, other, message, signature),
                (held, _) => Ok(held),
            }
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key
                .algorithm
                .parameters
                .as_ref()
                .and_then(|it| it.as_oid().ok());
            let curve = curve.ok_or(Unsupported)?.to_id_string();
            let hash = Hash::of(oid).or(default).ok_or(Unsupported)?;
            let scheme = ecdsa(&curve, hash).ok_or(Unsupported)?;
            Ok(UnparsedPublicKey::new(scheme, bits)
                .verify(message, signature)
                .is_ok())
        }
        _ => Err(Unsupported),
    }
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
) -> Result<bool, Unsupported> {
    let scheme: Option<&'static dyn VerificationAlgorithm> = match hash {
        Hash::Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Hash::Sha384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    };
    if let Some(scheme) = scheme
        && UnparsedPublicKey::new(scheme, key)
            .verify(message, signature)
            .is_ok()
    {
        return Ok(true);
    }
    let recovered = recover(rsa, signature)?;
    let oid = hash.oid_der().ok_or(Unsupported)?;
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

/// A value of fewer than 128 bytes in DER.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[tag, length], content].concat()
}

/// RSASSA-PSS with any digests and salt (RFC 8017 sections 8.1.2 and 9.1.2).
fn pss(
    rsa: &RSAPublicKey<'_>,
    parameters: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Unsupported> {
    let (_, parameters) = asn1_rs::Any::from_der(parameters).map_err(|_| Unsupported)?;
    let parameters = RsaSsaPssParams::try_from(&parameters).map_err(|_| Unsupported)?;
    let hash = Hash::of(&parameters.hash_algorithm_oid().to_id_string()).ok_or(Unsupported)?;
    let mask_hash = match parameters.mask_gen_algorithm_raw() {
        None => Hash::Sha1,
        Some(mask) => {
            let inner = mask.parameters().ok_or(Unsupported)?;
            let (_, oid) = Oid::from_der(inner.data).map_err(|_| Unsupported)?;
            Hash::of(&oid.to_id_string()).ok_or(Unsupported)?
        }
    };
    let salt_bytes = parameters.salt_length() as usize;
    let encoded = recover(rsa, signature)?;
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
fn recover(rsa: &RSAPublicKey<'_>, signature: &[u8]) -> Result<Vec<u8>, Unsupported> {
    let (n, e) = (modulus(rsa), BigUint::from_bytes_be(rsa.exponent));
    let bits = usize::try_from(n.bits()).unwrap_or(usize::MAX);
    if !(512..=MAX_RSA_BITS).contains(&bits) || e.bits() > MAX_EXPONENT_BITS || !n.bit(0) {
        return Err(Unsupported);
    }
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
