//! The process's only wasmtime engine: its settings, the deadline clock, compiled plugins, and limits on concurrent
//! work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{CallLimits, Digest};
use sigpersist_runtime::fair_semaphore::{FairPermit, FairSemaphore};
use sigpersist_runtime::metrics;
use tracing::{info, warn};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings;
use super::compiled::Compiled;
use super::compiler::{Compiler, Purpose};
use super::host::{HostState, Listener};
use super::plugin::Plugin;
use crate::HooksConfig;

/// Resolution of deadlines: one epoch of the engine.
const TICK: Duration = Duration::from_millis(1);
/// Maximum number of compiled plugins in memory; `hooks.max_ready_bytes` bounds their size.
const CACHED_PLUGINS: usize = 1000;
/// Time after which a stored component that could not be compiled is tried again.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Instance slots beyond those that can be in use at once. wasmtime then finds more often a slot that the plugin used
/// before, which is faster.
const WARM_SLOTS: u32 = 64;
/// Memory that a slot keeps after its instance is gone: enough for the plugin kit's arena and for a Rust guest's stack
/// and data.
const KEEP_RESIDENT_BYTES: usize = 1024 * 1024;
/// Maximum number of core modules in one component. Rust and C need a handful, Python 38.
const CORE_INSTANCES_PER_PLUGIN: u32 = 64;
/// Maximum number of tables and memories in one component. JavaScript needs three memories, two of them empty.
const TABLES_PER_PLUGIN: u32 = 16;
const MEMORIES_PER_PLUGIN: u32 = 3;

/// Compiles plugins, keeps them ready in memory, and limits how many run at once.
pub struct Engine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Linker<HostState>,
    pub(super) config: HooksConfig,
    clock: Clock,
    plugins: quick_cache::sync::Cache<Digest, Arc<Plugin>, Size>,
    /// Stored components that can't be compiled here, with the time and the reason.
    refused: quick_cache::sync::Cache<Digest, (Instant, String)>,
    /// Compiled plugins on disk, which outlive the process.
    compiled: Option<Compiled>,
    compiler: Compiler,
    compilations: AtomicU64,
    permits: FairSemaphore,
    listener: Option<Listener>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine with {:?}", self.permits)
    }
}

