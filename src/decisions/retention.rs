//! Clearing decisions that are older than they are kept, in the background and in small batches.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::app::App;

/// How often it is looked whether there is anything to clear.
const INTERVAL: Duration = Duration::from_secs(600);
/// Rows of one batch: one short transaction.
const BATCH: i64 = 1_000;
/// Time between two batches, which leaves the database to the others.
const PAUSE: Duration = Duration::from_millis(200);

/// The task that clears; it ends when this is dropped.
#[derive(Debug)]
pub struct Retention(JoinHandle<()>);

impl Retention {
    /// Starts to clear, now and then, what is older than the configuration says.
    pub fn start(app: Arc<App>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                clear(&app).await;
                tokio::time::sleep(INTERVAL).await;
            }
        }))
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Clears tenant by tenant, since row-level security shows nobody the rows of all.
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
            days, "Cleared decisions that are older than they are kept"
        );
    }
}

/// Clears a batch of a tenant's; or where it has none left, finds the next tenant. Gives the tenant to go on with.
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
