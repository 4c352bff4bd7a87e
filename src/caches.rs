//! Data that a server keeps ready from the database, until the store tells that it changed.

use std::collections::HashSet;
use std::sync::Arc;

use sigpersist_hooks::Chain;
use sigpersist_model::context::TenantId;
use sigpersist_model::key::StoredKey;
use sigpersist_model::log::LogSettings;
use sigpersist_model::policy::InForce;
use sigpersist_runtime::cache::Cache;
use sigpersist_store::Change;

use crate::auth::Authenticator;

/// The most tenants whose hooks are cached.
const CACHED_CHAINS: usize = 10_000;
/// The most tenants whose policies are cached, and what is set for their logs.
const CACHED_POLICIES: usize = 10_000;
/// The most tenants whose published keys are cached.
const CACHED_PUBLICATIONS: usize = 1_000;

/// The caches of a server.
#[derive(Debug)]
pub struct Caches {
    /// Authenticates callers with cached keys.
    pub authenticator: Authenticator,
    /// Published public keys, by the tenant's slug; none for the platform's keys.
    pub published: Cache<Option<String>, Arc<Vec<StoredKey>>>,
    /// Hooks of tenants, ready to run.
    pub chains: Cache<TenantId, Arc<Chain>>,
    /// Policies of tenants in force.
    pub policies: Cache<TenantId, Arc<InForce>>,
    /// The origins that any tenant's policy names.
    pub page_origins: Cache<(), Arc<HashSet<String>>>,
    /// Settings of the logs of tenants.
    pub log_settings: Cache<TenantId, LogSettings>,
}

impl Caches {
    /// Empty caches.
    pub fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator,
            published: Cache::new(CACHED_PUBLICATIONS),
            chains: Cache::new(CACHED_CHAINS),
            policies: Cache::new(CACHED_POLICIES),
            page_origins: Cache::new(1),
            log_settings: Cache::new(CACHED_POLICIES),
        }
    }

    /// Drops whatever a change makes stale.
    pub fn forget(&self, change: Change) {
        match change {
            Change::Keys(tenant) => {
                self.authenticator.invalidate(Some(tenant));
                self.published.invalidate(|_, _| true);
            }
            Change::Hooks(tenant) => self.chains.invalidate(|cached, _| *cached == tenant),
            Change::Policy(tenant) => {
                self.policies.invalidate(|cached, _| *cached == tenant);
                self.page_origins.invalidate(|_, _| true);
                self.log_settings.invalidate(|cached, _| *cached == tenant);
            }
            // Nothing of a log is kept.
            Change::Logged(_) => {}
            Change::Everything => {
                self.authenticator.invalidate(None);
                self.published.invalidate(|_, _| true);
                self.chains.invalidate(|_, _| true);
                self.policies.invalidate(|_, _| true);
                self.page_origins.invalidate(|_, _| true);
                self.log_settings.invalidate(|_, _| true);
            }
        }
    }
}
