//! `sigpersist tenant export` and `sigpersist tenant import`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;
use sigpersist_model::audit::Actor;
use sigpersist_model::error;
use sigpersist_model::transfer::Counts;
use sigpersist_runtime::vault::Vault;
use zeroize::Zeroizing;

use super::output::Output;
use super::progress::progress;
use crate::app::App;
use crate::auth::envelope::{Opener, Passphrase};
use crate::tenants::{self, NewTenant};
use crate::transfer::{self, Arrival, ExportOptions, ImportOptions, Imported, Written};

/// The name that stands for standard input or output.
const STANDARD: &str = "-";
/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The tenant's slug.
    tenant: String,
    /// The file to write, which only its owner can read; - for standard output, and then the command prints nothing
    /// else there.
    #[arg(long, value_name = "FILE", default_value = STANDARD)]
    output: PathBuf,
    /// Also export the decisions of hooks, with the signatures that they refused.
    #[arg(long)]
    decisions: bool,
    /// Also export the keys, encrypted with a passphrase: the first line of --passphrase-file, or
    /// `SIGPERSIST_EXPORT_PASSPHRASE`. By default, keys are not exported.
    #[arg(long)]
    keys: bool,
    /// Also export the keys, encrypted for a server that has this master key file.
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    keys_for: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Source of the passphrase. It is never an argument, since other users of the machine can see those.
#[derive(Debug, Args)]
struct PassphraseArgs {
    /// A file whose first line is the passphrase for the keys, or - for standard input; if left out,
    /// `SIGPERSIST_EXPORT_PASSPHRASE` is the passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    fn read(&self) -> anyhow::Result<Option<Passphrase>> {
        let Some(path) = &self.passphrase_file else {
            let text = std::env::var("SIGPERSIST_EXPORT_PASSPHRASE").ok();
            return Ok(text.map(|text| Passphrase::new(text.into())));
        };
        let text = if path.as_os_str() == STANDARD {
            let mut line = Zeroizing::new(String::new());
            io::stdin().lock().read_line(&mut line)?;
            line
        } else {
            let text = fs::read_to_string(path)
                .with_context(|| format!("The file {} can't be read", path.display()))?;
            Zeroizing::new(text)
        };
        Ok(Some(Passphrase::new(text)))
    }
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The slug of the tenant to import into; it may differ from the exported one.
    tenant: String,
    /// The file to read; - for standard input. The command first reads it to its end, to check that the file and its
    /// audit trail are complete and intact.
    #[arg(long, value_name = "FILE", default_value = STANDARD)]
    input: PathBuf,
    /// Create the tenant if it does not exist.
    #[arg(long)]
    create: bool,
    /// Answer the tenant's requests even if hooks are missing here that refuse forbidden operations. Otherwise the
    /// tenant is suspended until they are there.
    #[arg(long)]
    without_hooks: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Export {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::find(app, &self.tenant)?;
        ensure!(
            self.keys || self.passphrase.passphrase_file.is_none(),
            "A passphrase encrypts exported keys: give --keys, too."
        );
        let with_keys = self.keys || self.keys_for.is_some();
        let keys = match &self.keys_for {
            Some(path) => Some(Opener::Vault(Vault::from_file(path)?)),
            None if self.keys => Some(Opener::Passphrase(self.passphrase.read()?.context(
                "Keys are encrypted under a passphrase: give it with --passphrase-file or SIGPERSIST_EXPORT_PASSPHRASE",
            )?)),
            None => None,
        };
        let options = ExportOptions {
            decisions: self.decisions,
            keys,
        };
        let bar = progress(0, "versions and events");
        let write = |file: &mut dyn Write| {
            let actor = Actor::command_line();
            transfer::export(app, &tenant, &actor, file, &options, |done, all| {
                bar.set_length(all);
                bar.set_position(done);
            })
        };
        if self.output.as_os_str() == STANDARD {
            write(&mut BufWriter::with_capacity(
                BUFFER_BYTES,
                io::stdout().lock(),
            ))?;
            bar.finish_and_clear();
            return Ok(());
        }
        let Written { counts, faults } = write_whole(&self.output, write)?;
        bar.finish_and_clear();
        let file = self.output.display();
        let mut sentence = format!("Exported `{}` to {file}: {}.", tenant.slug, told(&counts));
        if !with_keys {
            sentence
                .push_str(" Its keys were not exported; use --keys or --keys-for to export them.");
        }
        for fault in &faults {
            sentence.push_str(&format!("\n    Exported with a fault: {fault}."));
        }
        output.result(
            &sentence,
            &json!({ "tenant": tenant.slug, "file": file.to_string(), "with_keys": with_keys, "counts": counts, "faults": faults }),
        )
    }
}

