//! The options that name a server and the token for it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use sigpersist_client::ServerUrl;
use zeroize::Zeroizing;

use super::tokens::Tokens;

/// The variables that stand for `--server` and for the token.
const SERVER: &str = "SIGPERSIST_SERVER";
const TOKEN: &str = "SIGPERSIST_TOKEN";

#[derive(Debug, Args)]
#[command(next_help_heading = "Options for a server elsewhere")]
pub(in crate::cli) struct ServerOptions {
    /// Ask this server, instead of using the database directly. The token comes from --token-file, `SIGPERSIST_TOKEN`,
    /// or `sigpersist login` [env: `SIGPERSIST_SERVER`].
    #[arg(long, global = true, value_name = "URL")]
    server: Option<ServerUrl>,
    /// A file that contains only the token for the server.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Certificates in PEM that the server's certificate must come from, instead of those that this machine trusts.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The longest time in which the server sends or takes nothing, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl ServerOptions {
    /// Whether the command line itself names a server.
    pub(in crate::cli) fn is_given(&self) -> bool {
        self.server.is_some()
    }

    /// The server to ask, if one is named. A data directory on the command line has precedence over the variable.
    pub(super) fn address(&self, has_data_dir: bool) -> anyhow::Result<Option<ServerUrl>> {
        if let Some(address) = &self.server {
            ensure!(
                !has_data_dir,
                "Give --server or --data-dir: a command uses either a server or the database itself."
            );
            return Ok(Some(address.clone()));
        }
        if has_data_dir {
            return Ok(None);
        }
        match std::env::var(SERVER) {
            Ok(url) if !url.is_empty() => {
                let address = url.parse().map_err(anyhow::Error::msg);
                address
                    .with_context(|| format!("{SERVER} is not valid"))
                    .map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The token that is given for a login; none if it must be asked for.
    pub(in crate::cli) fn given_token(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let text = match &self.token_file {
            Some(path) => {
                let text = fs::read_to_string(path);
                text.with_context(|| format!("The token file {} can't be read", path.display()))?
            }
            None => match std::env::var(TOKEN) {
                Ok(token) if !token.is_empty() => token,
                _ => return Ok(None),
            },
        };
        Ok(Some(Zeroizing::new(text.trim().to_owned())))
    }

    /// The token for a server.
    pub(super) fn token(&self, address: &ServerUrl) -> anyhow::Result<Zeroizing<String>> {
        if let Some(token) = self.given_token()? {
            return Ok(token);
        }
        match Tokens::read()?.get(address) {
            Some(token) => Ok(token.into()),
            None => bail!(
                "There is no token for {address}: run `sigpersist login {address}` once, or give one with --token-file or {TOKEN}."
            ),
        }
    }

    /// The longest time to wait for an answer.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}
