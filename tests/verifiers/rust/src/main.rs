//! Verifies cases with the crates `signed_note` and `tlog_tiles`, and prints a line for each.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use signed_note::{Note, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::{Checkpoint, Hash, HashReader, Tile, check_record, check_tree, record_hash};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Verifies a checkpoint's signature and returns the checkpoint.
fn open(checkpoint: &str, key: &str) -> Result<Checkpoint> {
    let verifier = StandardVerifier::new(key)?;
    let name = verifier.name().to_owned();
    let note = Note::from_bytes(checkpoint.as_bytes())?;
    note.verify(&VerifierList::new(vec![Box::new(verifier)]))?;
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|_| "malformed checkpoint")?;
    if checkpoint.origin() != name || !checkpoint.extension().is_empty() {
        return Err("not a checkpoint of this log".into());
    }
    Ok(checkpoint)
}

/// Verifies that an entry is in the log that signed the proof's checkpoint.
fn verify_proof(proof: &str, entry: &[u8], key: &str) -> Result<()> {
    let (head, checkpoint) = proof.split_once("\n\n").ok_or("no checkpoint")?;
    let checkpoint = open(checkpoint, key)?;
    let mut lines = head.split('\n').peekable();
    if lines.next() != Some("c2sp.org/tlog-proof@v1") {
        return Err("not a proof".into());
    }
    lines.next_if(|line| line.starts_with("extra "));
    let index = lines.next().and_then(|line| line.strip_prefix("index "));
    let index: u64 = index.ok_or("no index")?.parse()?;
    let hashes = lines.map(Hash::parse_hash).collect::<Result<Vec<_>, _>>()?;
    let leaf = record_hash(entry);
    check_record(&hashes, checkpoint.size(), *checkpoint.hash(), index, leaf)?;
    Ok(())
}

fn verify_consistency(earlier: &str, later: &str, proof: &str, key: &str) -> Result<()> {
    let (earlier, later) = (open(earlier, key)?, open(later, key)?);
    let hashes = proof
        .lines()
        .map(Hash::parse_hash)
        .collect::<Result<Vec<_>, _>>()?;
    check_tree(
        &hashes,
        later.size(),
        *later.hash(),
        earlier.size(),
        *earlier.hash(),
    )?;
    Ok(())
}

/// The hashes of a tree, in the order in which they become known.
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> std::result::Result<Vec<Hash>, tlog_tiles::Error> {
        let index = |index: &u64| usize::try_from(*index).expect("trees here are small");
        Ok(indexes.iter().map(|at| self.0[index(at)]).collect())
    }
}

/// Makes the whole tree of the served entries: its root must be the signed one, and its tiles the served ones.
fn verify_tiles(folder: &Path, checkpoint: &str, key: &str) -> Result<()> {
    let checkpoint = open(checkpoint, key)?;
    let read = |tile: &Tile| {
        let path = tile.path().replace("tile/8/", "tile/");
        fs::read(folder.join(path.replace("tile/data/", "tile/entries/")))
    };
    let tiles = Tile::new_tiles(8, 0, checkpoint.size());
    let mut stored = Stored(Vec::new());
    let mut count = 0;
    for tile in tiles.iter().filter(|tile| tile.level() == 0) {
        let entries = read(&Tile::new(8, 0, tile.level_index(), tile.width(), true))?;
        let mut rest = &entries[..];
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = u16::from_be_bytes(*length).into();
            let (entry, after) = after.split_at_checked(length).ok_or("malformed entries")?;
            let hashes = tlog_tiles::stored_hashes(count, entry, &stored)?;
            stored.0.extend(hashes);
            count += 1;
            rest = after;
        }
        if !rest.is_empty() {
            return Err("malformed entries".into());
        }
    }
    if count != checkpoint.size() || tlog_tiles::tree_hash(count, &stored)? != *checkpoint.hash() {
        return Err("another root".into());
    }
    for tile in &tiles {
        if read(tile)? != tile.read_data(&stored)? {
            return Err(format!("{} is another tile", tile.path()).into());
        }
    }
    Ok(())
}

fn verify(kind: &str, folder: &Path) -> Result<()> {
    let bytes = |name| fs::read(folder.join(name)).expect("each case has its files");
    let text = |name| String::from_utf8(bytes(name));
    let key = text("key")?;
    match kind {
        "proof" => verify_proof(&text("proof.tlog-proof")?, &bytes("entry"), &key),
        "consistency" => {
            verify_consistency(&text("earlier")?, &text("later")?, &text("hashes")?, &key)
        }
        _ => verify_tiles(folder, &text("checkpoint")?, &key),
    }
}

fn main() {
    let cases = PathBuf::from(std::env::args_os().nth(1).expect("a folder of cases"));
    for kind in ["proof", "consistency", "tiles"] {
        for case in fs::read_dir(cases.join(kind)).expect("cases of each kind") {
            let folder = case.expect("a case").path();
            let name = folder.file_name().unwrap_or_default().display();
            match verify(kind, &folder) {
                Ok(()) => println!("{kind}/{name} accepted"),
                Err(error) => println!("{kind}/{name} refused {error}"),
            }
        }
    }
}
