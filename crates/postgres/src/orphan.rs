//! Stops a Postgres whose owner was killed, and distinguishes its processes from others.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::{info, warn};

use super::cluster::Cluster;
use super::supervisor::{POLL, STOP_PATIENCE, TELL_AFTER};

/// Stops a Postgres whose owner was killed, and removes stale files of a dead one.
///
/// The caller holds the directory's lock, so nobody else starts one. Postgres handles its own stale lock files, and
/// must be left to do so: its `postmaster.pid` also names the shared memory that shows whether children are still at
/// work. But Postgres can't recognise another process that has the id of the dead one by now. Only in this case, and
/// only if no process works on the files any more, the lock files are removed.
pub(super) fn stop_orphan(cluster: &Cluster) -> anyhow::Result<()> {
    let files = cluster.files();
    let pid_file = files.join("postmaster.pid");
    let Some(pid) = read_pid(&pid_file) else {
        return Ok(());
    };
    if runs_on(pid, files) {
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
            if wait_until("an orphaned Postgres to stop", || !runs_on(pid, files)) {
                break;
            }
        }
        if runs_on(pid, files) {
            bail!(
                "An orphaned Postgres (process {pid}) does not stop; stop it yourself and start again."
            );
        }
    }
    let children = "the children of a killed Postgres to end";
    if !wait_until(children, || !any_works_on(files, Some(true))) {
        bail!(
            "Children of a killed Postgres still work on {}; stop them and start again.",
            files.display()
        );
    }
    let is_stranger = kill(pid, None).is_ok() && works_on(pid, files) == Some(false);
    if is_stranger && !any_works_on(files, None) {
        remove_stale(&[&pid_file, &cluster.socket_lock()])?;
    }
    Ok(())
}

/// Waits until no process works in a folder any more, such as programs that an interrupted command started.
pub(super) fn wait_for_others_in(folder: &Path) -> anyhow::Result<()> {
    let others = "the programs of an interrupted upgrade to end";
    if !wait_until(others, || !any_works_on(folder, Some(true))) {
        bail!(
            "Programs of an interrupted upgrade still work in {}; stop them and start again.",
            folder.display()
        );
    }
    Ok(())
}

/// Waits for a condition, at most as long as stopping may take. If that is long, logs `what` it waits for.
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

/// Whether [`works_on`] returns this answer for any process.
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

/// Whether a process is a Postgres that works on these files; none if the system does not tell.
///
/// A Postgres and its children work in their folder. Root without `CAP_SYS_PTRACE`, as in a container, may not see
/// the folder in which another user's process works. Then the command line identifies the first process, which names
/// the folder, and processes that are no Postgres at all.
fn works_on(pid: Pid, files: &Path) -> Option<bool> {
    let process = Path::new("/proc").join(pid.to_string());
    let command = match fs::read_link(process.join("cwd")) {
        Ok(folder) => return Some(folder == files),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs::read(process.join("cmdline")).ok()?
        }
        // The process has ended meanwhile. If there is no /proc at all, `ps` tells the same.
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
