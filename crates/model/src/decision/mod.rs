//! What hooks decided, and on what input. Plain values, no I/O.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod verdicts;

use crate::context::Context;
use crate::digest::{sha256, to_hex};
use crate::error::{Error, Result};
use crate::plugin::{Mode, Operation};
use crate::signature::{Draft, Signature, ThreadKey};
use crate::time;
pub use verdicts::{Apart, Holds, Revoked, Told, Verdicts};

/// Longest text of a guest's that is kept or answered, in characters.
pub const MAX_TEXT_CHARS: usize = 500;
/// Most rejections, warnings, annotations, or issues of one call that are kept.
pub const MAX_ENTRIES: usize = 20;

/// A guest's text, fit for one line of a log, a database and an answer: bounded, and without control characters, so that
/// it can't begin a line of its own.
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

/// Who asks, for whom, and when: what a plugin is told beside the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// Slug of the tenant.
    pub tenant: String,
    /// Id of the request.
    pub request_id: String,
    /// The `sub` claim of the caller's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The scopes of the caller's token.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

impl Circumstances {
    /// Those of a request, now.
    ///
    /// # Errors
    ///
    /// [`Error::TenantRequired`].
    pub fn now(context: &Context) -> Result<Self> {
        Self::at(Utc::now(), context)
    }

    /// Those of a request, at this time.
    ///
    /// # Errors
    ///
    /// [`Error::TenantRequired`].
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

    /// Their time; 1970 where it is beyond what there are years for.
    pub fn now_time(&self) -> DateTime<Utc> {
        let ms = i64::try_from(self.now_ms).ok();
        ms.and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default()
    }
}

/// What one hook made of a save or delete.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It has nothing against it.
    #[default]
    Accepted,
    /// It refuses it.
    Rejected,
    /// It trapped, missed its deadline or broke a limit.
    Failed,
}

/// What became of a judged save or delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Accepted,
    /// A hook refused it.
    Rejected,
    /// A hook failed, and its settings say that nothing may be stored then.
    Failed,
    /// No hook refused it, but the thread had moved on, or had this very version already.
    NotStored,
}

crate::words!(
    Verdict,
    Accepted = "accepted",
    Rejected = "rejected",
    Failed = "failed"
);
crate::words!(
    Outcome,
    Accepted = "accepted",
    Rejected = "rejected",
    Failed = "failed",
    NotStored = "not_stored"
);

/// Why a hook refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// The plugin's stable code.
    #[schema(example = "signer-dropped")]
    pub code: String,
    /// A sentence for a person.
    #[schema(example = "The new version drops a signer")]
    pub message: String,
    /// JSON pointer to the parameter at fault, where the plugin named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/cms")]
    pub field: Option<String>,
}

/// A line that a plugin wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    #[schema(example = "info")]
    pub level: String,
    /// What it said.
    #[schema(example = "two signers")]
    pub message: String,
}

/// A named value that a validator adds to what it accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Annotation {
    /// Its name.
    #[schema(example = "signers")]
    pub name: String,
    /// Its value.
    #[schema(example = "2")]
    pub value: String,
}

/// What one hook decided about one save or delete: the calls of its tagger and validator together. What is empty takes no
/// room where it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The hook's name.
    pub hook: Arc<str>,
    /// Which of its bindings ran.
    pub binding: u32,
    /// Whether this is the shadow's decision, which has no effect.
    #[serde(default, skip_serializing_if = "is_default")]
    pub shadow: bool,
    /// Of a shadow: whether it decided otherwise than the active revision, on the same input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<bool>,
    /// Whether it decided, or only watched.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// What it says.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verdict: Verdict,
    /// Why it refuses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejections: Vec<Rejection>,
    /// How it failed: the limit and its value, or the trap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Tags that it added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags_added: Vec<String>,
    /// Tags that it took away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags_removed: Vec<String>,
    /// What it accepts only with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What it adds to what it accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotations: Vec<Annotation>,
    /// What it wrote meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    /// Fuel that it used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fuel: u64,
    /// Time that it took, in microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub microseconds: u64,
    /// The most linear memory that one of its calls held, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_bytes: u64,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Decision {
    /// Whether it counts: neither a shadow's nor that of a hook which only watches.
    pub fn decides(&self) -> bool {
        !self.shadow && self.mode == Mode::Enforce
    }

    /// Whether another decision says the same: verdict, codes and tags; not words, warnings or costs.
    pub fn agrees(&self, other: &Self) -> bool {
        let codes = |decision: &Self| {
            let codes = decision.rejections.iter();
            codes
                .map(|rejection| rejection.code.clone())
                .collect::<Vec<_>>()
        };
        self.verdict == other.verdict
            && codes(self) == codes(other)
            && self.tags_added == other.tags_added
            && self.tags_removed == other.tags_removed
    }
}

/// What hooks were told beside the signature's bytes: all that a replay needs but those.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Who asked, and when.
    pub circumstances: Circumstances,
    /// The tags before the first tagger.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The version's stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Who created the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The comment on the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// SHA-256 of the signature's bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// The same of the version that is signed over, where there is one and a hook asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha256: Option<String>,
    /// What hooks were told of whether signatures hold; nothing where none has asked.
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

    /// The same, with what hooks were told of whether signatures hold.
    #[must_use]
    pub fn with_verdicts(self, verdicts: Option<Verdicts>) -> Self {
        Self { verdicts, ..self }
    }

    /// The input as JSON, its members in the order of the fields.
    ///
    /// # Errors
    ///
    /// None that can happen.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

fn body_sha256(signature: &Signature) -> Option<String> {
    signature.body.as_ref().map(|body| to_hex(&body.sha256))
}

/// All that hooks decided about one save or delete, ready to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What was judged.
    pub operation: Operation,
    /// Of which thread.
    pub key: ThreadKey,
    /// Which version: for a save, the one that it would become.
    pub version: u32,
    /// On what input, as JSON.
    pub input: String,
    /// What each hook decided, as JSON.
    pub decisions: String,
}

impl Judgement {
    /// Puts together what is recorded.
    ///
    /// # Errors
    ///
    /// None that can happen.
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

/// A place in the record: that of one decision, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionId {
    /// When its judgement was recorded.
    pub at: DateTime<Utc>,
    /// Its judgement's number.
    pub judgement: i64,
    /// Its place among the judgement's decisions, from 0.
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
    /// Where to find it again.
    pub id: DecisionId,
    /// What was judged.
    pub operation: Operation,
    /// Of which thread.
    pub key: ThreadKey,
    /// Which version.
    pub version: u32,
    /// What became of it, all hooks together.
    pub outcome: Outcome,
    /// SHA-256 of the input as JSON.
    pub input_sha256: [u8; 32],
    /// On what input.
    pub input: Input,
    /// What this hook decided.
    pub decision: Decision,
}
