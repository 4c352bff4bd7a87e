//! What a tenant accepts as a signature, whom it trusts, and whether it is recorded how signatures were judged.

mod anchors;
mod change;
mod import;

use std::sync::Arc;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::policy::InForce;

use crate::app::App;

pub use anchors::{add_anchors, anchor, anchors, read as read_anchors, remove_anchor};
pub use change::update;
pub use import::import;

/// A tenant's policy; from the database where it is not at hand. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn in_force(app: &App, tenant: TenantId) -> Result<Arc<InForce>> {
    app.policies.get_or_load(&tenant, || {
        let policy = app.store.policy_get(tenant)?;
        let anchors = app.store.anchor_list(tenant)?;
        InForce::new(policy, anchors).map(Arc::new)
    })
}
