//! The bytes of all bodies and answers under way: so many together, and so many of each tenant. What they hold is given back
//! when a body was dealt with, and when an answer has been sent, however slowly.
//!
//! Whoever waits holds nothing meanwhile, and what is asked for on top of what is held is refused at once: nobody ever waits
//! for somebody who waits. Unlike turns of a semaphore, bytes do not go to those who came first: who asks for little is not kept
//! behind who asks for much.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_runtime::metrics::Waiting;
use sigpersist_runtime::turns;
use tokio::sync::Notify;

use crate::config::HttpConfig;

/// Only who asks for no more than this is given the last [`RESERVE`]th: those who ask for much can't shut everybody out.
const LITTLE: usize = 1024 * 1024;
const RESERVE: usize = 8;
/// Strangers together are given so small a part of all.
const PART_OF_STRANGERS: usize = 16;

/// Who is given bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// The callers of a tenant.
    Tenant(TenantId),
    /// The callers of the platform.
    Platform,
    /// Those who need no token.
    Strangers,
}

/// So many bytes for all bodies and answers.
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

    /// Nothing yet, for somebody who may be given more.
    pub(super) fn nothing(self: &Arc<Self>, holder: Holder) -> Held {
        Held {
            budget: Arc::clone(self),
            holder,
            bytes: AtomicUsize::new(0),
        }
    }

    /// So many bytes, waiting for them for a while.
    ///
    /// # Errors
    ///
    /// Those of [`Held::grow_to`].
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
                // What is given back from now on wakes this, too.
                let freed = self.freed.notified();
                if held.grow_to(bytes).is_ok() {
                    return;
                }
                freed.await;
            }
        };
        let patience = turns::spread(Duration::from_millis(patience_ms));
        match tokio::time::timeout(patience, taking).await {
            Ok(()) => Ok(held),
            // It says whose bytes are used up.
            Err(_) => held.grow_to(bytes).map(|()| held),
        }
    }

    fn most_of(&self, holder: Holder) -> usize {
        match holder {
            Holder::Strangers => self.all / PART_OF_STRANGERS,
            Holder::Tenant(_) | Holder::Platform => self.of_one,
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that somebody was given, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    budget: Arc<Budget>,
    holder: Holder,
    /// Changed under the lock of the budget alone.
    bytes: AtomicUsize,
}

impl Held {
    /// Holds so many bytes, if it does not hold as many already. Where that is more than its holder may ever have, it is as much
    /// as that: then nothing else of the holder's is under way.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimited`] where the tenant's bytes are used up, [`Error::Overloaded`] where all are.
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
                Holder::Platform | Holder::Strangers => Error::Overloaded,
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

    /// Holds exactly so many bytes, whether or not there are as many: they are in memory already, and what was done can't be
    /// refused any more.
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
        // The last eighth is for those who ask for little.
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
        // It is never refused for what it holds already, and what is there is counted in any case.
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
        // Meanwhile others pass who ask for less.
        let small = budget.take(ACME, 3 * MIB, 0).await.unwrap();
        assert_eq!(budget.used().by(ACME), 9 * MIB);
        first.set(MIB);
        let second = waiting.await.unwrap().unwrap();
        assert_eq!(budget.used().by(ACME), 10 * MIB);
        drop((first, small, second));
        assert_eq!(budget.used().all, 0);
    }
}
