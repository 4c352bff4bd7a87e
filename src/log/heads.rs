//! How far this server saw the logs, also before it was restarted. If a database forgets acknowledged versions, because a
//! backup was restored or a failover lost them, its logs are shorter than that, or differ.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::{from_hex, to_hex};
use sigpersist_model::log::Epoch;
use sigpersist_store::KnownHead;
use tracing::warn;

/// Time between two writes of the file.
const SAVED_EVERY: Duration = Duration::from_secs(1);
/// The most logs in the file.
const MOST: usize = 100_000;

/// The heads of the logs, as this server last saw them.
#[derive(Debug)]
pub(super) struct Heads {
    file: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    heads: HashMap<TenantId, KnownHead>,
    is_changed: bool,
    saved_at: Instant,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    tenant: i32,
    origin: String,
    epoch: i16,
    size: i64,
    root: String,
}

impl Heads {
    /// Reads the heads that an earlier process wrote to the file; none to keep them in memory only.
    pub(super) fn open(file: Option<PathBuf>) -> Self {
        let heads = file.as_ref().and_then(|file| match fs::read_to_string(file) {
            Ok(text) => Some(read(&text)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => {
                warn!(file = %file.display(), %cause, "The file that remembers how far the logs were can't be read");
                None
            }
        });
        Self {
            file,
            known: Mutex::new(Known {
                heads: heads.unwrap_or_default(),
                is_changed: false,
                saved_at: Instant::now(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last known head of a tenant's log.
    pub(super) fn known(&self, tenant: TenantId) -> Option<KnownHead> {
        self.lock().heads.get(&tenant).cloned()
    }

    /// Remembers a log as it is now.
    pub(super) fn saw(&self, epoch: &Epoch) {
        let head = KnownHead {
            origin: epoch.origin.clone(),
            epoch: epoch.epoch,
            size: epoch.size,
            root: epoch.root,
        };
        let mut known = self.lock();
        // Another server may be further already; and a tree that was replaced does not come back.
        let is_older = |before: &KnownHead| {
            before.epoch > head.epoch
                || (before.epoch == head.epoch
                    && (before.size >= head.size || before.origin != head.origin))
        };
        if !known.heads.get(&epoch.tenant).is_some_and(is_older) {
            known.heads.insert(epoch.tenant, head);
            known.is_changed = true;
        }
    }

    /// Writes the file, if something changed and the last time was a while ago.
    pub(super) fn save(&self) {
        let Some(file) = &self.file else { return };
        let mut known = self.lock();
        if !known.is_changed || known.saved_at.elapsed() < SAVED_EVERY {
            return;
        }
        known.saved_at = Instant::now();
        known.is_changed = false;
        let text = write(&known.heads);
        drop(known);
        Self::write_to(file, &text);
    }

    fn write_to(file: &PathBuf, text: &str) {
        if let Err(cause) = replace(file, text) {
            warn!(file = %file.display(), %cause, "The file that remembers how far the logs were can't be written");
        }
    }
}

impl Drop for Heads {
    /// Writes the file once more, whenever the last time was.
    fn drop(&mut self) {
        if let Some(file) = &self.file
            && self.lock().is_changed
        {
            let text = write(&self.lock().heads);
            Self::write_to(file, &text);
        }
    }
}

fn read(text: &str) -> HashMap<TenantId, KnownHead> {
    let heads = text.lines().filter_map(|line| {
        let line: Line = serde_json::from_str(line).ok()?;
        let root = from_hex(&line.root)?.try_into().ok()?;
        let head = KnownHead {
            origin: line.origin,
            epoch: line.epoch,
            size: line.size.max(0),
            root,
        };
        Some((TenantId(line.tenant), head))
    });
    heads.collect()
}

fn write(heads: &HashMap<TenantId, KnownHead>) -> String {
    let lines = heads.iter().take(MOST).filter_map(|(tenant, head)| {
        let line = Line {
            tenant: tenant.0,
            origin: head.origin.clone(),
            epoch: head.epoch,
            size: head.size,
            root: to_hex(&head.root),
        };
        Some(serde_json::to_string(&line).ok()? + "\n")
    });
    lines.collect()
}

/// Writes a file so that a reader finds the old content or the new one.
fn replace(file: &PathBuf, text: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_known_to_the_next_process_and_never_shrinks() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log-heads");
        let heads = Heads::open(Some(file.clone()));
        let tenant = TenantId(7);
        assert_eq!(heads.known(tenant), None);
        let mut epoch = Epoch {
            tenant,
            epoch: 1,
            origin: "o/1".to_owned(),
            first: 1,
            size: 9,
            edge: Vec::new(),
            root: [7; 32],
            checkpoint: None,
            at: chrono::Utc::now(),
            closed_at: None,
            frozen: None,
            seen: 0,
        };
        heads.saw(&epoch);
        epoch.size = 8;
        heads.saw(&epoch);
        heads.lock().saved_at -= SAVED_EVERY;
        heads.save();
        let known = Heads::open(Some(file)).known(tenant).unwrap();
        assert_eq!((known.size, known.root), (9, [7; 32]));
        assert!(read("not json\n{}\n").is_empty());
    }
}
