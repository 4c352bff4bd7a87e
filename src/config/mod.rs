//! All settings: built-in defaults, then a TOML file, then the environment, then flags. Read once, at start.
//!
//! Every setting can be given in the environment: `hooks.timeout_ms` is `SIGPERSIST_HOOKS_TIMEOUT_MS`. The annotated
//! file `sigpersist.toml` in the repository lists them all with their defaults; a test holds the two together.

mod read;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sigpersist_model::plugin::Limits;
use sigpersist_model::quotas::Quotas;

/// Where root keeps the embedded database when Postgres's user can't reach the usual place.
pub const ROOT_DATA_DIR: &str = "/var/lib/sigpersist";

/// Most connections of those who watch the server on a port of their own.
const MAX_WATCH_CONNECTIONS: usize = 256;

/// The server's settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the embedded database and the master key live.
    pub data_dir: Option<PathBuf>,
    /// Postgres to use instead of the embedded one, a libpq URL; also read from `DATABASE_URL`.
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
    /// The life of tenants.
    pub tenants: TenantsConfig,
    /// What each tenant may use that has no quota of its own; 0 for no limit.
    pub quotas: Quotas<u64>,
    /// What is logged, and how.
    pub log: LogConfig,
    /// Where traces go.
    pub traces: TracesConfig,
}

/// The HTTP side.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address to listen on.
    pub listen: String,
    /// Address where those who watch the server find `/health` and `/metrics`, without a token; none where they do not.
    pub watch_listen: Option<String>,
    /// Largest signature that a request may carry, in bytes of its text.
    pub max_signature_bytes: usize,
    /// Most bytes of signatures in one page of a list.
    pub max_list_bytes: usize,
    /// Most bytes of all bodies and answers that are under way.
    pub max_bytes_in_flight: usize,
    /// Most of them that one tenant has; 0 for half of `max_bytes_in_flight`.
    pub max_bytes_in_flight_per_tenant: usize,
    /// Most connections at once; for others, those without a request give way.
    pub max_connections: usize,
    /// Most of them of one address (of IPv6, one network of 64 bits); 0 for a quarter.
    pub max_connections_per_peer: usize,
    /// How long a request's head may take to arrive, and a connection be idle, in milliseconds.
    pub head_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long a client may take no more of an answer, in milliseconds.
    pub write_timeout_ms: u64,
    /// Requests that may be answered at once; others wait. 0 for four times `database.pool_size`, or twice
    /// `hooks.max_concurrent` where that is more.
    pub max_concurrent_requests: usize,
    /// How long a request may wait for its turn before it is refused with 503, in milliseconds.
    pub queue_timeout_ms: u64,
    /// How long the server still takes requests after SIGTERM, while it says that it is not ready, in milliseconds.
    pub shutdown_delay_ms: u64,
    /// How long requests in flight may go on after that, in milliseconds.
    pub shutdown_timeout_ms: u64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            watch_listen: None,
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
    /// Largest request body, in bytes: a signature that JSON escapes made three times as long (`\u0436` for the two bytes
    /// of a Cyrillic letter), and the rest.
    pub fn max_body_bytes(&self) -> usize {
        self.max_signature_bytes
            .saturating_mul(3)
            .saturating_add(256 * 1024)
    }

    /// Most connections of one peer.
    pub fn connections_of_peer(&self) -> usize {
        match self.max_connections_per_peer {
            0 => self.max_connections.div_ceil(4),
            set => set,
        }
    }

    /// Most connections to the port of those who watch, which are not counted among the others.
    pub fn max_watch_connections(&self) -> usize {
        self.max_connections.min(MAX_WATCH_CONNECTIONS)
    }

    /// Most bytes of bodies and answers that one tenant, or the platform, has under way.
    pub fn max_bytes_in_flight_of_one(&self) -> usize {
        match self.max_bytes_in_flight_per_tenant {
            0 => self.max_bytes_in_flight / 2,
            set => set.min(self.max_bytes_in_flight),
        }
    }
}

/// Connections to Postgres.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Most connections at once, besides one for notifications.
    pub pool_size: u32,
    /// How long a request may wait for a connection, in milliseconds.
    pub pool_timeout_ms: u64,
    /// How long one statement may run, in milliseconds.
    pub statement_timeout_ms: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            pool_size: 16,
            pool_timeout_ms: 2_000,
            statement_timeout_ms: 10_000,
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
    /// Clock skew that `exp`, `nbf` and `iat` are forgiven, in seconds.
    pub leeway_s: u64,
    /// Longest time until a token expires, in seconds, whoever issues it.
    pub max_token_lifetime_s: u64,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            leeway_s: 30,
            max_token_lifetime_s: 366 * 24 * 3600,
        }
    }
}

