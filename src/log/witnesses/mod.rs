//! Witnesses: others that sign a log's checkpoints, each only if the log still has what it had when that witness signed last
//! (<https://c2sp.org/tlog-witness>). So nobody can show two of their readers different histories.
//!
//! `manage` has the use-cases of those who set them up. On each server a `background` task asks the witnesses that it has
//! leased; `ask` makes one exchange and judges the answer. `cosigned` gives out checkpoints with the signatures.
//! [`sigpersist_outbound`] decides where a request may go.

mod ask;
mod background;
mod cosigned;
mod manage;

pub use background::keep_witnessing;
pub use cosigned::{Given, newest, newest_for, newest_witnessed};
pub use manage::{Added, NewWitness, add, list, remove};
