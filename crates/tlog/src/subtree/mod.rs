//! Roots and proofs of a log, made of stored hashes.
//!
//! Stored are the leaves (level 0) and the root of each perfect subtree of 256, 65536, … leaves (levels 1, 2, …), as
//! [`Edge::push`](crate::edge::Edge::push) reports them. The nodes between are computed again: at most 255 hashes for
//! each level, which costs less than storing and reading twice the rows.
//!
//! All ranges of one proof are asked for in one call, so that a database needs one round trip.

use crate::edge::{Edge, combined};
use crate::hash::{Hash, node_hash};

/// Consecutive stored hashes of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredRange {
    /// The level: 0 for leaves, otherwise subtrees of `256^level` leaves.
    pub level: u8,
    /// The number of the first hash within the level, from 0.
    pub first: u64,
    /// The number of hashes, at most 256.
    pub count: u32,
}

impl StoredRange {
    /// The number after the last one.
    fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }
}

/// The place where hashes are stored.
pub trait Stored {
    /// The error of reading.
    type Error;

    /// Reads ranges: one list for each, in their order.
    ///
    /// # Errors
    ///
    /// Any error of the store. A hash that does not exist may also just be left out.
    fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, Self::Error>;

    /// The root over a range whose length is a power of two, if it is at hand: then its hashes are not read.
    fn known(&self, _range: &StoredRange) -> Option<Hash> {
        None
    }
}

/// The stored hashes under each root of an edge.
pub fn edge_ranges(edge: &Edge) -> impl Iterator<Item = (StoredRange, Hash)> {
    let log = Subtree {
        first: 0,
        end: edge.size(),
    };
    log.perfect().zip(edge.roots().iter().copied())
}

/// A reason why a proof can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError<E> {
    /// The store failed.
    #[error("The stored hashes of the log can't be read.")]
    Stored(#[source] E),
    /// The store has not all of these hashes.
    #[error("Stored hashes of the log are missing: {} of level {} from {}.", .0.count, .0.level, .0.first)]
    Missing(StoredRange),
    /// The entry's index is not below the log's size.
    #[error("The index {index} is not in a log of size {size}.")]
    IndexBeyondSize {
        /// The index.
        index: u64,
        /// The log's size.
        size: u64,
    },
    /// The old size is above the new one.
    #[error("The old size {old_size} is above the new size {new_size}.")]
    SizesReversed {
        /// The old size.
        old_size: u64,
        /// The new size.
        new_size: u64,
    },
}

/// Computes the root of a log of this size.
///
/// # Errors
///
/// [`ProofError::Stored`] and [`ProofError::Missing`].
pub fn root<S: Stored>(size: u64, stored: &mut S) -> Result<Hash, ProofError<S::Error>> {
    let subtree = Subtree {
        first: 0,
        end: size,
    };
    let roots = subtree_roots(&[subtree], stored)?;
    Ok(combined(&roots))
}

/// Makes the proof that the entry at this index is in a log of this size (RFC 6962 section 2.1.1).
///
/// # Errors
///
/// Any [`ProofError`] but [`ProofError::SizesReversed`].
pub fn inclusion_proof<S: Stored>(
    index: u64,
    size: u64,
    stored: &mut S,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    if index >= size {
        return Err(ProofError::IndexBeyondSize { index, size });
    }
    let mut within = Subtree {
        first: 0,
        end: size,
    };
    let mut siblings = Vec::new();
    while within.end - within.first > 1 {
        let (left, right) = within.halves();
        let (next, sibling) = if index < right.first {
            (left, right)
        } else {
            (right, left)
        };
        siblings.push(sibling);
        within = next;
    }
    siblings.reverse();
    subtree_roots(&siblings, stored)
}

/// Makes the proof that a log of the new size continues the one of the old size (RFC 6962 section 2.1.2).
///
/// The proof from size 0 is empty, as the protocol of witnesses demands; so is that from a size to itself.
///
/// # Errors
///
/// Any [`ProofError`] but [`ProofError::IndexBeyondSize`].
pub fn consistency_proof<S: Stored>(
    old_size: u64,
    new_size: u64,
    stored: &mut S,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    if old_size > new_size {
        return Err(ProofError::SizesReversed { old_size, new_size });
    }
    if old_size == 0 {
        return Ok(Vec::new());
    }
    let mut within = Subtree {
        first: 0,
        end: new_size,
    };
    let mut parts = Vec::new();
    while old_size != within.end {
        let (left, right) = within.halves();
        let (next, part) = if old_size <= left.end {
            (left, right)
        } else {
            (right, left)
        };
        parts.push(part);
        within = next;
    }
    // A subtree that begins with the first leaf is the old log itself, whose root the verifier has.
    if within.first != 0 {
        parts.push(within);
    }
    parts.reverse();
    subtree_roots(&parts, stored)
}

