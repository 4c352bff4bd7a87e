//! The composition root: builds the parts once, and passes news of changes to those that cache.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::StoredKey;
use sigpersist_model::policy::InForce;
use sigpersist_runtime::blocking;
use sigpersist_runtime::cache::Cache;
use sigpersist_runtime::examinations::Examinations;
use sigpersist_runtime::readiness::Readiness;
use sigpersist_runtime::turns;
use sigpersist_runtime::vault::Vault;
use tokio::sync::Semaphore;

use crate::audit;
use crate::auth::Authenticator;
use crate::config::{Config, ROOT_DATA_DIR};
use crate::hooks::{COMPILED_AT_ONCE, Chain, Compiled, Engine, Health};
use crate::store::embedded::{self, Embedded, Purpose};
use crate::store::{self, Change, Changes, Store};
use crate::tenants::meters::Meters;

/// Tenants whose hooks are kept ready.
const CACHED_CHAINS: usize = 10_000;
/// Tenants whose policies are kept ready.
const CACHED_POLICIES: usize = 10_000;
/// Loads of keys and hooks at once.
const LOADS_AT_ONCE: usize = 8;
/// How much longer than compiling an upload or a new binding waits for one before it, which may also run test cases, in
/// milliseconds.
const SET_UP_PATIENCE_MS: u64 = 30_000;
/// Answers to strangers at once, and those that are kept ready.
const PUBLICATIONS_AT_ONCE: usize = 2;
const CACHED_PUBLICATIONS: usize = 1_000;
const DEFAULT_DATA_DIR: &str = "./sigpersist-data";

/// The parts of a server or command, wired together.
#[derive(Debug)]
pub struct App {
    /// All settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The master key, where there is one.
    pub vault: Option<Arc<Vault>>,
    /// Who may call.
    pub authenticator: Authenticator,
    /// What runs plugins.
    pub engine: Arc<Engine>,
    /// Turns to load keys and hooks that are not ready: strangers cause such loads, so they get few threads.
    loads: Arc<Semaphore>,
    /// Turns to make the hooks of one tenant ready.
    pub loading: turns::ByTenant,
    /// Turns to show strangers what is for everybody.
    pub publications: turns::Shared,
    /// Public keys that are for everybody, by the tenant's slug; none for the platform's.
    pub published: Cache<Option<String>, Arc<Vec<StoredKey>>>,
    /// The OpenAPI document, once somebody has asked for it.
    pub openapi: OnceLock<String>,
    /// Hooks of tenants, ready to run.
    pub chains: Cache<TenantId, Arc<Chain>>,
    /// What tenants accept, and whom they trust.
    pub policies: Cache<TenantId, Arc<InForce>>,
    /// How bindings of hooks fare on this server; outlives the chains, which are forgotten with every change.
    healths: quick_cache::sync::Cache<(TenantId, String, u32), Arc<Health>>,
    /// Whether this server is ready.
    pub readiness: Arc<Readiness>,
    /// What tenants use, against their quotas.
    pub meters: Meters,
    /// Turns to set plugins and hooks up, one of each tenant and of the platform: to compile, and to ask about settings.
    pub set_ups: turns::Shared,
    /// Turns to say what signatures are and whether they hold.
    pub examinations: Arc<Examinations>,
    /// Turns to try hooks out, one of each tenant, apart from those that serve requests.
    pub trials: turns::Shared,
}

impl App {
    /// Builds the parts on a database, whose schema must be there: the audit trail gets the key that seals it, where it has
    /// none yet.
    ///
    /// # Errors
    ///
    /// A sentence about the setting or machine at fault, and those of the store.
    pub fn new(config: Config, database: &Database) -> anyhow::Result<Self> {
        let vault = database.vault(&config)?.map(Arc::new);
        let store = Store::new(database.url(), &config.database);
        let seal_key = match &vault {
            Some(vault) => audit::seal_key(&store, vault)?,
            None => None,
        };
        let mut engine = Engine::new(&config.hooks)?;
        if let Some(compiled) = database.compiled(&config, vault.as_ref()) {
            engine = engine.keeping(compiled);
        }
        Ok(Self {
            store: store.sealing(seal_key),
            authenticator: Authenticator::new(config.auth.clone(), vault.clone()),
            engine: Arc::new(engine),
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
            loading: turns::ByTenant::new(1),
            publications: turns::Shared::new(
                "publications",
                PUBLICATIONS_AT_ONCE,
                config.http.queue_timeout_ms,
            ),
            published: Cache::new(CACHED_PUBLICATIONS),
            openapi: OnceLock::new(),
            chains: Cache::new(CACHED_CHAINS),
            policies: Cache::new(CACHED_POLICIES),
            healths: quick_cache::sync::Cache::new(CACHED_CHAINS),
            readiness: Arc::default(),
            meters: Meters::new(config.quotas),
            // Nobody waits for more than one upload of another tenant's, and that one has its bounds.
            set_ups: turns::Shared::with_part(
                "set_ups",
                COMPILED_AT_ONCE,
                1,
                config
                    .hooks
                    .compile_timeout_ms
                    .saturating_add(SET_UP_PATIENCE_MS),
            ),
            examinations: Arc::new(Examinations::new(
                processors(),
                config.http.queue_timeout_ms,
            )),
            trials: turns::Shared::with_part(
                "trials",
                config.hooks.max_concurrent_trials.max(1),
                1,
                config.hooks.queue_timeout_ms,
            ),
            vault,
            config,
        })
    }

