//! Imports the policy in a tenant's file.

use sigpersist_model::audit::Actor;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::origin::fold_origins;
use sigpersist_model::policy::{MAX_ANCHORS, Policy, read_anchors};
use sigpersist_model::transfer;

use super::anchors::event;
use super::in_force;
use super::update;
use crate::app::App;

/// Sets the policy if none is set here, and trusts those of its certificates that are not trusted yet. Returns the
/// number of changes. If another policy is set here, it stays. Blocks.
///
/// # Errors
///
/// The errors of the store. The inner error says what was left out, and why.
pub fn import(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    line: &transfer::Policy,
) -> Result<Result<u64, String>> {
    let mut anchors = Vec::with_capacity(line.trust_anchors.len());
    for anchor in &line.trust_anchors {
        match read_anchors(anchor.pem.as_bytes(), anchor.created_at) {
            Some(given) => anchors.extend(given),
            None => return Ok(Err("it has a certificate that can't be read".to_owned())),
        }
    }
    let present = in_force(app, tenant)?.policy.clone();
    // Tenants of an earlier release do not index signers, although nobody set that.
    let nothing = Policy {
        index_signers: present.index_signers,
        ..Policy::default()
    };
    if present != line.policy && present != nothing {
        return Ok(Err("another policy is set here".to_owned()));
    }
    if fold_origins("cors_origins", line.policy.cors_origins.clone()).is_err() {
        return Ok(Err(
            "it has an origin that is none, or too many of them".to_owned()
        ));
    }
    let event = |anchor: &_| event(tenant, actor, anchor);
    let Some(added) = app
        .store
        .anchor_insert(tenant, &anchors, MAX_ANCHORS, event)?
    else {
        return Ok(Err(
            "the tenant would trust too many certificates".to_owned()
        ));
    };
    update(app, tenant, actor, line.policy.clone().into())?;
    Ok(Ok(added as u64 + u64::from(present != line.policy)))
}
