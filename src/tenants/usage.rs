//! Stored data of tenants, and the check for room before a save.

use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::tenant::Usage;
use sigpersist_runtime::meters::Room;

use crate::app::App;

/// Reads the stored data of a tenant. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn usage(app: &App, tenant: TenantId) -> Result<Usage> {
    app.store.usage_get(tenant)
}

/// Reserves room for a save of this many bytes. `creates` tells whether it may create a thread. Blocks at most about
/// once per second, to read the sum.
///
/// # Errors
///
/// [`Error::QuotaExceeded`](sigpersist_model::error::Error::QuotaExceeded), and the errors of the store.
pub fn room(app: &App, context: &Context, bytes: usize, creates: bool) -> Result<Room> {
    let sum = || usage(app, context.tenant()?);
    app.meters.room(&context.caller, bytes, creates, sum)
}

/// Discards the last reading of a caller's tenant, after its usage has decreased.
pub fn forget(app: &App, context: &Context) {
    app.meters.forget_usage(&context.caller);
}
