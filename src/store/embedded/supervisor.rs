//! Running Postgres: one long-lived thread starts it, waits on it and starts it again when it dies.
//!
//! The kernel tells Postgres when that thread goes (`PR_SET_PDEATHSIG` follows the thread that spawned, not the
//! process), so a server that is killed takes its Postgres along; where there is no such call, the next owner of the
//! directory stops the orphan.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::{error, info, warn};

use super::cluster::Cluster;
use super::programs::Programs;

const POLL: Duration = Duration::from_millis(20);
/// How long Postgres may take to start; recovery of a large database after a crash is the slow case.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// How long a start waits before it says what for, and how often it says so again.
pub(super) const TELL_AFTER: Duration = Duration::from_secs(5);
/// How long a fast shutdown may take before Postgres is made to stop at once, which recovery mends at the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Pause before Postgres is started again: long enough for the children of a killed one to let go.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const START_ATTEMPTS: u32 = 10;
const MAX_RESTART_PAUSE: Duration = Duration::from_secs(5);

/// A running Postgres and the thread that looks after it.
#[derive(Debug)]
pub(super) struct Supervisor {
    cluster: Arc<Cluster>,
    stopping: Arc<AtomicBool>,
    /// Emptied in the same breath as the process is reaped, so that a signal never meets a stranger with its number.
    child: Arc<Mutex<Option<Child>>>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Stops an orphan, starts Postgres and waits until it answers.
    pub(super) fn start(cluster: Cluster, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        stop_orphan(&cluster)?;
        let programs = cluster.prepare()?;
        let mut supervisor = Self {
            cluster: Arc::new(cluster),
            stopping: Arc::default(),
            child: Arc::default(),
            thread: None,
        };
        let runner = Runner {
            cluster: Arc::clone(&supervisor.cluster),
            programs,
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

    /// Stops Postgres, cleanly if it can be had, and waits for it.
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
            warn!("Postgres does not stop on {signal}; trying harder");
        }
        if thread.is_finished() && thread.join().is_err() {
            error!("The thread that ran Postgres has panicked");
        }
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = child.as_ref().and_then(pid_of)
            && let Err(error) = kill(pid, signal)
        {
            warn!(%error, "Postgres can't be signalled");
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().map(Pid::from_raw)
}

struct Runner {
    cluster: Arc<Cluster>,
    programs: Programs,
    settings: Vec<String>,
    stopping: Arc<AtomicBool>,
    child: Arc<Mutex<Option<Child>>>,
}

impl Runner {
    fn run(&self, ready: &mpsc::SyncSender<anyhow::Result<()>>) {
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
            let lived = self.wait_for_exit();
            if self.stopping.load(Ordering::SeqCst) {
                return;
            }
            error!(
                log = %self.cluster.log_path().display(),
                "Postgres has stopped by itself; starting it again"
            );
            pause = if lived > MAX_RESTART_PAUSE {
                RESTART_PAUSE
            } else {
                (pause * 2).min(MAX_RESTART_PAUSE)
            };
            std::thread::sleep(pause);
            if let Err(cause) = self.spawn() {
                error!(
                    cause = format!("{cause:#}"),
                    "Postgres can't be started; trying again"
                );
            }
        }
    }

    /// Starts Postgres, more than once where the children of a killed one have yet to let go.
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
        let mut command = self.cluster.command(&self.programs.path("postgres"));
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
        // A fast shutdown: what is acknowledged is kept, and the next start is quick.
        die_with_this_thread(&mut command, Signal::SIGINT);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.stopping.load(Ordering::SeqCst) {
            *child = Some(command.spawn().context("postgres can't be started")?);
        }
        Ok(())
    }

    /// Whether the process is there; reaps it where it is not, since an unreaped one blocks its own restart.
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

