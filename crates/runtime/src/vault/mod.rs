//! Encryption of secrets at rest: AES-256-GCM under a master key that is stored outside of the database. Each
//! ciphertext names its master key, so that the key can be rotated while servers run.

mod master_key;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac, rand};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{CIPHERTEXT_VERSION, MasterKeyId};
use zeroize::Zeroizing;

use master_key::{Key, MasterKeyFile, MasterKeys, new_key};

/// First byte of a ciphertext. Since version 2, the id of its master key follows.
const UNNAMED_VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
/// Least time between two reads of the file that find no key for a ciphertext.
const REREAD_EVERY: Duration = Duration::from_secs(1);

/// A master key, ready to use.
#[derive(Debug)]
struct ReadyKey {
    id: MasterKeyId,
    key: RandomizedNonceKey,
    /// Derives keys for other purposes.
    derivation: hkdf::Prk,
}

impl ReadyKey {
    fn new(bytes: &Key) -> anyhow::Result<Self> {
        let failed = |_| anyhow::anyhow!("AES-256-GCM refuses the master key");
        let derivation = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&**bytes);
        let mut id = [0; 8];
        let name = derive(&derivation, "sigpersist master key name 1").map_err(failed)?;
        let name = hmac::sign(&name, b"");
        id.copy_from_slice(name.as_ref().get(..8).unwrap_or(&[0; 8]));
        Ok(Self {
            id: MasterKeyId(id),
            key: RandomizedNonceKey::new(&AES_256_GCM, &**bytes).map_err(failed)?,
            derivation,
        })
    }

    fn open(&self, nonce_and_sealed: &[u8], binding: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = nonce_and_sealed.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut secret = Zeroizing::new(sealed.to_vec());
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(binding), &mut secret);
        let length = opened.ok()?.len();
        secret.truncate(length);
        Some(secret)
    }
}

fn derive(
    derivation: &hkdf::Prk,
    purpose: &str,
) -> Result<hmac::Key, aws_lc_rs::error::Unspecified> {
    derivation
        .expand(&[purpose.as_bytes()], hmac::HMAC_SHA256)
        .map(hmac::Key::from)
}

/// The keys of the file, the current one first.
#[derive(Debug)]
struct Ring {
    keys: Vec<ReadyKey>,
}

impl Ring {
    fn new(keys: &MasterKeys) -> anyhow::Result<Self> {
        let keys = keys.all().map(ReadyKey::new);
        Ok(Self {
            keys: keys.collect::<anyhow::Result<_>>()?,
        })
    }

    fn current(&self) -> Result<&ReadyKey> {
        let first = self.keys.first();
        first.ok_or_else(|| Error::internal("there is no master key"))
    }

    fn named(&self, id: &[u8]) -> Option<&ReadyKey> {
        self.keys.iter().find(|key| key.id.0 == id)
    }
}

/// The master key and, while it is rotated, the keys before and after it.
#[derive(Debug)]
pub struct Vault {
    file: MasterKeyFile,
    ring: Mutex<Arc<Ring>>,
    /// Time at which the file was last read for a key that was not in it.
    missed_at: Mutex<Option<Instant>>,
}

/// The ids of the master keys in the file, which show the progress of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeyIds {
    /// The key that encrypts.
    pub current: MasterKeyId,
    /// The prepared key, which will encrypt after the rotation.
    pub next: Option<MasterKeyId>,
    /// Keys that encrypted before, and were not removed yet.
    pub old: Vec<MasterKeyId>,
}

