//! The log of each tenant: a Merkle tree (RFC 6962) whose entries say what happened to it, under signed checkpoints.
//!
//! What happens is queued within its own transaction. Each server has a `sequencer`; one at a time moves the queue into the
//! logs. `keys` sign the checkpoints. `heads` remembers how far the logs were, so that a database that went back in time is
//! noticed; `reopen` lets its log go on. `backfill` logs what was stored before. `anchors` adds the heads of logs to the
//! platform's log, and `digests` adds what hooks decided on a day, which `decisions` compares. `proof` proves versions, and
//! `bundle` puts a proof into one file, which `offline` verifies; `witnesses` sign the checkpoints, too. `tiles` serves a log
//! to monitors, to the public if `settings` say so, and `verify` compares it with what is stored. `owner` says whose log it is.
//!
//! [`sigpersist_tlog`] has the trees and formats.

mod anchors;
mod backfill;
mod bundle;
mod decisions;
mod digests;
mod heads;
mod keys;
pub mod offline;
mod owner;
mod proof;
mod reopen;
mod sequencer;
mod settings;
mod tiles;
mod verify;
mod witnesses;

pub use anchors::{anchor, keep_anchoring};
pub use backfill::keep_backfilling;
pub use digests::{Digests, keep_digesting};
pub use keys::{KeysOfLog, VerifyingKey, keys_of_log, rotate, verifying_keys};
pub use proof::{Proof, ProofState, prove, signed};
pub use reopen::reopen;
pub use sequencer::{Sequencer, keep_sequencing};
pub use settings::{public, set, show};
pub use tiles::tile;
pub use verify::verify;
pub use witnesses::{
    Added, Given, NewWitness, add as add_witness, keep_witnessing, list as witnesses, newest,
    newest_for, newest_witnessed, remove as remove_witness,
};
