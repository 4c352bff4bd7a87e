//! Settings of the connections to Postgres.

use serde::{Deserialize, Serialize};

/// Connections to Postgres.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Maximum number of connections, besides one for notifications.
    pub pool_size: u32,
    /// Time that a request may wait for a connection, in milliseconds.
    pub pool_timeout_ms: u64,
    /// Time that one statement may run, in milliseconds.
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
