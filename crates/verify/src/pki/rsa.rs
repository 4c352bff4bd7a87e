//! RSA signatures (RFC 8017): by the library if it supports them, otherwise by code of our own.

use asn1_rs::{FromDer as _, Oid};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use num_bigint::BigUint;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ber::{Reader, tlv};
use super::budget::Budget;
use super::hash::Hash;
use super::public_key::Unsupported;

/// `id-mgf1` (RFC 8017 appendix B.2.1).
const MGF1: &str = "1.2.840.113549.1.1.8";
/// Largest modulus of an RSA key, in bits. Larger ones only serve to take time.
const MAX_BITS: usize = 8192;
/// Largest exponent of an RSA key, in bits.
const MAX_EXPONENT_BITS: u64 = 64;

/// Smallest modulus of an RSA key that proves anything today, in bits (NIST SP 800-131A revision 2, table 2).
const MIN_BITS: u64 = 2048;
/// Cost of the library for an RSA key of 1,024 bits. It grows with the square of the length.
const LIBRARY_NS: u64 = 8_000;
/// Cost of multiplying two numbers of 64 bits. It grows with the square of the length.
const LIMB_NS: u64 = 4;

/// Reads an RSA key, also one that is restricted to PSS (RFC 8017 appendix A.1.1).
pub(super) fn key<'k>(key: &'k SubjectPublicKeyInfo<'_>) -> Option<RSAPublicKey<'k>> {
    let mut fields = Reader::new(&key.subject_public_key.data)
        .next()
        .ok()??
        .inside();
    let modulus = fields.next().ok()??.content();
    let exponent = fields.next().ok()??.content();
    Some(RSAPublicKey { modulus, exponent })
}

/// Verifies RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2.2). If the library does not support the digest, or rejects the
/// signature, code of our own decides.
pub(super) fn pkcs1(
    rsa: &RSAPublicKey<'_>,
    key: &[u8],
    hash: Hash,
    message: &[u8],
    signature: &[u8],
    budget: &Budget,
) -> Result<bool, Unsupported> {
    let scheme: Option<&'static dyn VerificationAlgorithm> = match hash {
        Hash::Sha256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Hash::Sha384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Hash::Sha512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    };
    if let Some(scheme) = scheme {
        budget.spend(LIBRARY_NS * (rsa.modulus.len() as u64 / 128 + 1).pow(2))?;
        budget.spend_hash(hash, message.len())?;
        let key = UnparsedPublicKey::new(scheme, key);
        if key.verify(message, signature).is_ok() {
            return Ok(true);
        }
    }
    let recovered = recover(rsa, signature, budget)?;
    let oid = hash.oid_der().ok_or(Unsupported)?;
    budget.spend_hash(hash, message.len())?;
    let digest = hash.digest(message);
    // `DigestInfo` with the NULL parameters that belong there, and without, as some signers write it (RFC 8017 appendix
    // A.2.4).
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

/// The parameters of an RSASSA-PSS signature (RFC 8017 appendix A.2.3).
pub(crate) struct PssParameters {
    pub(crate) hash: Hash,
    pub(crate) mask_hash: Hash,
    pub(crate) salt_bytes: usize,
}

impl PssParameters {
    pub(super) fn read(encoding: &[u8]) -> Option<Self> {
        let (_, parameters) = asn1_rs::Any::from_der(encoding).ok()?;
        Self::of(&parameters)
    }

