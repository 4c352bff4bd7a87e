//! The domain: signatures of documents, in threads of versions. One file for each use-case.

mod accept;
mod audited;
mod delete;
mod get;
mod indexing;
mod judging;
mod list;
mod save;
pub mod summary;
mod verify;

pub use audited::recreated;
pub use delete::delete;
pub use get::{get, history};
pub use indexing::keep_indexing;
pub use judging::judging;
pub use list::{List, MAX_LIMIT, Threads, list};
pub use save::{Saved, save};
pub use verify::{MAX_VERDICTS, examine, verdicts, verify};
