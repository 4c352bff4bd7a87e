//! The log of a tenant: what happened to it, as entries of a Merkle tree (RFC 6962). Plain values, no I/O.
//!
//! What happens is queued within its own transaction, and numbered a moment later by one server for all. The number of an
//! entry is also the cursor of those who follow what happens.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_tlog::{Entry, Hash, Kind, VersionMetadata};
use utoipa::ToSchema;

use crate::context::TenantId;
use crate::signature::{Encoding, ThreadKey};

/// What happened and has no number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its place in the queue.
    pub id: i64,
    /// The tenant whose log it goes into, or [`PLATFORM`](crate::context::PLATFORM).
    pub tenant: TenantId,
    /// What happened.
    pub kind: Kind,
    /// When.
    pub at: DateTime<Utc>,
    /// The id of the thread that it is about.
    pub signature: Option<i64>,
    /// The version that it is about.
    pub version: Option<i32>,
    /// The seal over its object and metadata.
    pub seal: Hash,
    /// The salt in its metadata; of versions it is stored with the version.
    pub salt: Option<Vec<u8>>,
    /// Its object, as JSON; of versions the signature is the object.
    pub event: Option<String>,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbered {
    /// What happened.
    pub what: Queued,
    /// Counts the entries of the tenant, from 1.
    pub number: i64,
    /// The hash of the entry as a leaf of the tree.
    pub leaf: Hash,
    /// Of a deletion, the numbers of the entries about its thread.
    pub refs: Vec<i64>,
}

impl Numbered {
    /// The entry that the leaf is the hash of.
    pub fn entry(&self) -> Entry {
        entry(&self.what, &self.refs)
    }
}

/// The entry of what happened.
pub fn entry(what: &Queued, refs: &[i64]) -> Entry {
    Entry {
        kind: what.kind,
        at_micros: what.at.timestamp_micros(),
        seal: what.seal,
        refs: refs.iter().map(|number| number.unsigned_abs()).collect(),
    }
}

/// The root of a full subtree of 256, 65536, and so on, leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The owner of the log.
    pub tenant: TenantId,
    /// The tree.
    pub epoch: i16,
    /// 1 for 256 leaves, 2 for 65536.
    pub level: i16,
    /// Counts the nodes of the level, from 0.
    pub number: i64,
    /// Its hash.
    pub hash: Hash,
}

/// A tree of a log. A tenant has one; another begins after an import, or after the database went back in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The owner of the log: a tenant's, or the platform's.
    pub tenant: TenantId,
    /// Counts the trees of the log, from 1.
    pub epoch: i16,
    /// The name of the tree in its checkpoints.
    pub origin: String,
    /// The number of its first entry.
    pub first: i64,
    /// The number of its entries.
    pub size: i64,
    /// The roots of its perfect subtrees, the largest first.
    pub edge: Vec<u8>,
    /// Its root.
    pub root: Hash,
    /// The last signed checkpoint (C2SP tlog-checkpoint).
    pub checkpoint: Option<String>,
    /// When it last grew.
    pub at: DateTime<Utc>,
    /// When another tree took its place.
    pub closed_at: Option<DateTime<Utc>>,
    /// Why nothing is added to it, if it was found that the database went back in time.
    pub frozen: Option<String>,
    /// The number of entries that it was seen to have before it was frozen; 0 if it was not.
    pub seen: i64,
}

/// The random part of the name of a tree.
pub fn id_of(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or_default()
}

impl Epoch {
    /// The random part of its name, by which anybody finds it if its log is public.
    pub fn id(&self) -> &str {
        id_of(&self.origin)
    }

    /// The place of an entry in the tree, from 0; none if it is in another one.
    pub fn index(&self, number: i64) -> Option<u64> {
        let index = number.checked_sub(self.first)?;
        (index < self.size).then(|| u64::try_from(index).ok())?
    }

    /// The tree of these that has the entry with this number.
    pub fn of(epochs: &[Self], number: i64) -> Option<&Self> {
        epochs.iter().find(|epoch| epoch.index(number).is_some())
    }

    /// The number of the entry after its last one.
    pub fn next(&self) -> i64 {
        self.first.saturating_add(self.size)
    }
}

/// Settings of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogSettings {
    /// Whether anybody may read its checkpoints and tiles without a token.
    #[schema(example = false)]
    pub public: bool,
    /// Whether saves and deletes that a hook or the policy refused are added to it, as `version.refused`.
    #[schema(example = false)]
    pub refusals: bool,
}

/// Changes of what is set for a log. A member that is `None` stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of the settings")]
pub struct LogSettingsPatch {
    pub public: Option<bool>,
    pub refusals: Option<bool>,
}

impl LogSettingsPatch {
    /// Applies the changes.
    pub fn of(self, before: LogSettings) -> LogSettings {
        LogSettings {
            public: self.public.unwrap_or(before.public),
            refusals: self.refusals.unwrap_or(before.refusals),
        }
    }
}

impl StoredLogKey {
    /// What the encrypted secret is bound to.
    pub const BINDING: &'static str = "log";
}

/// A key that signs checkpoints, as it is stored.
#[derive(Debug, Clone)]
pub struct StoredLogKey {
    /// Counts the keys, from 1.
    pub id: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it signs; none for the newest.
    pub not_after: Option<DateTime<Utc>>,
    /// The public key (RFC 8032).
    pub public_key: [u8; 32],
    /// The secret key, encrypted under the master key.
    pub encrypted_secret: Vec<u8>,
}

/// An entry, with the version that it is about if that is stored.
#[derive(Debug, Clone)]
pub struct Logged {
    /// The entry.
    pub numbered: Numbered,
    /// The version.
    pub version: Option<VersionName>,
}

impl Logged {
    /// About how many bytes it takes to tell of it.
    pub fn bytes(&self) -> usize {
        /// Names of members, numbers and times.
        const FRAME: usize = 400;
        let event = self.numbered.what.event.as_ref().map_or(0, String::len);
        let version = self.version.as_ref().map_or(0, |version| {
            let stage = version.stage.as_ref().map_or(0, String::len);
            let tags: usize = version.tags.iter().map(|tag| tag.len() + 3).sum();
            version.key.document.len() + version.key.thread.len() + stage + tags
        });
        FRAME + event + version
    }
}

/// A stored version without its bytes, as its seal covers it.
#[derive(Debug, Clone)]
pub struct VersionName {
    /// Its thread.
    pub key: ThreadKey,
    /// Its number.
    pub version: u32,
    /// When it was saved.
    pub created_at: DateTime<Utc>,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
    /// How the text that the client sent follows from the bytes.
    pub encoding: Encoding,
    /// Its stage.
    pub stage: Option<String>,
    /// Its creator.
    pub created_by: Option<String>,
    /// The comment on it.
    pub comment: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The salt in its seal; none until it is logged.
    pub salt: Option<Vec<u8>>,
}

impl VersionName {
    /// What its seal covers beside its bytes.
    pub fn metadata(&self) -> VersionMetadata<'_, String> {
        VersionMetadata {
            document: &self.key.document,
            thread: &self.key.thread,
            version: self.version,
            encoding: self.encoding.as_str(),
            stage: self.stage.as_deref(),
            created_by: self.created_by.as_deref(),
            comment: self.comment.as_deref(),
            tags: &self.tags,
        }
    }
}
