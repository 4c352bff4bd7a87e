//! The spool: exports and imports in progress, with the files that they write and read.
//!
//! The database never waits for a client. An export writes a file on this server, which its client reads as fast as it
//! can; an import begins when the whole file has arrived. Both are identified by what a client can check, so a transfer
//! that broke off goes on where it stopped: a piece of an import names its place, and the file of an export its digest.
//!
//! They are known to this process only, and end with it. `folder` has the files; `export` and `import` are the two kinds.
//! The work itself is done by [`transfer`](crate::transfer).

mod export;
mod folder;
mod import;

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::view::{ExportView, ImportView};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

pub use export::{ExportFile, ExportJob};
use folder::Folder;
pub use import::{ImportJob, Piece};

/// The most exports and imports that run at once. Others are told to try again.
const AT_ONCE: usize = 2;
/// The most exports, and the most imports, that are kept at once. For another one, the oldest that has ended is forgotten.
const KEPT: usize = 64;
/// Time after which an export or import that nobody asks about is forgotten, with its file.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);
/// Time between two looks for what is to be forgotten.
const SWEPT_EVERY: Duration = Duration::from_mins(10);

/// The exports and imports of a process, and the permits to run them.
#[derive(Debug)]
pub struct Spool {
    folder: Folder,
    /// By their ids.
    exports: Mutex<HashMap<String, Arc<ExportJob>>>,
    /// By tenant and file.
    imports: Mutex<HashMap<(String, Digest), Arc<ImportJob>>>,
    running: Arc<Semaphore>,
}

impl Spool {
    /// Keeps files on the disk of this folder; none for the system's folder of temporary files.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder: Folder::new(folder),
            exports: Mutex::default(),
            imports: Mutex::default(),
            running: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The tenant's export with this id.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none.
    pub fn export(&self, tenant: &str, id: &str) -> Result<Arc<ExportJob>> {
        let exports = lock(&self.exports);
        let job = exports.get(id).filter(|job| *job.tenant.slug == *tenant);
        let job = job.ok_or(Error::NotFound(Noun::Export))?;
        job.activity.touch();
        Ok(Arc::clone(job))
    }

    /// The tenant's exports, oldest first.
    pub fn exports(&self, tenant: &str) -> Vec<ExportView> {
        let exports = lock(&self.exports);
        let of_tenant = exports.values().filter(|job| *job.tenant.slug == *tenant);
        let mut views: Vec<_> = of_tenant.map(|job| job.view()).collect();
        views.sort_by_key(|view| view.created_at);
        views
    }

    /// Ends the tenant's export with this id, and removes its file.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::export`].
    pub fn remove_export(&self, tenant: &str, id: &str) -> Result<()> {
        self.export(tenant, id)?.cancel();
        lock(&self.exports).remove(id);
        Ok(())
    }

    /// The import of this file into a tenant.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is none.
    pub fn import(&self, tenant: &str, sha256: Digest) -> Result<Arc<ImportJob>> {
        let imports = lock(&self.imports);
        let job = imports.get(&(tenant.to_owned(), sha256));
        let job = job.ok_or(Error::NotFound(Noun::Import))?;
        job.activity.touch();
        Ok(Arc::clone(job))
    }

    /// The imports into a tenant.
    pub fn imports(&self, tenant: &str) -> Vec<ImportView> {
        let imports = lock(&self.imports);
        let into_tenant = imports.iter().filter(|((slug, _), _)| slug == tenant);
        let mut views: Vec<_> = into_tenant.map(|(_, job)| job.view()).collect();
        views.sort_by_key(|view| view.sha256.0);
        views
    }

    /// Forgets the import of this file into a tenant, and removes what arrived of the file.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::import`], and [`Error::Refused`] while it runs.
    pub fn remove_import(&self, tenant: &str, sha256: Digest) -> Result<()> {
        self.import(tenant, sha256)?.check_idle()?;
        lock(&self.imports).remove(&(tenant.to_owned(), sha256));
        Ok(())
    }

    /// Forgets exports and imports that nobody asked about for an hour. An export among them that runs is ended.
    pub fn sweep(&self) {
        lock(&self.exports).retain(|_, job| {
            let is_kept = !job.activity.is_old();
            if !is_kept {
                job.cancel();
            }
            is_kept
        });
        lock(&self.imports).retain(|_, job| job.activity.is_running() || !job.activity.is_old());
    }

    /// Starts to forget old exports and imports periodically. The task is stopped when the result is dropped.
    pub fn keep_sweeping(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let spool = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                spool.sweep();
                tokio::time::sleep(SWEPT_EVERY).await;
            }
        }))
    }

    /// Checks that the disk has room for so many bytes, besides those that are still to come of other imports.
    fn check_room(&self, bytes: u64) -> Result<()> {
        let to_come: u64 = lock(&self.imports).values().map(|job| job.missing()).sum();
        self.folder.check_room(bytes.saturating_add(to_come))
    }

    /// A permit to run one.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] if as many as may run at once do.
    pub fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.running).try_acquire_owned();
        permit.map_err(|_| Error::Overloaded)
    }
}

/// Makes room for one more among those that are kept.
fn make_room<K: Clone + Eq + Hash, J>(
    kept: &mut HashMap<K, Arc<J>>,
    activity: impl Fn(&J) -> &Activity,
) -> Result<()> {
    if kept.len() < KEPT {
        return Ok(());
    }
    let ended = kept.iter().filter(|(_, job)| !activity(job).is_running());
    let oldest = ended.min_by_key(|(_, job)| activity(job).asked_at());
    let oldest = oldest
        .map(|(key, _)| key.clone())
        .ok_or(Error::Overloaded)?;
    kept.remove(&oldest);
    Ok(())
}

/// The state of work in the background that its clients watch.
#[derive(Debug)]
struct Activity {
    done: AtomicU64,
    all: AtomicU64,
    asked_at: Mutex<Instant>,
    is_running: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            done: AtomicU64::new(0),
            all: AtomicU64::new(0),
            asked_at: Mutex::new(Instant::now()),
            is_running: AtomicBool::new(false),
        }
    }
}

impl Activity {
    fn run(&self, is_running: bool) {
        self.is_running.store(is_running, Ordering::Relaxed);
    }

    fn advance(&self, done: u64, all: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.all.store(all, Ordering::Relaxed);
    }

    /// The number of steps done, and of all steps.
    fn steps(&self) -> (u64, u64) {
        (
            self.done.load(Ordering::Relaxed),
            self.all.load(Ordering::Relaxed),
        )
    }

    fn touch(&self) {
        *lock(&self.asked_at) = Instant::now();
    }

    fn asked_at(&self) -> Instant {
        *lock(&self.asked_at)
    }

    fn is_old(&self) -> bool {
        self.asked_at().elapsed() > FORGOTTEN_AFTER
    }

    fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
