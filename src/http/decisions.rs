//! Handlers for decisions of hooks.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sigpersist_model::decision::{DecisionId, HookVerdict, Outcome};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::view::{RecordedDecisionView, ReplayView};
use utoipa::ToSchema;

use super::operators::{parsed, time_of};
use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::decisions;

#[derive(Serialize, ToSchema)]
struct DecisionsContent {
    /// Decisions, newest first.
    decisions: Vec<RecordedDecisionView>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "1613610000000000-17-0")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OneDecision {
    /// The decision.
    decision: RecordedDecisionView,
    /// The settings that the plugin read; null if their record is gone.
    #[schema(value_type = Option<Object>, example = json!({}))]
    settings: Option<Arc<Value>>,
}

/// Lists decisions of hooks, newest first. If you give `thread`, you must give its `document` too; with `binding`, its
/// `hook`.
///
/// A page looks at 5,000 saves and deletes at most, so it may hold few decisions, or none, although there is a `next`.
#[utoipa::path(
    get,
    path = "/hooks/decisions",
    operation_id = "list_decisions",
    responses(
        (status = 200, description = "A page of decisions", body = Envelope<DecisionsContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let filter = decisions::Filter {
        document: parameters.label(&parameter::DOCUMENT)?,
        thread: parameters.label(&parameter::THREAD)?,
        hook: parameters.label(&parameter::HOOK)?,
        binding: parameters.integer(&parameter::BINDING)?,
        revision: parsed::<Digest>(&parameters, &parameter::REVISION)?,
        shadow: parameters.either(&parameter::SHADOW)?,
        differs: parameters.either(&parameter::DIFFERS)?,
        verdict: parsed::<HookVerdict>(&parameters, &parameter::VERDICT)?,
        code: parameters.label(&parameter::CODE)?,
        outcome: parsed::<Outcome>(&parameters, &parameter::OUTCOME)?,
        subject: parameters.label(&parameter::SUBJECT)?,
        since: time_of(&parameters, &parameter::SINCE)?,
        until: time_of(&parameters, &parameter::UNTIL)?,
    };
    if filter.thread.is_some() && filter.document.is_none() {
        let message = "To filter by `thread`, also give its `document`.";
        return Err(Error::invalid("thread", message));
    }
    if filter.binding.is_some() && filter.hook.is_none() {
        let message =
            "To filter by `binding`, also give its `hook`: each hook counts its own bindings.";
        return Err(Error::invalid("binding", message));
    }
    let page = decisions::list(
        &call.app,
        call.context.tenant()?,
        &filter,
        parsed(&parameters, &parameter::CURSOR_OF_DECISIONS)?,
        parameters.limit(&parameter::LIMIT_OF_DECISIONS)?,
    )?;
    Reply::content(&DecisionsContent {
        decisions: page.items.into_iter().map(Into::into).collect(),
        next: page.next.map(|next| next.to_string()),
    })
}

/// Reads a decision of a hook.
#[utoipa::path(
    get,
    path = "/hooks/decisions/{id}",
    operation_id = "get_decision",
    responses(
        (status = 200, description = "The decision", body = Envelope<OneDecision>),
        (status = 404, description = "decision_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let listed = decisions::get(&call.app, call.context.tenant()?, id(&call)?)?;
    let made_by = listed.made_by.as_ref();
    Reply::content(&OneDecision {
        settings: made_by.map(|made_by| Arc::clone(&made_by.settings)),
        decision: listed.into(),
    })
}

/// Repeats a decision with the same binding and input. Nothing is stored.
#[utoipa::path(
    post,
    path = "/hooks/decisions/{id}/replay",
    operation_id = "replay_decision",
    responses(
        (status = 200, description = "The recorded decision and the new one", body = Envelope<ReplayView>),
        (status = 404, description = "decision_not_found"),
        (status = 410, description = "input_gone"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn replay(call: Call) -> Result<Reply> {
    call.parameters()?;
    let replay = decisions::replay(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&ReplayView {
        same: replay.same,
        recorded: replay.listed.into(),
        replayed: replay.replayed.into(),
    })
}

fn id(call: &Call) -> Result<DecisionId> {
    // A malformed id names no decision.
    call.name()
        .parse()
        .map_err(|_: String| Error::NotFound(Noun::Decision))
}
