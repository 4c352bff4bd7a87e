//! The folder of a process for the files of exports and imports.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::sys::statvfs::statvfs;
use sigpersist_model::error::{Error, Result};
use tempfile::TempDir;
use tracing::warn;

const PREFIX: &str = "transfers-";
/// The file in each process's folder that is locked as long as the process lives.
const LOCK: &str = "lock";
/// Bytes that no transfer takes from the disk, since the database may be on it.
const RESERVE_BYTES: u64 = 512 * 1024 * 1024;

/// A folder that only this process uses, made when it is first needed and removed at the end.
#[derive(Debug)]
pub(super) struct Folder {
    parent: Option<PathBuf>,
    own: OnceLock<Own>,
}

#[derive(Debug)]
struct Own {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    pub(super) fn new(parent: Option<PathBuf>) -> Self {
        Self {
            parent,
            own: OnceLock::new(),
        }
    }

    /// Creates a file that only its owner can read.
    pub(super) fn create(&self, name: &str) -> Result<(PathBuf, File)> {
        let path = self.own()?.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(unwritable)?;
        Ok((path, file))
    }

    /// Checks that the disk has room for so many bytes more.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it has not.
    pub(super) fn check_room(&self, bytes: u64) -> Result<()> {
        let folder = self.own()?;
        let disk = statvfs(folder).map_err(|error| unwritable(error.into()))?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free >= bytes.saturating_add(RESERVE_BYTES) {
            return Ok(());
        }
        let parent = folder.parent().unwrap_or(folder);
        Err(Error::refused(format!(
            "The server's disk has no room for the file: make some in {}, or set transfer.dir to another disk.",
            parent.display()
        )))
    }

    /// Removes the folders of processes that ended without removing them.
    pub(super) fn sweep(&self) {
        if let Some(parent) = &self.parent
            && let Ok(all) = File::open(parent)
            && all.try_lock().is_ok()
        {
            remove_left(parent);
        }
    }

    fn own(&self) -> Result<&Path> {
        if let Some(own) = self.own.get() {
            return Ok(own.folder.path());
        }
        let made = Own::make(self.parent.as_deref()).map_err(unwritable)?;
        // If another thread was faster, its folder is used, and this one removed.
        Ok(self.own.get_or_init(|| made).folder.path())
    }
}

impl Own {
    fn make(parent: Option<&Path>) -> io::Result<Self> {
        let Some(parent) = parent else {
            return Self::make_in(&std::env::temp_dir());
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        // While it is locked, no folder is there whose process has not locked it yet.
        let all = File::open(parent)?;
        all.lock()?;
        remove_left(parent);
        Self::make_in(parent)
    }

    fn make_in(parent: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }
}

/// Removes the folders whose process has ended. The parent is locked.
fn remove_left(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let lock = File::open(entry.path().join(LOCK));
        let is_left = is_ours && lock.is_ok_and(|lock| lock.try_lock().is_ok());
        if is_left && let Err(error) = fs::remove_dir_all(entry.path()) {
            warn!(%error, "The folder {} can't be removed", entry.path().display());
        }
    }
}

/// The error of a file that can't be written.
pub(super) fn unwritable(error: io::Error) -> Error {
    Error::refused(format!(
        "The server can't write the file of an export or import: {error}. Its folder is set by transfer.dir."
    ))
}
