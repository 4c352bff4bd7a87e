//! Metrics for Prometheus: their names, their descriptions, and limits on their number of labels.

use std::collections::HashSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sigpersist_model::decision::Decision;

/// Upper bounds of the histograms' buckets, in seconds.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Maximum number of hooks that are counted by name; each adds about twenty time series.
const MAX_HOOKS: usize = 500;
/// Label of all further hooks.
const OTHERS: &str = "(others)";
/// Label of all witnesses of tenants.
const OF_TENANTS: &str = "(tenants)";

const REQUESTS: &str = "sigpersist_http_requests_total";
const REQUEST_SECONDS: &str = "sigpersist_http_request_duration_seconds";
const IN_FLIGHT: &str = "sigpersist_http_requests_in_flight";
const REFUSALS: &str = "sigpersist_refusals_total";
const WAITING: &str = "sigpersist_queue_waiting";
const CONNECTIONS: &str = "sigpersist_database_connections";
const CONNECTION_SECONDS: &str = "sigpersist_database_wait_seconds";
const DATABASE_ERRORS: &str = "sigpersist_database_errors_total";
const HOOK_RUNS: &str = "sigpersist_hook_runs_total";
const HOOK_SECONDS: &str = "sigpersist_hook_duration_seconds";
const HOOK_FUEL: &str = "sigpersist_hook_fuel_total";
const HOOK_QUARANTINES: &str = "sigpersist_hook_quarantines_total";
const PLUGINS: &str = "sigpersist_plugins_made_ready_total";
const LOG_ENTRIES: &str = "sigpersist_log_entries_total";
const LOG_LAG: &str = "sigpersist_log_oldest_queued_seconds";
const LOG_LATE: &str = "sigpersist_log_late_entries_total";
const WITNESS_LAG: &str = "sigpersist_log_witness_lag_seconds";
const WITNESS_ATTEMPTS: &str = "sigpersist_log_witness_attempts_total";
const WEBHOOK_CALLS: &str = "sigpersist_webhook_attempts_total";
const WEBHOOKS: &str = "sigpersist_webhooks";
const WEBHOOK_LAG: &str = "sigpersist_webhook_lag_seconds";
const WEBHOOK_PENDING: &str = "sigpersist_webhook_pending";
const ISSUER_FETCHES: &str = "sigpersist_issuer_fetches_total";
const ISSUER_AGE: &str = "sigpersist_issuer_keys_age_seconds";
const STORED_BYTES: &str = "sigpersist_stored_bytes";
const READY: &str = "sigpersist_ready";

/// Renders the metrics of this process in the text format of Prometheus. Counting begins with the first call.
pub fn render() -> String {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = RECORDER.get_or_init(|| {
        let builder = [REQUEST_SECONDS, CONNECTION_SECONDS, HOOK_SECONDS]
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |builder, name| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &SECONDS)
            });
        // There are buckets, so this cannot fail.
        let recorder = builder.ok()?.build_recorder();
        let handle = recorder.handle();
        // An error here means that a test has installed another recorder.
        drop(metrics::set_global_recorder(recorder));
        describe();
        Some(handle)
    });
    let handle = handle.as_ref();
    handle.map(PrometheusHandle::render).unwrap_or_default()
}

