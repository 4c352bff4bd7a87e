//! Those who wait for events. A waiter takes memory for itself alone: no thread, no connection of the database, and no
//! permit that others wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_store::Change;
use tokio::sync::Notify;

use crate::config::EventsConfig;

/// All who wait for events on this server.
#[derive(Debug)]
pub struct Waiters {
    max: usize,
    max_of_tenant: usize,
    state: Mutex<State>,
    /// Notified whenever any log grows.
    any: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    are_dismissed: bool,
    waiting: usize,
    tenants: HashMap<TenantId, OfTenant>,
}

/// The waiters of one tenant.
#[derive(Debug, Default)]
struct OfTenant {
    waiting: usize,
    grown: Arc<Notify>,
}

impl Waiters {
    /// No waiters yet, and these limits.
    pub fn new(config: &EventsConfig) -> Self {
        Self {
            max: config.max_waiting,
            max_of_tenant: config.max_waiting_per_tenant,
            state: Mutex::default(),
            any: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for a tenant's events. It notices whatever is told from now on, so look for events afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyWaiting`] if too many wait already.
    pub fn join(self: &Arc<Self>, tenant: TenantId) -> Result<Waiter> {
        let mut state = self.state();
        if state.waiting >= self.max {
            return Err(Error::TooManyWaiting {
                limit: self.max,
                setting: "events.max_waiting",
            });
        }
        let of_tenant = state.tenants.entry(tenant).or_default();
        if of_tenant.waiting >= self.max_of_tenant {
            return Err(Error::TooManyWaiting {
                limit: self.max_of_tenant,
                setting: "events.max_waiting_per_tenant",
            });
        }
        of_tenant.waiting += 1;
        let grown = Arc::clone(&of_tenant.grown);
        state.waiting += 1;
        Ok(Waiter {
            waiters: Arc::clone(self),
            tenant,
            grown,
        })
    }

    /// Completes when the log of any tenant grows after this call, or after this time.
    pub fn anything(&self, patience: Duration) -> impl Future<Output = bool> + Send + use<> {
        let grown = Arc::clone(&self.any).notified_owned();
        async move { tokio::time::timeout(patience, grown).await.is_ok() }
    }

    /// Wakes everybody, for good: the server stops.
    pub fn dismiss(&self) {
        self.state().are_dismissed = true;
        self.wake(Change::Everything);
    }

    /// Whether nobody should wait any more.
    pub fn are_dismissed(&self) -> bool {
        self.state().are_dismissed
    }

    /// Wakes those whom a change concerns.
    pub fn wake(&self, change: Change) {
        if matches!(change, Change::Logged(_) | Change::Everything) {
            self.any.notify_waiters();
        }
        let state = self.state();
        match change {
            Change::Logged(tenant) => {
                if let Some(of_tenant) = state.tenants.get(&tenant) {
                    of_tenant.grown.notify_waiters();
                }
            }
            // Whatever was told meanwhile may have been missed.
            Change::Everything => {
                for of_tenant in state.tenants.values() {
                    of_tenant.grown.notify_waiters();
                }
            }
            Change::Keys(_) | Change::Hooks(_) | Change::Policy(_) => {}
        }
    }
}

/// A place among those who wait, until this is dropped.
#[derive(Debug)]
pub struct Waiter {
    waiters: Arc<Waiters>,
    tenant: TenantId,
    grown: Arc<Notify>,
}

impl Waiter {
    /// Begins to listen. The result completes when the log grows after this call, or after this time.
    pub fn listen(&self, patience: Duration) -> impl Future<Output = bool> + Send + use<> {
        let grown = Arc::clone(&self.grown).notified_owned();
        async move { tokio::time::timeout(patience, grown).await.is_ok() }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.waiters.state();
        state.waiting = state.waiting.saturating_sub(1);
        if let Some(of_tenant) = state.tenants.get_mut(&self.tenant) {
            of_tenant.waiting = of_tenant.waiting.saturating_sub(1);
            if of_tenant.waiting == 0 {
                state.tenants.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiters(max: usize, of_tenant: usize) -> Arc<Waiters> {
        Arc::new(Waiters::new(&EventsConfig {
            max_waiting: max,
            max_waiting_per_tenant: of_tenant,
        }))
    }

    #[tokio::test]
    async fn a_waiter_hears_of_its_own_log_and_of_everything_from_when_it_listens() {
        let waiters = waiters(9, 9);
        let waiter = waiters.join(TenantId(1)).unwrap();
        let soon = Duration::from_millis(20);
        for (told, hears) in [
            (Change::Logged(TenantId(1)), true),
            (Change::Logged(TenantId(2)), false),
            (Change::Policy(TenantId(1)), false),
            (Change::Everything, true),
        ] {
            let listening = waiter.listen(soon);
            waiters.wake(told);
            assert_eq!(listening.await, hears, "{told:?}");
        }
        waiters.wake(Change::Everything);
        assert!(!waiter.listen(soon).await);
    }

    #[test]
    fn places_are_limited_for_all_and_for_each_tenant_and_are_given_back() {
        let waiters = waiters(3, 2);
        let one = waiters.join(TenantId(1)).unwrap();
        let two = waiters.join(TenantId(1)).unwrap();
        assert!(waiters.join(TenantId(1)).is_err());
        let three = waiters.join(TenantId(2)).unwrap();
        assert!(waiters.join(TenantId(3)).is_err());
        drop((one, two, three));
        assert!(waiters.state().tenants.is_empty());
        assert_eq!(waiters.state().waiting, 0);
    }
}
