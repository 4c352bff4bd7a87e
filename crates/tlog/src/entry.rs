//! The entries of Sigpersist's logs: a short text without any name.
//!
//! An entry says what kind of event happened when, and holds a *seal*: a hash over the object's hash and its metadata's
//! [blind](crate::metadata). So a log may be shown to anybody, and whoever has the object and its metadata can show that
//! the entry is theirs. The seal is a pair of leaves of an RFC 4998 hash tree, too, so time stamps cover it.
//!
//! The texts are hashed into logs, so they never change; a new spelling gets a new first line.

use crate::hash::{Hash, leaf_hash, sha256_of};
use crate::invalid::Invalid;
use crate::kind::Kind;
use crate::text::{base64, hash_from_base64};

/// The first line.
const MAGIC: &str = "sigpersist.dev/entry/v1";

/// The most references of an entry. With more, entry bundles, whose lengths have 16 bits, would not hold every entry.
pub const MAX_REFS: usize = 3000;

/// Seals an object by its hash and its metadata's blind: SHA-256 over both, the smaller one first (RFC 4998 section 4.2).
pub fn seal(object_sha256: &Hash, blind: &Hash) -> Hash {
    sha256_of(&[object_sha256.min(blind), object_sha256.max(blind)])
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of event.
    pub kind: Kind,
    /// The time of the event, in microseconds since 1970.
    pub at_micros: i64,
    /// The seal.
    pub seal: Hash,
    /// The numbers of the entries that it is about, at most [`MAX_REFS`]. For [`Kind::Deleted`], the deleted versions.
    pub refs: Vec<u64>,
}

impl Entry {
    /// The text that is logged.
    pub fn to_text(&self) -> String {
        let Self {
            kind,
            at_micros,
            seal,
            refs,
        } = self;
        let mut text = format!("{MAGIC}\n{kind}\n{at_micros}\n{}\n", base64(seal));
        if !refs.is_empty() {
            text += "refs";
            for number in refs {
                text.push(' ');
                text += &number.to_string();
            }
            text.push('\n');
        }
        text
    }

    /// Reads an entry's text.
    ///
    /// # Errors
    ///
    /// [`Invalid::Malformed`].
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("entry");
        let text = std::str::from_utf8(text.as_ref()).map_err(|_| malformed("it is not a text"))?;
        let body = text
            .strip_suffix('\n')
            .ok_or(malformed("it does not end with a line break"))?;
        let mut lines = body.split('\n');
        if lines.next() != Some(MAGIC) {
            return Err(malformed("the first line is not `sigpersist.dev/entry/v1`"));
        }
        let (Some(kind), Some(at_micros), Some(seal)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("it has fewer than four lines"));
        };
        let refs = match lines.next() {
            Some(line) => read_refs(line).ok_or(malformed("the references are not numbers"))?,
            None => Vec::new(),
        };
        if refs.len() > MAX_REFS {
            return Err(malformed("it has more than 3000 references"));
        }
        let entry = Self {
            kind: kind.parse()?,
            at_micros: at_micros
                .parse()
                .map_err(|_| malformed("the time is not a number"))?,
            seal: hash_from_base64(seal)
                .ok_or(malformed("the seal is not a SHA-256 hash in base64"))?,
            refs,
        };
        // Refuses other spellings of numbers, and lines after the last one.
        if entry.to_text() != text {
            return Err(malformed("it is not the only spelling"));
        }
        Ok(entry)
    }

    /// The hash of the entry in the log.
    pub fn leaf(&self) -> Hash {
        leaf_hash(self.to_text().as_bytes())
    }
}

/// Reads the line of references.
fn read_refs(line: &str) -> Option<Vec<u64>> {
    let numbers = line.strip_prefix("refs ")?;
    numbers
        .split(' ')
        .map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::sha256;
    use crate::tile::entry_bundle;

    fn entry() -> Entry {
        Entry {
            kind: Kind::Deleted,
            at_micros: 1_700_000_000_000_000,
            seal: [0; 32],
            refs: vec![7, 12],
        }
    }

    #[test]
    fn text_never_changes() {
        let text = "sigpersist.dev/entry/v1\ndeleted\n1700000000000000\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nrefs 7 12\n";
        assert_eq!(entry().to_text(), text);
        assert_eq!(Entry::parse(text), Ok(entry()));
        assert_eq!(entry().leaf(), sha256(format!("\0{text}").as_bytes()));
        let alone = Entry {
            kind: Kind::Version,
            at_micros: -1,
            refs: vec![],
            ..entry()
        };
        let text =
            "sigpersist.dev/entry/v1\nversion\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        assert_eq!(alone.to_text(), text);
        assert_eq!(Entry::parse(text), Ok(alone));
    }

    #[test]
    fn other_spellings_are_refused() {
        let text = entry().to_text();
        for (from, to) in [
            ("entry/v1", "entry/v2"),
            ("deleted", "Deleted"),
            ("deleted", "erased"),
            ("\n17", "\n+17"),
            ("\n17", "\n017"),
            ("AAA=", "AAB="),
            ("AAA=", "AAA"),
            ("refs 7", "refs 07"),
            ("refs 7", "refs  7"),
            ("refs 7", "refs +7"),
            ("refs 7 12", "refs"),
            ("refs 7 12", "refs "),
            ("refs 7 12", ""),
            (" 12\n", " 12"),
            (" 12\n", " 12 \n"),
            (" 12\n", " 12\n\n"),
            (" 12\n", " 12\nrefs 1\n"),
            ("\n", "\r\n"),
        ] {
            let changed = text.replace(from, to);
            assert!(Entry::parse(&changed).is_err(), "{changed}");
        }
        assert!(Entry::parse(b"\xff\n").is_err());
    }

    #[test]
    fn longest_entry_fits_into_a_bundle() {
        let longest = Entry {
            at_micros: i64::MIN,
            refs: vec![u64::MAX; MAX_REFS],
            ..entry()
        };
        assert_eq!(Entry::parse(longest.to_text()), Ok(longest.clone()));
        assert!(entry_bundle(&[longest.to_text()]).is_ok());
        let refs = vec![0; MAX_REFS + 1];
        let longer = Entry { refs, ..longest };
        assert!(Entry::parse(longer.to_text()).is_err());
    }

    #[test]
    fn seal_does_not_depend_on_the_order() {
        let (low, high) = ([1; 32], [2; 32]);
        let expected = sha256(&[low, high].concat());
        assert_eq!(seal(&low, &high), expected);
        assert_eq!(seal(&high, &low), expected);
        assert_ne!(seal(&low, &low), expected);
    }

    proptest! {
        #[test]
        fn every_entry_is_read_again(
            kind in 0..Kind::ALL.len(),
            at_micros: i64,
            seal: Hash,
            refs: Vec<u64>,
        ) {
            let entry = Entry { kind: Kind::ALL[kind], at_micros, seal, refs };
            prop_assert_eq!(Entry::parse(entry.to_text()), Ok(entry));
        }

        #[test]
        fn entry_that_is_read_is_written_alike(
            rest in "(head|hold)\n[-+]?[0-9]{0,3}\n[A-Z]{42}[AEI]=\n(refs( [0-9]{0,2}){0,3}\n)?\n?",
        ) {
            let text = format!("{MAGIC}\n{rest}");
            if let Ok(entry) = Entry::parse(&text) {
                prop_assert_eq!(entry.to_text(), text);
            }
        }
    }
}
