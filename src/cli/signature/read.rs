//! `sigpersist signature get` and `list`.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;
use http::header::{ACCEPT, CONTENT_TYPE, ETAG};
use serde_json::{Value, json};

use super::{FILE_TYPES, STANDARD, Thread, text};
use crate::cli::door::Door;
use crate::cli::output::Output;
use crate::cli::table::Table;

/// Signatures per request.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(in crate::cli) struct Get {
    #[command(flatten)]
    thread: Thread,
    /// The version; the current one if it is left out.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// File to write the signature to; `-` for standard output [default: -]. With --json and without it, the signature
    /// is in the JSON, in base64 or as XML.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A version as a file.
pub(super) struct Stored {
    pub(super) version: u32,
    kind: String,
    pub(super) bytes: Vec<u8>,
}

/// Reads a version as a file, through a door that acts as its tenant.
pub(super) fn stored(door: &Door, thread: &Thread, version: Option<u32>) -> anyhow::Result<Stored> {
    let answer = thread
        .of(door.get(&["signature"]))
        .with_given("version", version)
        .with_header(ACCEPT, FILE_TYPES)
        .send()?;
    let kind = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
    // The tag is the version, a hyphen and the digest.
    let tag = answer.header(ETAG).unwrap_or_default().trim_matches('"');
    let number = tag.split_once('-').map_or(tag, |(number, _)| number);
    let version = number
        .parse()
        .context("The answer is not one of Sigpersist: check the URL of --server")?;
    let mut bytes = Vec::new();
    answer
        .into_reader()
        .read_to_end(&mut bytes)
        .context("The signature broke off on the way; nothing was written")?;
    Ok(Stored {
        version,
        kind,
        bytes,
    })
}

impl Get {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self {
            thread,
            version,
            output: file,
        } = self;
        let standard = Path::new(STANDARD);
        ensure!(
            !output.is_json() || file.as_deref() != Some(standard),
            "Standard output is for the JSON: give --output a file, or leave it out to get the signature in the JSON."
        );
        let door = door.acting_as(&thread.tenant)?;
        if output.is_json() && file.is_none() {
            let request = thread.of(door.get(&["signature"]));
            let request = request.with_given("version", version);
            return output.result("", &request.member::<Value>("signature")?);
        }
        let Stored {
            version,
            kind,
            bytes,
        } = stored(&door, &thread, version)?;
        let Some(file) = file.filter(|file| file != standard) else {
            let mut stdout = io::stdout().lock();
            ensure!(
                !stdout.is_terminal() || kind.ends_with("xml"),
                "The signature is bytes, which a terminal can't show. Write it to a file with --output FILE, or send it to a program with `| …`; `sigpersist inspect FILE` shows who signed it."
            );
            return stdout
                .write_all(&bytes)
                .and_then(|()| stdout.flush())
                .context("The signature can't be written to standard output");
        };
        std::fs::write(&file, &bytes)
            .with_context(|| format!("{} can't be written", file.display()))?;
        output.result(
            &format!(
                "Wrote version {version} of {} to {}, {} bytes.",
                thread.in_words(),
                file.display(),
                bytes.len()
            ),
            &json!({
                "document": thread.document,
                "thread": thread.thread,
                "version": version,
                "file": file,
                "content_type": kind,
                "size": bytes.len(),
            }),
        )
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// The tenant's slug.
    tenant: String,
    /// Only this document.
    #[arg(long, value_name = "TEXT")]
    document: Option<String>,
    /// Only this thread.
    #[arg(long, value_name = "TEXT")]
    thread: Option<String>,
    /// Only signatures at this stage.
    #[arg(long, value_name = "TEXT")]
    stage: Option<String>,
    /// Only signatures with this tag. Can be repeated; one of them is enough.
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only signatures with all these tags.
    #[arg(long, requires = "tags")]
    all_tags: bool,
    /// At most so many; without it, all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl List {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let door = door.acting_as(&self.tenant)?;
        let mut request = door
            .get(&["signatures"])
            .with_given("document", self.document.as_ref())
            .with_given("thread", self.thread.as_ref())
            .with_given("stage", self.stage.as_ref())
            .with_given("tags_match", self.all_tags.then_some("all"))
            .with("omit", "signature");
        for tag in &self.tags {
            request = request.with("tags", tag);
        }
        let most = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let (found, next) = request.pages::<Value>("signatures", PAGE, most)?;
        let headings = [
            "document", "thread", "version", "stage", "by", "saved", "tags",
        ];
        let mut table = Table::new(&headings);
        for signature in &found {
            let tags = signature["tags"].as_array().into_iter().flatten();
            let tags: Vec<_> = tags.filter_map(Value::as_str).collect();
            table.row([
                text(signature, "document").to_owned(),
                text(signature, "thread").to_owned(),
                signature["version"].to_string(),
                text(signature, "stage").to_owned(),
                text(signature, "version_created_by").to_owned(),
                text(signature, "version_created_at").to_owned(),
                tags.join(", "),
            ]);
        }
        let mut sentence = match found.is_empty() {
            true => format!("`{}` has no such signature.", self.tenant),
            false => table.to_string(),
        };
        if next.is_some() {
            sentence.push_str("\nThere are more: raise --limit, or leave it out.");
        }
        output.result(&sentence, &json!({ "signatures": found, "next": next }))
    }
}
