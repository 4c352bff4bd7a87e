//! The one engine of the process: its settings, its clock, compiled plugins, and the bounds on concurrent work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Digest, Limits};
use sigpersist_runtime::metrics;
use sigpersist_runtime::turns::{Shared, SharedTurn};
use tracing::{info, warn};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings;
use super::compiled::Compiled;
use super::compiler::{Compiler, Purpose};
use super::host::HostState;
use super::plugin::Plugin;
use crate::config::HooksConfig;

/// One tick of the deadline's clock.
const TICK: Duration = Duration::from_millis(1);
/// Compiled plugins kept ready, as long as they take no more than their share of memory.
const CACHED_PLUGINS: usize = 1000;
/// How long a stored component that can't be compiled is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Slots for instances beyond those that can run at once: a slot that a plugin left warm is reused by it faster.
const WARM_SLOTS: u32 = 64;
/// Memory that a slot keeps when its instance is gone: the plugin kit's arena, and a Rust guest's stack and data.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;
/// Core modules that one component may be made of. Rust and C need a handful, Python 38.
const CORE_INSTANCES_PER_PLUGIN: u32 = 64;
/// Tables and memories of them all: JavaScript needs three memories, two of which are empty.
const TABLES_PER_PLUGIN: u32 = 16;
const MEMORIES_PER_PLUGIN: u32 = 3;

/// Runs plugins.
pub struct Engine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Linker<HostState>,
    pub(super) config: HooksConfig,
    clock: Clock,
    plugins: quick_cache::sync::Cache<Digest, Arc<Plugin>, Size>,
    /// Stored components that can't be compiled here: since when, and why.
    refused: quick_cache::sync::Cache<Digest, (Instant, String)>,
    /// Where compiled plugins outlive the process.
    compiled: Option<Compiled>,
    compiler: Compiler,
    compilations: AtomicU64,
    turns: Shared,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine with {:?}", self.turns)
    }
}

impl Engine {
    /// Starts the engine and its clock.
    ///
    /// # Errors
    ///
    /// Where the machine can't run it.
    pub fn new(config: &HooksConfig) -> anyhow::Result<Self> {
        let turns = config.judged_at_once();
        let turns_per_tenant = match config.max_concurrent_per_tenant {
            0 => turns.div_ceil(2),
            set => set.min(turns),
        };
        let engine = new_engine(config, turns)?;
        let mut linker = Linker::new(&engine);
        bindings::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
            .map_err(|error| anyhow::anyhow!("{error:#}"))
            .context("The host functions can't be linked")?;
        Ok(Self {
            clock: Clock::start(&engine).context("The clock of hooks can't be started")?,
            engine,
            linker,
            config: config.clone(),
            plugins: plugins(config.max_ready_bytes)?,
            refused: quick_cache::sync::Cache::new(CACHED_PLUGINS),
            compiled: None,
            compiler: Compiler::new(config)
                .context("This program can't be found, to compile with")?,
            compilations: AtomicU64::new(0),
            turns: Shared::with_part("hooks", turns, turns_per_tenant, config.queue_timeout_ms),
        })
    }

    /// The same engine, which keeps compiled plugins on disk.
    #[must_use]
    pub fn keeping(self, compiled: Compiled) -> Self {
        Self {
            compiled: Some(compiled),
            ..self
        }
    }

