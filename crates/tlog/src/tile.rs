//! Tiles (c2sp.org/tlog-tiles): the parts in which a log is served, and their paths.
//!
//! A tile is 256 stored hashes of one level, and an entry bundle 256 entries; the last of each level may be partial.
//! Each part of a log of some size never changes, so that it can be cached for ever. The checkpoint is not a tile.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::subtree::StoredRange;

/// The hashes or entries in a full tile.
pub const FULL: u32 = 256;

/// The highest level in a path. No log has tiles above the level 7.
const MAX_LEVEL: u8 = 63;

/// The length in bytes of the longest path.
const MAX_PATH_BYTES: usize = 48;

/// The content of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileContent {
    /// The stored hashes of a level.
    Hashes {
        /// The level: 0 for leaves.
        level: u8,
    },
    /// The entries themselves.
    Entries,
}

/// The path of a tile below `tile/`: `<level>/<number>[.p/<width>]` or `entries/<number>[.p/<width>]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// The content.
    pub content: TileContent,
    /// The tile's number within its level, from 0.
    pub number: u64,
    /// The hashes or entries in it: 256, or fewer in a partial one, but never none.
    pub width: u32,
}

impl TilePath {
    /// The stored hashes in the tile, or the numbers of its entries (as level 0); none if a log of this size does not
    /// have all of them.
    pub fn range(&self, size: u64) -> Option<StoredRange> {
        let level = match self.content {
            TileContent::Hashes { level } => level,
            TileContent::Entries => 0,
        };
        let available = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let first = self.number.checked_mul(u64::from(FULL))?;
        let end = first.checked_add(u64::from(self.width))?;
        (end <= available).then_some(StoredRange {
            level,
            first,
            count: self.width,
        })
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            TileContent::Hashes { level } => write!(f, "{level}/")?,
            TileContent::Entries => f.write_str("entries/")?,
        }
        let mut rest = self.number / 1000;
        let mut leading = Vec::new();
        while rest > 0 {
            leading.push(rest % 1000);
            rest /= 1000;
        }
        for group in leading.iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", self.number % 1000)?;
        match self.width {
            FULL => Ok(()),
            width => write!(f, ".p/{width}"),
        }
    }
}

impl FromStr for TilePath {
    type Err = Invalid;

    fn from_str(path: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("path of the tile");
        if path.len() > MAX_PATH_BYTES {
            return Err(malformed("it is too long"));
        }
        let read = read(path).ok_or(malformed("it is not `<level>/<number>[.p/<width>]`"))?;
        // Anything read too generously is written differently.
        if read.to_string() != path {
            return Err(malformed("it is not the only spelling"));
        }
        Ok(read)
    }
}

/// Reads a path, and also some that are spelt otherwise.
fn read(path: &str) -> Option<TilePath> {
    let (content, rest) = path.split_once('/')?;
    let content = match content {
        "entries" => TileContent::Entries,
        level => TileContent::Hashes {
            level: level.parse().ok().filter(|level| *level <= MAX_LEVEL)?,
        },
    };
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => {
            let width = width.parse().ok();
            (groups, width.filter(|width| (1..FULL).contains(width))?)
        }
        None => (rest, FULL),
    };
    let mut number = 0_u64;
    for group in groups.split('/') {
        let group: u64 = group.trim_start_matches('x').parse().ok()?;
        number = number.checked_mul(1000)?.checked_add(group)?;
    }
    Some(TilePath {
        content,
        number,
        width,
    })
}

/// Writes an entry bundle: each entry with its length before it.
///
/// # Errors
///
/// [`Invalid::EntryTooLong`].
pub fn entry_bundle(entries: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, Invalid> {
    let mut bundle = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length =
            u16::try_from(entry.len()).map_err(|_| Invalid::EntryTooLong { bytes: entry.len() })?;
        bundle.extend(length.to_be_bytes());
        bundle.extend(entry);
    }
    Ok(bundle)
}

