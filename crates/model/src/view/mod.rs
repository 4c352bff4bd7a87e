//! One view of each noun: what an answer of the API contains, what a command prints with `--json` and lays out in its
//! tables, and what the OpenAPI document describes.
//!
//! A view is made from the noun itself, and knows neither HTTP nor the command line.

mod audit;
mod binding;
mod caller;
mod decision;
mod issuer;
mod key;
mod log;
mod plugin;
mod policy;
mod refusal;
mod tenant;
mod transfer;
mod webhook;
mod witness;

pub use audit::{ChainView, EventView, OriginView};
pub use binding::{BindingDiffView, BindingView};
pub use caller::CallerView;
pub use decision::{DecisionView, EvaluationView, RecordedDecisionView, ReplayView};
pub use issuer::{IssuerView, KnownKeysView};
pub use key::{KeyView, TokenView};
pub use log::{
    EpochView, HappeningActor, HappeningView, LogCheckView, LogHead, LogKeyView, LogView,
    ProofState, ProofView,
};
pub use plugin::{HookView, PluginView, PublisherView, QuarantineView, RevisionView, ShadowView};
pub use policy::{AnchorView, PolicyView};
pub use refusal::{RefusalReason, RefusalView, RefusedBy};
pub use tenant::{TenantView, UsageView};
pub use transfer::{ExportState, ExportView, FailureView, ImportState, ImportView};
pub use webhook::{AttemptView, WebhookView};
pub use witness::WitnessView;