impl Engine {
    /// Starts the engine and its clock.
    ///
    /// # Errors
    ///
    /// If the machine can't run the engine.
    pub fn new(config: &HooksConfig) -> anyhow::Result<Self> {
        let at_once = config.judged_at_once();
        let per_tenant = match config.max_concurrent_per_tenant {
            0 => at_once.div_ceil(2),
            set => set.min(at_once),
        };
        let engine = new_engine(config, at_once)?;
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
                .context("The path of this program, which compiles plugins, can't be found")?,
            compilations: AtomicU64::new(0),
            listener: None,
            permits: FairSemaphore::with_part(
                "hooks",
                at_once,
                per_tenant,
                config.queue_timeout_ms,
            ),
        })
    }

    /// Makes the engine keep compiled plugins on disk.
    #[must_use]
    pub fn keeping(self, compiled: Compiled) -> Self {
        Self {
            compiled: Some(compiled),
            ..self
        }
    }

    /// Makes the engine tell each line that a plugin logs as it comes, in place of the server's log: for the commands of
    /// authors.
    #[must_use]
    pub fn telling(self, listener: Listener) -> Self {
        Self {
            listener: Some(listener),
            ..self
        }
    }

    pub(super) fn listener(&self) -> Option<Listener> {
        self.listener.clone()
    }

    /// The compiled plugin with this digest: from memory, from disk, or compiled from the bytes that `load` returns.
    /// Blocks.
    ///
    /// If two callers need the same plugin, it is compiled once.
    ///
    /// # Errors
    ///
    /// Errors of `load`; [`Error::Refused`] if a component that was admitted before is refused now;
    /// [`Error::Overloaded`] if other compilations take too long.
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

    /// Admits a component that somebody uploads or tries, and keeps its compiled plugin in memory. Blocks until it is
    /// compiled.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with a reason that addresses the component's author, and [`Error::Overloaded`].
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

    /// The plugin, if its compiled code is on disk.
    fn kept(&self, digest: Digest) -> Option<Plugin> {
        let component = self.compiled.as_ref()?.load(&self.engine, digest)?;
        metrics::plugin_made_ready(true);
        // A component that was admitted once can be refused only if the contract has changed. Then it is compiled
        // again, which yields the reason.
        Plugin::new(self, &component).ok()
    }

    /// Compiles a component in a separate process, and stores the code on disk if the component is admitted.
    fn compile(&self, digest: Digest, component: &[u8], purpose: Purpose) -> Result<Plugin> {
        Plugin::check_kind(component, self.config.max_component_bytes)?;
        let since = Instant::now();
        let code = self.compiler.compile(component, purpose)?;
        #[expect(
            unsafe_code,
            reason = "compiled code can't be loaded from memory otherwise"
        )]
        // SAFETY: nobody else can change these bytes. They came through a pipe whose other end only the process held
        // that `compiler` started. That process is this program, or one that the server's operator trusts as much. Its
        // output is what wasmtime's compiler makes of the component, and would make in this process.
        let loaded = unsafe { Component::deserialize(&self.engine, &code) };
        let loaded = loaded.map_err(|error| {
            Error::internal(format!(
                "the code that hooks.compiler makes does not fit this server: {error:#}"
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

    /// Number of components that this engine has compiled, because they were neither in memory nor on disk.
    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }

    /// Maximum number of plugins in memory.
    pub fn capacity(&self) -> usize {
        CACHED_PLUGINS
    }

    /// Deletes compiled plugins from disk until the folder is within its limit. An earlier server with a higher limit
    /// may have left more. Blocks.
    pub fn sweep(&self) {
        if let Some(compiled) = &self.compiled {
            compiled.sweep();
        }
    }

    /// Authenticates the compiled plugins on disk anew under the current master key, before the old key is dropped.
    /// Blocks.
    pub fn retag(&self) {
        if let Some(compiled) = &self.compiled {
            compiled.retag(&self.engine);
        }
    }

    /// Waits for a permit to run a tenant's hooks.
    ///
    /// By default one tenant holds at most half of the permits, so that its slow hooks can't starve other tenants. A
    /// tenant whose hooks keep failing runs them `alone`, one request at a time.
    ///
    /// # Errors
    ///
    /// [`Error::RateLimited`] if the tenant's own hooks held its permits for too long, [`Error::Overloaded`] if those
    /// of all tenants did.
    pub async fn permit(&self, tenant: TenantId, alone: bool) -> Result<FairPermit> {
        if alone {
            self.permits.acquire_alone(tenant).await
        } else {
            self.permits.acquire(Some(tenant)).await
        }
    }

    /// The configured ceiling of the limits of any call.
    pub fn ceiling(&self) -> CallLimits {
        self.config.ceiling()
    }

    /// Keeps the deadline clock running as long as the guard lives.
    pub(super) fn running(&self) -> Running<'_> {
        self.clock.running()
    }
}

/// Weighs a cached plugin by the memory that its compiled code takes.
#[derive(Debug, Clone)]
struct Size;

impl quick_cache::Weighter<Digest, Arc<Plugin>> for Size {
    fn weight(&self, _: &Digest, plugin: &Arc<Plugin>) -> u64 {
        plugin.code_bytes()
    }
}

fn plugins(max_bytes: u64) -> anyhow::Result<quick_cache::sync::Cache<Digest, Arc<Plugin>, Size>> {
    let options = quick_cache::OptionsBuilder::new()
        // A shard gets a part of the capacity, and one large plugin may need more than such a part.
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

/// Settings that compiled code depends on: the same in the server and in the process that compiles.
pub(super) fn settings() -> Config {
    let mut settings = Config::new();
    settings
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        // A verdict must not depend on the machine: NaNs are canonical, and relaxed SIMD is deterministic.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true);
    settings
}

fn new_engine(config: &HooksConfig, at_once: usize) -> anyhow::Result<wasmtime::Engine> {
    let settings = settings();
    let mut pooled = settings.clone();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config, at_once)?));
    wasmtime::Engine::new(&pooled).or_else(|error| {
        // If address space is limited (`ulimit -v`), each call maps its memory anew: slower, but correct.
        warn!(cause = %error, "The memory pool for hooks does not fit into this machine's memory; hooks will run slower");
        wasmtime::Engine::new(&settings).map_err(|error| anyhow::anyhow!("The engine for hooks can't be started: {error:#}"))
    })
}

fn pool(config: &HooksConfig, at_once: usize) -> anyhow::Result<PoolingAllocationConfig> {
    // A call always finds a free slot: requests hold a permit, and trials and set-ups are bounded too.
    let most = at_once.saturating_add(config.max_concurrent_trials);
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

/// Advances the engine's epoch once a millisecond while any guest runs, on an operating system thread.
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
                            // On a busy machine this thread wakes late. The ticks that it missed are made up for.
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
            // The thread returns nothing.
            drop(handle.join());
        }
    }
}

/// Guard: a guest is running.
pub(super) struct Running<'a>(&'a Clock);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
