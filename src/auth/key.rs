//! Keys that verify tokens, and the algorithms that they may be used with.

use std::str::FromStr;

use jsonwebtoken as jwt;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Vault;
use crate::context::Tenancy;
use crate::error::{Error, Result};

/// Shortest RSA key (RFC 7518 section 3.3).
const MIN_RSA_BITS: usize = 2048;
/// `secp256r1` and `secp384r1` (RFC 5480 section 2.1.1.1), and `id-Ed25519` (RFC 8410 section 3).
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";

/// Signature algorithms of tokens (RFC 7518 section 3.1, RFC 8037). Never `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 8] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The algorithm as the `alg` of a header spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Length of a shared secret that is as strong as its hash (RFC 7518 section 3.2), in bytes; none for public keys.
    pub fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    pub(super) fn to_jwt(self) -> jwt::Algorithm {
        match self {
            Self::Hs256 => jwt::Algorithm::HS256,
            Self::Hs384 => jwt::Algorithm::HS384,
            Self::Hs512 => jwt::Algorithm::HS512,
            Self::Rs256 => jwt::Algorithm::RS256,
            Self::Ps256 => jwt::Algorithm::PS256,
            Self::Es256 => jwt::Algorithm::ES256,
            Self::Es384 => jwt::Algorithm::ES384,
            Self::EdDsa => jwt::Algorithm::EdDSA,
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "`{text}` is no algorithm for tokens; use one of {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

/// A key as the database has it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The tenant whose callers it vouches for; none for the platform's.
    pub tenant: Option<Tenancy>,
    /// Whether that tenant is suspended.
    pub tenant_suspended: bool,
    /// Its name in the headers of tokens.
    pub kid: String,
    /// The one algorithm it may be used with.
    pub algorithm: Algorithm,
    /// What it verifies with.
    pub material: KeyMaterial,
}

/// What a key verifies with.
#[derive(Clone)]
pub enum KeyMaterial {
    /// A shared secret, encrypted by the [`Vault`].
    EncryptedSecret(Vec<u8>),
    /// A public key, PEM SubjectPublicKeyInfo.
    PublicKey(String),
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EncryptedSecret(_) => "EncryptedSecret",
            Self::PublicKey(_) => "PublicKey",
        })
    }
}

impl StoredKey {
    /// The key in the form that verifies tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the secret can't be decrypted, [`Error::Refused`] where the PEM does not hold a key of
    /// the algorithm.
    pub fn decoding_key(&self, vault: Option<&Vault>) -> Result<jwt::DecodingKey> {
        match &self.material {
            KeyMaterial::EncryptedSecret(_) => {
                Ok(jwt::DecodingKey::from_secret(&self.secret(vault)?))
            }
            KeyMaterial::PublicKey(pem) => public_key(self.algorithm, pem),
        }
    }

    /// The shared secret, in the clear; wiped when dropped.
    pub(super) fn secret(&self, vault: Option<&Vault>) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let KeyMaterial::EncryptedSecret(encrypted) = &self.material else {
            return Err(Error::refused(
                "This key is public: its owner signs tokens with the private one.",
            ));
        };
        vault
            .ok_or_else(no_master_key)?
            .decrypt(encrypted, &self.binding())
    }

    /// What a secret's ciphertext is bound to, so that it can't be moved to another row.
    pub fn binding(&self) -> String {
        let algorithm = self.algorithm.as_str();
        match &self.tenant {
            Some(tenant) => format!("tenant_keys/{}/{}/{algorithm}", tenant.id, self.kid),
            None => format!("platform_keys/{}/{algorithm}", self.kid),
        }
    }
}

/// Without a master key, shared secrets can be neither stored nor used.
pub fn no_master_key() -> Error {
    Error::refused(
        "Shared secrets need a master key: make one with `openssl rand -hex 32 > master.key` and set SIGPERSIST_MASTER_KEY_FILE to that file.",
    )
}

/// Reads a public key and makes sure that it fits the algorithm.
///
/// # Errors
///
/// [`Error::Refused`] where the PEM does not hold a key of the algorithm.
pub fn public_key(algorithm: Algorithm, pem: &str) -> Result<jwt::DecodingKey> {
    let refused = || {
        Error::refused(format!(
            "The file does not hold a public key for {} as PEM (`-----BEGIN PUBLIC KEY-----`; RSA of at least {MIN_RSA_BITS} bits).",
            algorithm.as_str()
        ))
    };
    let key = match algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => jwt::DecodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::Es256 | Algorithm::Es384 => jwt::DecodingKey::from_ec_pem(pem.as_bytes()),
        Algorithm::EdDsa => jwt::DecodingKey::from_ed_pem(pem.as_bytes()),
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            return Err(Error::refused(format!(
                "{} works with a shared secret, not with a public key.",
                algorithm.as_str()
            )));
        }
    };
    // The library takes private keys and any curve too.
    if is_public_key_for(algorithm, pem) {
        key.map_err(|_| refused())
    } else {
        Err(refused())
    }
}

/// Whether the PEM is a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) of a kind and size that the algorithm takes.
fn is_public_key_for(algorithm: Algorithm, pem: &str) -> bool {
    let Ok((_, pem)) = parse_x509_pem(pem.as_bytes()) else {
        return false;
    };
    let Ok((_, info)) = SubjectPublicKeyInfo::from_der(&pem.contents) else {
        return false;
    };
    let curve = info
        .algorithm
        .parameters
        .as_ref()
        .and_then(|curve| curve.as_oid().ok());
    let curve = curve.map(|oid| oid.to_id_string());
    pem.label == "PUBLIC KEY"
        && match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                matches!(info.parsed(), Ok(PublicKey::RSA(key)) if key.key_size() >= MIN_RSA_BITS)
            }
            Algorithm::Es256 => curve.as_deref() == Some(P256),
            Algorithm::Es384 => curve.as_deref() == Some(P384),
            Algorithm::EdDsa => info.algorithm.algorithm.to_id_string() == ED25519,
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => false,
        }
}
