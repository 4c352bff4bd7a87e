//! Decisions of hooks and their inputs: recorded with each save and delete, listed, replayed, and deleted after the
//! retention time. What was refused is told in the log of the tenant (`refusals`).

mod list;
mod refusals;
mod replay;
mod retention;
mod settle;

pub use list::{Filter, MAX_LIMIT, get, list};
pub(crate) use refusals::tell;
pub use replay::{Replay, replay};
pub use retention::keep_clearing;
pub(crate) use settle::settle;
