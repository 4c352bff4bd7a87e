//! The lines of a log. Plain values, no I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_tlog::{
    Checkpoint, EMPTY_ROOT, Hash, Kind, MAX_REFS, Salt, VerifierKey, is_key_name, other_blind,
    seal, sha256,
};

use crate::context::PLATFORM;
use crate::digest::{from_hex, to_hex};
use crate::log::{Epoch, Numbered, Queued, id_of};
use crate::time;

/// The largest id of a thread in a file. New threads of this server, also of other tenants, get larger ids than
/// imported threads, so a file must not use up the ids.
pub const MAX_THREAD_ID: i64 = 1 << 48;
/// The largest number of an entry in a file, so that no file uses up the numbers.
const MAX_NUMBER: i64 = 1 << 48;
/// The longest name of a tree, in bytes.
const MAX_ORIGIN_BYTES: usize = 500;
/// The most keys of a tree.
const MAX_KEYS: usize = 1_000;
/// The most bytes of the object of an entry.
const MAX_EVENT_BYTES: usize = 128 * 1024;

/// A tree of the log, whose entries follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEpoch {
    /// Counts the trees of the log, from 1.
    pub epoch: i16,
    /// The name of the tree in its checkpoints.
    pub origin: String,
    /// The number of its first entry.
    pub first: i64,
    /// The number of its entries.
    pub size: i64,
    /// The number of entries that it was seen to have before it was frozen; 0 if it was not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: i64,
    /// The checkpoint of the whole tree, which has its root; none if the tree is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The time when it last grew.
    pub at: DateTime<Utc>,
    /// The time when another tree took its place; none for the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// Why nothing was added to it any more, if it was frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// The public keys that sign or signed it, in the order in which they were made.
    pub keys: Vec<LogKey>,
}

/// The public half of a key that signed checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogKey {
    /// The public key (RFC 8032), in hexadecimal.
    pub public_key: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it signs; none for the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<DateTime<Utc>>,
}

/// The public half of another server's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedKey {
    /// The public key (RFC 8032).
    pub public_key: [u8; 32],
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it signed; none if it did when the file was written.
    pub not_after: Option<DateTime<Utc>>,
}

/// The next entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Counts the entries of the tenant, from 1.
    pub number: i64,
    /// The hash of the entry as a leaf of the tree, in hexadecimal.
    pub leaf: String,
    /// Of a deletion, the numbers of the entries about its thread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refs: Vec<i64>,
    /// The rest of it.
    pub what: LogQueued,
}

/// What happened, with or without a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogQueued {
    /// The kind, as in the text of an entry.
    pub kind: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The id of the thread that it is about. The thread may be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<i64>,
    /// The version that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// The seal, in hexadecimal.
    pub seal: String,
    /// The salt in the seal, in hexadecimal; none of versions, and if it was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The sealed object, as its JSON text was written; none of versions, and if it was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn hex<const N: usize>(name: &str, text: &str) -> Result<[u8; N], String> {
    let bytes = from_hex(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("its `{name}` is not {N} bytes in hexadecimal"))
}

fn check_time(name: &str, at: DateTime<Utc>) -> Result<(), String> {
    let is_whole = time::from_micros(at.timestamp_micros()) == Some(at);
    let fault = || format!("its `{name}` is not from 1970 to 9999, in whole microseconds");
    is_whole.then_some(()).ok_or_else(fault)
}

impl LogEpoch {
    /// The line of a tree, with the keys that signed it.
    pub fn new(epoch: Epoch, keys: &[ImportedKey]) -> Self {
        let keys = keys.iter().map(|key| LogKey {
            public_key: to_hex(&key.public_key),
            created_at: key.created_at,
            not_after: key.not_after,
        });
        Self {
            epoch: epoch.epoch,
            origin: epoch.origin,
            first: epoch.first,
            size: epoch.size,
            seen: epoch.seen,
            checkpoint: epoch.checkpoint,
            at: epoch.at,
            closed_at: epoch.closed_at,
            frozen: epoch.frozen,
            keys: keys.collect(),
        }
    }

    /// The number of the first entry after this tree.
    pub fn next(&self) -> i64 {
        self.first.saturating_add(self.size.max(self.seen))
    }

    /// Verifies the checkpoint, and returns the tree with the root that it states, and the keys. The edge is still missing.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence.
    pub fn into_epoch(self) -> Result<(Epoch, Vec<ImportedKey>), String> {
        // They end with 32 digits, by which public logs are found.
        let id = id_of(&self.origin);
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_key_name(&self.origin) || !is_id || self.origin.len() > MAX_ORIGIN_BYTES {
            return Err("its `origin` is no name of a log".to_owned());
        }
        let is_number = |number: i64| (0..=MAX_NUMBER).contains(&number);
        if !is_number(self.size) || !is_number(self.seen) || !is_number(self.first) {
            return Err(format!("its numbers are not from 0 to {MAX_NUMBER}"));
        }
        if self.keys.len() > MAX_KEYS {
            return Err(format!("it has more than {MAX_KEYS} keys"));
        }
        if self.frozen.as_ref().is_some_and(|why| why.contains('\0')) {
            return Err("it has the character U+0000".to_owned());
        }
        check_time("at", self.at)?;
        if let Some(closed_at) = self.closed_at {
            check_time("closed_at", closed_at)?;
        }
        let keys = self.keys.iter().map(|key| {
            check_time("created_at", key.created_at)?;
            if let Some(not_after) = key.not_after {
                check_time("not_after", not_after)?;
            }
            Ok(ImportedKey {
                public_key: hex("public_key", &key.public_key)?,
                created_at: key.created_at,
                not_after: key.not_after,
            })
        });
        let keys = keys.collect::<Result<Vec<_>, String>>()?;
        let root = self.root(&keys)?;
        let epoch = Epoch {
            tenant: PLATFORM,
            epoch: self.epoch,
            origin: self.origin,
            first: self.first,
            size: self.size,
            edge: Vec::new(),
            root,
            checkpoint: self.checkpoint,
            at: self.at,
            closed_at: self.closed_at,
            frozen: self.frozen,
            seen: self.seen,
        };
        Ok((epoch, keys))
    }

