//! Logs, to standard error, as lines for people or JSON for programs; and metrics, for Prometheus to fetch.
//!
//! Tokens, secrets and signature bodies never reach a log; nothing here could tell them apart, so the code that has
//! them must not pass them on.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use metrics::describe_counter;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
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

/// Where this process counts, in the text format of Prometheus. Counting begins with the first call.
pub fn metrics() -> String {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // An error here means that a test has another one.
        drop(metrics::set_global_recorder(recorder));
        describe_counter!(
            HOOK_RUNS,
            "Runs of hooks on saves and deletes, shadows included, by verdict"
        );
        describe_counter!(
            HOOK_QUARANTINES,
            "Hooks that were set aside because they kept failing"
        );
        handle
    });
    handle.render()
}

/// Counts runs of hooks, by `verdict`.
pub const HOOK_RUNS: &str = "sigpersist_hook_runs_total";
/// Counts hooks that this server set aside.
pub const HOOK_QUARANTINES: &str = "sigpersist_hook_quarantines_total";

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
