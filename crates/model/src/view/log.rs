//! Logs and what happened, as answers and the OpenAPI document show them.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_tlog::{Hash, Kind};
use utoipa::ToSchema;

use super::WitnessView;
use super::refusal::RefusalView;
use crate::audit::ActorKind;
use crate::digest::{from_hex, to_hex};
use crate::log::{Epoch, LogSettings, Logged};
use crate::time;
use crate::witness::Witness;

/// Who made a change, as an event tells it.
#[derive(Debug, ToSchema)]
pub struct HappeningActor {
    /// The source of the identity.
    pub kind: ActorKind,
    /// The `sub` claim of the caller's token, or `command line`; null for the server itself.
    #[schema(example = "olga")]
    pub subject: Option<String>,
}

/// What happened to a tenant. Its number is its place in the tenant's log, and the cursor to what came after it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = HappeningContent)]
pub struct HappeningView {
    /// Its id: the same whenever and wherever it is told.
    #[schema(example = "5c1b0d9f8e7a4b32a1c0ffee00112233-8123")]
    pub id: String,
    /// Its number: counts what happened to the tenant, from 1, without gaps.
    #[schema(example = 8123)]
    pub number: i64,
    /// What happened: `version.saved`, `version.imported`, `version.backfilled` (it was stored before there was a log),
    /// `signature.deleted`, `verdict.recorded`, `version.refused` (if the tenant wants that), any `action` of the audit trail
    /// about the tenant, such as `hook.set`; or `erased`, if it was about a signature that was deleted since; or `lost`, if the
    /// database was restored from a backup that lacks it.
    #[serde(rename = "type")]
    #[schema(example = "version.saved")]
    pub kind: String,
    /// When it happened.
    #[schema(value_type = sigpersist_verify::Time)]
    pub at: String,
    /// The document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "doc_12")]
    pub document: Option<String>,
    /// The thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ticket_42")]
    pub thread: Option<String>,
    /// The version; of a deleted signature, its last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 2)]
    pub version: Option<u32>,
    /// The stage of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "approval")]
    pub stage: Option<String>,
    /// The tags of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["customer_1", "signed"]))]
    pub tags: Option<Vec<String>>,
    /// SHA-256 of the version's signature; of a digest of decisions, the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    pub sha256: Option<String>,
    /// Of a verdict, the indication for each signer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["TOTAL_PASSED"]))]
    pub indications: Option<Vec<Option<String>>>,
    /// Of a change, the name of what was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "signer-tags")]
    pub target: Option<String>,
    /// Of a change, who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<HappeningActor>)]
    pub actor: Option<Value>,
    /// Of a digest of decisions of hooks, their day in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-11-29")]
    pub day: Option<String>,
    /// Of a digest of decisions of hooks, the number of saves and deletes that they judged on that day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 12)]
    pub count: Option<u64>,
    /// Of a refusal, by what and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalView>,
}

/// The members of an event that are shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    r#type: String,
    document: Option<String>,
    thread: Option<String>,
    version: Option<u32>,
    sha256: Option<String>,
    indications: Option<Vec<Option<String>>>,
    target: Option<String>,
    actor: Option<Value>,
    day: Option<String>,
    count: Option<u64>,
    refusal: Option<RefusalView>,
}

impl HappeningView {
    /// The name of what is told of an entry whose object was deleted.
    pub const ERASED: &'static str = "erased";

    /// The name of what is told of a number whose entry the database has lost.
    pub const LOST: &'static str = "lost";

    /// Tells that an entry was lost, before this time.
    pub fn lost(number: i64, at: DateTime<Utc>) -> Self {
        Self::bare(Self::LOST, number, Self::LOST, at)
    }

    /// A test of a webhook, with an id of its own.
    pub fn test(id: String, at: DateTime<Utc>) -> Self {
        Self {
            id,
            ..Self::bare("", 0, "webhook.test", at)
        }
    }

    fn bare(id: &str, number: i64, kind: &str, at: DateTime<Utc>) -> Self {
        Self {
            id: format!("{id}-{number}"),
            number,
            kind: kind.to_owned(),
            at: time::to_text(at),
            document: None,
            thread: None,
            version: None,
            stage: None,
            tags: None,
            sha256: None,
            indications: None,
            target: None,
            actor: None,
            day: None,
            count: None,
            refusal: None,
        }
    }

