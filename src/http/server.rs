//! Starts serving, and stops gracefully.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderMap;
use sigpersist_hooks::COMPILED_AT_ONCE;
use sigpersist_model::context::Caller;
use sigpersist_model::error::Result;
use sigpersist_runtime::fair_semaphore::FairSemaphore;
use tokio::net::TcpListener;
use tracing::warn;
use warp::Filter;

use super::body::Body;
use super::budget::Budget;
use super::connections::accept;
use super::cors::Origins;
use super::places::Places;
use super::respond::{Incoming, respond};
use super::route::{Audience, Route};
use crate::app::App;
use crate::tenants;

/// Time that an upload or a new binding waits in the queue, in addition to the compile timeout, in milliseconds. The
/// work before it may also run test cases.
const SET_UP_PATIENCE_MS: u64 = 30_000;
/// The most concurrent unauthenticated requests.
const PUBLICATIONS_AT_ONCE: usize = 2;

/// The most concurrent requests to public logs.
const PUBLIC_LOGS_AT_ONCE: usize = 2;

/// The most concurrent checks of audit trails, each of which reads for long.
const CHECKS_AT_ONCE: usize = 2;

/// State that all requests share.
#[derive(Debug)]
pub struct Server {
    /// The parts that answer.
    pub app: Arc<App>,
    /// Limits concurrent requests.
    pub requests: FairSemaphore,
    /// Limits concurrent unauthenticated requests.
    pub publications: FairSemaphore,
    /// Limits concurrent requests to public logs. Separate, so that monitors keep nobody from the other publications.
    pub public_logs: FairSemaphore,
    /// Limits concurrent set-ups of plugins and hooks (compiling, and checking settings): one per tenant, and one for
    /// the platform.
    pub set_ups: FairSemaphore,
    /// Limits concurrent trials of hooks to one per tenant. Separate from the limits on requests.
    pub trials: FairSemaphore,
    /// Limits concurrent checks of audit trails: one per tenant, and one for the platform.
    pub checks: FairSemaphore,
    /// Limits concurrent lists, which may read for as long as a statement may: they never have more than half of the
    /// database's connections, and one tenant a quarter.
    pub lists: FairSemaphore,
    /// Limits the bytes of bodies and answers in memory.
    pub(super) budget: Arc<Budget>,
    /// The OpenAPI document, built on first use.
    pub(super) openapi: OnceLock<String>,
    /// The pages that may use the API.
    pub(super) origins: Origins,
    /// Where requests come from.
    side: Side,
}

/// The side that requests come from, which decides who their caller is.
#[derive(Debug)]
enum Side {
    /// The API's port: a token names the caller.
    Port,
    /// The watch port: requests need no token, and only the routes for monitoring exist.
    WatchPort,
    /// Commands in this process, which need no token.
    CommandLine(Arc<Caller>),
}

impl Server {
    /// The state of a server that authenticates its callers.
    pub fn new(app: Arc<App>) -> Arc<Self> {
        Arc::new(Self::with(app, Side::Port))
    }

    /// The state of a server whose only caller is the command line, in this process.
    pub fn of_command_line(app: Arc<App>) -> Arc<Self> {
        let caller = Arc::new(Caller::command_line());
        Arc::new(Self::with(app, Side::CommandLine(caller)))
    }

    /// The same server, for the command line that acts as a tenant. Blocks.
    ///
    /// # Errors
    ///
    /// The errors of [`tenants::command_line_as`].
    pub fn acting_as(&self, slug: &str) -> Result<Arc<Self>> {
        let caller = Arc::new(tenants::command_line_as(&self.app, slug)?);
        let app = Arc::clone(&self.app);
        Ok(Arc::new(Self::with(app, Side::CommandLine(caller))))
    }

