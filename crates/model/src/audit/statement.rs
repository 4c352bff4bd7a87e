//! What an import states of a chain that it brought, in an event of the tenant's own chain: that chain, and its seals, vouch
//! for the other one from then on. Plain values, no I/O.

use super::event::{Head, Recorded};
use super::fault::Fault;
use serde::{Deserialize, Serialize};

/// The action of events that state something.
pub const STATEMENT: &str = "audit.import";

/// How far a chain goes that was imported, and what was wrong with it when it was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Counts the chains that were imported into the tenant, from 1.
    pub part: i32,
    /// The slug that the tenant had where the chain comes from.
    pub source: String,
    /// The number that the tenant had there.
    pub source_id: i32,
    /// Where the chain ends; none where its server did not know.
    pub head: Option<Head>,
    /// How many events had a seal that its server found right when it was exported; none where it did not look.
    pub keyed: Option<u64>,
    /// What else its server found then.
    pub faults: Vec<Fault>,
}

impl Statement {
    /// The statement of an event; nothing where it is none.
    pub fn of(event: &Recorded) -> Option<Self> {
        serde_json::from_str(event.after.as_deref()?).ok()
    }
}
