//! `sigpersist plugin`: commands on a component file, and commands on uploaded plugins.

mod author_log;
mod bench;
mod delete;
mod download;
mod inspect;
mod new;
mod pack;
mod pull;
mod push;
mod show;
mod signing;
mod test;
mod upload;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;

pub(super) use show::short;

use author_log::AuthorLog;

use super::door::Door;
use super::output::Output;
use crate::config::Config;
use sigpersist_hooks as hooks;
use sigpersist_hooks::{Engine, HooksConfig};

/// Least time limit for compiling a component that its author tries: ten minutes.
const AUTHORS_COMPILE_TIMEOUT_MS: u64 = 600_000;

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    #[command(flatten)]
    Stored(Stored),
    #[command(flatten)]
    Offline(Offline),
}

/// Subcommands that need a server or the database.
#[derive(Debug, Subcommand)]
pub(super) enum Stored {
    /// Upload a WebAssembly component, from a file or a registry, as the newest revision of a plugin.
    Upload(upload::Upload),
    /// List plugins.
    List(show::List),
    /// Show a plugin with all its revisions.
    Show(show::Show),
    /// Write a revision's component to a file.
    Download(download::Download),
    /// Delete a plugin with all its revisions. Refused while a hook is bound to it.
    Delete(delete::Delete),
}

impl Stored {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Upload(command) => command.run(door, output),
            Self::List(command) => command.run(door, output),
            Self::Show(command) => command.run(door, output),
            Self::Download(command) => command.run(door, output),
            Self::Delete(command) => command.run(door, output),
        }
    }
}

/// Subcommands that need neither a server nor a database.
#[derive(Debug, Subcommand)]
pub(super) enum Offline {
    /// Make a folder for a new plugin, which builds, tests and runs its cases with one command each.
    New(new::New),
    /// Inspect a component: its exports and imports, and whether a server would admit it.
    Inspect(inspect::Inspect),
    /// Run a plugin's test cases, and show where results differ from the expected ones.
    Test(test::Test),
    /// Measure the time, fuel and memory that a plugin takes for its test cases.
    Bench(bench::Bench),
    /// Make a component from a core WebAssembly module that was built for the contract.
    Pack(pack::Pack),
    /// Make a key with which a publisher signs plugins, in the files of minisign.
    Keygen(signing::Keygen),
    /// Sign a component as a version of a plugin.
    Sign(signing::Sign),
    /// Push a component to a registry of containers, as an artefact that `wkg` and others can pull.
    Push(push::Push),
    /// Pull a component from a registry of containers to a file.
    Pull(pull::Pull),
}

impl Offline {
    pub(super) fn run(self, config: &Config, output: &Output) -> anyhow::Result<()> {
        // These need no engine.
        match self {
            Self::New(command) => return command.run(output),
            Self::Keygen(command) => return command.run(output),
            Self::Sign(command) => return command.run(output),
            Self::Pull(command) => return command.run(&config.hooks, output),
            _ => {}
        }
        let log = AuthorLog::new();
        let hooks = HooksConfig {
            // Only the author waits. On a busy machine, that may take long.
            compile_timeout_ms: config
                .hooks
                .compile_timeout_ms
                .max(AUTHORS_COMPILE_TIMEOUT_MS),
            ..config.hooks.clone()
        };
        let engine = Arc::new(Engine::new(&hooks)?.telling(log.listener()));
        match self {
            Self::New(_) | Self::Keygen(_) | Self::Sign(_) | Self::Pull(_) => Ok(()),
            Self::Push(command) => command.run(&engine, output),
            Self::Inspect(command) => command.run(&config.hooks, &engine, output),
            Self::Test(command) => command.run(&engine, &log, output),
            Self::Bench(command) => command.run(&engine, &log, output),
            Self::Pack(command) => command.run(&engine, output),
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("The component {} can't be read", file.display()))
}

/// Reads and compiles a component; says what to do where it is refused.
fn load(engine: &Engine, file: &Path) -> anyhow::Result<Arc<hooks::Plugin>> {
    admit(engine, &read(file)?, file)
}

/// Compiles the component of a file; says what to do where it is refused.
fn admit(engine: &Engine, component: &[u8], file: &Path) -> anyhow::Result<Arc<hooks::Plugin>> {
    engine.admit(component).with_context(|| {
        format!(
            "A server would not admit {}; `sigpersist plugin inspect` says more",
            file.display()
        )
    })
}
