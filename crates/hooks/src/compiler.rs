//! Compiles each component in a process of its own. A component that takes too many resources kills only that process.
//! `child` is the code inside that process.
//!
//! Uploads and requests wait for different permits, so that no save waits behind somebody's upload.

use std::io::{self, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeValLike as _;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use sigpersist_model::error::{Error, Result};
use tracing::warn;

use super::child::{self, Bounds};
use crate::HooksConfig;

/// Compiling processes at once for uploads, and again as many for requests. Together they may take twice this number
/// times the memory of one.
pub const COMPILED_AT_ONCE: usize = 2;
/// Maximum number of threads of one process.
const MAX_THREADS: usize = 4;
/// Limit on the length of compiled code: this many bytes for each byte of the component, and `MAX_MORE_CODE_BYTES` on
/// top.
///
/// Code of real components is two to five times as long as they are. The memory image of a small one may take 16 MiB.
const MAX_CODE_PER_BYTE: u64 = 8;
const MAX_MORE_CODE_BYTES: u64 = 16 * 1024 * 1024;
/// Maximum number of bytes read from the process's standard error.
const MAX_COMPLAINT_BYTES: u64 = 4096;
/// Time that a process has to exit after its answer.
const GRACE: Duration = Duration::from_secs(1);

/// Reason why a component is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Somebody uploads or tries it.
    Admission,
    /// A request needs it, and it was admitted before.
    Need,
}

/// Starts compiling processes and reads their answers.
#[derive(Debug)]
pub(super) struct Compiler {
    program: PathBuf,
    bounds: Bounds,
    timeout: Duration,
    admissions: Permits,
    needs: Permits,
}

impl Compiler {
    pub(super) fn new(config: &HooksConfig) -> anyhow::Result<Self> {
        Ok(Self {
            program: match &config.compiler {
                Some(program) => program.clone(),
                None => this_program()?,
            },
            bounds: Bounds {
                memory_bytes: config.max_compile_memory_bytes,
                cpu_seconds: config.max_compile_cpu_ms.div_ceil(1000),
                component_bytes: config.max_component_bytes as u64,
            },
            timeout: Duration::from_millis(config.compile_timeout_ms),
            admissions: Permits::new(COMPILED_AT_ONCE),
            needs: Permits::new(COMPILED_AT_ONCE),
        })
    }

    /// The compiled code of a component, in the format of `Component::serialize`. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the component is invalid or too costly, with a reason that addresses its author;
    /// [`Error::Overloaded`] if no permit is free in time, or the machine is too busy.
    pub(super) fn compile(&self, component: &[u8], purpose: Purpose) -> Result<Vec<u8>> {
        let permits = match purpose {
            Purpose::Admission => &self.admissions,
            Purpose::Need => &self.needs,
        };
        let _permit = permits.wait(self.timeout).ok_or(Error::Overloaded)?;
        self.run(component)
            .map_err(|error| Error::internal(format!("a component can't be compiled: {error}")))?
    }

