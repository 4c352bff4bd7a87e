//! Trying plugins before they decide anything: nothing here stores anything.
//!
//! - `sample` is a save or delete to be tried, as an operator writes it; `case` adds what is expected of it.
//! - `evaluate` runs a sample through a tenant's chain, or what it would be with a candidate.
//! - `bench` runs a sample as often as it can, to see what it takes.
//! - `backtest` runs a candidate over what the tenant has stored.

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
