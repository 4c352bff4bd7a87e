//! The nouns of Sigpersist: tenants, keys, signatures, plugins, hooks, decisions, policies and the audit trail, with the
//! words for them and the errors that speak of them.
//!
//! Everything else depends on this crate, and it depends only on [`sigpersist_verify`]. It holds plain values: nothing
//! here reads a database, runs a hook, waits or knows HTTP.
//!
//! - [`context`] says who asks for which tenant: every use-case takes it first. [`error`] is what they answer otherwise.
//! - [`signature`] is where to begin reading: documents, threads and versions. [`decision`] tells what hooks made of one.
//! - [`term`] has what threads are found by besides their tags.
//! - [`tenant`], [`quotas`], [`key`], [`issuer`], [`plugin`], [`policy`] and [`audit`] are what administrators and operators
//!   handle;
//!   [`transfer`] is the file that takes a tenant elsewhere.
//! - [`publisher`] is who signed a plugin, [`reference`](mod@reference) where a registry has it.
//! - [`view`] shows them: in answers, in tables and as JSON.
//! - [`digest`], [`json_object`], [`number`], [`size`], [`time`] are how values are read and written.

pub mod attachments;
pub mod audit;
pub mod context;
pub mod decision;
pub mod digest;
pub mod error;
pub mod issuer;
pub mod json_diff;
pub mod json_object;
pub mod key;
pub mod log;
pub mod number;
pub mod origin;
pub mod page;
pub mod plugin;
pub mod policy;
pub mod publisher;
pub mod quotas;
pub mod reference;
pub mod signature;
pub mod size;
pub mod tenant;
pub mod term;
pub mod time;
pub mod transfer;
pub mod view;
pub mod webhook;
pub mod witness;
pub mod words;