impl Vault {
    /// Reads the master key from a file: 32 bytes in hexadecimal.
    ///
    /// # Errors
    ///
    /// A message that names the file and says how to make one.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let file = MasterKeyFile(path.to_owned());
        let ring = Ring::new(&file.read()?)?;
        Ok(Self {
            file,
            ring: Mutex::new(Arc::new(ring)),
            missed_at: Mutex::default(),
        })
    }

    /// Like [`Self::from_file`], but makes the file if it does not exist, readable only by its owner.
    ///
    /// # Errors
    ///
    /// As [`Self::from_file`], and if the file can't be made.
    pub fn from_file_or_new(path: &Path) -> anyhow::Result<Self> {
        MasterKeyFile(path.to_owned()).make_if_missing()?;
        Self::from_file(path)
    }

    fn ring(&self) -> Arc<Ring> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ring)
    }

    fn read_again(&self) -> anyhow::Result<Arc<Ring>> {
        let ring = Arc::new(Ring::new(&self.file.read()?)?);
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        Ok(ring)
    }

    /// Encrypts a secret.
    ///
    /// `binding` says where the secret is stored; it can be decrypted only there. `current` names the master key that
    /// encrypts; without it, the file's current key does.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if the file lacks that key, [`Error::Internal`] if the system's random number generator fails.
    pub fn encrypt(
        &self,
        secret: &[u8],
        binding: &str,
        current: Option<MasterKeyId>,
    ) -> Result<Vec<u8>> {
        let ring = match current {
            Some(id) => self.ring_with(&id.0).unwrap_or_else(|| self.ring()),
            None => self.ring(),
        };
        let key = match current {
            None => ring.current()?,
            Some(id) => ring.named(&id.0).ok_or_else(|| {
                Error::refused(format!(
                    "Another server rotated the master key, and this server's master key file lacks the key {id}: copy the new file to this server."
                ))
            })?,
        };
        let mut sealed = secret.to_vec();
        let nonce = key
            .key
            .seal_in_place_append_tag(Aad::from(binding), &mut sealed)
            .map_err(|_| Error::internal("a secret can't be encrypted"))?;
        Ok([key.id.prefix().as_slice(), nonce.as_ref(), &sealed].concat())
    }

    /// Decrypts the result of [`Self::encrypt`] for this binding.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the master key is another one, or the ciphertext was changed or moved.
    pub fn decrypt(&self, stored: &[u8], binding: &str) -> Result<Zeroizing<Vec<u8>>> {
        let ring = self.ring();
        let opened = match stored.split_first() {
            Some((&CIPHERTEXT_VERSION, rest)) => rest
                .split_at_checked(size_of::<MasterKeyId>())
                .and_then(|(id, rest)| match ring.named(id) {
                    Some(key) => key.open(rest, binding),
                    None => self.ring_with(id)?.named(id)?.open(rest, binding),
                }),
            Some((&UNNAMED_VERSION, rest)) => {
                let mut keys = ring.keys.iter();
                keys.find_map(|key| key.open(rest, binding))
            }
            _ => None,
        };
        opened.ok_or_else(|| {
            Error::internal(
                "a stored secret can't be decrypted: it was encrypted with another master key, or the row was changed",
            )
        })
    }

    /// The known keys, if a key with this id is among them; otherwise reads the file and looks for it there. Strangers
    /// can cause this, so the file is read in vain at most once a second.
    fn ring_with(&self, id: &[u8]) -> Option<Arc<Ring>> {
        let ring = self.ring();
        if ring.named(id).is_some() {
            return Some(ring);
        }
        let mut missed_at = self
            .missed_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if missed_at.is_some_and(|at| at.elapsed() < REREAD_EVERY) {
            return None;
        }
        let found = self.read_again().ok();
        let found = found.filter(|ring| ring.named(id).is_some());
        *missed_at = found.is_none().then(Instant::now);
        found
    }

    /// Derives HMAC-SHA256 keys for one purpose: one from each master key in the file, the current one first.
    ///
    /// Tags are made with the first key and valid under any of them, so that they survive a rotation in every process.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if a key can't be derived.
    pub fn authentication_keys(&self, purpose: &str) -> Result<Vec<hmac::Key>> {
        // If the file can't be read now, the keys from the last read are used.
        let ring = self.read_again().unwrap_or_else(|_| self.ring());
        let keys = ring.keys.iter();
        keys.map(|key| derive(&key.derivation, purpose))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::internal("a key can't be derived from the master key"))
    }

    /// Derives keys that encrypt for holders of a master key: one from each in the file, the current one first.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if a key can't be derived.
    pub fn transport_keys(&self, salt: &[u8]) -> Result<Vec<Key>> {
        let ring = self.read_again().unwrap_or_else(|_| self.ring());
        let keys = ring.keys.iter().map(|key| {
            let mut bytes = Key::default();
            key.derivation
                .expand(&[b"sigpersist tenant export 1", salt], &AES_256_GCM)
                .and_then(|okm| okm.fill(&mut *bytes))
                .map(|()| bytes)
        });
        keys.collect::<Result<_, _>>()
            .map_err(|_| Error::internal("a key can't be derived from the master key"))
    }

    /// The path of the master key file.
    pub fn path(&self) -> &Path {
        &self.file.0
    }

    /// The ids of the keys in the file, which is read again.
    ///
    /// # Errors
    ///
    /// As [`Self::from_file`].
    pub fn key_ids(&self) -> anyhow::Result<MasterKeyIds> {
        let keys = self.file.read()?;
        self.read_again()?;
        let id = |key: &Key| ReadyKey::new(key).map(|key| key.id);
        Ok(MasterKeyIds {
            current: id(&keys.current)?,
            next: keys.next.as_ref().map(id).transpose()?,
            old: keys.old.iter().map(id).collect::<anyhow::Result<_>>()?,
        })
    }

    /// Adds a new key to the file that will encrypt later, unless there is one already.
    ///
    /// # Errors
    ///
    /// If the file can't be read or written.
    pub fn prepare_key(&self) -> anyhow::Result<()> {
        let mut keys = self.file.read()?;
        if keys.next.is_none() {
            keys.next = Some(new_key()?);
            self.file.replace(&keys)?;
        }
        self.read_again()?;
        Ok(())
    }

    /// Makes the prepared key the current one, which encrypts from now on. The old key stays to decrypt.
    ///
    /// # Errors
    ///
    /// If the file can't be read or written.
    pub fn promote_key(&self) -> anyhow::Result<()> {
        let mut keys = self.file.read()?;
        if let Some(next) = keys.next.take() {
            keys.old
                .insert(0, std::mem::replace(&mut keys.current, next));
            self.file.replace(&keys)?;
        }
        self.read_again()?;
        Ok(())
    }

    /// Removes the keys that no longer encrypt.
    ///
    /// # Errors
    ///
    /// If the file can't be read or written.
    pub fn drop_old_keys(&self) -> anyhow::Result<()> {
        let mut keys = self.file.read()?;
        if !keys.old.is_empty() {
            keys.old.clear();
            self.file.replace(&keys)?;
        }
        self.read_again()?;
        Ok(())
    }
}

