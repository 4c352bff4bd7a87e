//! Encryption of exported keys: under a passphrase, or under the master key of the server that will import them.

use std::num::NonZeroU32;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::transfer::{Envelope, Under};
use sigpersist_runtime::vault::{Vault, random_bytes};
use zeroize::Zeroizing;

/// More than OWASP recommends for PBKDF2 with HMAC-SHA256 (600,000 in 2023), because it runs only once for a file.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(1_000_000).expect("it is not zero");
/// Greatest number of iterations that a file may ask for: they take some seconds.
const MAX_ITERATIONS: u32 = 10_000_000;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// Least number of characters of a passphrase.
const MIN_PASSPHRASE: usize = 12;
/// Binding of the sealed text that detects a wrong key.
const CHECK: &str = "check";

/// The secret that opens an envelope.
#[derive(Debug)]
pub enum Opener {
    /// A passphrase.
    Passphrase(Passphrase),
    /// A key derived from the master key of the server that will import the keys.
    Transport(TransportKey),
}

/// A key that encrypts for the holders of a master key, derived from it with a salt. The master key can't be found from
/// it, so a server may know it that must not know the master key.
pub struct TransportKey {
    salt: Vec<u8>,
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TransportKey")
    }
}

impl TransportKey {
    /// Derives a key from the current master key.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the system's random number generator fails.
    pub fn derive(vault: &Vault) -> Result<Self> {
        let salt = random_bytes(SALT_BYTES)?.to_vec();
        let mut keys = vault.transport_keys(&salt)?.into_iter();
        let key = keys.next().ok_or_else(no_key)?;
        Ok(Self { salt, key })
    }

    /// The salt and the key, each in base64.
    pub fn to_text(&self) -> (String, Zeroizing<String>) {
        let key = Zeroizing::new(BASE64.encode(*self.key));
        (BASE64.encode(&self.salt), key)
    }

    /// Reads the result of [`Self::to_text`]; none if it is not one.
    pub fn from_text(salt: &str, key: &str) -> Option<Self> {
        let salt = BASE64.decode(salt).ok()?;
        let bytes = Zeroizing::new(BASE64.decode(key).ok()?);
        let key = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        (salt.len() == SALT_BYTES).then_some(Self { salt, key })
    }
}

/// A passphrase; wiped when dropped.
pub struct Passphrase(Zeroizing<String>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// Takes the first line of a text.
    pub fn new(text: Zeroizing<String>) -> Self {
        let line = text.lines().next().unwrap_or_default();
        Self(Zeroizing::new(line.to_owned()))
    }
}

/// A key that encrypts the secrets of one file.
#[derive(Debug)]
pub struct Sealer(RandomizedNonceKey);

/// Makes an envelope and the sealer for it.
///
/// # Errors
///
/// [`Error::Refused`] for a passphrase that is too short.
pub fn make(opener: &Opener) -> Result<(Envelope, Sealer)> {
    let (salt, under, sealer) = match opener {
        Opener::Passphrase(passphrase) => {
            if passphrase.0.chars().count() < MIN_PASSPHRASE {
                return Err(Error::refused(format!(
                    "A passphrase for keys must have at least {MIN_PASSPHRASE} characters; `openssl rand -base64 24` makes one."
                )));
            }
            let salt = random_bytes(SALT_BYTES)?.to_vec();
            let sealer = Sealer::from_passphrase(passphrase, &salt, ITERATIONS)?;
            (salt, Under::Passphrase(ITERATIONS.get()), sealer)
        }
        Opener::Transport(TransportKey { salt, key }) => {
            (salt.clone(), Under::MasterKey, Sealer::new(key)?)
        }
    };
    let envelope = Envelope {
        under,
        salt: BASE64.encode(salt),
        check: sealer.seal(b"", CHECK)?,
    };
    Ok((envelope, sealer))
}