    /// Runs a load of keys or hooks on a thread that may block, when its turn has come.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] where that takes too long, and those of the load.
    pub async fn load<T: Send + 'static>(
        self: &Arc<Self>,
        load: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = turns::wait(
            "loads",
            &self.loads,
            self.config.http.queue_timeout_ms,
            Error::Overloaded,
        )
        .await?;
        let app = Arc::clone(self);
        blocking::run(turn, move || load(&app)).await?
    }

    /// How a binding of a hook fares on this server.
    pub fn health(&self, tenant: TenantId, hook: &str, number: u32) -> Arc<Health> {
        let key = (tenant, hook.to_owned(), number);
        self.healths
            .get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()))
            .unwrap_or_else(|never| match never {})
    }

    /// Forgets a tenant's keys, and with them its suspension and quotas, so that this server reads at once what it has just
    /// changed itself.
    pub fn forget_keys(&self, tenant: TenantId) {
        self.authenticator.invalidate(Some(tenant));
        self.published.invalidate(|_, _| true);
    }

    /// Forgets a tenant's hooks, so that this server reads at once what it has just changed itself.
    pub fn forget_hooks(&self, tenant: TenantId) {
        self.chains.invalidate(|cached, _| *cached == tenant);
    }

    /// Forgets a tenant's policy and whom it trusts, so that this server reads at once what it has just changed itself.
    pub fn forget_policy(&self, tenant: TenantId) {
        self.policies.invalidate(|cached, _| *cached == tenant);
    }

    /// The master key, which shared secrets need.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with what to do, where there is none.
    pub fn vault(&self) -> Result<&Vault> {
        self.vault.as_deref().ok_or_else(crate::auth::no_master_key)
    }

    /// Hears of what other processes change, until the result is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the operating system gives no thread.
    pub fn listen(self: &Arc<Self>) -> Result<Changes> {
        let app = Arc::downgrade(self);
        let changed = move |change| {
            let Some(app) = app.upgrade() else { return };
            match change {
                Change::Keys(tenant) => app.forget_keys(tenant),
                Change::Hooks(tenant) => app.forget_hooks(tenant),
                Change::Policy(tenant) => app.forget_policy(tenant),
                Change::Everything => {
                    app.authenticator.invalidate(None);
                    app.published.invalidate(|_, _| true);
                    app.chains.invalidate(|_, _| true);
                    app.policies.invalidate(|_, _| true);
                }
            }
        };
        let readiness = Arc::clone(&self.readiness);
        Changes::listen(&self.store, readiness, changed).map_err(Error::internal)
    }
}

/// Processors of this machine; two where it has one, so that a part of what takes them is always left to another tenant.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get().max(2))
}

/// The database that the configuration names: one of the user's, or the embedded one, which lives as long as this.
#[derive(Debug)]
pub struct Database {
    url: String,
    data_dir: PathBuf,
    embedded: Option<Embedded>,
}

impl Database {
    /// Opens the database; blocks while the embedded one starts.
    ///
    /// # Errors
    ///
    /// Those of [`Embedded::open`].
    pub fn open(config: &Config, purpose: Purpose) -> anyhow::Result<Self> {
        let data_dir = data_dir(config);
        if let Some(url) = &config.database_url {
            return Ok(Self {
                url: url.clone(),
                data_dir,
                embedded: None,
            });
        }
        let embedded = Embedded::open(&data_dir, purpose, &[])?;
        Ok(Self::of(embedded, data_dir))
    }

    /// An embedded database that is open, with its data directory.
    pub fn of(embedded: Embedded, data_dir: PathBuf) -> Self {
        Self {
            url: embedded.url().to_owned(),
            data_dir,
            embedded: Some(embedded),
        }
    }

    /// The database for libpq.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the embedded database lives, if it is that one.
    pub fn embedded_dir(&self) -> Option<&Path> {
        self.embedded.as_ref().map(|_| self.data_dir.as_path())
    }

    /// The master key: from the file that the configuration names, or made beside the embedded database.
    fn vault(&self, config: &Config) -> anyhow::Result<Option<Vault>> {
        match &config.master_key_file {
            Some(path) => Vault::from_file(path).map(Some),
            None if self.embedded.is_some() => {
                Vault::from_file_or_new(&self.data_dir.join("master.key")).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Where compiled plugins are kept: in the folder that the configuration names, or in the data directory, if there is
    /// one. Without a master key nothing kept could be trusted.
    fn compiled(&self, config: &Config, vault: Option<&Arc<Vault>>) -> Option<Compiled> {
        let folder = match &config.hooks.cache_dir {
            Some(folder) => folder.clone(),
            None if self.embedded.is_some() || config.data_dir.is_some() => {
                self.data_dir.join("compiled")
            }
            None => return None,
        };
        let vault = vault.filter(|_| config.hooks.max_cache_bytes > 0)?;
        let max_bytes = config.hooks.max_cache_bytes;
        Some(Compiled::new(folder, Arc::clone(vault), max_bytes))
    }

    /// Brings the schema up to date, or with `migrate` false makes sure that it is; says what was done.
    ///
    /// # Errors
    ///
    /// Those of [`store::migrate`] and [`store::check_schema`].
    pub fn prepare(&self, migrate: bool) -> anyhow::Result<Vec<String>> {
        if migrate {
            store::migrate(&self.url)
        } else {
            store::check_schema(&self.url).map(|()| Vec::new())
        }
    }
}

/// The data directory: the one that is set, or the usual one, or where Postgres's user can't reach that, root's.
pub fn data_dir(config: &Config) -> PathBuf {
    if let Some(set) = &config.data_dir {
        return set.clone();
    }
    let here = std::env::current_dir().unwrap_or_default();
    if embedded::reachable(&here) {
        DEFAULT_DATA_DIR.into()
    } else {
        ROOT_DATA_DIR.into()
    }
}
