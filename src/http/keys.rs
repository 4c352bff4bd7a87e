//! The handlers of keys, and of tokens that they sign.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigpersist_model::context::Scope;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{KeyState, StoredKey};
use sigpersist_model::time;
use utoipa::ToSchema;

use super::openapi::{GivenPublicKey, GivenTime, KeyAlgorithm, KeyKind, KeySet, Location, Time};
use super::operators::parse;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::auth::GivenKey;
use crate::tenants::{self, Holder, NewKey, NewToken};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;
const DEFAULT_LIFETIME_S: u64 = 3_600;
/// RFC 7517 section 8.5.2.
const JWK_SET: &str = "application/jwk-set+json";
/// How long verifiers may keep the published keys, in seconds: so long a revoked one may still be believed elsewhere.
const JWK_SET_MAX_AGE_S: u32 = 60;

#[derive(Serialize, ToSchema)]
struct KeyContent<'a> {
    /// Its name in the headers of tokens.
    #[schema(example = "acme-1")]
    kid: String,
    /// The one algorithm that it may be used with (RFC 7518 section 3.1).
    #[schema(value_type = KeyAlgorithm, example = "ES256")]
    algorithm: &'static str,
    /// What it is made of.
    #[schema(value_type = KeyKind, example = "key_pair")]
    kind: &'static str,
    /// Where it is in its life.
    state: KeyState,
    /// The public key in PEM; null for a shared secret.
    #[schema(example = "-----BEGIN PUBLIC KEY-----\nMFkw…\n-----END PUBLIC KEY-----\n")]
    public_key: Option<String>,
    /// When it was added.
    #[schema(value_type = Time)]
    created_at: String,
    /// From when on it verifies; null for at once.
    #[schema(value_type = Option<Time>, example = json!(null))]
    not_before: Option<String>,
    /// Until when it verifies; null for as long as it is not revoked.
    #[schema(value_type = Option<Time>, example = json!(null))]
    expires_at: Option<String>,
    /// Since when it is revoked.
    #[schema(value_type = Option<Time>, example = json!(null))]
    revoked_at: Option<String>,
    /// Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    secret: Option<&'a str>,
}

