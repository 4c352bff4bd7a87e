//! `sigpersist serve`.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use sigpersist_postgres::embedded::Purpose;
use sigpersist_runtime::blocking;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::exit;
use super::listener::{bind, listening_line};
use super::made_in;
use super::open_files;
use super::output::Output;
use crate::app::{App, Database};
use crate::config::Config;
use crate::decisions;
use crate::http;
use crate::log;
use crate::plugins;
use crate::signatures;
use crate::telemetry;
use crate::tenants;
use crate::webhooks;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address to listen on; port 0 picks a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Refuse to start on an old schema, instead of migrating it. Migration needs the owner of the tables.
    #[arg(long)]
    no_migrate: bool,
}

impl Serve {
    pub(super) fn run(self, mut config: Config, output: &Output) -> anyhow::Result<()> {
        if let Some(listen) = self.listen {
            config.http.listen = listen;
        }
        telemetry::init(&config.log, &config.traces)?;
        open_files::make_room(&mut config)?;
        let runtime = runtime(&config)?;
        let signals = Signals::new(&runtime)?;
        let starting = Starting::new(&runtime)?;
        // Before the database, so that a taken port costs nothing.
        let listener = runtime.block_on(bind(&config.http.listen, "address with --listen"))?;
        let watched = config.http.watch_listen.as_deref();
        let watched = watched.map(|address| runtime.block_on(bind(address, "http.watch_listen")));
        let watched = watched.transpose()?;
        let database = Database::open(&config, Purpose::Serve)?;
        if let Some(data_dir) = database.made_in() {
            info!("{}", made_in(data_dir));
        }
        for migration in database.prepare(!self.no_migrate)? {
            info!(migration, "Ran a migration");
        }
        let app = Arc::new(App::new(config, &database)?);
        let changes = app.listen()?;
        drop(starting);
        output.line(&listening_line(&listener)?)?;
        if let Some(watched) = watched {
            info!(address = %watched.local_addr()?, "Serving /health and /metrics for monitoring");
            // It answers to the very end.
            drop(runtime.spawn(http::serve_watchers(Arc::clone(&app), watched)));
        }
        let served = runtime.block_on(async {
            let _background = in_background(&app);
            http::serve(http::Server::new(app), listener, signals.stop()).await
        });
        info!("Stopping");
        drop(changes);
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        telemetry::traces::flush();
        served?;
        Ok(())
    }
}

/// Starts what a server does beside answering requests, on the current runtime. It stops when the result is dropped.
pub(super) fn in_background(app: &Arc<App>) -> [AbortOnDropHandle<()>; 11] {
    let preloaded = Arc::downgrade(app);
    let app = || Arc::clone(app);
    [
        // Requests need not wait for it, and what it can't do it tells the log.
        AbortOnDropHandle::new(tokio::spawn(async move {
            drop(blocking::spawn(move || plugins::preload(&preloaded)).await);
        })),
        decisions::keep_clearing(app()),
        tenants::keep_removing(app()),
        app().spool.keep_sweeping(),
        log::keep_sequencing(app()),
        webhooks::keep_dispatching(app()),
        log::keep_anchoring(app()),
        log::keep_digesting(app()),
        log::keep_backfilling(app()),
        signatures::keep_indexing(app()),
        log::keep_witnessing(app()),
    ]
}

/// A runtime with a thread for each request that may be answered at once, some for hooks and keys being loaded, and some
/// that may wait for a database that does not answer when their requests are long answered.
pub(super) fn runtime(config: &Config) -> anyhow::Result<Runtime> {
    let left_behind = 2 * usize::try_from(config.database.pool_size)?;
    let threads = config
        .answered_at_once()
        .saturating_add(64)
        .saturating_add(left_behind);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(threads)
        .build()
        .context("The asynchronous runtime can't be started")
}

/// A start under way, which the first signal ends: what it waits for, such as a database that does not answer, hears of no
/// signal. An embedded Postgres ends with the process.
pub(super) struct Starting {
    _task: AbortOnDropHandle<()>,
}

impl Starting {
    pub(super) fn new(runtime: &Runtime) -> anyhow::Result<Self> {
        let mut signals = Signals::new(runtime)?;
        let task = runtime.spawn(async move {
            signals.next().await;
            info!("Received a signal to stop before the server was ready");
            exit::at_once(0);
        });
        Ok(Self {
            _task: AbortOnDropHandle::new(task),
        })
    }
}

/// SIGTERM and SIGINT: the first asks to stop, a second one stops at once.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new(runtime: &Runtime) -> anyhow::Result<Self> {
        let _guard = runtime.enter();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Completes at the first signal.
    pub(super) async fn stop(mut self) {
        self.next().await;
        info!("Received a signal to stop; finishing the requests in flight");
        tokio::spawn(async move {
            self.next().await;
            exit::at_once(1);
        });
    }
}
