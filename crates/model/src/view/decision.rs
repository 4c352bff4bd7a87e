//! Decisions of hooks as answers, tables and the OpenAPI document show them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sigpersist_verify::Time;
use sigpersist_verify::digest::Sha256;
use utoipa::ToSchema;

use crate::decision::{Annotation, Decision, HookVerdict, Listed, LogLine, Outcome, Rejection};
use crate::digest::to_hex;
use crate::plugin::{Digest, Mode, Operation};

/// The decision of one hook, whether it was recorded or not. `code` and `message` are those of the first rejection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = DecisionContent)]
pub struct DecisionView {
    /// The hook's name.
    #[schema(value_type = String, example = "require-countersignature")]
    pub hook: Arc<str>,
    /// Number of the binding that ran; 0 for a candidate.
    #[schema(example = 1)]
    pub binding: u32,
    /// Whether this is the decision of a shadow, which has no effect.
    #[schema(example = false)]
    pub shadow: bool,
    /// For a shadow: whether the hook itself decided differently.
    #[schema(example = json!(null))]
    pub differs: Option<bool>,
    /// Whether its decisions are enforced, or only monitored.
    pub mode: Mode,
    /// The hook's verdict.
    pub verdict: HookVerdict,
    /// The code of the first rejection.
    #[schema(example = "signer-dropped")]
    pub code: Option<String>,
    /// The message of the first rejection.
    #[schema(example = "The new version drops a signer")]
    pub message: Option<String>,
    /// Reasons for the rejection.
    pub rejections: Vec<Rejection>,
    /// The failure, if the hook failed.
    #[schema(example = json!(null))]
    pub failure: Option<String>,
    /// Functions of the plugin that were running when it trapped, innermost first.
    #[serde(default)]
    #[schema(example = json!([]))]
    pub backtrace: Vec<String>,
    /// Tags that the hook added.
    #[schema(example = json!([]))]
    pub tags_added: Vec<String>,
    /// Tags that the hook removed.
    #[schema(example = json!([]))]
    pub tags_removed: Vec<String>,
    /// Warnings given with an acceptance.
    #[schema(example = json!([]))]
    pub warnings: Vec<String>,
    /// Annotations given with an acceptance.
    #[schema(example = json!([]))]
    pub annotations: Vec<Annotation>,
    /// Log lines that the hook wrote.
    #[schema(example = json!([]))]
    pub log: Vec<LogLine>,
    /// Fuel used.
    #[schema(example = 1_250_000)]
    pub fuel: u64,
    /// Duration, in microseconds.
    #[schema(example = 310)]
    pub microseconds: u64,
    /// Peak linear memory, in bytes.
    #[schema(example = 1_114_112)]
    pub memory_bytes: u64,
}

impl From<Decision> for DecisionView {
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
            backtrace: decision.backtrace,
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
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = RecordedContent)]
pub struct RecordedDecisionView {
    /// Its id.
    #[schema(example = "1613610000000000-17-0")]
    pub id: String,
    /// Time of the decision.
    pub at: Time,
    /// The operation that the hook ran on.
    pub operation: Operation,
    /// The document.
    #[schema(example = "doc_12")]
    pub document: String,
    /// The thread.
    #[schema(example = "ticket_42")]
    pub thread: String,
    /// The version that a save would create, or for a delete the current one.
    #[schema(example = 2)]
    pub version: u32,
    /// The outcome of the operation.
    pub outcome: Outcome,
    /// The id of the request.
    #[schema(example = "7f0c2f4e9d5a41b7")]
    pub request_id: String,
    /// The subject of the caller's token.
    #[schema(example = "crm")]
    pub subject: Option<String>,
    /// The plugin that ran; null if its record is gone.
    #[schema(example = "require-countersignature")]
    pub plugin: Option<String>,
    /// The revision that ran.
    #[schema(value_type = Option<Sha256>)]
    pub revision: Option<Digest>,
    /// SHA-256 of the settings in force.
    #[schema(value_type = Sha256)]
    pub settings_sha256: Option<String>,
    /// SHA-256 of the input.
    #[schema(value_type = Sha256)]
    pub input_sha256: String,
    /// The decision itself.
    #[serde(flatten)]
    pub decision: DecisionView,
}

impl From<Listed> for RecordedDecisionView {
    fn from(Listed { recorded, made_by }: Listed) -> Self {
        let circumstances = recorded.input.circumstances;
        Self {
            id: recorded.id.to_string(),
            at: recorded.id.at.into(),
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

/// The outcome that a save or delete would have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = EvaluationContent)]
pub struct EvaluationView {
    /// The outcome of the save or delete.
    pub outcome: Outcome,
    /// The tags that it would get.
    #[schema(example = json!(["iin:123456789011"]))]
    pub tags: Vec<String>,
    /// The decision of each hook.
    pub decisions: Vec<DecisionView>,
}

/// A decision beside its repetition.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ReplayContent)]
pub struct ReplayView {
    /// Whether both decisions are equal.
    #[schema(example = true)]
    pub same: bool,
    /// The recorded decision.
    pub recorded: RecordedDecisionView,
    /// The new decision.
    pub replayed: DecisionView,
}