    fn with(app: Arc<App>, side: Side) -> Self {
        let config = &app.config;
        let patience_ms = config.http.queue_timeout_ms;
        let set_up_patience_ms = config
            .hooks
            .compile_timeout_ms
            .saturating_add(SET_UP_PATIENCE_MS);
        let connections = config.database.pool_size as usize;
        let trials = config.hooks.max_concurrent_trials.max(1);
        Self {
            requests: FairSemaphore::new("requests", config.answered_at_once(), patience_ms),
            publications: FairSemaphore::new("publications", PUBLICATIONS_AT_ONCE, patience_ms),
            public_logs: FairSemaphore::new("public_logs", PUBLIC_LOGS_AT_ONCE, patience_ms),
            // Nobody waits for more than one upload of another tenant, and the time of that upload is limited.
            set_ups: FairSemaphore::with_part("set_ups", COMPILED_AT_ONCE, 1, set_up_patience_ms),
            trials: FairSemaphore::with_part("trials", trials, 1, config.hooks.queue_timeout_ms),
            checks: FairSemaphore::with_part("checks", CHECKS_AT_ONCE, 1, patience_ms),
            lists: FairSemaphore::with_part(
                "lists",
                (connections / 2).max(1),
                (connections / 4).max(1),
                patience_ms,
            ),
            budget: Budget::new(&config.http),
            openapi: OnceLock::new(),
            // The watch port relies on being out of the reach of strangers, and pages would bring them there.
            origins: match side {
                Side::Port => Origins::new(&config.http.cors_origins),
                Side::WatchPort | Side::CommandLine(_) => Origins::none(),
            },
            app,
            side,
        }
    }

    /// Whether the route exists on this port.
    pub(super) fn has(&self, route: &Route) -> bool {
        route.watches || !matches!(self.side, Side::WatchPort)
    }

    /// Whether nobody asks who the caller of the route is.
    pub(super) fn is_anonymous(&self, route: &Route) -> bool {
        route.audience == Audience::Anybody || matches!(self.side, Side::WatchPort)
    }

    /// The command line, if it is the caller of all requests.
    pub(super) fn command_line(&self) -> Option<&Arc<Caller>> {
        match &self.side {
            Side::CommandLine(caller) => Some(caller),
            Side::Port | Side::WatchPort => None,
        }
    }
}

/// Serves the watch port (health and metrics), until it is dropped.
pub async fn serve_watchers(app: Arc<App>, listener: TcpListener) {
    let config = app.config.http.clone();
    let filter = filter(Arc::new(Server::with(app, Side::WatchPort)));
    let room = config.max_watch_connections();
    let places = Places::new(room, room.div_ceil(4));
    accept(listener, filter, &config, places, std::future::pending()).await;
}

/// Serves until `shutdown` completes, then lets requests in flight finish within the configured time.
///
/// # Errors
///
/// If the listener has no address.
pub async fn serve(
    server: Arc<Server>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    // Installs the metrics recorder now, so that counting does not begin with the first scrape.
    drop(sigpersist_runtime::metrics::render());
    let app = Arc::clone(&server.app);
    let config = app.config.http.clone();
    let patience = Duration::from_millis(config.shutdown_timeout_ms);
    let delay = Duration::from_millis(config.shutdown_delay_ms);
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let places = Places::new(config.max_connections, config.connections_of_peer());
    let serving = accept(listener, filter(server), &config, places, async move {
        shutdown.await;
        app.readiness.stop();
        tokio::time::sleep(delay).await;
        app.waiters.dismiss();
        // Dropping the sender has the same effect.
        let _told: Result<(), ()> = stopping.send(());
    });
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = async {
            // A sender that is dropped without sending means the same: there are no requests left to wait for.
            drop(stopped.await);
            tokio::time::sleep(patience).await;
        } => warn!("Some requests did not finish within {} ms and were cut off", patience.as_millis()),
    }
    Ok(address)
}

fn filter(
    server: Arc<Server>,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static
{
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::path::full())
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional())
        .and(warp::ext::optional())
        .and(warp::body::stream())
        .then(
            move |method,
                  path: warp::path::FullPath,
                  query,
                  headers: HeaderMap,
                  fault,
                  connection,
                  stream| {
                let server = Arc::clone(&server);
                async move {
                    let body = Body::new(stream, &headers, &server.app.config.http);
                    let incoming = Incoming {
                        method,
                        path: path.as_str().to_owned(),
                        query,
                        headers,
                        fault,
                        connection,
                    };
                    respond(server, incoming, body).await
                }
            },
        )
}
