//! Verifying a proof with nothing but its files and a public key.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use sigpersist_model::digest::to_hex;
use sigpersist_model::time;
use sigpersist_tlog::{
    Entry, Invalid, KeyKind, Metadata, Note, TlogProof, VerifierKey, cosignatures,
    is_like_metadata, seal, sha256,
};

/// The names of the files of a proof.
pub const FILE_NAMES: [&str; 6] = [
    "signature",
    "metadata",
    "entry",
    "proof.tlog-proof",
    "checkpoint",
    "VERIFY.md",
];

/// The files of a proof.
#[derive(Debug, Clone)]
pub struct ProofFiles {
    /// The signature's bytes.
    pub signature: Vec<u8>,
    /// What the seal covers beside them.
    pub metadata: Vec<u8>,
    /// The entry.
    pub entry: Vec<u8>,
    /// The proof with the checkpoint (C2SP tlog-proof).
    pub proof: Vec<u8>,
    /// The checkpoint once more, if there is such a file.
    pub checkpoint: Option<Vec<u8>>,
}

/// A public key of a log, as somebody gives it.
#[derive(Debug, Clone)]
pub enum GivenKey {
    /// A key of the log with this name.
    Named(VerifierKey),
    /// A key of a log with any name.
    Bare([u8; 32]),
}

impl FromStr for GivenKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(key) = text.parse() {
            return Ok(Self::Named(key));
        }
        let bare = BASE64.decode(text).ok();
        // KEY of `NAME+ID+KEY` has a byte before it that says what key it is (C2SP signed-note).
        let bare = bare.map(|key| match key.strip_prefix(&[KeyKind::Note.code()]) {
            Some(rest) if rest.len() == 32 => rest.to_vec(),
            _ => key,
        });
        let bare = bare.and_then(|key| key.try_into().ok());
        bare.map(Self::Bare).ok_or_else(|| {
            "a key of a log is `NAME+ID+KEY`, as `sigpersist log keys` prints it, or 32 bytes in base64".to_owned()
        })
    }
}

impl GivenKey {
    fn for_log(&self, origin: &str) -> VerifierKey {
        match self {
            Self::Named(key) => key.clone(),
            Self::Bare(key) => VerifierKey::new(origin, *key),
        }
    }
}

/// The witnesses of whom some must have signed a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct Quorum {
    witnesses: Vec<VerifierKey>,
    least: usize,
}

impl Quorum {
    /// Demands that at least so many of these witnesses signed; without a number at least one, if there are any.
    ///
    /// # Errors
    ///
    /// A sentence if a key is not a witness's, two are the same, or there are fewer than that.
    pub fn new(witnesses: Vec<VerifierKey>, least: Option<usize>) -> Result<Self, String> {
        for (number, key) in witnesses.iter().enumerate() {
            if key.kind != KeyKind::Cosignature {
                return Err(format!(
                    "The key of `{}` is not that of a witness, which has the type 0x04.",
                    key.name
                ));
            }
            // A signature does not cover the name of the witness, so one could count as two.
            let others = witnesses.iter().skip(number + 1);
            if let Some(other) = others
                .into_iter()
                .find(|other| other.public_key == key.public_key)
            {
                return Err(format!(
                    "The witnesses `{}` and `{}` have the same key: give each once.",
                    key.name, other.name
                ));
            }
        }
        let least = least.unwrap_or(usize::from(!witnesses.is_empty()));
        if least > witnesses.len() {
            return Err(format!(
                "No proof can have the signatures of {least} witnesses if you give the keys of {}: give more with --witness.",
                witnesses.len()
            ));
        }
        Ok(Self { witnesses, least })
    }
}

/// A witness that signed a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// The name of the witness.
    pub name: String,
    /// When it signed, as it says.
    pub at: String,
}

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proven {
    /// The name of the log.
    pub origin: String,
    /// The place of the entry in the log, from 0.
    pub index: u64,
    /// The number of entries of the log that the checkpoint is about.
    pub size: u64,
    /// What the entry says: `version`, or how else it came to be stored.
    pub kind: String,
    /// When it happened, as the log says.
    pub at: String,
    /// SHA-256 of the signature.
    pub sha256: String,
    /// The document.
    pub document: String,
    /// The thread.
    pub thread: String,
    /// The version.
    pub version: u32,
    /// How the text that was sent follows from the signature's bytes: `base64` or `text`.
    pub encoding: String,
    /// The stage.
    pub stage: Option<String>,
    /// The creator.
    pub created_by: Option<String>,
    /// The comment.
    pub comment: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// The witnesses that signed the checkpoint, of those whose keys are given.
    pub witnesses: Vec<Signed>,
}

