//! Keys that verify tokens, as the database has them. Plain values: `auth` verifies and signs with them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::context::Owner;
use crate::digest::to_hex;

/// A key as the database stores it.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The tenant whose tokens it verifies, or the platform.
    pub owner: Owner,
    /// Whether the owner is a suspended tenant.
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

/// Kind of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    /// A shared secret.
    Secret,
    /// A public key, whose owner keeps the private one.
    PublicKey,
    /// A key pair that the server keeps.
    KeyPair,
}

crate::words!(KeyKind);

/// The material that a key verifies with, and signs with if the server can.
#[derive(Clone)]
pub enum KeyMaterial {
    /// A shared secret, encrypted by the vault.
    EncryptedSecret(Vec<u8>),
    /// A public key, PEM SubjectPublicKeyInfo. Its owner keeps the private key.
    PublicKey(String),
    /// A key pair that the server holds.
    KeyPair {
        /// The public key, PEM SubjectPublicKeyInfo.
        public: String,
        /// The private key, PKCS #8, encrypted by the vault.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

crate::words!(KeyState);

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

    /// The kind of its material.
    pub fn kind(&self) -> KeyKind {
        match self.material {
            KeyMaterial::EncryptedSecret(_) => KeyKind::Secret,
            KeyMaterial::PublicKey(_) => KeyKind::PublicKey,
            KeyMaterial::KeyPair { .. } => KeyKind::KeyPair,
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

    /// The binding of the secret's ciphertext, so that it can't be moved to another row. Stored secrets are bound to
    /// these names, which were once those of tables.
    pub fn binding(&self) -> String {
        let algorithm = self.algorithm.as_str();
        match &self.owner {
            Owner::Tenant(tenant) => format!("tenant_keys/{}/{}/{algorithm}", tenant.id, self.kid),
            Owner::Platform => format!("platform_keys/{}/{algorithm}", self.kid),
        }
    }
}

/// The algorithm of a key (RFC 7518 section 3.1, RFC 8037). Never `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyAlgorithm)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

crate::words!(Algorithm);

impl Algorithm {
    /// Length of a shared secret that is as strong as the hash (RFC 7518 section 3.2), in bytes; none for public keys.
    pub fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }
}

/// Version of a ciphertext that names its key, its first byte.
pub const CIPHERTEXT_VERSION: u8 = 2;

/// The id of a master key. It reveals nothing about the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MasterKeyId(pub [u8; 8]);

impl std::fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl MasterKeyId {
    /// The first bytes of each ciphertext under this key.
    pub fn prefix(self) -> Vec<u8> {
        [&[CIPHERTEXT_VERSION], self.0.as_slice()].concat()
    }
}
