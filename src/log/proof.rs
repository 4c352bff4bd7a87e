//! Proofs that a version is in its tenant's log.

use sigpersist_model::context::Context;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::{Epoch, VersionName};
use sigpersist_model::signature::ThreadKey;
use sigpersist_store::LoggedVersion;
use sigpersist_tlog::{Checkpoint, Salt, TlogProof};

use super::witnesses::{Given, newest_for};
use crate::app::App;
use crate::signatures;

/// What can be proven about a version.
#[derive(Debug, Clone)]
pub enum ProofState {
    /// It is stored, and will be in the log in a moment.
    Queued,
    /// It is in the log.
    Logged(Box<Proof>),
}

/// The proof that a version is in its tenant's log.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The version.
    pub version: VersionName,
    /// The number of its entry.
    pub number: i64,
    /// The text of the entry.
    pub entry: String,
    /// What the entry's seal covers beside the signature.
    pub metadata: Vec<u8>,
    /// The checkpoint, opened.
    pub checkpoint: Checkpoint,
    /// The proof that the entry is in the tree of the checkpoint. It carries the entry.
    pub proof: TlogProof,
    /// The witnesses that signed the checkpoint; none if the log has no witnesses.
    pub witnesses: Option<Vec<String>>,
    /// Whether enough witnesses signed it.
    pub is_witnessed: bool,
}

/// Proves that a version (the current one if none is named) is in the log. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], [`Error::Refused`] if there is no log or it is not signed, and the errors of the store.
pub fn prove(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    version: Option<u32>,
) -> Result<ProofState> {
    if !app.config.evidence.log {
        return Err(Error::refused(
            "This server keeps no logs: its setting `evidence.log` is false.",
        ));
    }
    let found = app.store.log_entry_of(context.tenant()?, key, version)?;
    let Some(found) = found else {
        signatures::get(app, context, key, version)?;
        return Ok(ProofState::Queued);
    };
    let LoggedVersion {
        logged,
        epochs,
        has_witnesses,
    } = found;
    let number = logged.numbered.number;
    let Some(epoch) = Epoch::of(&epochs, number) else {
        // The log still arrives with an import, or somebody added a row.
        return Ok(ProofState::Queued);
    };
    let index = epoch.index(number).unwrap_or_default();
    let Given {
        checkpoint,
        note,
        witnesses,
        is_witnessed,
    } = newest_for(app, epoch, index, has_witnesses)?;
    // The entry may be younger than the last checkpoint, if the master key was missing for a while.
    if index >= checkpoint.size {
        return Ok(ProofState::Queued);
    }
    let hashes = app.store.log_inclusion(epoch, index, checkpoint.size)?;
    let entry = logged.numbered.entry().to_text();
    let version = logged
        .version
        .ok_or_else(|| Error::internal("a logged version is not stored"))?;
    Ok(ProofState::Logged(Box::new(Proof {
        metadata: metadata(&version)?,
        version,
        number,
        proof: TlogProof {
            extra: Some(entry.clone().into_bytes()),
            index,
            proof: hashes,
            checkpoint: note,
        },
        entry,
        checkpoint,
        witnesses,
        is_witnessed,
    })))
}

/// The last signed checkpoint of a tree.
///
/// # Errors
///
/// [`Error::Refused`] if there is none.
pub fn signed(epoch: &Epoch) -> Result<(Checkpoint, String)> {
    let note = epoch.checkpoint.clone().ok_or_else(|| {
        Error::refused(
            "The log is not signed yet: the server has no master key, with which it would keep a key to sign with.",
        )
    })?;
    Ok((opened(&note)?, note))
}

/// The checkpoint in a note of our own, which is not verified.
pub(in crate::log) fn opened(note: &str) -> Result<Checkpoint> {
    let text = note.split_inclusive('\n').take(3).collect::<String>();
    Checkpoint::parse(&text).map_err(Error::internal)
}

fn metadata(version: &VersionName) -> Result<Vec<u8>> {
    let salt = version.salt.as_deref();
    let salt = salt.ok_or_else(|| Error::internal("a logged version has no salt"))?;
    let salt: Salt = salt.try_into().map_err(Error::internal)?;
    Ok(version.metadata().to_bytes(&salt))
}
