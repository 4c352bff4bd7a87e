//! What tenants have stored, and whether there is room for more.
//!
//! The database counts exactly. A server reads the sum once a second at most, and adds what it stores itself meanwhile, so
//! that a save pays no query. A server by itself never lets a tenant go over its quota, but by what was stored after all though
//! the database did not answer in time; with several, each may let in what the others have stored within the last second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::quotas::{Quota, Quotas};
use sigpersist_model::tenant::Usage;

use crate::app::App;

/// How long a sum is good for.
const FRESH: Duration = Duration::from_secs(1);

/// What a tenant has stored. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn usage(app: &App, tenant: TenantId) -> Result<Usage> {
    app.store.usage_get(tenant)
}

/// What this server knows of a tenant's usage.
#[derive(Debug, Default)]
pub(super) struct Storage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// What was read last.
    read: Option<Read>,
    /// All that this server has stored for the tenant since it began to count.
    stored: Amount,
    /// What it is storing now.
    under_way: Amount,
}

#[derive(Debug, Clone, Copy)]
struct Read {
    at: Instant,
    usage: Usage,
    /// What this server had stored when the reading began: the sum holds at least that.
    stored: Amount,
    /// Whether this server stored nothing meanwhile, so that nothing counts twice.
    exact: bool,
}

/// What a save adds.
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
    /// What is used at most: what is being stored counts too, and counts twice rather than not at all.
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

/// Room for a save, kept for it until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Room {
    /// None where the tenant has no quota of storage.
    storage: Option<Arc<Storage>>,
    amount: Amount,
}

impl Room {
    /// The save has used the room: `created` where it made a thread.
    pub fn used(mut self, created: bool) {
        if let Some(storage) = &self.storage {
            let mut known = storage.known();
            // A thread that was not made gives its room back.
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
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read last, while it is good. When it no longer is, one save reads anew, and the others go on with it.
    fn fresh(&self) -> Option<Read> {
        let mut known = self.known();
        let read = known.read.as_mut()?;
        if read.at.elapsed() <= FRESH {
            return Some(*read);
        }
        read.at = Instant::now();
        None
    }

    /// Keeps room for a save, where there is any after what was read.
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

/// Keeps room for a save of so many bytes, of a thread that is new or may be. Blocks once a second.
///
/// # Errors
///
/// [`Error::QuotaExceeded`], and those of the store.
pub fn room(app: &App, context: &Context, bytes: usize, creates: bool) -> Result<Room> {
    let amount = Amount {
        bytes: bytes as u64,
        threads: u64::from(creates),
    };
    let storage = app.meters.storage(&context.caller);
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
        None => read(app, context.tenant()?, &storage)?,
    };
    let mut kept = storage.keep(&last, quotas, amount);
    if kept.is_err() && !last.exact {
        // What counted twice may be all that is in the way.
        let again = read(app, context.tenant()?, &storage)?;
        kept = storage.keep(&again, quotas, amount);
    }
    kept?;
    Ok(Room {
        storage: Some(storage),
        amount,
    })
}

/// Reads the sum, and keeps it; no lock is held meanwhile.
fn read(app: &App, tenant: TenantId, storage: &Storage) -> Result<Read> {
    let at = Instant::now();
    let (stored, under_way) = {
        let known = storage.known();
        (known.stored, known.under_way)
    };
    let usage = app.store.usage_get(tenant)?;
    let mut known = storage.known();
    let nothing = Amount::default();
    let read = Read {
        at,
        usage,
        stored,
        exact: known.stored == stored && under_way == nothing && known.under_way == nothing,
    };
    // Of several that read at once, the last to begin is right.
    if known.read.is_none_or(|other| other.at <= at) {
        known.read = Some(read);
    }
    Ok(read)
}

/// Forgets what was read of the usage of a caller's tenant, which has just become less.
pub fn forget(app: &App, context: &Context) {
    if let Some((storage, _)) = app.meters.storage(&context.caller) {
        storage.known().read = None;
    }
}
