//! The log in a tenant's file: its trees with their entries, and what had no number yet.
//!
//! An import into a tenant that it makes takes the log: the trees become closed ones, and another one goes on after them.
//! Entries are written in batches while the file is read, and belong to no tree until everything of the file is there. An
//! import that was interrupted goes on after the last entry. Any other tenant keeps its own log.
//!
//! `walk` verifies a log, `export` writes it, and `import` takes it.

mod export;
mod import;
mod walk;

pub(super) use export::{read, write};
pub(super) use import::{Log, superseded};
pub(super) use walk::Walk;
