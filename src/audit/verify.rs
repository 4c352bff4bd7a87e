//! Whether the audit trail is whole: each chain walked from its first event to its end, all hashes worked out anew.

use std::fmt;

use super::model::{Head, Recorded, Whose};
use super::seal::{Ranges, SealKeys, Seals, StoredSeal};
use crate::app::App;
use crate::context::{PLATFORM, TenantId};
use crate::error::Result;
use crate::store::StoredChain;

/// Most faults of one chain that are told.
pub const MAX_FAULTS: usize = 100;
/// How far from its place an event is looked for before it is said to be changed: each place costs a hash.
const REACH: i64 = 100_000;
/// Events that are held in memory at once.
const BATCH: i64 = 1_000;

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        match *self {
            Self::Missing { from, to } => range(f, from, to, "is missing", "are missing"),
            Self::Changed(number) => write!(f, "event {number} was changed"),
            Self::Replaced(number) => {
                write!(f, "event {number} was changed, and its hash with it")
            }
            Self::Moved { number, was } => {
                write!(f, "event {number} is out of order: it was event {was}")
            }
            Self::Added { from, to } => range(
                f,
                from,
                to,
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
            Self::NotSealed { from, to } => range(f, from, to, "has no seal", "have no seal"),
            Self::NoKey { from, to } => range(
                f,
                from,
                to,
                "is sealed under a key that the master key does not open",
                "are sealed under a key that the master key does not open",
            ),
            Self::WrongSeal { from, to } => range(
                f,
                from,
                to,
                "is not what its seal is of",
                "are not what their seals are of",
            ),
            Self::NotKeyed => f.write_str("no seals could be checked"),
        }
    }
}

/// What seals say of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// There is no master key here to check them.
    NotChecked,
    /// There are none, since no server with a master key has written here.
    None,
    /// They were checked.
    Checked {
        /// Events whose seal holds.
        events: u64,
        /// The first of them; it and those after it vouch for all before them.
        since: Option<i64>,
    },
}

/// What was found out about a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The tenant, which may be gone by now, or the platform.
    pub chain: TenantId,
    /// The tenant's slug; none for the platform.
    pub tenant: Option<String>,
    /// How many events there are.
    pub events: u64,
    /// The last of them.
    pub head: Head,
    /// What their seals say; hashes are always checked.
    pub keyed: Keyed,
    /// What is wrong, the first [`MAX_FAULTS`] of it; nothing where the chain is whole.
    pub faults: Vec<Fault>,
}

