//! The handlers of those who watch the server: whether it lives, whether it is ready, and what it counts.

use std::sync::mpsc;
use std::time::Duration;

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
/// Tenants whose stored bytes are told: those with the most.
const MAX_TENANTS: i64 = 100;
/// How long the database may take to tell them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says that the server lives.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "get_liveness",
    responses(
        (status = 200, description = "It lives", body = Envelope<Live>),
    )
)]
pub(super) fn live(call: Call) -> Result<Reply> {
    call.parameters()?;
    Reply::content(&json!({ "live": true }))
}

/// Says whether the server can do its work, or what it lacks.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "get_readiness",
    responses(
        (status = 200, description = "It can", body = Envelope<Ready>),
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

/// What tenants have stored, where the database tells it soon: what is counted here is told, whether it answers or not.
fn stored(app: &App) -> Vec<(String, i64)> {
    let store = app.store.clone();
    let (tell, told) = mpsc::channel();
    // Its number is bounded as that of connections is.
    let asking = std::thread::Builder::new()
        .name("usage".to_owned())
        .spawn(move || drop(tell.send(store.usage_most(MAX_TENANTS))));
    if let Err(cause) = asking {
        warn!(%cause, "There is no thread to ask what is stored");
    }
    match told.recv_timeout(PATIENCE) {
        Ok(Ok(stored)) => stored,
        _ => Vec::new(),
    }
}

/// Tells what the server counts, in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    responses(
        (status = 200, description = "Samples", body = String, content_type = "text/plain", example = "sigpersist_ready 1"),
    )
)]
pub(super) fn metrics(call: Call) -> Result<Reply> {
    call.parameters()?;
    let app = &call.app;
    let (idle, used) = app.store.connections();
    metrics::connections(idle, used);
    metrics::ready(app.readiness.lacks().is_empty());
    for (tenant, bytes) in stored(app) {
        metrics::stored(tenant, bytes);
    }
    Ok(Reply::bytes(TEXT, metrics::render().into_bytes()))
}
