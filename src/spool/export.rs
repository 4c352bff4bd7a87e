//! Exports.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use sigpersist_model::context::Tenancy;
use sigpersist_model::digest::RunningSha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Digest;
use sigpersist_model::transfer::Written;
use sigpersist_model::view::{ExportState, ExportView, FailureView};
use sigpersist_runtime::vault::random_name;

use super::{Activity, Spool, lock, make_room};

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Bytes after which the room on the disk is looked at again.
const CHECK_BYTES: u64 = 64 * 1024 * 1024;

/// An export, under way or finished.
#[derive(Debug)]
pub struct ExportJob {
    id: String,
    pub(super) tenant: Tenancy,
    with_keys: bool,
    created_at: DateTime<Utc>,
    pub(super) activity: Activity,
    is_cancelled: AtomicBool,
    result: Mutex<Option<Result<ExportFile, FailureView>>>,
}

/// The file of a finished export.
#[derive(Debug, Clone)]
pub struct ExportFile {
    file: Arc<File>,
    size: u64,
    sha256: Digest,
    written: Arc<Written>,
}

impl ExportJob {
    /// Registers an export of a tenant, which is running from now on. Returns the file that it writes, too.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if there is no room for its file.
    pub fn begin(spool: &Spool, tenant: &Tenancy, with_keys: bool) -> Result<(Arc<Self>, File)> {
        spool.sweep();
        spool.check_room(0)?;
        let id = random_name()?;
        let file = spool.folder.create()?;
        let job = Arc::new(Self {
            id: id.clone(),
            tenant: tenant.clone(),
            with_keys,
            created_at: Utc::now(),
            activity: Activity::default(),
            is_cancelled: AtomicBool::new(false),
            result: Mutex::default(),
        });
        let mut exports = lock(&spool.exports);
        make_room(&mut exports, |job: &Self| &job.activity)?;
        exports.insert(id, Arc::clone(&job));
        job.activity.run(true);
        Ok((job, file))
    }

    /// Writes its file with this function, which gets the file.
    ///
    /// # Errors
    ///
    /// The errors of the function.
    pub fn write(
        &self,
        spool: &Spool,
        file: File,
        write: impl FnOnce(&mut dyn Write) -> Result<Written>,
    ) -> Result<ExportFile> {
        let output = Output {
            file,
            digest: RunningSha256::new(),
            size: 0,
            job: self,
            spool,
        };
        let mut output = BufWriter::with_capacity(BUFFER_BYTES, output);
        let written = write(&mut output)?;
        let output = output
            .into_inner()
            .map_err(|error| Error::internal(error.to_string()))?;
        Ok(ExportFile {
            file: Arc::new(output.file),
            size: output.size,
            sha256: Digest(output.digest.finish()),
            written: Arc::new(written),
        })
    }

    /// Notes how far it is.
    pub fn advance(&self, done: u64, all: u64) {
        self.activity.advance(done, all);
    }

    /// Notes how it ended.
    pub fn end(&self, result: Result<ExportFile>) {
        *lock(&self.result) = Some(result.map_err(|error| FailureView::from(&error)));
        self.activity.run(false);
    }

    /// Makes it fail at its next write.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    /// The file, its size in bytes and its digest.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it is not finished.
    pub fn file(&self) -> Result<(Arc<File>, u64, Digest)> {
        match &*lock(&self.result) {
            Some(Ok(finished)) => Ok((Arc::clone(&finished.file), finished.size, finished.sha256)),
            Some(Err(failure)) => Err(Error::refused(failure.message.clone())),
            None => Err(Error::refused(
                "The export is not finished: ask for its state until it is `done`.",
            )),
        }
    }

    /// The export as the API shows it.
    pub fn view(&self) -> ExportView {
        let result = lock(&self.result).clone();
        let (state, finished, failure) = match result {
            None => (ExportState::Running, None, None),
            Some(Ok(finished)) => (ExportState::Done, Some(finished), None),
            Some(Err(failure)) => (ExportState::Failed, None, Some(failure)),
        };
        let (steps_done, steps) = self.activity.steps();
        let written = finished.as_ref().map(|finished| &*finished.written);
        ExportView {
            id: self.id.clone(),
            tenant: self.tenant.slug.to_string(),
            state,
            steps_done,
            steps,
            size: finished.as_ref().map(|finished| finished.size),
            sha256: finished.as_ref().map(|finished| finished.sha256),
            with_keys: self.with_keys,
            counts: written.map(|written| written.counts),
            faults: written.map_or_else(Vec::new, |written| written.faults.clone()),
            failure,
            created_at: self.created_at.into(),
        }
    }
}

/// Writes the file, and computes its digest on the way.
#[derive(Debug)]
struct Output<'a> {
    file: File,
    digest: RunningSha256,
    size: u64,
    job: &'a ExportJob,
    spool: &'a Spool,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.job.is_cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("it was deleted"));
        }
        let written = self.file.write(bytes)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        let before = self.size;
        self.size += written as u64;
        if before / CHECK_BYTES != self.size / CHECK_BYTES {
            let room = self.spool.check_room(0);
            room.map_err(io::Error::other)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