/// Verifies chains as they are at this moment. `expected` is an event as it was noted before, which one of them must have;
/// `progress` is told how many events of how many were looked at. Blocks.
///
/// # Errors
///
/// Those of the store: then nothing is known.
pub fn verify(
    app: &App,
    whose: &Whose,
    expected: Option<&Head>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Verified>> {
    app.store.snapshot(PLATFORM, |snapshot| {
        let stored = snapshot.seal_keys()?;
        // Where no server has ever made a key, nothing need be sealed.
        let is_keyed = !stored.is_empty() || snapshot.audit_has_seals()?;
        let keys = app.vault.as_deref().map(|vault| {
            let keys = stored.iter();
            keys.map(|stored| (stored.number, stored.open(vault).ok()))
                .collect::<SealKeys>()
        });
        let mut chains = snapshot.audit_chains()?;
        chains.retain(|chain| match whose {
            Whose::Everybodys => true,
            Whose::Platforms => chain.chain == PLATFORM,
            Whose::Tenants(tenancy) => chain.chain == tenancy.id,
            Whose::Named(slug) => chain.tenant.as_ref() == Some(slug),
        });
        let heads = chains.iter().filter_map(|chain| chain.head.as_ref());
        let all = heads
            .map(|head| u64::try_from(head.number).unwrap_or_default())
            .sum();
        let mut seen = 0;
        let mut verified = Vec::new();
        let mut as_noted = expected.is_none_or(|head| *head == Head::empty());
        for stored in chains {
            let mut walk = Walk::new();
            loop {
                let events = snapshot.audit_events(stored.chain, walk.after, BATCH)?;
                let seals = match (&keys, events.first(), events.last()) {
                    (Some(_), Some(first), Some(last)) => {
                        snapshot.audit_seals(stored.chain, first.number, last.number)?
                    }
                    _ => Vec::new(),
                };
                for event in &events {
                    as_noted |= expected
                        .is_some_and(|head| head.number == event.number && head.hash == event.hash);
                    walk.step(event);
                    if let Some(keys) = keys.as_ref().filter(|_| is_keyed) {
                        walk.seals.step(keys, event, of(&seals, event.number));
                    }
                }
                seen += events.len() as u64;
                progress(seen, all);
                if events.len() < usize::try_from(BATCH).unwrap_or_default() {
                    break;
                }
            }
            walk.end_seals();
            let keyed = match keys {
                None => Keyed::NotChecked,
                Some(_) if !is_keyed => Keyed::None,
                Some(_) => Keyed::Checked {
                    events: walk.seals.events,
                    since: walk.seals.since,
                },
            };
            verified.push(walk.end(stored, keyed));
        }
        if let Some(expected) = expected.filter(|_| !as_noted)
            && let Some(newest) = verified.last_mut()
        {
            newest.faults.push(Fault::NotAsNoted(expected.number));
        }
        Ok(verified)
    })
}

/// The seals of an event, among those that are in order.
fn of(seals: &[StoredSeal], number: i64) -> &[StoredSeal] {
    let from = seals.partition_point(|seal| seal.number < number);
    let to = seals.partition_point(|seal| seal.number <= number);
    seals.get(from..to).unwrap_or_default()
}

/// A chain on the way from its first event to its last.
struct Walk {
    after: i64,
    last: Head,
    /// Whether what stands before the next event is known to be wrong: then it can't be asked to fit.
    torn: bool,
    events: u64,
    seals: Seals,
    faults: Vec<Fault>,
}

impl Walk {
    fn new() -> Self {
        Self {
            after: i64::MIN,
            last: Head::empty(),
            torn: false,
            events: 0,
            seals: Seals::default(),
            faults: Vec::new(),
        }
    }

    fn found(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    fn step(&mut self, event: &Recorded) {
        let number = event.number;
        self.after = number;
        self.events += 1;
        let expected = self.last.number + 1;
        if number < expected {
            self.found(Fault::Added {
                from: number,
                to: number,
            });
            return;
        }
        if number > expected {
            self.found(Fault::Missing {
                from: expected,
                to: number - 1,
            });
            self.torn = true;
        }
        let whole = event.hash_at(number)[..] == event.hash;
        if !whole {
            let fault = match self.place_of(event) {
                Some(was) => Fault::Moved { number, was },
                None => Fault::Changed(number),
            };
            self.found(fault);
        } else if !self.torn && event.previous != self.last.hash {
            // Before the first event there is none that could have been replaced.
            self.found(Fault::Replaced((number - 1).max(1)));
        }
        self.torn = !whole;
        self.last = Head {
            number,
            hash: event.hash.clone(),
        };
    }

    /// Where an event was that is not at its place, if it is whole there.
    fn place_of(&self, event: &Recorded) -> Option<i64> {
        if self.faults.len() >= MAX_FAULTS {
            return None;
        }
        let (from, to) = (event.number - REACH, event.number + REACH);
        (from.max(1)..=to).find(|was| event.hash_at(*was)[..] == event.hash)
    }

    /// Says what is wrong with events by their seals.
    fn end_seals(&mut self) {
        type Faulty = fn(i64, i64) -> Fault;
        let seals = std::mem::take(&mut self.seals);
        let found: [(&Ranges, Faulty); 3] = [
            (&seals.wrong, |from, to| Fault::WrongSeal { from, to }),
            (&seals.missing, |from, to| Fault::NotSealed { from, to }),
            (&seals.unopened, |from, to| Fault::NoKey { from, to }),
        ];
        for (ranges, fault) in found {
            for (from, to) in &ranges.0 {
                self.found(fault(*from, *to));
            }
        }
        self.seals = seals;
    }

    fn end(mut self, stored: StoredChain, keyed: Keyed) -> Verified {
        let last = self.last.number;
        match stored.head {
            None if self.events > 0 => self.found(Fault::NoEnd),
            None => {}
            Some(head) if head.number > last => self.found(Fault::Missing {
                from: last + 1,
                to: head.number,
            }),
            Some(head) if head.number < last => self.found(Fault::Added {
                from: head.number + 1,
                to: last,
            }),
            Some(head) if head.hash != self.last.hash && !self.torn => {
                self.found(Fault::Replaced(last));
            }
            Some(_) => {}
        }
        Verified {
            chain: stored.chain,
            tenant: stored.tenant,
            events: self.events,
            head: self.last,
            keyed,
            faults: self.faults,
        }
    }
}
