//! Requests that the server itself makes, to addresses that a stranger may have chosen.
//!
//! A tenant names the URL of a webhook, and the server calls it from inside the operator's network. So a URL is a way to
//! reach what only the server can reach: the cloud's metadata, a database, the router (server-side request forgery). This
//! crate is the only place from which such requests leave.
//!
//! - [`Outbound::check`] judges a URL without asking DNS; [`Outbound::check_now`] asks, for a friendly refusal when somebody
//!   enters the URL. Neither makes sending safe, since DNS may answer differently a second later.
//! - [`Outbound::send`] resolves the name once, refuses if any of its addresses is not permitted by [`Rules`], and connects to
//!   one of those that it judged. The exchange ends in time and within a number of bytes, whatever the peer does.
//! - [`webhook`] signs and verifies in the manner of Standard Webhooks. [`retry`] says when a failed delivery is repeated.
//!
//! It deliberately follows no redirect, obeys no proxy of the environment, keeps no cookie and reuses no connection. It
//! decides nothing about queues or tenants, and calls block: run them on threads that may.
//!
//! Read next: `outbound.rs` for the course of one request, `addresses.rs` for which addresses are public, and
//! `tests/sockets/` for what hostile peers try.

mod addresses;
mod connection;
mod exchange;
mod failure;
mod lookup;
mod outbound;
mod refused;
pub mod retry;
mod rules;
mod target;
mod tls;
pub mod webhook;

pub use exchange::{Answer, Limits, Request};
pub use failure::{Failure, Step, TlsFault};
pub use outbound::Outbound;
pub use refused::Refused;
pub use rules::{Allowance, AllowanceError, Rules};
pub use target::Target;
pub use tls::{Roots, RootsError};
