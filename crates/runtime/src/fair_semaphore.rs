//! Waiting for a permit, for a bounded time: the way in which this program limits concurrent work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument as _, debug_span};

use crate::metrics::Waiting;

/// A fixed number of permits for each tenant.
#[derive(Debug)]
pub struct TenantSemaphores {
    most: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl TenantSemaphores {
    /// `most` concurrent permits for each tenant.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tenants: Mutex::default(),
        }
    }

    /// The tenant's semaphore.
    pub fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = tenants.get(&tenant).and_then(Weak::upgrade) {
            return semaphore;
        }
        // Drops semaphores that nobody holds or waits for.
        tenants.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.most));
        tenants.insert(tenant, Arc::downgrade(&semaphore));
        semaphore
    }
}

/// Permits that all tenants share, with a limit for each, so that one tenant's load keeps nobody else waiting.
#[derive(Debug)]
pub struct FairSemaphore {
    queue: &'static str,
    all: Arc<Semaphore>,
    /// Limits of single tenants; none if there is only one permit, which cannot be divided.
    tenants: Option<TenantSemaphores>,
    patience_ms: u64,
}

/// A permit of [`FairSemaphore`].
#[derive(Debug)]
pub struct FairPermit {
    _of_tenant: Option<OwnedSemaphorePermit>,
    _of_all: OwnedSemaphorePermit,
}

impl FairSemaphore {
    /// `most` concurrent permits, at most half of them for one tenant. Metrics count waiting callers under `queue`;
    /// each waits for at most `patience_ms` milliseconds.
    pub fn new(queue: &'static str, most: usize, patience_ms: u64) -> Self {
        Self {
            queue,
            all: Arc::new(Semaphore::new(most)),
            tenants: (most > 1).then(|| TenantSemaphores::new(most / 2)),
            patience_ms,
        }
    }

    /// Like [`Self::new`], but with `of_tenant` permits for each tenant.
    pub fn with_part(queue: &'static str, most: usize, of_tenant: usize, patience_ms: u64) -> Self {
        Self {
            tenants: Some(TenantSemaphores::new(of_tenant)),
            ..Self::new(queue, most, patience_ms)
        }
    }

    /// Waits for a permit. Callers without a tenant have no limit of their own.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimited`] if the tenant's own limit is reached, [`Error::Overloaded`] if the shared one is.
    pub async fn acquire(&self, tenant: Option<TenantId>) -> Result<FairPermit> {
        self.acquire_many(tenant, |_| 1).await
    }

    /// Waits for all permits of the tenant, so that none of its other work runs meanwhile.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::acquire`].
    pub async fn acquire_alone(&self, tenant: TenantId) -> Result<FairPermit> {
        self.acquire_many(Some(tenant), |tenants| tenants.most)
            .await
    }

    async fn acquire_many(
        &self,
        tenant: Option<TenantId>,
        number: impl FnOnce(&TenantSemaphores) -> usize,
    ) -> Result<FairPermit> {
        let of_tenant = match self.tenants.as_ref().zip(tenant) {
            Some((tenants, tenant)) => {
                let own = tenants.of(tenant);
                let number = u32::try_from(number(tenants)).unwrap_or(u32::MAX);
                let limited = Error::RateLimited;
                Some(acquire_from(self.queue, &own, number, self.patience_ms, limited).await?)
            }
            None => None,
        };
        let of_all = acquire(self.queue, &self.all, self.patience_ms, Error::Overloaded).await?;
        Ok(FairPermit {
            _of_tenant: of_tenant,
            _of_all: of_all,
        })
    }

