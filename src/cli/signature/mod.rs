//! `sigpersist signature`; and `sigpersist inspect` and `sigpersist verify`, which need neither a server nor a database.

mod form;
mod local;
mod read;
mod save;
mod verify;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sigpersist_verify::certificates;

use super::door::{Door, Request};
use super::output::{Output, shown};

pub(super) use local::{Inspect, Verify};

/// Media types of signatures as files, in the order in which they are preferred.
const FILE_TYPES: &str = "application/pkcs7-signature, application/pkcs7-mime, application/xml, text/xml, application/octet-stream";
/// The name that stands for standard input or output.
const STANDARD: &str = "-";

#[derive(Debug, Subcommand)]
pub(super) enum Signature {
    /// Save a signature from a file: the first of a thread, or with --over one that countersigns a version.
    Save(save::Save),
    /// Write a version of a signature to a file or to standard output: CMS in DER or BER, XML as it was saved.
    Get(read::Get),
    /// List the current versions of a tenant's signatures, newest thread first.
    List(read::List),
    /// Delete a thread with all its versions, for good.
    Delete(Delete),
    /// Verify a stored version, or a file, by what the tenant trusts. Exits with 0 only if every signer passes.
    Verify(verify::Verify),
}

impl Signature {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::Save(command) => command.run(door, output),
            Self::Get(command) => command.run(door, output),
            Self::List(command) => command.run(door, output),
            Self::Delete(command) => command.run(door, output),
            Self::Verify(command) => command.run(door, output),
        }
    }
}

/// The thread of a tenant that a command is about.
#[derive(Debug, Args)]
struct Thread {
    /// The tenant's slug.
    tenant: String,
    /// The document.
    #[arg(long, value_name = "TEXT")]
    document: String,
    /// The thread: the process in which the document is signed.
    #[arg(long, value_name = "TEXT")]
    thread: String,
}

impl Thread {
    /// Adds the thread to a request.
    fn of<'a>(&self, request: Request<'a>) -> Request<'a> {
        request
            .with("document", &self.document)
            .with("thread", &self.thread)
    }

    /// The thread in a sentence.
    fn in_words(&self) -> String {
        format!("`{}`/`{}`", shown(&self.document), shown(&self.thread))
    }

    /// The options that name the thread, for a shell.
    fn as_options(&self) -> String {
        format!(
            "--document {} --thread {}",
            quoted(&self.document),
            quoted(&self.thread)
        )
    }
}

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(super) struct Delete {
    #[command(flatten)]
    thread: Thread,
    /// The document once more. Without it, nothing is deleted.
    #[arg(long, value_name = "DOCUMENT")]
    confirm: Option<String>,
    /// Delete the thread only if this is its current version.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
}

impl Delete {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self {
            thread,
            confirm,
            version,
        } = self;
        ensure!(
            confirm.as_ref() == Some(&thread.document),
            "Nothing was deleted. This deletes all versions of {}, for good. If you mean it: sigpersist signature delete {} {} --confirm {}",
            thread.in_words(),
            thread.tenant,
            thread.as_options(),
            quoted(&thread.document)
        );
        let door = door.acting_as(&thread.tenant)?;
        let mut request = thread.of(door.delete(&["signature"]));
        if let Some(version) = version {
            request = request.with_header(http::header::IF_MATCH, &format!("\"{version}\""));
        }
        request.send()?;
        output.result(
            &format!("Deleted {} with all its versions.", thread.in_words()),
            &json!({ "document": thread.document, "thread": thread.thread, "deleted": true }),
        )
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", shown(word).replace('\'', r"'\''"))
    }
}

/// Reads a file, or standard input if it is `-`.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new(STANDARD) {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.context("Standard input can't be read")?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("The file {} can't be read", file.display()))
}

/// The certificates of several files, each of which has one at least.
fn read_certificates(files: &[PathBuf]) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for file in files {
        let bytes = read(file)?;
        let found: Vec<_> = certificates(&bytes).collect();
        ensure!(
            !found.is_empty(),
            "{} contains no certificate",
            file.display()
        );
        all.extend(found);
    }
    Ok(all)
}

/// Fails if the signers at these places do not pass.
fn check_passed(not_passed: &[&str]) -> anyhow::Result<()> {
    match not_passed {
        [] => Ok(()),
        [place] => bail!("The signature of signer {place} does not pass"),
        places => bail!(
            "The signatures of signers {} do not pass",
            places.join(", ")
        ),
    }
}

/// A text of an answer; empty if it is null.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}
