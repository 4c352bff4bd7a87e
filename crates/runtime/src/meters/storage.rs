//! Stored data of tenants, and the check for room before a save.
//!
//! The database counts exactly. A server reads the sum at most once per second and adds what it stores itself in
//! between, so that a save needs no query. A single server never lets a tenant exceed its quota, except by saves that
//! were stored after all although the database did not answer in time. With several servers, each may also miss what
//! the others stored within the last second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::context::Caller;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::quotas::{Quota, Quotas};
use sigpersist_model::tenant::Usage;

use super::Meters;

/// Time for which a reading of the sum is valid.
const FRESH: Duration = Duration::from_secs(1);

/// This server's view of a tenant's usage.
#[derive(Debug, Default)]
pub(super) struct Storage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The last reading.
    read: Option<Read>,
    /// Amount that this server has stored for the tenant since it began to count.
    stored: Amount,
    /// Amount of the saves in progress.
    under_way: Amount,
}

#[derive(Debug, Clone, Copy)]
struct Read {
    at: Instant,
    usage: Usage,
    /// Amount that this server had stored when the reading began; the sum includes at least that.
    stored: Amount,
    /// Whether this server stored nothing during the reading, so that nothing is counted twice.
    exact: bool,
}

/// Amount that a save adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    bytes: u64,
    threads: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.threads += other.threads;
    }
}

impl std::ops::SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        self.bytes -= other.bytes;
        self.threads -= other.threads;
    }
}

impl Known {
    /// An upper bound of the usage. Saves in progress count too: rather twice than not at all.
    fn used(&self, read: &Read) -> Amount {
        let positive = |count: i64| u64::try_from(count).unwrap_or_default();
        let mut used = Amount {
            bytes: positive(read.usage.bytes),
            threads: positive(read.usage.threads),
        };
        used += self.stored;
        used += self.under_way;
        used -= read.stored;
        used
    }
}

/// Room reserved for a save, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Room {
    /// None if the tenant has no storage quota.
    storage: Option<Arc<Storage>>,
    amount: Amount,
}

impl Room {
    /// Records that the save has used the room; `created` tells whether it created a thread.
    pub fn used(mut self, created: bool) {
        if let Some(storage) = &self.storage {
            let mut known = storage.known();
            // If no thread was created, its room is returned.
            let stored = Amount {
                threads: u64::from(created),
                ..self.amount
            };
            known.stored += stored;
            known.under_way -= self.amount;
        }
        self.storage = None;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(storage) = &self.storage {
            storage.known().under_way -= self.amount;
        }
    }
}

impl Storage {
    /// Reads the sum and caches it. No lock is held meanwhile.
    fn read(&self, sum: &impl Fn() -> Result<Usage>) -> Result<Read> {
        let at = Instant::now();
        let (stored, under_way) = {
            let known = self.known();
            (known.stored, known.under_way)
        };
        let usage = sum()?;
        let mut known = self.known();
        let nothing = Amount::default();
        let read = Read {
            at,
            usage,
            stored,
            exact: known.stored == stored && under_way == nothing && known.under_way == nothing,
        };
        // Of concurrent readings, the one that began last is kept.
        if known.read.is_none_or(|other| other.at <= at) {
            known.read = Some(read);
        }
        Ok(read)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last reading, if it is still valid. When it has expired, one save reads again, and the others continue with
    /// it meanwhile.
    fn fresh(&self) -> Option<Read> {
        let mut known = self.known();
        let read = known.read.as_mut()?;
        if read.at.elapsed() <= FRESH {
            return Some(*read);
        }
        read.at = Instant::now();
        None
    }

    /// Reserves room for a save, if the last reading leaves enough.
    fn keep(&self, read: &Read, quotas: Quotas<u64>, amount: Amount) -> Result<()> {
        let mut known = self.known();
        let used = known.used(read);
        for (quota, limit, used, more) in [
            (Quota::Bytes, quotas.max_bytes, used.bytes, amount.bytes),
            (
                Quota::Threads,
                quotas.max_threads,
                used.threads,
                amount.threads,
            ),
        ] {
            if limit > 0 && more > 0 && used.saturating_add(more) > limit {
                return Err(Error::QuotaExceeded {
                    quota,
                    limit,
                    used,
                    retry_after: None,
                });
            }
        }
        known.under_way += amount;
        Ok(())
    }
}

impl Meters {
    /// Reserves room for a save of this many bytes. `creates` tells whether it may create a thread. `sum` reads the
    /// tenant's stored data from the database; that happens at most about once per second.
    ///
    /// # Errors
    ///
    /// [`Error::QuotaExceeded`], and the errors of `sum`.
    pub fn room(
        &self,
        caller: &Caller,
        bytes: usize,
        creates: bool,
        sum: impl Fn() -> Result<Usage>,
    ) -> Result<Room> {
        let amount = Amount {
            bytes: bytes as u64,
            threads: u64::from(creates),
        };
        let storage = self.storage(caller);
        let Some((storage, quotas)) =
            storage.filter(|(_, quotas)| quotas.max_bytes > 0 || quotas.max_threads > 0)
        else {
            return Ok(Room {
                storage: None,
                amount,
            });
        };
        let last = match storage.fresh() {
            Some(read) => read,
            None => storage.read(&sum)?,
        };
        let mut kept = storage.keep(&last, quotas, amount);
        if kept.is_err() && !last.exact {
            // Amounts that were counted twice may be the only obstacle.
            let again = storage.read(&sum)?;
            kept = storage.keep(&again, quotas, amount);
        }
        kept?;
        Ok(Room {
            storage: Some(storage),
            amount,
        })
    }

    /// Discards the last reading of a caller's tenant, after its usage has decreased.
    pub fn forget_usage(&self, caller: &Caller) {
        if let Some((storage, _)) = self.storage(caller) {
            storage.known().read = None;
        }
    }
}
