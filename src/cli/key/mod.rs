//! `sigpersist key`.

mod add;
mod show;

use clap::Subcommand;

use super::door::Door;
use super::output::Output;

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
    /// Whether it makes the embedded database if there is none: with a key of the platform, all else can be done on a
    /// server.
    pub(super) fn begins(&self) -> bool {
        matches!(self, Self::Add(command) if command.is_of_platform())
    }

    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run(door, output),
            Self::List(command) => command.run(door, output),
            Self::Show(command) => command.run(door, output),
            Self::Revoke(command) => command.run(door, output),
        }
    }
}
