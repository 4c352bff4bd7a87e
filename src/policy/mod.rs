//! Policies of tenants: which signatures a tenant accepts, which certificates it trusts, and whether verdicts are
//! recorded.

mod anchors;
mod change;
mod import;

use std::collections::HashSet;
use std::sync::Arc;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::policy::InForce;

use crate::app::App;

pub use anchors::{add_anchors, anchor, anchors, remove_anchor};
pub use change::update;
pub use import::import;

/// The origins that any tenant's policy names; loaded from the database if they are not cached. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn page_origins(app: &App) -> Result<Arc<HashSet<String>>> {
    let load = || app.store.policy_origins().map(Arc::new);
    app.caches.page_origins.get_or_load(&(), load)
}

/// A tenant's policy; loaded from the database if it is not cached. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn in_force(app: &App, tenant: TenantId) -> Result<Arc<InForce>> {
    app.caches.policies.get_or_load(&tenant, || {
        let policy = app.store.policy_get(tenant)?;
        let anchors = app.store.anchor_list(tenant)?;
        InForce::new(policy, anchors).map(Arc::new)
    })
}