    fn run(&self, component: &[u8]) -> io::Result<Result<Vec<u8>>> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let mut child = Command::new(&self.program)
            .args(self.bounds.arguments())
            // The child inherits nothing: no address of the database, no keys.
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.min(MAX_THREADS).to_string())
            .current_dir("/")
            // A Ctrl-C for the server must not reach the child.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (input, output, complaints) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let max_code_bytes = (component.len() as u64)
            .saturating_mul(MAX_CODE_PER_BYTE)
            .saturating_add(MAX_MORE_CODE_BYTES);
        let (answers, answer) = mpsc::channel();
        thread::scope(|scope| {
            // On every way out the child is killed, and then the threads that wait for it end too.
            let mut child = Killed {
                child,
                has_ended: false,
            };
            let spawn = |name: &str| thread::Builder::new().name(name.to_owned());
            spawn("compile-in").spawn_scoped(scope, move || give(input, component))?;
            spawn("compile-out").spawn_scoped(scope, move || {
                let answer = output.map(|output| read(output, max_code_bytes));
                drop(answers.send(answer));
            })?;
            let complaints = spawn("compile-err").spawn_scoped(scope, move || {
                let mut text = Vec::new();
                if let Some(complaints) = complaints {
                    drop(complaints.take(MAX_COMPLAINT_BYTES).read_to_end(&mut text));
                }
                String::from_utf8_lossy(&text).into_owned()
            })?;
            let answer = match answer.recv_timeout(self.timeout) {
                Err(RecvTimeoutError::Timeout) => return Ok(Err(self.out_of_time(&child.child))),
                Err(RecvTimeoutError::Disconnected) | Ok(None) => None,
                Ok(Some(answer)) => Some(answer),
            };
            let status = child.end()?;
            match answer {
                Some(Ok(Answer::Code(code))) => Ok(Ok(code)),
                Some(Ok(Answer::Refusal(reason))) => Ok(Err(Error::refused(reason))),
                Some(Ok(Answer::NoMemory)) => Ok(Err(self.too_large())),
                Some(Ok(Answer::TooLong(bytes))) => Ok(Err(Error::refused(format!(
                    "The component compiles to {bytes} bytes of code; the limit is {max_code_bytes}: {MAX_CODE_PER_BYTE} times its own size plus {MAX_MORE_CODE_BYTES}. Make it smaller: remove unused code."
                )))),
                Some(Err(_)) | None => {
                    let complaint = complaints.join().unwrap_or_default();
                    Ok(Err(self.died(status, &complaint)))
                }
            }
        })
    }

    /// The error for a process that ended without an answer.
    fn died(&self, status: ExitStatus, complaint: &str) -> Error {
        let signal = status
            .signal()
            .and_then(|signal| Signal::try_from(signal).ok());
        match signal {
            Some(Signal::SIGXCPU) => self.too_costly(),
            // This server did not kill it. So the kernel did, for lack of memory.
            Some(Signal::SIGKILL) => self.too_large(),
            Some(Signal::SIGABRT) if complaint.contains("memory allocation") => self.too_large(),
            _ => {
                warn!(%status, complaint, "Compiling a component failed");
                Error::refused(
                    "The component can't be compiled: the server's compiler failed on it. Simplify it, or build it with another version of your compiler.",
                )
            }
        }
    }

    fn too_large(&self) -> Error {
        Error::refused(format!(
            "The component takes more than {} bytes of memory to compile (hooks.max_compile_memory_bytes). Make it smaller, or split its largest functions.",
            self.bounds.memory_bytes
        ))
    }

    fn too_costly(&self) -> Error {
        Error::refused(format!(
            "The component takes more than {} s of processor time to compile (hooks.max_compile_cpu_ms). Make it smaller, or split its largest functions.",
            self.bounds.cpu_seconds
        ))
    }

    /// The error for a process that takes too long.
    ///
    /// The component is at fault only if the process got processor time for at least half of the timeout. Several
    /// processors may have worked for it at once.
    fn out_of_time(&self, child: &Child) -> Error {
        let pid = i32::try_from(child.id()).ok().map(Pid::from_raw);
        let clock = pid.and_then(|pid| clock_getcpuclockid(pid).ok());
        let worked = clock.and_then(|clock| clock_gettime(clock).ok());
        if worked.is_some_and(|worked| Duration::from(worked) < self.timeout / 2) {
            warn!(
                worked_ms = worked.map(|worked| worked.num_milliseconds()),
                "A component could not be compiled in time, since the machine is busy"
            );
            return Error::Overloaded;
        }
        Error::refused(format!(
            "The component takes longer than {} ms to compile (hooks.compile_timeout_ms). Make it smaller, or split its largest functions.",
            self.timeout.as_millis()
        ))
    }
}

enum Answer {
    Code(Vec<u8>),
    Refusal(String),
    NoMemory,
    TooLong(u64),
}

/// Reads the answer of the process.
fn read(mut output: impl Read, max_bytes: u64) -> io::Result<Answer> {
    let mut head = [0; 9];
    output.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    if length > max_bytes {
        return Ok(Answer::TooLong(length));
    }
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    output.read_exact(&mut content)?;
    match kind {
        child::CODE => Ok(Answer::Code(content)),
        child::REFUSAL => Ok(Answer::Refusal(
            String::from_utf8_lossy(&content).into_owned(),
        )),
        child::NO_MEMORY => Ok(Answer::NoMemory),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes the component to the process. If the process is gone, the thread that reads its answer reports that.
fn give(input: Option<ChildStdin>, component: &[u8]) {
    if let Some(mut input) = input {
        drop(input.write_all(component));
    }
}

/// A process that is killed together with its descendants when this is dropped.
struct Killed {
    child: Child,
    has_ended: bool,
}

impl Killed {
    /// Waits for the process to exit, up to [`GRACE`], then kills it. Returns its exit status.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let since = Instant::now();
        while since.elapsed() < GRACE {
            if let Some(status) = self.child.try_wait()? {
                self.has_ended = true;
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.kill();
        self.child.wait()
    }

    /// Kills the process and its descendants. Its id can't belong to another process before its exit status is read.
    fn kill(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let group = i32::try_from(self.child.id()).map(Pid::from_raw);
            // The process may have exited meanwhile.
            group.map(|group| killpg(group, Signal::SIGKILL).ok()).ok();
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
        drop(self.child.wait());
    }
}

/// Path of the running program. It works even if the file on disk was replaced.
fn this_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        Ok(running)
    } else {
        std::env::current_exe()
    }
}

/// Counts permits, for threads that may block.
#[derive(Debug)]
struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Permits {
    fn new(free: usize) -> Self {
        Self {
            free: Mutex::new(free),
            freed: Condvar::new(),
        }
    }

    /// Waits for a permit; none if that takes too long.
    fn wait(&self, patience: Duration) -> Option<Permit<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, waited) = self
            .freed
            .wait_timeout_while(free, patience, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        *free -= 1;
        Some(Permit(self))
    }
}

struct Permit<'a>(&'a Permits);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}
