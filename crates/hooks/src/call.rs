//! One call of one function of a plugin: on a fresh instance, under all limits. Traps, broken limits and panics are
//! returned as values.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sigpersist_model::decision::LogLine;
use sigpersist_model::plugin::CallLimits;
use wasmtime::component::Instance;
use wasmtime::{Store, Trap, UpdateDeadline};

use super::engine::Engine;
use super::host::{HostState, LimitBroken};
use super::plugin::Plugin;

/// Pause after each millisecond that a call runs while its hook backs off. The call then runs for a ninth of its time.
const REST: Duration = Duration::from_millis(8);

/// Everything that a call needs.
pub(super) struct Call<'a> {
    pub(super) engine: &'a Engine,
    pub(super) plugin: &'a Plugin,
    pub(super) state: HostState,
    pub(super) limits: CallLimits,
    /// Whether the call leaves most of its time to others: a guest that never ends must not keep processors busy.
    pub(super) gives_way: bool,
}

/// A finished call, with its costs.
pub(super) struct Ended<T> {
    pub(super) result: Result<T, Failure>,
    pub(super) log: Vec<LogLine>,
    pub(super) fuel: u64,
    pub(super) microseconds: u64,
    pub(super) memory_bytes: u64,
}

/// Reason why a call returned nothing, for the log and for operators.
#[derive(Debug)]
pub(super) enum Failure {
    Deadline {
        timeout_ms: u32,
    },
    Fuel {
        limit: u64,
    },
    Limit(LimitBroken),
    /// A trap, with wasmtime's message, which may be long.
    Trap(String),
    /// A panic of the server's own code.
    Panic,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline { timeout_ms } => {
                write!(
                    f,
                    "it ran longer than its limit of {timeout_ms} ms (timeout_ms)"
                )
            }
            Self::Fuel { limit } => write!(f, "it used up its limit of {limit} fuel (fuel)"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Trap(text) => f.write_str(text),
            Self::Panic => f.write_str("the server panicked while it ran"),
        }
    }
}

impl Call<'_> {
    /// Runs `function` on a fresh instance.
    pub(super) fn run<T>(
        self,
        function: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<T>,
    ) -> Ended<T> {
        let Self {
            engine,
            plugin,
            state,
            limits,
            gives_way,
        } = self;
        let since = Instant::now();
        let mut store = Store::new(&engine.engine, state);
        let run = || {
            store.limiter(|state| &mut state.limits);
            store.set_fuel(limits.fuel)?;
            store.set_hostcall_fuel(engine.config.max_hostcall_bytes);
            let _running = engine.running();
            // After a delay of the clock thread, many ticks arrive at once, and some may be from before this call. So
            // the wall clock decides.
            let timeout = Duration::from_millis(limits.timeout_ms.into());
            let ticks = move |left: Duration| match u64::try_from(left.as_millis()) {
                _ if gives_way => 1,
                Ok(ticks) => ticks.saturating_add(1),
                Err(_) => u64::MAX,
            };
            store.set_epoch_deadline(ticks(timeout));
            store.epoch_deadline_callback(move |store| {
                // Time that the server spent reading signatures does not count as the guest's. Other limits bound it.
                let allowed = timeout + store.data().host_time();
                let mut left = allowed.saturating_sub(since.elapsed());
                if gives_way {
                    std::thread::sleep(REST.min(left));
                    left = allowed.saturating_sub(since.elapsed());
                }
                if left.is_zero() {
                    return Err(Trap::Interrupt.into());
                }
                Ok(UpdateDeadline::Continue(ticks(left)))
            });
            let instance = plugin.pre.instantiate(&mut store)?;
            function(&mut store, &instance)
        };
        let result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failure(&error, limits, engine.config.max_hostcall_bytes)),
            Err(_) => Err(Failure::Panic),
        };
        let fuel = limits.fuel.saturating_sub(store.get_fuel().unwrap_or(0));
        let state = store.into_data();
        let took = since.elapsed().saturating_sub(state.host_time());
        Ended {
            result,
            fuel,
            memory_bytes: state.limits.memory_bytes(),
            log: state.into_log(),
            microseconds: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

fn failure(error: &wasmtime::Error, limits: CallLimits, max_hostcall_bytes: usize) -> Failure {
    if let Some(limit) = error.downcast_ref::<LimitBroken>() {
        return Failure::Limit(limit.clone());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline {
            timeout_ms: limits.timeout_ms,
        },
        Some(Trap::OutOfFuel) => Failure::Fuel { limit: limits.fuel },
        trap => {
            // The cause goes first: the place, a backtrace, may be long.
            let text = match trap {
                Some(trap) => format!("{trap}: {error}"),
                None => format!("{error:#}"),
            };
            // Wasmtime has no error type for this.
            if text.contains("fuel allocated for hostcalls") {
                return Failure::Limit(LimitBroken::hostcall_bytes(max_hostcall_bytes));
            }
            Failure::Trap(text)
        }
    }
}
