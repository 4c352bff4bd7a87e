//! Sigpersist's tables: every query, the pool of connections, migrations and notifications. Only this crate knows SQL of ours.
//!
//! A [`Store`] is a pool of connections with one method for each query, named after its noun (`signature_insert`,
//! `signature_list`). Every query of a tenant's rows takes the [`TenantId`](sigpersist_model::context::TenantId). All of it
//! blocks: call it from [`sigpersist_runtime::blocking::run`], and never while something else is held. It decides nothing:
//! use-cases do, and hooks never see it.
//!
//! - `pool` has the [`Store`], `connection` its connections, `watchdog` gives up those that do not answer, and `changes`
//!   tells what other servers changed.
//! - `signature_save` is where to begin reading about queries: the statement of a save. `migrations` has the schema.

mod audit;
mod audit_list;
mod batches;
mod bindings;
mod changes;
mod config;
mod connection;
mod decision_list;
mod decisions;
mod failure;
mod hooks;
mod issuers;
mod kept;
mod keys;
mod log_anchors;
mod log_append;
mod log_arrivals;
mod log_backfill;
mod log_check;
mod log_cosigned;
mod log_decisions;
mod log_entries;
mod log_epochs;
mod log_hashes;
mod log_keys;
mod log_low;
mod log_queue;
mod log_refusals;
mod log_sequence;
mod log_settings;
mod log_witnesses;
mod log_witnessing;
mod log_write;
mod migrations;
mod other_secrets;
mod plugin_upload;
mod plugins;
mod policies;
mod pool;
mod prepared;
mod removal;
mod schema;
mod seal_keys;
mod secrets;
mod signature_create;
mod signature_list;
mod signature_save;
mod signature_walk;
mod signatures;
mod signers;
mod snapshot;
#[cfg(test)]
mod sql_files;
mod sqlstate;
mod tenants;
mod trail;
mod transaction;
mod transfer_hooks;
mod transfer_in;
mod transfer_known;
mod transfer_log;
mod transfer_out;
mod usage;
mod verdicts;
mod version_columns;
mod watchdog;
mod webhook_calls;
mod webhook_state;
mod webhooks;

pub use audit::StoredChain;
pub use changes::{Change, Changes};
pub use config::DatabaseConfig;
pub use connection::SESSION_SETTINGS;
pub use decision_list::DecisionFilter;
pub use issuers::IssuerInsertion;
pub use keys::KeyInsertion;
pub use log_arrivals::{ImportedTree, LogArrival, LogArrivalState};
pub use log_check::Unlogged;
pub use log_cosigned::{Cosigned, Witnessed};
pub use log_decisions::{DecisionsOfDay, Settling, Undigested, day_start};
pub use log_entries::LoggedVersion;
pub use log_epochs::KnownHead;
pub use log_keys::NewLogKey;
pub use log_low::LowMark;
pub use log_sequence::{Pass, Sequencing};
pub use log_witnesses::NewWitness;
pub use log_witnessing::{Asked, Asking, NewCosignature, WitnessLag};
pub use migrations::{Unavailable, check_schema, migrate};
pub use other_secrets::OtherSecret;
pub use plugin_upload::{NewRevision, PluginUpload};
pub use plugins::{BoundBy, PluginDeletion};
pub use pool::Store;
pub use removal::Removed;
pub use secrets::{Reencrypted, Rotation, Secrets};
pub use signature_list::ListPage;
pub use signature_save::Found;
pub use signatures::{Deletion, Stored, StoredPlace, StoredRange};
pub use signers::Unindexed;
pub use snapshot::Snapshot;
pub use trail::{ChainOf, KnownEvents, StoredPart};
pub use transfer_in::NewPart;
pub use transfer_known::KnownThread;
pub use transfer_out::{
    Exported, ExportedInput, ExportedRevision, InputPlace, JudgementPlace, VersionPlace,
};
pub use webhook_state::WebhooksState;
pub use webhooks::NewWebhook;
