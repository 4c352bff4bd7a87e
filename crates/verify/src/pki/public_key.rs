//! Whether a signature holds under the public key of a certificate.

use asn1_rs::{FromDer as _, Oid};
use aws_lc_rs::digest::{self, Digest};
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

/// `id-mgf1` (RFC 8017 appendix B.2.1).
const MGF1: &str = "1.2.840.113549.1.1.8";
const RSA_PSS: &str = "1.2.840.113549.1.1.10";
const ED25519: &str = "1.3.101.112";
const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
/// Keys by GOST R 34.10-2015 with 512 bits of Kazakhstan's authority, and what it calls signatures with them.
const GOST: [&str; 2] = ["1.2.398.3.10.1.1.2.2", "1.2.398.3.10.1.1.2.3.2"];
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
            let rsa = rsa(key).ok_or(Unsupported)?;
            let hash = named.or(default).ok_or(Unsupported)?;
            // Some signers name another digest in the signature's algorithm than the one that they use throughout.
            let other = default.filter(|default| *default != hash);
            match (pkcs1(&rsa, bits, hash, message, signature, work)?, other) {
                (false, Some(other)) => pkcs1(&rsa, bits, other, message, signature, work),
                (held, _) => Ok(held),
            }
        }
        (Scheme::Pss, KeyKind::Rsa) => {
            let rsa = rsa(key).ok_or(Unsupported)?;
            let parameters = algorithm.parameters.ok_or(Unsupported)?;
            let parameters = PssParameters::read(parameters).ok_or(Unsupported)?;
            let demanded = key.algorithm.parameters.as_ref();
            let demanded = demanded.filter(|_| is_for_pss(key));
            if let Some(demanded) = demanded
                && !parameters.obey(demanded).ok_or(Unsupported)?
            {
                return Ok(false);
            }
            pss(&rsa, &parameters, message, signature, work)
        }
        _ => Ok(false),
    }
}

/// Whether an RSA key is for PSS alone.
fn is_for_pss(key: &SubjectPublicKeyInfo<'_>) -> bool {
    key.algorithm.algorithm.to_id_string() == RSA_PSS
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
        Scheme::named(&algorithm.oid).and_then(Scheme::hash)
    };
    let weak_hash = [hash, default].iter().flatten().any(|hash| hash.is_weak());
    let small = kind(key) == KeyKind::Rsa
        && rsa(key).is_none_or(|rsa| modulus(&rsa).bits() < MIN_RSA_BITS as u64);
    weak_hash || small
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
        Self::of(&parameters)
    }

    fn of(parameters: &asn1_rs::Any<'_>) -> Option<Self> {
        let parameters = RsaSsaPssParams::try_from(parameters).ok()?;
        // It must be 1 (RFC 8017 appendix A.2.3).
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

    /// Whether these are as a key demands that is for PSS alone: the same digests, and no shorter salt (RFC 4055 section 3.3); none
    /// where that can't be read.
    fn obey(&self, demanded: &asn1_rs::Any<'_>) -> Option<bool> {
        let demanded = Self::of(demanded)?;
        Some(
            self.hash == demanded.hash
                && self.mask_hash == demanded.mask_hash
                && self.salt_bytes >= demanded.salt_bytes,
        )
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
    // Bits of its first byte that the encoding has no use for (section 9.1.2, steps 6 and 9).
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
    let bytes = bits.div_ceil(8);
    // It is as long as the modulus (RFC 8017 sections 8.1.2 and 8.2.2, step 1) and less (section 5.2.2).
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
