//! Model of hooks' decisions and of their inputs. Plain values, no I/O.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

mod verdicts;

use crate::context::Context;
use crate::digest::{sha256, to_hex};
use crate::error::{Error, Result};
use crate::plugin::{Digest, Mode, Operation};
use crate::signature::{Draft, Signature, ThreadKey};
use crate::time;
pub use verdicts::{RecordedReport, RecordedVerdict, Revoked, Verdicts, WithoutContent};

/// Maximum length of a plugin's text that is stored or returned, in characters. Longer text is cut.
pub const MAX_TEXT_CHARS: usize = 500;
/// Maximum number of rejections, warnings, annotations or issues that are kept of one call.
pub const MAX_ENTRIES: usize = 20;

/// A plugin's text, made safe for a log line, the database and an answer.
///
/// It is cut to [`MAX_TEXT_CHARS`]. Control characters become spaces, so that the text can't start a log line of its
/// own.
pub fn clean(text: &str) -> String {
    let mut line: String = text
        .chars()
        .take(MAX_TEXT_CHARS)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if text.chars().nth(MAX_TEXT_CHARS).is_some() {
        line.push('…');
    }
    line
}

/// Caller, tenant and time of a request. A plugin reads them beside the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The tenant's slug.
    pub tenant: String,
    /// The request's id.
    pub request_id: String,
    /// The `sub` claim of the caller's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The scopes of the caller's token.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Time of the request, in milliseconds since 1970.
    pub now_ms: u64,
}

impl Circumstances {
    /// The circumstances of a request at the current time.
    ///
    /// # Errors
    ///
    /// [`Error::TenantRequired`] if the caller is not of a tenant.
    pub fn now(context: &Context) -> Result<Self> {
        Self::at(Utc::now(), context)
    }

    /// The circumstances of a request at the given time.
    ///
    /// # Errors
    ///
    /// [`Error::TenantRequired`] if the caller is not of a tenant.
    pub fn at(now: DateTime<Utc>, context: &Context) -> Result<Self> {
        Ok(Self {
            tenant: context.tenancy()?.slug.to_string(),
            request_id: context.request_id.to_string(),
            subject: context.caller.subject.clone(),
            scopes: context
                .caller
                .scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            now_ms: u64::try_from(now.timestamp_millis()).unwrap_or_default(),
        })
    }

    /// The time as a date; 1970 if it is out of the range of dates.
    pub fn now_time(&self) -> DateTime<Utc> {
        let ms = i64::try_from(self.now_ms).ok();
        ms.and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default()
    }
}

/// Verdict of one hook on a save or delete.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum HookVerdict {
    /// The hook accepted it.
    #[default]
    Accepted,
    /// The hook refused it.
    Rejected,
    /// The hook trapped, missed its deadline or broke another limit.
    Failed,
}

/// Outcome of a save or delete that hooks judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was saved or deleted.
    Accepted,
    /// A hook refused it.
    Rejected,
    /// A hook failed that is set to refuse on failure.
    Failed,
    /// No hook refused it, but it was not stored: another version was saved first, or this very version was stored
    /// already.
    NotStored,
}

crate::words!(HookVerdict, Outcome);

/// Reason why a hook refuses a save or delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The plugin's code for the reason. It is stable: programs may rely on it.
    #[schema(example = "signer-dropped")]
    pub code: String,
    /// The reason in one sentence, for people.
    #[schema(example = "The new version drops a signer")]
    pub message: String,
    /// JSON pointer to the parameter at fault, if the plugin names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/cms")]
    pub field: Option<String>,
}

/// A line that a plugin wrote to its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Level: `debug`, `info`, `warn` or `error`.
    #[schema(example = "info")]
    pub level: String,
    /// Text of the line.
    #[schema(example = "two signers")]
    pub message: String,
}

/// A named value that a validator attaches to a save or delete that it accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Annotation {
    /// Its name.
    #[schema(example = "signers")]
    pub name: String,
    /// Its value.
    #[schema(example = "2")]
    pub value: String,
}

/// One hook's decision about one save or delete: the calls of its tagger and its validator together.
///
/// Fields with default values are left out of the stored JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The hook's name.
    pub hook: Arc<str>,
    /// Number of the hook's binding that ran.
    pub binding: u32,
    /// Whether the shadow revision made this decision. A shadow's decision has no effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shadow: bool,
    /// For a shadow: whether its decision differs from the active revision's on the same input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<bool>,
    /// Mode of the hook: enforce, or monitor, in which the decision has no effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// The verdict.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verdict: HookVerdict,
    /// Reasons for a refusal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// Cause of a failure: the limit and its value, or the trap with the message of a panic or an uncaught exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Functions of the plugin that were running when it trapped, innermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// Tags that the tagger added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags_added: Vec<String>,
    /// Tags that the tagger removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags_removed: Vec<String>,
    /// Warnings of the validator about a save or delete that it accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Values that the validator attaches to a save or delete that it accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// Lines that the plugin logged during the calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// Fuel that the calls used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fuel: u64,
    /// Duration of the calls, in microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub microseconds: u64,
    /// Peak linear memory of the largest call, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_bytes: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Decision {
    /// Whether the decision has an effect. Decisions of shadows and of hooks in monitor mode have none.
    pub fn decides(&self) -> bool {
        !self.shadow && self.mode == Mode::Enforce
    }

    /// The codes of the rejections.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        let rejections = self.rejections.iter();
        rejections.map(|rejection| rejection.code.as_str())
    }

    /// Whether both decisions have the same verdict, rejection codes and tags. Messages, warnings and costs may differ.
    pub fn agrees(&self, other: &Self) -> bool {
        self.verdict == other.verdict
            && self.codes().eq(other.codes())
            && self.tags_added == other.tags_added
            && self.tags_removed == other.tags_removed
    }
}

