//! The audit trail: events in chains, what an import states of the chains that it brought, and what can be wrong with one.

mod event;
mod fault;
mod statement;

pub use event::{
    Actor, ActorKind, Event, EventOwner, Filter, Head, ImportedInto, Listed, NO_HASH, Place,
    Recorded,
};
pub use fault::{Fault, MAX_FAULTS};
pub use statement::{STATEMENT, Statement};