    /// Tells of an entry in one of these trees.
    pub fn new(logged: Logged, epochs: &[Epoch]) -> Self {
        let Logged { numbered, version } = logged;
        let epoch = Epoch::of(epochs, numbered.number);
        let id = epoch.map_or("", Epoch::id);
        let what = numbered.what;
        let told: Option<Told> = what.event.as_deref().map(|event| {
            // Our own text, unless somebody changed the row.
            serde_json::from_str(event).unwrap_or_default()
        });
        let kind = match (what.kind, &told, &version) {
            (Kind::Version, _, Some(_)) => "version.saved",
            (Kind::Imported, _, Some(_)) => "version.imported",
            (Kind::Backfilled, _, Some(_)) => "version.backfilled",
            (_, Some(told), _) if !told.r#type.is_empty() => &told.r#type,
            _ => Self::ERASED,
        };
        let is_of_version = version.is_some();
        let mut view = Self::bare(id, numbered.number, kind, what.at);
        if let Some(version) = version {
            view.document = Some(version.key.document);
            view.thread = Some(version.key.thread);
            view.version = Some(version.version);
            view.stage = version.stage;
            view.tags = Some(version.tags);
            view.sha256 = Some(to_hex(&version.sha256));
        }
        if let Some(told) = told {
            if !is_of_version {
                view.document = told.document;
                view.thread = told.thread;
                view.version = told.version;
                view.sha256 = told.sha256;
            }
            view.indications = told.indications;
            view.target = told.target;
            view.actor = told.actor;
            view.day = told.day;
            view.count = told.count;
            view.refusal = told.refusal;
        }
        view
    }
}

/// A tree of a tenant's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = EpochContent)]
pub struct EpochView {
    /// Counts the trees of the log, from 1. Another one begins after an import, or after the database went back in time.
    #[schema(example = 1)]
    pub epoch: i16,
    /// The name of the tree in its checkpoints.
    #[schema(example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233")]
    pub origin: String,
    /// The number of its first entry.
    #[schema(example = 1)]
    pub first: i64,
    /// The number of its entries.
    #[schema(example = 8123)]
    pub size: i64,
    /// Its root (RFC 6962 section 2.1), in hexadecimal.
    #[schema(value_type = sigpersist_verify::digest::Sha256)]
    pub root: String,
    /// The last signed checkpoint (C2SP tlog-checkpoint); null if the server has no master key, or could not sign yet.
    #[schema(
        example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233\n1\nXokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc=\n\n— sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233 AAAAAA==\n"
    )]
    pub checkpoint: Option<String>,
    /// When it last grew.
    #[schema(value_type = sigpersist_verify::Time)]
    pub updated_at: String,
    /// When another tree took its place; null for the current one.
    #[schema(value_type = Option<sigpersist_verify::Time>)]
    pub closed_at: Option<String>,
    /// Why nothing is added to it: the database went back in time. Null otherwise.
    #[schema(example = json!(null))]
    pub frozen: Option<String>,
    /// The path below which anybody reads the tree without a token; null if the log is not public.
    #[schema(example = "/logs/5c1b0d9f8e7a4b32a1c0ffee00112233")]
    pub public_path: Option<String>,
}

/// The log of a tenant, or of the platform.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LogContent)]
pub struct LogView {
    /// The trees, in order; the last one is current.
    pub epochs: Vec<EpochView>,
    /// What is set for it.
    pub settings: LogSettings,
    /// Its witnesses, by name. Older servers have none.
    #[serde(default)]
    pub witnesses: Vec<WitnessView>,
}

impl LogView {
    /// Shows these trees, with what is set for their log, and its witnesses.
    pub fn new(epochs: Vec<Epoch>, settings: LogSettings, witnesses: Vec<Witness>) -> Self {
        let epochs = epochs.into_iter();
        Self {
            epochs: epochs
                .map(|epoch| EpochView::new(epoch, settings.public))
                .collect(),
            settings,
            witnesses: witnesses.into_iter().map(WitnessView::from).collect(),
        }
    }
}

impl EpochView {
    fn new(epoch: Epoch, is_public: bool) -> Self {
        Self {
            public_path: is_public.then(|| format!("/logs/{}", epoch.id())),
            epoch: epoch.epoch,
            origin: epoch.origin,
            first: epoch.first,
            size: epoch.size,
            root: to_hex(&epoch.root),
            checkpoint: epoch.checkpoint,
            updated_at: time::to_text(epoch.at),
            closed_at: epoch.closed_at.map(time::to_text),
            frozen: epoch.frozen,
        }
    }
}

