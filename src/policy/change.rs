//! Changes a tenant's policy.

use std::sync::Arc;

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::origin::fold_origins;
use sigpersist_model::policy::{InForce, Policy, PolicyPatch};

use super::in_force;
use crate::app::App;

/// Changes a tenant's policy. Members that are not given stay as they are. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if an origin is none or there are too many, and the errors of the store.
///
/// [`Error::InvalidParameter`]: sigpersist_model::error::Error::InvalidParameter
pub fn update(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    change: PolicyPatch,
) -> Result<Arc<InForce>> {
    let change = PolicyPatch {
        cors_origins: change
            .cors_origins
            .map(|origins| fold_origins("cors_origins", origins))
            .transpose()?,
        ..change
    };
    let event = |before: Policy, after: Policy| {
        Event::new(Some(tenant), actor.clone(), "policy.set", "policy")
            .before(json!(before))
            .after(json!(after))
    };
    app.store
        .policy_update(tenant, |before| change.of(before), event)?;
    in_force(app, tenant)
}
