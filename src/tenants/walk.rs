//! Work in the background that goes from tenant to tenant, in steps between which requests come first.

use std::sync::Arc;
use std::time::Duration;

use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use tracing::warn;

use crate::app::App;

/// Pause between two steps.
const PAUSE: Duration = Duration::from_millis(50);

/// The result of a step: how much was done, and whether the tenant may have more to do.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// There may be more.
    More(usize),
    /// There is no more.
    Done(usize),
}

/// Calls a step, which blocks, for each tenant until that has no more to do. Returns how much was done. A tenant for which
/// a step fails keeps no other one waiting; `what` names the work in the log.
///
/// # Errors
///
/// The errors of reading the next tenant.
pub async fn walk(
    app: &Arc<App>,
    what: &'static str,
    step: impl Fn(&App, TenantId) -> Result<Step> + Copy + Send + 'static,
) -> Result<usize> {
    let mut done = 0;
    let mut tenant = PLATFORM;
    loop {
        let of = Arc::clone(app);
        let next = blocking::run((), move || of.store.tenant_ids(tenant, 1)).await??;
        let Some(next) = next.first() else {
            return Ok(done);
        };
        tenant = *next;
        loop {
            let of = Arc::clone(app);
            let stepped = blocking::run((), move || step(&of, tenant)).await;
            match stepped.and_then(|stepped| stepped) {
                Ok(Step::More(some)) => done += some,
                Ok(Step::Done(some)) => {
                    done += some;
                    break;
                }
                Err(cause) => {
                    warn!(tenant.id = tenant.0, %cause, "{what} failed for a tenant; trying again later");
                    break;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
