//! The audit trail in a tenant's file: the chains that were imported into the tenant, in their order, then its own
//! chain as it was at the export.
//!
//! Events are unchanged, so that their hashes can be recomputed anywhere.
//! A chain that has faults is exported, too, with a list of them. A chain that was changed after the export is
//! refused.

mod export;
mod import;

pub(super) use export::{read, write};
pub(super) use import::Trail;
