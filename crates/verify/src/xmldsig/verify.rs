//! The signature value (XMLDSig 1.1 section 6.4, RFC 9231 section 2.3) against the keys of certificates.

use super::ValueIntegrity;
use crate::pki::Algorithm;
use crate::pki::algorithm::AlgorithmIdentifier;
use crate::pki::ber::tlv;
use crate::pki::certificate::Parsed;
use crate::pki::public_key::{self, KeyKind, Unsupported};
use crate::pki::work::Work;

/// What a signature method is elsewhere: its OID, and of which keys.
struct Method {
    kind: KeyKind,
    oid: &'static str,
    /// `RSASSA-PSS-params` (RFC 8017 appendix A.2.3).
    parameters: Option<Vec<u8>>,
}

impl Method {
    /// The method of this URI. SHA-1 is here to read old signatures; whether to trust them is for others to decide.
    fn named(uri: &str) -> Option<Self> {
        let more = uri.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#");
        let since_2007 = uri.strip_prefix("http://www.w3.org/2007/05/xmldsig-more#");
        let (kind, oid, parameters) = match (more, since_2007) {
            (Some("rsa-sha224"), _) => (KeyKind::Rsa, "1.2.840.113549.1.1.14", None),
            (Some("rsa-sha256"), _) => (KeyKind::Rsa, "1.2.840.113549.1.1.11", None),
            (Some("rsa-sha384"), _) => (KeyKind::Rsa, "1.2.840.113549.1.1.12", None),
            (Some("rsa-sha512"), _) => (KeyKind::Rsa, "1.2.840.113549.1.1.13", None),
            (Some("ecdsa-sha1"), _) => (KeyKind::Ec, "1.2.840.10045.4.1", None),
            (Some("ecdsa-sha224"), _) => (KeyKind::Ec, "1.2.840.10045.4.3.1", None),
            (Some("ecdsa-sha256"), _) => (KeyKind::Ec, "1.2.840.10045.4.3.2", None),
            (Some("ecdsa-sha384"), _) => (KeyKind::Ec, "1.2.840.10045.4.3.3", None),
            (Some("ecdsa-sha512"), _) => (KeyKind::Ec, "1.2.840.10045.4.3.4", None),
            // Salts as long as the hash (RFC 9231 section 2.3.10). The first number names SHA-256, SHA-384 or SHA-512.
            (_, Some("sha256-rsa-MGF1")) => (KeyKind::Rsa, RSA_PSS, Some(pss(1, 32))),
            (_, Some("sha384-rsa-MGF1")) => (KeyKind::Rsa, RSA_PSS, Some(pss(2, 48))),
            (_, Some("sha512-rsa-MGF1")) => (KeyKind::Rsa, RSA_PSS, Some(pss(3, 64))),
            _ => match uri {
                "http://www.w3.org/2000/09/xmldsig#rsa-sha1" => {
                    (KeyKind::Rsa, "1.2.840.113549.1.1.5", None)
                }
                "urn:ietf:params:xml:ns:pkigovkz:xmlsec:algorithms:gostr34102015-gostr34112015-512" => {
                    (KeyKind::Gost, "1.2.398.3.10.1.1.2.3.2", None)
                }
                _ => return None,
            },
        };
        Some(Self {
            kind,
            oid,
            parameters,
        })
    }

    fn algorithm(&self) -> AlgorithmIdentifier<'_> {
        AlgorithmIdentifier {
            oid: self.oid.to_owned(),
            parameters: self.parameters.as_deref(),
        }
    }
}

const RSA_PSS: &str = "1.2.840.113549.1.1.10";

/// The parameters of RSASSA-PSS with one of the SHA-2 digests throughout, in DER.
fn pss(digest: u8, salt_bytes: u8) -> Vec<u8> {
    const SHA2: [u8; 12] = [0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 1, 101, 3, 4, 2];
    const MGF1: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 8];
    let hash = [&SHA2[..], &[digest, 5, 0]].concat();
    [
        &[0x30, 52, 0xa0, 15][..],
        &hash,
        &[0xa1, 28, 0x30, 26],
        &MGF1,
        &hash,
        &[0xa2, 3, 2, 1, salt_bytes],
    ]
    .concat()
}

/// The signature method of this URI, as it is known elsewhere.
pub(super) fn signature_algorithm(uri: &str) -> Option<Algorithm> {
    Method::named(uri).map(|method| method.algorithm().describe())
}

/// Whether a signature with this certificate's key, though its value may fit, proves nothing today.
pub(super) fn is_weak(method_uri: &str, certificate: &Parsed<'_>) -> bool {
    Method::named(method_uri).is_none_or(|method| {
        public_key::is_weak(certificate.x509().public_key(), &method.algorithm(), None)
    })
}

/// XML has `r` and `s` side by side (XMLDSig 1.1 section 6.4.3), others in DER (RFC 3279 section 2.2.3).
fn ecdsa_to_der(value: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = value.split_at_checked(value.len() / 2)?;
    if r.len() != s.len() {
        return None;
    }
    let numbers = [tlv(0x02, &positive(r)), tlv(0x02, &positive(s))].concat();
    Some(tlv(0x30, &numbers))
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

/// Looks for the certificate whose key made this value, in the given order of their indices.
pub(super) fn verify(
    method_uri: &str,
    certificates: &[&Vec<u8>],
    order: &[usize],
    message: &[u8],
    value: &[u8],
    work: &Work,
) -> ValueIntegrity {
    let unsupported = || ValueIntegrity::UnsupportedAlgorithm(method_uri.to_owned());
    let Some(method) = Method::named(method_uri) else {
        return unsupported();
    };
    let algorithm = method.algorithm();
    let mut outcome = ValueIntegrity::NoCertificate;
    for &index in order {
        let Some(certificate) = Parsed::from_der_within(certificates[index], work) else {
            continue;
        };
        let key = certificate.x509().public_key();
        let fits = if public_key::kind(key) != method.kind {
            Ok(false)
        } else if method.kind == KeyKind::Ec {
            // A value that is no two numbers of the curve's size is none of this key.
            let sized = public_key::field_bytes(key).is_none_or(|bytes| value.len() == 2 * bytes);
            match ecdsa_to_der(value).filter(|_| sized) {
                Some(der) => public_key::verify(key, &algorithm, None, message, &der, work),
                None => Ok(false),
            }
        } else {
            public_key::verify(key, &algorithm, None, message, value, work)
        };
        match fits {
            Ok(true) => return ValueIntegrity::Intact(index),
            Ok(false) => outcome = ValueIntegrity::Broken,
            Err(Unsupported) if outcome == ValueIntegrity::NoCertificate => outcome = unsupported(),
            Err(Unsupported) => {}
        }
    }
    outcome
}
