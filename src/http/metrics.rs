//! The handler of what the server counts.

use super::reply::Reply;
use super::respond::Call;
use crate::error::Result;
use crate::telemetry;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    Ok(Reply::bytes(TEXT, telemetry::metrics().into_bytes()))
}
