//! The composition root: builds the parts once, and forwards change notifications to the caches.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use sigpersist_hooks::{Compiled, Engine, Health};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_outbound::{Outbound, Roots, Rules};
use sigpersist_postgres::ROOT_DATA_DIR;
use sigpersist_postgres::embedded::{Embedded, Purpose};
use sigpersist_runtime::blocking;
use sigpersist_runtime::examinations::Examinations;
use sigpersist_runtime::fair_semaphore::{FairSemaphore, TenantSemaphores, acquire};
use sigpersist_runtime::meters::Meters;
use sigpersist_runtime::readiness::Readiness;
use sigpersist_runtime::trickle::Trickle;
use sigpersist_runtime::vault::Vault;
use sigpersist_store as store;
use sigpersist_store::{Changes, Store};
use tokio::sync::Semaphore;

use crate::auth::Authenticator;
use crate::caches::Caches;
use crate::config::{Config, entries};
use crate::publishers::Publishers;
use crate::spool::Spool;
use crate::waiters::Waiters;

/// Maximum number of bindings of hooks whose health is known.
const KNOWN_HEALTHS: usize = 10_000;
/// Maximum number of concurrent loads of keys and hooks.
const LOADS_AT_ONCE: usize = 8;
/// Maximum number of concurrent fetches of the keys of identity providers, and of those of one tenant.
const FETCHES_AT_ONCE: usize = 16;
const FETCHES_OF_TENANT: usize = 2;
/// The most refusals of a tenant that this server adds to its log in a minute.
const REFUSALS_PER_MINUTE: u32 = 20;
const DEFAULT_DATA_DIR: &str = "./sigpersist-data";

/// The parts of a server or command, wired together.
#[derive(Debug)]
pub struct App {
    /// All settings.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// The master key, if there is one.
    pub vault: Option<Arc<Vault>>,
    /// Data that is kept ready until it changes, and the authentication of callers by it.
    pub caches: Arc<Caches>,
    /// Runs plugins.
    pub engine: Arc<Engine>,
    /// Publishers, one of whom must have signed each plugin that is uploaded.
    pub publishers: Publishers,
    /// Limits concurrent loads of keys and hooks. Unauthenticated requests can cause such loads, so they get few
    /// threads.
    loads: Arc<Semaphore>,
    /// Limits concurrent loads of one tenant's hooks to one.
    pub loading: TenantSemaphores,
    /// Health of hook bindings on this server. Outlives the chains, which are dropped from their cache on every change.
    healths: quick_cache::sync::Cache<(TenantId, String, u32), Arc<Health>>,
    /// Whether this server is ready.
    pub readiness: Arc<Readiness>,
    /// Resource usage of tenants, checked against their quotas.
    pub meters: Meters,
    /// Limits the refusals that this server adds to logs.
    pub refusals: Trickle,
    /// Exports and imports in the background.
    pub spool: Arc<Spool>,
    /// The file that remembers how far the tenants' logs were; none without a data directory.
    pub heads_file: Option<PathBuf>,
    /// Makes requests to addresses that others choose, once it is needed.
    outbound: OnceLock<Outbound>,
    /// Makes requests to identity providers, once it is needed. Operators list their hosts, so they may be in the operators'
    /// own network, where no tenant's webhook may lead.
    outbound_to_issuers: OnceLock<Outbound>,
    /// Limits concurrent fetches of the keys of identity providers.
    pub fetches: FairSemaphore,
    /// Those who wait for events.
    pub waiters: Arc<Waiters>,
    /// Limits concurrent inspections and verifications of signatures.
    pub examinations: Arc<Examinations>,
}

