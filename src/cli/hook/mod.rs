//! `sigpersist hook`.

mod backtest;
mod change;
mod evaluate;
mod set;
mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::output::Output;
use crate::app::App;
use crate::plugins::Which;
use crate::trials::CandidateRequest;

#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// Bind a revision of a plugin to a tenant, as a new hook or in place of the one of this name. Servers use it within
    /// a second.
    Set(Box<set::Set>),
    /// List a tenant's hooks in the order in which they run.
    List(show::List),
    /// Show a hook.
    Show(show::Show),
    /// Remove a hook; what it decided stays on record.
    Delete(change::Delete),
    /// Return a hook to an earlier binding.
    Rollback(change::Rollback),
    /// Take a hook back that was set aside because it kept failing.
    Release(change::Release),
    /// Put a tenant's hooks in this order.
    Order(change::Order),
    /// Run a save or delete through a tenant's hooks without storing anything.
    Evaluate(evaluate::Evaluate),
    /// Run a revision or settings over what a tenant has stored, to see what they would have decided otherwise. Nothing
    /// is stored.
    Backtest(backtest::Backtest),
}

impl Hook {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Set(command) => command.run(app, output),
            Self::List(command) => command.run(app, output),
            Self::Show(command) => command.run(app, output),
            Self::Delete(command) => command.run(app, output),
            Self::Rollback(command) => command.run(app, output),
            Self::Release(command) => command.run(app, output),
            Self::Order(command) => command.run(app, output),
            Self::Evaluate(command) => command.run(app, output),
            Self::Backtest(command) => command.run(app, output),
        }
    }
}

/// What is to be tried in place of what is bound.
#[derive(Debug, Args)]
struct Candidate {
    /// The hook whose place the candidate takes; its plugin and settings are the defaults.
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// The candidate's plugin; without --hook it comes after all hooks.
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
                "Say whose revision or settings these are: name a hook with --hook, or a plugin with --plugin."
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
    /// What the plugin reads as its configuration [default: {}].
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    settings: Option<Value>,
    /// The same from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "settings")]
    settings_file: Option<PathBuf>,
}

impl Settings {
    fn read(self) -> anyhow::Result<Option<Value>> {
        settings(self.settings, self.settings_file.as_deref())
    }
}
