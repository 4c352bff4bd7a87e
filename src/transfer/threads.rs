//! Imports the threads of a tenant's file: compares them with stored threads, and writes new versions in batches.

use std::collections::{HashMap, HashSet};
use std::mem;

use sigpersist_model::audit::Actor;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{SignatureId, ThreadKey};
use sigpersist_model::transfer::Imported;
use sigpersist_model::transfer::{BodyMark, Part, StoredVersion, Thread};
use sigpersist_store::{KnownThread, LogArrival, NewPart};

use super::log::superseded;
use crate::app::App;
use crate::signatures::recreated;

/// Bytes of signatures in one transaction. A single larger signature is written by itself.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Versions in one transaction.
const BATCH_VERSIONS: usize = 2_000;
/// Attempts to write a batch while others save to or delete its threads.
const ATTEMPTS: usize = 5;

/// The state of importing threads into a tenant.
pub(super) struct Threads<'a> {
    app: &'a App,
    tenant: TenantId,
    actor: &'a Actor,
    batch: Batch,
    /// The right to write versions with the salts of their entries, while their log is taken.
    arrival: Option<LogArrival>,
    /// The thread whose versions come next; none if they are to be skipped.
    thread: Option<Thread>,
}

/// Versions that are written together.
#[derive(Default)]
struct Batch {
    parts: Vec<Part>,
    keys: HashSet<ThreadKey>,
    versions: usize,
    bytes: usize,
}

/// The result of comparing a part with the stored thread.
enum Wanted {
    Nothing,
    New,
    Continued(KnownThread),
    Conflict(String),
}

impl<'a> Threads<'a> {
    pub(super) fn new(app: &'a App, tenant: TenantId, actor: &'a Actor) -> Self {
        Self {
            app,
            tenant,
            actor,
            batch: Batch::default(),
            arrival: None,
            thread: None,
        }
    }

    /// Sets the right to write versions with the salts of their entries.
    pub(super) fn set_arrival(&mut self, arrival: Option<LogArrival>) {
        self.arrival = arrival;
    }

    /// Begins a thread, whose versions come next.
    pub(super) fn begin(&mut self, thread: Thread) {
        self.thread = Some(thread);
    }

    /// Takes the next version of the thread.
    pub(super) fn version(
        &mut self,
        mut version: StoredVersion,
        imported: &mut Imported,
    ) -> Result<()> {
        // Without its log, a version gets another entry.
        version.salt = version.salt.filter(|_| self.arrival.is_some());
        let Some(thread) = &self.thread else {
            return Ok(());
        };
        let key = ThreadKey {
            document: thread.document.clone(),
            thread: thread.thread.clone(),
        };
        // If a file repeats a thread, flush first, so that the repeat is compared with stored rows.
        if version.version == 1 && self.batch.keys.contains(&key) {
            self.flush(imported)?;
        }
        let Some(thread) = &self.thread else {
            return Ok(());
        };
        let updated_at = if version.version == thread.versions {
            thread.updated_at
        } else {
            version.created_at
        };
        self.batch.versions += 1;
        self.batch.bytes += version.body.bytes.len();
        match self.batch.parts.last_mut() {
            Some(part) if part.key == key => {
                part.updated_at = updated_at;
                part.versions.push(version);
            }
            _ => {
                self.batch.keys.insert(key.clone());
                self.batch.parts.push(Part {
                    id: thread.id,
                    key,
                    created_at: thread.created_at,
                    updated_at,
                    versions: vec![version],
                });
            }
        }
        if self.batch.versions >= BATCH_VERSIONS || self.batch.bytes >= BATCH_BYTES {
            self.flush(imported)?;
        }
        Ok(())
    }

    /// Writes the versions of the batch.
    pub(super) fn flush(&mut self, imported: &mut Imported) -> Result<()> {
        let mut parts = mem::take(&mut self.batch).parts;
        for _ in 0..ATTEMPTS {
            if parts.is_empty() {
                return Ok(());
            }
            parts = self.write(parts, imported)?;
        }
        Err(Error::Overloaded)
    }