/// Random bytes from the operating system's generator; wiped when dropped.
///
/// # Errors
///
/// [`Error::Internal`] if the machine gives none.
pub fn random_bytes(length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    rand::fill(&mut bytes)
        .map_err(|_| Error::internal("the system's random number generator failed"))?;
    Ok(bytes)
}

/// A unique name that nobody can guess: 16 random bytes in hexadecimal.
///
/// # Errors
///
/// As [`random_bytes`].
pub fn random_name() -> Result<String> {
    Ok(to_hex(&random_bytes(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_decrypts_only_where_it_was_stored_and_under_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::from_file_or_new(&folder.path().join("a")).unwrap();
        let sealed = vault.encrypt(b"secret", "here", None).unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert_eq!(*vault.decrypt(&sealed, "here").unwrap(), b"secret");
        assert!(vault.decrypt(&sealed, "there").is_err());
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(vault.decrypt(&changed, "here").is_err(), "byte {index}");
        }
        assert!(vault.decrypt(&[], "here").is_err());
        let again = Vault::from_file(&folder.path().join("a")).unwrap();
        assert!(again.decrypt(&sealed, "here").is_ok());
        let other = Vault::from_file_or_new(&folder.path().join("b")).unwrap();
        assert!(other.decrypt(&sealed, "here").is_err());
    }

    #[test]
    fn keys_for_other_purposes_differ_by_purpose_and_follow_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::from_file_or_new(&folder.path().join("a")).unwrap();
        let running = Vault::from_file(&folder.path().join("a")).unwrap();
        let other = Vault::from_file_or_new(&folder.path().join("b")).unwrap();
        let tags = |vault: &Vault, purpose| -> Vec<_> {
            let keys = vault.authentication_keys(purpose).unwrap();
            let tag = |key| hmac::sign(key, b"message").as_ref().to_vec();
            keys.iter().map(tag).collect()
        };
        let [old] = tags(&vault, "one").try_into().unwrap();
        assert_ne!(tags(&vault, "two")[0], old);
        assert_ne!(tags(&other, "one")[0], old);
        vault.prepare_key().unwrap();
        assert_eq!(tags(&running, "one")[0], old);
        vault.promote_key().unwrap();
        let [new, before] = tags(&running, "one").try_into().unwrap();
        assert!(new != old && before == old);
        vault.drop_old_keys().unwrap();
        assert_eq!(tags(&running, "one"), std::slice::from_ref(&new));
        std::fs::remove_file(folder.path().join("a")).unwrap();
        assert_eq!(tags(&running, "one"), [new]);
    }

    #[test]
    fn secrets_outlive_the_rotation_of_their_key_also_in_a_server_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let vault = Vault::from_file_or_new(&path).unwrap();
        let running = Vault::from_file(&path).unwrap();
        let before = vault.encrypt(b"secret", "here", None).unwrap();
        let old = vault.key_ids().unwrap();
        vault.prepare_key().unwrap();
        let prepared = vault.key_ids().unwrap();
        assert_eq!((prepared.current, &prepared.old), (old.current, &old.old));
        assert!(
            vault
                .encrypt(b"secret", "here", None)
                .unwrap()
                .starts_with(&old.current.prefix())
        );
        vault.prepare_key().unwrap();
        assert_eq!(vault.key_ids().unwrap(), prepared);
        vault.promote_key().unwrap();
        let promoted = vault.key_ids().unwrap();
        assert_eq!(Some(promoted.current), prepared.next);
        assert_eq!((promoted.next, promoted.old), (None, vec![old.current]));
        // The running server learns of the new key from the database, and finds it in the file.
        let current = Some(promoted.current);
        let since = running.encrypt(b"secret", "here", current).unwrap();
        assert!(since.starts_with(&promoted.current.prefix()));
        for sealed in [&before, &since] {
            assert_eq!(*running.decrypt(sealed, "here").unwrap(), b"secret");
        }
        vault.drop_old_keys().unwrap();
        assert!(vault.decrypt(&before, "here").is_err());
        assert_eq!(*vault.decrypt(&since, "here").unwrap(), b"secret");
    }

    #[test]
    fn a_key_that_comes_into_the_file_is_found_there_and_one_that_is_not_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let vault = Vault::from_file_or_new(&path).unwrap();
        let running = Vault::from_file(&path).unwrap();
        vault.prepare_key().unwrap();
        vault.promote_key().unwrap();
        let since = vault.encrypt(b"secret", "here", None).unwrap();
        assert_eq!(*running.decrypt(&since, "here").unwrap(), b"secret");
        // The file is read at most once a second for a key that it does not have.
        let other = Vault::from_file_or_new(&folder.path().join("b")).unwrap();
        let foreign = other.key_ids().unwrap().current;
        let refused = running.encrypt(b"secret", "here", Some(foreign));
        assert!(matches!(refused, Err(Error::Refused(_))));
        vault.prepare_key().unwrap();
        vault.promote_key().unwrap();
        let later = vault.encrypt(b"secret", "here", None).unwrap();
        assert!(running.decrypt(&later, "here").is_err());
        std::thread::sleep(REREAD_EVERY);
        assert_eq!(*running.decrypt(&later, "here").unwrap(), b"secret");
    }

    #[test]
    fn a_secret_from_before_keys_had_names_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::from_file_or_new(&folder.path().join("a")).unwrap();
        let named = vault.encrypt(b"secret", "here", None).unwrap();
        let unnamed = [&[UNNAMED_VERSION], named.split_at(9).1].concat();
        assert_eq!(*vault.decrypt(&unnamed, "here").unwrap(), b"secret");
        vault.prepare_key().unwrap();
        vault.promote_key().unwrap();
        assert_eq!(*vault.decrypt(&unnamed, "here").unwrap(), b"secret");
    }
}
