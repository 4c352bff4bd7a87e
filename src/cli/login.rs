//! `sigpersist login`, `logout` and `whoami`.

use std::io::{self, BufRead as _, IsTerminal as _};

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use sigpersist_client::ServerUrl;
use sigpersist_model::view::CallerView;
use zeroize::Zeroizing;

use super::door::{Door, ServerOptions, Tokens};
use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The URL of the server.
    url: ServerUrl,
}

impl Login {
    pub(super) fn run(self, options: &ServerOptions, output: &Output) -> anyhow::Result<()> {
        let Self { url } = self;
        let token = match options.given_token()? {
            Some(token) => token,
            None => asked(&url)?,
        };
        ensure!(!token.is_empty(), "No token was given; nothing was kept.");
        let door = Door::with_token(options, url.clone(), &token)?;
        let caller: CallerView = door.get(&["whoami"]).member("caller")?;
        Tokens::read()?.keep(&url, &token)?;
        let sentence = format!(
            "Kept the token for {url}.\n{}\nNext: sigpersist whoami --server {url}",
            sheet(&caller)
        );
        output.result(
            &sentence,
            &json!({ "server": url.to_string(), "caller": caller }),
        )
    }
}

/// Asks for a token, without showing it; or reads it from standard input if that is no terminal.
fn asked(url: &ServerUrl) -> anyhow::Result<Zeroizing<String>> {
    let token = if io::stdin().is_terminal() {
        rpassword::prompt_password(format!("Token for {url}: "))
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    };
    let token = Zeroizing::new(token.context("The token can't be read")?);
    Ok(Zeroizing::new(token.trim().to_owned()))
}

#[derive(Debug, Args)]
pub(super) struct Logout {
    /// The URL of the server.
    url: ServerUrl,
}

impl Logout {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let Self { url } = self;
        let was_kept = Tokens::read()?.forget(&url)?;
        let sentence = if was_kept {
            format!(
                "Forgot the token for {url}. It is valid until it expires or its key is revoked."
            )
        } else {
            format!("No token was kept for {url}; nothing was changed.")
        };
        output.result(
            &sentence,
            &json!({ "server": url.to_string(), "was_kept": was_kept }),
        )
    }
}

/// Runs `sigpersist whoami`.
pub(super) fn whoami(door: &Door, output: &Output) -> anyhow::Result<()> {
    let caller: CallerView = door.get(&["whoami"]).member("caller")?;
    output.result(&sheet(&caller), &json!(caller))
}

/// A caller, for people.
fn sheet(caller: &CallerView) -> String {
    let scopes = caller.scopes.iter().map(|scope| scope.as_str());
    let scopes = scopes.collect::<Vec<_>>().join(", ");
    format!(
        "tenant:   {}\nsubject:  {}\nkey:      {}\nscopes:   {}",
        caller
            .tenant
            .as_deref()
            .unwrap_or("none; a caller of the platform"),
        caller.subject.as_deref().unwrap_or("none"),
        caller.key.as_deref().unwrap_or("none"),
        if scopes.is_empty() { "none" } else { &scopes },
    )
}
