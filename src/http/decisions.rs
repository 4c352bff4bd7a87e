//! Handlers for decisions of hooks.

use std::sync::Arc;

use serde::Serialize;
use sigpersist_model::decision::{
    Annotation, Decision, DecisionId, HookVerdict, LogLine, Outcome, Rejection,
};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Digest, Mode, Operation};
use sigpersist_model::time;
use utoipa::ToSchema;

use super::openapi::{Sha256, Time};
use super::operators::{parsed, time_of};
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::decisions::{self, Listed, MAX_LIMIT};

const DEFAULT_LIMIT: u32 = 50;

/// The decision of one hook, whether it was recorded or not. `code` and `message` are those of the first rejection.
#[derive(Serialize, ToSchema)]
pub(super) struct DecisionContent {
    /// The hook's name.
    #[schema(value_type = String, example = "require-countersignature")]
    hook: Arc<str>,
    /// Number of the binding that ran; 0 for a candidate.
    #[schema(example = 1)]
    binding: u32,
    /// Whether this is the decision of a shadow, which has no effect.
    #[schema(example = false)]
    shadow: bool,
    /// For a shadow: whether the hook itself decided differently.
    #[schema(example = json!(null))]
    differs: Option<bool>,
    /// Whether its decisions are enforced, or only monitored.
    mode: Mode,
    /// The hook's verdict.
    verdict: HookVerdict,
    /// The code of the first rejection.
    #[schema(example = "signer-dropped")]
    code: Option<String>,
    /// The message of the first rejection.
    #[schema(example = "The new version drops a signer")]
    message: Option<String>,
    /// Reasons for the rejection.
    rejections: Vec<Rejection>,
    /// The failure, if the hook failed.
    #[schema(example = json!(null))]
    failure: Option<String>,
    /// Tags that the hook added.
    #[schema(example = json!([]))]
    tags_added: Vec<String>,
    /// Tags that the hook removed.
    #[schema(example = json!([]))]
    tags_removed: Vec<String>,
    /// Warnings given with an acceptance.
    #[schema(example = json!([]))]
    warnings: Vec<String>,
    /// Annotations given with an acceptance.
    #[schema(example = json!([]))]
    annotations: Vec<Annotation>,
    /// Log lines that the hook wrote.
    #[schema(example = json!([]))]
    log: Vec<LogLine>,
    /// Fuel used.
    #[schema(example = 1_250_000)]
    fuel: u64,
    /// Duration, in microseconds.
    #[schema(example = 310)]
    microseconds: u64,
    /// Peak linear memory, in bytes.
    #[schema(example = 1_114_112)]
    memory_bytes: u64,
}

impl From<Decision> for DecisionContent {
    fn from(decision: Decision) -> Self {
        let first = decision.rejections.first();
        Self {
            code: first.map(|rejection| rejection.code.clone()),
            message: first.map(|rejection| rejection.message.clone()),
            hook: decision.hook,
            binding: decision.binding,
            shadow: decision.shadow,
            differs: decision.differs,
            mode: decision.mode,
            verdict: decision.verdict,
            rejections: decision.rejections,
            failure: decision.failure,
            tags_added: decision.tags_added,
            tags_removed: decision.tags_removed,
            warnings: decision.warnings,
            annotations: decision.annotations,
            log: decision.log,
            fuel: decision.fuel,
            microseconds: decision.microseconds,
            memory_bytes: decision.memory_bytes,
        }
    }
}

/// A recorded decision.
#[derive(Serialize, ToSchema)]
struct RecordedContent {
    /// Its id.
    #[schema(example = "1613610000000000-17-0")]
    id: String,
    /// Time of the decision.
    #[schema(value_type = Time)]
    at: String,
    /// The operation that the hook ran on.
    operation: Operation,
    /// The document.
    #[schema(example = "doc_12")]
    document: String,
    /// The thread.
    #[schema(example = "ticket_42")]
    thread: String,
    /// The version that a save would create, or for a delete the current one.
    #[schema(example = 2)]
    version: u32,
    /// The outcome of the operation.
    outcome: Outcome,
    /// The id of the request.
    #[schema(example = "7f0c2f4e9d5a41b7")]
    request_id: String,
    /// The subject of the caller's token.
    #[schema(example = "crm")]
    subject: Option<String>,
    /// The plugin that ran; null if its record is gone.
    #[schema(example = "require-countersignature")]
    plugin: Option<String>,
    /// The revision that ran.
    #[schema(value_type = Option<Sha256>)]
    revision: Option<Digest>,
    /// SHA-256 of the settings in force.
    #[schema(value_type = Sha256)]
    settings_sha256: Option<String>,
    /// SHA-256 of the input.
    #[schema(value_type = Sha256)]
    input_sha256: String,
    #[serde(flatten)]
    decision: DecisionContent,
}