/// Limits of hooks. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HooksConfig {
    /// Largest component that may be uploaded.
    pub max_component_bytes: usize,
    /// Program that compiles plugins, each in a process of its own: one that begins with
    /// [`compile_if_asked`](crate::hooks::compile_if_asked). The running one where it is left out.
    pub compiler: Option<PathBuf>,
    /// Most memory of a process that compiles a component.
    pub max_compile_memory_bytes: u64,
    /// Most processor time of such a process, in milliseconds; counted in whole seconds.
    pub max_compile_cpu_ms: u64,
    /// How long it may take, in milliseconds.
    pub compile_timeout_ms: u64,
    /// Most memory that compiled plugins take which are kept ready though no hook in use needs them.
    pub max_ready_bytes: u64,
    /// Largest settings of a hook, as JSON text.
    pub max_settings_bytes: usize,
    /// Most hooks of one tenant.
    pub max_hooks_per_tenant: usize,
    /// Wall-clock limit of one call where the hook does not set its own, in milliseconds.
    pub timeout_ms: u32,
    /// Highest limit that a hook may set, in milliseconds.
    pub max_timeout_ms: u32,
    /// Fuel of one call: about one unit for each WebAssembly instruction, the same on every machine.
    pub fuel: u64,
    /// Most linear memory of one call.
    pub max_memory_bytes: usize,
    /// Most elements in the tables of one call.
    pub max_table_elements: usize,
    /// Most that one call may pass to the server in one host call or as its result.
    pub max_hostcall_bytes: usize,
    /// Most that one call may read with `payload` and `previous` together.
    pub max_read_bytes: u64,
    /// Most host calls of one call.
    pub max_hostcalls: u32,
    /// Most that one call may log; what is over is dropped.
    pub max_log_bytes: usize,
    /// Saves and deletes that may be judged at once; 0 for eight times the number of processors.
    pub max_concurrent: usize,
    /// The same for one tenant; 0 for half of `max_concurrent`.
    pub max_concurrent_per_tenant: usize,
    /// How long a request may wait for its turn, in milliseconds.
    pub queue_timeout_ms: u64,
    /// Trials (evaluations, backtests, replays, test cases) that may run at once, beside the serving of requests.
    pub max_concurrent_trials: usize,
    /// Failures in a row after which a hook is set aside; 0 for never.
    pub quarantine_failures: u32,
    /// Share of failures, in percent, from which a hook is set aside; 0 for never.
    pub quarantine_percent: u32,
    /// Runs over which that share is taken.
    pub quarantine_window: u32,
    /// How long decisions of hooks are kept, in days; 0 for ever.
    pub keep_decisions_days: u32,
    /// Largest signature that is kept where hooks refused it, so that the decision can be replayed; 0 for none.
    pub max_kept_input_bytes: usize,
    /// Folder for compiled plugins; `compiled` in the data directory where it is left out.
    pub cache_dir: Option<PathBuf>,
    /// Most that compiled plugins may take on disk; 0 to keep none there.
    pub max_cache_bytes: u64,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self {
            max_component_bytes: 32 * 1024 * 1024,
            compiler: None,
            max_compile_memory_bytes: 1024 * 1024 * 1024,
            max_compile_cpu_ms: 30_000,
            compile_timeout_ms: 60_000,
            max_ready_bytes: 2 * 1024 * 1024 * 1024,
            max_settings_bytes: 64 * 1024,
            max_hooks_per_tenant: 50,
            timeout_ms: 100,
            max_timeout_ms: 5_000,
            fuel: 1_000_000_000,
            max_memory_bytes: 32 * 1024 * 1024,
            max_table_elements: 20_000,
            max_hostcall_bytes: 1024 * 1024,
            max_read_bytes: 64 * 1024 * 1024,
            max_hostcalls: 10_000,
            max_log_bytes: 16 * 1024,
            max_concurrent: 0,
            max_concurrent_per_tenant: 0,
            queue_timeout_ms: 1_000,
            max_concurrent_trials: 2,
            quarantine_failures: 10,
            quarantine_percent: 50,
            quarantine_window: 100,
            keep_decisions_days: 90,
            max_kept_input_bytes: 1024 * 1024,
            cache_dir: None,
            max_cache_bytes: 1024 * 1024 * 1024,
        }
    }
}

impl HooksConfig {
    /// Saves and deletes that may be judged at once.
    pub fn judged_at_once(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        match self.max_concurrent {
            0 => 8 * processors,
            set => set,
        }
    }

    /// What a call of a hook may take that sets no limits of its own.
    pub fn default_limits(&self) -> Limits {
        Limits {
            timeout_ms: self.timeout_ms.min(self.max_timeout_ms),
            ..self.ceiling()
        }
    }

    /// These limits, where they are below the server's own ceiling.
    pub fn within_ceiling(&self, limits: Limits) -> Limits {
        let ceiling = self.ceiling();
        Limits {
            timeout_ms: limits.timeout_ms.min(ceiling.timeout_ms),
            memory_bytes: limits.memory_bytes.min(ceiling.memory_bytes),
            fuel: limits.fuel.min(ceiling.fuel),
        }
    }

    /// The most that any call of a hook may take.
    pub fn ceiling(&self) -> Limits {
        Limits {
            timeout_ms: self.max_timeout_ms,
            memory_bytes: self.max_memory_bytes as u64,
            fuel: self.fuel,
        }
    }
}

/// The life of tenants.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantsConfig {
    /// How long the deletion of a tenant can be taken back, in days.
    pub delete_grace_days: u32,
}

impl Default for TenantsConfig {
    fn default() -> Self {
        Self {
            delete_grace_days: 30,
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Which events, in the syntax of `RUST_LOG`.
    pub filter: String,
    /// For people or for programs.
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

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object.
    Json,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// A collector that takes OTLP over HTTP, as `http://127.0.0.1:4318`; none where nothing is exported. Also read from
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<String>,
    /// How many requests in a hundred are traced whose callers do not say whether theirs are.
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

impl Config {
    /// Requests that may be answered at once. More than a few for each connection to the database would only wait again, where
    /// nobody notices that a client has hung up; and hooks, of which one tenant may run half, must not hold all turns.
    pub fn answered_at_once(&self) -> usize {
        match self.http.max_concurrent_requests {
            0 => (4 * self.database.pool_size as usize).max(2 * self.hooks.judged_at_once()),
            set => set,
        }
    }
}
