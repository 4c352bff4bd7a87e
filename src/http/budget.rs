//! A budget of bytes for all bodies and answers in memory: one limit for all, and one for each tenant. Bytes are
//! returned when a body was handled, and when an answer was sent, however slowly.
//!
//! A waiting request holds no bytes, and a request that already holds some is never made to wait for more, but refused
//! at once: so there is no deadlock. Unlike semaphore permits, bytes are not first come, first served: a small request
//! does not queue behind a large one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_runtime::fair_semaphore::spread;
use sigpersist_runtime::metrics::Waiting;
use tokio::sync::Notify;

use crate::config::HttpConfig;

/// Only requests of at most this many bytes may use the last [`RESERVE`]th of the budget, so that large ones cannot
/// shut all others out.
const LITTLE: usize = 1024 * 1024;
const RESERVE: usize = 8;
/// Requests without a token together get this fraction of the budget, and those that read public logs another.
const PART_OF_STRANGERS: usize = 16;

/// Party whose bytes are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// The callers of a tenant.
    Tenant(TenantId),
    /// The callers of the platform.
    Platform,
    /// Requests without a token.
    Strangers,
    /// Readers of public logs among them.
    Monitors,
}

/// The limit on the bytes of all bodies and answers.
#[derive(Debug)]
pub(super) struct Budget {
    all: usize,
    of_one: usize,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    by_holder: HashMap<Holder, usize>,
}

impl Used {
    fn by(&self, holder: Holder) -> usize {
        self.by_holder.get(&holder).copied().unwrap_or_default()
    }

    fn set(&mut self, holder: Holder, bytes: usize) {
        if bytes == 0 {
            self.by_holder.remove(&holder);
        } else {
            self.by_holder.insert(holder, bytes);
        }
    }
}

