//! Checkpoints as they are given out: with the signatures of witnesses, if there are any.

use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::Epoch;
use sigpersist_store::{Cosigned, Witnessed};
use sigpersist_tlog::Checkpoint;

use super::super::proof::{opened, signed};
use crate::app::App;

/// A checkpoint as it is given out.
#[derive(Debug, Clone)]
pub struct Given {
    /// The checkpoint, opened.
    pub checkpoint: Checkpoint,
    /// The whole note.
    pub note: String,
    /// The witnesses that signed it; none if the log has no witnesses.
    pub witnesses: Option<Vec<String>>,
    /// Whether enough witnesses signed it: `evidence.witness_quorum`, and at least one.
    pub is_witnessed: bool,
}

/// The newest checkpoint of a tree. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if there is none, and the errors of the store.
pub fn newest(app: &App, epoch: &Epoch) -> Result<Given> {
    witnessed_above(app, epoch, None, true)
}

/// The newest checkpoint of a tree that enough witnesses have signed. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if there is none, and the errors of the store.
pub fn newest_witnessed(app: &App, epoch: &Epoch) -> Result<Given> {
    let quorum = quorum(app).max(1);
    let witnessed = app.store.log_witnessed(epoch, Some(0), quorum, 0)?;
    match witnessed.newest {
        Some(cosigned) => given(app, cosigned),
        None if witnessed.has_witnesses => Err(Error::refused(format!(
            "No checkpoint of this log has been signed by {quorum} of its witnesses (evidence.witness_quorum). `sigpersist witness list` shows what they do."
        ))),
        None => Err(Error::refused(
            "This log has no witnesses. Add one with `sigpersist witness add`.",
        )),
    }
}

/// The checkpoint for the proof of an entry, whose place in the tree is `index`, from 0. Blocks.
///
/// It is the newest one that enough witnesses have signed, if it covers the entry; otherwise the newest of all.
///
/// # Errors
///
/// [`Error::Refused`] if there is none, and the errors of the store.
pub fn newest_for(app: &App, epoch: &Epoch, index: u64, has_witnesses: bool) -> Result<Given> {
    let above = (quorum(app) > 0).then_some(signed_size(index));
    witnessed_above(app, epoch, above, has_witnesses)
}

/// The newest checkpoint with more than `above` entries that enough witnesses have signed; if there is none, or without
/// `above`, the newest of all, with the signatures of those who signed just this one. Nobody is asked about witnesses of a log that
/// is known to have none.
fn witnessed_above(
    app: &App,
    epoch: &Epoch,
    above: Option<i64>,
    may_have_witnesses: bool,
) -> Result<Given> {
    let (checkpoint, mut note) = signed(epoch)?;
    let size = signed_size(checkpoint.size);
    let witnessed = if may_have_witnesses {
        app.store.log_witnessed(epoch, above, quorum(app), size)?
    } else {
        Witnessed::default()
    };
    if let Some(cosigned) = witnessed.newest {
        return given(app, cosigned);
    }
    let mut witnesses = witnessed.has_witnesses.then(Vec::new);
    // Another root of the same size would be a fault that `log verify` tells; here it must not spoil the checkpoint.
    let text = checkpoint.to_text();
    let is_same = |other: &Cosigned| other.checkpoint.starts_with(&text);
    if let Some(cosigned) = witnessed.of_size.filter(is_same) {
        note += &cosigned.lines;
        witnesses = Some(cosigned.witnesses);
    }
    Ok(Given {
        checkpoint,
        note,
        is_witnessed: witnesses
            .as_deref()
            .is_some_and(|names| is_enough(app, names)),
        witnesses,
    })
}

fn quorum(app: &App) -> i64 {
    app.config.evidence.witness_quorum.into()
}

/// A number of entries as the store has it.
fn signed_size(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// A checkpoint that witnesses have signed.
fn given(app: &App, cosigned: Cosigned) -> Result<Given> {
    let Cosigned {
        checkpoint: note,
        lines,
        witnesses,
    } = cosigned;
    Ok(Given {
        checkpoint: opened(&note)?,
        note: note + &lines,
        is_witnessed: is_enough(app, &witnesses),
        witnesses: Some(witnesses),
    })
}

fn is_enough(app: &App, witnesses: &[String]) -> bool {
    i64::try_from(witnesses.len()).is_ok_and(|count| count >= quorum(app).max(1))
}