    fn wait_for_exit(&self) -> Duration {
        let since = Instant::now();
        while self.is_running() {
            std::thread::sleep(POLL);
        }
        since.elapsed()
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        let mut told = since;
        let url = self.cluster.url("sigpersist");
        loop {
            let Err(cause) = super::super::connection::connect(&url) else {
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

/// Has the kernel stop the process when the calling thread ends. After the change of user, which clears this setting;
/// the standard library runs such closures last.
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

/// Stops a Postgres whose owner was killed, and mends what a dead one left behind. The caller holds the directory's
/// lock, so nobody else starts one.
///
/// Postgres copes with its own stale lock files, and must be left to: its `postmaster.pid` also names the shared memory
/// that tells it of children still at work. What it can't tell is a stranger who has the dead one's process number by
/// now; only then, and only when no process works on the files any more, the lock files are removed.
fn stop_orphan(cluster: &Cluster) -> anyhow::Result<()> {
    let files = cluster.files();
    let pid_file = files.join("postmaster.pid");
    let Some(pid) = read_pid(&pid_file) else {
        return Ok(());
    };
    if runs_on(pid, &files) {
        info!(
            pid = pid.as_raw(),
            "Stopping the Postgres of a server that was killed"
        );
        for signal in [Signal::SIGINT, Signal::SIGQUIT] {
            match kill(pid, signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    bail!("An orphaned Postgres (process {pid}) can't be stopped: {error}")
                }
            }
            if wait_until("an orphaned Postgres to stop", || !runs_on(pid, &files)) {
                break;
            }
        }
        if runs_on(pid, &files) {
            bail!(
                "An orphaned Postgres (process {pid}) does not stop; stop it by hand and start again."
            );
        }
    }
    let children = "the children of a killed Postgres to end";
    if !wait_until(children, || !any_works_on(&files, Some(true))) {
        bail!(
            "Children of a killed Postgres still work on {}; stop them and start again.",
            files.display()
        );
    }
    let is_stranger = kill(pid, None).is_ok() && works_on(pid, &files) == Some(false);
    if is_stranger && !any_works_on(&files, None) {
        remove_stale(&[&pid_file, &cluster.socket_lock()])?;
    }
    Ok(())
}

/// Waits for a condition, for as long as stopping may take; says what for, if that is long.
fn wait_until(what: &str, condition: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + STOP_PATIENCE;
    let mut tell_at = Instant::now() + TELL_AFTER;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > tell_at {
            warn!("Waiting for {what}");
            tell_at += TELL_AFTER;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// Whether there is a process of which [`works_on`] says so.
fn any_works_on(files: &Path, answer: Option<bool>) -> bool {
    let Ok(processes) = Path::new("/proc").read_dir() else {
        return answer.is_none();
    };
    processes
        .filter_map(|process| process.ok()?.file_name().to_str()?.parse().ok())
        .any(|pid| works_on(Pid::from_raw(pid), files) == answer)
}

fn read_pid(pid_file: &Path) -> Option<Pid> {
    let text = fs::read_to_string(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok().map(Pid::from_raw)
}

/// Whether this process is a living Postgres on these files, as far as can be told.
fn runs_on(pid: Pid, files: &Path) -> bool {
    kill(pid, None).is_ok() && works_on(pid, files) == Some(true)
}

/// Whether a process is a Postgres that works on these files; nothing where the system does not tell.
///
/// A Postgres and its children work in their folder. Root without `CAP_SYS_PTRACE`, as in a container, may not look where
/// another user's process works; then the command line tells of the first one, which names the folder, and of what is no
/// Postgres at all.
fn works_on(pid: Pid, files: &Path) -> Option<bool> {
    let process = Path::new("/proc").join(pid.to_string());
    let command = match fs::read_link(process.join("cwd")) {
        Ok(folder) => return Some(folder == files),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::read(process.join("cmdline")).ok()?
        }
        // Gone in between; where there is no /proc at all, `ps` tells the same.
        Err(_) if Path::new("/proc/self").exists() => return Some(false),
        Err(_) => {
            let pid = pid.to_string();
            Command::new("ps")
                .args(["-o", "command=", "-p", &pid])
                .output()
                .ok()?
                .stdout
        }
    };
    let command = String::from_utf8_lossy(&command);
    if command.contains(&*files.to_string_lossy()) {
        Some(true)
    } else if command.contains("postgres") {
        None
    } else {
        Some(false)
    }
}

fn remove_stale(paths: &[&Path]) -> anyhow::Result<()> {
    for path in paths {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} can't be removed", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