impl From<Listed> for RecordedContent {
    fn from(Listed { recorded, made_by }: Listed) -> Self {
        let circumstances = recorded.input.circumstances;
        Self {
            id: recorded.id.to_string(),
            at: time::to_text(recorded.id.at),
            operation: recorded.operation,
            document: recorded.key.document,
            thread: recorded.key.thread,
            version: recorded.version,
            outcome: recorded.outcome,
            request_id: circumstances.request_id,
            subject: circumstances.subject,
            plugin: made_by.as_ref().map(|made_by| made_by.plugin.clone()),
            revision: made_by.as_ref().map(|made_by| made_by.sha256),
            settings_sha256: made_by.map(|made_by| to_hex(&made_by.settings_sha256)),
            input_sha256: to_hex(&recorded.input_sha256),
            decision: recorded.decision.into(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct DecisionsContent {
    /// Decisions, newest first.
    decisions: Vec<RecordedContent>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "1613610000000000-17-0")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OneDecision {
    /// The decision.
    decision: RecordedContent,
}

/// Lists decisions of hooks, newest first. If you give `thread`, you must give its `document` too.
#[utoipa::path(
    get,
    path = "/hooks/decisions",
    operation_id = "list_decisions",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, example = 20),
        (
            "cursor" = Option<String>,
            Query,
            pattern = "^[0-9]{1,18}-[0-9]{1,18}-[0-9]{1,10}$",
            example = "1613610000000000-17-0",
        ),
    ),
    responses(
        (status = 200, description = "A page of decisions", body = Envelope<DecisionsContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let filter = decisions::Filter {
        document: parameters.label("document")?,
        thread: parameters.label("thread")?,
        hook: parameters.label("hook")?,
        verdict: parsed::<HookVerdict>(&parameters, "verdict")?,
        since: time_of(&parameters, "since")?,
        until: time_of(&parameters, "until")?,
    };
    if filter.thread.is_some() && filter.document.is_none() {
        let message = "To filter by `thread`, also give its `document`.";
        return Err(Error::invalid("thread", message));
    }
    let most = u32::try_from(MAX_LIMIT).map_err(Error::internal)?;
    let limit = parameters.integer("limit", 1, most)?;
    let limit = usize::try_from(limit.unwrap_or(DEFAULT_LIMIT)).map_err(Error::internal)?;
    let page = decisions::list(
        &call.app,
        call.context.tenant()?,
        &filter,
        parsed(&parameters, "cursor")?,
        limit,
    )?;
    Reply::content(&DecisionsContent {
        decisions: page.decisions.into_iter().map(Into::into).collect(),
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
    let decision = decisions::get(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&OneDecision {
        decision: decision.into(),
    })
}

#[derive(Serialize, ToSchema)]
struct ReplayContent {
    /// Whether both decisions are equal.
    #[schema(example = true)]
    same: bool,
    /// The recorded decision.
    recorded: RecordedContent,
    /// The new decision.
    replayed: DecisionContent,
}

/// Repeats a decision with the same binding and input. Nothing is stored.
#[utoipa::path(
    post,
    path = "/hooks/decisions/{id}/replay",
    operation_id = "replay_decision",
    responses(
        (status = 200, description = "The recorded decision and the new one", body = Envelope<ReplayContent>),
        (status = 404, description = "decision_not_found"),
        (status = 410, description = "input_gone"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn replay(call: Call) -> Result<Reply> {
    call.parameters()?;
    let replay = decisions::replay(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&ReplayContent {
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
