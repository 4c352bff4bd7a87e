//! Management of the identity providers that tenants trust.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::Tenancy;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::issuer::{Issuer, IssuerRules, KeySource, check_issuer};
use sigpersist_model::tenant::check_slug;
use sigpersist_model::view::KnownKeysView;
use sigpersist_store::IssuerInsertion;

use super::fetch::{check_url, configuration_url, fetch_blocking};
use crate::app::App;
use crate::auth::key_set::KeySet;
use crate::auth::key_sets::{Fetch, Place, known_of};

/// A provider to add.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// Its name.
    pub name: String,
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The origin of its keys.
    pub keys: KeySource,
    /// What its tokens must claim, and what that gives.
    pub rules: IssuerRules,
}

/// A provider that was added, or was there.
#[derive(Debug)]
pub struct Added {
    /// The provider.
    pub issuer: Issuer,
    /// Whether it is new.
    pub is_new: bool,
}

/// Adds a provider whose tokens authenticate callers of a tenant. Fetches nothing. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] for the form of a field; [`Error::Refused`] if its keys may not be fetched or used, if its tokens
/// could not be told from those of another one, or if there are too many.
pub fn add(app: &App, actor: &Actor, tenancy: &Tenancy, new: NewIssuer) -> Result<Added> {
    insert(app, actor, tenancy, new, Utc::now())
}

/// Adds a provider from another server, unless it exists; returns whether it is new. Blocks.
///
/// # Errors
///
/// The errors of [`add`].
pub(crate) fn import(
    app: &App,
    actor: &Actor,
    tenancy: &Tenancy,
    new: NewIssuer,
    created_at: DateTime<Utc>,
) -> Result<bool> {
    insert(app, actor, tenancy, new, created_at).map(|added| added.is_new)
}

fn insert(
    app: &App,
    actor: &Actor,
    tenancy: &Tenancy,
    new: NewIssuer,
    created_at: DateTime<Utc>,
) -> Result<Added> {
    check_slug("issuer", &new.name)?;
    check_issuer(&new.issuer)?;
    new.rules.check()?;
    if app.config.auth.issuer.as_ref() == Some(&new.issuer) {
        return Err(Error::refused(
            "This is the `iss` of the tokens that this server issues (auth.issuer); their keys are those of `sigpersist key`.",
        ));
    }
    let issuer = Issuer {
        tenancy: tenancy.clone(),
        tenant_suspended: false,
        keys: checked_keys(app, &new)?,
        name: new.name,
        issuer: new.issuer,
        rules: new.rules,
        created_at,
        refreshed_at: None,
    };
    let most = app.config.auth.max_issuers_per_tenant;
    let event = |added: &Issuer| {
        Event::new(Some(tenancy.id), actor.clone(), "issuer.add", &*added.name)
            .after(audited(added))
    };
    match app.store.issuer_insert(&issuer, most, event)? {
        IssuerInsertion::Added(issuer) => Ok(Added {
            issuer,
            is_new: true,
        }),
        IssuerInsertion::Taken(there)
            if there.issuer == issuer.issuer
                && there.keys == issuer.keys
                && there.rules == issuer.rules =>
        {
            Ok(Added {
                issuer: there,
                is_new: false,
            })
        }
        IssuerInsertion::Taken(there) => Err(Error::refused(format!(
            "The issuer `{}` of this tenant is another one: remove it first, or give this one another name.",
            there.name
        ))),
        IssuerInsertion::NotApart(other) => Err(Error::refused(format!(
            "A token of this issuer could also be for the tenant `{}`, by its issuer `{}`: give one of them other audiences, or require a claim of both with different values.",
            other.tenancy.slug, other.name
        ))),
        IssuerInsertion::TooMany => Err(Error::refused(format!(
            "This tenant has {most} issuers, the most that it may have (auth.max_issuers_per_tenant). Remove one first."
        ))),
    }
}

/// The origin of a new provider's keys, if they may be fetched or used.
fn checked_keys(app: &App, new: &NewIssuer) -> Result<KeySource> {
    let fetched_from = |url: &str| {
        let outbound = app.outbound_to_issuers();
        let outbound = outbound.map_err(|cause| Error::Internal(cause.into()))?;
        check_url(app, outbound, url).map_err(Error::Refused)
    };
    match &new.keys {
        KeySource::Given(text) => {
            KeySet::given(text.as_bytes()).map_err(Error::Refused)?;
            Ok(new.keys.clone())
        }
        KeySource::Url(url) => fetched_from(url).map(KeySource::Url),
        KeySource::Discovery => {
            if new.issuer.contains(['?', '#']) {
                return Err(Error::invalid(
                    "issuer",
                    "An issuer with `?` or `#` can't be discovered: give the URL of its keys as `jwks_url`.",
                ));
            }
            fetched_from(&configuration_url(&new.issuer))?;
            Ok(KeySource::Discovery)
        }
    }
}

/// A tenant's providers, by name. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn list(app: &App, tenancy: &Tenancy) -> Result<Vec<Issuer>> {
    app.store.issuer_list(tenancy.id)
}

/// A tenant's provider. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none with this name.
pub fn get(app: &App, tenancy: &Tenancy, name: &str) -> Result<Issuer> {
    let found = app.store.issuer_get(tenancy.id, name)?;
    found.ok_or(Error::NotFound(Noun::Issuer))
}

/// The keys of a provider that this server knows; none if it has tried to get none yet.
pub fn known(app: &App, issuer: &Issuer) -> Option<KnownKeysView> {
    match (&issuer.keys, Place::of(issuer)) {
        (_, Some(place)) => app.caches.authenticator.key_sets().known(&place),
        (KeySource::Given(text), None) => {
            let set = KeySet::stored(text.as_bytes());
            set.ok().map(|set| known_of(&set))
        }
        _ => None,
    }
}

/// Removes a provider: its tokens are refused from now on, on all servers within a second. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none with this name.
pub fn remove(app: &App, actor: &Actor, tenancy: &Tenancy, name: &str) -> Result<()> {
    let removed = app.store.issuer_delete(tenancy.id, name, |before| {
        Event::new(Some(tenancy.id), actor.clone(), "issuer.remove", name).before(audited(before))
    })?;
    match removed {
        true => Ok(()),
        false => Err(Error::NotFound(Noun::Issuer)),
    }
}

/// Fetches a provider's keys now, and makes the other servers fetch them again before they verify the next token.
///
/// Keys that were fetched before stay in use if that fails. Blocks for at most the time of two requests.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none with this name.
pub fn refresh(app: &App, actor: &Actor, tenancy: &Tenancy, name: &str) -> Result<Issuer> {
    let event = Event::new(Some(tenancy.id), actor.clone(), "issuer.refresh", name);
    let issuer = app.store.issuer_refresh(tenancy.id, name, &event)?;
    let issuer = issuer.ok_or(Error::NotFound(Noun::Issuer))?;
    if let Some(place) = Place::of(&issuer) {
        let fetch = Fetch {
            place,
            tenant: tenancy.id,
            refreshed_at: issuer.refreshed_at,
        };
        fetch_blocking(app, &fetch);
    }
    Ok(issuer)
}

/// A provider's properties for the audit trail.
fn audited(issuer: &Issuer) -> Value {
    let (keys, jwks_url) = match &issuer.keys {
        KeySource::Discovery => ("discovery", None),
        KeySource::Url(url) => ("url", Some(url)),
        KeySource::Given(_) => ("given", None),
    };
    json!({
        "issuer": issuer.issuer,
        "keys": keys,
        "jwks_url": jwks_url,
        "rules": issuer.rules,
    })
}