impl From<StoredKey> for KeyContent<'_> {
    fn from(key: StoredKey) -> Self {
        Self {
            algorithm: key.algorithm.as_str(),
            kind: key.kind(),
            state: key.state(Utc::now()),
            public_key: key.public_key().map(ToOwned::to_owned),
            created_at: time::to_text(key.created_at),
            not_before: key.not_before.map(time::to_text),
            expires_at: key.expires_at.map(time::to_text),
            revoked_at: key.revoked_at.map(time::to_text),
            kid: key.kid,
            secret: None,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct KeysContent<'a> {
    /// Keys, newest first.
    keys: Vec<KeyContent<'a>>,
    /// Where the next page begins: pass it as `cursor`. Null where this is the last one.
    #[schema(example = "acme-1")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OneKey<'a> {
    /// The key.
    key: KeyContent<'a>,
}

fn holder(call: &Call) -> Holder {
    call.context.tenancy.clone().into()
}

/// Lists keys, newest first, revoked ones too.
#[utoipa::path(
    get,
    path = "/keys",
    operation_id = "list_keys",
    params(
        ("cursor" = Option<String>, Query, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,255}$", example = "acme-1"),
    ),
    responses(
        (status = 200, description = "A page of keys", body = Envelope<KeysContent<'_>>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let limit = parameters.integer("limit", 1, MAX_LIMIT)?;
    let after = parameters.label("cursor")?;
    let page = tenants::keys(
        &call.app,
        &holder(&call),
        after.as_deref(),
        limit.unwrap_or(DEFAULT_LIMIT),
    )?;
    Reply::content(&KeysContent {
        keys: page.keys.into_iter().map(Into::into).collect(),
        next: page.next,
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyForm)]
struct AddForm {
    /// The algorithm; `HS256` where neither it nor a public key is given.
    #[schema(value_type = Option<KeyAlgorithm>, example = "HS256")]
    algorithm: Option<String>,
    /// Its name; the server makes one where it is left out.
    #[schema(example = "acme-1")]
    kid: Option<String>,
    /// PEM, or a JSON Web Key.
    #[schema(value_type = Option<GivenPublicKey>, example = json!(null))]
    public_key: Option<Value>,
    /// From when on it verifies.
    #[serde(default, deserialize_with = "time::deserialize_option")]
    #[schema(value_type = Option<GivenTime>, example = json!(null))]
    not_before: Option<DateTime<Utc>>,
    /// Until when it verifies.
    #[serde(default, deserialize_with = "time::deserialize_option")]
    #[schema(value_type = Option<GivenTime>, example = "2031-02-18 01:00:00")]
    expires_at: Option<DateTime<Utc>>,
}

/// Adds a key that verifies tokens: makes one, or registers a public key.
///
/// The secret of a new shared secret is in this answer alone.
#[utoipa::path(
    post,
    path = "/keys",
    operation_id = "add_key",
    request_body = AddForm,
    responses(
        (status = 201, description = "The key was added", body = Envelope<OneKey<'_>>, headers(("location" = Location))),
        (status = 200, description = "The key was there already", body = Envelope<OneKey<'_>>),
        (status = 409, description = "key_exists"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn add(call: Call) -> Result<Reply> {
    let form: AddForm = call.json()?;
    let public_key = match form.public_key {
        None => None,
        Some(Value::String(pem)) => Some(GivenKey::Pem(pem)),
        Some(jwk @ Value::Object(_)) => Some(GivenKey::Jwk(jwk)),
        Some(_) => {
            let message = "`public_key` is PEM as text, or a JSON Web Key as an object.";
            return Err(Error::invalid("public_key", message));
        }
    };
    let algorithm = form.algorithm.map(|text| parse("algorithm", &text));
    let new = NewKey {
        algorithm: algorithm.transpose()?,
        kid: form.kid,
        public_key,
        not_before: form.not_before,
        expires_at: form.expires_at,
    };
    let added = tenants::add_key(&call.app, &call.context.actor(), &holder(&call), &new)?;
    let location = call.location(&["keys", &added.key.kid]);
    let mut content = KeyContent::from(added.key);
    content.secret = added.secret.as_ref().map(|secret| secret.as_str());
    let reply = Reply::content(&OneKey { key: content })?.never_stored();
    Ok(if added.created {
        reply.created_at(&location)
    } else {
        reply
    })
}

/// Reads what a key is. Secrets are never shown again.
#[utoipa::path(
    get,
    path = "/keys/{name}",
    operation_id = "get_key",
    responses(
        (status = 200, description = "The key", body = Envelope<OneKey<'_>>),
        (status = 404, description = "key_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let key = tenants::key(&call.app, &holder(&call), call.name())?;
    Reply::content(&OneKey { key: key.into() })
}

/// Ends a key: tokens that it signed are refused from now on.
#[utoipa::path(
    post,
    path = "/keys/{name}/revoke",
    operation_id = "revoke_key",
    responses(
        (status = 200, description = "The key", body = Envelope<OneKey<'_>>),
        (status = 404, description = "key_not_found"),
    )
)]
pub(super) fn revoke(call: Call) -> Result<Reply> {
    call.parameters()?;
    let key = tenants::revoke_key(
        &call.app,
        &call.context.actor(),
        &holder(&call),
        call.name(),
    )?;
    Reply::content(&OneKey { key: key.into() })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenForm)]
struct IssueForm {
    /// What it allows; all that is usual for its holder where it is left out.
    #[schema(value_type = Option<Vec<Scope>>, example = json!(["signatures:read"]))]
    scopes: Option<Vec<String>>,
    /// Its `sub` claim.
    #[schema(example = "crm")]
    subject: Option<String>,
    /// Seconds until it expires.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 3600)]
    lifetime_s: Option<u64>,
    /// The key that signs it; the newest where it is left out.
    #[schema(example = json!(null))]
    kid: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct TokenContent {
    /// The token.
    #[schema(example = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFjbWUtMSJ9.e30.c2ln")]
    token: String,
    /// The key that signed it.
    #[schema(example = "acme-1")]
    kid: String,
    /// When it expires.
    #[schema(value_type = Time)]
    expires_at: String,
}

/// Signs a token with a key that the server holds.
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "issue_token",
    request_body = IssueForm,
    responses(
        (status = 201, description = "The token", body = Envelope<TokenContent>),
        (status = 404, description = "key_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn issue(call: Call) -> Result<Reply> {
    let form: IssueForm = call.json()?;
    let scopes = form.scopes.map(|scopes| {
        let scopes = scopes.iter().map(|scope| parse("scopes", scope));
        scopes.collect::<Result<Vec<Scope>>>()
    });
    let new = NewToken {
        scopes: scopes.transpose()?,
        subject: form.subject,
        lifetime: Duration::from_secs(form.lifetime_s.unwrap_or(DEFAULT_LIFETIME_S)),
        kid: form.kid,
    };
    let issued = tenants::issue_token(&call.app, &call.context.actor(), &holder(&call), new)?;
    let content = TokenContent {
        token: issued.token,
        kid: issued.kid,
        expires_at: time::to_text(issued.expires_at),
    };
    let reply = Reply::content(&content)?;
    Ok(reply.never_stored().with_status_created())
}

/// Publishes the public keys of the platform, as a JSON Web Key Set (RFC 7517).
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "list_public_keys",
    responses(
        (status = 200, description = "The keys", body = KeySet, content_type = "application/jwk-set+json"),
    )
)]
pub(super) fn published(call: Call) -> Result<Reply> {
    call.parameters()?;
    let slug = Some(call.name()).filter(|slug| !slug.is_empty());
    let keys = tenants::published(&call.app, slug)?;
    let set = json!({ "keys": keys }).to_string();
    Ok(Reply::bytes(JWK_SET, set.into_bytes()).cached_by_anybody(JWK_SET_MAX_AGE_S))
}
