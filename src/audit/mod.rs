//! The audit trail: a record of each change that an operator makes, written in the transaction of the change.
//!
//! Events are only ever added. Each has the hash of the event before it in its chain, which is its tenant's or the
//! platform's. `verify` finds events that somebody with rights on the database changed, removed or moved. Whoever has
//! such rights can also recompute all hashes, so each event has a seal under a key that the database does not see
//! (`seal`). If somebody removes the end of a chain, or all seals with their key, only a head that was noted
//! elsewhere shows it.
//!
//! An imported tenant brings its earlier chains along. They are stored apart and unchanged, and the tenant's own
//! chain states where they end (`statement`).

mod list;
mod seal;
mod seals;
mod verify;
mod walk;

pub use list::{MAX_LIMIT, list};
pub use seal::seal;
pub use verify::{ImportedPart, Keyed, Keys, Verified, verify, verify_chain};
pub use walk::{Walk, Walked};
