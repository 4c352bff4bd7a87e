//! Trust anchors: the certificates that a tenant trusts.

use chrono::Utc;
use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::policy::{MAX_ANCHORS, TrustAnchor, read_anchors};
use sigpersist_model::view::AnchorView;

use crate::app::App;

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
    let given = read_anchors(file, Utc::now()).ok_or_else(|| {
        let message = "`pem` must contain the certificates to trust, in PEM, and nothing else, such as a key.";
        Error::invalid("pem", message)
    })?;
    let event = |anchor: &TrustAnchor| event(tenant, actor, anchor);
    let added = app
        .store
        .anchor_insert(tenant, &given, MAX_ANCHORS, event)?
        .ok_or_else(|| {
            Error::refused(format!(
                "A tenant can trust {MAX_ANCHORS} certificates at most: remove some, or trust their issuers instead."
            ))
        })?;
    let all = anchors(app, tenant)?.into_iter();
    let asked = all.filter(|anchor| given.iter().any(|given| given.sha256 == anchor.sha256));
    Ok((asked.collect(), added > 0))
}

pub(super) fn event(tenant: TenantId, actor: &Actor, anchor: &TrustAnchor) -> Event {
    let target = anchor.sha256.to_string();
    Event::new(Some(tenant), actor.clone(), "anchor.add", target)
        .after(json!(AnchorView::from(anchor)))
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
    let event = event.before(json!(AnchorView::from(&removed)));
    if !app.store.anchor_delete(tenant, sha256, &event)? {
        return Err(Error::NotFound(Noun::TrustAnchor));
    }
    Ok(removed)
}
