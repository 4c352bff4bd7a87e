//! `sigpersist proof`.

use std::fs;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use http::header::CONTENT_TYPE;
use serde_json::json;
use zip::ZipArchive;

use super::door::Door;
use super::output::{Output, shown};
use crate::log::offline::{GivenKey, ProofFiles, Proven, verify};

/// Longest time to wait until a version that was just saved is in the log.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);
/// The largest bundle that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Proof {
    /// Write the proof that a version is in its tenant's log, as files into a folder.
    Get(Get),
    /// Verify a proof without a server: the files of `proof get`, or of a bundle. Exits with 0 only if it holds.
    Verify(Verify),
}

#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(super) struct Get {
    /// The tenant's slug.
    tenant: String,
    /// The document.
    document: String,
    /// The thread.
    thread: String,
    /// The version; the current one if it is left out.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// The folder to write to. It is made if it does not exist.
    #[arg(long, value_name = "DIR", default_value = "proof")]
    output: PathBuf,
}

/// One or several keys.
#[derive(Debug, Clone)]
struct GivenKeys(Vec<GivenKey>);

impl FromStr for GivenKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keys: Vec<_> = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("there is no key".to_owned());
        }
        Ok(Self(keys))
    }
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The folder with the files of the proof.
    folder: PathBuf,
    /// A public key of the log, as `log keys` prints it, or in base64 alone. Of several, separated by white space or each
    /// with an option of its own, one is enough.
    #[arg(long, value_name = "KEY", required = true)]
    log_key: Vec<GivenKeys>,
}

impl Get {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let bundle = self.bundle(door)?;
        let mut zip = ZipArchive::new(Cursor::new(bundle)).context("The proof can't be read")?;
        let folder = &self.output;
        fs::create_dir_all(folder)
            .with_context(|| format!("The folder {} can't be made", folder.display()))?;
        let mut files = Vec::new();
        for place in 0..zip.len() {
            let mut file = zip.by_index(place).context("The proof can't be read")?;
            // Whoever answers must not choose where something is written.
            let name = file
                .enclosed_name()
                .filter(|name| name.components().count() == 1);
            let Some(name) = name else {
                bail!("The proof has a file whose name is a path; nothing more was written.");
            };
            let mut content = Vec::new();
            file.read_to_end(&mut content)
                .context("The proof can't be read")?;
            let path = folder.join(&name);
            fs::write(&path, content)
                .with_context(|| format!("{} can't be written", path.display()))?;
            files.push(name);
        }
        output.result(
            &format!(
                "Wrote the proof to {0}. Verify it with: sigpersist proof verify {0} --log-key KEY, where KEY is one that `sigpersist log keys {1}` shows.",
                folder.display(),
                self.tenant
            ),
            &json!({ "folder": folder, "files": files }),
        )
    }

    /// The proof with everything that a verification needs, once the version is in the log.
    fn bundle(&self, door: &Door) -> anyhow::Result<Vec<u8>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = door
                .get(&["tenants", &self.tenant, "signature", "proof"])
                .with("document", &self.document)
                .with("thread", &self.thread)
                .with_given("version", self.version)
                .with("format", "bundle")
                .send()?;
            if answer.header(CONTENT_TYPE) == Some("application/zip") {
                let mut bundle = Vec::new();
                let mut body = answer.into_reader().take(MAX_BYTES);
                body.read_to_end(&mut bundle)
                    .context("The proof broke off on the way")?;
                return Ok(bundle);
            }
            ensure!(
                Instant::now() < until,
                "The version is stored, but not in the log yet: is a server running? Try again later."
            );
            thread::sleep(PAUSE);
        }
    }
}

impl Verify {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let files = ProofFiles {
            signature: read(&self.folder, "signature")?,
            metadata: read(&self.folder, "metadata")?,
            entry: read(&self.folder, "entry")?,
            proof: read(&self.folder, "proof.tlog-proof")?,
            checkpoint: fs::read(self.folder.join("checkpoint")).ok(),
        };
        let keys: Vec<_> = self.log_key.into_iter().flat_map(|keys| keys.0).collect();
        let proven = verify(&files, &keys).context("The proof does not hold")?;
        output.result(&sentence(&proven), &json!(proven))
    }
}

fn read(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let path = folder.join(name);
    fs::read(&path).with_context(|| {
        let path = path.display();
        format!("The file {path} can't be read: give the folder with the files of a proof. A bundle is a ZIP file; unpack it first")
    })
}

fn sentence(proven: &Proven) -> String {
    let mut text = format!(
        "The proof holds: version {} of `{}`/`{}` is entry {} of {} of the log {}.\nThe log says that it was saved at {}; the signature has the SHA-256 {}.",
        proven.version,
        shown(&proven.document),
        shown(&proven.thread),
        proven.index + 1,
        proven.size,
        proven.origin,
        proven.at,
        proven.sha256,
    );
    for (name, value) in [
        ("Stage", &proven.stage),
        ("Creator", &proven.created_by),
        ("Comment", &proven.comment),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("\n{name}: {}", shown(value)));
        }
    }
    if !proven.tags.is_empty() {
        text.push_str(&format!("\nTags: {}", shown(&proven.tags.join(", "))));
    }
    text
}
