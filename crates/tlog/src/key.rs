//! The keys of notes (c2sp.org/signed-note): Ed25519, for notes themselves and for witnesses' cosignatures.
//!
//! A key has an id for each name under which it signs: one pair of keys may sign for many logs. The secret half is read
//! from bytes that the caller keeps encrypted; here it lives in memory only.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::hash::sha256_of;
use crate::invalid::Invalid;
use crate::text::{base64, from_base64};

/// Whether a name may be that of a key: not empty, without Unicode spaces, control characters and plus signs.
pub fn is_key_name(name: &str) -> bool {
    let is_allowed = |letter: char| letter != '+' && !letter.is_whitespace() && letter >= ' ';
    !name.is_empty() && name.chars().all(is_allowed)
}

/// The id of a key under a name.
pub fn key_id(name: &str, kind: u8, public_key: &[u8]) -> [u8; 4] {
    let [first, second, third, fourth, ..] =
        sha256_of(&[name.as_bytes(), b"\n", &[kind], public_key]);
    [first, second, third, fourth]
}

/// The purpose of a key, which is the signature type of c2sp.org/signed-note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Signs the text of notes.
    Note,
    /// Signs checkpoints as a witness, with the time: c2sp.org/tlog-cosignature.
    Cosignature,
}

impl KeyKind {
    /// The byte of the signature type.
    pub fn code(self) -> u8 {
        match self {
            Self::Note => 1,
            Self::Cosignature => 4,
        }
    }
}

