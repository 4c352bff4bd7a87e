//! Decisions of hooks and their inputs: recorded with each save and delete, listed, replayed, and deleted after the
//! retention time.

mod list;
mod replay;
mod retention;
mod settle;

pub use list::{Filter, MAX_LIMIT, get, list};
pub use replay::{Replay, replay};
pub use retention::keep_clearing;
pub(crate) use settle::settle;
