//! `sigpersist upgrade-data`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use sigpersist_model::audit::EventOwner;
use sigpersist_model::size;
use sigpersist_postgres::{Before, Begun, Upgrade};

use super::output::Output;
use super::progress::progress;
use crate::app::{self, App, Database};
use crate::audit;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct UpgradeData {
    /// Folder of the new version's programs, including `pg_upgrade` [default: the newest on this machine].
    #[arg(long, value_name = "BINDIR")]
    to: Option<PathBuf>,
    /// Folder of the programs of the data directory's present version, if the command does not find them.
    #[arg(long, value_name = "BINDIR")]
    from: Option<PathBuf>,
}

impl UpgradeData {
    pub(super) fn run(self, config: Config, output: &Output) -> anyhow::Result<()> {
        ensure!(
            config.database_url.is_none(),
            "A database URL is set, but this command upgrades only the embedded database. Upgrade your own Postgres with its own tools."
        );
        let data_dir = app::data_dir(&config);
        let begun = Upgrade::begin(&data_dir, self.from.as_deref(), self.to.as_deref())?;
        let upgrade = match begun {
            Begun::Upgrade(upgrade) => *upgrade,
            Begun::NothingToDo(major) => {
                return output.result(
                    &format!(
                        "The data directory uses Postgres {major}, and this machine has no newer one: there is nothing to do."
                    ),
                    &json!({ "upgraded": false, "from": major.to_string() }),
                );
            }
        };
        let [from_folder, to_folder] = upgrade.folders().map(|folder| folder.display().to_string());
        let (from, to) = (upgrade.from().to_owned(), upgrade.to().to_owned());
        tell(
            output,
            &format!(
                "Upgrading {} from Postgres {from} ({from_folder}) to {to} ({to_folder})",
                upgrade.data_dir().display()
            ),
        );
        let before = upgrade.look()?;
        tell(
            output,
            &format!("Copying {}…", size::in_words(upgrade.bytes())),
        );
        upgrade.copy()?;
        tell(output, "Trying the copy with the new programs…");
        let broken = prove(&upgrade, &before, config)?;
        let data_dir = upgrade.data_dir().to_owned();
        let (kept, bytes) = (upgrade.kept(), upgrade.bytes());
        let will_be_found = upgrade.will_be_found();
        upgrade.put_in_place()?;
        let (files, old) = (quoted(&data_dir.join("postgres")), quoted(&kept));
        let new = quoted(&data_dir.join("postgres.left"));
        let mut sentence = format!(
            "The data directory {} now uses Postgres {to}. The old database is kept unchanged in {}. Settings that were changed by hand in its postgresql.conf or by ALTER SYSTEM were not copied.\n\
             When you no longer need the old database:  rm -r {old}\n\
             To go back, which loses what is saved from now on, stop the server and:  mv {files} {new} && mv {old} {files}",
            data_dir.display(),
            kept.display()
        );
        if !will_be_found {
            sentence.push_str(&format!(
                "\nThe programs in {to_folder} are not where Sigpersist looks for them: add that folder to PATH wherever you run it."
            ));
        }
        if broken > 0 {
            sentence.push_str(
                "\nThe audit trail was copied as it was; it was not intact before: see `sigpersist audit verify --all`.",
            );
        }
        output.result(
            &sentence,
            &json!({
                "upgraded": true,
                "from": from,
                "to": to,
                "data_dir": data_dir,
                "kept": kept,
                "bytes": bytes,
                "audit_whole": broken == 0,
            }),
        )
    }
}

/// Makes sure that the copy holds everything and that this program works with it; gives how many chains of the audit trail are
/// not whole. They were not before, since the copy holds the same events.
fn prove(upgrade: &Upgrade, before: &Before, config: Config) -> anyhow::Result<usize> {
    let copy = upgrade.open_copy(before)?;
    let database = Database::of(copy, upgrade.data_dir().to_owned());
    database.prepare(true)?;
    let app = App::new(config, &database)?;
    let bar = progress(0, "events of the audit trail");
    let chains = audit::verify(&app, &EventOwner::All, None, |seen, all| {
        bar.set_length(all);
        bar.set_position(seen);
    });
    bar.finish_and_clear();
    Ok(chains?
        .iter()
        .filter(|chain| !chain.faults.is_empty())
        .count())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Progress for people.
fn tell(output: &Output, sentence: &str) {
    if !output.is_json() {
        // Without standard error there is nobody to tell.
        drop(writeln!(std::io::stderr(), "{sentence}"));
    }
}
