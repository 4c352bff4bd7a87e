//! Logs versions that were stored without being logged: before there was a log, or by a server of an earlier release.

use std::sync::Arc;
use std::time::Duration;

use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use sigpersist_store::Store;
use sigpersist_tlog::Kind;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::app::App;

/// Time between two walks through all tenants.
const INTERVAL: Duration = Duration::from_mins(10);
/// Pause between two batches, and while the queue is not empty: what happens now comes first.
const PAUSE: Duration = Duration::from_millis(50);

/// Starts to log versions that are not logged yet, tenant by tenant. The task is stopped when the result is dropped.
pub fn keep_backfilling(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log {
            return;
        }
        loop {
            if let Err(cause) = walk(&app).await {
                warn!(%cause, "Versions from before the log could not be logged; trying again later");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

async fn walk(app: &Arc<App>) -> Result<()> {
    let mut logged = 0;
    let mut tenant = PLATFORM;
    loop {
        let of = Arc::clone(app);
        let next = blocking::run((), move || of.store.tenant_ids(tenant, 1)).await??;
        let Some(next) = next.first() else {
            break;
        };
        tenant = *next;
        logged += fill(app, tenant).await?;
    }
    if logged > 0 {
        info!(
            versions = logged,
            "Logged versions that were stored before they could be logged"
        );
    }
    Ok(())
}

/// Logs all of a tenant's versions that are not.
async fn fill(app: &Arc<App>, tenant: TenantId) -> Result<usize> {
    let mut logged = 0;
    loop {
        let of = Arc::clone(app);
        let batch = blocking::run((), move || {
            // What happens now is numbered first.
            if of.store.log_queue_is_long()? {
                return Ok(None);
            }
            of.store.log_backfill(tenant, Kind::Backfilled).map(Some)
        })
        .await??;
        match batch {
            Some(batch) if batch < Store::BACKFILLED_AT_ONCE => return Ok(logged + batch),
            Some(batch) => logged += batch,
            None => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}
