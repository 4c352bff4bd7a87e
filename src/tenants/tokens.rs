//! Tokens that the server issues, for scripts and tests.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sigpersist_model::audit::Actor;
use sigpersist_model::context::{OneDocument, Owner, Scope};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::key::{KeyState, StoredKey};
use sigpersist_model::signature::check_label;
use sigpersist_model::time;

use super::keys::owners_event;
use crate::app::App;
use crate::auth::token;

/// Lifetime of a token for which none is given, in seconds.
const DEFAULT_LIFETIME_S: u64 = 3_600;

/// A request for a token.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Scopes of the token; none for those of a tenant's application, or to read and save if it is for one document.
    /// Required for the platform.
    pub scopes: Option<Vec<Scope>>,
    /// The only document that the token is for.
    pub bound_to: Option<OneDocument>,
    /// The `sub` claim: who will use the token.
    pub subject: Option<String>,
    /// Lifetime of the token; none for an hour, or for the longest that a token for one document may have, if that is less.
    pub lifetime: Option<Duration>,
    /// The key that signs it; none for the newest one that can.
    pub kid: Option<String>,
}

/// An issued token. It is not stored, and cannot be read again.
pub struct IssuedToken {
    /// The token.
    pub token: String,
    /// Scopes of the token.
    pub scopes: Vec<Scope>,
    /// The key that signed it.
    pub kid: String,
    /// End of its validity.
    pub expires_at: DateTime<Utc>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IssuedToken by {}", self.kid)
    }
}

/// Issues a token. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if the server has no key to sign with, or the lifetime is out of range; [`Error::NotFound`] if
/// there is no key with the given name.
pub fn issue_token(app: &App, actor: &Actor, owner: &Owner, new: NewToken) -> Result<IssuedToken> {
    let config = &app.config.auth;
    let (longest_s, kind, setting) = match &new.bound_to {
        None => (
            config.max_token_lifetime_s,
            "token",
            "auth.max_token_lifetime_s",
        ),
        Some(bound_to) => {
            check_bound(owner, bound_to)?;
            let longest_s = config.max_document_token_lifetime_s;
            (
                longest_s.min(config.max_token_lifetime_s),
                "token for one document",
                "auth.max_document_token_lifetime_s",
            )
        }
    };
    let lifetime_s = match (new.lifetime, &new.bound_to) {
        (Some(lifetime), _) => lifetime.as_secs(),
        (None, None) => DEFAULT_LIFETIME_S,
        (None, Some(_)) => DEFAULT_LIFETIME_S.min(longest_s),
    };
    if !(1..=longest_s).contains(&lifetime_s) {
        return Err(Error::refused(format!(
            "The lifetime of a {kind} must be between 1 and {longest_s} seconds ({setting})."
        )));
    }
    let lifetime = Duration::from_secs(lifetime_s);
    let key = signing_key(app, owner, new.kid.as_deref())?;
    let now = Utc::now();
    let expires_at = now + lifetime;
    if key.expires_at.is_some_and(|end| end < expires_at) {
        return Err(Error::refused(format!(
            "The key `{}` expires before the token would. Ask for a shorter lifetime, or sign with another key.",
            key.kid
        )));
    }
    let allowed = match (new.scopes, owner) {
        (Some(scopes), _) => scopes,
        (None, Owner::Tenant(_)) if new.bound_to.is_some() => Scope::DOCUMENT.to_vec(),
        (None, Owner::Tenant(_)) => Scope::APPLICATION.to_vec(),
        (None, Owner::Platform) => {
            return Err(Error::refused(
                "Give the scopes of a token of the platform, such as tenants:write.",
            ));
        }
    };
    let scopes: Vec<_> = allowed.iter().map(|scope| scope.as_str()).collect();
    let mut facts = json!({
        "subject": new.subject,
        "scopes": scopes,
        "expires_at": time::to_text(expires_at),
    });
    if let Some(bound_to) = &new.bound_to {
        facts["document"] = json!(bound_to.document);
        facts["thread"] = json!(bound_to.thread);
    }
    let token = token::issue(
        &key,
        app.vault.as_deref(),
        new.subject,
        &allowed,
        new.bound_to,
        lifetime,
        &app.config.auth,
    )?;
    // The event is stored before the token is returned, so that the audit trail knows every token.
    let event = owners_event(owner, actor, "token.issue", &key.kid).after(facts);
    app.store.audit_insert(&event)?;
    Ok(IssuedToken {
        token,
        scopes: allowed,
        kid: key.kid,
        expires_at,
    })
}

/// Checks that a token of this owner may be for this document.
fn check_bound(owner: &Owner, bound_to: &OneDocument) -> Result<()> {
    if *owner == Owner::Platform {
        return Err(Error::refused(
            "Only a tenant's token can be for one document: name the tenant.",
        ));
    }
    check_label("document", &bound_to.document)?;
    match &bound_to.thread {
        Some(thread) => check_label("thread", thread),
        None => Ok(()),
    }
}

fn signing_key(app: &App, owner: &Owner, kid: Option<&str>) -> Result<StoredKey> {
    if let Some(kid) = kid {
        let key = app.store.key_of(owner, kid)?;
        let key = key.ok_or(Error::NotFound(Noun::Key))?;
        return match key.state(Utc::now()) {
            KeyState::Active => Ok(key),
            state => Err(Error::refused(format!(
                "The key `{kid}` is {}: it can't sign tokens.",
                state.as_str()
            ))),
        };
    }
    let newest = app.store.key_newest_signing(owner)?;
    newest.ok_or_else(|| {
        let (whose, add) = match owner.slug() {
            Some(slug) => (format!("The tenant `{slug}`"), slug),
            None => ("The platform".to_owned(), "--platform"),
        };
        Error::refused(format!(
            "{whose} has no key that the server can sign with. Add one with `sigpersist key add {add}`."
        ))
    })
}
