//! The handlers that try hooks without storing anything.

use serde::Serialize;

use super::decisions::DecisionContent;
use super::reply::Reply;
use super::respond::Call;
use crate::decisions::model::Outcome;
use crate::error::Result;
use crate::trials::{self, Backtest, BacktestRequest, EvaluateRequest};

#[derive(Serialize)]
struct EvaluationContent {
    outcome: Outcome,
    tags: Vec<String>,
    decisions: Vec<DecisionContent>,
}

/// `POST /hooks/evaluate`.
pub(super) fn evaluate(call: Call) -> Result<Reply> {
    call.context.tenant()?;
    let request: EvaluateRequest = call.json()?;
    let evaluation = trials::evaluate(&call.app, &call.context, &request)?;
    Reply::content(&EvaluationContent {
        outcome: evaluation.outcome,
        tags: evaluation.tags,
        decisions: evaluation.decisions.into_iter().map(Into::into).collect(),
    })
}

#[derive(Serialize)]
struct BacktestContent {
    backtest: Backtest,
}

/// `POST /hooks/backtest`.
pub(super) fn backtest(call: Call) -> Result<Reply> {
    call.context.tenant()?;
    let request: BacktestRequest = call.json()?;
    let backtest = trials::backtest(&call.app, &call.context, &request, |_| {})?;
    Reply::content(&BacktestContent { backtest })
}
