//! How much may be computed to verify one file, and what of it need not be computed again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// What may be spent for one file: about as many usual verifications with RSA or ECDSA. The largest honest ones, with hundreds of
/// signers, take a third of it.
const UNITS: usize = 5_000;
/// How many hashed bytes take about as long as a usual verification.
pub(crate) const BYTES_A_UNIT: usize = 32 * 1024;

/// SHA-256 of a certificate.
pub(crate) type Sha256 = [u8; 32];

/// The work that was done for one file.
#[derive(Debug)]
pub(crate) struct Work {
    left: Cell<usize>,
    exhausted: Cell<bool>,
    /// Whether the first of two certificates has issued the second.
    issued: RefCell<HashMap<(Sha256, Sha256), bool>>,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            left: Cell::new(UNITS),
            exhausted: Cell::new(false),
            issued: RefCell::default(),
        }
    }

    /// Whether there is so much left, which is then spent.
    pub(crate) fn spend(&self, units: usize) -> bool {
        match self.left.get().checked_sub(units) {
            Some(left) => self.left.set(left),
            None => self.exhausted.set(true),
        }
        !self.exhausted.get()
    }

    /// Whether something was left undone.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted.get()
    }

    /// What `find` says of two certificates, asked once.
    pub(crate) fn issued(&self, issuer: &Sha256, of: &Sha256, find: impl FnOnce() -> bool) -> bool {
        let key = (*issuer, *of);
        if let Some(known) = self.issued.borrow().get(&key) {
            return *known;
        }
        let found = find();
        self.issued.borrow_mut().insert(key, found);
        found
    }
}
