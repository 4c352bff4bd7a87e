//! The parts that all of a running server shares: threads that may block, permits, caches, metrics, and the vault.
//!
//! It knows the nouns of [`sigpersist_model`], and neither databases nor hooks nor HTTP.
//!
//! - [`blocking`] runs work that blocks, and gives it up if a database never answers.
//! - [`fair_semaphore`] limits how much happens at once, so that no tenant keeps the others waiting; [`examinations`] does so for
//!   signatures that are looked at, and [`verification`] has each verified only once.
//! - [`meters`] holds tenants to their quotas; [`trickle`] lets a few things of each through, and counts the others.
//! - [`cache`] keeps what was loaded until somebody changes it; [`metrics`] counts; [`readiness`] says what is lacking.
//! - [`vault`] encrypts secrets at rest, and [`seal`] seals the audit trail under a key from it.

pub mod blocking;
pub mod cache;
pub mod examinations;
pub mod fair_semaphore;
pub mod meters;
pub mod metrics;
pub mod readiness;
pub mod seal;
pub mod trickle;
pub mod vault;
pub mod verification;
