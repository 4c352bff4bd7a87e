//! The files of exports and imports. They have no name, so nobody else can open them, and they are gone when the process
//! ends, however it ends.

use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::statvfs::statvfs;
use sigpersist_model::error::{Error, Result};

/// Bytes that no transfer takes from the disk, since the database may be on it.
const RESERVE_BYTES: u64 = 512 * 1024 * 1024;

/// The folder whose disk has the files.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// This folder; without one, the system's folder for temporary files.
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder.unwrap_or_else(std::env::temp_dir))
    }

    /// Creates a file.
    pub(super) fn create(&self) -> Result<File> {
        self.make().map_err(unwritable)?;
        tempfile::tempfile_in(&self.0).map_err(unwritable)
    }

    /// Checks that the disk has room for so many bytes more.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it has not.
    pub(super) fn check_room(&self, bytes: u64) -> Result<()> {
        self.make().map_err(unwritable)?;
        let disk = statvfs(&self.0).map_err(|error| unwritable(error.into()))?;
        let free = disk.blocks_available().saturating_mul(disk.fragment_size());
        if free >= bytes.saturating_add(RESERVE_BYTES) {
            return Ok(());
        }
        Err(Error::refused(format!(
            "The server's disk has no room for the file, of which {} MiB are kept free: make some in {}, or set transfer.dir to another disk.",
            RESERVE_BYTES / 1024 / 1024,
            self.0.display()
        )))
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
    }
}

/// The error of a file that can't be written.
pub(super) fn unwritable(error: io::Error) -> Error {
    Error::refused(format!(
        "The server can't write the file of an export or import: {error}. Its folder is set by transfer.dir."
    ))
}

/// Reads a file from its beginning, whatever others read of it meanwhile.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
