#![doc = include_str!("../README.md")]
//! # Where to read next
//!
//! - [`Body`] is a signature as people send it: DER, PEM, base64 or XML.
//! - [`report()`] tells who signed what, with which certificate and when; with [`Judging`], also whether each signature
//!   is valid.
//! - [`cms`] and [`xmldsig`] read and verify one format each; [`pki`] has certificates, chains and revocation.

mod body;
pub mod cms;
pub mod digest;
#[cfg(test)]
mod given;
mod judging;
pub mod pki;
mod report;
#[cfg(feature = "openapi")]
mod schema;
#[cfg(test)]
mod strict;
mod time;
pub mod xmldsig;

pub use body::{Body, Format, certificates};
pub use judging::Judging;
pub use report::{Identifier, Reference, Report, Signer, report, report_within};
pub use time::Time;
