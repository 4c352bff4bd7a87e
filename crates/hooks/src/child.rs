//! Code that runs inside the process that compiles one component. It reads its limits from the arguments and the
//! component from standard input, and writes the result to standard output. `compiler` starts the process.
//!
//! The environment is empty, so the process knows neither the database nor keys. A hostile component can at worst crash
//! this process.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, setrlimit};
use wasmtime::OutOfMemory;

use super::engine::settings;
use super::proportion;

/// First argument of the command line of a compiling process.
const ARGUMENT: &str = "compile-plugin";
/// Maximum number of open files: the three standard streams, and files of the operating system that describe the
/// processor.
const MAX_FILES: u64 = 32;
/// Nice value of the process, from 0 to 19, so that threads that serve requests go first.
const NICENESS: i32 = 10;

/// Kind of an answer: its first byte, followed by its length.
pub(super) const CODE: u8 = b'c';
pub(super) const REFUSAL: u8 = b'r';
pub(super) const NO_MEMORY: u8 = b'm';

/// Resource limits of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: u64,
    pub(super) component_bytes: u64,
}

impl Bounds {
    /// The limits as command-line arguments.
    pub(super) fn arguments(self) -> [String; 4] {
        let Self {
            memory_bytes,
            cpu_seconds,
            component_bytes,
        } = self;
        [
            ARGUMENT.to_owned(),
            memory_bytes.to_string(),
            cpu_seconds.to_string(),
            component_bytes.to_string(),
        ]
    }

    fn read(arguments: &[OsString]) -> Option<Self> {
        let number = |argument: &OsString| argument.to_str()?.parse().ok();
        match arguments {
            [argument, memory, cpu, component] if argument == ARGUMENT => Some(Self {
                memory_bytes: number(memory)?,
                cpu_seconds: number(cpu)?,
                component_bytes: number(component)?,
            }),
            _ => None,
        }
    }
}

/// Compiles a component if this process was started for that, and returns its exit code. Every program that runs
/// plugins calls this first.
pub fn compile_if_asked() -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let bounds = Bounds::read(&arguments)?;
    Some(match compile(bounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The parent logs this text. There is nobody else to tell.
            drop(writeln!(io::stderr(), "{error:#}"));
            ExitCode::FAILURE
        }
    })
}

fn compile(bounds: Bounds) -> anyhow::Result<()> {
    restrict(bounds).context("the limits of the process can't be set")?;
    let mut component = Vec::new();
    io::stdin()
        .take(bounds.component_bytes + 1)
        .read_to_end(&mut component)?;
    ensure!(
        component.len() as u64 <= bounds.component_bytes,
        "the component is too long"
    );
    if let Err(unfit) = proportion::check(&component) {
        return answer(REFUSAL, unfit.to_string().as_bytes());
    }
    let engine =
        wasmtime::Engine::new(&settings()).map_err(|error| anyhow::anyhow!("{error:#}"))?;
    match engine.precompile_component(&component) {
        Ok(code) => answer(CODE, &code),
        Err(error) if error.is::<OutOfMemory>() => answer(NO_MEMORY, &[]),
        Err(error) => answer(REFUSAL, invalid(&format!("{error:#}")).as_bytes()),
    }
}

/// The refusal of a component that wasmtime does not compile.
fn invalid(error: &str) -> String {
    if error.contains("component model async") {
        return format!(
            "The component has asynchronous functions, which hooks can't have ({error}). Build it with `--sync` of componentize-qjs, or `--backend-qjs-disable-async` of jco."
        );
    }
    format!("The file is not valid WebAssembly: {error}.")
}

fn answer(kind: u8, content: &[u8]) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(&[kind])?;
    output.write_all(&(content.len() as u64).to_le_bytes())?;
    output.write_all(content)?;
    output.flush()?;
    Ok(())
}

/// Drops resources and rights that compiling does not need, before any byte of the component is read.
fn restrict(bounds: Bounds) -> rustix::io::Result<()> {
    let limit = |resource, current, maximum| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(current),
                maximum: Some(maximum),
            },
        )
    };
    // If memory runs out, the kernel kills this process and not the server.
    #[cfg(target_os = "linux")]
    drop(std::fs::write("/proc/self/oom_score_adj", "1000"));
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, MAX_FILES, MAX_FILES)?;
    // The soft limit's signal kills the process. If that signal is blocked, the hard limit kills it.
    limit(Resource::Cpu, bounds.cpu_seconds, bounds.cpu_seconds + 1)?;
    // Bounds memory that the process writes to; the program's own code does not count.
    limit(Resource::Data, bounds.memory_bytes, bounds.memory_bytes)?;
    // If the nice value can't be changed, the process competes for the processor like others. No limit depends on it.
    rustix::process::nice(NICENESS).ok();
    #[cfg(target_os = "linux")]
    {
        rustix::thread::set_no_new_privs(true)?;
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    }
    Ok(())
}