/// The leaves from `first` to before `end`, which are a node of the tree.
#[derive(Debug, Clone, Copy)]
struct Subtree {
    first: u64,
    end: u64,
}

impl Subtree {
    /// The two children; for more than one leaf only. The left one has the largest power of two below their number.
    fn halves(self) -> (Self, Self) {
        let middle = self.first + (1 << (self.end - self.first - 1).ilog2());
        let left = Self {
            end: middle,
            ..self
        };
        let right = Self {
            first: middle,
            ..self
        };
        (left, right)
    }

    /// The stored hashes under each of its perfect subtrees, the largest first. Each range is a power of two below 256.
    fn perfect(self) -> impl Iterator<Item = StoredRange> {
        let mut first = self.first;
        std::iter::from_fn(move || {
            let height = (self.end - first).checked_ilog2()?;
            let level = height / 8;
            let range = StoredRange {
                level: u8::try_from(level).ok()?,
                first: first >> (8 * level),
                count: 1 << (height % 8),
            };
            first += 1 << height;
            Some(range)
        })
    }
}

/// Reads what is needed for the roots of subtrees, and computes them.
fn subtree_roots<S: Stored>(
    subtrees: &[Subtree],
    stored: &mut S,
) -> Result<Vec<Hash>, ProofError<S::Error>> {
    let ranges = merged(
        subtrees
            .iter()
            .copied()
            .flat_map(Subtree::perfect)
            .filter(|range| stored.known(range).is_none())
            .collect(),
    );
    let mut lists = Vec::new();
    if !ranges.is_empty() {
        lists = stored.hashes(&ranges).map_err(ProofError::Stored)?;
    }
    let mut given = lists.into_iter();
    let mut read = Vec::new();
    for range in ranges {
        let hashes = given.next().unwrap_or_default();
        if hashes.len() != usize::try_from(range.count).unwrap_or(usize::MAX) {
            return Err(ProofError::Missing(range));
        }
        read.push((range, hashes));
    }
    let perfect_root = |range| {
        let root = stored.known(&range).or_else(|| found(&read, range));
        root.ok_or(ProofError::Missing(range))
    };
    let subtree_root = |subtree: &Subtree| {
        let roots: Result<Vec<_>, _> = subtree.perfect().map(perfect_root).collect();
        Ok(combined(&roots?))
    };
    subtrees.iter().map(subtree_root).collect()
}

/// Covers all ranges with as few as possible, each of at most 256 hashes. Reads unneeded hashes between needed ones, too.
fn merged(mut ranges: Vec<StoredRange>) -> Vec<StoredRange> {
    ranges.sort_unstable_by_key(|range| (range.level, range.first));
    let mut merged: Vec<StoredRange> = Vec::new();
    for range in ranges {
        if let Some(last) = merged.last_mut().filter(|last| last.level == range.level)
            && let Ok(count @ ..=256) = u32::try_from(range.end() - last.first)
        {
            last.count = count;
        } else {
            merged.push(range);
        }
    }
    merged
}

/// The root over a range whose length is a power of two, of hashes that were read.
fn found(read: &[(StoredRange, Vec<Hash>)], wanted: StoredRange) -> Option<Hash> {
    let covers = |range: &StoredRange| {
        range.level == wanted.level && range.first <= wanted.first && wanted.end() <= range.end()
    };
    let (range, hashes) = read.iter().find(|(range, _)| covers(range))?;
    let start = usize::try_from(wanted.first - range.first).ok()?;
    let count = usize::try_from(wanted.count).ok()?;
    let mut hashes = hashes.get(start..start.checked_add(count)?)?.to_vec();
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks();
        hashes = pairs
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    hashes.first().copied()
}

#[cfg(test)]
mod tests;
