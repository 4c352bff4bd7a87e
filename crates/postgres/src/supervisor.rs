//! Runs Postgres: one long-lived thread starts it, waits for it and restarts it when it dies.
//!
//! The kernel signals Postgres when that thread ends (`PR_SET_PDEATHSIG` follows the thread that spawned, not the
//! process), so a server that is killed takes its Postgres along. On systems without this call, the next owner of the
//! directory stops the orphan.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::{error, info, warn};

use super::cluster::Cluster;
use super::orphan::stop_orphan;
use super::programs::Programs;
use super::replaced::{Replaced, Running};

pub(super) const POLL: Duration = Duration::from_millis(20);
/// The most time that Postgres may take to start. The slow case is recovery of a large database after a crash.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// The time after which a start logs what it waits for, and the interval at which it repeats that.
pub(super) const TELL_AFTER: Duration = Duration::from_secs(5);
/// The most time that a fast shutdown may take. Then Postgres is stopped at once, and recovers at the next start.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before Postgres is started again. In this time the children of a killed Postgres end.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const START_ATTEMPTS: u32 = 10;
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);

/// A running Postgres and the thread that runs it.
#[derive(Debug)]
pub(super) struct Supervisor {
    cluster: Arc<Cluster>,
    stopping: Arc<AtomicBool>,
    /// Emptied under the same lock under which the process is reaped, so that a signal never reaches another process
    /// with its id.
    child: Arc<Mutex<Option<Child>>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Stops an orphan, starts Postgres and waits until it answers.
    pub(super) fn start(cluster: Cluster, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        stop_orphan(&cluster)?;
        let programs = cluster.prepare()?;
        Self::start_with(cluster, programs, settings)
    }

