//! Keys that verify tokens, as the database stores them.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use chrono::{DateTime, Utc};
use jsonwebtoken as jwt;
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::Vault;
use super::algorithm::Algorithm;
use super::public_key::PublicKey;
use crate::context::{PLATFORM, Tenancy, TenantId};
use crate::error::{Error, Result};
use sigpersist_verify::pki::to_pem;

/// A key as the database stores it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The tenant whose tokens it verifies; none for a key of the platform.
    pub tenant: Option<Tenancy>,
    /// Whether that tenant is suspended.
    pub tenant_suspended: bool,
    /// The name of the key, in the `kid` header of tokens.
    pub kid: String,
    /// The only algorithm that the key may be used with.
    pub algorithm: Algorithm,
    /// The key material.
    pub material: KeyMaterial,
    /// When the key was added.
    pub created_at: DateTime<Utc>,
    /// Time from which the key verifies; none for at once.
    pub not_before: Option<DateTime<Utc>>,
    /// Time until which the key verifies; none for no limit.
    pub expires_at: Option<DateTime<Utc>>,
    /// Time at which the key was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The kinds of key material.
pub const KINDS: &[&str] = &["secret", "public_key", "key_pair"];

/// The material that a key verifies with, and signs with if the server can.
#[derive(Clone)]
pub enum KeyMaterial {
    /// A shared secret, encrypted by the [`Vault`].
    EncryptedSecret(Vec<u8>),
    /// A public key, PEM SubjectPublicKeyInfo. Its owner keeps the private key.
    PublicKey(String),
    /// A key pair that the server holds.
    KeyPair {
        /// The public key, PEM SubjectPublicKeyInfo.
        public: String,
        /// The private key, PKCS #8, encrypted by the [`Vault`].
        encrypted_private: Vec<u8>,
    },
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EncryptedSecret(_) => "EncryptedSecret",
            Self::PublicKey(_) => "PublicKey",
            Self::KeyPair { .. } => "KeyPair",
        })
    }
}

/// The state of a key. Only an active key verifies tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It is not valid yet.
    Pending,
    /// It verifies tokens.
    Active,
    /// It has expired.
    Expired,
    /// It was revoked.
    Revoked,
}

crate::words!(
    KeyState,
    Pending = "pending",
    Active = "active",
    Expired = "expired",
    Revoked = "revoked"
);

