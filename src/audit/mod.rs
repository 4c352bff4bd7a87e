//! The audit trail: what is written down of each change that an operator makes, in the transaction that makes it.
//!
//! Events are only ever added, each with the hash of the one before it in its tenant's chain, or the platform's. `verify`
//! finds what somebody with rights on the database changed, took away or moved. Whoever may do that can also make a whole
//! chain anew: against that helps only the end of a chain as it was noted elsewhere.

mod list;
mod model;
mod verify;

pub use list::{MAX_LIMIT, Page, list};
pub use model::{Actor, ActorKind, Event, Filter, Head, NO_HASH, Place, Recorded, Whose};
pub use verify::{Fault, MAX_FAULTS, Verified, verify};
