//! `sigpersist tenant export`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::header::{CONTENT_RANGE, IF_RANGE, RANGE};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sigpersist_model::digest::RunningSha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::transfer::Counts;
use sigpersist_model::view::{ExportState, ExportView};
use sigpersist_runtime::vault::Vault;
use tempfile::NamedTempFile;

use super::{PassphraseArgs, Patience, STANDARD, is_standard, wait};
use crate::auth::envelope::TransportKey;
use crate::cli::door::{Door, Refusal};
use crate::cli::output::Output;
use crate::cli::progress::{bytes_progress, progress};

/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 1024 * 1024;

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
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
    /// Also export the keys, encrypted for a server that has this master key file. Only a key derived from it is used.
    #[arg(long, value_name = "FILE", conflicts_with = "keys")]
    keys_for: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

impl Export {
    pub(in crate::cli) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        ensure!(
            self.keys || self.passphrase.passphrase_file.is_none(),
            "A passphrase encrypts exported keys: give --keys, too."
        );
        let form = json!({ "decisions": self.decisions, "keys": self.encryption()? });
        let tenant = &self.tenant;
        let mut target = Target::open(&self.output)?;
        let exports = ["tenants", tenant, "exports"];
        let begun: ExportView = door.post(&exports).json(&form).member("export")?;
        let path = [&exports[..], &[&begun.id]].concat();
        let saved = finished(door, &path).and_then(|export| {
            download(door, &path, &export, &mut target)?;
            Ok(export)
        });
        // The server forgets it by itself, so that a failure to delete it is none of this command.
        drop(door.delete(&path).send());
        let export = saved?;
        target.keep()?;
        if is_standard(&self.output) {
            return Ok(());
        }
        let counts = export.counts.unwrap_or_default();
        let file = self.output.display();
        let mut sentence = format!("Exported `{tenant}` to {file}: {}.", told(&counts));
        if !export.with_keys {
            sentence
                .push_str(" Its keys were not exported; use --keys or --keys-for to export them.");
        }
        for fault in &export.faults {
            sentence.push_str(&format!("\n    Exported with a fault: {fault}."));
        }
        output.result(
            &sentence,
            &json!({ "tenant": tenant, "file": file.to_string(), "with_keys": export.with_keys, "counts": counts, "faults": export.faults }),
        )
    }

    /// Encryption of the keys, as the API takes it; null without keys.
    fn encryption(&self) -> anyhow::Result<Value> {
        if let Some(path) = &self.keys_for {
            let (salt, key) = TransportKey::derive(&Vault::from_file(path)?)?.to_text();
            return Ok(json!({ "salt": salt, "key": key }));
        }
        if !self.keys {
            return Ok(Value::Null);
        }
        let passphrase = self.passphrase.read()?.context(
            "Keys are encrypted under a passphrase: give it with --passphrase-file or SIGPERSIST_EXPORT_PASSPHRASE",
        )?;
        Ok(json!({ "passphrase": passphrase }))
    }
}

/// The place that a file is written to.
enum Target<'a> {
    /// Standard output, or a file that can't be replaced, such as a pipe.
    Stream(Box<dyn Write>),
    /// A file, under another name until it is whole, so that one which is there is never half a file.
    File(NamedTempFile, &'a Path),
}

impl<'a> Target<'a> {
    fn open(path: &'a Path) -> anyhow::Result<Self> {
        if is_standard(path) {
            return Ok(Self::Stream(Box::new(io::stdout())));
        }
        let unwritable = || format!("The file {} can't be written", path.display());
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            let stream = File::options().write(true).open(path);
            return Ok(Self::Stream(Box::new(stream.with_context(unwritable)?)));
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // Only its owner can read it.
        let file = NamedTempFile::new_in(folder).with_context(unwritable)?;
        Ok(Self::File(file, path))
    }

    fn keep(self) -> anyhow::Result<()> {
        let Self::File(file, path) = self else {
            return Ok(());
        };
        let unwritable = || format!("The file {} can't be written", path.display());
        file.as_file().sync_all().with_context(unwritable)?;
        file.persist(path).with_context(unwritable)?;
        Ok(())
    }
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.write(bytes),
            Self::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.flush(),
            Self::File(file, _) => file.flush(),
        }
    }
}

/// Downloads the file of a finished export.
fn download(
    door: &Door,
    path: &[&str],
    export: &ExportView,
    target: &mut Target<'_>,
) -> anyhow::Result<()> {
    let size = export.size.unwrap_or_default();
    let bar = bytes_progress(size, "received");
    let mut download = Download {
        door,
        path: [path, &["file"]].concat(),
        size,
        sha256: export.sha256.context("The export has no digest")?,
        received: 0,
        digest: RunningSha256::new(),
        bar: &bar,
    };
    let downloaded = download.run(&mut BufWriter::with_capacity(BUFFER_BYTES, target));
    bar.finish_and_clear();
    downloaded
}

/// Waits for an export to be finished.
fn finished(door: &Door, path: &[&str]) -> anyhow::Result<ExportView> {
    let bar = progress(0, "versions and events");
    let export = wait(|| {
        let export: ExportView = door.get(path).member("export")?;
        bar.set_length(export.steps);
        bar.set_position(export.steps_done);
        Ok((export.state != ExportState::Running).then_some(export))
    })?;
    bar.finish_and_clear();
    match export.failure {
        Some(failure) => Err(Refusal::of_work(failure).into()),
        None => Ok(export),
    }
}

/// A file on its way, which goes on where it broke off.
struct Download<'a> {
    door: &'a Door,
    path: Vec<&'a str>,
    size: u64,
    sha256: Digest,
    received: u64,
    digest: RunningSha256,
    bar: &'a ProgressBar,
}

impl Download<'_> {
    fn run(&mut self, output: &mut impl Write) -> anyhow::Result<()> {
        let mut patience = Patience::default();
        while self.received < self.size {
            let before = self.received;
            if let Err(error) = self.receive(output) {
                if self.received > before {
                    patience = Patience::default();
                }
                patience.bear(error)?;
            }
        }
        output.flush()?;
        ensure!(
            Digest(self.digest.clone().finish()) == self.sha256,
            "The file was changed on the way; what was written of it is not the export."
        );
        Ok(())
    }

    fn receive(&mut self, output: &mut impl Write) -> anyhow::Result<()> {
        let mut request = self.door.get(&self.path);
        if self.received > 0 {
            request = request
                .with_header(RANGE, &format!("bytes={}-", self.received))
                .with_header(IF_RANGE, &format!("\"{}\"", self.sha256));
        }
        let answer = request.send()?;
        if self.received > 0 && answer.header(CONTENT_RANGE).is_none() {
            bail!("The server does not send the rest of the file alone; export again.");
        }
        let mut body = answer.into_reader();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let length = body.read(&mut buffer)?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            output
                .write_all(bytes)
                .map_err(|error| anyhow::anyhow!("{error}"))?;
            self.digest.update(bytes);
            self.received += length as u64;
            self.bar.set_position(self.received);
        }
        if self.received < self.size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
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
    if counts.issuers > 0 {
        parts.push(format!("{} issuers", counts.issuers));
    }
    if counts.judgements > 0 {
        parts.push(format!(
            "decisions of hooks about {} saves and deletes",
            counts.judgements
        ));
    }
    parts.join(", ")
}
