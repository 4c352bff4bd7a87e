//! `sigpersist log`.

use anyhow::{bail, ensure};
use clap::{ArgAction, Args, Subcommand};
use serde_json::json;
use sigpersist_model::view::{EpochView, LogCheckView, LogHead, LogKeyView, LogView};

use super::door::Door;
use super::holder::{of_owner, owner_in_words};
use super::output::Output;
use super::progress::spinner;
use super::table::Table;
use super::witness;

#[derive(Debug, Subcommand)]
pub(super) enum Log {
    /// Show the trees of a tenant's log.
    Show(One),
    /// Compare a tenant's log with everything that is stored. Exits with 0 if they agree, 1 if they don't.
    Verify(Verify),
    /// Show the public keys that verify a tenant's log.
    Keys(One),
    /// Make a new key for all logs. The key before it signs beside it for a while.
    RotateKey,
    /// Let anybody read a log's checkpoints and tiles without a token.
    Publish(One),
    /// Let nobody read a log without a token any more.
    Unpublish(One),
    /// Set what is added to a tenant's log.
    Set(Set),
    /// Let a log go on that is frozen, or that a witness refuses, because the database went back in time.
    Reopen(Reopen),
}

/// The owner of the log that a command is about.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct One {
    /// The tenant's slug.
    tenant: Option<String>,
    /// The platform's own log, which has the heads of the tenants' logs.
    #[arg(long)]
    platform: bool,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    of: One,
    /// A state that the log must have had, as an earlier check printed it.
    #[arg(long, value_name = "SIZE:ROOT")]
    expect: Option<LogHead>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The tenant's slug.
    tenant: String,
    /// Whether saves and deletes that a hook or the policy refused are added to it.
    #[arg(long, value_name = "true|false", action = ArgAction::Set)]
    refusals: bool,
}

#[derive(Debug, Args)]
pub(super) struct Reopen {
    #[command(flatten)]
    of: One,
    /// Why the log may go on. It is recorded in the audit trail and in the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Log {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Show(command) => command.show(door, output),
            Self::Verify(command) => command.run(door, output),
            Self::Keys(command) => command.keys(door, output),
            Self::RotateKey => rotate(door, output),
            Self::Publish(command) => command.publish(true, door, output),
            Self::Unpublish(command) => command.publish(false, door, output),
            Self::Set(command) => command.run(door, output),
            Self::Reopen(command) => command.run(door, output),
        }
    }
}

impl One {
    /// The path of the log, or of something in it.
    fn path<'a>(&'a self, of: &[&'a str]) -> Vec<&'a str> {
        of_owner(self.tenant.as_deref(), &[&["log"], of].concat())
    }

    /// The owner of the log, for people.
    fn name(&self) -> String {
        owner_in_words(self.tenant.as_deref())
    }

    fn show(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let log: LogView = door.get(&self.path(&[])).send()?.parsed()?;
        output.result(&text(&self.name(), &log), &json!(log))
    }

    fn publish(self, public: bool, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door
            .patch(&self.path(&[]))
            .json(&json!({ "public": public }));
        let log: LogView = request.send()?.parsed()?;
        let name = self.name();
        let sentence = match (public, log.epochs.is_empty()) {
            (true, true) => format!("The log of {name} will be public once it has an entry."),
            (true, false) => format!("The log of {name} is public.{}", public_paths(&log.epochs)),
            (false, _) => format!("Nobody reads the log of {name} without a token any more."),
        };
        output.result(&sentence, &json!(log))
    }

    fn keys(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let keys: Vec<LogKeyView> = door.get(&self.path(&["keys"])).member("keys")?;
        let mut text = String::new();
        for key in &keys {
            for verifier in &key.verifier_keys {
                text.push_str(verifier);
                text.push('\n');
            }
        }
        ensure!(
            !text.is_empty() || output.is_json(),
            "The log of {} has no key yet: there is none until something happened, and none without a master key.",
            self.name()
        );
        output.result(text.trim_end(), &json!({ "keys": keys }))
    }
}

/// A log, for people.
fn text(owner: &str, log: &LogView) -> String {
    let mut text = table(owner, &log.epochs) + &public_paths(&log.epochs);
    if !log.witnesses.is_empty() {
        text.push_str("\n\n");
        text.push_str(&witness::table(&log.witnesses));
    }
    text
}

/// Where anybody reads the trees of a log, for people.
fn public_paths(epochs: &[EpochView]) -> String {
    let mut text = String::new();
    for epoch in epochs {
        if let Some(path) = &epoch.public_path {
            let number = epoch.epoch;
            text.push_str(&format!(
                "\nAnybody reads tree {number} below {path} without a token."
            ));
        }
    }
    text
}

fn table(owner: &str, epochs: &[EpochView]) -> String {
    if epochs.is_empty() {
        return format!("Nothing has happened to {owner} yet that its log would have.");
    }
    let mut table = Table::new(&["tree", "entries", "from", "updated at", "state", "root"]);
    for epoch in epochs {
        let state = match (&epoch.frozen, &epoch.closed_at, &epoch.checkpoint) {
            (_, Some(_), _) => "closed",
            (Some(_), None, _) => "frozen",
            (None, None, Some(_)) => "signed",
            (None, None, None) => "not signed",
        };
        table.row([
            epoch.epoch.to_string(),
            epoch.size.to_string(),
            epoch.first.to_string(),
            epoch.updated_at.clone(),
            state.to_owned(),
            epoch.root.clone(),
        ]);
    }
    let mut text = table.to_string();
    for epoch in epochs {
        if let (Some(why), None) = (&epoch.frozen, &epoch.closed_at) {
            text.push_str(&format!(
                "\nThe log is frozen. {why} Find out what happened, then: sigpersist log reopen TENANT --reason TEXT (or --platform for TENANT)"
            ));
        }
    }
    text
}

impl Verify {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let bar = spinner("Reading the log and everything stored …");
        let request = door.get(&self.of.path(&["verify"]));
        let check: LogCheckView = request
            .with_given("expect", self.expect.as_ref())
            .member("log")?;
        bar.finish_and_clear();
        output.result(&sentences(&self.of.name(), &check), &json!(check))?;
        if check.whole {
            return Ok(());
        }
        bail!(
            "The log of {} and what is stored do not agree.",
            self.of.name()
        );
    }
}

