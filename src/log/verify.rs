//! Compares a tenant's log with what is stored: every entry, every version, every node of the trees, and the checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use sigpersist_model::context::Owner;
use sigpersist_model::digest::{sha256, to_hex};
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Logged, VersionName};
use sigpersist_model::view::{LogCheckView, LogHead};
use sigpersist_store::Snapshot;
use sigpersist_tlog::{
    Checkpoint, Edge, Hash, Kind, Salt, VerifierKey, other_blind, seal, sha256 as hash,
};

use super::keys::verifying_keys;
use crate::app::App;

/// Entries that are read at once, with the signatures that they are about.
const PAGE: i64 = 256;
/// The most faults that are told.
const MAX_FAULTS: usize = 100;

/// Checks the log of a tenant, or the platform's. With `expected`, the log must have had that head once. Calls `told` with the number of
/// entries checked, and of all. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn verify(
    app: &App,
    owner: &Owner,
    expected: Option<&LogHead>,
    mut told: impl FnMut(u64, u64),
) -> Result<LogCheckView> {
    let keys: Vec<_> = verifying_keys(app)?
        .into_iter()
        .map(|key| key.public_key)
        .collect();
    app.store.snapshot(owner.id(), |snapshot| {
        let epochs = snapshot.log_epochs()?;
        let all = epochs.iter().map(|epoch| epoch.size.unsigned_abs()).sum();
        let mut check = Check {
            expected,
            is_expected_met: expected.is_none(),
            ..Check::default()
        };
        for epoch in &epochs {
            check.epoch(snapshot, epoch, &keys, |done| told(done, all))?;
        }
        check.rest(snapshot, &epochs)?;
        Ok(check.view(owner, &epochs))
    })
}

/// A check in progress.
#[derive(Default)]
struct Check<'a> {
    expected: Option<&'a LogHead>,
    is_expected_met: bool,
    entries: u64,
    waiting: u64,
    faults: Vec<String>,
    /// Threads whose entries have no object any more, with the number of the first such entry.
    gone: BTreeMap<i64, i64>,
    /// Threads that were deleted.
    deleted: BTreeSet<i64>,
}

