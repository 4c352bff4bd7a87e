//! Imports the log of a file.

use std::mem;

use serde_json::json;
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::{Epoch, Node, Numbered, Queued};
use sigpersist_model::transfer::{ArrivedLog, Imported, ImportedKey};
use sigpersist_store::{ImportedTree, LogArrival, LogArrivalState};
use sigpersist_tlog::Edge;

use crate::app::App;

/// Entries in one transaction.
const BATCH_ENTRIES: usize = 1_000;
/// Bytes of objects in one transaction. A single larger object is written by itself.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The state of importing a log.
pub(in super::super) struct Log<'a> {
    app: &'a App,
    tenant: TenantId,
    /// The tenant's trees when the import began.
    own: Vec<Epoch>,
    taking: Option<Taking>,
}

/// A log that is being taken.
struct Taking {
    arrival: LogArrival,
    /// Entries up to this number are stored.
    stored: i64,
    trees: Vec<ImportedTree>,
    edge: Edge,
    entries: Vec<Numbered>,
    nodes: Vec<Node>,
    /// Changes that had no number.
    queued: Vec<Queued>,
    bytes: usize,
    /// The tree that goes on, once all imported entries are stored.
    next: Option<Epoch>,
}

/// Why a log is not taken.
const HAS_OWN: &str =
    "the tenant has a log of its own here; only a tenant that the import creates takes one";
const HAS_TWIN: &str = "another tenant of this database has the same one";
const HAS_OTHER: &str = "part of another file was imported before; to take the log, delete the tenant, wait until it is removed, and import again";
const KEEPS_NONE: &str = "this server keeps no logs, by its setting `evidence.log`";

impl<'a> Log<'a> {
    /// Begins to import the log of a file, if it has one. `file` identifies the file.
    pub(in super::super) fn begin(
        app: &'a App,
        tenant: TenantId,
        has_log: bool,
        file: &[u8; 32],
        imported: &mut Imported,
    ) -> Result<Self> {
        let mut log = Self {
            app,
            tenant,
            own: Vec::new(),
            taking: None,
        };
        if !has_log || !app.config.evidence.log {
            app.store.log_arrival_forget(tenant, true)?;
            if has_log {
                imported.keep_log(KEEPS_NONE);
            }
            return Ok(log);
        }
        let mut state = app.store.log_arrival_begin(tenant, file)?;
        if matches!(state, LogArrivalState::Stale) {
            app.store.log_arrival_forget(tenant, false)?;
            state = app.store.log_arrival_begin(tenant, file)?;
        }
        match state {
            LogArrivalState::Begun(arrival, stored) => {
                log.taking = Some(Taking::new(arrival, stored));
            }
            LogArrivalState::Other | LogArrivalState::Stale => {
                app.store.log_arrival_forget(tenant, true)?;
                imported.keep_log(HAS_OTHER);
            }
            LogArrivalState::None => log.own = app.store.log_epochs(tenant)?,
        }
        Ok(log)
    }

    /// The right to write versions with their salts, while the log is being taken.
    pub(in super::super) fn arrival(&self) -> Option<LogArrival> {
        self.taking.as_ref().map(|taking| taking.arrival)
    }

    /// Takes the next tree, whose entries come next.
    pub(in super::super) fn epoch(
        &mut self,
        epoch: Epoch,
        keys: Vec<ImportedKey>,
        imported: &mut Imported,
    ) -> Result<()> {
        let Some(taking) = &mut self.taking else {
            // The trees of a log come and go together, so that the first one tells whose they are.
            if imported.log == ArrivedLog::None {
                match self.own.iter().any(|own| own.origin == epoch.origin) {
                    true => imported.log = ArrivedLog::Same,
                    false => imported.keep_log(HAS_OWN),
                }
            }
            return Ok(());
        };
        if self.app.store.log_origin_exists(&epoch.origin)? {
            self.taking = None;
            self.app.store.log_arrival_forget(self.tenant, true)?;
            imported.keep_log(HAS_TWIN);
            return Ok(());
        }
        taking.close();
        taking.trees.push(ImportedTree {
            epoch: Epoch {
                tenant: self.tenant,
                ..epoch
            },
            keys,
        });
        Ok(())
    }

    /// Takes the next entry of the tree.
    pub(in super::super) fn entry(
        &mut self,
        entry: Numbered,
        imported: &mut Imported,
    ) -> Result<()> {
        let Some(taking) = &mut self.taking else {
            return Ok(());
        };
        taking.entry(self.tenant, entry);
        if taking.is_full() {
            imported.new_entries += taking.flush(self.app)?;
        }
        Ok(())
    }

