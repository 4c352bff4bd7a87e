//! Postgres as the server reaches it: connections, the role that it works under, and a private Postgres that it makes and
//! runs by itself.
//!
//! It knows no table of ours but those by which an upgrade is proven; queries are the store's.
//!
//! - [`connect`] opens a connection with the limits that the server needs, and [`role`] has the role.
//! - [`embedded`] is where to begin reading about the private Postgres: it decides which process runs it. Beneath it,
//!   `programs` finds the machine's Postgres programs, `cluster` makes a cluster with them, `supervisor` runs and restarts
//!   it, `orphan` stops a leftover Postgres, `replaced` notices that the programs were replaced, `user` chooses the user
//!   that runs Postgres, `environment` removes variables that tell libpq about other databases, and `upgrade` moves the
//!   database to a newer Postgres.

mod cluster;
mod connection;
pub mod embedded;
mod environment;
mod orphan;
mod programs;
mod replaced;
pub mod role;
mod supervisor;
mod upgrade;
mod url;
mod user;

pub use connection::{connect, establish};
pub use embedded::Embedded;
pub use environment::forget_libpq_environment;
pub use upgrade::{Before, Begun, Upgrade};
pub use url::{with_defaults, with_option, without_password};
pub use user::reachable;

/// The data directory that root uses if Postgres's user can't reach the usual one.
pub const ROOT_DATA_DIR: &str = "/var/lib/sigpersist";