impl Check<'_> {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    fn epoch(
        &mut self,
        snapshot: &mut Snapshot<'_>,
        epoch: &Epoch,
        keys: &[[u8; 32]],
        mut told: impl FnMut(u64),
    ) -> Result<()> {
        let mut stored = snapshot.log_nodes(epoch.epoch)?;
        let mut edge = Edge::empty();
        let mut wrong = Vec::new();
        self.expect(&edge, epoch);
        let mut next = epoch.first;
        while next < epoch.next() {
            let page = snapshot.log_entries_with_bodies(next - 1, PAGE)?;
            let page = page
                .into_iter()
                .filter(|(logged, _)| logged.numbered.number < epoch.next());
            let mut is_empty = true;
            for (logged, body) in page {
                is_empty = false;
                let number = logged.numbered.number;
                if number > next {
                    self.missing(next, number - 1);
                }
                next = number + 1;
                self.entry(&logged, body.as_deref());
                edge.push(logged.numbered.leaf, &mut |level, place, hash| {
                    if stored.remove(&(level.into(), place.cast_signed())) != Some(hash) {
                        wrong.push((level, place));
                    }
                });
                self.entries += 1;
                self.expect(&edge, epoch);
            }
            told(self.entries);
            if is_empty {
                self.missing(next, epoch.next() - 1);
                break;
            }
        }
        for (level, place) in wrong {
            self.fault(format!(
                "Node {place} of level {level} of tree {} is missing or not the one of its entries.",
                epoch.epoch
            ));
        }
        if let Some(((level, place), _)) = stored.first_key_value() {
            self.fault(format!(
                "Node {place} of level {level} of tree {} belongs to no entries.",
                epoch.epoch
            ));
        }
        self.root(epoch, &edge, keys);
        Ok(())
    }

    fn missing(&mut self, from: i64, to: i64) {
        self.fault(if from == to {
            format!("Entry {from} is missing.")
        } else {
            format!("The entries {from} to {to} are missing.")
        });
    }

    /// Compares the tree with the expected head, when it has that size.
    fn expect(&mut self, edge: &Edge, epoch: &Epoch) {
        if let Some(expected) = self.expected
            && expected.size == edge.size()
            && expected
                .origin
                .as_ref()
                .is_none_or(|origin| *origin == epoch.origin)
        {
            self.is_expected_met |= expected.root == edge.root();
        }
    }

    fn entry(&mut self, logged: &Logged, body: Option<&[u8]>) {
        let numbered = &logged.numbered;
        let (number, what) = (numbered.number, &numbered.what);
        if numbered.entry().leaf() != numbered.leaf {
            self.fault(format!(
                "Entry {number} was changed: its hash is another one."
            ));
        }
        if what.kind == Kind::Deleted {
            self.deleted.extend(what.signature);
        }
        let is_of_version = matches!(what.kind, Kind::Version | Kind::Imported | Kind::Backfilled);
        match (&logged.version, &what.event) {
            (Some(version), _) if is_of_version => {
                if let Some(fault) = faulty(logged, version, body) {
                    let VersionName { key, version, .. } = version;
                    self.fault(format!(
                        "Version {version} of `{}`/`{}` is not what entry {number} says: {fault}.",
                        key.document, key.thread
                    ));
                }
            }
            (_, Some(event)) if !is_of_version => {
                let salt: Option<Salt> = what.salt.as_deref().and_then(|salt| salt.try_into().ok());
                let blind = salt.map(|salt| other_blind(&salt, event));
                if blind.map(|blind| seal(&hash(event.as_bytes()), &blind)) != Some(what.seal) {
                    self.fault(format!("The event of entry {number} was changed."));
                }
            }
            // It was erased, or somebody removed it.
            _ => match what.signature {
                Some(signature) => {
                    self.gone.entry(signature).or_insert(number);
                }
                None => self.fault(format!("The event of entry {number} is missing.")),
            },
        }
    }

    fn root(&mut self, epoch: &Epoch, edge: &Edge, keys: &[[u8; 32]]) {
        let number = epoch.epoch;
        if edge.size() != epoch.size.unsigned_abs() || edge.root() != epoch.root {
            self.fault(format!(
                "Tree {number} is not the one of its entries: its root is another one."
            ));
        }
        if edge.to_bytes() != epoch.edge {
            self.fault(format!(
                "The edge of tree {number} is not the one of its entries."
            ));
        }
        let Some(note) = &epoch.checkpoint else {
            return;
        };
        let keys: Vec<_> = keys
            .iter()
            .map(|key| VerifierKey::new(&epoch.origin, *key))
            .collect();
        match Checkpoint::open(note, &epoch.origin, &keys) {
            Ok(checkpoint) if checkpoint.size == edge.size() && checkpoint.root == edge.root() => {}
            // The server was without its master key since.
            Ok(checkpoint) if checkpoint.size < edge.size() => {}
            Ok(_) => self.fault(format!(
                "The checkpoint of tree {number} is of another tree."
            )),
            Err(cause) => self.fault(format!(
                "The checkpoint of tree {number} does not hold: {cause}"
            )),
        }
    }

    /// Compares what is left: objects without a deletion, and versions without an entry.
    fn rest(&mut self, snapshot: &mut Snapshot<'_>, epochs: &[Epoch]) -> Result<()> {
        let gone = std::mem::take(&mut self.gone);
        for (signature, number) in gone {
            if !self.deleted.contains(&signature) {
                self.fault(format!(
                    "What entry {number} is about was removed, and the log has no deletion of it."
                ));
            }
        }
        let unlogged = snapshot.log_unlogged(i64::try_from(MAX_FAULTS).unwrap_or(i64::MAX))?;
        self.waiting = unlogged.waiting;
        for (key, version) in unlogged.forged {
            self.fault(format!(
                "Version {version} of `{}`/`{}` has no entry in the log.",
                key.document, key.thread
            ));
        }
        let open = epochs.iter().filter(|epoch| epoch.closed_at.is_none());
        if let Some(frozen) = open.filter_map(|epoch| epoch.frozen.as_ref()).next() {
            self.fault(format!("The log is frozen. {frozen}"));
        }
        if let Some(expected) = self.expected.filter(|_| !self.is_expected_met) {
            self.fault(format!(
                "The log never had {} entries with the root {}: entries were taken away, or changed.",
                expected.size,
                to_hex(&expected.root)
            ));
        }
        Ok(())
    }

    fn view(self, owner: &Owner, epochs: &[Epoch]) -> LogCheckView {
        let last = epochs.last();
        LogCheckView {
            tenant: owner.slug().map(str::to_owned),
            whole: self.faults.is_empty(),
            entries: self.entries,
            head: last.map(|epoch| LogHead::of(epoch).to_string()),
            signed: last.is_some_and(|epoch| epoch.checkpoint.is_some()),
            waiting: self.waiting,
            faults: self.faults,
        }
    }
}

/// What of a stored version is not as its entry says.
fn faulty(logged: &Logged, version: &VersionName, body: Option<&[u8]>) -> Option<&'static str> {
    let what = &logged.numbered.what;
    let is_unchanged = body.is_some_and(|body| sha256(body) == version.sha256);
    if !is_unchanged {
        return Some("its signature was changed");
    }
    let salt: Option<Salt> = version
        .salt
        .as_deref()
        .and_then(|salt| salt.try_into().ok());
    let sealed: Option<Hash> =
        salt.map(|salt| seal(&version.sha256, &version.metadata().blind(&salt)));
    if sealed != Some(what.seal) {
        return Some("its signature, or what belongs to it, was changed");
    }
    // Of a version that was logged later, the entry has the time of that.
    if what.kind == Kind::Version && version.created_at != what.at {
        return Some("its time was changed");
    }
    None
}
