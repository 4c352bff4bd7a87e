//! A tenant as a file, to keep or to take elsewhere. Keys travel on demand, encrypted.
//!
//! It is newline-delimited JSON (<https://github.com/ndjson/ndjson-spec>): on each line an object of one member, whose name
//! says what it is. The first line is the header; then come the tenant's name and quotas; its keys; its audit trail; its policy; its own plugins; hooks, each
//! before its bindings; threads, each before its versions; decisions where they are asked for; and last what shows that nothing is
//! missing. Files of version 2 have no audit trail; those of version 1 no name, quotas and ids of threads
//! either, and the threads first. Neither way holds more than a
//! few megabytes in memory beside the largest line.
//!
//! - `model` has the lines, and `read` takes a file apart; `export` writes one.
//! - `import` reads one into a tenant, `threads`, `hooks` and `trail` their parts of it. What is there already is passed over, and
//!   what is there otherwise is left as it is and told, so that an import which was cut off is simply made again.

mod export;
mod hooks;
mod import;
mod imported;
mod read;
mod threads;
mod trail;

pub use export::{Options as ExportOptions, Written, export};
pub use import::{Arrival, Options as ImportOptions, check, import, importing};
pub use imported::Imported;