/// Reads an entry bundle.
///
/// # Errors
///
/// [`Invalid::Malformed`].
pub fn read_entry_bundle(mut bundle: &[u8]) -> Result<Vec<&[u8]>, Invalid> {
    let malformed = Invalid::malformed("entry bundle");
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let read = bundle.split_first_chunk().and_then(|(length, rest)| {
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let (entry, rest) = read.ok_or(malformed("it ends within an entry"))?;
        if entries.len() == 256 {
            return Err(malformed("it has more than 256 entries"));
        }
        entries.push(entry);
        bundle = rest;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(level: u8, number: u64, width: u32) -> TilePath {
        TilePath {
            content: TileContent::Hashes { level },
            number,
            width,
        }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        for (path, tile) in [
            ("0/x001/x234/067", hashes(0, 1_234_067, 256)),
            ("1/000", hashes(1, 0, 256)),
            ("63/999.p/1", hashes(63, 999, 1)),
            ("2/x001/000.p/255", hashes(2, 1000, 255)),
            (
                "0/x018/x446/x744/x073/x709/x551/615.p/255",
                hashes(0, u64::MAX, 255),
            ),
        ] {
            assert_eq!(path.parse(), Ok(tile));
            assert_eq!(tile.to_string(), path);
        }
        let bundle = TilePath {
            content: TileContent::Entries,
            number: 273,
            width: 112,
        };
        assert_eq!("entries/273.p/112".parse(), Ok(bundle));
    }

    #[test]
    fn other_spellings_are_refused() {
        for path in [
            "",
            "0",
            "0/",
            "/000",
            "0/0",
            "0/00",
            "0/0000",
            "0/x000/000",
            "0/001/000",
            "0/x001/x000",
            "00/000",
            "+0/000",
            "64/000",
            "-1/000",
            "0/+00",
            "0/000/",
            "0/000.p",
            "0/000.p/",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/1/",
            "0/000.p/+1",
            "entries",
            "entries/1",
            "Entries/001",
            "data/001",
            "0//000",
            "0/xx01/000",
            "0/1000",
            " 0/000",
            "0/x018/x446/x744/x073/x709/x551/616",
        ] {
            assert!(path.parse::<TilePath>().is_err(), "{path}");
        }
    }

    #[test]
    fn log_of_70000_has_the_tiles_of_the_specification() {
        let has = |tile: TilePath| tile.range(70_000).is_some();
        assert!(has(hashes(0, 272, 256)) && has(hashes(0, 273, 112)) && !has(hashes(0, 273, 113)));
        assert!(has(hashes(1, 0, 256)) && has(hashes(1, 1, 17)) && !has(hashes(1, 1, 18)));
        assert!(has(hashes(2, 0, 1)) && !has(hashes(2, 0, 2)) && !has(hashes(3, 0, 1)));
        assert!(!has(hashes(0, u64::MAX, 1)) && !has(hashes(63, 0, 1)));
        assert_eq!(
            hashes(1, 1, 17).range(70_000),
            Some(StoredRange {
                level: 1,
                first: 256,
                count: 17
            })
        );
        assert!(hashes(0, 0, 256).range(256).is_some() && hashes(1, 0, 1).range(256).is_some());
        assert!(hashes(1, 0, 1).range(255).is_none());
    }

    #[test]
    fn entries_of_a_bundle_are_read_again() {
        let entries = [&b"a"[..], b"", &[7; 65_535]];
        let bundle = entry_bundle(&entries).unwrap();
        assert_eq!(bundle[..5], [0, 1, b'a', 0, 0]);
        assert_eq!(read_entry_bundle(&bundle).unwrap(), entries);
        assert!(read_entry_bundle(&bundle[..bundle.len() - 1]).is_err());
        assert!(read_entry_bundle(&[0]).is_err());
        assert_eq!(
            entry_bundle(&[[0; 65_536]]),
            Err(Invalid::EntryTooLong { bytes: 65_536 })
        );
        assert!(read_entry_bundle(&entry_bundle(&[""; 256]).unwrap()).is_ok());
        assert!(read_entry_bundle(&entry_bundle(&[""; 257]).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn path_that_is_read_is_written_alike(
            path in "(entries|[0-9]{1,2})/(x[0-9]{3}/){0,7}[x0-9]{3}(\\.p/[0-9]{1,3})?|.{0,9}",
        ) {
            if let Ok(tile) = path.parse::<TilePath>() {
                prop_assert_eq!(tile.to_string(), path);
                tile.range(70_000);
            }
        }

        #[test]
        fn every_tile_is_read_again(level in 0..64_u8, number: u64, width in 1..=256_u32) {
            let tile = hashes(level, number, width);
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }

        #[test]
        fn bundle_that_is_read_is_written_alike(bundle: Vec<u8>) {
            if let Ok(entries) = read_entry_bundle(&bundle) {
                prop_assert_eq!(entry_bundle(&entries).unwrap(), bundle);
            }
        }
    }
}
