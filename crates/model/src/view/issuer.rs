//! Identity providers as answers, tables and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_verify::Time;
use utoipa::ToSchema;

use crate::issuer::{Issuer, IssuerRules, KeySource};

/// An identity provider that a tenant trusts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = IssuerContent)]
pub struct IssuerView {
    /// Its name.
    #[schema(example = "keycloak")]
    pub name: String,
    /// The `iss` of its tokens.
    #[schema(example = "https://id.example.com/realms/acme")]
    pub issuer: String,
    /// The URL of its JSON Web Key Set; null if that is found by OpenID Connect Discovery, or was given.
    #[schema(example = json!(null))]
    pub jwks_url: Option<String>,
    /// Its JSON Web Key Set, if that was given.
    #[schema(value_type = Option<Object>, example = json!(null))]
    pub jwks: Option<Value>,
    /// What its tokens must claim, and which scopes that gives.
    pub rules: IssuerRules,
    /// When it was added.
    pub created_at: Time,
    /// When somebody last told all servers to fetch its keys again; null for never.
    #[schema(example = json!(null))]
    pub refreshed_at: Option<Time>,
    /// The keys that the answering server has of it; null if it has tried to get none yet.
    pub known: Option<KnownKeysView>,
}

/// The keys of an identity provider that a server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = KnownKeys)]
pub struct KnownKeysView {
    /// The names of the keys that verify tokens.
    #[schema(example = json!(["2026-01"]))]
    pub kids: Vec<String>,
    /// Sentences about keys that are not used.
    #[schema(example = json!([]))]
    pub left_out: Vec<String>,
    /// When they were fetched; null if they were given, or never fetched.
    pub fetched_at: Option<Time>,
    /// Why the last attempt to fetch them failed; null if it did not.
    #[schema(example = json!(null))]
    pub failure: Option<String>,
}

impl IssuerView {
    /// The view of a provider, with the keys that a server knows of it.
    pub fn new(issuer: Issuer, known: Option<KnownKeysView>) -> Self {
        let (jwks_url, jwks) = match issuer.keys {
            KeySource::Discovery => (None, None),
            KeySource::Url(url) => (Some(url), None),
            KeySource::Given(text) => (None, serde_json::from_str(&text).ok()),
        };
        Self {
            name: issuer.name,
            issuer: issuer.issuer,
            jwks_url,
            jwks,
            rules: issuer.rules,
            created_at: issuer.created_at.into(),
            refreshed_at: issuer.refreshed_at.map(Into::into),
            known,
        }
    }
}
