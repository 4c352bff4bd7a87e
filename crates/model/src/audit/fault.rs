//! What can be wrong with a chain of the audit trail. Plain values, no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most faults of one chain that are told.
pub const MAX_FAULTS: usize = 100;

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// There should be events of these numbers.
    Missing {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The event is not what its hash is of.
    Changed(i64),
    /// The event fits its hash, but what follows was made after another one.
    Replaced(i64),
    /// The event is whole, but at another's place.
    Moved {
        /// Where it is.
        number: i64,
        /// Where it was.
        was: i64,
    },
    /// These events are past the end that the chain had when the server last wrote to it, or before its beginning.
    Added {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Where the chain ends is not stored, though it has events.
    NoEnd,
    /// The event that was noted elsewhere is not there, or has another hash.
    NotAsNoted(i64),
    /// These events have no seal.
    NotSealed {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The seals of these events are under keys that the master key does not open.
    NoKey {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// These events have seals that are not theirs: they were changed, and their hashes with them.
    WrongSeal {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Seals were asked for, and there are none, or no key to check them.
    NotKeyed,
    /// Found when the chain was exported, by what did not come along.
    #[serde(skip)]
    AtSource(Box<Self>),
}

impl Fault {
    /// The fault as the server of the chain's origin found it.
    pub fn into_found(self) -> Self {
        match self {
            Self::AtSource(fault) => *fault,
            own => own,
        }
    }

    /// Whether it is one of those that another check found, which may have looked closer.
    pub fn is_among(&self, found: &[Self]) -> bool {
        found.iter().any(|other| match (self, other) {
            (Self::Changed(number), Self::Moved { number: moved, .. }) => number == moved,
            _ => self == other,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |f: &mut fmt::Formatter<'_>, from: i64, to: i64, one: &str, many: &str| {
            if from == to {
                write!(f, "event {from} {one}")
            } else {
                write!(f, "events {from} to {to} {many}")
            }
        };
        match self {
            Self::Missing { from, to } => range(f, *from, *to, "is missing", "are missing"),
            Self::Changed(number) => write!(f, "event {number} was changed"),
            Self::Replaced(number) => {
                write!(f, "event {number} was changed, and its hash with it")
            }
            Self::Moved { number, was } => {
                write!(f, "event {number} is out of order: it was event {was}")
            }
            Self::Added { from, to } => range(
                f,
                *from,
                *to,
                "was added past the chain's end",
                "were added past the chain's end",
            ),
            Self::NoEnd => f.write_str("the record of where the chain ends is missing"),
            Self::NotAsNoted(number) => {
                write!(
                    f,
                    "event {number} is not there with the hash that is expected"
                )
            }
            Self::NotSealed { from, to } => range(f, *from, *to, "has no seal", "have no seal"),
            Self::NoKey { from, to } => range(
                f,
                *from,
                *to,
                "is sealed under a key that the master key does not open",
                "are sealed under a key that the master key does not open",
            ),
            Self::WrongSeal { from, to } => range(
                f,
                *from,
                *to,
                "is not what its seal is of",
                "are not what their seals are of",
            ),
            Self::NotKeyed => f.write_str("no seals could be checked"),
            Self::AtSource(fault) => write!(f, "when it was exported, {fault}"),
        }
    }
}
