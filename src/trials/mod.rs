//! Tries plugins before they decide anything. Nothing here is stored.
//!
//! - `evaluate` runs a sample through a tenant's chain, with or without a candidate in it.
//! - `backtest` runs a candidate over a tenant's stored versions.
//! - `shadow` sums up what a shadow would have done.
//! - `comparison` counts and groups how their decisions differ from those of the hook.

mod backtest;
mod comparison;
mod evaluate;
mod shadow;

pub use backtest::{BacktestRequest, MAX_BACKTEST, backtest};
pub use comparison::{Change, Comparison, Example};
pub use evaluate::{CandidateRequest, EvaluateRequest, Evaluation, evaluate};
pub use shadow::{ShadowRange, ShadowSummary, shadow};
