//! Handlers that try hooks and store nothing.

use serde::Serialize;
use sigpersist_model::error::Result;
use sigpersist_model::view::EvaluationView;
use utoipa::ToSchema;

use super::operators::{parsed, time_of};
use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::trials::{
    self, BacktestRequest, Comparison, EvaluateRequest, ShadowRange, ShadowSummary,
};

/// Runs the hooks on a save or delete, optionally with a candidate among them. Nothing is stored.
#[utoipa::path(
    post,
    path = "/hooks/evaluate",
    operation_id = "evaluate_hooks",
    request_body = EvaluateRequest,
    responses(
        (status = 200, description = "The outcome that the request would have", body = Envelope<EvaluationView>),
        (status = 404, description = "plugin_not_found, revision_not_found, hook_not_found, signature_not_found"),
        (status = 422, description = "refused, settings_refused"),
    )
)]
pub(super) fn evaluate(mut call: Call) -> Result<Reply> {
    call.context.tenant()?;
    let request: EvaluateRequest = call.json()?;
    drop(call.take_body());
    let evaluation = trials::evaluate(&call.app, &call.context, &request)?;
    Reply::content(&EvaluationView {
        outcome: evaluation.outcome,
        tags: evaluation.tags,
        decisions: evaluation.decisions.into_iter().map(Into::into).collect(),
    })
}

#[derive(Serialize, ToSchema)]
struct BacktestContent {
    /// The results of the candidate.
    backtest: Comparison,
}

/// Runs a candidate on stored signatures, to show which decisions would differ. Nothing is stored.
#[utoipa::path(
    post,
    path = "/hooks/backtest",
    operation_id = "backtest_hook",
    request_body = BacktestRequest,
    responses(
        (status = 200, description = "The decisions that would change", body = Envelope<BacktestContent>),
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

/// Sums up the decisions of a hook's shadow: what it would have rejected, and what else would have been different.
///
/// The newest decisions come first. If there is a `next` in the answer, older decisions are left: pass it as `cursor`.
#[utoipa::path(
    get,
    path = "/hooks/{name}/shadow",
    operation_id = "sum_up_shadow",
    responses(
        (status = 200, description = "The decisions that differ", body = Envelope<ShadowSummary>),
        (status = 404, description = "hook_not_found, binding_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn shadow(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let range = ShadowRange {
        binding: parameters.integer(&parameter::BINDING_OF_SHADOW)?,
        since: time_of(&parameters, &parameter::SINCE)?,
        until: time_of(&parameters, &parameter::UNTIL)?,
        after: parsed(&parameters, &parameter::CURSOR_OF_DECISIONS)?,
        limit: parameters.limit(&parameter::LIMIT_OF_SHADOW)?,
    };
    let tenant = call.context.tenant()?;
    Reply::content(&trials::shadow(&call.app, tenant, call.name(), &range)?)
}
