//! The signature value (XMLDSig 1.1 section 6.4, RFC 9231 section 2.3) against the keys of certificates.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ValueIntegrity;

/// Of keys for RSA (RFC 8017 appendix C).
const RSA: [&str; 2] = ["1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10"];
/// Of keys for ECDSA (RFC 5480 section 2.1.1).
const EC: &str = "1.2.840.10045.2.1";

/// What a signature method needs.
enum Method {
    Rsa(&'static dyn VerificationAlgorithm),
    Ecdsa(Hash),
}

#[derive(Clone, Copy)]
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Whether one key made a value.
enum Fit {
    Yes,
    No,
    /// This curve with this hash is not supported.
    Unsupported,
}

impl Method {
    /// The method of this URI. Small keys and SHA-1 are here to read old signatures; whether to trust them is for others
    /// to decide.
    fn named(uri: &str) -> Option<Self> {
        Some(match uri {
            "http://www.w3.org/2000/09/xmldsig#rsa-sha1" => {
                Self::Rsa(&signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY)
            }
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => {
                Self::Rsa(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
            }
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => {
                Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384)
            }
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => {
                Self::Rsa(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
            }
            // Salts as long as the hash (RFC 9231 section 2.3.10).
            "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1" => {
                Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256)
            }
            "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1" => {
                Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384)
            }
            "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1" => {
                Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512)
            }
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1" => Self::Ecdsa(Hash::Sha1),
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha224" => Self::Ecdsa(Hash::Sha224),
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Self::Ecdsa(Hash::Sha256),
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Self::Ecdsa(Hash::Sha384),
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512" => Self::Ecdsa(Hash::Sha512),
            _ => return None,
        })
    }

    fn fits(&self, key: &SubjectPublicKeyInfo<'_>, message: &[u8], value: &[u8]) -> Fit {
        let kind = key.algorithm.algorithm.to_id_string();
        let (algorithm, value) = match self {
            Self::Rsa(algorithm) if RSA.contains(&kind.as_str()) => (*algorithm, value.to_vec()),
            Self::Ecdsa(hash) if kind == EC => match ecdsa(*hash, key) {
                None => return Fit::Unsupported,
                Some((algorithm, field_bytes)) => match ecdsa_to_der(value, field_bytes) {
                    Some(value) => (algorithm, value),
                    None => return Fit::No,
                },
            },
            _ => return Fit::No,
        };
        let key = UnparsedPublicKey::new(algorithm, &key.subject_public_key.data);
        match key.verify(message, &value) {
            Ok(()) => Fit::Yes,
            Err(_) => Fit::No,
        }
    }
}

/// The algorithm for a hash with a key's curve (RFC 5480 section 2.1.1.1), and how many bytes the curve's numbers have.
fn ecdsa(
    hash: Hash,
    key: &SubjectPublicKeyInfo<'_>,
) -> Option<(&'static dyn VerificationAlgorithm, usize)> {
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    Some(match (curve.to_id_string().as_str(), hash) {
        ("1.2.840.10045.3.1.7", Hash::Sha1) => (&signature::ECDSA_P256_SHA1_ASN1, 32),
        ("1.2.840.10045.3.1.7", Hash::Sha256) => (&signature::ECDSA_P256_SHA256_ASN1, 32),
        ("1.2.840.10045.3.1.7", Hash::Sha384) => (&signature::ECDSA_P256_SHA384_ASN1, 32),
        ("1.2.840.10045.3.1.7", Hash::Sha512) => (&signature::ECDSA_P256_SHA512_ASN1, 32),
        ("1.3.132.0.34", Hash::Sha256) => (&signature::ECDSA_P384_SHA256_ASN1, 48),
        ("1.3.132.0.34", Hash::Sha384) => (&signature::ECDSA_P384_SHA384_ASN1, 48),
        ("1.3.132.0.34", Hash::Sha512) => (&signature::ECDSA_P384_SHA512_ASN1, 48),
        ("1.3.132.0.35", Hash::Sha1) => (&signature::ECDSA_P521_SHA1_ASN1, 66),
        ("1.3.132.0.35", Hash::Sha224) => (&signature::ECDSA_P521_SHA224_ASN1, 66),
        ("1.3.132.0.35", Hash::Sha256) => (&signature::ECDSA_P521_SHA256_ASN1, 66),
        ("1.3.132.0.35", Hash::Sha384) => (&signature::ECDSA_P521_SHA384_ASN1, 66),
        ("1.3.132.0.35", Hash::Sha512) => (&signature::ECDSA_P521_SHA512_ASN1, 66),
        _ => return None,
    })
}

/// XML has `r` and `s` side by side (XMLDSig 1.1 section 6.4.3). With hashes other than the curve's usual one, aws-lc-rs
/// reads only the DER of RFC 3279 section 2.2.3.
fn ecdsa_to_der(value: &[u8], field_bytes: usize) -> Option<Vec<u8>> {
    if value.len() != 2 * field_bytes {
        return None;
    }
    let (r, s) = value.split_at_checked(field_bytes)?;
    let numbers = [der(0x02, &positive(r))?, der(0x02, &positive(s))?].concat();
    der(0x30, &numbers)
}

/// The shortest two's complement of a number without sign.
fn positive(number: &[u8]) -> Vec<u8> {
    let digits = number.iter().copied().skip_while(|&byte| byte == 0);
    let mut bytes: Vec<u8> = digits.collect();
    if bytes.first().is_none_or(|&first| first >= 0x80) {
        bytes.insert(0, 0);
    }
    bytes
}

/// Contents of less than 256 bytes with tag and length.
fn der(tag: u8, contents: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(contents.len()).ok()?;
    let mut value = vec![tag];
    if length >= 0x80 {
        value.push(0x81);
    }
    value.push(length);
    value.extend_from_slice(contents);
    Some(value)
}

/// Looks for the certificate whose key made this value, in the given order of their indices.
pub(super) fn verify(
    method_uri: &str,
    certificates: &[Vec<u8>],
    order: &[usize],
    message: &[u8],
    value: &[u8],
) -> ValueIntegrity {
    let unsupported = || ValueIntegrity::UnsupportedAlgorithm(method_uri.to_owned());
    let Some(method) = Method::named(method_uri) else {
        return unsupported();
    };
    let mut outcome = ValueIntegrity::NoCertificate;
    for &index in order {
        let Ok((_, certificate)) = X509Certificate::from_der(&certificates[index]) else {
            continue;
        };
        match method.fits(certificate.public_key(), message, value) {
            Fit::Yes => return ValueIntegrity::Intact(index),
            Fit::No => outcome = ValueIntegrity::Broken,
            Fit::Unsupported if outcome == ValueIntegrity::NoCertificate => outcome = unsupported(),
            Fit::Unsupported => {}
        }
    }
    outcome
}
