//! Compares a tenant's log with what is stored: every entry, every version, every node of the trees, and the checkpoints.

use std::collections::{BTreeMap, BTreeSet};

use sigpersist_model::context::Owner;
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Logged, VersionName};
use sigpersist_model::view::{LogCheckView, LogHead};
use sigpersist_store::Snapshot;
use sigpersist_tlog::{
    Checkpoint, Edge, Hash, Kind, MAX_REFS, Salt, VerifierKey, other_blind, seal, sha256 as hash,
};

use super::decisions::{Compared, Decided};
use super::keys::{KeysOfLog, verifying_keys};
use crate::app::App;

/// Entries that are read at once.
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
    let own = verifying_keys(app)?;
    app.store.snapshot(owner.id(), |snapshot| {
        let epochs = snapshot.log_epochs()?;
        let keys = KeysOfLog::new(own, snapshot.log_imported_keys()?);
        let all = epochs.iter().map(|epoch| epoch.size.unsigned_abs()).sum();
        let mut check = Check {
            expected,
            is_expected_met: expected.is_none(),
            ..Check::default()
        };
        for epoch in &epochs {
            check.is_imported = keys.is_imported(epoch.epoch);
            let keys: Vec<_> = keys
                .of(epoch.epoch)
                .iter()
                .map(|key| VerifierKey::new(&epoch.origin, key.public_key))
                .collect();
            check.epoch(snapshot, epoch, &keys, |done| told(done, all))?;
        }
        check.rest(snapshot, &epochs)?;
        check.decisions(snapshot, app.config.hooks.keep_decisions_days)?;
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
    /// Entries that have no object any more, with their threads.
    gone: BTreeMap<i64, i64>,
    /// Entries that deletions name.
    deleted: BTreeSet<i64>,
    /// Threads whose deletions name only some of their entries, since they had so many.
    long: BTreeSet<i64>,
    decided: Decided,
    compared: Compared,
    /// Whether the tree that is checked was imported.
    is_imported: bool,
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
        keys: &[VerifierKey],
        mut told: impl FnMut(u64),
    ) -> Result<()> {
        let mut stored = snapshot.log_nodes(epoch.epoch)?;
        let mut edge = Edge::empty();
        let mut wrong = Vec::new();
        self.expect(&edge, epoch);
        // The checkpoint may be older than the tree, if the master key was missing since.
        let signed = epoch.checkpoint.as_deref().and_then(stated);
        let mut signed_root = None;
        let mut next = epoch.first;
        while next < epoch.next() {
            let page = snapshot.log_entries_checked(next - 1, PAGE)?;
            let page = page
                .into_iter()
                .filter(|(logged, _)| logged.numbered.number < epoch.next());
            let mut is_empty = true;
            for (logged, is_intact) in page {
                is_empty = false;
                let number = logged.numbered.number;
                if number > next {
                    self.missing(next, number - 1);
                }
                next = number + 1;
                self.entry(&logged, is_intact);
                edge.push(logged.numbered.leaf, &mut |level, place, hash| {
                    if stored.remove(&(level.into(), place.cast_signed())) != Some(hash) {
                        wrong.push((level, place));
                    }
                });
                self.entries += 1;
                self.expect(&edge, epoch);
                if signed
                    .as_ref()
                    .is_some_and(|signed| signed.size == edge.size())
                {
                    signed_root = Some(edge.root());
                }
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
        self.root(epoch, &edge, signed_root, keys);
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

    fn entry(&mut self, logged: &Logged, is_intact: bool) {
        let numbered = &logged.numbered;
        let (number, what) = (numbered.number, &numbered.what);
        if numbered.entry().leaf() != numbered.leaf {
            self.fault(format!(
                "Entry {number} was changed: its hash is another one."
            ));
        }
        if what.kind == Kind::Deleted {
            self.deleted.extend(&numbered.refs);
            if numbered.refs.len() >= MAX_REFS {
                self.long.extend(what.signature);
            }
        }
        let is_of_version = what.kind.is_of_version();
        match (&logged.version, &what.event) {
            (Some(version), _) if is_of_version => {
                if let Some(fault) = faulty(logged, version, is_intact) {
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
                self.decided.entry(number, what.at, event, self.is_imported);
            }
            // It was erased, or somebody removed it.
            _ => match what.signature {
                // It goes when decisions of hooks of that age do.
                _ if what.kind == Kind::Refused => {}
                Some(signature) if what.kind != Kind::Deleted => {
                    self.gone.insert(number, signature);
                }
                _ => self.fault(format!("The event of entry {number} is missing.")),
            },
        }
    }

    fn root(
        &mut self,
        epoch: &Epoch,
        edge: &Edge,
        signed_root: Option<Hash>,
        keys: &[VerifierKey],
    ) {
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
        match Checkpoint::open(note, &epoch.origin, keys) {
            Ok(checkpoint) if Some(checkpoint.root) == signed_root => {}
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
        for (number, signature) in gone {
            if !self.deleted.contains(&number) && !self.long.contains(&signature) {
                self.fault(format!(
                    "What entry {number} is about was removed, and the log has no deletion of it."
                ));
            }
        }
        let all = snapshot.log_count()?.unsigned_abs();
        if all > self.entries {
            let more = all - self.entries;
            self.fault(format!("{more} entries are in no tree of the log."));
        }
        let limit = i64::try_from(MAX_FAULTS).unwrap_or(i64::MAX);
        for key in snapshot.log_set_back(limit)? {
            self.fault(format!(
                "The current version of `{}`/`{}` is not the last one that is stored.",
                key.document, key.thread
            ));
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
            let size = expected.size;
            let is_there = epochs
                .iter()
                .any(|epoch| u64::try_from(epoch.size).is_ok_and(|has| has >= size));
            self.fault(match is_there {
                true => format!(
                    "No tree of this log had {size} entries with the root {}: entries were changed, or it is another log.",
                    to_hex(&expected.root)
                ),
                false => format!(
                    "No tree of this log has the {size} entries that are expected: the last ones were taken away, or it is another log."
                ),
            });
        }
        Ok(())
    }

    /// Compares the digests of decisions with what is stored.
    fn decisions(&mut self, snapshot: &mut Snapshot<'_>, keep_days: u32) -> Result<()> {
        let decided = std::mem::take(&mut self.decided);
        self.compared = decided.compare(snapshot, keep_days)?;
        let faults = std::mem::take(&mut self.compared.faults);
        faults.into_iter().for_each(|fault| self.fault(fault));
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
            decision_days: self.compared.whole,
            swept_days: self.compared.swept,
            faults: self.faults,
        }
    }
}

/// What a checkpoint states, whoever signed it.
fn stated(note: &str) -> Option<Checkpoint> {
    let text: String = note.split_inclusive('\n').take(3).collect();
    Checkpoint::parse(&text).ok()
}

/// What of a stored version is not as its entry says.
fn faulty(logged: &Logged, version: &VersionName, is_intact: bool) -> Option<&'static str> {
    let what = &logged.numbered.what;
    if !is_intact {
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