    fn of(parameters: &asn1_rs::Any<'_>) -> Option<Self> {
        let parameters = RsaSsaPssParams::try_from(parameters).ok()?;
        // The trailer field must be 1 (RFC 8017 appendix A.2.3).
        if parameters.trailer_field() != 1 {
            return None;
        }
        let mask_hash = match parameters.mask_gen_algorithm_raw() {
            None => Hash::Sha1,
            Some(mask) => {
                if mask.algorithm.to_id_string() != MGF1 {
                    return None;
                }
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

    /// Whether these obey the parameters of a key that is restricted to PSS: the same digests, and no shorter salt (RFC
    /// 4055 section 3.3). None if those can't be read.
    pub(super) fn obey(&self, demanded: &asn1_rs::Any<'_>) -> Option<bool> {
        let demanded = Self::of(demanded)?;
        Some(
            self.hash == demanded.hash
                && self.mask_hash == demanded.mask_hash
                && self.salt_bytes >= demanded.salt_bytes,
        )
    }
}

/// Verifies RSASSA-PSS with any digests and salt (RFC 8017 sections 8.1.2 and 9.1.2).
pub(super) fn pss(
    rsa: &RSAPublicKey<'_>,
    parameters: &PssParameters,
    message: &[u8],
    signature: &[u8],
    budget: &Budget,
) -> Result<bool, Unsupported> {
    let &PssParameters {
        hash,
        mask_hash,
        salt_bytes,
    } = parameters;
    let encoded = recover(rsa, signature, budget)?;
    budget.spend_hash(hash, message.len())?;
    let digest = hash.digest(message);
    // The encoding has one bit less than the modulus.
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
    // Each round yields one digest of the mask.
    let rounds = masked_bytes / mask_hash.digest_bytes() + 1;
    budget.spend_each(rounds, mask_hash.cost_ns(expected.len() + 4))?;
    // Bits of the first byte that the encoding does not use (section 9.1.2, steps 6 and 9).
    let unused = masked.len() * 8 + (digest.len() + 1) * 8 - bits;
    let used = u32::try_from(unused).ok();
    let used = used.and_then(|unused| 0xff_u8.checked_shr(unused));
    let used = used.unwrap_or(0);
    if masked.first().is_some_and(|first| first & !used != 0) {
        return Ok(false);
    }
    let mut data: Vec<_> = masked
        .iter()
        .zip(mask(mask_hash, expected, masked.len()))
        .map(|(masked, mask)| masked ^ mask)
        .collect();
    if let Some(first) = data.first_mut() {
        *first &= used;
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

/// The mask of MGF1 (RFC 8017 appendix B.2.1).
fn mask(hash: Hash, seed: &[u8], bytes: usize) -> impl Iterator<Item = u8> {
    let seed = seed.to_vec();
    (0_u32..)
        .flat_map(move |counter| hash.digest(&[&*seed, &counter.to_be_bytes()].concat()))
        .take(bytes)
}

/// Whether the key is too small for its signatures to prove anything today.
pub(super) fn is_small(rsa: &RSAPublicKey<'_>) -> bool {
    modulus(rsa).bits() < MIN_BITS
}

fn modulus(rsa: &RSAPublicKey<'_>) -> BigUint {
    BigUint::from_bytes_be(rsa.modulus)
}

/// The encoded message that was signed, as long as the modulus (RFC 8017 section 5.2.2). All zeros if the signature has
/// a wrong length or value.
fn recover(
    rsa: &RSAPublicKey<'_>,
    signature: &[u8],
    budget: &Budget,
) -> Result<Vec<u8>, Unsupported> {
    let (n, e) = (modulus(rsa), BigUint::from_bytes_be(rsa.exponent));
    let bits = usize::try_from(n.bits()).unwrap_or(usize::MAX);
    if !(512..=MAX_BITS).contains(&bits) || e.bits() > MAX_EXPONENT_BITS || !n.bit(0) {
        return Err(Unsupported);
    }
    // Sixteen powers are precomputed. Then each bit of the exponent takes a squaring, and every fourth a product.
    let products = 20 + e.bits() * 5 / 4;
    budget.spend((n.bits() / 64 + 1).pow(2) * products * LIMB_NS)?;
    let bytes = bits.div_ceil(8);
    // A signature is as long as the modulus (RFC 8017 sections 8.1.2 and 8.2.2, step 1) and less than it (section
    // 5.2.2).
    let length = signature.len();
    let signature = BigUint::from_bytes_be(signature);
    if length != bytes || signature >= n {
        return Ok(vec![0; bytes]);
    }
    let recovered = signature.modpow(&e, &n).to_bytes_be();
    let mut padded = vec![0; bytes - recovered.len()];
    padded.extend(recovered);
    Ok(padded)
}