    /// The root that the checkpoint states, which one of the keys signed for the whole tree.
    fn root(&self, keys: &[ImportedKey]) -> Result<Hash, String> {
        let tree = self.epoch;
        let Some(note) = &self.checkpoint else {
            return match self.size {
                0 => Ok(EMPTY_ROOT),
                _ => Err(format!("tree {tree} of the log is not signed")),
            };
        };
        let keys: Vec<_> = keys
            .iter()
            .map(|key| VerifierKey::new(&self.origin, key.public_key))
            .collect();
        let opened = Checkpoint::open(note, &self.origin, &keys)
            .map_err(|cause| format!("the checkpoint of tree {tree} does not hold: {cause}"))?;
        if opened.size != self.size.unsigned_abs() {
            return Err(format!(
                "tree {tree} of the log has {} entries, and its checkpoint is about {}",
                self.size, opened.size
            ));
        }
        Ok(opened.root)
    }
}

impl From<Queued> for LogQueued {
    fn from(what: Queued) -> Self {
        Self {
            kind: what.kind.as_str().to_owned(),
            at: what.at,
            thread: what.signature,
            version: what.version,
            seal: to_hex(&what.seal),
            salt: what.salt.map(|salt| to_hex(&salt)),
            event: what.event,
        }
    }
}

impl From<Numbered> for LogEntry {
    fn from(entry: Numbered) -> Self {
        Self {
            number: entry.number,
            leaf: to_hex(&entry.leaf),
            refs: entry.refs,
            what: entry.what.into(),
        }
    }
}

impl LogQueued {
    /// Checks what a line says, and the seal of its object.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence.
    pub fn into_queued(self) -> Result<Queued, String> {
        let kind: Kind = self
            .kind
            .parse()
            .map_err(|_| format!("there is no kind of entry `{}`", self.kind))?;
        check_time("at", self.at)?;
        let is_thread = |id: i64| (1..=MAX_THREAD_ID).contains(&id);
        if !self.thread.is_none_or(is_thread) {
            return Err(format!("a thread's id is from 1 to {MAX_THREAD_ID}"));
        }
        let is_of_version = kind.is_of_version();
        let names_one = self.thread.is_some() && self.version.is_some_and(|version| version > 0);
        if is_of_version && !names_one {
            return Err("it names no version".to_owned());
        }
        let seal_stated: Hash = hex("seal", &self.seal)?;
        let salt = self.salt.as_deref().map(|salt| hex("salt", salt));
        let salt: Option<Salt> = salt.transpose()?;
        match (&self.event, &salt) {
            (Some(event), Some(salt)) if !is_of_version => {
                if event.len() > MAX_EVENT_BYTES || event.contains('\0') {
                    return Err(format!(
                        "its `event` has more than {MAX_EVENT_BYTES} bytes, or the character U+0000"
                    ));
                }
                if seal(&sha256(event.as_bytes()), &other_blind(salt, event)) != seal_stated {
                    return Err("its `event` is not the one that its `seal` covers".to_owned());
                }
            }
            // Only what names a thread can have been erased; refusals may name one that was never stored.
            (None, None) if self.thread.is_some() || kind == Kind::Refused => {}
            _ => return Err("its `event` and `salt` do not fit its kind".to_owned()),
        }
        Ok(Queued {
            id: 0,
            tenant: PLATFORM,
            kind,
            at: self.at,
            signature: self.thread,
            version: self.version,
            seal: seal_stated,
            salt: salt.map(|salt| salt.to_vec()),
            event: self.event,
        })
    }
}

impl LogEntry {
    /// Checks what a line says, its seal and its hash.
    ///
    /// # Errors
    ///
    /// What is wrong, as the rest of a sentence.
    pub fn into_numbered(self) -> Result<Numbered, String> {
        let number = self.number;
        let fault = |fault: String| format!("entry {number} of the log was changed: {fault}");
        if self.refs.len() > MAX_REFS || self.refs.iter().any(|of| !(1..number).contains(of)) {
            return Err(fault("its `refs` are not earlier entries".to_owned()));
        }
        let numbered = Numbered {
            leaf: hex("leaf", &self.leaf).map_err(fault)?,
            what: self.what.into_queued().map_err(fault)?,
            number,
            refs: self.refs,
        };
        if numbered.entry().leaf() != numbered.leaf {
            return Err(fault("its hash is another one".to_owned()));
        }
        Ok(numbered)
    }
}
