//! Runs plugins. The only module that knows wasmtime.
//!
//! - `bindings` is generated from `plugins/wit`; `convert` fills its records from ours.
//! - `engine` holds the process's only engine, its clock, and the limits on concurrent work.
//! - `plugin` admits a component and keeps it ready. `compiler` compiles it in a process of its own, whose code is
//!   `child`; `compiled` keeps the result on disk. `call` runs one function under all limits. `host` has the host
//!   functions, `limits` what a call may take; `verdicts` answers whether signatures hold.
//! - `binary` reads names from a WebAssembly file without compiling it. `contract` compares the types of a component
//!   with the contract, `proportion` refuses components that are costly to compile, and `pack` makes a component from a
//!   core module.
//! - `chain` is a tenant's hooks in order, and their judgement of a save or delete. Each hook is a `bound`, and has a
//!   `seat` while a chain judges.
//!
//! The module gets data, never a connection: no guest runs while a database connection is held.

mod binary;
mod bindings;
mod bound;
mod call;
pub mod cases;
mod chain;
mod child;
mod compiled;
mod compiler;
mod config;
mod contract;
#[cfg(test)]
mod contract_page;
mod convert;
mod engine;
mod host;
mod limits;
mod pack;
mod plugin;
mod proportion;
mod seat;
mod verdicts;

pub use binary::{Binary, Kind};
pub use bound::{Bound, FailingHook, Guest, Health};
pub use chain::{Chain, ChainResult};
pub use child::compile_if_asked;
pub use compiled::Compiled;
pub use compiler::COMPILED_AT_ONCE;
pub use config::HooksConfig;
pub use engine::Engine;
pub use host::Listener;
pub use pack::{World, pack};
pub use plugin::{Cost, Description, Plugin};
pub use verdicts::VerdictSource;
