//! The handlers of keys, and of tokens that they sign.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::operators::{label_of, parse};
use super::reply::Reply;
use super::respond::Call;
use crate::auth::key::{KeyState, StoredKey};
use crate::context::Scope;
use crate::error::{Error, Result};
use crate::tenants::{self, GivenKey, Holder, NewKey, NewToken};
use crate::time;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;
const DEFAULT_LIFETIME_S: u64 = 3_600;
/// RFC 7517 section 8.5.2.
const JWK_SET: &str = "application/jwk-set+json";
/// How long verifiers may keep the published keys, in seconds: so long a revoked one may still be believed elsewhere.
const JWK_SET_MAX_AGE_S: u32 = 60;

#[derive(Serialize)]
struct KeyContent<'a> {
    kid: String,
    algorithm: &'static str,
    kind: &'static str,
    state: KeyState,
    public_key: Option<String>,
    created_at: String,
    not_before: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    /// Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
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

#[derive(Serialize)]
struct KeysContent<'a> {
    keys: Vec<KeyContent<'a>>,
    next: Option<String>,
}

#[derive(Serialize)]
struct OneKey<'a> {
    key: KeyContent<'a>,
}

fn holder(call: &Call) -> Holder {
    call.context.tenancy.clone().into()
}

/// `GET /keys`.
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters(&["limit", "cursor"])?;
    let limit = parameters.integer("limit", 1, MAX_LIMIT)?;
    let after = label_of(&parameters, "cursor")?;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddForm {
    algorithm: Option<String>,
    kid: Option<String>,
    /// PEM, or a JSON Web Key.
    public_key: Option<Value>,
    #[serde(default, deserialize_with = "time::deserialize_option")]
    not_before: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "time::deserialize_option")]
    expires_at: Option<DateTime<Utc>>,
}

/// `POST /keys`.
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

/// `GET /keys/{name}`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let key = tenants::key(&call.app, &holder(&call), call.name())?;
    Reply::content(&OneKey { key: key.into() })
}

/// `POST /keys/{name}/revoke`.
pub(super) fn revoke(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let key = tenants::revoke_key(
        &call.app,
        &call.context.actor(),
        &holder(&call),
        call.name(),
    )?;
    Reply::content(&OneKey { key: key.into() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueForm {
    scopes: Option<Vec<String>>,
    subject: Option<String>,
    lifetime_s: Option<u64>,
    kid: Option<String>,
}

#[derive(Serialize)]
struct TokenContent {
    token: String,
    kid: String,
    expires_at: String,
}

/// `POST /tokens`.
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

/// `GET /.well-known/jwks.json`, and the same of a tenant.
pub(super) fn published(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let slug = Some(call.name()).filter(|slug| !slug.is_empty());
    let keys = tenants::published(&call.app, slug)?;
    let set = json!({ "keys": keys }).to_string();
    Ok(Reply::bytes(JWK_SET, set.into_bytes()).cached_by_anybody(JWK_SET_MAX_AGE_S))
}
