//! Handlers for monitoring: liveness, readiness and metrics.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use sigpersist_model::error::{Error, Result};
use sigpersist_runtime::metrics;
use tracing::warn;

use super::openapi::{Live, Ready};
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::app::App;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Maximum number of tenants in the metric of stored bytes: those with the most.
const MAX_TENANTS: i64 = 100;
/// Maximum time to wait for the database.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reports that the server is alive.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "get_liveness",
    responses(
        (status = 200, description = "The server is alive", body = Envelope<Live>),
    )
)]
pub(super) fn live(call: Call) -> Result<Reply> {
    call.parameters()?;
    Reply::content(&json!({ "live": true }))
}

/// Reports whether the server is ready, or what it lacks.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "get_readiness",
    responses(
        (status = 200, description = "The server is ready", body = Envelope<Ready>),
        (status = 503, description = "not_ready"),
    )
)]
pub(super) fn ready(call: Call) -> Result<Reply> {
    call.parameters()?;
    let lacks = call.app.readiness.lacks();
    if lacks.is_empty() {
        return Reply::content(&json!({ "ready": true }));
    }
    Err(Error::NotReady(lacks))
}

/// The answer of the database, if it comes until then; none otherwise, so that the metrics of this server are still shown.
fn asked<T: Send + 'static>(
    until: Instant,
    ask: impl FnOnce() -> Result<T> + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::channel();
    // The number of these threads is limited as that of connections is.
    let asking = std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || drop(tell.send(ask())));
    if let Err(cause) = asking {
        warn!(%cause, "A thread that asks the database for metrics could not be started");
    }
    let patience = until.saturating_duration_since(Instant::now());
    told.recv_timeout(patience).ok()?.ok()
}

/// Records what the database says about all tenants.
fn record_stored(app: &App) {
    let until = Instant::now() + PATIENCE;
    let store = app.store.clone();
    let most = asked(until, move || store.usage_most(MAX_TENANTS));
    for (tenant, bytes) in most.unwrap_or_default() {
        metrics::stored(tenant, bytes);
    }
    let store = app.store.clone();
    if let Some(webhooks) = asked(until, move || store.webhooks_state()) {
        metrics::webhooks("enabled", webhooks.enabled);
        metrics::webhooks("failing", webhooks.failing);
        metrics::webhooks("disabled", webhooks.disabled);
        metrics::webhooks_are_behind(webhooks.pending, webhooks.lag);
    }
}

/// Shows the server's metrics in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain", example = "sigpersist_ready 1"),
    )
)]
pub(super) fn metrics(call: Call) -> Result<Reply> {
    call.parameters()?;
    let app = &call.app;
    let (idle, used) = app.store.connections();
    metrics::connections(idle, used);
    metrics::ready(app.readiness.lacks().is_empty());
    app.caches.authenticator.key_sets().record();
    record_stored(app);
    Ok(Reply::bytes(TEXT, metrics::render().into_bytes()))
}