/// Returns the sealer that opens secrets; none if they are under a passphrase and no passphrase is given.
///
/// # Errors
///
/// [`Error::Refused`] for a wrong passphrase, or if the file is for another master key.
pub fn open(
    envelope: &Envelope,
    passphrase: Option<&Passphrase>,
    vault: Option<&Vault>,
) -> Result<Option<Sealer>> {
    let salt = BASE64.decode(&envelope.salt).unwrap_or_default();
    match envelope.under {
        Under::Passphrase(iterations) => {
            let Some(passphrase) = passphrase else {
                return Ok(None);
            };
            let iterations = NonZeroU32::new(iterations)
                .filter(|iterations| iterations.get() <= MAX_ITERATIONS)
                .ok_or_else(|| {
                    Error::refused(format!(
                        "The keys in the file must take 1 to {MAX_ITERATIONS} iterations: nothing was imported."
                    ))
                })?;
            let sealer = Sealer::from_passphrase(passphrase, &salt, iterations)?;
            if sealer.open(&envelope.check, CHECK).is_none() {
                return Err(Error::refused(
                    "The passphrase does not decrypt the keys in the file: nothing was imported.",
                ));
            }
            Ok(Some(sealer))
        }
        Under::MasterKey => {
            let keys = vault
                .ok_or_else(super::no_master_key)?
                .transport_keys(&salt)?;
            for key in &keys {
                let sealer = Sealer::new(key)?;
                if sealer.open(&envelope.check, CHECK).is_some() {
                    return Ok(Some(sealer));
                }
            }
            Err(Error::refused(
                "The keys in the file are encrypted for the master key of another server: nothing was imported.",
            ))
        }
    }
}

impl Sealer {
    fn new(key: &[u8; 32]) -> Result<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Self)
            .map_err(|_| no_key())
    }

    fn from_passphrase(
        passphrase: &Passphrase,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let secret = passphrase.0.as_bytes();
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            secret,
            &mut *key,
        );
        Self::new(&key)
    }

    /// Encrypts a secret for one place of the file: nonce and ciphertext, in base64.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the system's random number generator fails.
    pub fn seal(&self, secret: &[u8], binding: &str) -> Result<String> {
        let mut sealed = Zeroizing::new(secret.to_vec());
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(binding), &mut *sealed)
            .map_err(|_| Error::internal("a secret can't be encrypted"))?;
        Ok(BASE64.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// Decrypts the result of [`Self::seal`] for this binding.
    pub fn open(&self, sealed: &str, binding: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = BASE64.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut secret = Zeroizing::new(sealed.to_vec());
        let opened = self.0.open_in_place(nonce, Aad::from(binding), &mut secret);
        let length = opened.ok()?.len();
        secret.truncate(length);
        Some(secret)
    }
}

fn no_key() -> Error {
    Error::internal("a key for an export can't be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_passphrase_at_its_place_alone() {
        let right = Opener::Passphrase(passphrase("correct horse\nbattery"));
        let (envelope, sealer) = make(&right).unwrap();
        let sealed = sealer.seal(b"secret", "here").unwrap();
        let opener = open(&envelope, Some(&passphrase("correct horse\n")), None);
        let opener = opener.unwrap().unwrap();
        assert_eq!(*opener.open(&sealed, "here").unwrap(), b"secret");
        assert!(opener.open(&sealed, "there").is_none());
        assert!(opener.open(sealed.get(4..).unwrap(), "here").is_none());
        let wrong = open(&envelope, Some(&passphrase("correct house")), None);
        assert!(
            wrong
                .unwrap_err()
                .to_string()
                .contains("nothing was imported")
        );
        assert!(open(&envelope, None, None).unwrap().is_none());
        let mut costly = envelope;
        costly.under = Under::Passphrase(u32::MAX);
        assert!(open(&costly, Some(&passphrase("correct horse")), None).is_err());
        assert!(make(&Opener::Passphrase(passphrase("short"))).is_err());
    }

    #[test]
    fn what_is_sealed_for_a_master_key_opens_with_that_also_after_it_was_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let vault = |name| Vault::from_file_or_new(&folder.path().join(name)).unwrap();
        let derived = TransportKey::derive(&vault("a")).unwrap();
        let (salt, key) = derived.to_text();
        let transport = TransportKey::from_text(&salt, &key).unwrap();
        assert!(TransportKey::from_text(&salt, &salt).is_none());
        let (envelope, sealer) = make(&Opener::Transport(transport)).unwrap();
        let sealed = sealer.seal(b"secret", "here").unwrap();
        assert!(open(&envelope, None, Some(&vault("b"))).is_err());
        let target = vault("a");
        target.prepare_key().unwrap();
        target.promote_key().unwrap();
        let opener = open(&envelope, None, Some(&target)).unwrap().unwrap();
        assert_eq!(*opener.open(&sealed, "here").unwrap(), b"secret");
    }
}
