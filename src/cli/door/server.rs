//! The options that name a server and the token for it.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::Uri;
use http::uri::Scheme;
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
    server: Option<Address>,
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
    pub(super) fn address(&self, has_data_dir: bool) -> anyhow::Result<Option<Address>> {
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
    pub(super) fn token(&self, address: &Address) -> anyhow::Result<Zeroizing<String>> {
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

/// The URL of a server, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Address(String);

impl Address {
    /// Whether what is sent to it can be read on the way.
    pub(super) fn is_readable_on_the_way(&self) -> bool {
        let uri: Option<Uri> = self.0.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let is_plain = uri.as_ref().and_then(Uri::scheme) == Some(&Scheme::HTTP);
        is_plain && !is_loopback && host != "localhost"
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Option<Uri> = text.parse().ok();
        let is_good = uri.is_some_and(|uri| {
            let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
            let names_host = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
            is_http && names_host && uri.query().is_none() && !text.contains('#')
        });
        if is_good {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err("a server is a URL such as https://signatures.example.org".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_urls_and_say_whether_others_can_read_along() {
        let address = |text: &str| text.parse::<Address>();
        for (text, is_readable) in [
            ("https://example.org/", false),
            ("http://127.0.0.1:8080", false),
            ("http://localhost:8080", false),
            ("http://[::1]:8080", false),
            ("http://example.org/behind/", true),
            ("HTTP://example.org", true),
            ("http://127.0.0.1.example.org", true),
        ] {
            let address = address(text).unwrap();
            assert_eq!(address.is_readable_on_the_way(), is_readable, "{text}");
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for bad in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://olga:secret@example.org",
            "https://example.org?tenant=acme",
            "https://example.org/#x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
