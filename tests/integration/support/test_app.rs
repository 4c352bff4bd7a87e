//! A server in this process, with its own database and port.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sigpersist::app::{App, Database};
use sigpersist::config::Config;
use sigpersist::decisions;
use sigpersist::http::{self, Server};
use sigpersist::log::{self, Sequencer};
use sigpersist::plugins::{self, HookRequest};
use sigpersist::tenants::{self, AddedKey, NewKey, NewTenant, NewToken};
use sigpersist_model::audit::Actor;
use sigpersist_model::context::{Scope, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::key::Algorithm;
use sigpersist_model::plugin::{Hook, Revision};
use sigpersist_model::signature::Preconditions;
use sigpersist_postgres::embedded::Purpose;
use sigpersist_store::Changes;
use tokio::runtime::Runtime;
use tokio_util::task::AbortOnDropHandle;

use super::Client;
use super::Stopwatch;
use super::TestDatabase;

/// Long enough for a busy machine: the compiling processes have a low priority.
pub(super) const COMPILE_TIMEOUT_MS: u64 = 600_000;
/// Timeout for anything that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) server: Arc<Server>,
    pub(crate) base: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    changes: Option<Changes>,
    /// Declared last, so that it is dropped after all connections.
    pub(crate) database: Arc<TestDatabase>,
}

