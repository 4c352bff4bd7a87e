//! Public keys that verify tokens, of the kinds and sizes that their algorithms accept.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken as jwt;
use num_bigint::BigUint;
use serde_json::Value;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::Algorithm;
use sigpersist_verify::pki::to_pem;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey as Parsed;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::algorithm::to_jwt;
use super::forgery::{RSA_BITS, refuse_ed25519, refuse_factorable, refuse_rsa};

/// Object identifiers of `secp256r1` and `secp384r1` (RFC 5480 section 2.1.1.1), and of `id-Ed25519` (RFC 8410 section
/// 3).
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519_OID: &str = "1.3.101.112";
/// First byte of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// A public key of a kind and size that its algorithm accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), DER.
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it is no key for the algorithm, or anybody can forge signatures for it.
    pub fn from_der(algorithm: Algorithm, der: &[u8]) -> Result<Self> {
        let scheme = scheme(algorithm)?;
        let info = match SubjectPublicKeyInfo::from_der(der) {
            Ok(([], info)) if is_for(algorithm, &info) => info,
            _ => return Err(refused(algorithm)),
        };
        match info.parsed() {
            Ok(Parsed::RSA(key)) => {
                let [modulus, exponent] = [key.modulus, key.exponent].map(BigUint::from_bytes_be);
                refuse_rsa(&modulus, &exponent).map_err(Error::Refused)?;
            }
            _ if algorithm == Algorithm::EdDsa => {
                refuse_ed25519(&info.subject_public_key.data).map_err(Error::Refused)?;
            }
            _ => {}
        }
        // The library accepts any curve here. It checks that the point is on the curve.
        match ParsedPublicKey::new(scheme, der) {
            Ok(_) => Ok(Self {
                algorithm,
                der: der.to_owned(),
            }),
            Err(_) => Err(refused(algorithm)),
        }
    }

    /// Reads PEM.
    ///
    /// # Errors
    ///
    /// As [`Self::from_der`].
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self> {
        // For a shared secret, the error first says that it has no public key.
        scheme(algorithm)?;
        match parse_x509_pem(pem.as_bytes()) {
            Ok((_, pem)) if pem.label == "PUBLIC KEY" => Self::from_der(algorithm, &pem.contents),
            _ => Err(refused(algorithm)),
        }
    }

    /// Reads a JSON Web Key.
    ///
    /// # Errors
    ///
    /// As [`Self::from_der`]; also if the key states another use or algorithm.
    pub fn from_jwk(algorithm: Algorithm, jwk: &Value) -> Result<Self> {
        let scheme = scheme(algorithm)?;
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let verifies = jwk.get("key_ops").is_none_or(|operations| {
            let mut operations = operations.as_array().into_iter().flatten();
            operations.any(|operation| operation == "verify")
        });
        if member("use").is_some_and(|usage| usage != "sig") || !verifies {
            return Err(Error::refused(
                "The key says that it is not for verifying signatures.",
            ));
        }
        if member("alg").is_some_and(|alg| alg != algorithm.as_str()) {
            return Err(Error::refused(format!(
                "The key says that it is for another algorithm than {}.",
                algorithm.as_str()
            )));
        }
        let part = |name| member(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let parsed = match (member("kty"), member("crv")) {
            (Some("RSA"), _) => match (part("n"), part("e")) {
                (Some(n), Some(e)) => {
                    let [modulus, exponent] = [&n, &e].map(|bytes| BigUint::from_bytes_be(bytes));
                    refuse_rsa(&modulus, &exponent).map_err(Error::Refused)?;
                    PublicKeyComponents { n, e }
                        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                        .ok()
                }
                _ => None,
            },
            (Some("EC"), Some(curve)) if curve == curve_of(algorithm) => {
                match (part("x"), part("y")) {
                    (Some(x), Some(y)) if x.len() == y.len() => {
                        let point = [&[UNCOMPRESSED], x.as_slice(), &y].concat();
                        ParsedPublicKey::new(scheme, point).ok()
                    }
                    _ => None,
                }
            }
            (Some("OKP"), Some("Ed25519")) => {
                part("x").and_then(|x| ParsedPublicKey::new(scheme, x).ok())
            }
            _ => None,
        };
        let der: Option<PublicKeyX509Der<'_>> = parsed.and_then(|key| key.as_der().ok());
        let der = der.ok_or_else(|| refused(algorithm))?;
        Self::from_der(algorithm, der.as_ref())
    }

    /// Refuses an RSA key that is easy to factor. Blocks for up to a second.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`].
    pub(super) fn refuse_factorable(&self) -> Result<()> {
        let Ok((_, info)) = SubjectPublicKeyInfo::from_der(&self.der) else {
            return Ok(());
        };
        match info.parsed() {
            Ok(Parsed::RSA(key)) => {
                refuse_factorable(&BigUint::from_bytes_be(key.modulus)).map_err(Error::Refused)
            }
            _ => Ok(()),
        }
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        to_pem("PUBLIC KEY", &self.der)
    }

    /// The key as a JSON Web Key with this name.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the library can't convert it.
    pub fn to_jwk(&self, kid: &str) -> Result<Value> {
        let algorithm = Some(to_jwt(self.algorithm));
        let mut jwk = jwt::jwk::Jwk::from_decoding_key(&self.decoding_key()?, algorithm)
            .map_err(Error::internal)?;
        jwk.common.key_id = Some(kid.to_owned());
        jwk.common.public_key_use = Some(jwt::jwk::PublicKeyUse::Signature);
        serde_json::to_value(&jwk).map_err(Error::internal)
    }

    /// The key in the form that verifies tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the library can't read it.
    pub(super) fn decoding_key(&self) -> Result<jwt::DecodingKey> {
        let pem = self.to_pem();
        let key = match self.algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => jwt::DecodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::Es256 | Algorithm::Es384 => jwt::DecodingKey::from_ec_pem(pem.as_bytes()),
            _ => jwt::DecodingKey::from_ed_pem(pem.as_bytes()),
        };
        key.map_err(Error::internal)
    }
}