    /// Takes what has no number.
    pub(in super::super) fn queued(
        &mut self,
        queued: Queued,
        imported: &mut Imported,
    ) -> Result<()> {
        if self.taking.is_none() {
            return Ok(());
        }
        self.entries_end(imported)?;
        if let Some(taking) = &mut self.taking {
            taking.bytes += queued.event.as_ref().map_or(0, String::len);
            taking.queued.push(Queued {
                tenant: self.tenant,
                ..queued
            });
            if taking.is_full() {
                imported.new_entries += taking.append(self.app)?;
            }
        }
        Ok(())
    }

    /// Notes that the lines of the log are over.
    pub(in super::super) fn end(&mut self, imported: &mut Imported) -> Result<()> {
        self.entries_end(imported)?;
        if let Some(taking) = &mut self.taking {
            imported.new_entries += taking.append(self.app)?;
        }
        Ok(())
    }

    /// Writes the last entries of the trees, and begins the tree that goes on.
    fn entries_end(&mut self, imported: &mut Imported) -> Result<()> {
        let Some(taking) = self.taking.as_mut().filter(|taking| taking.next.is_none()) else {
            return Ok(());
        };
        taking.close();
        imported.new_entries += taking.flush(self.app)?;
        let Some(last) = taking.trees.last() else {
            // The header speaks of a log, and there is none.
            self.taking = None;
            return self.app.store.log_arrival_forget(self.tenant, true);
        };
        let last = &last.epoch;
        let event = json!({
            "type": "log.continues",
            "origin": last.origin,
            "size": last.size,
            "root": to_hex(&last.root),
            "reason": "The tenant was imported",
        });
        let origin = &self.app.config.evidence.origin;
        let next = self.app.store.log_arrival_continue(
            &taking.arrival,
            origin,
            last,
            &event.to_string(),
        )?;
        taking.next = Some(next.ok_or_else(superseded)?);
        Ok(())
    }

    /// Makes the log the tenant's, now that everything else of the file is there.
    pub(in super::super) fn take(&mut self, imported: &mut Imported) -> Result<()> {
        self.end(imported)?;
        let Some(taking) = self.taking.take() else {
            return Ok(());
        };
        let next = taking
            .next
            .ok_or_else(|| Error::internal("no tree goes on after an imported log"))?;
        let store = &self.app.store;
        match store.log_arrival_end(&taking.arrival, &taking.trees, &next)? {
            true => {
                imported.log = ArrivedLog::Taken;
                Ok(())
            }
            false => Err(superseded()),
        }
    }
}

impl Taking {
    fn new(arrival: LogArrival, stored: i64) -> Self {
        Self {
            arrival,
            stored,
            trees: Vec::new(),
            edge: Edge::empty(),
            entries: Vec::new(),
            nodes: Vec::new(),
            queued: Vec::new(),
            bytes: 0,
            next: None,
        }
    }

    /// Ends the last tree.
    fn close(&mut self) {
        let edge = mem::replace(&mut self.edge, Edge::empty());
        if let Some(tree) = self.trees.last_mut() {
            tree.epoch.edge = edge.to_bytes();
        }
    }

    fn entry(&mut self, tenant: TenantId, mut entry: Numbered) {
        let epoch = self.trees.last().map_or(0, |tree| tree.epoch.epoch);
        let is_new = entry.number > self.stored;
        let nodes = &mut self.nodes;
        self.edge.push(entry.leaf, &mut |level, number, hash| {
            if is_new {
                nodes.push(Node {
                    tenant,
                    epoch,
                    level: level.into(),
                    number: number.cast_signed(),
                    hash,
                });
            }
        });
        if is_new {
            entry.what.tenant = tenant;
            self.bytes += entry.what.event.as_ref().map_or(0, String::len);
            self.bytes += entry.refs.len() * size_of::<i64>();
            self.entries.push(entry);
        }
    }

    fn is_full(&self) -> bool {
        let entries = self.entries.len() + self.queued.len();
        entries >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES
    }

    /// Writes the entries of the batch. Returns how many.
    fn flush(&mut self, app: &App) -> Result<u64> {
        let (entries, nodes) = (mem::take(&mut self.entries), mem::take(&mut self.nodes));
        self.bytes = 0;
        if entries.is_empty() {
            return Ok(0);
        }
        match app
            .store
            .log_arrival_write(&self.arrival, &entries, &nodes)?
        {
            true => Ok(entries.len() as u64),
            false => Err(superseded()),
        }
    }

    /// Numbers what had no number. Returns how many.
    fn append(&mut self, app: &App) -> Result<u64> {
        let queued = mem::take(&mut self.queued);
        self.bytes = 0;
        let count = queued.len() as u64;
        if let Some(next) = self.next.take_if(|_| count > 0) {
            let next = app.store.log_arrival_append(&self.arrival, next, queued)?;
            self.next = Some(next.ok_or_else(superseded)?);
        }
        Ok(count)
    }
}

/// The error of an import that may not write the log any more.
pub(in super::super) fn superseded() -> Error {
    Error::refused(
        "Another import into this tenant began meanwhile, or somebody resumed the tenant. Import again when it is over.",
    )
}
