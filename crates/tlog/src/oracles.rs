//! Programs of others read our logs: the crates `signed_note` and `tlog_tiles`, ports of Go's `x/mod/sumdb`.

use proptest::prelude::*;
use signed_note::{Note as TheirNote, NoteError, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader, Tile, TileHashReader, TileReader};

use crate::checkpoint::Checkpoint;
use crate::cosignature::cosign;
use crate::edge::Edge;
use crate::hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
use crate::key::{SigningKey, VerifierKey, key_id};
use crate::subtree::{consistency_proof, inclusion_proof};
use crate::testing::MemoryLog;
use crate::tile::TilePath;

const ORIGIN: &str = "example.com/0123456789abcdef0123456789abcdef";

/// Their error for a proof that does not hold.
fn is_refused<T>(result: Result<T, tlog_tiles::Error>) -> bool {
    result.is_err()
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash)
}

fn all_theirs(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().map(theirs).collect()
}

/// A log that is served as tiles, under the paths that they ask for.
struct Served<'a> {
    log: &'a MemoryLog,
    size: u64,
}

impl TileReader for Served<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let path = tile.path();
            let path: TilePath = path.strip_prefix("tile/8/").unwrap().parse().unwrap();
            let range = path.range(self.size).expect("no tile is asked for in vain");
            self.log.range(range).concat()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn checkpoint(log: &MemoryLog, size: u64) -> Checkpoint {
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size,
        root: *log.root(size),
    }
}

fn known(key: &VerifierKey) -> VerifierList {
    let verifier = StandardVerifier::new(&key.to_string()).unwrap();
    VerifierList::new(vec![Box::new(verifier)])
}

#[test]
fn signed_note_and_tlog_tiles_read_checkpoints() {
    let log = MemoryLog::with_size(300);
    let ((old, _), (new, _), (witness, _)) = (
        SigningKey::generate(),
        SigningKey::generate(),
        SigningKey::generate(),
    );
    for size in [0, 1, 255, 256, 300] {
        let ours = checkpoint(&log, size);
        let cosigned =
            ours.sign(&[&old, &new]) + &cosign(&witness, "example.com/w", &ours.to_text(), 7);
        let note = TheirNote::from_bytes(cosigned.as_bytes()).unwrap();
        assert_eq!(note.to_bytes(), cosigned.as_bytes());
        for key in [&old, &new] {
            let (verified, others) = note.verify(&known(&key.verifier(ORIGIN))).unwrap();
            assert_eq!((verified.len(), others.len()), (1, 2));
        }
        let stranger = known(&witness.verifier(ORIGIN));
        let refused = note.verify(&stranger);
        assert!(matches!(refused, Err(NoteError::UnverifiedNote)));
        let read = tlog_tiles::Checkpoint::from_bytes(note.text());
        // Their strict reader wants the empty line of a note after the text.
        let read =
            read.or_else(|_| tlog_tiles::Checkpoint::from_bytes(&[note.text(), b"\n"].concat()));
        let read = read.unwrap();
        assert_eq!((read.origin(), read.size()), (ORIGIN, size));
        assert_eq!(*read.hash(), theirs(log.root(size)));

        let changed = cosigned.replacen(&format!("\n{size}\n"), "\n9\n", 1);
        let changed = TheirNote::from_bytes(changed.as_bytes()).unwrap();
        let refused = changed.verify(&known(&old.verifier(ORIGIN)));
        assert!(matches!(refused, Err(NoteError::InvalidSignature { .. })));
    }
}

#[test]
fn signed_note_has_the_same_keys() {
    let (key, _) = SigningKey::generate();
    let ours = key.verifier(ORIGIN);
    let encoded = [&[1], &ours.public_key[..]].concat();
    assert_eq!(
        signed_note::key_id(ORIGIN, &encoded).to_be_bytes(),
        ours.id()
    );
    assert_eq!(key_id(ORIGIN, 1, &ours.public_key), ours.id());
    assert!(StandardVerifier::new(&ours.to_string().replace("example", "Example")).is_err());
}