/// A reason why a proof does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The files are not those of a proof, or the log's part of it does not hold.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The proof is not a text.
    #[error("proof.tlog-proof is not a text")]
    NotText,
    /// The entry is about something else than a version.
    #[error("the entry is not about a version")]
    OtherKind,
    /// The entry that the proof carries is not the one beside it.
    #[error("the file entry is not the entry in proof.tlog-proof: one of them was changed")]
    OtherEntry,
    /// A seal does not say which of its two parts is the signature: signatures that look like metadata are not believed.
    #[error(
        "the signature begins as metadata of a version do: it may have been made to pass off other metadata"
    )]
    Ambiguous,
    /// The checkpoint beside the proof is not the one in it.
    #[error(
        "the file checkpoint is not the checkpoint in proof.tlog-proof: one of them was changed"
    )]
    OtherCheckpoint,
    /// No key that was given is one of the log.
    #[error(
        "the checkpoint is not signed by a key that you gave. It is of the log {0}: ask its owner for the key"
    )]
    OtherKey(String),
    /// Too few of the witnesses signed the checkpoint.
    #[error(
        "the checkpoint is signed by {found} of the witnesses whose keys you gave, and you ask for {least}: get the proof again when more of them have signed"
    )]
    TooFewWitnesses {
        /// The number of those that signed.
        found: usize,
        /// The number of those that must have signed.
        least: usize,
    },
    /// The seal is of another signature or other metadata.
    #[error("the entry is not about this signature with this metadata: one of them was changed")]
    OtherObject,
}

/// Verifies that a log, of which one key is given, has a version, and that enough witnesses signed its checkpoint.
///
/// # Errors
///
/// The first reason why the proof does not hold.
pub fn verify(files: &ProofFiles, keys: &[GivenKey], quorum: &Quorum) -> Result<Proven, Fault> {
    let text = std::str::from_utf8(&files.proof).map_err(|_| Fault::NotText)?;
    let proof: TlogProof = text.parse()?;
    let origin = proof.checkpoint.lines().next().unwrap_or_default();
    let keys: Vec<_> = keys.iter().map(|key| key.for_log(origin)).collect();
    let entry = Entry::parse(&files.entry)?;
    let checkpoint = match proof.verify(&entry.leaf(), origin, &keys) {
        Err(Invalid::Unsigned) => return Err(Fault::OtherKey(origin.to_owned())),
        verified => verified?,
    };
    let witnesses = signed(&proof.checkpoint, quorum)?;
    if proof
        .extra
        .as_deref()
        .is_some_and(|extra| extra != files.entry)
    {
        return Err(Fault::OtherEntry);
    }
    let beside = files.checkpoint.as_ref();
    if beside.is_some_and(|beside| *beside != proof.checkpoint.as_bytes()) {
        return Err(Fault::OtherCheckpoint);
    }
    if !entry.kind.is_of_version() {
        return Err(Fault::OtherKind);
    }
    if is_like_metadata(&files.signature) {
        return Err(Fault::Ambiguous);
    }
    let signature = sha256(&files.signature);
    if seal(&signature, &sha256(&files.metadata)) != entry.seal {
        return Err(Fault::OtherObject);
    }
    let Metadata::Version { version, .. } = Metadata::parse(&files.metadata)? else {
        return Err(Fault::OtherObject);
    };
    let at = time::from_micros(entry.at_micros).map(time::to_text);
    Ok(Proven {
        origin: checkpoint.origin,
        index: proof.index,
        size: checkpoint.size,
        kind: entry.kind.to_string(),
        at: at.unwrap_or_default(),
        sha256: to_hex(&signature),
        document: version.document,
        thread: version.thread,
        version: version.version,
        encoding: version.encoding,
        stage: version.stage,
        created_by: version.created_by,
        comment: version.comment,
        tags: version.tags,
        witnesses,
    })
}

/// The witnesses that signed a checkpoint, if they are enough.
fn signed(checkpoint: &str, quorum: &Quorum) -> Result<Vec<Signed>, Fault> {
    let found = cosignatures(&Note::parse(checkpoint)?, &quorum.witnesses)?;
    if found.len() < quorum.least {
        return Err(Fault::TooFewWitnesses {
            found: found.len(),
            least: quorum.least,
        });
    }
    let found = found.into_iter();
    Ok(found
        .map(|cosignature| Signed {
            name: cosignature.key.name,
            at: at(cosignature.at_s),
        })
        .collect())
}

/// A time in seconds since 1970, as text.
fn at(seconds: u64) -> String {
    let micros = i64::try_from(seconds)
        .ok()
        .and_then(|s| s.checked_mul(1_000_000));
    let at = micros.and_then(time::from_micros).map(time::to_text);
    // A witness may say any time.
    at.unwrap_or_else(|| format!("{seconds} s after 1970"))
}
