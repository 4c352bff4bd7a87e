//! Tests of making proofs and of verifying them.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::hash::EMPTY_ROOT;
use crate::invalid::Invalid;
use crate::testing::{MemoryLog, reference_leaves};
use crate::verify::{verify_consistency, verify_inclusion};

/// The size up to which everything is tried.
const SMALL: u64 = 300;

/// A log in which all sizes have three levels.
static LARGE: LazyLock<MemoryLog> = LazyLock::new(|| MemoryLog::with_size(70_000));

/// A store that reads another one, leaving out the last hash of one range.
struct Incomplete<'a>(&'a MemoryLog, usize);

impl Stored for Incomplete<'_> {
    type Error = std::convert::Infallible;

    fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, Self::Error> {
        let mut lists: Vec<_> = ranges.iter().map(|range| self.0.range(*range)).collect();
        let broken = self.1 % lists.len();
        lists[broken].pop();
        Ok(lists)
    }
}

/// A view of the large log that counts for itself what was asked.
struct View(Vec<Vec<StoredRange>>);

impl Stored for View {
    type Error = std::convert::Infallible;

    fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, Self::Error> {
        self.0.push(ranges.to_vec());
        Ok(ranges.iter().map(|range| LARGE.range(*range)).collect())
    }
}

/// A log whose edge is at hand.
struct WithEdge<'a>(&'a mut MemoryLog, Vec<(StoredRange, Hash)>);

impl Stored for WithEdge<'_> {
    type Error = std::convert::Infallible;

    fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, Self::Error> {
        self.0.hashes(ranges)
    }

    fn known(&self, range: &StoredRange) -> Option<Hash> {
        let (_, root) = self.1.iter().find(|(known, _)| known == range)?;
        Some(*root)
    }
}

#[test]
fn nothing_of_the_edge_is_read_if_it_is_at_hand() {
    let mut log = MemoryLog::with_size(SMALL);
    let mut edge = Edge::empty();
    for size in 1..=SMALL {
        edge.push(*log.leaf(size - 1), &mut |_, _, _| {});
        let of_edge: Vec<_> = edge_ranges(&edge).collect();
        for index in 0..size {
            let expected = inclusion_proof(index, size, &mut log).unwrap();
            log.asked.clear();
            let mut with_edge = WithEdge(&mut log, of_edge.clone());
            assert_eq!(inclusion_proof(index, size, &mut with_edge), Ok(expected));
            // All that is read is in the perfect subtree of the entry.
            let around = of_edge.iter().map(|(range, _)| *range).find(|range| {
                let height = 8 * u32::from(range.level);
                (range.first << height..range.end() << height).contains(&index)
            });
            let around = around.unwrap();
            let within = |range: &StoredRange| {
                range.level < around.level
                    || (around.first <= range.first && range.end() <= around.end())
            };
            assert!(log.asked.iter().flatten().all(within), "{index} of {size}");
        }
        // The root is read from what is stored unless it is asked for otherwise.
        log.asked.clear();
        root(size, &mut log).unwrap();
        assert!(!log.asked.is_empty());
    }
}

#[test]
fn all_entries_of_small_logs_are_proved() {
    let mut log = MemoryLog::with_size(SMALL);
    for size in 1..=SMALL {
        let expected = *log.root(size);
        assert_eq!(root(size, &mut log).unwrap(), expected);
        for index in 0..size {
            let proof = inclusion_proof(index, size, &mut log).unwrap();
            let leaf = *log.leaf(index);
            assert_eq!(
                verify_inclusion(index, size, &leaf, &proof, &expected),
                Ok(())
            );
        }
    }
}