impl StoredKey {
    /// The state of the key at this time.
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            KeyState::Expired
        } else if self.not_before.is_some_and(|begin| begin > now) {
            KeyState::Pending
        } else {
            KeyState::Active
        }
    }

    /// The owner of the key: the tenant, or [`PLATFORM`].
    pub fn owner(&self) -> TenantId {
        self.tenant.as_ref().map_or(PLATFORM, |tenant| tenant.id)
    }

    /// The kind of key material, as one of [`KINDS`].
    pub fn kind(&self) -> &'static str {
        match self.material {
            KeyMaterial::EncryptedSecret(_) => "secret",
            KeyMaterial::PublicKey(_) => "public_key",
            KeyMaterial::KeyPair { .. } => "key_pair",
        }
    }

    /// The public key, PEM SubjectPublicKeyInfo, if there is one.
    pub fn public_key(&self) -> Option<&str> {
        match &self.material {
            KeyMaterial::EncryptedSecret(_) => None,
            KeyMaterial::PublicKey(pem) | KeyMaterial::KeyPair { public: pem, .. } => Some(pem),
        }
    }

    /// The part of the key that the vault has encrypted.
    pub fn encrypted(&self) -> Option<&[u8]> {
        match &self.material {
            KeyMaterial::PublicKey(_) => None,
            KeyMaterial::EncryptedSecret(encrypted)
            | KeyMaterial::KeyPair {
                encrypted_private: encrypted,
                ..
            } => Some(encrypted),
        }
    }

    /// The key in the form that verifies tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the secret can't be decrypted, [`Error::Refused`] if the PEM does not hold a key of the
    /// algorithm, or there is no master key.
    pub fn decoding_key(&self, vault: Option<&Vault>) -> Result<jwt::DecodingKey> {
        match self.public_key() {
            Some(pem) => PublicKey::from_pem(self.algorithm, pem)?.decoding_key(),
            None => Ok(jwt::DecodingKey::from_secret(&self.secret(vault)?)),
        }
    }

    /// The key in the form that signs tokens.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the server can't sign with the key, [`Error::Internal`] if it can't be decrypted.
    pub(super) fn encoding_key(&self, vault: Option<&Vault>) -> Result<jwt::EncodingKey> {
        let secret = self.secret(vault)?;
        if self.algorithm.secret_bytes().is_some() {
            return Ok(jwt::EncodingKey::from_secret(&secret));
        }
        let pem = Zeroizing::new(to_pem("PRIVATE KEY", &secret));
        let key = match self.algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => jwt::EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::Es256 | Algorithm::Es384 => jwt::EncodingKey::from_ec_pem(pem.as_bytes()),
            _ => jwt::EncodingKey::from_ed_pem(pem.as_bytes()),
        };
        key.map_err(Error::internal)
    }

    /// Decrypts the part of the key that the vault has encrypted; wiped when dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] for a public key, or without a master key; [`Error::Internal`] if it can't be decrypted.
    pub fn secret(&self, vault: Option<&Vault>) -> Result<Zeroizing<Vec<u8>>> {
        let encrypted = self.encrypted().ok_or_else(|| {
            Error::refused("This key is public: its owner signs tokens with the private one.")
        })?;
        vault
            .ok_or_else(no_master_key)?
            .decrypt(encrypted, &self.binding())
    }

    /// The binding of the secret's ciphertext, so that it can't be moved to another row.
    pub fn binding(&self) -> String {
        let algorithm = self.algorithm.as_str();
        match &self.tenant {
            Some(tenant) => format!("tenant_keys/{}/{}/{algorithm}", tenant.id, self.kid),
            None => format!("platform_keys/{}/{algorithm}", self.kid),
        }
    }
}

/// The error for a server without a master key, which can neither store nor use shared secrets.
pub fn no_master_key() -> Error {
    Error::refused(
        "Shared secrets need a master key: make one with `openssl rand -hex 32 > master.key` and set SIGPERSIST_MASTER_KEY_FILE to that file.",
    )
}

/// Generates a key pair: the public key, and the private key as PKCS #8.
///
/// # Errors
///
/// [`Error::Refused`] for algorithms of shared secrets, [`Error::Internal`] if the machine can't generate one.
pub fn new_key_pair(algorithm: Algorithm) -> Result<(PublicKey, Zeroizing<Vec<u8>>)> {
    let made = match algorithm {
        Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDsa => Ed25519KeyPair::generate().and_then(|pair| {
            let private = pair.to_pkcs8v1()?;
            parts(&pair.public_key().as_der()?, private.as_ref())
        }),
        // Considered strong enough beyond 2030 (NIST SP 800-57 part 1, table 2).
        Algorithm::Rs256 | Algorithm::Ps256 => {
            RsaKeyPair::generate(KeySize::Rsa3072).and_then(|pair| {
                let private: Pkcs8V1Der<'_> = pair.as_der()?;
                parts(&pair.public_key().as_der()?, private.as_ref())
            })
        }
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            return Err(Error::refused("Shared secrets are no key pairs."));
        }
    };
    let (public, private) = made.map_err(|_| Error::internal("a key pair can't be made"))?;
    Ok((PublicKey::from_der(algorithm, &public)?, private))
}

type Parts = (Vec<u8>, Zeroizing<Vec<u8>>);

fn ecdsa(
    algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm,
) -> Result<Parts, aws_lc_rs::error::Unspecified> {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let private = pair.to_pkcs8v1()?;
    parts(&pair.public_key().as_der()?, private.as_ref())
}

fn parts(
    public: &PublicKeyX509Der<'_>,
    private: &[u8],
) -> Result<Parts, aws_lc_rs::error::Unspecified> {
    Ok((public.as_ref().to_vec(), Zeroizing::new(private.to_vec())))
}
