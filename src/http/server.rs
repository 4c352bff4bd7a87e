//! Starts serving, and stops gracefully.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use sigpersist_runtime::turns;
use tokio::net::TcpListener;
use tracing::warn;
use warp::Filter;

use super::body::Body;
use super::budget::Budget;
use super::connections::accept;
use super::places::Places;
use super::respond::{Incoming, respond};
use crate::app::App;

/// State that all requests share.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) app: Arc<App>,
    /// Limits concurrent requests.
    pub(super) turns: turns::Shared,
    /// Limits the bytes of bodies and answers in memory.
    pub(super) budget: Arc<Budget>,
    /// Whether this is the watch port, where requests need no token and only the routes for monitoring exist.
    pub(super) is_for_watchers: bool,
}

impl Server {
    fn new(app: Arc<App>, is_for_watchers: bool) -> Arc<Self> {
        Arc::new(Self {
            turns: turns::Shared::new(
                "requests",
                app.config.answered_at_once(),
                app.config.http.queue_timeout_ms,
            ),
            budget: Budget::new(&app.config.http),
            app,
            is_for_watchers,
        })
    }
}

/// Serves the watch port (health and metrics), until it is dropped.
pub async fn serve_watchers(app: Arc<App>, listener: TcpListener) {
    let config = app.config.http.clone();
    let filter = filter(Server::new(app, true));
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
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<SocketAddr> {
    let address = listener.local_addr()?;
    // Installs the metrics recorder now, so that counting does not begin with the first scrape.
    drop(sigpersist_runtime::metrics::render());
    let patience = Duration::from_millis(app.config.http.shutdown_timeout_ms);
    let delay = Duration::from_millis(app.config.http.shutdown_delay_ms);
    let stopped_app = Arc::clone(&app);
    let server = Server::new(app, false);
    let config = server.app.config.http.clone();
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let places = Places::new(config.max_connections, config.connections_of_peer());
    let serving = accept(listener, filter(server), &config, places, async move {
        shutdown.await;
        stopped_app.readiness.stop();
        tokio::time::sleep(delay).await;
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
