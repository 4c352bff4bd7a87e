//! Plugins and hooks: what operators upload and bind, and how a tenant's chain comes together from it.
//!
//! - `revisions` takes, shows and deletes plugins; `bindings` does the same with hooks; `request` is what
//!   operators ask of a hook, and `candidate` checks that a revision and its settings can run.
//! - `chains` makes a tenant's hooks ready to run, and `preload` all their plugins at start; `quarantine` sets those
//!   aside that keep failing.

mod bindings;
mod candidate;
mod chains;
mod preload;
mod quarantine;
mod request;
mod revisions;

pub(crate) use bindings::import_event;
pub use bindings::{
    SetHook, check_binding, delete_hook, hook, hooks, release, reorder, rollback, set_hook,
};
pub use candidate::{Candidate, Which, bindable, candidate};
pub use chains::{Judges, chain, judges};
pub use preload::preload;
pub use quarantine::set_aside;
pub use request::{HookRequest, ShadowRequest};
pub use revisions::{
    Uploaded, component, delete_plugin, owners, plugin, plugins, revision, revisions, upload,
};

/// Names that paths of the API, or trials, mean otherwise.
const RESERVED_HOOK_NAMES: [&str; 5] = ["order", "evaluate", "backtest", "decisions", "candidate"];
