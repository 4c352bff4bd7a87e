//! Trust anchors: the certificates that a tenant trusts.

use chrono::{DateTime, Utc};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::policy::TrustAnchor;
use sigpersist_verify::certificates;

use crate::app::App;

/// Greatest number of certificates that a tenant may trust. Each is examined for each signature that is verified.
pub(super) const MAX_ANCHORS: usize = 100;

/// A tenant's trust anchors, oldest first. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn anchors(app: &App, tenant: TenantId) -> Result<Vec<TrustAnchor>> {
    app.store.anchor_list(tenant)
}

/// The trust anchor with this digest. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn anchor(app: &App, tenant: TenantId, sha256: Digest) -> Result<TrustAnchor> {
    let mut anchors = anchors(app, tenant)?.into_iter();
    anchors
        .find(|anchor| anchor.sha256 == sha256)
        .ok_or(Error::NotFound(Noun::TrustAnchor))
}

/// Trusts all certificates of a PEM or DER file. Returns those of them that are trusted now, and whether any is new.
/// Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if the file holds no certificate or something else, [`Error::Refused`] if there are too
/// many.
pub fn add_anchors(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    file: &[u8],
) -> Result<(Vec<TrustAnchor>, bool)> {
    let given = read(file, Utc::now()).ok_or_else(|| {
        let message = "There is no certificate in it, or something beside certificates that is none, such as a key: `pem` holds the certificates that are to be trusted, in PEM.";
        Error::invalid("pem", message)
    })?;
    let event = |anchor: &TrustAnchor| event(tenant, actor, anchor);
    let added = app
        .store
        .anchor_insert(tenant, &given, MAX_ANCHORS, event)?
        .ok_or_else(|| {
            Error::refused(format!(
                "A tenant trusts {MAX_ANCHORS} certificates at most: remove some, or trust who issued them instead."
            ))
        })?;
    app.forget_policy(tenant);
    let all = anchors(app, tenant)?.into_iter();
    let asked = all.filter(|anchor| given.iter().any(|given| given.sha256 == anchor.sha256));
    Ok((asked.collect(), added > 0))
}

/// Reads the certificates of a PEM or DER file; none if there are none, or one can't be read.
pub fn read(file: &[u8], created_at: DateTime<Utc>) -> Option<Vec<TrustAnchor>> {
    let mut given: Vec<TrustAnchor> = Vec::new();
    for certificate in certificates(file) {
        let anchor = TrustAnchor {
            sha256: Digest(sha256(&certificate)),
            created_at,
            certificate,
        };
        // The certificate must be complete, with nothing after it.
        anchor
            .describe()
            .filter(|described| described.sha256 == anchor.sha256.to_string())?;
        // A file of megabytes may repeat a certificate a million times.
        if given.iter().all(|given| given.sha256 != anchor.sha256) {
            given.push(anchor);
        }
        if given.len() > MAX_ANCHORS {
            // They are too many already.
            break;
        }
    }
    (!given.is_empty()).then_some(given)
}

pub(super) fn event(tenant: TenantId, actor: &Actor, anchor: &TrustAnchor) -> Event {
    let target = anchor.sha256.to_string();
    Event::new(Some(tenant), actor.clone(), "anchor.add", target).after(anchor.facts())
}

/// Removes a trust anchor. Recorded verdicts stay as they are. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn remove_anchor(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    sha256: Digest,
) -> Result<TrustAnchor> {
    let removed = anchor(app, tenant, sha256)?;
    let target = sha256.to_string();
    let event = Event::new(Some(tenant), actor.clone(), "anchor.remove", target);
    let event = event.before(removed.facts());
    if !app.store.anchor_delete(tenant, sha256, &event)? {
        return Err(Error::NotFound(Noun::TrustAnchor));
    }
    app.forget_policy(tenant);
    Ok(removed)
}
