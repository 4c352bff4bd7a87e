//! Clearing decisions that are older than they are kept, in the background and in small batches.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::app::App;
use crate::telemetry;

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

async fn clear(app: &Arc<App>) {
    let days = app.config.hooks.keep_decisions_days;
    if days == 0 {
        return;
    }
    let before = Utc::now() - TimeDelta::days(days.into());
    let mut cleared = 0;
    loop {
        let app = Arc::clone(app);
        let batch =
            telemetry::spawn_blocking(move || app.store.decision_clear(before, BATCH)).await;
        match batch {
            Ok(Ok(0)) => break,
            Ok(Ok(rows)) => cleared += rows,
            Ok(Err(cause)) => {
                warn!(%cause, "Old decisions could not be cleared; trying again later");
                break;
            }
            // The server is stopping.
            Err(_) => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
    if cleared > 0 {
        info!(
            cleared,
            days, "Cleared decisions that are older than they are kept"
        );
    }
}
