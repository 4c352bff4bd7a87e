//! The handlers that try hooks without storing anything.

use serde::Serialize;
use sigpersist_model::decision::Outcome;
use sigpersist_model::error::Result;
use utoipa::ToSchema;

use super::decisions::DecisionContent;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::trials::{self, Backtest, BacktestRequest, EvaluateRequest};

#[derive(Serialize, ToSchema)]
struct EvaluationContent {
    /// What would have become of it.
    outcome: Outcome,
    /// The tags that it would have had.
    #[schema(example = json!(["iin:123456789011"]))]
    tags: Vec<String>,
    /// What each hook decided.
    decisions: Vec<DecisionContent>,
}

/// Runs a save or delete through the hooks, or what they would be with a candidate. Nothing is stored.
#[utoipa::path(
    post,
    path = "/hooks/evaluate",
    operation_id = "evaluate_hooks",
    request_body = EvaluateRequest,
    responses(
        (status = 200, description = "What would have become of it", body = Envelope<EvaluationContent>),
        (status = 404, description = "plugin_not_found, revision_not_found, hook_not_found, signature_not_found"),
        (status = 422, description = "refused, settings_refused"),
    )
)]
pub(super) fn evaluate(mut call: Call) -> Result<Reply> {
    call.context.tenant()?;
    let request: EvaluateRequest = call.json()?;
    drop(call.take_body());
    let evaluation = trials::evaluate(&call.app, &call.context, &request)?;
    Reply::content(&EvaluationContent {
        outcome: evaluation.outcome,
        tags: evaluation.tags,
        decisions: evaluation.decisions.into_iter().map(Into::into).collect(),
    })
}

#[derive(Serialize, ToSchema)]
struct BacktestContent {
    /// What the candidate would have decided.
    backtest: Backtest,
}

/// Runs a candidate over what is stored, to see what it would decide differently. Nothing is stored.
#[utoipa::path(
    post,
    path = "/hooks/backtest",
    operation_id = "backtest_hook",
    request_body = BacktestRequest,
    responses(
        (status = 200, description = "What would come out otherwise", body = Envelope<BacktestContent>),
        (status = 404, description = "plugin_not_found, revision_not_found, hook_not_found"),
        (status = 422, description = "refused, settings_refused"),
    )
)]
pub(super) fn backtest(mut call: Call) -> Result<Reply> {
    call.context.tenant()?;
    let request: BacktestRequest = call.json()?;
    drop(call.take_body());
    let backtest = trials::backtest(&call.app, &call.context, &request, |_| {})?;
    Reply::content(&BacktestContent { backtest })
}