impl TestApp {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::on(Arc::new(TestDatabase::new()), configure)
    }

    /// Another server on the same database.
    pub(crate) fn replica(&self) -> Self {
        self.replica_with(|_| {})
    }

    pub(crate) fn replica_with(&self, configure: impl FnOnce(&mut Config)) -> Self {
        Self::on(Arc::clone(&self.database), configure)
    }

    fn on(database: Arc<TestDatabase>, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            database_url: Some(database.url.clone()),
            master_key_file: Some(database.master_key_file()),
            ..Config::default()
        };
        config.database.pool_size = 8;
        // The test binary cannot compile plugins; the real program does.
        config.hooks.compiler = Some(env!("CARGO_BIN_EXE_sigpersist").into());
        config.hooks.compile_timeout_ms = COMPILE_TIMEOUT_MS;
        config.hooks.queue_timeout_ms = 30_000;
        configure(&mut config);
        let opened = Database::open(&config, Purpose::Serve).unwrap();
        let app = Arc::new(App::new(config, &opened).unwrap());
        let changes = app.listen().unwrap();
        // Tests prepare no plugins ahead.
        app.readiness.plugins_are_ready();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let server = Server::new(Arc::clone(&app));
        runtime.spawn(http::serve(Arc::clone(&server), listener, async {
            drop(stopped.await);
        }));
        Self {
            app,
            server,
            base,
            stop: Some(stop),
            runtime: Some(runtime),
            changes: Some(changes),
            database,
        }
    }

    /// Creates a tenant, and returns a client for it with all of an application's scopes.
    pub(crate) fn tenant(&self, slug: &str) -> Client {
        tenants::create(&self.app, &Actor::command_line(), &NewTenant::new(slug)).unwrap();
        self.add_key(Some(slug), &NewKey::made(Algorithm::Hs256))
            .unwrap();
        self.client(slug, &Scope::APPLICATION)
    }

    /// A client of a tenant with these scopes.
    pub(crate) fn client(&self, slug: &str, scopes: &[Scope]) -> Client {
        self.holder(Some(slug), scopes)
    }

    /// A client of a tenant with all scopes.
    pub(crate) fn operator(&self, slug: &str) -> Client {
        self.client(slug, &Scope::ALL)
    }

    /// A client of the platform with all scopes. Adds a platform key for it.
    pub(crate) fn platform(&self) -> Client {
        self.platform_with(&Scope::ALL)
    }

    /// Like [`Self::platform`], with these scopes.
    pub(crate) fn platform_with(&self, scopes: &[Scope]) -> Client {
        self.add_key(None, &NewKey::made(Algorithm::Hs256)).unwrap();
        self.holder(None, scopes)
    }

    /// Like [`Self::platform`], for one tenant: its paths begin with the tenant's.
    pub(crate) fn platform_for(&self, slug: &str) -> Client {
        let mut client = self.platform();
        client.base = format!("{}/tenants/{slug}", self.base);
        client
    }

    /// Starts the clearing of old decisions. It stops when the result is dropped.
    pub(crate) fn clear_decisions(&self) -> AbortOnDropHandle<()> {
        let runtime = self.runtime.as_ref().unwrap();
        let _guard = runtime.enter();
        decisions::keep_clearing(Arc::clone(&self.app))
    }

    /// Starts to number what happens. It stops when the result is dropped.
    pub(crate) fn keep_sequencing(&self) -> AbortOnDropHandle<()> {
        self.keep(log::keep_sequencing)
    }

    /// Starts a background task of this server. It stops when the result is dropped.
    pub(crate) fn keep(
        &self,
        task: impl FnOnce(Arc<App>) -> AbortOnDropHandle<()>,
    ) -> AbortOnDropHandle<()> {
        let runtime = self.runtime.as_ref().unwrap();
        let _guard = runtime.enter();
        task(Arc::clone(&self.app))
    }

    /// Numbers everything that has happened.
    pub(crate) fn sequence(&self) {
        let sequencer = Sequencer::new(&self.app);
        while sequencer.pass(&self.app).unwrap() {}
    }

    /// Starts the removal of tenants whose deletion is due. It stops when the result is dropped.
    pub(crate) fn remove_tenants(&self) -> AbortOnDropHandle<()> {
        let runtime = self.runtime.as_ref().unwrap();
        let _guard = runtime.enter();
        tenants::keep_removing(Arc::clone(&self.app))
    }

    /// Adds a key to a tenant, or to the platform.
    pub(crate) fn add_key(&self, slug: Option<&str>, new: &NewKey) -> Result<AddedKey> {
        let owner = tenants::owner(&self.app, slug)?;
        tenants::add_key(&self.app, &Actor::command_line(), &owner, new)
    }

    /// An application of a tenant with this name.
    pub(crate) fn application(&self, slug: &str, subject: &str) -> Client {
        self.holder_named(Some(slug), &Scope::APPLICATION, subject)
    }

    fn holder(&self, slug: Option<&str>, scopes: &[Scope]) -> Client {
        self.holder_named(slug, scopes, "tester")
    }

    fn holder_named(&self, slug: Option<&str>, scopes: &[Scope], subject: &str) -> Client {
        let owner = tenants::owner(&self.app, slug).unwrap();
        let new = NewToken {
            scopes: Some(scopes.to_vec()),
            subject: Some(subject.to_owned()),
            lifetime: Some(Duration::from_secs(3600)),
            bound_to: None,
            kid: None,
        };
        let actor = Actor::command_line();
        let issued = tenants::issue_token(&self.app, &actor, &owner, new).unwrap();
        Client::new(&self.base, Some(issued.token))
    }

    /// A client without a token.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.base, None)
    }

    pub(crate) fn tenant_id(&self, slug: &str) -> TenantId {
        tenants::find(&self.app, slug).unwrap().id
    }

    /// The audit trail of a tenant as lines of action and target, without the events of the test's set-up.
    pub(crate) fn audit(&self, slug: &str) -> Vec<String> {
        let lines = self.database.lines(&format!(
            "SELECT action || ' ' || target AS line FROM audit_events
             WHERE tenant_id = {} AND action NOT IN ('tenant.create', 'key.add', 'token.issue') ORDER BY number",
            self.tenant_id(slug)
        ));
        lines.lines().map(str::to_owned).collect()
    }

    /// Uploads a plugin of the platform.
    pub(crate) fn upload(&self, name: &str, component: &[u8]) -> Result<Revision> {
        let actor = Actor::command_line();
        let upload = plugins::Upload::of(component);
        plugins::upload(&self.app, None, actor, name, &upload).map(|uploaded| uploaded.revision)
    }

    /// Uploads a plugin and binds it as a hook of the same name. The closure may change the hook's defaults.
    pub(crate) fn hook(
        &self,
        tenant: &str,
        name: &str,
        component: &[u8],
        change: impl FnOnce(&mut HookRequest),
    ) {
        self.upload(name, component).unwrap();
        self.set(tenant, name, name, change).unwrap();
    }

    /// Binds an uploaded plugin with the maximum time limit, unless the closure sets another.
    pub(crate) fn set(
        &self,
        tenant: &str,
        name: &str,
        plugin: &str,
        change: impl FnOnce(&mut HookRequest),
    ) -> Result<Hook> {
        let mut request = HookRequest::new(plugin);
        // A busy machine must not make a hook miss its deadline. Tests about time set their own.
        request.timeout_ms = Some(self.app.config.hooks.max_timeout_ms);
        change(&mut request);
        plugins::set_hook(
            &self.app,
            self.tenant_id(tenant),
            &Actor::command_line(),
            name,
            &request,
            &Preconditions::default(),
        )
        .map(|set| set.hook)
    }
}

/// Waits for something that must happen, with a generous timeout.
#[track_caller]
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < PATIENCE,
            "the condition was not met in time"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for something that must happen within a promised time.
#[track_caller]
pub(crate) fn eventually_within(promised: Duration, condition: impl Fn() -> bool) {
    let since = Stopwatch::start();
    while !condition() {
        assert!(
            since.elapsed() < promised,
            "the condition was not met in time"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        drop(self.stop.take());
        drop(self.changes.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}
