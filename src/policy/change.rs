//! Changing what a tenant accepts and records.

use serde_json::json;

use super::in_force;
use super::model::{Accept, Policy};
use crate::app::App;
use crate::audit::{Actor, Event};
use crate::context::TenantId;
use crate::error::Result;

/// Changes a tenant's policy; what is not given stays. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn update(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    accept: Option<Accept>,
    record_verdicts: Option<bool>,
) -> Result<Policy> {
    let event = |before: Policy, after: Policy| {
        Event::new(Some(tenant), actor.clone(), "policy.set", "policy")
            .before(json!(before))
            .after(json!(after))
    };
    let becomes = |before: Policy| Policy {
        accept: accept.unwrap_or(before.accept),
        record_verdicts: record_verdicts.unwrap_or(before.record_verdicts),
    };
    app.store.policy_update(tenant, becomes, event)?;
    app.forget_policy(tenant);
    Ok(in_force(app, tenant)?.policy)
}
