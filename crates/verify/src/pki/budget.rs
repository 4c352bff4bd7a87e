//! The budget of computation for one file, and a cache of results that need not be computed again.
//!
//! One budget covers all work for one request: reading, canonicalising, hashing, verifying, chains, revocation and the
//! report. Every loop whose length the file decides spends from it, by the worst cost of a round. Costs are in
//! nanoseconds of a processor of 2024, measured with the slowest inputs of each kind. They are counted, not timed, so
//! that a verdict never depends on the load of the machine.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::hash::Hash;

/// Nanoseconds that one file may spend. The largest honest files, with hundreds of signers, take a third of it.
///
/// A file of 10 MiB may take one second. The rest of that second is for work that is not counted (JSON, base64) and for
/// slower processors.
const BUDGET_NS: u64 = 600_000_000;

/// SHA-256 of a certificate.
pub(crate) type Sha256 = [u8; 32];

/// Most pairs of certificates in the cache: about a megabyte.
const MAX_REMEMBERED: usize = 10_000;

/// A cache of pairs (issuer, issued certificate) that were found in earlier files. Such a fact never changes, whoever
/// is trusted.
///
/// Maps each pair, by digests, to the cost of finding it out, in nanoseconds.
#[derive(Debug, Default)]
pub struct Issued(Mutex<HashMap<(Sha256, Sha256), u64>>);

impl Issued {
    fn cost_ns(&self, pair: &(Sha256, Sha256)) -> Option<u64> {
        let pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.get(pair).copied()
    }

    fn remember(&self, pair: (Sha256, Sha256), cost_ns: u64) {
        let mut pairs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.len() >= MAX_REMEMBERED {
            pairs.clear();
        }
        pairs.insert(pair, cost_ns);
    }
}

/// The budget of one file, and the results found on the way.
#[derive(Debug)]
pub struct Budget {
    budget_ns: u64,
    left_ns: Cell<u64>,
    is_exhausted: Cell<bool>,
    /// Whether the first certificate of a pair issued the second.
    issued: RefCell<HashMap<(Sha256, Sha256), bool>>,
    /// The cache of pairs in earlier files.
    remembered: Option<Arc<Issued>>,
}

/// The error that a file needs more work than any honest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is too complex: examining it takes too long")]
pub struct Exhausted;

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl Budget {
    /// A full budget.
    pub fn new() -> Self {
        Self::of_ns(BUDGET_NS)
    }

    /// A smaller budget. A caller tries it first, and repeats the work with a full budget if it is not enough.
    pub fn of_ns(budget_ns: u64) -> Self {
        Self {
            budget_ns,
            left_ns: Cell::new(budget_ns),
            is_exhausted: Cell::new(false),
            issued: RefCell::default(),
            remembered: None,
        }
    }

    /// Uses and fills the cache `issued`, which other files share.
    #[must_use]
    pub fn remembering(self, issued: &Arc<Issued>) -> Self {
        Self {
            remembered: Some(Arc::clone(issued)),
            ..self
        }
    }

    /// Spends some nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if less than `ns` is left, and on every later call.
    pub(crate) fn spend(&self, ns: u64) -> Result<(), Exhausted> {
        match self.left_ns.get().checked_sub(ns) {
            Some(left) if !self.is_exhausted.get() => {
                self.left_ns.set(left);
                Ok(())
            }
            _ => {
                self.is_exhausted.set(true);
                Err(Exhausted)
            }
        }
    }

    /// Spends some nanoseconds for each of `count` items.
    pub(crate) fn spend_each(&self, count: usize, ns: u64) -> Result<(), Exhausted> {
        self.spend((count as u64).saturating_mul(ns))
    }

    /// Spends the cost of hashing this many bytes.
    pub(crate) fn spend_hash(&self, hash: Hash, bytes: usize) -> Result<(), Exhausted> {
        self.spend(hash.cost_ns(bytes))
    }

    /// Whether work was left undone because the budget was exhausted.
    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.get()
    }

    /// The nanoseconds spent so far.
    pub fn spent_ns(&self) -> u64 {
        self.budget_ns - self.left_ns.get()
    }

    /// Whether two encodings are the same; false if the budget is exhausted. An encoded name may have tens of
    /// kilobytes.
    pub(crate) fn is_same(&self, one: &[u8], other: &[u8]) -> bool {
        const LOOK_NS: u64 = 10;
        const BYTES_A_NS: usize = 8;
        let compared = if one.len() == other.len() {
            one.len() / BYTES_A_NS
        } else {
            0
        };
        self.spend(LOOK_NS + compared as u64).is_ok() && one == other
    }

    /// Whether `issuer` issued `of`. Calls `find` at most once for each pair and caches its result.
    pub(crate) fn issued(&self, issuer: &Sha256, of: &Sha256, find: impl FnOnce() -> bool) -> bool {
        let pair = (*issuer, *of);
        if let Some(known) = self.issued.borrow().get(&pair) {
            return *known;
        }
        let remembered = self.remembered.as_ref();
        let found = match remembered.and_then(|issued| issued.cost_ns(&pair)) {
            // A cached result costs as much as finding it out, so that no verdict depends on earlier files.
            Some(cost_ns) => self.spend(cost_ns).is_ok(),
            None => {
                let before_ns = self.spent_ns();
                let found = find();
                if let Some(issued) = remembered.filter(|_| found) {
                    issued.remember(pair, self.spent_ns() - before_ns);
                }
                found
            }
        };
        self.issued.borrow_mut().insert(pair, found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_other_files_costs_the_same() {
        let issued = Arc::new(Issued::default());
        let [one, other] = [[1; 32], [2; 32]];
        let first = Budget::new().remembering(&issued);
        assert!(!first.issued(&other, &one, || first.spend(7).is_err()));
        assert!(first.issued(&one, &other, || first.spend(5).is_ok()));
        let second = Budget::new().remembering(&issued);
        assert!(second.issued(&one, &other, || panic!("it is known")));
        assert_eq!(second.spent_ns(), 5);
        // Negative results are not shared with other files, and without `remembering` nothing is.
        assert!(second.issued(&other, &one, || true));
        assert!(!Budget::new().issued(&one, &other, || false));
        let little = Budget::of_ns(4).remembering(&issued);
        assert!(!little.issued(&one, &other, || panic!("it is known")));
        assert!(little.is_exhausted());
        for number in 0..MAX_REMEMBERED {
            let mut digest = [3; 32];
            digest[..8].copy_from_slice(&number.to_be_bytes());
            issued.remember((digest, digest), 1);
        }
        assert!(issued.0.lock().unwrap().len() < MAX_REMEMBERED);
    }

    #[test]
    fn a_budget_that_is_exhausted_stays_so() {
        let budget = Budget::new();
        assert_eq!(budget.spend(BUDGET_NS - 1), Ok(()));
        assert_eq!(budget.spend(2), Err(Exhausted));
        assert_eq!(budget.spend(1), Err(Exhausted));
        assert!(budget.is_exhausted() && !budget.is_same(b"", b""));
        assert_eq!(budget.spent_ns(), BUDGET_NS - 1);
        assert_eq!(Budget::new().spend_each(usize::MAX, 2), Err(Exhausted));
    }
}
