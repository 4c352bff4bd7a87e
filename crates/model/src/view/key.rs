//! Keys and tokens as answers, tables and the OpenAPI document show them.

use chrono::Utc;
use serde::{Deserialize, Serialize};
use sigpersist_verify::Time;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::context::Scope;
use crate::key::{Algorithm, KeyKind, KeyState, StoredKey};

/// A key that verifies tokens.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyContent)]
pub struct KeyView {
    /// Its name, as in the `kid` header of tokens.
    #[schema(example = "acme-1")]
    pub kid: String,
    /// The only algorithm that the key may be used with (RFC 7518 section 3.1).
    #[schema(example = "ES256")]
    pub algorithm: Algorithm,
    /// Kind of the key.
    #[schema(example = "key_pair")]
    pub kind: KeyKind,
    /// State of the key.
    pub state: KeyState,
    /// The public key in PEM; null for a shared secret.
    #[schema(example = "-----BEGIN PUBLIC KEY-----\nMFkw…\n-----END PUBLIC KEY-----\n")]
    pub public_key: Option<String>,
    /// When it was added.
    pub created_at: Time,
    /// Start of its validity; null for immediately.
    #[schema(example = json!(null))]
    pub not_before: Option<Time>,
    /// End of its validity; null if it is valid until revoked.
    #[schema(example = json!(null))]
    pub expires_at: Option<Time>,
    /// Time at which it was revoked; null if it is not.
    #[schema(example = json!(null))]
    pub revoked_at: Option<Time>,
    /// The shared secret, shown only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = json!(null))]
    pub secret: Option<Zeroizing<String>>,
}

impl From<StoredKey> for KeyView {
    fn from(key: StoredKey) -> Self {
        Self {
            algorithm: key.algorithm,
            kind: key.kind(),
            state: key.state(Utc::now()),
            public_key: key.public_key().map(ToOwned::to_owned),
            created_at: key.created_at.into(),
            not_before: key.not_before.map(Into::into),
            expires_at: key.expires_at.map(Into::into),
            revoked_at: key.revoked_at.map(Into::into),
            kid: key.kid,
            secret: None,
        }
    }
}

/// A token that was just issued.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TokenContent)]
pub struct TokenView {
    /// The token.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFjbWUtMSJ9.e30.c2ln")]
    pub token: String,
    /// The key that signed it.
    #[schema(example = "acme-1")]
    pub kid: String,
    /// What it allows.
    #[schema(example = json!(["signatures:read"]))]
    pub scopes: Vec<Scope>,
    /// When it expires.
    pub expires_at: Time,
}
