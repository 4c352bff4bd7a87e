//! What a tenant accepts as a signature, whom it trusts, and whether it is recorded how signatures were judged.

mod anchors;
mod change;
mod import;
pub mod model;

use std::sync::Arc;

use crate::app::App;
use crate::context::TenantId;
use crate::error::Result;
use model::InForce;

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
