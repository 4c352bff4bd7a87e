//! Waiting for a turn, for a bounded time: the one way in which anything here is limited in number.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// Waits for one of the turns.
///
/// # Errors
///
/// `otherwise` where that takes longer than `patience_ms` milliseconds.
pub async fn wait(
    turns: &Arc<Semaphore>,
    patience_ms: u64,
    otherwise: Error,
) -> Result<OwnedSemaphorePermit> {
    wait_for(turns, 1, patience_ms, otherwise).await
}

/// Waits for several of the turns at once.
///
/// # Errors
///
/// As [`wait`].
pub async fn wait_for(
    turns: &Arc<Semaphore>,
    number: u32,
    patience_ms: u64,
    otherwise: Error,
) -> Result<OwnedSemaphorePermit> {
    match tokio::time::timeout(
        Duration::from_millis(patience_ms),
        Arc::clone(turns).acquire_many_owned(number),
    )
    .await
    {
        Ok(turn) => turn.map_err(Error::internal),
        Err(_) => Err(otherwise),
    }
}
