//! Exports a tenant to a file and imports it again, as a backup or to move it. Keys are exported only on demand,
//! encrypted.
//!
//! The file is newline-delimited JSON (<https://github.com/ndjson/ndjson-spec>): each line is an object of one
//! member, whose name is the kind of the line. The lines come in this order: the header; the tenant's name and
//! quotas; its keys; its audit trail; its policy; its own plugins; its hooks, each before its bindings; its log, each tree
//! before its entries; its threads, each before its versions; decisions, on demand; and the end, which shows whether lines
//! are missing. Files of version 4 have no log. Files of version 2 have no audit trail. Files of version 1 have no name,
//! quotas and ids of threads either, and begin with the threads. Export and import hold a few megabytes in memory, beside the
//! largest line and a few bytes for each version in a log.
//!
//! - `background` runs both in the background of a server. The [`spool`](crate::spool) has their files.
//! - `model` has the lines. `read` parses and checks them. `export` writes a file.
//! - `import` reads a file into a tenant; `threads`, `hooks`, `trail` and `log` do parts of this. Content that is stored
//!   identically is skipped. Content that differs is left as it is and reported. If an import is interrupted, run it
//!   again.

mod background;
mod export;
mod hooks;
mod import;
mod log;
mod read;
mod threads;
mod trail;

pub use background::{BeginImport, begin_export, begin_import};
pub use export::{Options as ExportOptions, export};
pub use import::{Arrival, Options as ImportOptions, check, import, importing};
