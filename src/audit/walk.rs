//! Walks a chain from its first event to its end and recomputes all hashes.

use sigpersist_model::audit::{Fault, Head, MAX_FAULTS, Recorded};

use super::seals::{Ranges, Seals};

/// The greatest distance at which an event's original place is looked for. Each place costs a hash.
const REACH: i64 = 100_000;
/// The most bytes that are hashed in this search.
const MAX_HASHED: i64 = 256 * 1024 * 1024;

/// The state of a walk from the first event of a chain to its last.
#[derive(Debug)]
pub struct Walk {
    after: i64,
    last: Head,
    /// Whether the event before the next one is missing or wrong: then the next one can't be expected to fit.
    torn: bool,
    events: u64,
    /// The greatest distance at which an event's original place is looked for.
    reach: i64,
    pub(super) seals: Seals,
    faults: Vec<Fault>,
}

/// The result of a walk.
#[derive(Debug)]
pub struct Walked {
    /// The number of events.
    pub events: u64,
    /// The last event.
    pub last: Head,
    /// The first [`MAX_FAULTS`] faults.
    pub faults: Vec<Fault>,
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

impl Walk {
    /// Starts before the first event. An event that is out of order is reported as changed.
    pub fn new() -> Self {
        Self {
            after: i64::MIN,
            last: Head::empty(),
            torn: false,
            events: 0,
            reach: 0,
            seals: Seals::default(),
            faults: Vec::new(),
        }
    }

    /// Starts before the first event. The places around an event that is out of order are searched.
    pub(super) fn with_reach() -> Self {
        Self {
            reach: REACH,
            ..Self::new()
        }
    }

    /// The number of the last checked event.
    pub(super) fn after(&self) -> i64 {
        self.after
    }

    /// The faults found so far.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    fn found(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// Checks the next event.
    pub fn step(&mut self, event: &Recorded) {
        let number = event.number;
        self.after = number;
        self.events += 1;
        let expected = self.last.number.saturating_add(1);
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
            // There is no event before the first one that could have been replaced.
            self.found(Fault::Replaced((number - 1).max(1)));
        }
        self.torn = !whole;
        self.last = Head {
            number,
            hash: event.hash.clone(),
        };
    }

    /// The original place of an event that was moved; none if it is not found or the event itself was changed.
    fn place_of(&self, event: &Recorded) -> Option<i64> {
        if self.faults.len() >= MAX_FAULTS {
            return None;
        }
        let reach = self.reach.min(MAX_HASHED / event.size().max(1));
        let (from, to) = (
            event.number.saturating_sub(reach),
            event.number.saturating_add(reach),
        );
        (from.max(1)..=to).find(|was| event.hash_at(*was)[..] == event.hash)
    }

    /// Reports the faults that the seals show.
    pub(super) fn end_seals(&mut self) {
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

    /// Compares the end of the chain with the recorded end, if that is known.
    pub fn end(mut self, head: Option<&Head>) -> Walked {
        let last = self.last.number;
        match head {
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
        Walked {
            events: self.events,
            last: self.last,
            faults: self.faults,
        }
    }
}
