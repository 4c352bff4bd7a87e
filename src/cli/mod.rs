//! The command line: one file for each command.
//!
//! A command is a request of the API, which `door` answers in this process or asks of a server. Only what works on the
//! machine itself uses the use-cases directly. Results go to standard output, as sentences or with `--json` as one JSON
//! object; everything else goes to standard error.

mod audit;
mod decision;
mod demo;
mod door;
mod events;
mod exit;
mod failure;
mod holder;
mod hook;
mod issuer;
mod key;
mod listener;
mod log;
mod login;
mod master_key;
mod memory;
mod migrate;
mod open_files;
mod output;
mod pages;
mod plugin;
mod policy;
mod progress;
mod proof;
mod registry;
mod rules;
mod serve;
mod signature;
mod table;
mod tenant;
mod token;
mod transfer;
mod upgrade_data;
mod verdicts;
mod webhook;
mod witness;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use sigpersist_postgres::embedded::Purpose;
use sigpersist_postgres::forget_libpq_environment;

use crate::app::{App, Database};
use crate::config::{Config, TracesConfig};
use crate::telemetry;
use door::{Door, ServerOptions};
use output::Output;

/// Stores the electronic signatures of documents: every version, for many tenants, checked by WebAssembly hooks.
#[derive(Debug, Parser)]
#[command(
    name = "sigpersist",
    version,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// Directory of the embedded database [default: ./sigpersist-data]. Not used with a database URL.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file; `sigpersist.toml` in the repository explains every setting.
    #[arg(long, global = true, value_name = "FILE", env = "SIGPERSIST_CONFIG")]
    config: Option<PathBuf>,
    /// Print the result as one JSON object, for scripts.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM or Ctrl-C).
    Serve(serve::Serve),
    /// Bring the database's schema up to date.
    Migrate,
    /// Upgrade the embedded database to a newer Postgres, with the server stopped. The old database is kept.
    UpgradeData(upgrade_data::UpgradeData),
    /// Manage tenants.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// Manage the keys that verify tokens.
    #[command(subcommand)]
    Key(key::Key),
    /// Manage the identity providers whose tokens a tenant trusts.
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Manage the master key, which encrypts secrets at rest.
    #[command(subcommand)]
    MasterKey(master_key::MasterKey),
    /// Issue tokens.
    #[command(subcommand)]
    Token(token::Token),
    /// Build, test, upload and inspect plugins.
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Bind plugins to tenants; change and try hooks.
    #[command(subcommand)]
    Hook(hook::Hook),
    /// Set which signatures tenants accept, and which certificates they trust.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Show decisions of hooks, and replay them.
    #[command(subcommand)]
    Decision(decision::Decision),
    /// Save, get, list, delete and verify the signatures of a tenant.
    #[command(subcommand)]
    Signature(signature::Signature),
    /// Read a signature from a file: who signed it, with what, and when.
    Inspect(signature::Inspect),
    /// Verify a signature in a file. Exits with 0 only if every signer and countersigner passes.
    Verify(signature::Verify),
    /// Show who changed what, and check that the audit trail is intact.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show and check the logs that prove what was stored.
    #[command(subcommand)]
    Log(log::Log),
    /// Get and verify proofs of what was stored.
    #[command(subcommand)]
    Proof(proof::Proof),
    /// Follow what happens to a tenant.
    #[command(subcommand)]
    Events(events::Events),
    /// Set up URLs that are called with what happens.
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// Set up witnesses, which sign the logs, too.
    #[command(subcommand)]
    Witness(witness::Witness),
    /// Keep the token for a server, in a file that only you can read.
    Login(login::Login),
    /// Forget the token for a server.
    Logout(login::Logout),
    /// Show who you are to the server, and what your token allows.
    Whoami,
    /// Show all of Sigpersist at work on an embedded database, then keep running so that you can try it.
    Demo(demo::Demo),
    /// Print the completions of commands and options for a shell.
    Completions(pages::Completions),
    /// Write the manual pages of all commands, for packages.
    #[command(hide = true)]
    ManPages(pages::ManPages),
}

impl Command {
    /// Whether it works on this machine only, and not by asking a server.
    fn is_of_machine(&self) -> bool {
        match self {
            Self::Serve(_)
            | Self::Migrate
            | Self::UpgradeData(_)
            | Self::MasterKey(_)
            | Self::Plugin(plugin::Plugin::Offline(_))
            | Self::Inspect(_)
            | Self::Verify(_)
            | Self::Audit(audit::Audit::Seal(_))
            | Self::Proof(proof::Proof::Verify(_))
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Demo(_)
            | Self::Completions(_)
            | Self::ManPages(_) => true,
            Self::Tenant(_)
            | Self::Key(_)
            | Self::Issuer(_)
            | Self::Token(_)
            | Self::Plugin(plugin::Plugin::Stored(_))
            | Self::Hook(_)
            | Self::Policy(_)
            | Self::Decision(_)
            | Self::Signature(_)
            | Self::Audit(audit::Audit::List(_) | audit::Audit::Verify(_))
            | Self::Log(_)
            | Self::Proof(proof::Proof::Get(_))
            | Self::Events(_)
            | Self::Webhook(_)
            | Self::Witness(_)
            | Self::Whoami => false,
        }
    }

    /// Whether it may begin a life: make the embedded database if there is none. All others need one that exists, so that
    /// a command in the wrong folder says so instead of working on an empty database.
    fn begins(&self) -> bool {
        match self {
            Self::Migrate => true,
            Self::Tenant(command) => command.begins(),
            Self::Key(command) => command.begins(),
            _ => false,
        }
    }

