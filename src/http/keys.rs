//! Handlers for keys, and for tokens signed with them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigpersist_model::context::{OneDocument, Owner, Scope};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{Algorithm, StoredKey};
use sigpersist_model::time;
use sigpersist_model::view::{KeyView, TokenView};
use utoipa::ToSchema;

use super::openapi::{GivenPublicKey, GivenTime, KeySet, Location};
use super::operators::parse;
use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::auth::GivenKey;
use crate::tenants::{self, NewKey, NewToken};

/// Media type of a JSON Web Key Set (RFC 7517 section 8.5.2).
const JWK_SET: &str = "application/jwk-set+json";
/// Time for which verifiers may cache the published keys, in seconds. A revoked key may be trusted elsewhere for this
/// long.
const JWK_SET_MAX_AGE_S: u32 = 60;

#[derive(Serialize, ToSchema)]
struct KeysContent {
    /// Keys, newest first.
    keys: Vec<KeyView>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "acme-1")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OneKey {
    /// The key.
    key: KeyView,
}

fn holder(call: &Call) -> Owner {
    call.context.tenancy.clone().into()
}

/// The key that the path names, and its owner: the tenant in the path, the platform, or anybody if the request says so.
fn owned(call: &Call) -> Result<(Owner, StoredKey)> {
    let anybodys = call.parameters()?.flag(&parameter::ANYBODYS)?;
    match holder(call) {
        Owner::Platform if anybodys => tenants::key_of_anybody(&call.app, call.name()),
        holder => {
            let key = tenants::key(&call.app, &holder, call.name())?;
            Ok((holder, key))
        }
    }
}

/// Lists keys, newest first, including revoked ones.
#[utoipa::path(
    get,
    path = "/keys",
    operation_id = "list_keys",
    responses(
        (status = 200, description = "A page of keys", body = Envelope<KeysContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let limit = parameters.limit(&parameter::LIMIT)?;
    let after = parameters.label(&parameter::CURSOR_OF_KEYS)?;
    let page = tenants::keys(&call.app, &holder(&call), after.as_deref(), limit)?;
    Reply::content(&KeysContent {
        keys: page.items.into_iter().map(Into::into).collect(),
        next: page.next,
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyForm)]
struct AddForm {
    /// The algorithm; `HS256` if you give neither an algorithm nor a public key.
    #[schema(value_type = Option<Algorithm>, example = "HS256")]
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
        (status = 201, description = "The key was added", body = Envelope<OneKey>, headers(("location" = Location))),
        (status = 200, description = "The key already exists", body = Envelope<OneKey>),
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
    let mut content = KeyView::from(added.key);
    content.secret = added.secret;
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
        (status = 200, description = "The key", body = Envelope<OneKey>),
        (status = 404, description = "key_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    let (_, key) = owned(&call)?;
    Reply::content(&OneKey { key: key.into() })
}

/// Revokes a key: tokens that it signed are refused from now on.
#[utoipa::path(
    post,
    path = "/keys/{name}/revoke",
    operation_id = "revoke_key",
    responses(
        (status = 200, description = "The key", body = Envelope<OneKey>),
        (status = 404, description = "key_not_found"),
    )
)]
pub(super) fn revoke(call: Call) -> Result<Reply> {
    let (holder, _) = owned(&call)?;
    let key = tenants::revoke_key(&call.app, &call.context.actor(), &holder, call.name())?;
    Reply::content(&OneKey { key: key.into() })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TokenForm)]
struct IssueForm {
    /// Scopes of the token. You must give them for the platform. A tenant's default is to read, save and delete
    /// signatures and to follow events; for a token for one document, it is to read and save signatures.
    #[schema(value_type = Option<Vec<Scope>>, example = json!(["signatures:read"]))]
    scopes: Option<Vec<String>>,
    /// Its `sub` claim.
    #[schema(example = "crm")]
    subject: Option<String>,
    /// The only document that the token is for: it is refused for every other one. Such tokens are meant for browsers.
    #[schema(example = json!(null))]
    document: Option<String>,
    /// The document's only thread that the token is for; if left out, it is for all of them.
    #[schema(example = json!(null))]
    thread: Option<String>,
    /// Lifetime of the token, in seconds; if left out, an hour, or the maximum for a token for one document.
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

/// Signs a token with a key that the server holds.
#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "issue_token",
    request_body = IssueForm,
    responses(
        (status = 201, description = "The token", body = Envelope<TokenView>),
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
    let bound_to = match (form.document, form.thread) {
        (Some(document), thread) => Some(OneDocument { document, thread }),
        (None, Some(_)) => {
            let message = "`thread` needs `document`: a token is for a thread of one document.";
            return Err(Error::invalid("thread", message));
        }
        (None, None) => None,
    };
    let new = NewToken {
        bound_to,
        scopes: scopes.transpose()?,
        subject: form.subject,
        lifetime: form.lifetime_s.map(Duration::from_secs),
        kid: form.kid,
    };
    let issued = tenants::issue_token(&call.app, &call.context.actor(), &holder(&call), new)?;
    let content = TokenView {
        token: issued.token,
        kid: issued.kid,
        scopes: issued.scopes,
        expires_at: issued.expires_at.into(),
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