/// A secret key.
pub struct SigningKey(Ed25519KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Makes a random key, and its bytes for [`Self::from_bytes`]: PKCS #8, as OpenSSL reads it.
    ///
    /// # Panics
    ///
    /// Panics if the system has no randomness.
    pub fn generate() -> (Self, Vec<u8>) {
        let pair = Ed25519KeyPair::generate().expect("the system has randomness");
        let bytes = pair.to_pkcs8v1().expect("a new key can be written");
        (Self(pair), bytes.as_ref().to_vec())
    }

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`Invalid::SecretKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes);
        pair.map(Self).map_err(|_| Invalid::SecretKey)
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        bytes
    }

    /// The key that verifies the notes that this one signs under a name.
    pub fn verifier(&self, name: &str) -> VerifierKey {
        VerifierKey::new(name, self.public_key())
    }

    /// Signs the text of a note: the signature line with its line break. [`is_key_name`] must hold for the name.
    pub fn sign(&self, name: &str, text: &str) -> String {
        self.signature_line(name, KeyKind::Note, &self.sign_bytes(text.as_bytes()))
    }

    /// Signs bytes.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }

    /// The line of a note with a signature of this key.
    pub(crate) fn signature_line(&self, name: &str, kind: KeyKind, signature: &[u8]) -> String {
        let id = key_id(name, kind.code(), &self.public_key());
        signature_line(name, id, signature)
    }
}

/// A line of a note with a signature.
pub(crate) fn signature_line(name: &str, key_id: [u8; 4], signature: &[u8]) -> String {
    let encoded = base64(&[&key_id[..], signature].concat());
    format!("— {name} {encoded}\n")
}

/// A public key under a name, written as `name+id+key`: the `vkey` of c2sp.org/signed-note.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    /// The name under which it signs. A log's key has the log's origin as its name.
    pub name: String,
    /// Its purpose.
    pub kind: KeyKind,
    /// The key.
    pub public_key: [u8; 32],
}

impl VerifierKey {
    /// The key of a log or of any other author of notes.
    pub fn new(name: impl Into<String>, public_key: [u8; 32]) -> Self {
        Self {
            name: name.into(),
            kind: KeyKind::Note,
            public_key,
        }
    }

    /// The key of a witness.
    pub fn witness(name: impl Into<String>, public_key: [u8; 32]) -> Self {
        Self {
            kind: KeyKind::Cosignature,
            ..Self::new(name, public_key)
        }
    }

    /// Its id.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, self.kind.code(), &self.public_key)
    }

    /// Whether a signature without the key's id is that of a note's text. That of a witness begins with its time.
    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match self.kind {
            KeyKind::Note => self.verifies_bytes(text.as_bytes(), signature),
            KeyKind::Cosignature => split_timestamp(signature).is_some_and(|(time_s, rest)| {
                self.verifies_bytes(cosigned_message(text, time_s).as_bytes(), rest)
            }),
        }
    }

    fn verifies_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.public_key);
        key.verify(message, signature).is_ok()
    }
}

/// Splits a witness's signature into its time and the rest. Times beyond 2^63 - 1 seconds are not allowed.
pub(crate) fn split_timestamp(signature: &[u8]) -> Option<(u64, &[u8])> {
    let (time, rest) = signature.split_first_chunk()?;
    let time_s = u64::from_be_bytes(*time);
    (i64::try_from(time_s).is_ok()).then_some((time_s, rest))
}

/// The message that a witness signs.
pub(crate) fn cosigned_message(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = base64(&[&[self.kind.code()], &self.public_key[..]].concat());
        write!(f, "{}+{id:08x}+{key}", self.name)
    }
}

impl FromStr for VerifierKey {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("verifier key");
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("it is not `name+id+key`"));
        };
        if !is_key_name(name) {
            return Err(malformed("the name is empty or has spaces"));
        }
        let key = from_base64(key).ok_or(malformed("the key is not base64"))?;
        let (kind, public_key) = match key.split_first() {
            Some((1, rest)) => (KeyKind::Note, rest),
            Some((4, rest)) => (KeyKind::Cosignature, rest),
            _ => {
                return Err(malformed(
                    "the type is neither 0x01 nor 0x04, that is, Ed25519",
                ));
            }
        };
        let public_key = public_key
            .try_into()
            .map_err(|_| malformed("an Ed25519 key has 32 bytes"))?;
        let key = Self {
            name: name.to_owned(),
            kind,
            public_key,
        };
        let expected = format!("{:08x}", u32::from_be_bytes(key.id()));
        if id != expected {
            return Err(malformed("the id is not that of the name and the key"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of c2sp.org/signed-note.
    const EXAMPLE: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    #[test]
    fn key_of_the_specification_is_read() {
        let key: VerifierKey = EXAMPLE.parse().unwrap();
        assert_eq!(
            (key.name.as_str(), key.kind),
            ("example.com/foo", KeyKind::Note)
        );
        assert_eq!(key.id(), [0x53, 0x0d, 0x90, 0x3a]);
        assert_eq!(key.to_string(), EXAMPLE);
    }

    #[test]
    fn changed_keys_are_refused() {
        for changed in [
            EXAMPLE.replace("foo", "fooo"),
            EXAMPLE.replace("530d", "530D"),
            EXAMPLE.replace("530d", "530e"),
            EXAMPLE.replace("Aeky", "Aekz"),
            EXAMPLE.replace("U2k", "U2"),
            EXAMPLE.replace("example.com/foo", ""),
            EXAMPLE.replace("example.com", "example com"),
            EXAMPLE.replace("+Aeky", "+Aek"),
            format!("{EXAMPLE}\n"),
            "a+b".to_owned(),
        ] {
            assert!(changed.parse::<VerifierKey>().is_err(), "{changed}");
        }
    }

    #[test]
    fn purposes_have_ids_of_their_own() {
        let (note, witness) = (
            VerifierKey::new("a", [7; 32]),
            VerifierKey::witness("a", [7; 32]),
        );
        assert_ne!(note.id(), witness.id());
        assert_eq!(witness.to_string().parse(), Ok(witness));
        assert_eq!(note.to_string().parse(), Ok(note));
    }

    #[test]
    fn secret_key_is_stored_and_not_shown() {
        let (key, bytes) = SigningKey::generate();
        let again = SigningKey::from_bytes(&bytes).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        // Ed25519 signatures are deterministic.
        assert_eq!(again.sign("a", "b\n"), key.sign("a", "b\n"));
        assert_eq!(format!("{key:?}"), "SigningKey");
        assert!(SigningKey::from_bytes(&bytes[1..]).is_err());
        assert!(SigningKey::from_bytes(&[]).is_err());
    }

    proptest! {
        #[test]
        fn key_that_is_read_is_written_alike(text in any::<String>()) {
            if let Ok(key) = text.parse::<VerifierKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }

        #[test]
        fn every_key_is_read_again(name in "[!-*,-~é]{1,20}", public_key: [u8; 32]) {
            let key = VerifierKey::new(name, public_key);
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
