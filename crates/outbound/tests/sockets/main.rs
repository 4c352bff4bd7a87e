//! Requests to servers that behave badly, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that panics has failed, as it should"
)]

mod addresses;
mod hostile;
mod ordinary;
mod secure;
mod server;
mod urls;
