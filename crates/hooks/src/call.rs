//! One call of one function of a plugin: on a fresh instance, under all limits. Traps, broken limits and panics are
//! returned as values.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use sigpersist_model::decision::{LogLine, MAX_ENTRIES, clean};
use sigpersist_model::plugin::CallLimits;
use wasmtime::component::Instance;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use super::engine::Engine;
use super::host::HostState;
use super::limits::LimitBroken;
use super::plugin::Plugin;

/// Pause after each millisecond that a call runs while its hook backs off. The call then runs for a ninth of its time.
const REST: Duration = Duration::from_millis(8);

/// Explains the trap of a guest that stopped itself, and logged no error before.
const STOPPED_ITSELF: &str = "the plugin stopped itself, as abort, __builtin_trap and a panic do, and logged no error before that says why";

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
    /// A trap.
    Trap(Stop),
    /// A panic of the server's own code.
    Panic,
}

/// How a guest stopped.
#[derive(Debug)]
pub(super) struct Stop {
    /// wasmtime's message, without the backtrace.
    cause: String,
    /// The last error that the guest logged. The kits log the message of a panic or an uncaught exception before they
    /// trap, because the trap itself says nothing of it.
    said: Option<String>,
    /// Functions that were running, innermost first.
    frames: Vec<String>,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The guest's own words go first: long texts are cut at the end.
        match &self.said {
            Some(said) => write!(f, "it said: {said} ({})", self.cause),
            None => f.write_str(&self.cause),
        }
    }
}

impl Failure {
    /// Functions of the guest that were running when it trapped, innermost first.
    pub(super) fn frames(self) -> Vec<String> {
        match self {
            Self::Trap(stop) => stop.frames,
            _ => Vec::new(),
        }
    }
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
            Self::Trap(stop) => stop.fmt(f),
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
        let state = state.telling(engine.listener());
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
            Ok(Err(error)) => Err(failure(
                &error,
                limits,
                engine.config.max_hostcall_bytes,
                store.data_mut().take_last_error(),
            )),
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

fn failure(
    error: &wasmtime::Error,
    limits: CallLimits,
    max_hostcall_bytes: usize,
    said: Option<String>,
) -> Failure {
    if let Some(limit) = error.downcast_ref::<LimitBroken>() {
        return Failure::Limit(limit.clone());
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline {
            timeout_ms: limits.timeout_ms,
        },
        Some(Trap::OutOfFuel) => Failure::Fuel { limit: limits.fuel },
        trap => {
            let backtrace = error.downcast_ref::<WasmBacktrace>();
            let cause = match trap {
                Some(trap) => trap.to_string(),
                None => {
                    // wasmtime adds the backtrace as one more cause.
                    let place = backtrace.map(ToString::to_string);
                    let causes = error.chain().map(ToString::to_string);
                    let causes = causes.filter(|cause| Some(cause) != place.as_ref());
                    causes.collect::<Vec<_>>().join(": ")
                }
            };
            // Wasmtime has no error type for this.
            if cause.contains("fuel allocated for hostcalls") {
                return Failure::Limit(LimitBroken::hostcall_bytes(max_hostcall_bytes));
            }
            let is_silent = said.is_none() && trap == Some(&Trap::UnreachableCodeReached);
            let cause = if is_silent {
                format!("{cause}: {STOPPED_ITSELF}")
            } else {
                cause
            };
            let frames = backtrace.map(frames).unwrap_or_default();
            Failure::Trap(Stop {
                cause,
                said,
                frames,
            })
        }
    }
}

/// Names of the functions, or their numbers if the component has no names.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let frames = backtrace.frames().iter().take(MAX_ENTRIES);
    let named = frames.map(|frame| {
        let symbol = frame.symbols().iter().find_map(|symbol| symbol.name());
        match symbol.or(frame.func_name()) {
            Some(name) => clean(name),
            None => format!("function {}", frame.func_index()),
        }
    });
    named.collect()
}
