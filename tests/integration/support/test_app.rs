//! A server in this process, on a database and a port of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sigpersist::app::{App, Database};
use sigpersist::auth::key::Algorithm;
use sigpersist::config::Config;
use sigpersist::context::Scope;
use sigpersist::plugins::model::{Mode, OnFailure};
use sigpersist::plugins::{self, HookRequest};
use sigpersist::store::Changes;
use sigpersist::store::embedded::Purpose;
use sigpersist::{http, tenants};
use tokio::runtime::Runtime;

use super::{Client, TestDatabase};

pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) base: String,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    runtime: Option<Runtime>,
    changes: Option<Changes>,
    /// Dropped last, after all connections.
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
        Self::on(Arc::clone(&self.database), |_| {})
    }

    fn on(database: Arc<TestDatabase>, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            database_url: Some(database.url.clone()),
            master_key_file: Some(database.master_key_file()),
            ..Config::default()
        };
        config.database.pool_size = 8;
        configure(&mut config);
        let opened = Database::open(&config, Purpose::Serve).unwrap();
        let app = Arc::new(App::new(config, &opened).unwrap());
        let changes = app.listen(&opened).unwrap();
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
        runtime.spawn(http::serve(Arc::clone(&app), listener, async {
            drop(stopped.await);
        }));
        Self {
            app,
            base,
            stop: Some(stop),
            runtime: Some(runtime),
            changes: Some(changes),
            database,
        }
    }

    /// A client that speaks for a new tenant with all of an application's scopes.
    pub(crate) fn tenant(&self, slug: &str) -> Client {
        tenants::create(&self.app, slug, None).unwrap();
        tenants::add_key(&self.app, slug, Algorithm::Hs256, None).unwrap();
        self.client(slug, &Scope::APPLICATION)
    }

    /// A client that speaks for a tenant with some scopes.
    pub(crate) fn client(&self, slug: &str, scopes: &[Scope]) -> Client {
        let subject = Some("tester".to_owned());
        let token =
            tenants::issue_token(&self.app, slug, scopes, subject, Duration::from_secs(3600))
                .unwrap();
        Client::new(&self.base, Some(token))
    }

    /// A client without a token.
    pub(crate) fn anonymous(&self) -> Client {
        Client::new(&self.base, None)
    }

    /// Uploads a plugin and binds it as a hook of the same name, with defaults that the closure may change.
    pub(crate) fn hook(
        &self,
        tenant: &str,
        name: &str,
        component: &[u8],
        change: impl FnOnce(&mut HookRequest),
    ) {
        plugins::upload(&self.app, None, name, component).unwrap();
        self.bind(tenant, name, name, change);
    }

    /// Binds an uploaded plugin, and waits until the server has noticed by itself.
    pub(crate) fn bind(
        &self,
        tenant: &str,
        name: &str,
        plugin: &str,
        change: impl FnOnce(&mut HookRequest),
    ) {
        let tenant_id = tenants::find(&self.app, tenant).unwrap().id;
        plugins::chain(&self.app, tenant_id).unwrap();
        self.set(tenant, name, plugin, change);
        eventually(|| self.app.chains.get(&tenant_id).is_none());
    }

    /// Binds an uploaded plugin.
    pub(crate) fn set(
        &self,
        tenant: &str,
        name: &str,
        plugin: &str,
        change: impl FnOnce(&mut HookRequest),
    ) {
        let mut request = HookRequest {
            plugin: plugin.to_owned(),
            order: 0,
            timeout_ms: None,
            mode: Mode::Enforce,
            on_failure: OnFailure::Reject,
            settings: json!({}),
        };
        change(&mut request);
        plugins::set_hook(&self.app, tenant, name, request).unwrap();
    }
}

/// Waits for something that happens within a second.
#[track_caller]
pub(crate) fn eventually(condition: impl Fn() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "it has not happened"
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
