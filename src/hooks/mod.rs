//! Plugins at work: the only module that knows wasmtime.
//!
//! - `bindings` is generated from `plugins/wit`; `convert` fills its records from ours.
//! - `engine` holds the one engine of the process, its clock, and the bounds on concurrent work.
//! - `plugin` admits a component and keeps it ready; `compiled` keeps what was compiled on disk; `call` runs one function
//!   of it under all limits; `host` answers what it asks meanwhile, `verdicts` whether signatures hold.
//! - `binary` looks into a WebAssembly file without compiling it; `pack` makes a component of a core module.
//! - `chain` is a tenant's hooks in order, and what they make of a save or delete: each hook, which is `bound`, has a
//!   `seat` there.
//!
//! It gets data, never a connection: no guest runs while the database waits for it.

mod binary;
mod bindings;
mod bound;
mod call;
mod chain;
mod child;
mod compiled;
mod compiler;
mod contract;
mod convert;
mod engine;
mod host;
mod pack;
mod plugin;
mod proportion;
mod seat;
mod verdicts;

pub use binary::{Binary, Kind};
pub use bound::{Bound, Guest, Health, Sick};
pub use chain::{Chain, Judged};
pub use child::compile_if_asked;
pub use compiled::Compiled;
pub use compiler::COMPILED_AT_ONCE;
pub use engine::Engine;
pub use pack::{World, pack};
pub use plugin::{Cost, Description, Plugin};
pub use verdicts::Judging;
