//! `sigpersist tenant import`.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::header::CONTENT_RANGE;
use serde_json::json;
use sigpersist_model::digest::RunningSha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::transfer::Imported;
use sigpersist_model::view::{ImportState, ImportView};

use super::{FILE, PassphraseArgs, Patience, STANDARD, is_standard, wait};
use crate::cli::door::{Door, Refusal};
use crate::cli::output::Output;
use crate::cli::progress::{bytes_progress, progress};
use crate::http::PIECE_BYTES;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// The slug of the tenant to import into; it may differ from the exported one.
    tenant: String,
    /// The file to read; - for standard input. It is read to its end before anything is imported, to check that the file
    /// and its audit trail are complete and intact.
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

impl Import {
    pub(in crate::cli) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let slug = &self.tenant;
        let passphrase = self.passphrase.passphrase_file.as_deref();
        ensure!(
            !(is_standard(&self.input) && passphrase.is_some_and(is_standard)),
            "Standard input can't be both the file and the passphrase."
        );
        let form = json!({
            "tenant": slug,
            "create": self.create,
            "without_hooks": self.without_hooks,
            "passphrase": self.passphrase.read()?,
        });
        let mut file = self.open()?;
        let (sha256, size) = digest(&mut file)
            .with_context(|| format!("The file {} can't be read", self.input.display()))?;
        ensure!(
            size > 0,
            "The file {} ends after line 0: it is empty.",
            self.input.display()
        );
        let name = sha256.to_string();
        let path = ["imports", &name];
        let arrived = Upload {
            door,
            path,
            size,
            file: &mut file,
        }
        .run();
        let imported = arrived.and_then(|()| {
            door.post(&path).json(&form).send()?;
            finished(door, &path)
        });
        // The server forgets it by itself, so that a failure to delete it is none of this command.
        drop(door.delete(&path).send());
        let imported = imported?;
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

    /// The file; standard input is copied to one, since it can't be read again.
    fn open(&self) -> anyhow::Result<File> {
        if is_standard(&self.input) {
            let mut copy = tempfile::tempfile().context("A temporary file can't be made")?;
            io::copy(&mut io::stdin().lock(), &mut copy).context("Standard input can't be kept")?;
            return Ok(copy);
        }
        File::open(&self.input)
            .with_context(|| format!("The file {} can't be read", self.input.display()))
    }
}

/// The SHA-256 of a file, and its size in bytes.
fn digest(file: &mut File) -> io::Result<(Digest, u64)> {
    file.rewind()?;
    let (mut digest, mut size) = (RunningSha256::new(), 0);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok((Digest(digest.finish()), size));
        }
        digest.update(buffer.get(..length).unwrap_or_default());
        size += length as u64;
    }
}

/// A file on its way, which goes on where it broke off.
struct Upload<'a> {
    door: &'a Door,
    path: [&'a str; 2],
    size: u64,
    file: &'a mut File,
}

impl Upload<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        let bar = bytes_progress(self.size, "sent");
        let mut patience = Patience::default();
        let mut received = None;
        loop {
            let next = match received {
                Some(offset) => self.send(offset),
                None => self.received(),
            };
            match next {
                Ok(offset) if offset >= self.size => break,
                Ok(offset) => {
                    patience = Patience::default();
                    bar.set_position(offset);
                    received = Some(offset);
                }
                // The server knows what has arrived.
                Err(error) => {
                    patience.bear(error)?;
                    received = None;
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The number of bytes that the server has already.
    fn received(&self) -> anyhow::Result<u64> {
        let import = match self.door.get(&self.path).member::<ImportView>("import") {
            Ok(import) => import,
            Err(error) if is_not_found(&error) => return Ok(0),
            Err(error) => return Err(error),
        };
        match import.state {
            ImportState::Receiving | ImportState::Failed => Ok(import.received),
            ImportState::Done => Ok(0),
            ImportState::Checking | ImportState::Importing => {
                bail!("This file is being imported already; try again when that has ended.")
            }
        }
    }

    /// Sends the piece that begins here; returns where the next one begins.
    fn send(&mut self, offset: u64) -> anyhow::Result<u64> {
        self.file.seek(SeekFrom::Start(offset))?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut rest = self.file.take(PIECE_BYTES as u64);
        rest.read_to_end(&mut piece)?;
        let after = offset + piece.len() as u64;
        ensure!(after > offset, "The file became shorter while it was sent.");
        let range = format!("bytes {offset}-{}/{}", after - 1, self.size);
        let request = self.door.put(&self.path).body(FILE, piece.into());
        let request = request.with_header(CONTENT_RANGE, &range);
        let import: ImportView = request.member("import")?;
        Ok(import.received)
    }
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Refusal>()
        .is_some_and(|refusal| refusal.code.as_deref() == Some("import_not_found"))
}

/// Waits for an import to end.
fn finished(door: &Door, path: &[&str]) -> anyhow::Result<Imported> {
    let bar = progress(0, "versions and events");
    let import = wait(|| {
        let import: ImportView = door.get(path).member("import")?;
        bar.set_message(match import.state {
            ImportState::Checking => "checked",
            _ => "imported",
        });
        bar.set_length(import.steps);
        bar.set_position(import.steps_done);
        let is_over = matches!(import.state, ImportState::Done | ImportState::Failed);
        Ok(is_over.then_some(import))
    })?;
    bar.finish_and_clear();
    match (import.imported, import.failure) {
        (Some(imported), _) => Ok(imported),
        (None, Some(failure)) => Err(Refusal::of_work(failure).into()),
        (None, None) => bail!("The server does not say how the import ended."),
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