    /// Runs a command that is a request of the API.
    fn through(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Tenant(command) => command.run(door, output),
            Self::Key(command) => command.run(door, output),
            Self::Issuer(command) => command.run(door, output),
            Self::Token(command) => command.run(door, output),
            Self::Plugin(plugin::Plugin::Stored(command)) => command.run(door, output),
            Self::Hook(command) => command.run(door, output),
            Self::Policy(command) => command.run(door, output),
            Self::Decision(command) => command.run(door, output),
            Self::Signature(command) => command.run(door, output),
            Self::Audit(audit::Audit::List(command)) => command.run(door, output),
            Self::Audit(audit::Audit::Verify(command)) => command.run(door, output),
            Self::Log(command) => command.run(door, output),
            Self::Proof(proof::Proof::Get(command)) => command.run(door, output),
            Self::Events(command) => command.run(door, output),
            Self::Webhook(command) => command.run(door, output),
            Self::Witness(command) => command.run(door, output),
            Self::Whoami => login::whoami(door, output),
            _ => bail!("This command works on this machine only."),
        }
    }
}

/// Parses the arguments and runs the command; errors are printed for people.
pub fn run() -> ExitCode {
    if let Some(ended) = sigpersist_hooks::compile_if_asked() {
        return ended;
    }
    memory::give_back_what_is_large();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = Output::new(cli.common.json);
    let failure = match cli.command {
        Command::Audit(audit::Audit::Verify(_)) => audit::failure,
        _ => failure::exit_code,
    };
    match execute(cli, &output) {
        Ok(()) => exit::at_once(0),
        Err(error) => {
            output.error(&error);
            exit::at_once(failure(&error))
        }
    }
}

/// The sentence that an embedded database was made.
fn made_in(data_dir: &Path) -> String {
    let path = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    format!("Made a new database in {}.", path.display())
}

/// Says what is wrong with the command line; for scripts as JSON, like any other error. Help goes to standard output.
fn usage(error: &clap::Error) -> ExitCode {
    // The arguments could not be read, so they are only looked at.
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !json || !error.use_stderr() {
        error.exit();
    }
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "Give a command: `sigpersist --help` lists them.".to_owned()
        }
        _ => error.render().to_string(),
    };
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let sentence = sentence.strip_prefix("error: ").unwrap_or(sentence);
    let sentence = sentence.split_whitespace().collect::<Vec<_>>().join(" ");
    Output::new(true).error(&anyhow::Error::msg(sentence));
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn execute(cli: Cli, output: &Output) -> anyhow::Result<()> {
    let server = &cli.common.server;
    if cli.command.is_of_machine() {
        ensure!(
            !server.is_given(),
            match cli.command {
                Command::Login(_) | Command::Logout(_) =>
                    "Give the server's URL as the argument alone, without --server.",
                Command::Proof(_) => "`proof verify` asks no server: leave out --server.",
                _ =>
                    "This command works on this machine only: leave out --server, and run it where the server is.",
            }
        );
    } else if let Some(door) = Door::remote(server, cli.common.data_dir.is_some())? {
        return cli.command.through(&door, output);
    }
    match cli.command {
        Command::Login(command) => return command.run(server, output),
        Command::Logout(command) => return command.run(output),
        Command::Completions(command) => return command.run(Cli::command(), output),
        Command::ManPages(command) => return command.run(Cli::command()),
        _ => {}
    }
    // What is not UTF-8 is no setting of ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut config = Config::load(cli.common.config.as_deref(), environment)?;
    if cli.common.data_dir.is_some() {
        config.data_dir = cli.common.data_dir;
    }
    let is_embedded = config.database_url.is_none() || matches!(cli.command, Command::Demo(_));
    if is_embedded {
        #[expect(
            unsafe_code,
            reason = "libpq reads the environment by itself, also what is about other databases"
        )]
        // SAFETY: this is still the only thread: `main` begins with this, and nothing before it starts one.
        unsafe {
            forget_libpq_environment();
        }
    }
    match cli.command {
        Command::Serve(command) => return command.run(config, output),
        Command::Demo(command) => return command.run(config, output),
        _ => {}
    }
    // A command talks through its result; the log is for what goes wrong on the way.
    config.log.filter = "warn".to_owned();
    // Commands are not traced.
    telemetry::init(&config.log, &TracesConfig::default())?;
    if let Command::Plugin(plugin::Plugin::Offline(command)) = cli.command {
        return command.run(&config, output);
    }
    match cli.command {
        Command::Inspect(command) => return command.run(output),
        Command::Verify(command) => return command.run(output),
        Command::Proof(proof::Proof::Verify(command)) => return command.run(output),
        _ => {}
    }
    // One connection does for one request; a transfer is watched with another one.
    config.database.pool_size = 2;
    if let Command::UpgradeData(command) = cli.command {
        return command.run(config, output);
    }
    let purpose = match cli.command.begins() {
        true => Purpose::FirstCommand,
        false => Purpose::Command,
    };
    let database = Database::open(&config, purpose)?;
    if let Some(data_dir) = database.made_in() {
        output.note(&made_in(data_dir));
    }
    if let Command::Migrate = cli.command {
        return migrate::run(&database, output);
    }
    // The schema of a database of one's own changes only with `migrate` and `serve`.
    database.prepare(database.embedded_dir().is_some())?;
    let app = App::new(config, &database)?;
    match cli.command {
        Command::MasterKey(command) => command.run(&app, output),
        Command::Audit(audit::Audit::Seal(command)) => command.run(&app, output),
        command => command.through(&Door::local(Arc::new(app))?, output),
    }
}
