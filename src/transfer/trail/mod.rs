//! The audit trail in a tenant's file: the chains that were imported into the tenant, in their order, and its own as it was when it
//! was exported. Events are as they happened, so that their hashes can be worked out anew wherever they are.
//!
//! A chain that is not whole travels, too, and says so; one that was changed on the way is refused.

mod export;
mod import;

pub(super) use export::{read, write};
pub(super) use import::Trail;
