//! Logs in memory for tests.

use std::convert::Infallible;

use crate::edge::Edge;
use crate::hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
use crate::subtree::{Stored, StoredRange};

/// Leaves that all differ.
pub(crate) fn leaves(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|index| leaf_hash(&index.to_be_bytes()))
        .collect()
}

/// The eight leaves of Certificate Transparency's reference implementation.
pub(crate) fn reference_leaves() -> Vec<Hash> {
    let entries: [&[u8]; 8] = [
        b"",
        b"\0",
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    entries.map(leaf_hash).to_vec()
}

/// The root as RFC 6962 section 2.1 defines it, by recursion.
pub(crate) fn recursive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        leaves => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&recursive_root(left), &recursive_root(right))
        }
    }
}

/// The stored hashes of a log.
pub(crate) struct MemoryLog {
    /// The hashes of each level.
    pub(crate) levels: Vec<Vec<Hash>>,
    /// The root of each size.
    pub(crate) roots: Vec<Hash>,
    /// The ranges that were asked for, one list for each call.
    pub(crate) asked: Vec<Vec<StoredRange>>,
}

impl MemoryLog {
    pub(crate) fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![Vec::new(); 4];
        let (mut edge, mut roots) = (Edge::empty(), vec![EMPTY_ROOT]);
        for leaf in &leaves {
            edge.push(*leaf, &mut |level, number, hash| {
                let level: &mut Vec<Hash> = &mut levels[usize::from(level)];
                assert_eq!(u64::try_from(level.len()).unwrap(), number);
                level.push(hash);
            });
            roots.push(edge.root());
        }
        levels[0] = leaves;
        Self {
            levels,
            roots,
            asked: Vec::new(),
        }
    }

    /// A log of leaves that all differ.
    pub(crate) fn with_size(size: u64) -> Self {
        Self::new(leaves(size))
    }

    pub(crate) fn root(&self, size: u64) -> &Hash {
        &self.roots[usize::try_from(size).unwrap()]
    }

    pub(crate) fn leaf(&self, index: u64) -> &Hash {
        &self.levels[0][usize::try_from(index).unwrap()]
    }

    /// The hashes of a range, or as many of them as there are.
    pub(crate) fn range(&self, range: StoredRange) -> Vec<Hash> {
        let level = self.levels[usize::from(range.level)].iter();
        level
            .skip(usize::try_from(range.first).unwrap())
            .take(usize::try_from(range.count).unwrap())
            .copied()
            .collect()
    }
}

impl Stored for MemoryLog {
    type Error = Infallible;

    fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, Infallible> {
        self.asked.push(ranges.to_vec());
        Ok(ranges.iter().map(|range| self.range(*range)).collect())
    }
}
