//! Plugins and hooks: operators upload plugins and bind them to tenants, and each tenant's hooks form a chain.
//!
//! - `revisions` uploads, shows and deletes plugins, and `bindings` sets, shows and deletes hooks. `history` shows what a
//!   hook was before, and restores it. `request` is an operator's request for a hook, and `candidate` checks that a
//!   revision can run with its settings.
//! - `chains` makes a tenant's hooks ready to run, `preload` does so for all plugins in use at start, and `quarantine`
//!   sets hooks aside that keep failing.

mod bindings;
mod candidate;
mod chains;
mod history;
mod preload;
mod quarantine;
mod request;
mod revisions;

pub(crate) use bindings::import_event;
pub use bindings::{SetHook, check_binding, delete_hook, hook, hooks, release, reorder, set_hook};
pub use candidate::{Candidate, Which, bindable, candidate};
pub use chains::{HeldPermit, ReadyChain, chain, ready_chain};
pub use history::{MAX_LIMIT, binding, history, rollback};
pub use preload::preload;
pub use quarantine::set_aside;
pub use request::{HookRequest, ShadowRequest};
pub use revisions::{
    Upload, Uploaded, component, delete_plugin, plugin, plugins, revision, revisions, upload,
};

/// Names that no hook may have, since paths of the API or trials use them.
const RESERVED_HOOK_NAMES: [&str; 5] = ["order", "evaluate", "backtest", "decisions", "candidate"];
