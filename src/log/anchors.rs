//! Adds the heads of the tenants' logs to the platform's log, and once a day the head of each audit trail to the log of its
//! tenant. So a checkpoint of the platform's log, kept elsewhere, holds everything.

use std::sync::Arc;
use std::time::Duration;

use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::app::App;

/// Pause between two batches.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts to add heads, each `evidence.anchor_interval_s`. The task is stopped when the result is dropped.
pub fn keep_anchoring(app: Arc<App>) -> AbortOnDropHandle<()> {
    let interval = Duration::from_secs(app.config.evidence.anchor_interval_s.max(1));
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log {
            return;
        }
        loop {
            let of = Arc::clone(&app);
            match blocking::run((), move || anchor(&of))
                .await
                .and_then(|more| more)
            {
                Ok(true) => tokio::time::sleep(PAUSE).await,
                Ok(false) => tokio::time::sleep(interval).await,
                Err(cause) => {
                    warn!(%cause, "The heads of logs could not be added to the platform's log; trying again later");
                    tokio::time::sleep(interval).await;
                }
            }
        }
    }))
}

/// Adds some heads. Returns whether there may be more. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn anchor(app: &App) -> Result<bool> {
    let more_trails = app.store.log_audit_heads()?;
    Ok(app.store.log_anchor()? || more_trails)
}
