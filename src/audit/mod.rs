//! The audit trail: what is written down of each change that an operator makes, in the transaction that makes it.
//!
//! Events are only ever added, each with the hash of the one before it in its tenant's chain, or the platform's. `verify`
//! finds what somebody with rights on the database changed, took away or moved. Whoever may do that can also work out all
//! hashes anew, so each event has a seal under a key that the database does not see (`seal`). Against whoever takes away the
//! end of a chain, or all seals with their key, helps only what was noted elsewhere.
//!
//! A tenant that was imported brings the chains that it had elsewhere. They are kept apart, as they were there, and its own
//! chain states how far they go (`statement`).

mod keys;
mod list;
mod seals;
mod verify;
mod walk;

pub use keys::{seal, seal_key};
pub use list::{MAX_LIMIT, Page, list};
pub use verify::{ImportedPart, Keyed, Keys, Verified, verify, verify_chain};
pub use walk::{Walk, Walked};
