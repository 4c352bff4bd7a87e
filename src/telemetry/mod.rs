//! Logs to standard error, as text for people or JSON for programs; metrics, for Prometheus to fetch; and traces, for a
//! collector.
//!
//! Tokens, secrets and signature bodies must never be logged. Nothing here can recognise them, so the code that handles
//! them must not pass them on.

pub mod traces;

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogConfig, LogFormat, TracesConfig};

/// Starts logging for this process, and exporting traces if that is configured. Later calls do nothing, so that tests
/// may start many servers.
///
/// # Errors
///
/// If traces cannot be exported to the configured endpoint.
pub fn init(config: &LogConfig, traces: &TracesConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(&config.filter))
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let exported = traces.endpoint.as_deref();
    let exported = exported.filter(|endpoint| !endpoint.is_empty());
    let exported = exported.map(|endpoint| traces::layer(traces, endpoint));
    // An error here means that logging was started already.
    drop(
        tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .with(exported.transpose()?)
            .try_init(),
    );
    Ok(())
}
