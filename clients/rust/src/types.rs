//! What the server answers. Members that later servers add are ignored.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::draft::{Cms, Draft};

/// A version of a signature. Its `Debug` does not show the signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Signature {
    /// The thread's stable id.
    pub id: i64,
    /// The version's number.
    pub version: u32,
    /// The document's id.
    pub document: String,
    /// The thread: the process in which the document is signed.
    pub thread: String,
    /// Same as `thread`; only in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// The stage of the version.
    #[serde(default)]
    pub stage: Option<String>,
    /// The signature exactly as it was sent: base64, or XML. None where it was left out, as in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The version that it was signed over; none for the first version.
    #[serde(default)]
    pub parent: Option<u32>,
    /// The creator of the version.
    #[serde(default)]
    pub version_created_by: Option<String>,
    /// Time at which the version was saved: `YYYY-MM-DD HH:MM:SS` in UTC.
    pub version_created_at: String,
    /// Comment on the version.
    #[serde(default)]
    pub version_comment: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Time at which the first version was saved, in UTC.
    pub created_at: String,
    /// Time at which the current version was saved, in UTC.
    pub updated_at: String,
}

impl Signature {
    /// A draft of the version that countersigns this one.
    pub fn countersigned(&self, cms: impl Into<Cms>) -> Draft {
        Draft::new(&*self.document, &*self.thread, cms).over(self.version)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("id", &self.id)
            .field("document", &self.document)
            .field("thread", &self.thread)
            .field("version", &self.version)
            .field("tags", &self.tags)
            .finish_non_exhaustive()
    }
}

/// The place of a version in its tenant's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// `queued` if it will be in the log in a moment, `logged` if it is.
    pub state: String,
    /// The number of its entry; none until it is logged.
    #[serde(default)]
    pub number: Option<i64>,
}

/// What a save gave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The version. After [`save_many`](crate::Client::save_many) its `signature` is none.
    pub signature: Signature,
    /// False if an identical request had saved it before.
    pub is_new: bool,
    /// Its place in the tenant's log, if the save waited for that.
    pub evidence: Option<Evidence>,
}

/// The content of an answer with one version.
#[derive(Deserialize)]
pub(crate) struct OneContent {
    pub(crate) signature: Signature,
    #[serde(default)]
    pub(crate) evidence: Option<Evidence>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SignaturePage {
    /// Current versions, newest thread first; of one thread, its versions, newest first.
    #[serde(alias = "versions")]
    pub signatures: Vec<Signature>,
    /// Cursor of the next page; none on the last one.
    #[serde(default)]
    pub next: Option<String>,
    /// Number of matching signatures, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nb_results: Option<i64>,
    /// Whether the list may be wrong, because it filters by signers and those of some versions are not indexed yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
}

/// Something that happened to a tenant. Its number is its place in the tenant's log, and the cursor to what came after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its id: the same whenever and wherever it is told.
    pub id: String,
    /// Its number: counts what happened to the tenant, from 1, without gaps.
    pub number: i64,
    /// What happened, such as `version.saved`. Skip types that you do not know.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened: `YYYY-MM-DD HH:MM:SS` in UTC.
    pub at: String,
    /// The document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The version; of a deleted signature, its last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The stage of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The tags of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// SHA-256 of the version's signature, in hexadecimal digits; of a digest of decisions, the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The indication for each signer of a verdict; none for one that could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indications: Option<Vec<Option<String>>>,
    /// The name of what a change changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Who made a change: `kind` and `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Value>,
    /// The day of a digest of decisions, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The number of saves and deletes that a digest of decisions is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// By what a version was refused, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Value>,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventPage {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The number to pass as `after` for what comes next.
    pub next: i64,
}

/// One hook's refusal of a save or delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HookRejection {
    /// The hook's name.
    pub hook: String,
    /// The plugin's stable code.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// JSON pointer to the offending parameter, if the plugin named one.
    #[serde(default)]
    pub field: Option<String>,
}

/// A signer of a signature that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefusedSigner {
    /// Position in the file: `1` is the first signer, `1.2` the second who countersigned the first one's signature.
    pub signer: String,
    /// Whether this signer would be accepted.
    pub accepted: bool,
    /// Subject of the signer's certificate (RFC 4514).
    #[serde(default)]
    pub subject: Option<String>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Result of the verification, in the words of ETSI EN 319 102-1, such as `TOTAL_PASSED`.
    pub indication: String,
    /// Reason why it did not pass.
    #[serde(default)]
    pub sub_indication: Option<String>,
    /// An explanation in one sentence.
    pub explanation: String,
}
