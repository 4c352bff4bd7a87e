//! Webhooks: URLs that are called with what happens to a tenant, in the manner of Standard Webhooks
//! (<https://www.standardwebhooks.com>).
//!
//! A webhook follows its tenant's log with a cursor, so where all goes well it needs no row for a delivery, and nothing is
//! lost while a receiver is down. `manage` has the use-cases of those who set them up. On each server a `dispatcher` calls
//! the webhooks that it has leased: `round` delivers some events of one of them, and `call` makes one call.
//! [`sigpersist_outbound`] decides where a call may go.

mod call;
mod dispatcher;
mod manage;
mod round;

pub use dispatcher::keep_dispatching;
pub use manage::{
    Changed, Made, NewWebhook, attempts, change, create, delete, get, list, replay, rotate_secret,
    test,
};