fn sentences(owner: &str, check: &LogCheckView) -> String {
    let entries = check.entries;
    let mut text = match &check.head {
        None => format!("The log of {owner} has no entries."),
        Some(head) => {
            let signed = if check.signed {
                ""
            } else {
                ", which is not signed"
            };
            format!("The log of {owner} has {entries} entries. Its head{signed} is {head}")
        }
    };
    if check.waiting > 0 {
        text.push_str(&format!(
            "\n{} stored versions will be in it in a while.",
            check.waiting
        ));
    }
    if check.decision_days > 0 {
        text.push_str(&format!(
            "\nOn {} days hooks decided what it says.",
            check.decision_days
        ));
    }
    if check.swept_days > 0 {
        text.push_str(&format!(
            "\nThe decisions of {} days are not kept any more, so they were not compared.",
            check.swept_days
        ));
    }
    if check.whole && check.head.is_some() {
        text.push_str("\nEverything stored is as the log says.");
    }
    for fault in &check.faults {
        text.push_str("\n- ");
        text.push_str(fault);
    }
    text
}

fn rotate(door: &Door, output: &Output) -> anyhow::Result<()> {
    let key: LogKeyView = door.post(&["log", "keys"]).member("key")?;
    let text = format!(
        "Made key {}for the logs: {}\nFrom about a second on it signs each new checkpoint, beside the one before it for a while. `sigpersist log keys TENANT` shows it as verifiers take it.",
        key.id.map(|id| format!("{id} ")).unwrap_or_default(),
        key.public_key
    );
    output.result(&text, &json!(key))
}

impl Set {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, refusals } = self;
        let request = door
            .patch(&["tenants", &tenant, "log"])
            .json(&json!({ "refusals": refusals }));
        let log: LogView = request.send()?.parsed()?;
        let sentence = match log.settings.refusals {
            true => format!(
                "The log of `{tenant}` has the saves and deletes that are refused, as `version.refused`."
            ),
            false => format!("What is refused is not added to the log of `{tenant}`."),
        };
        output.result(&sentence, &json!(log))
    }
}

impl Reopen {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door
            .post(&self.of.path(&["reopen"]))
            .json(&json!({ "reason": self.reason }));
        let log: LogView = request.send()?.parsed()?;
        let text = format!(
            "The log of {} goes on in a new tree.\n{}",
            self.of.name(),
            text(&self.of.name(), &log)
        );
        output.result(&text, &json!(log))
    }
}
