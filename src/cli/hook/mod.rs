//! `sigpersist hook`.

mod backtest;
mod change;
mod evaluate;
mod history;
mod logs;
mod set;
mod shadow;
mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::Value;
use sigpersist_model::plugin::Mode;
use sigpersist_model::view::HookView;

use super::door::Door;
use super::output::Output;
use crate::plugins::Which;
use crate::trials::CandidateRequest;

#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// Bind a revision of a plugin to a tenant: as a new hook, or in place of the existing hook with this name. Servers
    /// use it within a second.
    Set(Box<set::Set>),
    /// List a tenant's hooks in the order in which they run.
    List(show::List),
    /// Show a hook.
    Show(show::Show),
    /// Show what a hook said: the lines that it logged, why it rejected, and why it failed.
    Logs(logs::Logs),
    /// List all bindings that a hook had, newest first: who set them, when, and to what.
    History(history::History),
    /// Show what differs between two bindings of a hook.
    Diff(history::Diff),
    /// Sum up what the shadow of a hook would have rejected or changed.
    Shadow(shadow::Shadow),
    /// Remove a hook; its past decisions stay on record.
    Delete(change::Delete),
    /// Roll a hook back to an earlier binding, or restore a removed hook with --to.
    Rollback(change::Rollback),
    /// End the quarantine of a hook that kept failing.
    Release(change::Release),
    /// Change the order of a tenant's hooks.
    Order(change::Order),
    /// Run a tenant's hooks on a save or delete, without storing anything.
    Evaluate(evaluate::Evaluate),
    /// Run a revision or settings on a tenant's stored signatures, to see which decisions would differ. Nothing is
    /// stored.
    Backtest(backtest::Backtest),
}

impl Hook {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Set(command) => command.run(door, output),
            Self::List(command) => command.run(door, output),
            Self::Show(command) => command.run(door, output),
            Self::Logs(command) => command.run(door, output),
            Self::History(command) => command.run(door, output),
            Self::Diff(command) => command.run(door, output),
            Self::Shadow(command) => command.run(door, output),
            Self::Delete(command) => command.run(door, output),
            Self::Rollback(command) => command.run(door, output),
            Self::Release(command) => command.run(door, output),
            Self::Order(command) => command.run(door, output),
            Self::Evaluate(command) => command.run(door, output),
            Self::Backtest(command) => command.run(door, output),
        }
    }
}

/// A candidate to try in place of a hook's revision or settings.
#[derive(Debug, Args)]
struct Candidate {
    /// The hook that the candidate replaces; its plugin and settings are the defaults.
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// The candidate's plugin; without --hook, the candidate runs after all hooks.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// The candidate's revision: latest, or a SHA-256 [default: latest].
    #[arg(long, value_name = "REVISION")]
    revision: Option<Which>,
    /// The candidate's settings [default: those of the hook, or {}].
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    settings: Option<Value>,
}

impl Candidate {
    /// None where nothing is said about it.
    fn into_request(self) -> anyhow::Result<Option<CandidateRequest>> {
        let Self {
            hook,
            plugin,
            revision,
            settings,
        } = self;
        if hook.is_none() && plugin.is_none() {
            ensure!(
                revision.is_none() && settings.is_none(),
                "The revision or settings need a hook or a plugin: name a hook with --hook, or a plugin with --plugin."
            );
            return Ok(None);
        }
        Ok(Some(CandidateRequest {
            hook,
            plugin,
            revision: revision.unwrap_or_default(),
            settings,
        }))
    }
}

fn parse_json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// Settings from the command itself or from a file.
fn settings(given: Option<Value>, file: Option<&Path>) -> anyhow::Result<Option<Value>> {
    let Some(file) = file else {
        return Ok(given);
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("The settings {} can't be read", file.display()))?;
    let value = parse_json(&text)
        .with_context(|| format!("The settings {} are not JSON", file.display()))?;
    Ok(Some(value))
}

/// The settings of a hook.
#[derive(Debug, Args)]
struct Settings {
    /// The settings that the plugin reads [default: {}].
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    settings: Option<Value>,
    /// The settings, from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "settings")]
    settings_file: Option<PathBuf>,
}

impl Settings {
    fn read(self) -> anyhow::Result<Option<Value>> {
        settings(self.settings, self.settings_file.as_deref())
    }
}

/// What its mode says about a hook that was set, as a further sentence.
fn of_mode(hook: &HookView) -> &'static str {
    match hook.mode {
        Mode::Enforce => "",
        Mode::Monitor => " It only watches: to let it decide, set it with --mode enforce.",
    }
}
