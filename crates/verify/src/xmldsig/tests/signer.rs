//! A signer that shares no code with the verifier: each test states the octets that its references hash, and
//! `SignedInfo` is written as exclusive canonicalisation would leave it.

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA256_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) const DS: &str = "xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"";
pub(crate) const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
pub(crate) const C14N11: &str = "http://www.w3.org/2006/12/xml-c14n11";
pub(crate) const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub(crate) const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
pub(crate) const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// A key with its certificate, made by `openssl req -x509 -nodes -days 36500`.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    Rsa,
    RsaPss,
    RsaPss512,
    P256,
    P384,
    P521,
    P521Sha256,
    Other,
}

impl Key {
    pub(crate) const ALL: [Self; 7] = [
        Self::Rsa,
        Self::RsaPss,
        Self::RsaPss512,
        Self::P256,
        Self::P384,
        Self::P521,
        Self::P521Sha256,
    ];

    fn method(self) -> &'static str {
        match self {
            Self::Rsa => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaPss => "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
            Self::RsaPss512 => "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
            Self::P256 | Self::P521Sha256 | Self::Other => {
                "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
            }
            Self::P384 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            Self::P521 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
        }
    }

    pub(crate) fn certificate(self) -> &'static str {
        match self {
            Self::Rsa | Self::RsaPss | Self::RsaPss512 => include_str!("fixtures/rsa.cert.b64"),
            Self::P256 => include_str!("fixtures/p256.cert.b64"),
            Self::P384 => include_str!("fixtures/p384.cert.b64"),
            Self::P521 | Self::P521Sha256 => include_str!("fixtures/p521.cert.b64"),
            Self::Other => include_str!("fixtures/other.cert.b64"),
        }
    }

    fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa => rsa(&RSA_PKCS1_SHA256, message),
            Self::RsaPss => rsa(&RSA_PSS_SHA256, message),
            Self::RsaPss512 => rsa(&RSA_PSS_SHA512, message),
            Self::P256 => ecdsa(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                include_str!("fixtures/p256.key.b64"),
                message,
            ),
            Self::Other => ecdsa(
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                include_str!("fixtures/other.key.b64"),
                message,
            ),
            Self::P384 => ecdsa(
                &ECDSA_P384_SHA384_FIXED_SIGNING,
                include_str!("fixtures/p384.key.b64"),
                message,
            ),
            Self::P521 => ecdsa(
                &ECDSA_P521_SHA512_FIXED_SIGNING,
                include_str!("fixtures/p521.key.b64"),
                message,
            ),
            Self::P521Sha256 => ecdsa(
                &ECDSA_P521_SHA256_FIXED_SIGNING,
                include_str!("fixtures/p521.key.b64"),
                message,
            ),
        }
    }
}

fn rsa(encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let key = STANDARD
        .decode(include_str!("fixtures/rsa.key.b64"))
        .unwrap();
    let key = RsaKeyPair::from_pkcs8(&key).unwrap();
    let mut value = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut value)
        .unwrap();
    value
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, key: &str, message: &[u8]) -> Vec<u8> {
    let key = EcdsaKeyPair::from_pkcs8(algorithm, &STANDARD.decode(key).unwrap()).unwrap();
    let value = key.sign(&SystemRandom::new(), message).unwrap();
    value.as_ref().to_vec()
}

/// A signature that is being built.
pub(crate) struct Signer {
    key: Key,
    references: String,
    objects: String,
}

impl Signer {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            references: String::new(),
            objects: String::new(),
        }
    }

    /// Adds a reference with this URI and these transforms, whose result is these octets.
    pub(crate) fn reference(self, uri: &str, transforms: &str, octets: &str) -> Self {
        self.digested(uri, transforms, SHA256, &digest::SHA256, octets)
    }

    pub(crate) fn digested(
        mut self,
        uri: &str,
        transforms: &str,
        method: &str,
        algorithm: &'static digest::Algorithm,
        octets: &str,
    ) -> Self {
        let digest = STANDARD.encode(digest::digest(algorithm, octets.as_bytes()));
        let transforms = match transforms {
            "" => String::new(),
            transforms => format!("<ds:Transforms>{transforms}</ds:Transforms>"),
        };
        self.references += &format!(
            "<ds:Reference URI=\"{uri}\">{transforms}<ds:DigestMethod Algorithm=\"{method}\">\
             </ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
        );
        self
    }

    /// Adds an object after `KeyInfo`.
    pub(crate) fn object(mut self, object: &str) -> Self {
        self.objects += object;
        self
    }

    /// Signs, and returns the `Signature` element.
    pub(crate) fn sign(self) -> String {
        let signed_info = format!(
            "<ds:SignedInfo {DS}><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\">\
             </ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"{}\">\
             </ds:SignatureMethod>{}</ds:SignedInfo>",
            self.key.method(),
            self.references
        );
        let value = STANDARD.encode(self.key.sign(signed_info.as_bytes()));
        format!(
            "<ds:Signature {DS} Id=\"sig\">{signed_info}<ds:SignatureValue>{value}\
             </ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}\
             </ds:X509Certificate></ds:X509Data></ds:KeyInfo>{}</ds:Signature>",
            self.key.certificate(),
            self.objects
        )
    }
}

/// A transform without parameters, in canonical form.
pub(crate) fn transform(uri: &str) -> String {
    format!("<ds:Transform Algorithm=\"{uri}\"></ds:Transform>")
}

/// A document `doc` with this content, in canonical form, that ends with an enveloped signature over it.
pub(crate) fn enveloped(key: Key, inside: &str) -> String {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signature = Signer::new(key)
        .reference("", &transforms, &format!("<doc>{inside}</doc>"))
        .sign();
    format!("<doc>{inside}{signature}</doc>")
}
