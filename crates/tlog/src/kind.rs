//! The kinds of entries in Sigpersist's logs.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A version was saved.
    Version,
    /// A thread was deleted.
    Deleted,
    /// A version was verified.
    Verdict,
    /// A save was rejected by a hook or the policy.
    Refused,
    /// A setting of the tenant was changed.
    Change,
    /// A version came with an import.
    Imported,
    /// A version is older than the log.
    Backfilled,
    /// The log continues another one, which was closed.
    Continues,
    /// The head of the tenant's audit trail.
    Audit,
    /// A tenant's checkpoint, in the platform's log.
    Head,
    /// A hold was placed.
    Hold,
    /// A hold was lifted.
    Unhold,
    /// A thread's retention was extended.
    Retention,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Version,
        Self::Deleted,
        Self::Verdict,
        Self::Refused,
        Self::Change,
        Self::Imported,
        Self::Backfilled,
        Self::Continues,
        Self::Audit,
        Self::Head,
        Self::Hold,
        Self::Unhold,
        Self::Retention,
    ];

    /// The word in an entry's text. It is hashed, so it never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Deleted => "deleted",
            Self::Verdict => "verdict",
            Self::Refused => "refused",
            Self::Change => "change",
            Self::Imported => "imported",
            Self::Backfilled => "backfilled",
            Self::Continues => "continues",
            Self::Audit => "audit",
            Self::Head => "head",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Retention => "retention",
        }
    }

    /// The ASCII letter in the database.
    pub fn code(self) -> u8 {
        match self {
            Self::Version => b'v',
            Self::Deleted => b'd',
            Self::Verdict => b'j',
            Self::Refused => b'r',
            Self::Change => b'c',
            Self::Imported => b'i',
            Self::Backfilled => b'b',
            Self::Continues => b'n',
            Self::Audit => b'a',
            Self::Head => b'h',
            Self::Hold => b'o',
            Self::Unhold => b'u',
            Self::Retention => b't',
        }
    }

    /// Whether the object of the entry is a version's signature; otherwise it is an event.
    pub fn is_of_version(self) -> bool {
        matches!(self, Self::Version | Self::Imported | Self::Backfilled)
    }

    /// Reads the letter in the database.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == word);
        found.ok_or(Invalid::malformed("entry")("its kind is unknown"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_and_letters_tell_kinds_apart() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(Kind::from_code(kind.code()), Some(kind));
        }
        let letters: BTreeSet<_> = Kind::ALL.map(Kind::code).into();
        assert_eq!(letters.len(), Kind::ALL.len());
        let letters = Kind::ALL.map(Kind::code);
        assert_eq!(letters, *b"vdjrcibnahout");
        assert!("Version".parse::<Kind>().is_err());
        assert_eq!(Kind::from_code(b'x'), None);
    }
}
