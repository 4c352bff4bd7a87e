//! Following what happens to a tenant: the entries of its log, as events with numbers.
//!
//! `feed` reads them. [`waiters`](crate::waiters) are those who wait for the next ones.

mod feed;

pub use feed::{After, MAX_LIMIT, PAGE_BYTES, Page, read};
