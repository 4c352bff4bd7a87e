//! Walks through the log of a file, line by line, and verifies it: the trees are those that their checkpoints state, and each
//! version is what its entry says. An export walks first, too, so that it writes only what an import takes.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use sigpersist_model::digest::from_hex;
use sigpersist_model::log::{Epoch, Numbered, Queued};
use sigpersist_model::signature::ThreadKey;
use sigpersist_model::transfer::{ImportedKey, LogEntry, LogEpoch, LogQueued, Version};
use sigpersist_tlog::{Edge, Hash, Salt, VersionMetadata, seal};

/// The state of a walk.
#[derive(Debug)]
pub(in super::super) struct Walk {
    tree: Option<Tree>,
    /// Whether the trees are over.
    is_over: bool,
    /// The seal of the entry of each version, by thread and version; both as hashes under a key that nobody knows, so that
    /// an entry takes few bytes.
    versions: HashMap<u64, u64>,
    hasher: RandomState,
}

/// The tree whose entries come.
#[derive(Debug)]
struct Tree {
    number: i16,
    /// The number of the next entry.
    next: i64,
    left: i64,
    root: Hash,
    edge: Edge,
    /// The number of the first entry of the next tree.
    end: i64,
}

impl Walk {
    pub(in super::super) fn new() -> Self {
        Self {
            tree: None,
            is_over: false,
            versions: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Begins the next tree.
    pub(in super::super) fn epoch(
        &mut self,
        line: LogEpoch,
    ) -> Result<(Epoch, Vec<ImportedKey>), String> {
        let (number, first) = match &self.tree {
            Some(tree) => (tree.number.saturating_add(1), tree.end),
            None => (1, 1),
        };
        if self.is_over || line.epoch != number || line.first != first {
            return Err(format!(
                "it must be tree {number} of the log, which begins with entry {first}"
            ));
        }
        let end = line.next();
        let (epoch, keys) = line.into_epoch()?;
        self.tree = Some(Tree {
            number,
            next: first,
            left: epoch.size,
            root: epoch.root,
            edge: Edge::empty(),
            end,
        });
        Ok((epoch, keys))
    }

    /// Takes the next entry of the tree.
    pub(in super::super) fn entry(&mut self, line: LogEntry) -> Result<Numbered, String> {
        let Some(tree) = &mut self.tree else {
            return Err("it is in no tree of the log".to_owned());
        };
        if line.number != tree.next || tree.left == 0 {
            return Err(format!("it must be entry {} of the log", tree.next));
        }
        let entry = line.into_numbered()?;
        tree.next += 1;
        tree.left -= 1;
        tree.edge.push(entry.leaf, &mut |_, _, _| ());
        if tree.left == 0 && tree.edge.root() != tree.root {
            return Err(format!(
                "the entries of tree {} of the log are not those that its checkpoint is about",
                tree.number
            ));
        }
        let what = &entry.what;
        if what.kind.is_of_version()
            && let (Some(thread), Some(version)) = (what.signature, what.version)
        {
            let place = self.hasher.hash_one((thread, version));
            let sealed = self.hasher.hash_one(what.seal);
            if self
                .versions
                .insert(place, sealed)
                .is_some_and(|before| before != sealed)
            {
                return Err("an earlier entry is about the same version, and differs".to_owned());
            }
        }
        Ok(entry)
    }

    /// Takes a change without a number.
    pub(in super::super) fn queued(&mut self, line: LogQueued) -> Result<Queued, String> {
        if self.tree.is_none() {
            return Err("it is in no log".to_owned());
        }
        self.is_over = true;
        let queued = line.into_queued()?;
        if queued.kind.is_of_version() {
            return Err("a version without a number is logged when it is imported".to_owned());
        }
        Ok(queued)
    }

    /// Notes that the threads begin. No tree may follow.
    pub(in super::super) fn end(&mut self) {
        self.is_over = true;
    }

    /// Compares a version, as it is in the file, with its entry. `tags` are those that are stored. Returns the salt in the
    /// entry's seal; none if the version has no entry.
    pub(in super::super) fn version(
        &self,
        id: Option<i64>,
        key: &ThreadKey,
        line: &Version,
        tags: &[String],
        encoding: &str,
    ) -> Result<Option<Salt>, String> {
        let number = i32::try_from(line.version).unwrap_or(i32::MAX);
        let place = id.map(|id| self.hasher.hash_one((id, number)));
        let sealed = place.and_then(|place| self.versions.get(&place));
        let (Some(sealed), Some(salt)) = (sealed, &line.salt) else {
            return match (sealed, &line.salt) {
                (None, None) => Ok(None),
                (None, Some(_)) => Err("it has a `salt`, and no entry in the log".to_owned()),
                (Some(_), _) => Err("it lacks the `salt` of its entry in the log".to_owned()),
            };
        };
        let salt: Option<Salt> = from_hex(salt).and_then(|salt| salt.try_into().ok());
        let salt = salt.ok_or("its `salt` is not 16 bytes in hexadecimal")?;
        let metadata = VersionMetadata {
            document: &key.document,
            thread: &key.thread,
            version: line.version,
            encoding,
            stage: line.stage.as_deref(),
            created_by: line.created_by.as_deref(),
            comment: line.comment.as_deref(),
            tags,
        };
        if self
            .hasher
            .hash_one(seal(&line.sha256.0, &metadata.blind(&salt)))
            != *sealed
        {
            return Err("the version is not what its entry in the log says".to_owned());
        }
        Ok(Some(salt))
    }
}
