//! Logs, to standard error, as lines for people or JSON for programs; and metrics, for Prometheus to fetch.
//!
//! Tokens, secrets and signature bodies never reach a log; nothing here could tell them apart, so the code that has
//! them must not pass them on.

pub mod metrics;

use std::io::IsTerminal as _;

use tracing::Span;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for this process. Later calls do nothing, so that tests may start many servers.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.filter))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // An error here means that logging has been started already.
    drop(match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    });
}

/// Runs blocking work on a thread of its own, within the span of the request that asked for it.
///
/// The work goes on to its end even if the caller is dropped: a client that hangs up cannot cancel half a save.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that keeps the span"
)]
pub async fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await
}
