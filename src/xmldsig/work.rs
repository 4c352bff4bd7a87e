//! How much may be computed for one document, and where the computed octets go.

use super::XmlError;
use crate::pki::hash::{Hash, RunningHash};

/// Most octets that are canonicalised and hashed for one document, counted again for each reference; visited nodes count
/// as some octets too. A small document could otherwise demand hours: its signatures may all reference all of it, and
/// exclusive canonicalisation may write one long namespace for every element.
const MAX_OCTETS: usize = 256 * 1024 * 1024;
/// How much is collected before it is hashed.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a reference or value can't be checked to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// It needs something that is elsewhere or not supported.
    Unresolved,
    /// It can't be intact.
    Broken,
    /// The document as a whole asks too much.
    Refused(XmlError),
}

/// What is left of [`MAX_OCTETS`].
pub(super) struct Work {
    left: usize,
}

impl Work {
    /// For one document.
    pub(super) fn new() -> Self {
        Self { left: MAX_OCTETS }
    }

    /// Uses some.
    pub(super) fn spend(&mut self, octets: usize) -> Result<(), Stop> {
        self.left = self
            .left
            .checked_sub(octets)
            .ok_or(Stop::Refused(XmlError::TooLarge("signed octets")))?;
        Ok(())
    }
}

/// Collects octets, or hashes them as they come.
pub(super) struct Output<'w> {
    work: &'w mut Work,
    pending: Vec<u8>,
    digest: Option<RunningHash>,
}

impl<'w> Output<'w> {
    /// Collects.
    pub(super) fn collect(work: &'w mut Work) -> Self {
        Self {
            work,
            pending: Vec::new(),
            digest: None,
        }
    }

    /// Hashes.
    pub(super) fn hash(work: &'w mut Work, algorithm: Hash) -> Self {
        Self {
            work,
            pending: Vec::new(),
            digest: Some(algorithm.running()),
        }
    }

    /// These octets come next.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), Stop> {
        self.work.spend(octets.len())?;
        self.pending.extend_from_slice(octets);
        if let Some(digest) = &mut self.digest
            && self.pending.len() >= CHUNK_BYTES
        {
            digest.update(&self.pending);
            self.pending.clear();
        }
        Ok(())
    }

    /// Work that leaves no octets.
    pub(super) fn spend(&mut self, octets: usize) -> Result<(), Stop> {
        self.work.spend(octets)
    }

    /// The digest, or what was collected.
    pub(super) fn finish(self) -> Vec<u8> {
        match self.digest {
            Some(mut digest) => {
                digest.update(&self.pending);
                digest.finish()
            }
            None => self.pending,
        }
    }
}
