//! The statement that an import makes about a chain that it brought, in an event of the tenant's own chain. From then
//! on the own chain, with its seals, vouches for the imported one. Plain values, no I/O.

use super::event::{Head, Recorded};
use super::fault::Fault;
use serde::{Deserialize, Serialize};

/// The action of events that contain a statement.
pub const STATEMENT: &str = "audit.import";

/// The end of an imported chain, and the faults that it had when it was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The number of the imported chain within the tenant, from 1.
    pub part: i32,
    /// The slug that the tenant had on the exporting server.
    pub source: String,
    /// The number that the tenant had there.
    pub source_id: i32,
    /// The end of the chain; none if the exporting server did not know.
    pub head: Option<Head>,
    /// The number of events whose seal the exporting server found valid; none if it did not check seals.
    pub keyed: Option<u64>,
    /// The other faults that the exporting server found.
    pub faults: Vec<Fault>,
}

impl Statement {
    /// Reads the statement of an event; none if the event has none.
    pub fn of(event: &Recorded) -> Option<Self> {
        serde_json::from_str(event.after.as_deref()?).ok()
    }
}
