//! Handlers for keys, and for tokens signed with them.

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
/// Media type of a JSON Web Key Set (RFC 7517 section 8.5.2).
const JWK_SET: &str = "application/jwk-set+json";
/// Time for which verifiers may cache the published keys, in seconds. A revoked key may be trusted elsewhere for this
/// long.
const JWK_SET_MAX_AGE_S: u32 = 60;

#[derive(Serialize, ToSchema)]
struct KeyContent<'a> {
    /// Its name, as in the `kid` header of tokens.
    #[schema(example = "acme-1")]
    kid: String,
    /// The only algorithm that the key may be used with (RFC 7518 section 3.1).
    #[schema(value_type = KeyAlgorithm, example = "ES256")]
    algorithm: &'static str,
    /// Kind of the key.
    #[schema(value_type = KeyKind, example = "key_pair")]
    kind: &'static str,
    /// State of the key.
    state: KeyState,
    /// The public key in PEM; null for a shared secret.
    #[schema(example = "-----BEGIN PUBLIC KEY-----\nMFkw…\n-----END PUBLIC KEY-----\n")]
    public_key: Option<String>,
    /// When it was added.
    #[schema(value_type = Time)]
    created_at: String,
    /// Start of its validity; null for immediately.
    #[schema(value_type = Option<Time>, example = json!(null))]
    not_before: Option<String>,
    /// End of its validity; null if it is valid until revoked.
    #[schema(value_type = Option<Time>, example = json!(null))]
    expires_at: Option<String>,
    /// Time at which it was revoked; null if it is not.
    #[schema(value_type = Option<Time>, example = json!(null))]
    revoked_at: Option<String>,
    /// The shared secret, shown only once.
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
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
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

/// Lists keys, newest first, including revoked ones.
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
    /// The algorithm; `HS256` if you give neither an algorithm nor a public key.
    #[schema(value_type = Option<KeyAlgorithm>, example = "HS256")]
    algorithm: Option<String>,
    /// Its name; if left out, the server chooses one.
    #[schema(example = "acme-1")]
    kid: Option<String>,
    /// The public key, in PEM or as a JSON Web Key.
    #[schema(value_type = Option<GivenPublicKey>, example = json!(null))]
    public_key: Option<Value>,
    /// Start of its validity.
    #[serde(default, deserialize_with = "time::deserialize_option")]
    #[schema(value_type = Option<GivenTime>, example = json!(null))]
    not_before: Option<DateTime<Utc>>,
    /// End of its validity.
    #[serde(default, deserialize_with = "time::deserialize_option")]
    #[schema(value_type = Option<GivenTime>, example = "2031-02-18 01:00:00")]
    expires_at: Option<DateTime<Utc>>,
}

/// Adds a key that verifies tokens: generates one, or registers your public key.
///
/// A new shared secret is shown only in this response.
#[utoipa::path(
    post,
    path = "/keys",
    operation_id = "add_key",
    request_body = AddForm,
    responses(
        (status = 201, description = "The key was added", body = Envelope<OneKey<'_>>, headers(("location" = Location))),
        (status = 200, description = "The key already exists", body = Envelope<OneKey<'_>>),
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
            let message = "`public_key` must be PEM as text, or a JSON Web Key as an object.";
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

/// Reads a key's details. Secrets are never shown again.
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

/// Revokes a key: tokens that it signed are refused from now on.
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
    /// Scopes of the token. You must give them for the platform; a tenant's default is to read, save and delete
    /// signatures.
    #[schema(value_type = Option<Vec<Scope>>, example = json!(["signatures:read"]))]
    scopes: Option<Vec<String>>,
    /// Its `sub` claim.
    #[schema(example = "crm")]
    subject: Option<String>,
    /// Lifetime of the token, in seconds.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 3600)]
    lifetime_s: Option<u64>,
    /// The key that signs it; if left out, the newest.
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
