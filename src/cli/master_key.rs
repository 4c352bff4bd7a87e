//! `sigpersist master-key`.

use clap::{Args, Subcommand};
use serde_json::json;
use sigpersist_model::audit::Actor;

use super::output::Output;
use super::progress::progress;
use crate::app::App;
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum MasterKey {
    /// Show the names of the keys in the master key file, and the number of stored secrets encrypted with the current
    /// one.
    Show,
    /// Encrypt all stored secrets with a new master key while servers run, and remove the old one from the file.
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Only add the new key to the file, so that you can copy the file to other servers' machines before the rotation.
    #[arg(long, conflicts_with = "abandon_unreadable")]
    prepare: bool,
    /// Rotate even if the file does not decrypt every secret. Secrets that it does not decrypt are lost for good.
    #[arg(long)]
    abandon_unreadable: bool,
}

impl MasterKey {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Show => show(app, output),
            Self::Rotate(Rotate { prepare: true, .. }) => prepare(app, output),
            Self::Rotate(rotate) => rotate.run(app, output),
        }
    }
}

fn show(app: &App, output: &Output) -> anyhow::Result<()> {
    let keys = tenants::master_keys(app)?;
    let mut lines = vec![format!("current: {}", keys.ids.current)];
    lines.extend(keys.ids.next.map(|id| format!("next:    {id}")));
    lines.extend(keys.ids.old.iter().map(|id| format!("old:     {id}")));
    lines.push(format!(
        "secrets: {}, {} of them encrypted with the current key",
        keys.secrets, keys.under_current
    ));
    if !keys.ids.old.is_empty() {
        lines.push(
            "A rotation was interrupted. To finish it: sigpersist master-key rotate".to_owned(),
        );
    }
    output.result(
        &lines.join("\n"),
        &json!({
            "current": keys.ids.current.to_string(),
            "next": keys.ids.next.map(|id| id.to_string()),
            "old": keys.ids.old.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "secrets": keys.secrets,
            "under_current": keys.under_current,
        }),
    )
}

fn prepare(app: &App, output: &Output) -> anyhow::Result<()> {
    let ids = tenants::prepare_master_key(app)?;
    let next = ids.next.map(|id| id.to_string()).unwrap_or_default();
    let sentence = format!(
        "The key {next} is in the master key file and encrypts nothing yet. Copy the file to the machines of all servers.\nNext: sigpersist master-key rotate"
    );
    output.result(
        &sentence,
        &json!({ "current": ids.current.to_string(), "next": next }),
    )
}

impl Rotate {
    fn run(&self, app: &App, output: &Output) -> anyhow::Result<()> {
        let bar = progress(0, "secrets");
        let actor = Actor::command_line();
        let told = |under, all| {
            bar.set_length(all);
            bar.set_position(under);
        };
        let rotated = tenants::rotate_master_key(app, &actor, self.abandon_unreadable, told)?;
        bar.finish_and_clear();
        let mut sentence = format!(
            "All secrets are encrypted with the master key {}, and the old key was removed from the file. Secrets that were re-encrypted: {}. If other machines have copies of the file, copy it there once more.",
            rotated.current, rotated.secrets
        );
        if !rotated.abandoned.is_empty() {
            sentence.push_str(&format!(
                "\nThe secrets of these keys could not be decrypted and are lost. Revoke the keys: {}",
                rotated.abandoned.join(", ")
            ));
        }
        output.result(
            &sentence,
            &json!({
                "current": rotated.current.to_string(),
                "secrets": rotated.secrets,
                "abandoned": rotated.abandoned,
            }),
        )
    }
}
