//! All settings: built-in defaults, overridden by a TOML file, then by the environment, then by flags. Read once, at
//! start.
//!
//! Every setting can be given in the environment: `hooks.timeout_ms` is `SIGPERSIST_HOOKS_TIMEOUT_MS`. The annotated
//! file `sigpersist.toml` in the repository lists all settings with their defaults; a test compares the two.

mod origins;
mod read;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sigpersist_hooks::HooksConfig;
use sigpersist_model::quotas::Quotas;
use sigpersist_store::DatabaseConfig;

/// Maximum number of connections to the watch port.
const MAX_WATCH_CONNECTIONS: usize = 256;

/// The server's settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Directory of the embedded database and the master key.
    pub data_dir: Option<PathBuf>,
    /// URL for libpq of a Postgres to use instead of the embedded one; also read from `DATABASE_URL`.
    pub database_url: Option<String>,
    /// File with the key that encrypts secrets at rest: 32 bytes in hexadecimal.
    pub master_key_file: Option<PathBuf>,
    /// The HTTP side.
    pub http: HttpConfig,
    /// Connections to Postgres.
    pub database: DatabaseConfig,
    /// Tokens.
    pub auth: AuthConfig,
    /// Limits of hooks.
    pub hooks: HooksConfig,
    /// Uploads of plugins.
    pub plugins: PluginsConfig,
    /// The life of tenants.
    pub tenants: TenantsConfig,
    /// Default quotas, for tenants without quotas of their own; 0 means no limit.
    pub quotas: Quotas<u64>,
    /// Exports and imports.
    pub transfer: TransferConfig,
    /// The logs that prove what was stored.
    pub evidence: EvidenceConfig,
    /// Following what happens.
    pub events: EventsConfig,
    /// Calls of webhooks.
    pub webhooks: WebhooksConfig,
    /// Content and format of the log.
    pub log: LogConfig,
    /// Export of traces.
    pub traces: TracesConfig,
}

/// The logs that prove what was stored.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Whether each change is added to its tenant's log.
    pub log: bool,
    /// Beginning of the names of the logs (C2SP tlog-checkpoint: a domain that you control, without a scheme).
    pub origin: String,
    /// Time between two times that changes are numbered, in milliseconds.
    pub interval_ms: u64,
    /// Time for which the key before the newest one signs beside it, in days.
    pub key_overlap_days: u32,
    /// Time between two times that the heads of the tenants' logs are added to the platform's log, in seconds.
    pub anchor_interval_s: u64,
    /// Time between two checkpoints of a log that its witnesses are asked to sign, in seconds.
    pub witness_interval_s: u64,
    /// Number of witnesses that must have signed a checkpoint, so that proofs are made for it instead of the newest one; 0 for
    /// the newest one always.
    pub witness_quorum: u32,
    /// Maximum number of witnesses of a log.
    pub max_witnesses: u32,
}

impl Default for EvidenceConfig {
    fn default() -> Self {
        Self {
            log: true,
            origin: "sigpersist".to_owned(),
            interval_ms: 250,
            key_overlap_days: 90,
            anchor_interval_s: 60,
            witness_interval_s: 60,
            witness_quorum: 1,
            max_witnesses: 8,
        }
    }
}

/// Following what happens.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Maximum number of requests that wait for events at once.
    pub max_waiting: usize,
    /// Maximum number of those of one tenant.
    pub max_waiting_per_tenant: usize,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            max_waiting: 1_000,
            max_waiting_per_tenant: 20,
        }
    }
}

/// Calls of webhooks.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Addresses that webhooks may have besides public ones, separated by commas.
    pub allow: String,
    /// PEM file with the certificate authorities that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Maximum number of webhooks of a tenant.
    pub max_per_tenant: u32,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        Self {
            allow: String::new(),
            ca_file: None,
            max_per_tenant: 10,
        }
    }
}

/// The HTTP side.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address to listen on.
    pub listen: String,
    /// Address of the watch port, which serves `/health` and `/metrics` without a token; none for no such port.
    pub watch_listen: Option<String>,
    /// Origins whose pages may use the API from a browser, separated by commas; `*` for all.
    pub cors_origins: String,
    /// Maximum size of a signature in a request, in bytes of its text.
    pub max_signature_bytes: usize,
    /// Maximum bytes of signatures in one page of a list.
    pub max_list_bytes: usize,
    /// Maximum bytes of all bodies and answers in memory.
    pub max_bytes_in_flight: usize,
    /// Maximum part of that for one tenant; 0 for half of `max_bytes_in_flight`.
    pub max_bytes_in_flight_per_tenant: usize,
    /// Maximum number of connections. At the limit, idle ones are closed for new ones.
    pub max_connections: usize,
    /// Maximum number of connections of one address, or one IPv6 /64 network; 0 for a quarter.
    pub max_connections_per_peer: usize,
    /// Maximum time for a request's head to arrive, and for a connection to be idle, in milliseconds.
    pub head_timeout_ms: u64,
    /// Maximum time for a request's body to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// Maximum time in which a client reads nothing of an answer, in milliseconds.
    pub write_timeout_ms: u64,
    /// Maximum number of requests answered at once; others wait. 0 for four times `database.pool_size`, or twice
    /// `hooks.max_concurrent` if that is more.
    pub max_concurrent_requests: usize,
    /// Time that a request may wait before it is refused with 503, in milliseconds.
    pub queue_timeout_ms: u64,
    /// Time for which the server still takes requests after SIGTERM, while it reports that it is not ready, in
    /// milliseconds.
    pub shutdown_delay_ms: u64,
    /// Time for which requests in flight may continue after that, in milliseconds.
    pub shutdown_timeout_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            watch_listen: None,
            cors_origins: String::new(),
            max_signature_bytes: 10 * 1024 * 1024,
            max_list_bytes: 64 * 1024 * 1024,
            max_bytes_in_flight: 512 * 1024 * 1024,
            max_bytes_in_flight_per_tenant: 0,
            max_connections: 4_096,
            max_connections_per_peer: 0,
            head_timeout_ms: 30_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            max_concurrent_requests: 0,
            queue_timeout_ms: 2_000,
            shutdown_delay_ms: 0,
            shutdown_timeout_ms: 10_000,
        }
    }
}

