//! The handlers of those who watch the server: whether it lives, whether it is ready, and what it counts.

use serde_json::json;

use super::reply::Reply;
use super::respond::Call;
use crate::error::{Error, Result};
use crate::telemetry::metrics;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Tenants whose stored bytes are told: those with the most.
const MAX_TENANTS: i64 = 100;

/// `GET /health/live`: whoever gets an answer knows.
pub(super) fn live(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    Reply::content(&json!({ "live": true }))
}

/// `GET /health/ready`.
pub(super) fn ready(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let lacks = call.app.readiness.lacks();
    if lacks.is_empty() {
        return Reply::content(&json!({ "ready": true }));
    }
    Err(Error::NotReady(lacks))
}

/// `GET /metrics`.
pub(super) fn metrics(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let app = &call.app;
    let (idle, used) = app.store.connections();
    metrics::connections(idle, used);
    metrics::ready(app.readiness.lacks().is_empty());
    // What is counted here is told, whether the database answers or not.
    for (tenant, bytes) in app.store.usage_most(MAX_TENANTS).unwrap_or_default() {
        metrics::stored(tenant, bytes);
    }
    Ok(Reply::bytes(TEXT, metrics::render().into_bytes()))
}