impl App {
    /// Builds the parts on a database that has its schema already. If the audit trail has no seal key yet, makes one.
    ///
    /// # Errors
    ///
    /// A sentence about the setting or machine at fault, or an error of the store.
    pub fn new(config: Config, database: &Database) -> anyhow::Result<Self> {
        let vault = database.vault(&config)?.map(Arc::new);
        let store = Store::new(database.url(), &config.database);
        let seal_key = match &vault {
            Some(vault) => store.seal_key_open(vault)?,
            None => None,
        };
        let mut engine = Engine::new(&config.hooks)?;
        if let Some(compiled) = database.compiled(&config, vault.as_ref()) {
            engine = engine.keeping(compiled);
        }
        let authenticator = Authenticator::new(config.auth.clone(), vault.clone());
        let caches = Arc::new(Caches::new(authenticator));
        let waiters = Arc::new(Waiters::new(&config.events));
        let (told, woken) = (Arc::clone(&caches), Arc::clone(&waiters));
        let publishers = Publishers::parse(entries(&config.plugins.require_signature))
            .map_err(anyhow::Error::msg)?;
        Ok(Self {
            publishers,
            store: store
                .sealing(seal_key)
                .logging(config.evidence.log)
                .telling(move |change| {
                    told.forget(change);
                    woken.wake(change);
                }),
            heads_file: database.heads_file(&config),
            outbound: OnceLock::new(),
            outbound_to_issuers: OnceLock::new(),
            fetches: FairSemaphore::with_part(
                "fetches",
                FETCHES_AT_ONCE,
                FETCHES_OF_TENANT,
                config.http.queue_timeout_ms,
            ),
            waiters,
            caches,
            engine: Arc::new(engine),
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
            loading: TenantSemaphores::new(1),
            healths: quick_cache::sync::Cache::new(KNOWN_HEALTHS),
            readiness: Arc::default(),
            meters: Meters::new(config.quotas),
            refusals: Trickle::new(REFUSALS_PER_MINUTE, Duration::from_mins(1)),
            spool: Arc::new(Spool::new(database.spool_dir(&config))),
            examinations: Arc::new(Examinations::new(
                processors(),
                config.http.queue_timeout_ms,
            )),
            vault,
            config,
        })
    }

    /// Runs a load of keys or hooks on a blocking thread, after waiting for a permit.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] if the wait takes too long, and the errors of the load.
    pub async fn load<T: Send + 'static>(
        self: &Arc<Self>,
        load: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = acquire(
            "loads",
            &self.loads,
            self.config.http.queue_timeout_ms,
            Error::Overloaded,
        )
        .await?;
        let app = Arc::clone(self);
        blocking::run(permit, move || load(&app)).await?
    }

    /// The health record of a hook's binding on this server.
    pub fn health(&self, tenant: TenantId, hook: &str, number: u32) -> Arc<Health> {
        let key = (tenant, hook.to_owned(), number);
        self.healths
            .get_or_insert_with(&key, || Ok::<_, std::convert::Infallible>(Arc::default()))
            .unwrap_or_else(|never| match never {})
    }

    /// The master key, which encrypts shared secrets.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with what to do, if there is no master key.
    pub fn vault(&self) -> Result<&Vault> {
        self.vault.as_deref().ok_or_else(crate::auth::no_master_key)
    }

    /// Makes requests to addresses that others choose. Loads the certificate authorities at the first call.
    ///
    /// # Errors
    ///
    /// A sentence about the setting at fault.
    pub fn outbound(&self) -> anyhow::Result<&Outbound> {
        if let Some(outbound) = self.outbound.get() {
            return Ok(outbound);
        }
        let config = &self.config.webhooks;
        let names = ["webhooks.allow", "webhooks.ca_file"];
        let outbound = new_outbound(&config.allow, config.ca_file.as_deref(), names)?;
        Ok(self.outbound.get_or_init(|| outbound))
    }

    /// Makes requests to identity providers. Loads the certificate authorities at the first call.
    ///
    /// # Errors
    ///
    /// A sentence about the setting at fault.
    pub fn outbound_to_issuers(&self) -> anyhow::Result<&Outbound> {
        if let Some(outbound) = self.outbound_to_issuers.get() {
            return Ok(outbound);
        }
        let config = &self.config.auth;
        let names = ["auth.jwks_allow", "auth.jwks_ca_file"];
        let outbound = new_outbound(&config.jwks_allow, config.jwks_ca_file.as_deref(), names)?;
        Ok(self.outbound_to_issuers.get_or_init(|| outbound))
    }

    /// A URL that somebody entered, in the spelling in which it is stored. Asks DNS, so it blocks for seconds at worst.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidParameter`] with the field `url` for its form, [`Error::Refused`] for where it leads.
    pub fn callable_url(&self, url: &str) -> Result<String> {
        let outbound = self.outbound();
        let outbound = outbound.map_err(|cause| Error::Internal(cause.into()))?;
        match outbound.check_now(url) {
            Ok(target) => Ok(target.url()),
            Err(refused) if refused.is_of_form() => Err(Error::invalid("url", refused.to_string())),
            Err(refused) => Err(Error::refused(refused.to_string())),
        }
    }

    /// Listens for changes that other processes make, until the result is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the operating system cannot start a thread.
    pub fn listen(&self) -> Result<Changes> {
        Changes::listen(&self.store, Arc::clone(&self.readiness)).map_err(Error::internal)
    }
}