impl Budget {
    pub(super) fn new(config: &HttpConfig) -> Arc<Self> {
        Arc::new(Self {
            all: config.max_bytes_in_flight,
            of_one: config.max_bytes_in_flight_of_one(),
            used: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Starts with no bytes, for a holder that may need some later.
    pub(super) fn nothing(self: &Arc<Self>, holder: Holder) -> Held {
        Held {
            budget: Arc::clone(self),
            holder,
            bytes: AtomicUsize::new(0),
        }
    }

    /// Takes bytes, waiting for at most about `patience_ms` milliseconds.
    ///
    /// # Errors
    ///
    /// The errors of [`Held::grow_to`].
    pub(super) async fn take(
        self: &Arc<Self>,
        holder: Holder,
        bytes: usize,
        patience_ms: u64,
    ) -> Result<Held> {
        let held = self.nothing(holder);
        if held.grow_to(bytes).is_ok() {
            return Ok(held);
        }
        let _waiting = Waiting::new("bytes");
        let taking = async {
            loop {
                // Registered before the attempt, so that bytes returned in between are noticed.
                let freed = self.freed.notified();
                if held.grow_to(bytes).is_ok() {
                    return;
                }
                freed.await;
            }
        };
        let patience = spread(Duration::from_millis(patience_ms));
        match tokio::time::timeout(patience, taking).await {
            Ok(()) => Ok(held),
            // The last attempt tells whose limit is reached.
            Err(_) => held.grow_to(bytes).map(|()| held),
        }
    }

    fn most_of(&self, holder: Holder) -> usize {
        match holder {
            Holder::Strangers | Holder::Monitors => self.all / PART_OF_STRANGERS,
            Holder::Tenant(_) | Holder::Platform => self.of_one,
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken by a holder, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    holder: Holder,
    /// Changed only under the budget's lock.
    bytes: AtomicUsize,
}

impl Held {
    /// Raises the bytes held to this number, if fewer are held. A number above the holder's limit is cut to the limit:
    /// then nothing else of this holder can be in progress.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimited`] if the tenant's limit is reached, [`Error::Overloaded`] if any other is.
    pub(super) fn grow_to(&self, bytes: usize) -> Result<()> {
        let budget = &*self.budget;
        let all = match bytes {
            ..=LITTLE => budget.all,
            _ => budget.all - budget.all / RESERVE,
        };
        let of_holder = budget.most_of(self.holder).min(all);
        let bytes = bytes.min(of_holder);
        let mut used = budget.used();
        let held = self.bytes.load(Ordering::Relaxed);
        let Some(more) = bytes.checked_sub(held) else {
            return Ok(());
        };
        let by_holder = used.by(self.holder);
        if by_holder + more > of_holder {
            return Err(match self.holder {
                Holder::Tenant(_) => Error::RateLimited,
                Holder::Platform | Holder::Strangers | Holder::Monitors => Error::Overloaded,
            });
        }
        if used.all + more > all {
            return Err(Error::Overloaded);
        }
        used.all += more;
        used.set(self.holder, by_holder + more);
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Sets the bytes held, even if that exceeds the limits: they are in memory already, and an action that was done
    /// cannot be refused any more.
    pub(super) fn set(&self, bytes: usize) {
        let mut used = self.budget.used();
        let held = self.bytes.swap(bytes, Ordering::Relaxed);
        let by_holder = used.by(self.holder);
        used.all = used.all.saturating_sub(held).saturating_add(bytes);
        let by_holder = by_holder.saturating_sub(held).saturating_add(bytes);
        used.set(self.holder, by_holder);
        drop(used);
        if bytes < held {
            self.budget.freed.notify_waiters();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;
    const ACME: Holder = Holder::Tenant(TenantId(1));
    const EVIL: Holder = Holder::Tenant(TenantId(2));

    fn budget(all: usize, of_one: usize) -> Arc<Budget> {
        Budget::new(&HttpConfig {
            max_bytes_in_flight: all,
            max_bytes_in_flight_per_tenant: of_one,
            ..HttpConfig::default()
        })
    }

    fn held(budget: &Arc<Budget>, holder: Holder, bytes: usize) -> Result<Held> {
        let held = budget.nothing(holder);
        held.grow_to(bytes).map(|()| held)
    }

    #[test]
    fn each_has_its_part_and_all_have_no_more_than_all() {
        let budget = budget(64 * MIB, 0);
        let first = held(&budget, EVIL, 20 * MIB).unwrap();
        assert!(matches!(
            held(&budget, EVIL, 13 * MIB),
            Err(Error::RateLimited)
        ));
        let second = held(&budget, EVIL, 12 * MIB).unwrap();
        // The last eighth is reserved for small requests.
        assert!(matches!(
            held(&budget, ACME, 25 * MIB),
            Err(Error::Overloaded)
        ));
        let third = held(&budget, ACME, 24 * MIB).unwrap();
        assert!(matches!(
            held(&budget, Holder::Platform, 2 * MIB),
            Err(Error::Overloaded)
        ));
        let little = held(&budget, Holder::Platform, MIB).unwrap();
        assert!(matches!(
            held(&budget, Holder::Strangers, 5 * MIB),
            Err(Error::Overloaded)
        ));
        drop((first, second, third, little));
        let used = budget.used();
        assert_eq!((used.all, used.by_holder.len()), (0, 0));
    }

    #[test]
    fn what_is_larger_than_the_part_takes_the_whole_of_it() {
        let budget = budget(64 * MIB, 10 * MIB);
        let large = held(&budget, ACME, usize::MAX).unwrap();
        assert_eq!(budget.used().all, 10 * MIB);
        assert!(held(&budget, ACME, 1).is_err());
        // It is never refused for bytes that it holds already, and bytes that are in memory are always counted.
        assert!(large.grow_to(usize::MAX).is_ok() && large.grow_to(1).is_ok());
        large.set(100 * MIB);
        assert!(held(&budget, EVIL, 1).is_err());
        large.set(MIB);
        assert!(held(&budget, EVIL, 1).is_ok());
    }

    #[tokio::test]
    async fn who_waits_holds_nothing_and_is_woken_by_what_is_given_back() {
        let budget = budget(64 * MIB, 10 * MIB);
        let first = budget.take(ACME, 6 * MIB, 0).await.unwrap();
        let refused = budget.take(ACME, 6 * MIB, 10).await;
        assert!(matches!(refused, Err(Error::RateLimited)));
        let waiting = {
            let budget = Arc::clone(&budget);
            tokio::spawn(async move { budget.take(ACME, 6 * MIB, 60_000).await })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        // Meanwhile smaller requests pass.
        let small = budget.take(ACME, 3 * MIB, 0).await.unwrap();
        assert_eq!(budget.used().by(ACME), 9 * MIB);
        first.set(MIB);
        let second = waiting.await.unwrap().unwrap();
        assert_eq!(budget.used().by(ACME), 10 * MIB);
        drop((first, small, second));
        assert_eq!(budget.used().all, 0);
    }
}