#[test]
fn changed_proofs_of_entries_are_refused() {
    let size_limit = 70;
    let mut log = MemoryLog::with_size(size_limit + 1);
    for (size, index) in (1..=size_limit).flat_map(|size| (0..size).map(move |index| (size, index)))
    {
        let proof = inclusion_proof(index, size, &mut log).unwrap();
        let (leaf, expected) = (log.leaf(index), log.root(size));
        let verify = |index, size, leaf: &Hash, proof: &[Hash], root: &Hash| {
            verify_inclusion(index, size, leaf, proof, root)
        };
        for place in 0..proof.len() {
            let mut changed = proof.clone();
            changed[place][place % 32] ^= 1;
            assert_eq!(
                verify(index, size, leaf, &changed, expected),
                Err(Invalid::Root)
            );
            changed.remove(place);
            assert!(verify(index, size, leaf, &changed, expected).is_err());
        }
        let mut longer = proof.clone();
        longer.push([0; 32]);
        assert_eq!(
            verify(index, size, leaf, &longer, expected),
            Err(Invalid::ProofLength)
        );
        let mut other_leaf = *leaf;
        other_leaf[31] ^= 0x80;
        assert_eq!(
            verify(index, size, &other_leaf, &proof, expected),
            Err(Invalid::Root)
        );
        for other in (0..size).filter(|other| *other != index) {
            assert!(verify(other, size, leaf, &proof, expected).is_err());
        }
        assert_eq!(
            verify(size, size, leaf, &proof, expected),
            Err(Invalid::IndexBeyondSize { index: size, size })
        );
        for other in (0..=size_limit).filter(|other| *other != size) {
            assert!(verify(index, other, leaf, &proof, log.root(other)).is_err());
        }
    }
}

#[test]
fn all_pairs_of_small_logs_are_consistent() {
    let mut log = MemoryLog::with_size(SMALL);
    for new in 0..=SMALL {
        for old in 0..=new {
            let proof = consistency_proof(old, new, &mut log).unwrap();
            let (old_root, new_root) = (log.root(old), log.root(new));
            let verified = verify_consistency(old, new, &proof, old_root, new_root);
            assert_eq!(verified, Ok(()), "{old} to {new}");
            if old < new {
                assert!(verify_consistency(old, new, &proof, new_root, old_root).is_err());
            }
            assert!(proof.len() <= 63);
        }
    }
}

#[test]
fn changed_proofs_of_consistency_are_refused() {
    let mut log = MemoryLog::with_size(70);
    for (new, old) in (0..=70).flat_map(|new| (0..=new).map(move |old| (new, old))) {
        let proof = consistency_proof(old, new, &mut log).unwrap();
        let (old_root, new_root) = (log.root(old), log.root(new));
        for place in 0..proof.len() {
            let mut changed = proof.clone();
            changed[place][place % 32] ^= 1;
            assert!(verify_consistency(old, new, &changed, old_root, new_root).is_err());
            changed.remove(place);
            assert!(verify_consistency(old, new, &changed, old_root, new_root).is_err());
        }
        let mut longer = proof.clone();
        longer.push([0; 32]);
        assert_eq!(
            verify_consistency(old, new, &longer, old_root, new_root),
            Err(Invalid::ProofLength)
        );
        let mut other = *old_root;
        other[0] ^= 1;
        assert!(verify_consistency(old, new, &proof, &other, new_root).is_err());
        if old < new {
            let reversed = verify_consistency(new, old, &proof, new_root, old_root);
            assert!(matches!(reversed, Err(Invalid::SizesReversed { .. })));
        }
        let mut other = *new_root;
        other[0] ^= 1;
        // Any log continues the empty one.
        let verified = verify_consistency(old, new, &proof, old_root, &other);
        assert_eq!(verified.is_ok(), old == 0 && new > 0, "{old} to {new}");
    }
}

#[test]
fn proofs_of_the_reference_leaves_are_the_expected_nodes() {
    let mut log = MemoryLog::new(reference_leaves());
    let leaves = reference_leaves();
    let (node01, node23) = (*log.root(2), node_hash(&leaves[2], &leaves[3]));
    // RFC 6962 section 2.1.3 draws these proofs, for logs of seven leaves.
    assert_eq!(
        inclusion_proof(6, 7, &mut log).unwrap(),
        [node_hash(&leaves[4], &leaves[5]), *log.root(4)]
    );
    assert_eq!(
        inclusion_proof(0, 7, &mut log).unwrap()[..2],
        [leaves[1], node23]
    );
    let proof = consistency_proof(3, 7, &mut log).unwrap();
    assert_eq!(proof[..3], [leaves[2], leaves[3], node01]);
    assert_eq!(consistency_proof(4, 7, &mut log).unwrap().len(), 1);
    assert_eq!(consistency_proof(6, 7, &mut log).unwrap().len(), 3);
}