    /// Starts Postgres from these programs and waits until it answers.
    pub(super) fn start_with(
        cluster: Cluster,
        programs: Programs,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut supervisor = Self {
            cluster: Arc::new(cluster),
            stopping: Arc::default(),
            child: Arc::default(),
            thread: None,
        };
        let mut runner = Runner {
            cluster: Arc::clone(&supervisor.cluster),
            running: Running::new(programs),
            settings: settings
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            stopping: Arc::clone(&supervisor.stopping),
            child: Arc::clone(&supervisor.child),
        };
        let (ready, started) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("postgres".to_owned())
            .spawn(move || runner.run(&ready))?;
        supervisor.thread = Some(thread);
        // Dropping the supervisor on failure stops what was started.
        started
            .recv()
            .context("the thread that runs Postgres has died")??;
        Ok(supervisor)
    }

    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Stops Postgres, cleanly if possible, and waits for it.
    pub(super) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.stopping.store(true, Ordering::SeqCst);
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL] {
            self.signal(signal);
            let deadline = Instant::now() + STOP_PATIENCE;
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(POLL);
            }
            if thread.is_finished() {
                break;
            }
            warn!("Postgres does not stop after {signal}");
        }
        if thread.is_finished() && thread.join().is_err() {
            error!("The thread that ran Postgres has panicked");
        }
    }

    fn signal(&self, signal: Signal) {
        signal_child(&self.child, signal);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal_child(child: &Mutex<Option<Child>>, signal: Signal) {
    let child = child.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pid) = child.as_ref().and_then(pid_of)
        && let Err(error) = kill(pid, signal)
    {
        warn!(%error, "Postgres can't be signalled");
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().map(Pid::from_raw)
}

/// The end of a Postgres process.
struct Ended {
    lived: Duration,
    was_told_to: bool,
}

struct Runner {
    cluster: Arc<Cluster>,
    running: Running,
    settings: Vec<String>,
    stopping: Arc<AtomicBool>,
    child: Arc<Mutex<Option<Child>>>,
}

impl Runner {
    fn run(&mut self, ready: &mpsc::SyncSender<anyhow::Result<()>>) {
        let started = self.start();
        let failed = started.is_err();
        // The receiver waits for this one message, unless it is gone with the whole process.
        drop(ready.send(started));
        if failed {
            self.stop_child();
            return;
        }
        let mut pause = RESTART_PAUSE;
        loop {
            let ended = self.wait_for_exit();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            if !ended.was_told_to {
                error!(
                    log = %self.cluster.log_path().display(),
                    "Postgres stopped unexpectedly; starting it again"
                );
            }
            pause = if ended.lived > MAX_RESTART_PAUSE {
                RESTART_PAUSE
            } else {
                (pause * 2).min(MAX_RESTART_PAUSE)
            };
            std::thread::sleep(pause);
            if let Err(cause) = self.spawn_again() {
                error!(
                    cause = format!("{cause:#}"),
                    "Postgres can't be started; trying again"
                );
            }
        }
    }

    /// Starts the programs that are installed now, in the same folder or in another one.
    fn spawn_again(&mut self) -> anyhow::Result<()> {
        let programs = self.running.programs();
        let programs = match programs.now() {
            Some(now) => now,
            None => Programs::find(Some(programs.major))?,
        };
        self.running = Running::new(programs);
        self.spawn()
    }

    /// Starts Postgres, with several attempts if the children of a killed Postgres have not ended yet.
    fn start(&self) -> anyhow::Result<()> {
        let mut attempts = 0;
        loop {
            self.spawn()?;
            match self.wait_until_ready() {
                Err(_) if attempts < START_ATTEMPTS && !self.is_running() => attempts += 1,
                result => return result,
            }
            std::thread::sleep(RESTART_PAUSE);
        }
    }

    fn spawn(&self) -> anyhow::Result<()> {
        let log = self.cluster.log()?;
        let mut command = self
            .cluster
            .command(&self.running.programs().path("postgres"));
        command.arg("-D").arg(self.cluster.files());
        let socket_dir = format!(
            "unix_socket_directories=\"{}\"",
            self.cluster.socket_dir().display()
        );
        for setting in [
            "listen_addresses=",
            "unix_socket_permissions=0700",
            "fsync=on",
            "full_page_writes=on",
            "synchronous_commit=on",
            "logging_collector=off",
            "log_destination=stderr",
            "lc_messages=C",
        ]
        .into_iter()
        .chain([socket_dir.as_str()])
        .chain(self.settings.iter().map(String::as_str))
        {
            command.arg("-c").arg(setting);
        }
        command
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log));
        // A fast shutdown keeps acknowledged changes and makes the next start quick.
        die_with_this_thread(&mut command, Signal::SIGINT);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stopping.load(Ordering::SeqCst) {
            *child = Some(command.spawn().context("postgres can't be started")?);
        }
        Ok(())
    }

    /// Whether the process runs. Reaps it if it has ended, since a zombie blocks its own restart.
    fn is_running(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        match child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            _ => {
                *child = None;
                false
            }
        }
    }

    /// Waits until Postgres ends. Stops it if its programs were replaced by others that can run the database.
    fn wait_for_exit(&mut self) -> Ended {
        let since = Instant::now();
        let mut told_at = None;
        while self.is_running() {
            match told_at {
                None if self.is_outdated() => {
                    // A fast shutdown keeps acknowledged changes and makes the next start quick.
                    signal_child(&self.child, Signal::SIGINT);
                    told_at = Some(Instant::now());
                }
                Some(at) if at.elapsed() > STOP_PATIENCE => {
                    signal_child(&self.child, Signal::SIGQUIT);
                    told_at = Some(Instant::now());
                }
                _ => {}
            }
            std::thread::sleep(POLL);
        }
        Ended {
            lived: since.elapsed(),
            was_told_to: told_at.is_some(),
        }
    }

    /// Whether Postgres must be restarted with the programs that replaced its own. Logs the replacement.
    fn is_outdated(&mut self) -> bool {
        let Some(replaced) = self.running.look() else {
            return false;
        };
        let old = self.running.programs();
        let folder = old.folder().display();
        match replaced {
            Replaced::By(new) => {
                warn!(
                    programs = %new.folder().display(),
                    "The Postgres programs were replaced, {} by {}; restarting the embedded database with the new ones",
                    old.version,
                    new.version
                );
                true
            }
            Replaced::ByOthers(new) => {
                error!(
                    programs = %folder,
                    "The Postgres programs were replaced by those of Postgres {}, which can't run the embedded database of Postgres {}. It keeps running for now, but new connections may fail, and it can't be started again: install Postgres {} beside them, stop the server and run `sigpersist upgrade-data`",
                    new.major,
                    old.major,
                    old.major
                );
                false
            }
            Replaced::ByNothing => {
                error!(
                    programs = %folder,
                    "The programs of Postgres {}, which the embedded database runs from, are gone or incomplete. It keeps running for now, but new connections may fail, and it can't be started again: install them again",
                    old.major
                );
                false
            }
        }
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        let mut told = since;
        let url = self.cluster.url("sigpersist");
        loop {
            let Err(cause) = crate::connection::connect(&url) else {
                info!(data_dir = %self.cluster.data_dir().display(), "The embedded database is ready");
                return Ok(());
            };
            if !self.is_running() {
                bail!(
                    "Postgres did not start. Its log says why: {}",
                    self.cluster.log_path().display()
                );
            }
            if since.elapsed() > START_PATIENCE {
                bail!(
                    "Postgres did not answer within {} s: {cause}. Its log may say more: {}",
                    START_PATIENCE.as_secs(),
                    self.cluster.log_path().display()
                );
            }
            if told.elapsed() > TELL_AFTER {
                warn!(
                    %cause,
                    log = %self.cluster.log_path().display(),
                    "Postgres is still starting, for {} s now",
                    since.elapsed().as_secs()
                );
                told = Instant::now();
            }
            std::thread::sleep(POLL);
        }
    }

    fn stop_child(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut child) = child.take()
            && let Some(pid) = pid_of(&child)
            && kill(pid, Signal::SIGQUIT).is_ok()
            && let Err(error) = child.wait()
        {
            warn!(%error, "Postgres can't be waited for");
        }
    }
}

/// Makes the kernel signal the process when the calling thread ends. This must happen after the change of user, which
/// clears the setting; the standard library runs such closures last.
#[cfg(target_os = "linux")]
pub(super) fn die_with_this_thread(command: &mut Command, signal: Signal) {
    let parent = nix::unistd::getpid();
    let closure = move || {
        nix::sys::prctl::set_pdeathsig(signal)?;
        if nix::unistd::getppid() == parent {
            Ok(())
        } else {
            Err(std::io::Error::other("the parent has died in between"))
        }
    };
    #[expect(
        unsafe_code,
        reason = "the closure makes two system calls and allocates nothing, as pre_exec demands"
    )]
    unsafe {
        command.pre_exec(closure);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn die_with_this_thread(_command: &mut Command, _signal: Signal) {}