fn describe() {
    describe_counter!(
        REQUESTS,
        "Requests that were answered, by route, method and status"
    );
    describe_histogram!(REQUEST_SECONDS, "Seconds until requests were answered");
    describe_gauge!(
        IN_FLIGHT,
        "Requests that are being answered or wait for a permit"
    );
    describe_counter!(REFUSALS, "Requests that were refused, by error code");
    describe_gauge!(
        WAITING,
        "Requests that wait for a permit, by kind of permit"
    );
    describe_gauge!(CONNECTIONS, "Connections to the database, by state");
    describe_histogram!(CONNECTION_SECONDS, "Seconds spent waiting for a connection");
    describe_counter!(DATABASE_ERRORS, "Queries that failed, by kind");
    describe_counter!(
        HOOK_RUNS,
        "Runs of hooks on saves and deletes, shadows included, by verdict"
    );
    describe_histogram!(HOOK_SECONDS, "Seconds that a run of a hook took");
    describe_counter!(HOOK_FUEL, "Fuel that runs of hooks used");
    describe_counter!(
        HOOK_QUARANTINES,
        "Hooks that were quarantined because they kept failing"
    );
    describe_counter!(
        PLUGINS,
        "Plugins that were loaded, by whether their compiled code came from disk"
    );
    describe_gauge!(
        STORED_BYTES,
        "Bytes stored by the tenants that store the most"
    );
    describe_counter!(
        LOG_ENTRIES,
        "Entries that this server added to the logs of tenants"
    );
    describe_gauge!(
        LOG_LAG,
        "Seconds for which the oldest change had waited when this server last numbered changes"
    );
    describe_counter!(
        LOG_LATE,
        "Passes that found changes where none were expected any more; a fault to report, by which nothing is lost"
    );
    describe_gauge!(
        WITNESS_LAG,
        "Seconds for which a witness of the platform's log has not signed what it is to sign; for those of tenants the longest"
    );
    describe_counter!(
        WITNESS_ATTEMPTS,
        "Requests to witnesses to sign a checkpoint, by log and outcome"
    );
    describe_counter!(WEBHOOK_CALLS, "Calls of webhooks, by outcome");
    describe_gauge!(
        WEBHOOKS,
        "Webhooks of all tenants, by state; every call of a failing one has failed for some time"
    );
    describe_gauge!(
        WEBHOOK_LAG,
        "Seconds since the oldest event that a webhook in force has not delivered, of all tenants"
    );
    describe_gauge!(
        WEBHOOK_PENDING,
        "Events of all tenants that webhooks in force did not take and that are repeated, up to 100,000"
    );
    describe_counter!(
        ISSUER_FETCHES,
        "Fetches of the keys of identity providers, by outcome"
    );
    describe_gauge!(
        ISSUER_AGE,
        "Seconds since the keys of an identity provider were fetched; of those that this server has, the oldest"
    );
    describe_gauge!(READY, "Whether the server is ready, 1 or 0");
}

/// Records a pass of the sequencer: the entries that it added, and how long the oldest had waited.
pub fn sequenced(entries: usize, lag: Duration) {
    counter!(LOG_ENTRIES).increment(entries as u64);
    gauge!(LOG_LAG).set(lag);
}

/// Records how long a witness has not signed what it is to sign, in seconds: one of the platform's, or without a name the one
/// of tenants that is furthest behind.
pub fn witness_lag(witness: Option<&str>, seconds: f64) {
    let witness = witness.unwrap_or(OF_TENANTS).to_owned();
    gauge!(WITNESS_LAG, "witness" => witness).set(seconds);
}

/// Records that a witness of the platform's log, or of a tenant's, was asked. The outcome is one of our own words.
pub fn witness_asked(of_platform: bool, outcome: &'static str) {
    let log = if of_platform { "platform" } else { "tenant" };
    counter!(WITNESS_ATTEMPTS, "log" => log, "outcome" => outcome).increment(1);
}

/// Records a call of a webhook. The outcome is one of our own words.
pub fn webhook_called(outcome: &str) {
    counter!(WEBHOOK_CALLS, "outcome" => outcome.to_owned()).increment(1);
}

/// Records how many webhooks of all tenants are in a state.
pub fn webhooks(state: &'static str, count: i64) {
    gauge!(WEBHOOKS, "state" => state).set(sample(count));
}

/// Records how far webhooks of all tenants are behind: the number of events that are repeated, and the age of the oldest event
/// that was not delivered.
pub fn webhooks_are_behind(pending: i64, lag: Duration) {
    gauge!(WEBHOOK_PENDING).set(sample(pending));
    gauge!(WEBHOOK_LAG).set(lag);
}

/// Records a fetch of an identity provider's keys. The outcome is one of our own words.
pub fn issuer_fetched(outcome: &'static str) {
    counter!(ISSUER_FETCHES, "outcome" => outcome).increment(1);
}

/// Records the age of the oldest keys of identity providers that this server has.
pub fn issuer_keys_age(age: Duration) {
    gauge!(ISSUER_AGE).set(age);
}