/// Writes a file under another name first, so that one which is there is never half a file.
fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> error::Result<Written>,
) -> anyhow::Result<Written> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let unwritable = || format!("The file {} can't be written", path.display());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .with_context(unwritable)?;
    let written = write(&mut BufWriter::with_capacity(BUFFER_BYTES, &file));
    let written = written.map_err(anyhow::Error::from).and_then(|written| {
        file.sync_all()?;
        fs::rename(&part, path)?;
        Ok(written)
    });
    if written.is_err() {
        // What is half written is of no use; that it can't be removed is not what went wrong.
        drop(fs::remove_file(&part));
    }
    written.with_context(unwritable)
}

/// The contents of a file, for people.
fn told(counts: &Counts) -> String {
    let mut parts = vec![
        format!(
            "{} threads with {} versions",
            counts.threads, counts.versions
        ),
        format!("{} hooks", counts.hooks),
        format!("{} revisions of its own plugins", counts.revisions),
        format!("{} events of its audit trail", counts.audit_events),
    ];
    if counts.keys > 0 {
        parts.push(format!("{} keys", counts.keys));
    }
    if counts.judgements > 0 {
        parts.push(format!(
            "decisions of hooks about {} saves and deletes",
            counts.judgements
        ));
    }
    parts.join(", ")
}

impl Import {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let slug = &self.tenant;
        let bar = progress(0, "versions and events");
        let show = |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        };
        let is_standard = |path: &PathBuf| path.as_os_str() == STANDARD;
        let passphrase = self.passphrase.passphrase_file.as_ref();
        ensure!(
            !(is_standard(&self.input) && passphrase.is_some_and(is_standard)),
            "Standard input can't be both the file and the passphrase."
        );
        let options = ImportOptions {
            without_hooks: self.without_hooks,
        };
        let passphrase = self.passphrase.read()?;
        let open = |source| Arrival::open(app, source, passphrase.as_ref());
        let source: Box<dyn BufRead> = if self.input.as_os_str() == STANDARD {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock()))
        } else {
            bar.set_message("read");
            transfer::check(app, slug, open(self.open()?)?, show)?;
            bar.set_message("imported");
            self.open()?
        };
        // Before the tenant is created, so that a wrong passphrase leaves nothing behind.
        let arrival = open(source)?;
        let tenant = if self.create {
            let new = NewTenant {
                slug: slug.clone(),
                // Nobody is answered before all is there.
                incomplete: Some(transfer::importing(arrival.tenant())),
                ..NewTenant::default()
            };
            tenants::create(app, &Actor::command_line(), &new)?.0
        } else {
            tenants::find(app, slug)?
        };
        let imported =
            transfer::import(app, &tenant, &Actor::command_line(), arrival, options, show)?;
        bar.finish_and_clear();
        output.result(
            &sentence(slug, &imported),
            &json!({ "tenant": slug, "complete": imported.is_complete(), "imported": imported }),
        )?;
        if imported.suspended {
            bail!(
                "`{slug}` is suspended because these enforcing hooks are missing: {}. Upload their plugins and import again, or resume it without them: sigpersist tenant resume {slug} --incomplete",
                imported.missing_hooks.join(", ")
            );
        }
        if imported.is_complete() {
            return Ok(());
        }
        bail!(
            "the file was only partly imported: {} threads are different here, and {} other items were left out",
            imported.conflicts,
            imported.left_out
        );
    }

    fn open(&self) -> anyhow::Result<Box<dyn BufRead>> {
        let file = File::open(&self.input)
            .with_context(|| format!("The file {} can't be read", self.input.display()))?;
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
    }
}

fn sentence(slug: &str, imported: &Imported) -> String {
    let mut text = format!(
        "Imported into `{slug}`: {} new threads, {} new versions, {} hooks, {} revisions of plugins, {} keys, {} events of its audit trail; {} versions already existed.",
        imported.new_threads,
        imported.new_versions,
        imported.new_hooks,
        imported.new_revisions,
        imported.new_keys,
        imported.new_events,
        imported.same_versions
    );
    for told in &imported.told {
        text.push_str("\n    ");
        text.push_str(told);
    }
    text
}
