//! `sigpersist key`.

mod add;
mod show;

use chrono::Utc;
use clap::Subcommand;
use serde_json::{Value, json};
use sigpersist_model::key::StoredKey;
use sigpersist_model::time;

use super::output::Output;
use crate::app::App;

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Add a key to a tenant: generate a shared secret or a key pair, or register a public key.
    Add(add::Add),
    /// List the keys of a tenant, newest first.
    List(show::List),
    /// Show a key.
    Show(show::Show),
    /// Revoke a key. Tokens that it signed are refused on all servers within a second.
    Revoke(show::Revoke),
}

impl Key {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run(app, output),
            Self::List(command) => command.run(app, output),
            Self::Show(command) => command.run(app, output),
            Self::Revoke(command) => command.run(app, output),
        }
    }
}

/// A key for programs, with the names of the API.
fn facts(key: &StoredKey) -> Value {
    json!({
        "kid": key.kid,
        "algorithm": key.algorithm.as_str(),
        "kind": key.kind(),
        "state": key.state(Utc::now()),
        "public_key": key.public_key(),
        "created_at": time::to_text(key.created_at),
        "not_before": key.not_before.map(time::to_text),
        "expires_at": key.expires_at.map(time::to_text),
        "revoked_at": key.revoked_at.map(time::to_text),
    })
}
