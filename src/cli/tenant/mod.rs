//! `sigpersist tenant`.

mod change;
mod show;

use clap::{Args, Subcommand};
use serde_json::Value;
use sigpersist_model::quotas::QuotaPatch;

use super::door::Door;
use super::output::Output;
use super::transfer::{Export, Import};

#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Create a tenant; running it again changes nothing.
    Create(change::Create),
    /// List tenants, sorted by slug.
    List(show::List),
    /// Show a tenant with its quotas.
    Show(show::Show),
    /// Change a tenant's name and quotas. Servers apply the change within a second.
    Update(change::Update),
    /// Refuse a tenant's requests until it is resumed. Takes effect on all servers within a second.
    Suspend(change::Suspend),
    /// Answer a tenant's requests again, and cancel its deletion if the removal has not begun.
    Resume(change::Resume),
    /// Suspend a tenant now and remove all its data later, or with --confirm as soon as possible.
    Delete(change::Delete),
    /// Show a tenant's stored data and its quotas.
    Usage(show::Usage),
    /// Write all data of a tenant to a file, including its audit trail; its keys only if you ask for them.
    Export(Export),
    /// Read such a file into a tenant; running it again changes nothing.
    Import(Import),
}

impl Tenant {
    /// Whether it makes the embedded database if there is none.
    pub(super) fn begins(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Import(_))
    }

    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Create(command) => command.run(door, output),
            Self::List(command) => command.run(door, output),
            Self::Show(command) => command.run(door, output),
            Self::Update(command) => command.run(door, output),
            Self::Suspend(command) => command.run(door, output),
            Self::Resume(command) => command.run(door, output),
            Self::Delete(command) => command.run(door, output),
            Self::Usage(command) => command.run(door, output),
            Self::Export(command) => command.run(door, output),
            Self::Import(command) => command.run(door, output),
        }
    }
}

/// Quotas of a tenant: a number, 0 for no limit, or `default` for the server's default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Quotas (a number, 0 for no limit, or `default` for the server's)")]
struct QuotaArgs {
    /// Maximum bytes of signatures, as they are stored; 10G is 10,737,418,240.
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<QuotaPatch>,
    /// Maximum number of threads.
    #[arg(long, value_name = "N")]
    max_threads: Option<QuotaPatch>,
    /// Maximum size of a signature, in bytes of its text.
    #[arg(long, value_name = "SIZE")]
    max_signature_bytes: Option<QuotaPatch>,
    /// Requests per second, on each server.
    #[arg(long, value_name = "N")]
    requests_per_second: Option<QuotaPatch>,
    /// Requests that may arrive at once after a quiet time; 0 for as many as one second allows.
    #[arg(long, value_name = "N")]
    request_burst: Option<QuotaPatch>,
    /// Concurrent requests, on each server.
    #[arg(long, value_name = "N")]
    max_concurrent_requests: Option<QuotaPatch>,
    /// Milliseconds of hook time per second, on each server.
    #[arg(long, value_name = "MS")]
    hook_ms_per_second: Option<QuotaPatch>,
}

impl QuotaArgs {
    /// The quotas that are given, as the API takes them.
    fn to_json(&self) -> Value {
        let given = [
            ("max_bytes", self.max_bytes),
            ("max_threads", self.max_threads),
            ("max_signature_bytes", self.max_signature_bytes),
            ("requests_per_second", self.requests_per_second),
            ("request_burst", self.request_burst),
            ("max_concurrent_requests", self.max_concurrent_requests),
            ("hook_ms_per_second", self.hook_ms_per_second),
        ];
        let given = given.into_iter().filter_map(|(name, quota)| {
            let quota = match quota? {
                QuotaPatch::Keep => return None,
                QuotaPatch::Default => Value::Null,
                QuotaPatch::To(limit) => limit.into(),
            };
            Some((name.to_owned(), quota))
        });
        Value::Object(given.collect())
    }
}
