//! `sigpersist tenant import`.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::header::CONTENT_RANGE;
use serde_json::{Value, json};
use sigpersist_model::digest::RunningSha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::transfer::{Imported, MEDIA_TYPE};
use sigpersist_model::view::{ImportState, ImportView};

use super::{PassphraseArgs, Patience, STANDARD, is_standard, wait};
use crate::cli::door::{Door, Refusal};
use crate::cli::output::Output;
use crate::cli::progress::{bytes_progress, progress};
use crate::http::PIECE_BYTES;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// How often a file is sent to a server that forgets it.
const MAX_SENT: u32 = 3;

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
            "create": self.create,
            "without_hooks": self.without_hooks,
            "passphrase": self.passphrase.read()?,
        });
        if !self.create {
            check_tenant(door, slug)?;
        }
        let mut file = self.open()?;
        let (sha256, size) = digest(&mut file)
            .with_context(|| format!("The file {} can't be read", self.input.display()))?;
        ensure!(
            size > 0,
            "The file {} ends after line 0: it is empty.",
            self.input.display()
        );
        let name = sha256.to_string();
        let path = ["imports", slug, &name];
        let mut upload = Upload {
            door,
            path,
            size,
            file: &mut file,
        };
        // A server that forgot the file meanwhile gets it again.
        let mut sent = 0;
        while upload.run()? == Arrival::Whole && !begin(door, &path, &form)? {
            sent += 1;
            ensure!(
                sent < MAX_SENT,
                "The server forgot the file {MAX_SENT} times. If a proxy spreads requests over several servers, give --server the URL of one of them."
            );
        }
        let imported = finished(door, &path)?;
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

/// Finds out early that there is no such tenant, if the token allows to ask.
fn check_tenant(door: &Door, slug: &str) -> anyhow::Result<()> {
    match door.get(&["tenants", slug]).send() {
        Err(error) if has_code(&error, "tenant_not_found") => Err(error),
        _ => Ok(()),
    }
}

/// Begins the import; false if the file must be sent again. Another client may have begun it already.
fn begin(door: &Door, path: &[&str], form: &Value) -> anyhow::Result<bool> {
    let error = match door.post(path).json(form).send() {
        Ok(_) => return Ok(true),
        Err(error) if has_code(&error, "import_not_found") => return Ok(false),
        Err(error) => error,
    };
    let import = door.get(path).member::<ImportView>("import");
    match import.map(|import| import.state) {
        Ok(ImportState::Checking | ImportState::Importing | ImportState::Done) => Ok(true),
        _ => Err(error),
    }
}

/// How a file arrived.
#[derive(PartialEq)]
enum Arrival {
    /// It is there, and its import can begin.
    Whole,
    /// Another client has sent it, and begun its import.
    Begun,
}

/// A file on its way, which goes on where it broke off.
struct Upload<'a> {
    door: &'a Door,
    path: [&'a str; 3],
    size: u64,
    file: &'a mut File,
}

impl Upload<'_> {
    fn run(&mut self) -> anyhow::Result<Arrival> {
        let bar = bytes_progress(self.size, "sent");
        let mut patience = Patience::default();
        let mut received = None;
        let mut most = 0;
        loop {
            let asked = match received {
                Some(offset) => self.send(offset),
                None => self.begun(),
            };
            match asked {
                Ok(None) => return Ok(Arrival::Begun),
                Ok(Some(offset)) if offset >= self.size => break,
                Ok(Some(offset)) => {
                    if offset > most {
                        most = offset;
                        patience = Patience::default();
                    } else if received.is_some() {
                        patience
                            .bear(io::Error::other("the server does not take the file").into())?;
                    }
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
        Ok(Arrival::Whole)
    }

    /// The number of bytes that the server has already; none if the import was begun.
    fn begun(&self) -> anyhow::Result<Option<u64>> {
        match self.door.get(&self.path).member::<ImportView>("import") {
            // An import that is done is made again.
            Ok(import) if import.state == ImportState::Done => Ok(Some(0)),
            Ok(import) => Ok(next(&import)),
            Err(error) if has_code(&error, "import_not_found") => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Sends the piece that begins here; returns where the next one begins, or none if the import was begun.
    fn send(&mut self, offset: u64) -> anyhow::Result<Option<u64>> {
        self.file.seek(SeekFrom::Start(offset))?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut rest = self.file.take(PIECE_BYTES as u64);
        rest.read_to_end(&mut piece)?;
        let after = offset + piece.len() as u64;
        ensure!(after > offset, "The file became shorter while it was sent.");
        let range = format!("bytes {offset}-{}/{}", after - 1, self.size);
        let request = self.door.put(&self.path).body(MEDIA_TYPE, piece.into());
        let request = request.with_header(CONTENT_RANGE, &range);
        match request.member::<ImportView>("import") {
            Ok(import) => Ok(next(&import)),
            // The server was restarted.
            Err(error) if has_code(&error, "import_not_found") => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }
}

/// Where the next piece of a file begins; none if its import was begun.
fn next(import: &ImportView) -> Option<u64> {
    match import.state {
        ImportState::Receiving | ImportState::Failed => Some(import.received),
        ImportState::Checking | ImportState::Importing | ImportState::Done => None,
    }
}

fn has_code(error: &anyhow::Error, code: &str) -> bool {
    error
        .downcast_ref::<Refusal>()
        .is_some_and(|refusal| refusal.code.as_deref() == Some(code))
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
        "Imported into `{slug}`: {} new threads, {} new versions, {} hooks, {} revisions of plugins, {} keys, {} events of its audit trail, {} entries of its log; {} versions already existed.",
        imported.new_threads,
        imported.new_versions,
        imported.new_hooks,
        imported.new_revisions,
        imported.new_keys,
        imported.new_events,
        imported.new_entries,
        imported.same_versions
    );
    if imported.new_issuers > 0 {
        text.push_str(&format!(" {} issuers were added.", imported.new_issuers));
    }
    for told in &imported.told {
        text.push_str("\n    ");
        text.push_str(told);
    }
    text
}