/// Input of hooks beside the signature's bytes. A replay needs this and the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Caller, tenant and time.
    pub circumstances: Circumstances,
    /// Tags before the first tagger ran.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The version's stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Creator of the version, as the client named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The comment on the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// SHA-256 of the signature's bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// SHA-256 of the bytes of the version that is signed over, if there is one and a hook reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha256: Option<String>,
    /// Verification results that hooks read; none if no hook asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<Verdicts>,
}

impl Input {
    /// The input of a save.
    pub fn of_save(
        circumstances: &Circumstances,
        draft: &Draft,
        previous: Option<&Signature>,
    ) -> Self {
        Self {
            circumstances: circumstances.clone(),
            tags: draft.tags.clone(),
            stage: draft.stage.clone(),
            created_by: draft.created_by.clone(),
            comment: draft.comment.clone(),
            sha256: to_hex(&draft.body.sha256),
            previous_sha256: previous.and_then(body_sha256),
            verdicts: None,
        }
    }

    /// The input of a delete.
    pub fn of_delete(circumstances: &Circumstances, stored: &Signature) -> Self {
        Self {
            circumstances: circumstances.clone(),
            tags: stored.tags.clone(),
            stage: stored.stage.clone(),
            created_by: stored.created_by.clone(),
            comment: stored.comment.clone(),
            sha256: body_sha256(stored).unwrap_or_default(),
            previous_sha256: None,
            verdicts: None,
        }
    }

    /// This input, with the verification results that hooks read.
    #[must_use]
    pub fn with_verdicts(self, verdicts: Option<Verdicts>) -> Self {
        Self { verdicts, ..self }
    }

    /// The input as JSON, with its members in the order of the fields.
    ///
    /// # Errors
    ///
    /// None in practice: these types always serialize.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

fn body_sha256(signature: &Signature) -> Option<String> {
    signature.body.as_ref().map(|body| to_hex(&body.sha256))
}

/// All hooks' decisions about one save or delete, ready to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Operation that was judged.
    pub operation: Operation,
    /// Thread that was saved to or deleted.
    pub key: ThreadKey,
    /// Version that was judged; for a save, the number that the new version would get.
    pub version: u32,
    /// The input, as JSON.
    pub input: String,
    /// The decisions of all hooks, as JSON.
    pub decisions: String,
}

impl Judgement {
    /// Serializes the input and the decisions.
    ///
    /// # Errors
    ///
    /// None in practice: these types always serialize.
    pub fn new(
        operation: Operation,
        key: &ThreadKey,
        version: u32,
        input: &Input,
        decisions: &[Decision],
    ) -> Result<Self> {
        Ok(Self {
            operation,
            key: key.clone(),
            version,
            input: input.to_json()?,
            decisions: serde_json::to_string(decisions).map_err(Error::internal)?,
        })
    }

    /// SHA-256 of the input's JSON.
    pub fn input_sha256(&self) -> [u8; 32] {
        sha256(self.input.as_bytes())
    }
}

/// Id of a decision: its position in the record, which is sorted newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionId {
    /// Time when the decision's judgement was recorded.
    pub at: DateTime<Utc>,
    /// Number of the judgement.
    pub judgement: i64,
    /// Index of the decision in its judgement, from 0.
    pub place: u32,
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            at,
            judgement,
            place,
        } = self;
        write!(f, "{}-{judgement}-{place}", at.timestamp_micros())
    }
}

impl FromStr for DecisionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '-');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let read = (|| {
            Some(Self {
                at: time::from_micros(number()?)?,
                judgement: number()?,
                place: u32::try_from(number()?).ok()?,
            })
        })();
        read.ok_or_else(|| "it must be the `next` or the `id` of an earlier answer".to_owned())
    }
}

/// A decision as it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Id, to find the decision again.
    pub id: DecisionId,
    /// Operation that was judged.
    pub operation: Operation,
    /// Thread that was saved to or deleted.
    pub key: ThreadKey,
    /// Version that was judged.
    pub version: u32,
    /// Outcome of the save or delete, from the decisions of all hooks.
    pub outcome: Outcome,
    /// SHA-256 of the input's JSON.
    pub input_sha256: [u8; 32],
    /// The input.
    pub input: Input,
    /// The decision of this hook.
    pub decision: Decision,
}

/// The plugin revision and the settings that made a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    /// The plugin's name.
    pub plugin: String,
    /// Digest of the plugin's revision.
    pub sha256: Digest,
    /// The settings.
    pub settings: Arc<Value>,
    /// SHA-256 of the settings' JSON, as the plugin read it.
    pub settings_sha256: [u8; 32],
}

/// A recorded decision, and the plugin revision that made it.
#[derive(Debug)]
pub struct Listed {
    /// The decision.
    pub recorded: Recorded,
    /// The revision and settings that made it; none if the binding is not stored any more.
    pub made_by: Option<MadeBy>,
}
