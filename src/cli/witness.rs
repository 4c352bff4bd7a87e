//! `sigpersist witness`.

use clap::{Args, Subcommand};
use serde_json::json;
use sigpersist_model::view::WitnessView;
use sigpersist_model::witness::WitnessState;

use super::door::Door;
use super::holder::{of_owner, owner_in_words};
use super::output::{Output, shown};
use super::table::Table;

#[derive(Debug, Subcommand)]
pub(super) enum Witness {
    /// Add a witness to the platform's log, which has the heads of all logs, or to a tenant's.
    Add(Add),
    /// List the witnesses of a log, and how far each has signed it.
    List(OfLog),
    /// Remove a witness of a log. Proofs that have its signature stay as they are.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct OfLog {
    /// A tenant's log, by the tenant's slug; without it, the platform's own log.
    #[arg(long, value_name = "SLUG")]
    tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The name in the witness's key, such as witness.example.com/w1.
    name: String,
    /// The witness's submission prefix, with which its addresses begin.
    #[arg(long)]
    url: String,
    /// The witness's public key, NAME+ID+KEY, of the type 0x04.
    #[arg(long)]
    key: String,
    #[command(flatten)]
    of: OfLog,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The witness's name, as `witness list` shows it.
    name: String,
    #[command(flatten)]
    of: OfLog,
}

impl Witness {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Add(command) => command.run(door, output),
            Self::List(of) => of.list(door, output),
            Self::Remove(command) => command.run(door, output),
        }
    }
}

impl OfLog {
    /// The path of the log's witnesses.
    fn path(&self) -> Vec<&str> {
        of_owner(self.tenant.as_deref(), &["log", "witnesses"])
    }

    /// The option that names the owner to another command, with a space before it.
    fn option(&self) -> String {
        let tenant = self.tenant.as_deref();
        tenant.map_or(String::new(), |slug| format!(" --tenant {slug}"))
    }

    /// The owner of the log, in a sentence.
    fn in_words(&self) -> String {
        owner_in_words(self.tenant.as_deref())
    }

    fn list(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let witnesses: Vec<WitnessView> = door.get(&self.path()).member("witnesses")?;
        let text = if witnesses.is_empty() {
            format!(
                "The log of {} has no witnesses. Next: sigpersist witness add NAME --url URL --key KEY{}",
                self.in_words(),
                self.option()
            )
        } else {
            table(&witnesses)
        };
        output.result(&text, &json!({ "witnesses": witnesses }))
    }
}

/// Witnesses for people: a table, and below it why some of them did not sign.
pub(super) fn table(witnesses: &[WitnessView]) -> String {
    let mut table = Table::new(&["witness", "state", "since", "signed", "behind", "signed at"]);
    for witness in witnesses {
        let signed = witness.signed_size;
        table.row([
            shown(&witness.name),
            witness.state.as_str().to_owned(),
            witness.since.clone(),
            signed.map_or("nothing".to_owned(), |size| size.to_string()),
            witness.behind.to_string(),
            witness.signed_at.clone().unwrap_or_default(),
        ]);
    }
    let mut text = table.to_string();
    for witness in witnesses {
        if let Some(why) = &witness.because {
            text.push_str(&format!("\n{}: {why}", shown(&witness.name)));
            if witness.state == WitnessState::Refused {
                text.push_str(" Find out what happened, then: sigpersist log reopen TENANT --reason TEXT (or --platform for TENANT)");
            }
        }
    }
    text
}

impl Add {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let witness: WitnessView = door
            .post(&self.of.path())
            .json(&json!({ "name": self.name, "url": self.url, "key": self.key }))
            .member("witness")?;
        let keys = self.of.tenant.as_deref().unwrap_or("--platform");
        let option = self.of.option();
        let text = format!(
            "`{}` is asked to sign the log of {}. Its operator must add the log, too: give them what `sigpersist log keys {keys}` prints. `sigpersist witness list{option}` shows whether it signs.",
            shown(&witness.name),
            self.of.in_words(),
        );
        output.result(&text, &json!(witness))
    }
}

impl Remove {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        door.delete(&self.of.path())
            .with("name", &self.name)
            .send()?;
        let text = format!(
            "Removed the witness `{}` of the log of {}.",
            shown(&self.name),
            self.of.in_words()
        );
        output.result(&text, &json!({ "name": self.name, "removed": true }))
    }
}
