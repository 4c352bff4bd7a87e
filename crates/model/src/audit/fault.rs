//! Faults of a chain of the audit trail. Plain values, no I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most faults that are reported for one chain.
pub const MAX_FAULTS: usize = 100;

/// A fault of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Events with these numbers are missing.
    Missing {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The event does not match its hash.
    Changed(i64),
    /// The event matches its hash, but the events after it were made after a different one.
    Replaced(i64),
    /// The event is intact, but out of order.
    Moved {
        /// The number that it has.
        number: i64,
        /// The number that it had.
        was: i64,
    },
    /// These events come after the end that the chain had when the server last wrote to it, or before its beginning.
    Added {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The chain has events, but the record of its end is missing.
    NoEnd,
    /// The event that was noted elsewhere is missing or has another hash.
    NotAsNoted(i64),
    /// These events have no seal.
    NotSealed {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The keys of these events' seals do not open under the master key.
    NoKey {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The seals of these events do not match them: the events were changed, and their hashes with them.
    WrongSeal {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Seals were required, but there are none, or there is no key to check them.
    NotKeyed,
    /// A fault that the exporting server found and this server can't, for example because seals are not exported.
    #[serde(skip)]
    AtSource(Box<Self>),
}

impl Fault {
    /// The fault as the exporting server found it: without [`Self::AtSource`] around it.
    pub fn into_found(self) -> Self {
        match self {
            Self::AtSource(fault) => *fault,
            own => own,
        }
    }

    /// Whether another check found this fault, or a more exact form of it.
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
                write!(f, "event {number} and its hash were changed")
            }
            Self::Moved { number, was } => {
                write!(f, "event {number} is out of order: it was event {was}")
            }
            Self::Added { from, to } => range(
                f,
                *from,
                *to,
                "was added after the chain's end",
                "were added after the chain's end",
            ),
            Self::NoEnd => f.write_str("the record of the chain's end is missing"),
            Self::NotAsNoted(number) => {
                write!(
                    f,
                    "event {number} is missing or does not have the expected hash"
                )
            }
            Self::NotSealed { from, to } => range(f, *from, *to, "has no seal", "have no seal"),
            Self::NoKey { from, to } => range(
                f,
                *from,
                *to,
                "is sealed with a key that the master key can't decrypt",
                "are sealed with a key that the master key can't decrypt",
            ),
            Self::WrongSeal { from, to } => range(
                f,
                *from,
                *to,
                "does not match its seal",
                "do not match their seals",
            ),
            Self::NotKeyed => f.write_str("no seals could be checked"),
            Self::AtSource(fault) => write!(f, "when it was exported, {fault}"),
        }
    }
}
