//! Logs versions that were stored without being logged: before there was a log, or by a server of an earlier release.

use std::sync::Arc;
use std::time::Duration;

use sigpersist_model::error::Result;
use sigpersist_store::Store;
use sigpersist_tlog::Kind;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::app::App;
use crate::tenants::{self, Step};

/// Time between two walks through all tenants.
const INTERVAL: Duration = Duration::from_mins(10);

/// Starts to log versions that are not logged yet, tenant by tenant. The task is stopped when the result is dropped.
pub fn keep_backfilling(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log {
            return;
        }
        loop {
            if let Err(cause) = fill(&app).await {
                warn!(%cause, "Versions from before the log could not be logged; trying again later");
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

async fn fill(app: &Arc<App>) -> Result<()> {
    let logged = tenants::walk(app, "Logging earlier versions", |app, tenant| {
        // What happens now is numbered first.
        if app.store.log_queue_is_long()? {
            return Ok(Step::More(0));
        }
        let batch = app.store.log_backfill(tenant, Kind::Backfilled)?;
        Ok(match batch < Store::BACKFILLED_AT_ONCE {
            true => Step::Done(batch),
            false => Step::More(batch),
        })
    })
    .await?;
    if logged > 0 {
        info!(
            versions = logged,
            "Logged versions that were stored before they could be logged"
        );
    }
    Ok(())
}
