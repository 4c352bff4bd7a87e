//! The edge of a log: what must be known of it to append to it.
//!
//! A log of any size is a row of perfect subtrees, one for each bit that is set in its size, the largest first. Their
//! roots are its edge: at most 63 hashes. With them a leaf is appended and the root is computed, and nothing else of the
//! log is read. Proofs need more: see [`subtree`](crate::subtree).

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// The largest size of a log of ours, which fits into a `bigint` of Postgres and keeps proofs within 63 hashes.
pub const MAX_SIZE: u64 = u64::MAX >> 1;

/// The roots of a log's perfect subtrees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// One for each bit that is set in the size, the largest subtree first.
    roots: Vec<Hash>,
}

impl Edge {
    /// The edge of a log without entries.
    pub fn empty() -> Self {
        Self {
            size: 0,
            roots: Vec::new(),
        }
    }

    /// Reads the edge of a log of this size from [`Self::to_bytes`]; none if it is not one of this size.
    pub fn from_bytes(size: u64, bytes: &[u8]) -> Option<Self> {
        let (roots, rest) = bytes.as_chunks();
        let fits = size <= MAX_SIZE
            && rest.is_empty()
            && roots.len() == usize::try_from(size.count_ones()).ok()?;
        fits.then(|| Self {
            size,
            roots: roots.to_vec(),
        })
    }

    /// The roots, one after another. The size is not among them.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.roots.concat()
    }

    /// The roots, the largest subtree first.
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// The number of leaves in the log.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the log.
    pub fn root(&self) -> Hash {
        combined(&self.roots)
    }

    /// Appends a leaf.
    ///
    /// Calls `full(level, number, hash)` for each perfect subtree of `256^level` leaves that the leaf completes, the
    /// smallest first; `number` counts the subtrees of that level from 0. These are the hashes that are stored besides
    /// the leaves.
    ///
    /// # Panics
    ///
    /// Panics if the log has [`MAX_SIZE`] leaves, which no log reaches.
    pub fn push(&mut self, leaf: Hash, full: &mut impl FnMut(u8, u64, Hash)) {
        assert!(self.size < MAX_SIZE, "the log has room for a leaf");
        let (mut hash, mut height, mut number) = (leaf, 0_u8, self.size);
        while number & 1 == 1
            && let Some(left) = self.roots.pop()
        {
            hash = node_hash(&left, &hash);
            height += 1;
            number >>= 1;
            if height.is_multiple_of(8) {
                full(height / 8, number, hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }
}

/// The root over perfect subtrees, the largest first.
pub(crate) fn combined(roots: &[Hash]) -> Hash {
    let mut roots = roots.iter().rev();
    let Some(last) = roots.next() else {
        return EMPTY_ROOT;
    };
    roots.fold(*last, |right, left| node_hash(left, &right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{leaves, recursive_root};

    #[test]
    fn root_is_that_of_the_recursive_definition() {
        let leaves = leaves(600);
        let (mut edge, mut nodes) = (Edge::empty(), Vec::new());
        assert_eq!(edge.root(), EMPTY_ROOT);
        for (index, leaf) in leaves.iter().enumerate() {
            edge.push(*leaf, &mut |level, number, hash| {
                nodes.push((index, level, number, hash));
            });
            assert_eq!(edge.root(), recursive_root(&leaves[..=index]), "{index}");
            let read = Edge::from_bytes(edge.size(), &edge.to_bytes());
            assert_eq!(read.as_ref(), Some(&edge));
        }
        let expected = [
            (255, 1, 0, recursive_root(&leaves[..256])),
            (511, 1, 1, recursive_root(&leaves[256..512])),
        ];
        assert_eq!(nodes, expected);
    }

    #[test]
    fn completing_65536_leaves_makes_nodes_of_two_levels() {
        let mut edge = Edge::empty();
        let mut nodes = Vec::new();
        for leaf in leaves(65_536) {
            edge.push(leaf, &mut |level, number, hash| {
                nodes.push((level, number, hash));
            });
        }
        assert_eq!(nodes.len(), 257);
        assert_eq!(nodes[256], (2, 0, edge.root()));
        assert_eq!((nodes[255].0, nodes[255].1), (1, 255));
    }

    #[test]
    fn edge_of_another_size_is_refused() {
        assert_eq!(Edge::from_bytes(0, &[]), Some(Edge::empty()));
        assert!(Edge::from_bytes(3, &[0; 64]).is_some());
        for (size, bytes) in [
            (3, 32),
            (3, 96),
            (3, 63),
            (3, 65),
            (0, 1),
            (1, 0),
            (MAX_SIZE + 1, 32),
        ] {
            assert_eq!(
                Edge::from_bytes(size, &vec![0; bytes]),
                None,
                "{size}, {bytes}"
            );
        }
    }
}