/// The proof that a version is in its tenant's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ProofContent)]
pub struct ProofView {
    /// `logged`, or `queued` if it will be in the log in a moment. Then the other members are null.
    pub state: ProofState,
    /// The number of the entry.
    #[schema(example = 8123)]
    pub number: Option<i64>,
    /// The name of the tree that the entry is in.
    #[schema(example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233")]
    pub origin: Option<String>,
    /// The place of the entry in the tree, from 0.
    #[schema(example = 8122)]
    pub index: Option<u64>,
    /// The number of entries of the tree that the proof is about.
    #[schema(example = 8200)]
    pub size: Option<u64>,
    /// SHA-256 of the signature's bytes.
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    pub sha256: Option<String>,
    /// What the seal in the entry covers beside the signature, in base64.
    #[schema(example = "c2lncGVyc2lzdC5kZXYvbWV0YWRhdGEvdjEK")]
    pub metadata: Option<String>,
    /// The text of the entry.
    #[schema(
        example = "sigpersist.dev/entry/v1\nversion\n1613610000000000\nXokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc=\n"
    )]
    pub entry: Option<String>,
    /// The proof (C2SP tlog-proof): the hashes from the entry to the root, and the signed checkpoint.
    #[schema(example = "c2sp.org/tlog-proof@v1\nindex 8122\n")]
    pub tlog_proof: Option<String>,
    /// The witnesses that signed the checkpoint. Left out if the log has no witnesses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["witness.example.com/w1"]))]
    pub witnesses: Option<Vec<String>>,
    /// Whether enough witnesses signed it. Left out if the log has no witnesses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub witnessed: Option<bool>,
}

/// What can be proven about a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProofState {
    /// It is stored, and will be in the log in a moment.
    Queued,
    /// It is in the log.
    Logged,
}

/// A key that signs checkpoints.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LogKeyContent)]
pub struct LogKeyView {
    /// Counts the keys, from 1; null for a key of another server.
    #[schema(example = 1)]
    pub id: Option<i32>,
    /// Whether it is the key of another server, and signed trees that were imported.
    #[serde(default)]
    #[schema(example = false)]
    pub imported: bool,
    /// The public key (Ed25519, RFC 8032), in base64.
    #[schema(example = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    pub public_key: String,
    /// The key as verifiers of notes take it (C2SP signed-note), for each tree of the log that it may have signed.
    #[schema(example = json!(["sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]))]
    pub verifier_keys: Vec<String>,
    /// When it was made.
    #[schema(value_type = sigpersist_verify::Time)]
    pub created_at: String,
    /// Until when it signs; null for the newest key.
    #[schema(value_type = Option<sigpersist_verify::Time>)]
    pub not_after: Option<String>,
}

/// The result of comparing a tenant's log with what is stored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = LogCheckContent)]
pub struct LogCheckView {
    /// The tenant; null for the platform's own log.
    #[schema(example = "acme")]
    pub tenant: Option<String>,
    /// Whether log and store agree.
    #[schema(example = true)]
    pub whole: bool,
    /// The number of entries.
    #[schema(example = 8123)]
    pub entries: u64,
    /// The head of the log, to be kept elsewhere: `expect` takes it in a later check. Null if there is no log yet.
    #[schema(example = "8123:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub head: Option<String>,
    /// Whether the log has a signed checkpoint.
    #[schema(example = true)]
    pub signed: bool,
    /// The number of stored versions that will be in the log in a while.
    #[schema(example = 0)]
    pub waiting: u64,
    /// The number of days on which hooks decided what the log says.
    #[schema(example = 7)]
    pub decision_days: u64,
    /// The number of days whose decisions are in the log and not kept any more.
    #[schema(example = 0)]
    pub swept_days: u64,
    /// What is wrong, as sentences; at most 100.
    #[schema(example = json!([]))]
    pub faults: Vec<String>,
}

/// A state of a log: its size and root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    /// The name of the tree; none for any of the tenant's.
    pub origin: Option<String>,
    /// The number of its entries.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl LogHead {
    /// The state of a tree now.
    pub fn of(epoch: &Epoch) -> Self {
        Self {
            origin: None,
            size: epoch.size.unsigned_abs(),
            root: epoch.root,
        }
    }
}

impl fmt::Display for LogHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.size, to_hex(&self.root))
    }
}

impl FromStr for LogHead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(size, root)| {
            Some(Self {
                origin: None,
                size: size.parse().ok()?,
                root: from_hex(root)?.try_into().ok()?,
            })
        });
        parsed.ok_or_else(|| {
            "the head of a log is SIZE:ROOT, as `sigpersist log verify` prints it".to_owned()
        })
    }
}
