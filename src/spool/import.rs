//! Imports.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use sigpersist_model::digest::RunningSha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::transfer::Imported;
use sigpersist_model::view::{FailureView, ImportState, ImportView};

use super::folder::unwritable;
use super::{Activity, Spool, check_kept, lock};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// An import, under way or finished.
#[derive(Debug)]
pub struct ImportJob {
    sha256: Digest,
    size: u64,
    path: PathBuf,
    pub(super) activity: Activity,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    digest: RunningSha256,
    received: u64,
    tenant: Option<String>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Receiving,
    Checking,
    Importing,
    Done(Box<Imported>),
    Failed(FailureView),
}

/// A piece of a file, and its place.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Size of the whole file, in bytes.
    pub size: u64,
    /// Number of bytes before the piece.
    pub offset: u64,
    /// The piece.
    pub bytes: &'a [u8],
}

impl ImportJob {
    /// Adds a piece to a file. A piece at the beginning starts anew if no import of this file is under way.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the piece is not the next one, is over the end, or if there is no room for the file.
    pub fn receive(spool: &Spool, piece: Piece<'_>) -> Result<Arc<Self>> {
        let Piece {
            sha256,
            size,
            offset,
            bytes,
        } = piece;
        spool.sweep();
        let known = spool.import(sha256).ok();
        let known = known.filter(|job| offset > 0 || !job.is_ended());
        let job = match known {
            Some(job) if job.size == size => job,
            Some(job) => {
                return Err(Error::refused(format!(
                    "The file with this digest has {} bytes, not {size}.",
                    job.size
                )));
            }
            None if offset > 0 => {
                return Err(Error::refused(
                    "Nothing of this file is here, so its first piece must begin at byte 0.",
                ));
            }
            None => Self::new(spool, sha256, size)?,
        };
        job.append(offset, bytes)?;
        Ok(job)
    }

    fn new(spool: &Spool, sha256: Digest, size: u64) -> Result<Arc<Self>> {
        spool.folder.check_room(size)?;
        let mut imports = lock(&spool.imports);
        imports.remove(&sha256);
        check_kept(imports.len())?;
        // Each attempt has a file of its own, since an earlier one removes its file when it ends.
        let name = format!("{}.import", sigpersist_runtime::vault::random_name()?);
        let (path, file) = spool.folder.create(&name)?;
        let job = Arc::new(Self {
            sha256,
            size,
            path,
            activity: Activity::default(),
            state: Mutex::new(State {
                file,
                digest: RunningSha256::new(),
                received: 0,
                tenant: None,
                phase: Phase::Receiving,
            }),
        });
        imports.insert(sha256, Arc::clone(&job));
        Ok(job)
    }

    fn append(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let received = state.received;
        if !matches!(state.phase, Phase::Receiving | Phase::Failed(_)) {
            return Err(under_way());
        }
        if offset != received {
            return Err(Error::refused(format!(
                "{received} bytes of the file are here, so the next piece must begin at byte {received}."
            )));
        }
        let after = received.saturating_add(bytes.len() as u64);
        if after > self.size {
            return Err(Error::refused("The piece goes beyond the end of the file."));
        }
        state.file.write_all(bytes).map_err(unwritable)?;
        state.digest.update(bytes);
        state.received = after;
        Ok(())
    }

    /// Begins the import of a file that has arrived whole into a tenant.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the file is not whole or not the one with its digest, or if its import is under way.
    pub fn begin(&self, tenant: &str) -> Result<()> {
        let mut state = self.state();
        match state.phase {
            Phase::Receiving | Phase::Failed(_) => {}
            Phase::Checking | Phase::Importing => return Err(under_way()),
            Phase::Done(_) => {
                return Err(Error::refused(
                    "The file was imported, and is not kept: send it again.",
                ));
            }
        }
        if state.received < self.size {
            return Err(Error::refused(format!(
                "Only {} of {} bytes of the file are here: send the rest first.",
                state.received, self.size
            )));
        }
        if Digest(state.digest.clone().finish()) != self.sha256 {
            return Err(Error::refused(
                "The file was changed on the way: it has another digest. Delete this import and send the file again.",
            ));
        }
        state.tenant = Some(tenant.to_owned());
        state.phase = Phase::Checking;
        self.activity.advance(0, 0);
        self.activity.run(true);
        Ok(())
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if it can't be opened.
    pub fn open(&self) -> Result<impl BufRead + use<>> {
        let file = File::open(&self.path).map_err(Error::internal)?;
        Ok(BufReader::with_capacity(BUFFER_BYTES, file))
    }

    /// Notes that the file was checked and is being imported.
    pub fn is_checked(&self) {
        self.state().phase = Phase::Importing;
        self.activity.advance(0, 0);
    }

    /// Notes how far it is.
    pub fn advance(&self, done: u64, all: u64) {
        self.activity.advance(done, all);
    }

    /// Notes how it ended.
    pub fn end(&self, result: Result<Imported>) {
        self.state().phase = match result {
            Ok(imported) => {
                remove(&self.path);
                Phase::Done(Box::new(imported))
            }
            Err(error) => Phase::Failed(FailureView::from(&error)),
        };
        self.activity.run(false);
    }

    pub(super) fn touch(&self) {
        self.activity.touch();
    }

    /// Whether a first piece starts anew.
    fn is_ended(&self) -> bool {
        matches!(self.state().phase, Phase::Done(_) | Phase::Failed(_))
    }

    pub(super) fn check_idle(&self) -> Result<()> {
        match self.state().phase {
            Phase::Checking | Phase::Importing => Err(under_way()),
            Phase::Receiving | Phase::Done(_) | Phase::Failed(_) => Ok(()),
        }
    }

    /// The import as the API shows it.
    pub fn view(&self) -> ImportView {
        let state = self.state();
        let (steps_done, steps) = self.activity.steps();
        let (word, imported, failure) = match &state.phase {
            Phase::Receiving => (ImportState::Receiving, None, None),
            Phase::Checking => (ImportState::Checking, None, None),
            Phase::Importing => (ImportState::Importing, None, None),
            Phase::Done(imported) => (ImportState::Done, Some((**imported).clone()), None),
            Phase::Failed(failure) => (ImportState::Failed, None, Some(failure.clone())),
        };
        ImportView {
            sha256: self.sha256,
            size: self.size,
            received: state.received,
            state: word,
            tenant: state.tenant.clone(),
            steps_done,
            steps,
            complete: imported.as_ref().map(Imported::is_complete),
            imported,
            failure,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for ImportJob {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn under_way() -> Error {
    Error::refused("This file is being imported already: ask for the state of its import.")
}

/// Removes a file; what can't be removed goes with the folder.
fn remove(path: &Path) {
    drop(fs::remove_file(path));
}