/// Reads the settings of requests to others: addresses that are allowed, and a file with certificate authorities.
fn new_outbound(
    allow: &str,
    ca_file: Option<&Path>,
    [allow_name, ca_file_name]: [&str; 2],
) -> anyhow::Result<Outbound> {
    let allow = entries(allow).map(str::parse);
    let rules = Rules {
        allow: allow
            .collect::<Result<_, _>>()
            .with_context(|| format!("The setting {allow_name} is not valid"))?,
    };
    let roots = match ca_file {
        Some(path) => Roots::Pem(std::fs::read(path).with_context(|| {
            format!("The file {} ({ca_file_name}) can't be read", path.display())
        })?),
        None => Roots::System,
    };
    Ok(Outbound::new(rules, roots)?)
}

/// Number of processors, but at least two, so that one tenant's half never takes all permits.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| processors.get().max(2))
}

/// The database that the configuration names: the user's own, or the embedded one, which runs until this value is
/// dropped.
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
    /// The errors of [`Embedded::open`].
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

    /// Wraps an embedded database that is already open.
    pub fn of(embedded: Embedded, data_dir: PathBuf) -> Self {
        Self {
            url: embedded.url().to_owned(),
            data_dir,
            embedded: Some(embedded),
        }
    }

    /// The connection string for libpq.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The data directory of an embedded database that this process has just made.
    pub fn made_in(&self) -> Option<&Path> {
        let embedded = self.embedded.as_ref()?;
        embedded.is_new().then_some(self.data_dir.as_path())
    }

    /// The data directory of the embedded database; none for a database of the user's.
    pub fn embedded_dir(&self) -> Option<&Path> {
        self.embedded.as_ref().map(|_| self.data_dir.as_path())
    }

    /// Reads the master key from the configured file. Beside the embedded database, makes one if there is none.
    fn vault(&self, config: &Config) -> anyhow::Result<Option<Vault>> {
        match &config.master_key_file {
            Some(path) => Vault::from_file(path).map(Some),
            None if self.embedded.is_some() => {
                Vault::from_file_or_new(&self.data_dir.join("master.key")).map(Some)
            }
            None => Ok(None),
        }
    }

    /// The folder for compiled plugins: the configured one, or one in the data directory if there is one. None without
    /// a master key, since nothing on disk could be trusted then.
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

    /// The file that remembers how far the logs were: in the data directory, if there is one.
    fn heads_file(&self, config: &Config) -> Option<PathBuf> {
        let has_data_dir = self.embedded.is_some() || config.data_dir.is_some();
        has_data_dir.then(|| self.data_dir.join("log-heads"))
    }

    /// The folder for files of exports and imports: the configured one, or one in the data directory if there is one.
    fn spool_dir(&self, config: &Config) -> Option<PathBuf> {
        let has_data_dir = self.embedded.is_some() || config.data_dir.is_some();
        let in_data_dir = has_data_dir.then(|| self.data_dir.join("transfers"));
        config.transfer.dir.clone().or(in_data_dir)
    }

    /// Migrates the schema, or if `migrate` is false, checks that it is up to date. Returns a description of each step
    /// done.
    ///
    /// # Errors
    ///
    /// The errors of [`store::migrate`] and [`store::check_schema`].
    pub fn prepare(&self, migrate: bool) -> anyhow::Result<Vec<String>> {
        if migrate {
            store::migrate(&self.url)
        } else {
            store::check_schema(&self.url).map(|()| Vec::new())
        }
    }
}

/// The data directory: the configured one, otherwise the default. If Postgres's user cannot reach the default, root's.
pub fn data_dir(config: &Config) -> PathBuf {
    if let Some(set) = &config.data_dir {
        return set.clone();
    }
    let here = std::env::current_dir().unwrap_or_default();
    if sigpersist_postgres::reachable(&here) {
        DEFAULT_DATA_DIR.into()
    } else {
        ROOT_DATA_DIR.into()
    }
}