    /// The compiled plugin of this digest: from memory, from disk, or compiled from the bytes that `load` gives. Two
    /// callers that need the same one compile it once. Blocks.
    ///
    /// # Errors
    ///
    /// Those of `load`; [`Error::Refused`] where what was once admitted no longer is; and [`Error::Overloaded`] where others
    /// are compiled for too long.
    pub fn plugin(
        &self,
        digest: Digest,
        load: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<Plugin>> {
        self.ready(digest, || {
            if let Some((since, reason)) = self.refused.get(&digest)
                && since.elapsed() < REFUSED_FOR
            {
                return Err(Error::Refused(reason));
            }
            let component = load()?;
            if sha256(&component) != digest.0 {
                return Err(Error::internal(format!(
                    "the stored component {digest} was changed"
                )));
            }
            self.compile(digest, &component, Purpose::Need)
                .inspect_err(|error| {
                    if let Error::Refused(reason) = error {
                        self.refused
                            .insert(digest, (Instant::now(), reason.clone()));
                    }
                })
        })
    }

    /// Admits a component that somebody brings, and keeps it ready. Blocks for as long as compiling takes.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reason, in words for whoever built the component, and [`Error::Overloaded`].
    pub fn admit(&self, component: &[u8]) -> Result<Arc<Plugin>> {
        Plugin::check_kind(component, self.config.max_component_bytes)?;
        let digest = Digest(sha256(component));
        self.ready(digest, || {
            self.compile(digest, component, Purpose::Admission)
        })
    }

    fn ready(
        &self,
        digest: Digest,
        compile: impl FnOnce() -> Result<Plugin>,
    ) -> Result<Arc<Plugin>> {
        self.plugins.get_or_insert_with(&digest, || {
            if let Some(plugin) = self.kept(digest) {
                return Ok(Arc::new(plugin));
            }
            let plugin = compile()?;
            metrics::plugin_made_ready(false);
            Ok(Arc::new(plugin))
        })
    }

    /// The plugin as it was kept on disk.
    fn kept(&self, digest: Digest) -> Option<Plugin> {
        let component = self.compiled.as_ref()?.load(&self.engine, digest)?;
        metrics::plugin_made_ready(true);
        // What was admitted once may be refused now only if the contract has changed: the bytes then tell why.
        Plugin::new(self, &component).ok()
    }

    /// Compiles a component in a process of its own, and keeps it on disk if it is admitted.
    fn compile(&self, digest: Digest, component: &[u8], purpose: Purpose) -> Result<Plugin> {
        Plugin::check_kind(component, self.config.max_component_bytes)?;
        let since = Instant::now();
        let code = self.compiler.compile(component, purpose)?;
        #[expect(
            unsafe_code,
            reason = "compiled code can't be loaded from memory otherwise"
        )]
        // SAFETY: these very bytes, which nobody else can change, came through a pipe whose other end only the process held
        // that `compiler` has started. It is this program, or one that who runs the server trusts as much, and what it made of
        // the component is what wasmtime's compiler makes of it, which would make the same in this process.
        let loaded = unsafe { Component::deserialize(&self.engine, &code) };
        let loaded = loaded.map_err(|error| {
            Error::internal(format!(
                "what hooks.compiler compiles does not fit this server: {error:#}"
            ))
        })?;
        self.compilations.fetch_add(1, Ordering::Relaxed);
        let bytes = component.len();
        let ms = since.elapsed().as_millis();
        info!(bytes, ms, "Compiled a plugin");
        let plugin = Plugin::new(self, &loaded)?;
        if let Some(compiled) = &self.compiled {
            compiled.store(&self.engine, digest, &code);
        }
        Ok(plugin)
    }

    /// How many components this engine has compiled: those that it found neither in memory nor on disk.
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// How many plugins are kept ready in memory, at most.
    pub fn capacity(&self) -> usize {
        CACHED_PLUGINS
    }

    /// Brings the folder of compiled plugins within its limit; what is too much may be from an earlier one. Blocks.
    pub fn sweep(&self) {
        if let Some(compiled) = &self.compiled {
            compiled.sweep();
        }
    }

    /// Puts the tags of compiled plugins under the current master key, before the old one goes. Blocks.
    pub fn retag(&self) {
        if let Some(compiled) = &self.compiled {
            compiled.retag(&self.engine);
        }
    }

    /// Waits for a turn to run a tenant's hooks. One tenant's slow hooks hold at most half of all turns by default, so
    /// they can't keep the others from theirs; and a tenant whose hooks keep failing runs them `alone`, one at a time.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimited`] where the tenant's own work took too long, [`Error::Overloaded`] where everybody's did.
    pub async fn turn(&self, tenant: TenantId, alone: bool) -> Result<SharedTurn> {
        if alone {
            self.turns.turn_alone(tenant).await
        } else {
            self.turns.turn(Some(tenant)).await
        }
    }

    /// The most that any call may take.
    pub fn ceiling(&self) -> Limits {
        self.config.ceiling()
    }

    /// Keeps the deadline's clock running while the guard lives.
    pub(super) fn running(&self) -> Running<'_> {
        self.clock.running()
    }
}

