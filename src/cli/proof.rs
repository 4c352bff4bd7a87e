//! `sigpersist proof`.

use std::fs::{self, File, Permissions};
use std::io::{Cursor, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use http::header::CONTENT_TYPE;
use serde_json::json;
use sigpersist_tlog::VerifierKey;
use tempfile::NamedTempFile;
use zip::ZipArchive;

use super::door::Door;
use super::output::{Output, shown};
use crate::log::offline::{FILE_NAMES, GivenKey, ProofFiles, Proven, Quorum, verify};

/// Longest time to wait until a version that was just saved is in the log.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(250);
/// The largest bundle that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// The largest file of a proof, in bytes. Signatures are much smaller, with any limit that a server may have.
const MAX_FILE_BYTES: u64 = 128 * 1024 * 1024;

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
    /// The public key of a witness, NAME+ID+KEY, of which you have made sure. Can be repeated.
    #[arg(long, value_name = "KEY")]
    witness: Vec<VerifierKey>,
    /// How many of these witnesses must have signed the checkpoint [default: 1 if you give any].
    #[arg(long, value_name = "NUMBER", requires = "witness")]
    quorum: Option<usize>,
}

impl Get {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let folder = &self.output;
        unpack(self.bundle(door)?, folder)?;
        output.result(
            &format!(
                "Wrote the proof to {0}. Verify it with: sigpersist proof verify {0} --log-key KEY, where KEY is one that `sigpersist log keys {1}` shows.",
                folder.display(),
                self.tenant
            ),
            &json!({ "folder": folder, "files": FILE_NAMES }),
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
                "The version is stored, but not in the log yet: is a server running? Try again later. `sigpersist log show {}` shows whether the log is frozen.",
                self.tenant
            );
            thread::sleep(PAUSE);
        }
    }
}

/// Writes the files of a bundle into a folder.
pub(super) fn unpack(bundle: Vec<u8>, folder: &Path) -> anyhow::Result<()> {
    let mut zip = ZipArchive::new(Cursor::new(bundle)).context("The proof can't be read")?;
    fs::create_dir_all(folder)
        .with_context(|| format!("The folder {} can't be made", folder.display()))?;
    // Whoever answers must not choose which files are written.
    for name in FILE_NAMES {
        let file = zip
            .by_name(name)
            .with_context(|| format!("The proof has no file {name}"))?;
        let mut content = Vec::new();
        file.take(MAX_FILE_BYTES)
            .read_to_end(&mut content)
            .context("The proof can't be read")?;
        write(folder, name, &content)?;
    }
    Ok(())
}

impl Verify {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let keys: Vec<_> = self.log_key.into_iter().flat_map(|keys| keys.0).collect();
        let quorum = Quorum::new(self.witness, self.quorum).map_err(anyhow::Error::msg)?;
        let proven = verified(&self.folder, &keys, &quorum)?;
        output.result(&sentence(&proven), &json!(proven))
    }
}

/// What the proof in a folder proves.
pub(super) fn verified(
    folder: &Path,
    keys: &[GivenKey],
    quorum: &Quorum,
) -> anyhow::Result<Proven> {
    let files = ProofFiles {
        signature: read(folder, "signature")?,
        metadata: read(folder, "metadata")?,
        entry: read(folder, "entry")?,
        proof: read(folder, "proof.tlog-proof")?,
        checkpoint: match folder.join("checkpoint").exists() {
            true => Some(read(folder, "checkpoint")?),
            false => None,
        },
    };
    verify(&files, keys, quorum).context("The proof does not hold")
}

fn read(folder: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    let path = folder.join(name);
    let read = || {
        let mut content = Vec::new();
        let file = File::open(&path)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content)?;
        std::io::Result::Ok(content)
    };
    let content = read().with_context(|| {
        let path = path.display();
        format!("The file {path} can't be read: give the folder with the files of a proof. A bundle is a ZIP file; unpack it first")
    })?;
    ensure!(
        content.len() as u64 <= MAX_FILE_BYTES,
        "The file {} is too large for a file of a proof.",
        path.display()
    );
    Ok(content)
}

/// Writes a file in place of one that is there. A link is replaced, not followed.
fn write(folder: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    let written = || {
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file()
            .set_permissions(Permissions::from_mode(0o644))?;
        file.persist(&path)?;
        std::io::Result::Ok(())
    };
    written().with_context(|| format!("{} can't be written", path.display()))
}

/// What is proven, for people.
pub(super) fn sentence(proven: &Proven) -> String {
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
    for witness in &proven.witnesses {
        let name = shown(&witness.name);
        text.push_str(&format!(
            "\nWitness: {name}, which signed at {}",
            witness.at
        ));
    }
    if !proven.tags.is_empty() {
        text.push_str(&format!("\nTags: {}", shown(&proven.tags.join(", "))));
    }
    text
}
