//! Seals of a chain as it is walked: how many events hold, and which do not.

use std::collections::BTreeMap;

use sigpersist_model::audit::Recorded;
use sigpersist_runtime::seal::{SealKey, Sealed, StoredSeal};

/// The keys that are stored, by their numbers; none where the master key at hand does not open it.
pub(super) type SealKeys = BTreeMap<i32, Option<SealKey>>;

/// Events of a chain by their seals, on the way from the first to the last.
#[derive(Debug, Default)]
pub(super) struct Seals {
    /// Events whose seal holds.
    pub(super) events: u64,
    /// The first of them.
    pub(super) since: Option<i64>,
    /// Events without a seal.
    pub(super) missing: Ranges,
    /// Events whose seals are under keys that are not there, or that the master key does not open.
    pub(super) unopened: Ranges,
    /// Events whose seal is not theirs.
    pub(super) wrong: Ranges,
}

impl Seals {
    /// Looks at the next event, and at all seals that it has.
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

/// Numbers, as ranges with both ends included.
#[derive(Debug, Default)]
pub(super) struct Ranges(pub(super) Vec<(i64, i64)>);

impl Ranges {
    /// Adds a number that is larger than all that there are.
    fn add(&mut self, number: i64) {
        match self.0.last_mut() {
            Some((_, to)) if *to + 1 == number => *to = number,
            _ => self.0.push((number, number)),
        }
    }
}
