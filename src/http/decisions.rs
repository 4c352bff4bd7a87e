//! The handlers of what hooks decided.

use std::sync::Arc;

use serde::Serialize;

use super::operators::{label_of, parsed, time_of};
use super::reply::Reply;
use super::respond::Call;
use crate::decisions::model::{
    Annotation, Decision, DecisionId, LogLine, Outcome, Rejection, Verdict,
};
use crate::decisions::{self, Listed, MAX_LIMIT};
use crate::digest::to_hex;
use crate::error::{Error, Noun, Result};
use crate::plugins::model::{Digest, Mode, Operation};
use crate::time;

const DEFAULT_LIMIT: u32 = 50;

/// What one hook decided, whether it was recorded or not. `code` and `message` are those of the first rejection.
#[derive(Serialize)]
pub(super) struct DecisionContent {
    hook: Arc<str>,
    binding: u32,
    shadow: bool,
    differs: Option<bool>,
    mode: Mode,
    verdict: Verdict,
    code: Option<String>,
    message: Option<String>,
    rejections: Vec<Rejection>,
    failure: Option<String>,
    tags_added: Vec<String>,
    tags_removed: Vec<String>,
    warnings: Vec<String>,
    annotations: Vec<Annotation>,
    log: Vec<LogLine>,
    fuel: u64,
    microseconds: u64,
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

/// A decision as it was recorded.
#[derive(Serialize)]
struct RecordedContent {
    id: String,
    at: String,
    operation: Operation,
    document: String,
    thread: String,
    version: u32,
    outcome: Outcome,
    request_id: String,
    subject: Option<String>,
    plugin: Option<String>,
    revision: Option<Digest>,
    settings_sha256: Option<String>,
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

#[derive(Serialize)]
struct DecisionsContent {
    decisions: Vec<RecordedContent>,
    next: Option<String>,
}

#[derive(Serialize)]
struct OneDecision {
    decision: RecordedContent,
}

/// `GET /hooks/decisions`.
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters(&[
        "document", "thread", "hook", "verdict", "since", "until", "cursor", "limit",
    ])?;
    let filter = decisions::Filter {
        document: label_of(&parameters, "document")?,
        thread: label_of(&parameters, "thread")?,
        hook: label_of(&parameters, "hook")?,
        verdict: parsed::<Verdict>(&parameters, "verdict")?,
        since: time_of(&parameters, "since")?,
        until: time_of(&parameters, "until")?,
    };
    if filter.thread.is_some() && filter.document.is_none() {
        let message = "`thread` is of a `document`: name both.";
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

/// `GET /hooks/decisions/{id}`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let decision = decisions::get(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&OneDecision {
        decision: decision.into(),
    })
}

#[derive(Serialize)]
struct ReplayContent {
    same: bool,
    recorded: RecordedContent,
    replayed: DecisionContent,
}

/// `POST /hooks/decisions/{id}/replay`.
pub(super) fn replay(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let replay = decisions::replay(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&ReplayContent {
        same: replay.same,
        recorded: replay.listed.into(),
        replayed: replay.replayed.into(),
    })
}

fn id(call: &Call) -> Result<DecisionId> {
    // What is no id names no decision.
    call.name()
        .parse()
        .map_err(|_: String| Error::NotFound(Noun::Decision))
}
