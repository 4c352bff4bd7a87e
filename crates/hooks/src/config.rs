//! Settings of hooks: limits of calls, and of compiling.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sigpersist_model::plugin::CallLimits;

/// Limits of hooks. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HooksConfig {
    /// Maximum size of a component.
    pub max_component_bytes: usize,
    /// Program that compiles plugins, each in a process of its own. It must begin with
    /// [`compile_if_asked`](crate::compile_if_asked). If left out, the running program.
    pub compiler: Option<PathBuf>,
    /// Maximum memory of a process that compiles a component.
    pub max_compile_memory_bytes: u64,
    /// Maximum CPU time of such a process, in milliseconds, rounded up to whole seconds.
    pub max_compile_cpu_ms: u64,
    /// Maximum duration of such a process, in milliseconds.
    pub compile_timeout_ms: u64,
    /// Maximum memory of compiled plugins that are kept although no hook in use needs them.
    pub max_ready_bytes: u64,
    /// Maximum size of a hook's settings, as JSON text.
    pub max_settings_bytes: usize,
    /// Maximum number of hooks of one tenant.
    pub max_hooks_per_tenant: usize,
    /// Wall-clock limit of one call if the hook does not set its own, in milliseconds.
    pub timeout_ms: u32,
    /// Maximum limit that a hook may set, in milliseconds.
    pub max_timeout_ms: u32,
    /// Fuel of one call: about one unit per WebAssembly instruction, the same on every machine.
    pub fuel: u64,
    /// Maximum linear memory of one call.
    pub max_memory_bytes: usize,
    /// Maximum number of table elements of one call.
    pub max_table_elements: usize,
    /// Maximum size of the data that a plugin passes to the server in one host call or as its result.
    pub max_hostcall_bytes: usize,
    /// Maximum number of bytes that one call may read with `payload` and `previous` together.
    pub max_read_bytes: u64,
    /// Maximum number of host calls in one call.
    pub max_hostcalls: u32,
    /// Maximum size of the log of one call; the rest is dropped.
    pub max_log_bytes: usize,
    /// Maximum number of saves and deletes on which hooks run at once; 0 for eight times the number of processors.
    pub max_concurrent: usize,
    /// Maximum part of that for one tenant; 0 for half of `max_concurrent`.
    pub max_concurrent_per_tenant: usize,
    /// Time that a request may wait for a permit to run hooks, in milliseconds.
    pub queue_timeout_ms: u64,
    /// Maximum number of concurrent trials (evaluations, backtests, replays, test cases), in addition to requests.
    pub max_concurrent_trials: usize,
    /// Consecutive failures after which a hook is quarantined; 0 for never.
    pub quarantine_failures: u32,
    /// Percentage of failures from which a hook is quarantined; 0 for never.
    pub quarantine_percent: u32,
    /// Number of runs over which that percentage is computed.
    pub quarantine_window: u32,
    /// Retention of hooks' decisions, in days; 0 for ever.
    pub keep_decisions_days: u32,
    /// Maximum size of a signature that is kept after hooks refused it, so that the decision can be replayed; 0 for
    /// none.
    pub max_kept_input_bytes: usize,
    /// Folder for compiled plugins; if left out, `compiled` in the data directory.
    pub cache_dir: Option<PathBuf>,
    /// Maximum disk space of compiled plugins; 0 to keep none on disk.
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
    /// Number of saves and deletes on which hooks may run at once.
    pub fn judged_at_once(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        match self.max_concurrent {
            0 => 8 * processors,
            set => set,
        }
    }

    /// Limits of a call of a hook that sets none of its own.
    pub fn default_limits(&self) -> CallLimits {
        CallLimits {
            timeout_ms: self.timeout_ms.min(self.max_timeout_ms),
            ..self.ceiling()
        }
    }

    /// Cuts limits to the server's own ceiling.
    pub fn within_ceiling(&self, limits: CallLimits) -> CallLimits {
        let ceiling = self.ceiling();
        CallLimits {
            timeout_ms: limits.timeout_ms.min(ceiling.timeout_ms),
            memory_bytes: limits.memory_bytes.min(ceiling.memory_bytes),
            fuel: limits.fuel.min(ceiling.fuel),
        }
    }

    /// Maximum limits of any call of a hook.
    pub fn ceiling(&self) -> CallLimits {
        CallLimits {
            timeout_ms: self.max_timeout_ms,
            memory_bytes: self.max_memory_bytes as u64,
            fuel: self.fuel,
        }
    }
}