#[test]
fn trivial_logs_ask_for_nothing() {
    let mut log = MemoryLog::with_size(9);
    assert_eq!(root(0, &mut log).unwrap(), EMPTY_ROOT);
    assert_eq!(inclusion_proof(0, 1, &mut log).unwrap(), [[0; 32]; 0]);
    assert_eq!(consistency_proof(0, 9, &mut log).unwrap(), [[0; 32]; 0]);
    assert_eq!(consistency_proof(8, 8, &mut log).unwrap(), [[0; 32]; 0]);
    assert!(log.asked.is_empty());
    assert_eq!(
        inclusion_proof(9, 9, &mut log),
        Err(ProofError::IndexBeyondSize { index: 9, size: 9 })
    );
    assert_eq!(
        consistency_proof(9, 8, &mut log),
        Err(ProofError::SizesReversed {
            old_size: 9,
            new_size: 8
        })
    );
}

#[test]
fn size_that_was_never_reached_is_missing_hashes() {
    let mut log = MemoryLog::with_size(9);
    for size in [10, 300, 70_000] {
        assert!(matches!(root(size, &mut log), Err(ProofError::Missing(_))));
    }
    // The levels above the third do not exist in memory, so here nothing is given at all.
    struct Nothing;
    impl Stored for Nothing {
        type Error = String;
        fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, String> {
            match ranges.len() {
                1 => Err("down".to_owned()),
                _ => Ok(Vec::new()),
            }
        }
    }
    let missing = inclusion_proof(u64::MAX - 1, u64::MAX, &mut Nothing);
    assert!(matches!(missing, Err(ProofError::Missing(_))));
    let missing = consistency_proof(1, u64::MAX, &mut Nothing);
    assert!(matches!(missing, Err(ProofError::Missing(_))));
    let failed = root(1, &mut Nothing);
    assert_eq!(failed, Err(ProofError::Stored("down".to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn entries_of_large_logs_are_proved(
        (size, index) in (1..=70_000_u64).prop_flat_map(|size| (Just(size), 0..size)),
        flipped in any::<(usize, usize, u8)>(),
    ) {
        let mut view = View(Vec::new());
        let expected = LARGE.root(size);
        let proof = inclusion_proof(index, size, &mut view).unwrap();
        let leaf = LARGE.leaf(index);
        prop_assert_eq!(verify_inclusion(index, size, leaf, &proof, expected), Ok(()));
        prop_assert_eq!(root(size, &mut view).unwrap(), *expected);
        prop_assert!(view.0.len() <= 2);
        for ranges in &view.0 {
            prop_assert!(ranges.len() <= 5, "{:?}", ranges);
            prop_assert!(ranges.iter().all(|range| (1..=256).contains(&range.count)));
        }
        if !proof.is_empty() {
            let mut changed = proof.clone();
            let place = flipped.0 % proof.len();
            changed[place][flipped.1 % 32] ^= 1 << (flipped.2 % 8);
            let verified = verify_inclusion(index, size, leaf, &changed, expected);
            prop_assert_eq!(verified, Err(Invalid::Root));
            let missing = inclusion_proof(index, size, &mut Incomplete(&LARGE, flipped.0));
            prop_assert!(matches!(missing, Err(ProofError::Missing(_))));
        }
    }

    #[test]
    fn large_logs_are_consistent(
        (new, old) in (1..=70_000_u64).prop_flat_map(|size| (Just(size), 0..=size)),
    ) {
        let mut view = View(Vec::new());
        let proof = consistency_proof(old, new, &mut view).unwrap();
        let (old_root, new_root) = (LARGE.root(old), LARGE.root(new));
        prop_assert_eq!(verify_consistency(old, new, &proof, old_root, new_root), Ok(()));
        prop_assert!(view.0.len() <= 1);
        for ranges in &view.0 {
            prop_assert!(ranges.len() <= 6, "{:?}", ranges);
            prop_assert!(ranges.iter().all(|range| (1..=256).contains(&range.count)));
        }
    }

    #[test]
    fn no_proof_makes_verifiers_panic(
        sizes in any::<(u64, u64)>(),
        hashes in prop::collection::vec(any::<Hash>(), 0..70),
    ) {
        let root = [7; 32];
        prop_assert!(verify_inclusion(sizes.0, sizes.1, &[1; 32], &hashes, &root).is_err());
        prop_assert!(verify_consistency(sizes.0, sizes.1, &hashes, &[1; 32], &root).is_err());
    }
}