/// The memory that a compiled plugin takes, which it counts for among those kept ready.
#[derive(Debug, Clone)]
struct Size;

impl quick_cache::Weighter<Digest, Arc<Plugin>> for Size {
    fn weight(&self, _: &Digest, plugin: &Arc<Plugin>) -> u64 {
        plugin.code_bytes()
    }
}

fn plugins(max_bytes: u64) -> anyhow::Result<quick_cache::sync::Cache<Digest, Arc<Plugin>, Size>> {
    let options = quick_cache::OptionsBuilder::new()
        // One large plugin may take more than a part of all.
        .shards(1)
        .estimated_items_capacity(CACHED_PLUGINS)
        .weight_capacity(max_bytes)
        .build()?;
    Ok(quick_cache::sync::Cache::with_options(
        options,
        Size,
        quick_cache::DefaultHashBuilder::default(),
        quick_cache::sync::DefaultLifecycle::default(),
    ))
}

/// What compiled code depends on, here and in the process that compiles.
pub(super) fn settings() -> Config {
    let mut settings = Config::new();
    settings
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        // A verdict must not depend on the machine: one NaN, and relaxed SIMD at its most exact.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    settings
}

fn new_engine(config: &HooksConfig, turns: usize) -> anyhow::Result<wasmtime::Engine> {
    let settings = settings();
    let mut pooled = settings.clone();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config, turns)?));
    wasmtime::Engine::new(&pooled).or_else(|error| {
        // Where address space is limited (ulimit -v), each call maps its memory anew: slower, but right.
        warn!(cause = %error, "The pool for hooks does not fit this machine; hooks will run slower");
        wasmtime::Engine::new(&settings).map_err(|error| anyhow::anyhow!("The engine for hooks can't be started: {error:#}"))
    })
}

fn pool(config: &HooksConfig, turns: usize) -> anyhow::Result<PoolingAllocationConfig> {
    // There is always one to be had: who judges has a turn, and trials and set-ups are bounded too.
    let most = turns.saturating_add(config.max_concurrent_trials);
    let slots = u32::try_from(most)
        .ok()
        .and_then(|most| most.checked_add(WARM_SLOTS))
        .context("hooks.max_concurrent is too large")?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots * CORE_INSTANCES_PER_PLUGIN)
        .total_tables(slots * TABLES_PER_PLUGIN)
        .total_memories(slots * MEMORIES_PER_PLUGIN)
        .max_core_instances_per_component(CORE_INSTANCES_PER_PLUGIN)
        .max_tables_per_component(TABLES_PER_PLUGIN)
        .max_memories_per_component(MEMORIES_PER_PLUGIN)
        .max_memory_size(config.max_memory_bytes)
        .table_elements(config.max_table_elements)
        .max_unused_warm_slots(slots)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    Ok(pool)
}

/// Advances the engine's epoch once a millisecond, on a thread of the operating system's, while any guest runs.
#[derive(Debug)]
struct Clock {
    running: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let running = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let handle = {
            let (engine, running, stop) = (engine.clone(), Arc::clone(&running), Arc::clone(&stop));
            std::thread::Builder::new()
                .name("hook-clock".to_owned())
                .spawn(move || {
                    let mut before = Instant::now();
                    while !stop.load(Ordering::SeqCst) {
                        if running.load(Ordering::SeqCst) == 0 {
                            std::thread::park();
                            before = Instant::now();
                        } else {
                            std::thread::sleep(TICK);
                            // A busy machine wakes this thread late: the ticks that it slept through count all the same.
                            while before.elapsed() >= TICK {
                                engine.increment_epoch();
                                before += TICK;
                            }
                        }
                    }
                })?
        };
        Ok(Self {
            running,
            stop,
            thread: handle.thread().clone(),
            handle: Some(handle),
        })
    }

    fn running(&self) -> Running<'_> {
        if self.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // The thread has nothing to say.
            drop(handle.join());
        }
    }
}

/// A guest is running.
pub(super) struct Running<'a>(&'a Clock);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
