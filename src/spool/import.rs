//! Imports.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard};

use sigpersist_model::digest::RunningSha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::transfer::Imported;
use sigpersist_model::view::{FailureView, ImportState, ImportView};

use super::folder::{Reader, unwritable};
use super::{Activity, Spool, lock, make_room};

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1024 * 1024;

/// An import, under way or finished.
#[derive(Debug)]
pub struct ImportJob {
    /// The tenant to import into.
    pub tenant: String,
    sha256: Digest,
    size: u64,
    pub(super) activity: Activity,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    digest: RunningSha256,
    received: u64,
    phase: Phase,
}

/// Only before it is done, there is a file.
#[derive(Debug)]
enum Phase {
    Receiving(Arc<File>),
    Checking(Arc<File>),
    Importing(Arc<File>),
    Done(Box<Imported>),
    Failed(Arc<File>, FailureView),
}

/// A piece of a file, and its place.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The tenant to import into.
    pub tenant: &'a str,
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
    /// Adds a piece to a file, if it is the next one; any other is ignored. A first piece begins a new import if an earlier
    /// one is done.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if nothing of the file is here and this is not the first piece, [`Error::Refused`] if the piece
    /// goes beyond the end, or if there is no room for the file.
    pub fn receive(spool: &Spool, piece: Piece<'_>) -> Result<Arc<Self>> {
        spool.sweep();
        let known = match spool.import(piece.tenant, piece.sha256) {
            Ok(job) if piece.offset == 0 && job.is_done() => None,
            Ok(job) => Some(job),
            Err(_) if piece.offset == 0 => None,
            Err(error) => return Err(error),
        };
        let job = match known {
            Some(job) => job,
            None => Self::new(spool, piece)?,
        };
        if job.size != piece.size {
            return Err(Error::refused(format!(
                "The file with this digest has {} bytes, not {}.",
                job.size, piece.size
            )));
        }
        spool.check_room(0)?;
        job.append(piece.offset, piece.bytes)?;
        Ok(job)
    }

    fn new(spool: &Spool, piece: Piece<'_>) -> Result<Arc<Self>> {
        spool.check_room(piece.size)?;
        let file = Arc::new(spool.folder.create()?);
        let job = Arc::new(Self {
            tenant: piece.tenant.to_owned(),
            sha256: piece.sha256,
            size: piece.size,
            activity: Activity::default(),
            state: Mutex::new(State {
                digest: RunningSha256::new(),
                received: 0,
                phase: Phase::Receiving(file),
            }),
        });
        let mut imports = lock(&spool.imports);
        let key = (job.tenant.clone(), job.sha256);
        imports.remove(&key);
        make_room(&mut imports, |job: &Self| &job.activity)?;
        imports.insert(key, Arc::clone(&job));
        Ok(job)
    }

    fn append(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let (Phase::Receiving(file) | Phase::Failed(file, _)) = &state.phase else {
            return Ok(());
        };
        if offset != state.received {
            return Ok(());
        }
        let after = offset.saturating_add(bytes.len() as u64);
        if after > self.size {
            return Err(Error::refused("The piece goes beyond the end of the file."));
        }
        // At its place, so that what a full disk took of it is written again.
        file.write_all_at(bytes, offset).map_err(unwritable)?;
        state.digest.update(bytes);
        state.received = after;
        Ok(())
    }

    /// Begins the import of a file that has arrived whole.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the file is not whole or not the one with its digest, or if its import is under way or done.
    pub fn begin(&self) -> Result<()> {
        let mut state = self.state();
        let file = match &state.phase {
            Phase::Receiving(file) | Phase::Failed(file, _) => Arc::clone(file),
            Phase::Checking(_) | Phase::Importing(_) => return Err(under_way()),
            Phase::Done(_) => {
                return Err(Error::refused(
                    "The file was imported, and is not kept: send it again.",
                ));
            }
        };
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
        state.phase = Phase::Checking(file);
        self.activity.advance(0, 0);
        self.activity.run(true);
        Ok(())
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if there is none any more.
    pub fn open(&self) -> Result<impl BufRead + use<>> {
        let file = self.state().phase.file();
        let file = file.ok_or_else(|| Error::internal("the file of the import is gone"))?;
        let reader = Reader { file, offset: 0 };
        Ok(BufReader::with_capacity(BUFFER_BYTES, reader))
    }

    /// Notes that the file was checked and is being imported.
    pub fn is_checked(&self) {
        let mut state = self.state();
        if let Some(file) = state.phase.file() {
            state.phase = Phase::Importing(file);
        }
        self.activity.advance(0, 0);
    }

    /// Notes how far it is.
    pub fn advance(&self, done: u64, all: u64) {
        self.activity.advance(done, all);
    }

    /// Notes how it ended. The file is kept only if the import failed, to begin again.
    pub fn end(&self, result: Result<Imported>) {
        let mut state = self.state();
        state.phase = match (result, state.phase.file()) {
            (Ok(imported), _) => Phase::Done(Box::new(imported)),
            (Err(error), Some(file)) => Phase::Failed(file, FailureView::from(&error)),
            // There is a file until it is done.
            (Err(_), None) => return,
        };
        self.activity.run(false);
    }

    fn is_done(&self) -> bool {
        matches!(self.state().phase, Phase::Done(_))
    }

    /// The number of bytes that are still to come.
    pub(super) fn missing(&self) -> u64 {
        let state = self.state();
        match state.phase {
            Phase::Done(_) => 0,
            _ => self.size - state.received,
        }
    }

    pub(super) fn check_idle(&self) -> Result<()> {
        match self.state().phase {
            Phase::Checking(_) | Phase::Importing(_) => Err(under_way()),
            Phase::Receiving(_) | Phase::Done(_) | Phase::Failed(..) => Ok(()),
        }
    }

    /// The import as the API shows it.
    pub fn view(&self) -> ImportView {
        let state = self.state();
        let (steps_done, steps) = self.activity.steps();
        let (word, imported, failure) = match &state.phase {
            Phase::Receiving(_) => (ImportState::Receiving, None, None),
            Phase::Checking(_) => (ImportState::Checking, None, None),
            Phase::Importing(_) => (ImportState::Importing, None, None),
            Phase::Done(imported) => (ImportState::Done, Some((**imported).clone()), None),
            Phase::Failed(_, failure) => (ImportState::Failed, None, Some(failure.clone())),
        };
        ImportView {
            sha256: self.sha256,
            size: self.size,
            received: state.received,
            state: word,
            tenant: self.tenant.clone(),
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

impl Phase {
    fn file(&self) -> Option<Arc<File>> {
        match self {
            Self::Receiving(file)
            | Self::Checking(file)
            | Self::Importing(file)
            | Self::Failed(file, _) => Some(Arc::clone(file)),
            Self::Done(_) => None,
        }
    }
}

fn under_way() -> Error {
    Error::refused("This file is being imported already: ask for the state of its import.")
}
