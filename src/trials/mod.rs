//! Tries plugins before they decide anything. Nothing here is stored.
//!
//! - `sample` is a save or delete to try, as an operator writes it; `case` adds the expected result.
//! - `evaluate` runs a sample through a tenant's chain, with or without a candidate in it.
//! - `bench` runs a sample repeatedly, to measure its cost.
//! - `backtest` runs a candidate over a tenant's stored versions.

mod backtest;
mod bench;
mod case;
mod evaluate;
mod sample;

pub use backtest::{
    Backtest, BacktestRequest, Change, Example, MAX_BACKTEST, Percentiles, backtest,
};
pub use bench::{Bench, Measured};
pub use case::{Case, Checked, Difference, check_case, check_cases, read_cases, read_sample};
pub use evaluate::{CandidateRequest, EvaluateRequest, Evaluation, evaluate};
pub use sample::{Prepared, Sample};