/// Records an entry that the sequencer found where none was expected any more.
pub fn log_was_late() {
    counter!(LOG_LATE).increment(1);
}

/// A request in progress, counted until this is dropped.
#[derive(Debug)]
pub struct InFlight;

impl InFlight {
    /// Increments the gauge.
    #[expect(clippy::new_without_default, reason = "making one counts")]
    pub fn new() -> Self {
        gauge!(IN_FLIGHT).increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(IN_FLIGHT).decrement(1);
    }
}

/// Records an answered request. `route` is one of our own, never untrusted text.
pub fn answered(route: &'static str, method: &str, status: u16, took: Duration) {
    // The method is untrusted text.
    let method = match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" => method.to_owned(),
        _ => OTHERS.to_owned(),
    };
    counter!(REQUESTS, "route" => route, "method" => method.clone(), "status" => status.to_string())
        .increment(1);
    histogram!(REQUEST_SECONDS, "route" => route, "method" => method).record(took);
}

/// Records a refused request.
pub fn refused(code: &'static str) {
    counter!(REFUSALS, "code" => code).increment(1);
}

/// A waiting caller, counted until this is dropped.
#[derive(Debug)]
pub struct Waiting(&'static str);

impl Waiting {
    /// Increments the gauge of this queue.
    pub fn new(queue: &'static str) -> Self {
        gauge!(WAITING, "queue" => queue).increment(1);
        Self(queue)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        gauge!(WAITING, "queue" => self.0).decrement(1);
    }
}

/// Records the state of the connection pool.
pub fn connections(idle: u32, used: u32) {
    gauge!(CONNECTIONS, "state" => "idle").set(idle);
    gauge!(CONNECTIONS, "state" => "used").set(used);
}

/// Records the time that was waited for a connection.
pub fn connected(waited: Duration) {
    histogram!(CONNECTION_SECONDS).record(waited);
}

/// Records a failed query: `unavailable` or `internal`.
pub fn query_failed(kind: &'static str) {
    counter!(DATABASE_ERRORS, "kind" => kind).increment(1);
}

/// Records the run of a tenant's hook.
pub fn hook_ran(tenant: &str, decision: &Decision) {
    static COUNTED: Mutex<Option<HashSet<(String, String)>>> = Mutex::new(None);
    let mut labels = (tenant.to_owned(), decision.hook.to_string());
    {
        let mut counted = COUNTED.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = counted.get_or_insert_default();
        if !counted.contains(&labels) {
            if counted.len() < MAX_HOOKS {
                counted.insert(labels.clone());
            } else {
                labels = (OTHERS.to_owned(), OTHERS.to_owned());
            }
        }
    }
    let (tenant, hook) = labels;
    let verdict = decision.verdict.as_str();
    counter!(HOOK_RUNS, "tenant" => tenant.clone(), "hook" => hook.clone(), "verdict" => verdict)
        .increment(1);
    counter!(HOOK_FUEL, "tenant" => tenant.clone(), "hook" => hook.clone())
        .increment(decision.fuel);
    histogram!(HOOK_SECONDS, "tenant" => tenant, "hook" => hook)
        .record(Duration::from_micros(decision.microseconds));
}

/// Records that a hook was quarantined.
pub fn hook_set_aside() {
    counter!(HOOK_QUARANTINES).increment(1);
}

/// Records that a plugin was made ready: loaded from disk, or compiled.
pub fn plugin_made_ready(from_disk: bool) {
    let from = if from_disk { "disk" } else { "source" };
    counter!(PLUGINS, "from" => from).increment(1);
}

/// Records the bytes that a tenant has stored.
pub fn stored(tenant: String, bytes: i64) {
    gauge!(STORED_BYTES, "tenant" => tenant).set(sample(bytes));
}

/// A number as a sample of Prometheus, which is precise enough.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floating-point numbers"
)]
fn sample(number: i64) -> f64 {
    number as f64
}

/// Records whether the server is ready.
pub fn ready(ready: bool) {
    gauge!(READY).set(u8::from(ready));
}
