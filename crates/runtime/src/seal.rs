//! Seals: what the database's owner can't make. Hashes chain events, and anybody who may write to the tables can work them out
//! anew; a seal needs a key that is in the database only under the master key.
//!
//! The key is random and kept like other secrets, so that a rotation of the master key puts it under the new one and all seals
//! stay as they are; a key derived from the master key would ask for every event to be sealed again.

use aws_lc_rs::hmac;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::key::MasterKeyId;

use crate::vault::{Vault, random_bytes};

/// The length of a key, which is that of the hash (RFC 2104 section 3).
const KEY_BYTES: usize = 32;

/// A key that seals events.
#[derive(Clone)]
pub struct SealKey {
    /// Its number.
    pub number: i32,
    key: hmac::Key,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey {}", self.number)
    }
}

/// A key as it is stored.
#[derive(Debug, Clone)]
pub struct StoredSealKey {
    /// Its number.
    pub number: i32,
    /// The key, under the master key.
    pub encrypted: Vec<u8>,
}

impl StoredSealKey {
    /// A new key of this number. `current` is as for [`Vault::encrypt`].
    ///
    /// # Errors
    ///
    /// Those of [`Vault::encrypt`].
    pub fn make(number: i32, vault: &Vault, current: Option<MasterKeyId>) -> Result<Self> {
        let key = random_bytes(KEY_BYTES)?;
        Ok(Self {
            number,
            encrypted: vault.encrypt(&key, &binding(number), current)?,
        })
    }

    /// Whether it is under this master key.
    pub fn is_under(&self, current: MasterKeyId) -> bool {
        self.encrypted.starts_with(&current.prefix())
    }

    /// The same key under the current master key.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::decrypt`] and [`Vault::encrypt`].
    pub fn reencrypt(&self, vault: &Vault, current: MasterKeyId) -> Result<Self> {
        let binding = binding(self.number);
        let key = vault.decrypt(&self.encrypted, &binding)?;
        Ok(Self {
            number: self.number,
            encrypted: vault.encrypt(&key, &binding, Some(current))?,
        })
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::decrypt`].
    pub fn open(&self, vault: &Vault) -> Result<SealKey> {
        let key = vault.decrypt(&self.encrypted, &binding(self.number))?;
        Ok(SealKey {
            number: self.number,
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }
}

/// Where a key is stored, for [`Vault::encrypt`].
fn binding(number: i32) -> String {
    format!("audit key {number}")
}

/// The event that a seal is of.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// Its chain.
    pub chain: TenantId,
    /// Its place there.
    pub number: i64,
    /// Its hash, which covers all of it and the event before it.
    pub hash: &'a [u8],
    /// Whether the seal vouches for the chain as it was then, so that events before it may be without one.
    pub baseline: bool,
}

impl Sealed<'_> {
    /// What is authenticated: of fixed length but for the hash, which comes last.
    fn message(&self) -> Vec<u8> {
        [
            &b"sigpersist audit seal 1"[..],
            &self.chain.0.to_be_bytes(),
            &self.number.to_be_bytes(),
            &[u8::from(self.baseline)],
            self.hash,
        ]
        .concat()
    }
}

impl SealKey {
    /// The seal of an event.
    pub fn seal(&self, event: &Sealed<'_>) -> Vec<u8> {
        hmac::sign(&self.key, &event.message()).as_ref().to_vec()
    }

    /// Whether this is the seal of an event.
    pub fn verifies(&self, event: &Sealed<'_>, seal: &[u8]) -> bool {
        hmac::verify(&self.key, &event.message(), seal).is_ok()
    }
}

/// A seal as it is stored, whatever somebody made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSeal {
    /// The event's number.
    pub number: i64,
    /// The key that made it.
    pub key: i32,
    /// As [`Sealed::baseline`].
    pub baseline: bool,
    /// The seal.
    pub seal: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_one_event_at_one_place_under_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::from_file_or_new(&folder.path().join("a")).unwrap();
        let key = |number| StoredSealKey::make(number, &vault, None).unwrap();
        let (stored, other) = (key(1), key(2));
        let event = Sealed {
            chain: TenantId(7),
            number: 3,
            hash: &[1; 32],
            baseline: false,
        };
        let seal = stored.open(&vault).unwrap().seal(&event);
        let opened = stored.open(&vault).unwrap();
        assert!(opened.verifies(&event, &seal));
        for changed in [
            Sealed {
                chain: TenantId(8),
                ..event
            },
            Sealed { number: 4, ..event },
            Sealed {
                hash: &[2; 32],
                ..event
            },
            Sealed {
                baseline: true,
                ..event
            },
        ] {
            assert!(!opened.verifies(&changed, &seal), "{changed:?}");
        }
        assert!(!opened.verifies(&event, &seal[..31]));
        assert!(!opened.verifies(&event, &[]));
        assert!(!other.open(&vault).unwrap().verifies(&event, &seal));
        // A key can't take another's place, and is not what the database holds.
        let moved = StoredSealKey {
            number: 2,
            ..stored.clone()
        };
        assert!(moved.open(&vault).is_err());
        let another = Vault::from_file_or_new(&folder.path().join("b")).unwrap();
        assert!(stored.open(&another).is_err());
    }
}
