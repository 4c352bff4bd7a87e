//! Verifying proofs of inclusion and consistency, by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.
//!
//! A proof only connects hashes with a root. Take root and size from the log's signed checkpoint: a proof alone does not
//! bind the size, and some proofs hold for several sizes.

use crate::hash::{EMPTY_ROOT, Hash, node_hash};
use crate::invalid::Invalid;

/// Verifies that a log of this size and root has this leaf at this index.
///
/// # Errors
///
/// Says how the proof fails.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Invalid> {
    if index >= size {
        return Err(Invalid::IndexBeyondSize { index, size });
    }
    let mut walk = Walk::new(index, size - 1);
    let mut found = *leaf;
    for hash in proof {
        found = match walk.step()? {
            Side::Left => node_hash(hash, &found),
            Side::Right => node_hash(&found, hash),
        };
    }
    walk.finish()?;
    (found == *root).then_some(()).ok_or(Invalid::Root)
}

/// Verifies that a log of the new size and root continues one of the old size and root.
///
/// # Errors
///
/// Says how the proof fails.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), Invalid> {
    if old_size > new_size {
        return Err(Invalid::SizesReversed { old_size, new_size });
    }
    if old_size == 0 && *old_root != EMPTY_ROOT {
        return Err(Invalid::OldRoot);
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(Invalid::ProofLength);
        }
        let is_same = old_size < new_size || old_root == new_root;
        return is_same.then_some(()).ok_or(Invalid::Root);
    }
    // If the old log is one perfect subtree, its root is the first hash and is left out of the proof.
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(Invalid::ProofLength)?;
        (*first, rest)
    };
    let mut walk = Walk::new(old_size - 1, new_size - 1);
    walk.skip_ones();
    let (mut old, mut new) = (first, first);
    for hash in rest {
        match walk.step()? {
            Side::Left => {
                old = node_hash(hash, &old);
                new = node_hash(hash, &new);
            }
            Side::Right => new = node_hash(&new, hash),
        }
    }
    walk.finish()?;
    if old != *old_root {
        return Err(Invalid::OldRoot);
    }
    (new == *new_root).then_some(()).ok_or(Invalid::Root)
}

/// The side on which the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

/// The way from a leaf to the root: `fn` and `sn` of RFC 9162.
struct Walk {
    /// The number of the node among those of its height.
    node: u64,
    /// The number of the last node of that height.
    last: u64,
}

impl Walk {
    fn new(node: u64, last: u64) -> Self {
        Self { node, last }
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// Climbs while the node is a right child.
    fn skip_ones(&mut self) {
        while self.node & 1 == 1 {
            self.up();
        }
    }

    /// Climbs over one hash of the proof.
    fn step(&mut self) -> Result<Side, Invalid> {
        if self.last == 0 {
            return Err(Invalid::ProofLength);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The last node of an incomplete height has no sibling, so it is its own parent.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Ok(side)
    }

    /// Checks that the root is reached.
    fn finish(&self) -> Result<(), Invalid> {
        (self.last == 0).then_some(()).ok_or(Invalid::ProofLength)
    }
}