    /// Like [`Self::acquire`], on a blocking thread.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::acquire`].
    pub fn acquire_blocking(&self, tenant: TenantId) -> Result<FairPermit> {
        match Handle::try_current() {
            Ok(runtime) => runtime.block_on(self.acquire(Some(tenant))),
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// Waits for a tenant's permit without a time limit, on a blocking thread. Only for work that is limited elsewhere,
    /// in number and in duration. None if there is no runtime to wait in.
    pub fn acquire_at_last(&self, tenant: TenantId) -> Option<FairPermit> {
        let runtime = Handle::try_current().ok()?;
        runtime.block_on(async {
            let of_tenant = match &self.tenants {
                Some(tenants) => Some(tenants.of(tenant).acquire_owned().await.ok()?),
                None => None,
            };
            Some(FairPermit {
                _of_tenant: of_tenant,
                _of_all: Arc::clone(&self.all).acquire_owned().await.ok()?,
            })
        })
    }
}

/// Shortens a time by up to an eighth, differently for each caller.
///
/// Callers that arrive at the same moment and cannot be served are then not all refused at the same moment. Otherwise
/// the last one would wait for the others' refusals.
pub fn spread(patience: Duration) -> Duration {
    static CALLERS: AtomicU32 = AtomicU32::new(0);
    // Multiples of the golden ratio are spread as evenly as possible.
    let fraction = CALLERS
        .fetch_add(1, Ordering::Relaxed)
        .wrapping_mul(0x9E37_79B9);
    let eighth = (patience / 8).mul_f64(f64::from(fraction) / f64::from(u32::MAX));
    patience.saturating_sub(eighth)
}

/// Waits for a permit; metrics count the caller under `queue`.
///
/// # Errors
///
/// `otherwise` if the wait takes longer than `patience_ms` milliseconds, or a little less (see [`spread`]).
pub async fn acquire(
    queue: &'static str,
    semaphore: &Arc<Semaphore>,
    patience_ms: u64,
    otherwise: Error,
) -> Result<OwnedSemaphorePermit> {
    acquire_from(queue, semaphore, 1, patience_ms, otherwise).await
}

/// Waits for several permits at once.
async fn acquire_from(
    queue: &'static str,
    semaphore: &Arc<Semaphore>,
    number: u32,
    patience_ms: u64,
    otherwise: Error,
) -> Result<OwnedSemaphorePermit> {
    // Most permits are free, and are taken without waiting.
    if let Ok(permit) = Arc::clone(semaphore).try_acquire_many_owned(number) {
        return Ok(permit);
    }
    let _waiting = Waiting::new(queue);
    match tokio::time::timeout(
        spread(Duration::from_millis(patience_ms)),
        Arc::clone(semaphore).acquire_many_owned(number),
    )
    .instrument(debug_span!("wait", queue))
    .await
    {
        Ok(permit) => permit.map_err(Error::internal),
        Err(_) => Err(otherwise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_never_has_more_than_half_of_what_is_shared() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let shared = FairSemaphore::new("tests", 4, 20);
            let (one, other) = (Some(TenantId(1)), Some(TenantId(2)));
            let held = (shared.acquire(one).await, shared.acquire(one).await);
            assert!(held.0.is_ok() && held.1.is_ok());
            // The tenant waits for its own permits, and the others need not.
            assert!(matches!(shared.acquire(one).await, Err(Error::RateLimited)));
            let others = (shared.acquire(other).await, shared.acquire(None).await);
            assert!(others.0.is_ok() && others.1.is_ok());
            assert!(matches!(
                shared.acquire(other).await,
                Err(Error::Overloaded)
            ));
            drop(held);
            assert!(shared.acquire(one).await.is_ok());
            // A single permit cannot be divided.
            let single = FairSemaphore::new("tests", 1, 20);
            let _held = single.acquire(one).await.unwrap();
            assert!(matches!(single.acquire(one).await, Err(Error::Overloaded)));
        });
    }

    #[test]
    fn patience_is_spread_and_never_longer() {
        let patience = Duration::from_secs(8);
        let times: Vec<_> = (0..64).map(|_| spread(patience)).collect();
        let bounds = Duration::from_secs(7)..=patience;
        assert!(times.iter().all(|time| bounds.contains(time)));
        // Every eighth of a second contains some.
        for eighth in 0..8 {
            let from = Duration::from_millis(7_000 + 125 * eighth);
            let within =
                |time: &&Duration| (from..from + Duration::from_millis(125)).contains(*time);
            let count = times.iter().filter(within).count();
            assert!((4..=12).contains(&count), "{eighth}: {count}");
        }
        assert_eq!(spread(Duration::ZERO), Duration::ZERO);
    }
}
