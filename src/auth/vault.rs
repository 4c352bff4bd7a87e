//! Encryption of secrets at rest: AES-256-GCM under a master key that lives outside the database.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac, rand};
use zeroize::Zeroizing;

use crate::digest::to_hex;
use crate::error::{Error, Result};

const FORMAT_VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const KEY_BYTES: usize = 32;

/// The master key.
#[derive(Debug)]
pub struct Vault {
    key: RandomizedNonceKey,
    /// What keys for other purposes are derived from.
    derivation: hkdf::Prk,
}

impl Vault {
    /// Reads the master key from a file: 32 bytes in hexadecimal.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and how to make one.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .with_context(|| format!("The master key file {} can't be read", path.display()))?;
        let Some(bytes) = from_hex(text.trim()) else {
            bail!(
                "The master key file {} must hold {KEY_BYTES} bytes in hexadecimal; `openssl rand -hex {KEY_BYTES}` makes them.",
                path.display()
            );
        };
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*bytes)
            .context("AES-256-GCM refuses the master key")?;
        let derivation = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&*bytes);
        Ok(Self { key, derivation })
    }

    /// Like [`Self::from_file`], and makes the file where it does not exist, readable by its user alone.
    ///
    /// # Errors
    ///
    /// As [`Self::from_file`], and where the file can't be made.
    pub fn from_file_or_new(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            let text = Zeroizing::new(to_hex(&random_bytes(KEY_BYTES)?));
            // Written aside and linked, so that of two processes that start at once only one makes the key, whole.
            let aside = path.with_extension(format!("new-{}", std::process::id()));
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)
                .with_context(|| format!("The master key file {} can't be made", path.display()))?;
            writeln!(file, "{}", *text)?;
            file.sync_all()?;
            let linked = std::fs::hard_link(&aside, path);
            std::fs::remove_file(&aside)?;
            match linked {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(error).with_context(|| {
                        format!("The master key file {} can't be made", path.display())
                    });
                }
                _ => {}
            }
        }
        Self::from_file(path)
    }

    /// Encrypts a secret. `binding` says where it is stored; only there it decrypts again.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the machine gives no randomness.
    pub fn encrypt(&self, secret: &[u8], binding: &str) -> Result<Vec<u8>> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(binding), &mut sealed)
            .map_err(|_| Error::internal("a secret can't be encrypted"))?;
        Ok([&[FORMAT_VERSION], nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// Decrypts what [`Self::encrypt`] made for the same place.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the master key is another one, or the ciphertext was changed or moved.
    pub fn decrypt(&self, stored: &[u8], binding: &str) -> Result<Zeroizing<Vec<u8>>> {
        let failed = || {
            Error::internal(
                "a stored secret can't be decrypted: the master key is another one, or the row was changed",
            )
        };
        let (&version, rest) = stored.split_first().ok_or_else(failed)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or_else(failed)?;
        if version != FORMAT_VERSION {
            return Err(failed());
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| failed())?;
        let mut secret = Zeroizing::new(sealed.to_vec());
        let length = self
            .key
            .open_in_place(nonce, Aad::from(binding), &mut secret)
            .map_err(|_| failed())?
            .len();
        secret.truncate(length);
        Ok(secret)
    }

    /// A key that authenticates with HMAC-SHA256: its own for each purpose, and always the same for one.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] where the key can't be derived.
    pub fn authentication_key(&self, purpose: &str) -> Result<hmac::Key> {
        self.derivation
            .expand(&[purpose.as_bytes()], hmac::HMAC_SHA256)
            .map(hmac::Key::from)
            .map_err(|_| Error::internal("a key can't be derived from the master key"))
    }
}

/// Random bytes from the operating system's generator; wiped when dropped.
///
/// # Errors
///
/// [`Error::Internal`] where the machine gives none.
pub fn random_bytes(length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    rand::fill(&mut bytes).map_err(|_| Error::internal("the machine gives no randomness"))?;
    Ok(bytes)
}

/// A name that nobody guesses and nobody else has: 16 random bytes in hexadecimal.
///
/// # Errors
///
/// As [`random_bytes`].
pub fn random_name() -> Result<String> {
    Ok(to_hex(&random_bytes(16)?))
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if text.len() != KEY_BYTES * 2 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_decrypts_only_where_it_was_stored_and_under_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::from_file_or_new(&folder.path().join("a")).unwrap();
        let sealed = vault.encrypt(b"secret", "here").unwrap();
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
    fn keys_for_other_purposes_differ_by_purpose_and_master_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::from_file_or_new(&folder.path().join("a")).unwrap();
        let other = Vault::from_file_or_new(&folder.path().join("b")).unwrap();
        let tag = |vault: &Vault, purpose| {
            let key = vault.authentication_key(purpose).unwrap();
            hmac::sign(&key, b"message").as_ref().to_vec()
        };
        assert_eq!(tag(&vault, "one"), tag(&vault, "one"));
        assert_ne!(tag(&vault, "one"), tag(&vault, "two"));
        assert_ne!(tag(&vault, "one"), tag(&other, "one"));
    }

    #[test]
    fn a_key_file_that_holds_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63)] {
            std::fs::write(&path, text).unwrap();
            assert!(Vault::from_file(&path).is_err(), "{text}");
        }
    }
}
