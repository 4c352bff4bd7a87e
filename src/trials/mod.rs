//! Tries plugins before they decide anything. Nothing here is stored.
//!
//! - `evaluate` runs a sample through a tenant's chain, with or without a candidate in it.
//! - `backtest` runs a candidate over a tenant's stored versions.

mod backtest;
mod evaluate;

pub use backtest::{Backtest, BacktestChange, BacktestRequest, Example, MAX_BACKTEST, backtest};
pub use evaluate::{CandidateRequest, EvaluateRequest, Evaluation, evaluate};
