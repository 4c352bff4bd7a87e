//! Reasons to stop reading a reference, and the output for computed octets.

use super::XmlError;
use crate::pki::budget::{Budget, Exhausted};
use crate::pki::hash::{Hash, RunningHash};

/// Greatest number of octets that are collected and kept.
const MAX_COLLECTED_BYTES: usize = 32 * 1024 * 1024;
/// Number of octets that are collected before they are hashed.
const CHUNK_BYTES: usize = 64 * 1024;
/// Cost of a write, however few octets it has.
const WRITE_NS: u64 = 8;
/// Number of octets that are escaped and copied in a nanosecond.
const OCTETS_A_NS: usize = 1;

/// The reason why a reference or value can't be checked to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// It needs something that is outside of the document or not supported.
    Unresolved,
    /// It can't be intact.
    Broken,
    /// The document as a whole exceeds a limit.
    Refused(XmlError),
}

impl From<Exhausted> for Stop {
    fn from(Exhausted: Exhausted) -> Self {
        Self::Refused(XmlError::TooLarge("signed octets"))
    }
}

/// Collects octets, or hashes them as they come.
pub(super) struct Output<'w> {
    budget: &'w Budget,
    pending: Vec<u8>,
    digest: Option<(Hash, RunningHash)>,
}

impl<'w> Output<'w> {
    /// An output that collects octets.
    pub(super) fn collect(budget: &'w Budget) -> Self {
        Self {
            budget,
            pending: Vec::new(),
            digest: None,
        }
    }

    /// An output that hashes octets.
    pub(super) fn hash(budget: &'w Budget, algorithm: Hash) -> Self {
        Self {
            budget,
            pending: Vec::new(),
            digest: Some((algorithm, algorithm.running())),
        }
    }

    /// Writes octets.
    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), Stop> {
        self.budget
            .spend(WRITE_NS + (octets.len() / OCTETS_A_NS) as u64)?;
        if self.pending.len() + octets.len() > MAX_COLLECTED_BYTES {
            return Err(Stop::Refused(XmlError::TooLarge("signed octets")));
        }
        self.pending.extend_from_slice(octets);
        if self.pending.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Hashes the collected octets, if this output hashes.
    fn flush(&mut self) -> Result<(), Stop> {
        if let Some((algorithm, digest)) = &mut self.digest {
            self.budget.spend_hash(*algorithm, self.pending.len())?;
            digest.update(&self.pending);
            self.pending.clear();
        }
        Ok(())
    }

    /// The budget, for work that writes no octets.
    pub(super) fn budget(&self) -> &'w Budget {
        self.budget
    }

    /// The digest, or the collected octets.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Stop> {
        self.flush()?;
        Ok(match self.digest {
            Some((_, digest)) => digest.finish(),
            None => self.pending,
        })
    }
}