/// The curve of an elliptic-curve key for the algorithm (RFC 7518 section 3.4); empty if it uses none.
fn curve_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "P-256",
        Algorithm::Es384 => "P-384",
        _ => "",
    }
}

fn refused(algorithm: Algorithm) -> Error {
    Error::refused(format!(
        "This is not a public key for {}: it must be PEM (`-----BEGIN PUBLIC KEY-----`) or a JSON Web Key; an RSA key must have {} to {} bits.",
        algorithm.as_str(),
        RSA_BITS.start(),
        RSA_BITS.end(),
    ))
}

fn scheme(algorithm: Algorithm) -> Result<&'static dyn VerificationAlgorithm> {
    Ok(match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Es256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa => &ED25519,
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            return Err(Error::refused(format!(
                "{} works with a shared secret, not with a public key.",
                algorithm.as_str()
            )));
        }
    })
}

/// Whether the algorithm accepts keys of this kind.
fn is_for(algorithm: Algorithm, info: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = info.algorithm.parameters.as_ref();
    let curve = curve.and_then(|curve| curve.as_oid().ok());
    let curve = curve.map(|oid| oid.to_id_string());
    match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => matches!(info.parsed(), Ok(Parsed::RSA(_))),
        Algorithm::Es256 => curve.as_deref() == Some(P256),
        Algorithm::Es384 => curve.as_deref() == Some(P384),
        Algorithm::EdDsa => info.algorithm.algorithm.to_id_string() == ED25519_OID,
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Keys of RFC 7515 appendix A.3.1, RFC 8037 appendix A.2, and RFC 7515 appendix A.2.1, whose modulus has 2048
    /// bits.
    fn published() -> [(Algorithm, Value); 3] {
        [
            (
                Algorithm::Es256,
                json!({"kty": "EC", "crv": "P-256",
                    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
            ),
            (
                Algorithm::EdDsa,
                json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            ),
            (
                Algorithm::Rs256,
                json!({"kty": "RSA", "e": "AQAB",
                    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}),
            ),
        ]
    }

    #[test]
    fn a_json_web_key_is_the_same_key_as_pem() {
        for (algorithm, jwk) in published() {
            let key = PublicKey::from_jwk(algorithm, &jwk).unwrap();
            assert_eq!(PublicKey::from_pem(algorithm, &key.to_pem()).unwrap(), key);
            let written = key.to_jwk("name").unwrap();
            for (member, value) in jwk.as_object().unwrap() {
                assert_eq!(&written[member], value, "{member}");
            }
            assert_eq!(written["kid"], "name");
            assert_eq!(written["alg"], algorithm.as_str());
            assert_eq!(written["use"], "sig");
        }
    }

    #[test]
    fn a_json_web_key_that_is_none_for_its_algorithm_is_refused() {
        let [(_, ec), (_, ed), (_, rsa)] = published();
        let with = |jwk: &Value, name: &str, value: Value| {
            let mut jwk = jwk.clone();
            jwk[name] = value;
            jwk
        };
        for (algorithm, jwk) in [
            (Algorithm::Es384, ec.clone()),
            (Algorithm::Es256, ed.clone()),
            (Algorithm::EdDsa, ec.clone()),
            (Algorithm::Hs256, ec.clone()),
            (Algorithm::Es256, with(&ec, "crv", json!("P-384"))),
            // A point off the curve.
            (
                Algorithm::Es256,
                with(
                    &ec,
                    "y",
                    json!("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                ),
            ),
            (Algorithm::Es256, with(&ec, "use", json!("enc"))),
            (Algorithm::Es256, with(&ec, "alg", json!("ES384"))),
            (Algorithm::Es256, with(&ec, "key_ops", json!(["encrypt"]))),
            (Algorithm::Es256, with(&ec, "x", json!(7))),
            (Algorithm::Rs256, with(&rsa, "n", json!("AQAB"))),
            (Algorithm::Hs256, json!({"kty": "oct", "k": "AAAA"})),
            (Algorithm::Es256, json!({"kty": "oct", "k": "AAAA"})),
            (Algorithm::Es256, json!([])),
        ] {
            let read = PublicKey::from_jwk(algorithm, &jwk);
            assert!(
                matches!(read, Err(Error::Refused(_))),
                "{algorithm:?} {jwk}"
            );
        }
        let good = with(&ec, "key_ops", json!(["verify"]));
        assert!(PublicKey::from_jwk(Algorithm::Es256, &good).is_ok());
        assert!(PublicKey::from_jwk(Algorithm::Ps256, &rsa).is_ok());
    }
}