#[test]
fn tlog_tiles_accepts_proofs_and_refuses_changed_ones() {
    let mut log = MemoryLog::with_size(300);
    for size in (1..40).chain(250..=300) {
        let root = theirs(log.root(size));
        for index in (0..size).step_by(if size < 40 { 1 } else { 17 }) {
            let proof = inclusion_proof(index, size, &mut log).unwrap();
            let (proof, leaf) = (all_theirs(&proof), theirs(log.leaf(index)));
            tlog_tiles::check_record(&proof, size, root, index, leaf).unwrap();
            let mut changed = proof.clone();
            if let Some(hash) = changed.last_mut() {
                hash.0[31] ^= 1;
                assert!(is_refused(tlog_tiles::check_record(
                    &changed, size, root, index, leaf
                )));
            }
            let other = theirs(&leaf_hash(b"another entry"));
            assert!(is_refused(tlog_tiles::check_record(
                &proof, size, root, index, other
            )));

            // Here the index is an old size.
            let old = index + 1;
            let proof = consistency_proof(old, size, &mut log).unwrap();
            let (proof, old_root) = (all_theirs(&proof), theirs(log.root(old)));
            tlog_tiles::check_tree(&proof, size, root, old, old_root).unwrap();
            let forked = theirs(&node_hash(&old_root.0, &[0; 32]));
            assert!(is_refused(tlog_tiles::check_tree(
                &proof, size, root, old, forked
            )));
        }
    }
}

#[test]
fn tlog_tiles_makes_the_same_proofs_of_our_tiles() {
    let mut log = MemoryLog::with_size(66_100);
    for size in [1, 255, 256, 257, 512, 65_535, 65_536, 65_537, 66_100] {
        let root = *log.root(size);
        for index in [0, size / 3, size - 1] {
            let served = Served { log: &log, size };
            let reader = TileHashReader::new(size, theirs(&root), &served);
            assert_eq!(tlog_tiles::tree_hash(size, &reader).unwrap(), theirs(&root));
            let record = tlog_tiles::prove_record(size, index, &reader).unwrap();
            let tree = tlog_tiles::prove_tree(size, index + 1, &reader).unwrap();
            let ours = inclusion_proof(index, size, &mut log).unwrap();
            assert_eq!(record, all_theirs(&ours), "{index} of {size}");
            let ours = consistency_proof(index + 1, size, &mut log).unwrap();
            assert_eq!(tree, all_theirs(&ours), "{index} of {size}");
        }
    }
    // The size is a power of two, since for others tlog_tiles 0.2.0 leaves some full tiles unauthenticated: it counts from
    // the number of perfect subtrees, of which several may be in one tile.
    let size = 65_536;
    log.levels[0][300][0] ^= 1;
    let served = Served { log: &log, size };
    let reader = TileHashReader::new(size, theirs(log.root(size)), &served);
    let read = |index| reader.read_hashes(&[tlog_tiles::stored_hash_index(0, index)]);
    assert!(is_refused(read(301)));
    assert!(read(0).is_ok());
}

#[test]
fn hashes_are_those_of_tlog_tiles() {
    assert_eq!(tlog_tiles::record_hash(b"a"), theirs(&leaf_hash(b"a")));
    let (left, right) = ([1; 32], [2; 32]);
    let node = tlog_tiles::node_hash(theirs(&left), theirs(&right));
    assert_eq!(node, theirs(&node_hash(&left, &right)));
    assert_eq!(tlog_tiles::EMPTY_HASH, theirs(&EMPTY_ROOT));
    assert_eq!(Edge::empty().root(), EMPTY_ROOT);
}

proptest! {
    #[test]
    fn paths_are_those_of_tlog_tiles(level in 0..64_u8, number: u64, width in 1..=256_u32) {
        let path = Tile::new(8, level, number, width, false).path();
        let path = path.strip_prefix("tile/8/").unwrap();
        let ours: TilePath = path.parse().unwrap();
        prop_assert_eq!((ours.number, ours.width), (number, width));
        prop_assert_eq!(ours.to_string(), path);
    }

    #[test]
    fn notes_that_we_read_are_read_by_signed_note(
        text in "[a\n]{0,6}|.{0,20}",
        line in "(— [a+ ]{1,2} [AB=]{4,8}\n|.\n){0,3}",
    ) {
        let note = format!("{text}\n\n{line}");
        let ours = crate::note::Note::parse(&note);
        let theirs = TheirNote::from_bytes(note.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", ours);
    }
}