    /// Writes the new versions of the parts. Returns the parts whose threads others changed meanwhile.
    fn write(&mut self, mut parts: Vec<Part>, imported: &mut Imported) -> Result<Vec<Part>> {
        let store = &self.app.store;
        let keys: Vec<_> = parts.iter().map(|part| &part.key).collect();
        let known = store.import_threads(self.tenant, &keys)?;
        let ranges: Vec<_> = parts
            .iter()
            .zip(&known)
            .filter_map(|(part, known)| {
                let first = part.versions.first()?.version;
                let last = part.versions.last()?.version;
                Some((known.as_ref()?.id, first, last))
            })
            .collect();
        let stored = store.import_versions(self.tenant, &ranges)?;
        let is_new = |known: &Option<KnownThread>| known.is_none();
        let new = parts.iter().zip(&known).filter(|(_, known)| is_new(known));
        let ids: Vec<_> = new.filter_map(|(part, _)| part.id).collect();
        let taken = store.import_ids_taken(self.tenant, &ids, self.arrival.is_some())?;
        for (part, _) in parts
            .iter_mut()
            .zip(&known)
            .filter(|(_, known)| is_new(known))
        {
            if part.id.is_some_and(|id| taken.contains(&id)) {
                part.id = None;
                imported.new_ids += 1;
            }
        }
        let mut wanted = Vec::with_capacity(parts.len());
        for (part, known) in parts.iter_mut().zip(known) {
            let before = part.versions.len();
            let want = look(part, known, &stored);
            if let Wanted::Conflict(why) = &want {
                imported.conflict(&part.key, why);
                let current = self.thread.as_ref();
                if current.is_some_and(|thread| {
                    thread.document == part.key.document && thread.thread == part.key.thread
                }) {
                    self.thread = None;
                }
            } else {
                imported.same_versions += (before - part.versions.len()) as u64;
            }
            wanted.push(want);
        }
        let new: Vec<_> = parts
            .iter()
            .zip(&wanted)
            .filter_map(|(part, want)| match want {
                Wanted::Nothing | Wanted::Conflict(_) => None,
                Wanted::New => Some(NewPart { known: None, part }),
                Wanted::Continued(known) => Some(NewPart {
                    known: Some(known),
                    part,
                }),
            })
            .collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let arrival = self.arrival.as_ref();
        let written = store.import_write(self.tenant, &new, arrival, |part| {
            let last = part.versions.last();
            recreated(
                self.actor.clone(),
                self.tenant,
                &part.key,
                last.map_or(0, |last| last.version),
                last.map_or(&[], |last| &last.body.sha256),
            )
        })?;
        let written = written.ok_or_else(superseded)?;
        for (new, _) in new.iter().zip(&written).filter(|(_, written)| **written) {
            imported.new_threads += u64::from(new.known.is_none());
            imported.new_versions += new.part.versions.len() as u64;
        }
        let mut written = written.into_iter();
        let mut left = Vec::new();
        for (part, want) in parts.into_iter().zip(&wanted) {
            if matches!(want, Wanted::New | Wanted::Continued(_)) && written.next() == Some(false) {
                left.push(part);
            }
        }
        Ok(left)
    }
}

/// Compares a part with the stored thread, and removes versions from it that are stored already.
fn look(
    part: &mut Part,
    known: Option<KnownThread>,
    stored: &HashMap<(SignatureId, u32), StoredVersion<BodyMark>>,
) -> Wanted {
    let first = part.versions.first().map_or(1, |first| first.version);
    let Some(known) = known else {
        return match first {
            1 => Wanted::New,
            _ => Wanted::Conflict("it was deleted while it was imported".to_owned()),
        };
    };
    if known.created_at != part.created_at {
        return Wanted::Conflict(
            "a thread with this name exists here, but was created at another time".to_owned(),
        );
    }
    let there = |version: &StoredVersion| version.version <= known.version;
    for version in part.versions.iter().filter(|version| there(version)) {
        let same = stored
            .get(&(known.id, version.version))
            .is_some_and(|stored| version.is(stored));
        if !same {
            return Wanted::Conflict(format!("version {} is different here", version.version));
        }
    }
    if first > known.version.saturating_add(1) {
        return Wanted::Conflict("it was changed while it was imported".to_owned());
    }
    part.versions.retain(|version| !there(version));
    if part.versions.is_empty() {
        Wanted::Nothing
    } else {
        Wanted::Continued(known)
    }
}
