//! Deletes decisions that are older than the retention time, in the background and in small batches.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::app::App;

/// Time between two checks for old decisions.
const INTERVAL: Duration = Duration::from_secs(600);
/// Rows of one batch. A batch is one short transaction.
const BATCH: i64 = 1_000;
/// Pause between two batches, so that other queries get the database.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts to delete decisions older than `hooks.keep_decisions_days` periodically. The task is stopped when the result is
/// dropped.
pub fn keep_clearing(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            clear(&app).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

/// Deletes old decisions of one tenant after the other: row-level security never shows the rows of all tenants at once.
async fn clear(app: &Arc<App>) {
    let days = app.config.hooks.keep_decisions_days;
    if days == 0 {
        return;
    }
    let before = Utc::now() - TimeDelta::days(days.into());
    let mut cleared = 0;
    let mut tenant = None;
    loop {
        let app = Arc::clone(app);
        match blocking::run((), move || clear_some(&app, tenant, before)).await {
            Ok(Ok(None)) => break,
            Ok(Ok(Some((next, rows)))) => {
                tenant = Some(next);
                cleared += rows;
                if rows > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Ok(Err(cause)) => {
                warn!(%cause, "Old decisions could not be cleared; trying again later");
                break;
            }
            // The database does not answer, or the server is stopping.
            Err(cause) => {
                warn!(%cause, "Old decisions could not be cleared; trying again later");
                return;
            }
        }
    }
    if cleared > 0 {
        info!(
            cleared,
            days, "Cleared decisions that are older than the retention period"
        );
    }
}

/// Deletes one batch of the tenant's old decisions. If the tenant has none left, moves on to the next tenant.
///
/// Returns the tenant to continue with and the number of deleted rows; none after the last tenant.
fn clear_some(
    app: &App,
    tenant: Option<TenantId>,
    before: DateTime<Utc>,
) -> Result<Option<(TenantId, usize)>> {
    if let Some(tenant) = tenant {
        let rows = app.store.decision_clear(tenant, before, BATCH)?;
        if rows > 0 {
            return Ok(Some((tenant, rows)));
        }
    }
    let next = app.store.tenant_ids(tenant.unwrap_or(PLATFORM), 1)?;
    Ok(next.first().map(|next| (*next, 0)))
}