impl HttpConfig {
    /// Maximum size of a request body, in bytes: a signature that JSON escapes made three times as long (`\u0436` for
    /// the two bytes of a Cyrillic letter), plus the other parameters.
    pub fn max_body_bytes(&self) -> usize {
        self.max_signature_bytes
            .saturating_mul(3)
            .saturating_add(256 * 1024)
    }

    /// Maximum number of connections of one peer.
    pub fn connections_of_peer(&self) -> usize {
        match self.max_connections_per_peer {
            0 => self.max_connections.div_ceil(4),
            set => set,
        }
    }

    /// Maximum number of connections to the watch port, counted separately.
    pub fn max_watch_connections(&self) -> usize {
        self.max_connections.min(MAX_WATCH_CONNECTIONS)
    }

    /// Maximum bytes of bodies and answers in memory for one tenant, or for the platform.
    pub fn max_bytes_in_flight_of_one(&self) -> usize {
        match self.max_bytes_in_flight_per_tenant {
            0 => self.max_bytes_in_flight / 2,
            set => set.min(self.max_bytes_in_flight),
        }
    }
}

/// Tokens.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// The `iss` that tokens must carry.
    pub issuer: Option<String>,
    /// The `aud` that tokens must carry.
    pub audience: Option<String>,
    /// Tolerated clock skew for `exp`, `nbf` and `iat`, in seconds.
    pub leeway_s: u64,
    /// Maximum time until a token expires, in seconds, for tokens of any issuer.
    pub max_token_lifetime_s: u64,
    /// Maximum time until a token for one document expires, in seconds.
    pub max_document_token_lifetime_s: u64,
    /// Hosts from which the keys of identity providers may be fetched, separated by commas.
    pub jwks_hosts: String,
    /// Addresses that these hosts may have besides public ones, separated by commas.
    pub jwks_allow: String,
    /// PEM file with the certificate authorities that are trusted for them instead of the system's.
    pub jwks_ca_file: Option<PathBuf>,
    /// Maximum time for which a provider's keys are used without asking it again, in seconds, if it allows that.
    pub jwks_max_age_s: u64,
    /// Minimum time between two fetches of the same keys, in seconds.
    pub jwks_interval_s: u64,
    /// Maximum time for which a provider's keys are used while it can't be reached, in seconds.
    pub jwks_keep_s: u64,
    /// Maximum time of a fetch, in milliseconds.
    pub jwks_timeout_ms: u64,
    /// Maximum number of identity providers of a tenant.
    pub max_issuers_per_tenant: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            leeway_s: 30,
            max_token_lifetime_s: 366 * 24 * 3600,
            max_document_token_lifetime_s: 15 * 60,
            jwks_hosts: String::new(),
            jwks_allow: String::new(),
            jwks_ca_file: None,
            jwks_max_age_s: 3_600,
            jwks_interval_s: 30,
            jwks_keep_s: 24 * 3_600,
            jwks_timeout_ms: 5_000,
            max_issuers_per_tenant: 10,
        }
    }
}

/// Uploads of plugins.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsConfig {
    /// Public keys (of minisign) of publishers, separated by commas. If there are any, each plugin that is uploaded must be
    /// signed with one of them.
    pub require_signature: String,
}

/// The life of tenants.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantsConfig {
    /// Time during which the deletion of a tenant can be undone, in days.
    pub delete_grace_days: u32,
}

impl Default for TenantsConfig {
    fn default() -> Self {
        Self {
            delete_grace_days: 30,
        }
    }
}

/// Exports and imports.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransferConfig {
    /// Folder for the files of exports and imports while they are transferred. By default one in the data directory, or
    /// with a database of your own, the system's folder for temporary files.
    pub dir: Option<PathBuf>,
}

/// Content and format of the log.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Filter of events, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// Text for people, or JSON for programs.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object.
    Json,
}

/// Export of traces.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// URL of a collector that accepts OTLP over HTTP, such as `http://127.0.0.1:4318`; none for no export. Also read
    /// from `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<String>,
    /// Percentage of requests that are traced, if the caller does not say whether to trace.
    pub percent: u32,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            percent: 100,
        }
    }
}

/// The entries of a setting that are separated by commas.
pub fn entries(setting: &str) -> impl Iterator<Item = &str> {
    let entries = setting.split(',').map(str::trim);
    entries.filter(|entry| !entry.is_empty())
}

impl Config {
    /// Maximum number of requests answered at once. With more than a few per database connection, they would wait
    /// again, where the server does not notice that a client has hung up. And hooks, of which one tenant may run half,
    /// must not hold all permits.
    pub fn answered_at_once(&self) -> usize {
        match self.http.max_concurrent_requests {
            0 => (4 * self.database.pool_size as usize).max(2 * self.hooks.judged_at_once()),
            set => set,
        }
    }
}
