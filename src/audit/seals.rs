//! Seals of a chain as it is walked: how many events hold, and which do not.

use std::collections::BTreeMap;

use sigpersist_model::audit::Recorded;
use sigpersist_runtime::seal::{SealKey, Sealed, StoredSeal};

/// The stored keys by number; a key is none if the master key at hand does not open it.
pub(super) type SealKeys = BTreeMap<i32, Option<SealKey>>;

/// The results of checking the seals of a chain's events, in order.
#[derive(Debug, Default)]
pub(super) struct Seals {
    /// The number of events whose seal is valid.
    pub(super) events: u64,
    /// The number of the first event whose seal is valid.
    pub(super) since: Option<i64>,
    /// Events without a seal.
    pub(super) missing: Ranges,
    /// Events whose seals are under keys that are missing, or that the master key does not open.
    pub(super) unopened: Ranges,
    /// Events whose seal does not match them.
    pub(super) wrong: Ranges,
}

impl Seals {
    /// Checks all seals of the next event.
    pub(super) fn step(&mut self, keys: &SealKeys, event: &Recorded, seals: &[StoredSeal]) {
        let number = event.number;
        let (mut holds, mut is_wrong) = (false, false);
        for stored in seals {
            let Some(Some(key)) = keys.get(&stored.key) else {
                continue;
            };
            let sealed = Sealed {
                chain: event.chain,
                number,
                hash: &event.hash,
                baseline: stored.baseline,
            };
            if !key.verifies(&sealed, &stored.seal) {
                is_wrong = true;
                continue;
            }
            holds = true;
            if stored.baseline {
                self.missing = Ranges::default();
                self.unopened = Ranges::default();
            }
        }
        if is_wrong {
            self.wrong.add(number);
        } else if holds {
            self.events += 1;
            self.since.get_or_insert(number);
        } else if seals.is_empty() {
            self.missing.add(number);
        } else {
            self.unopened.add(number);
        }
    }
}

/// Ranges of numbers, with both ends included.
#[derive(Debug, Default)]
pub(super) struct Ranges(pub(super) Vec<(i64, i64)>);

impl Ranges {
    /// Adds a number that is larger than all others.
    fn add(&mut self, number: i64) {
        match self.0.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => self.0.push((number, number)),
        }
    }
}
