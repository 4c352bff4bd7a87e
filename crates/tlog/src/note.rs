//! Signed notes (c2sp.org/signed-note): text, an empty line, signatures.
//!
//! The text means nothing until [`Note::verified_by`] says who signed it. Keys are in [`key`](crate::key); a log's notes
//! are [`Checkpoint`](crate::checkpoint::Checkpoint)s.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::key::{VerifierKey, is_key_name, signature_line};
use crate::text::from_base64;

/// The longest note that is read, in bytes: the limit of Go's `x/mod/sumdb/note`.
pub const MAX_NOTE_BYTES: usize = 1_000_000;

/// The most signatures of a note that are read: the limit of Go's `x/mod/sumdb/note`. C2SP demands at least 16.
pub const MAX_SIGNATURES: usize = 100;

/// A signature as it stands in a note. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// The key's id.
    pub key_id: [u8; 4],
    /// The signature; for a witness's, with the time before it.
    pub signature: Vec<u8>,
}

impl Signature {
    /// Whether the key has this signature's name and id.
    pub fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.key_id == key.id()
    }

    /// Reads lines, each with its line break.
    pub(crate) fn read_lines(lines: &str) -> Result<Vec<Self>, Invalid> {
        let malformed = Invalid::malformed("signature");
        let lines = lines
            .strip_suffix('\n')
            .ok_or(malformed("it does not end with a line break"))?;
        if lines.split('\n').count() > MAX_SIGNATURES {
            return Err(malformed("there are more than 100"));
        }
        lines.split('\n').map(str::parse).collect()
    }
}

/// The line without its line break.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = signature_line(&self.name, self.key_id, &self.signature);
        f.write_str(line.trim_end_matches('\n'))
    }
}

impl FromStr for Signature {
    type Err = Invalid;

    fn from_str(line: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("signature");
        let rest = line.strip_prefix("— ");
        let (name, encoded) = rest
            .and_then(|rest| rest.split_once(' '))
            .ok_or(malformed("it is not a dash, a name and base64"))?;
        if !is_key_name(name) {
            return Err(malformed("the name of the key is empty or has spaces"));
        }
        let bytes = from_base64(encoded).ok_or(malformed("it is not base64"))?;
        match bytes.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => Ok(Self {
                name: name.to_owned(),
                key_id: *key_id,
                signature: signature.to_vec(),
            }),
            _ => Err(malformed("it has fewer than five bytes")),
        }
    }
}

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, which ends with a line break.
    pub text: String,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    ///
    /// [`Invalid::Malformed`].
    pub fn parse(note: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("note");
        if note.len() > MAX_NOTE_BYTES {
            return Err(malformed("it has more than 1000000 bytes"));
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(malformed("it has control characters"));
        }
        let (text, signatures) = note
            .rsplit_once("\n\n")
            .ok_or(malformed("there is no empty line before signatures"))?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures: Signature::read_lines(signatures)?,
        })
    }

    /// Verifies the signatures of known keys, and returns the keys that signed, in the order of the signatures.
    ///
    /// Signatures of other keys are ignored: so keys rotate, and so witnesses sign.
    ///
    /// # Errors
    ///
    /// [`Invalid::Signature`] if a known key's signature does not match, and [`Invalid::Unsigned`] if no known key
    /// signed.
    pub fn verified_by<'k>(
        &self,
        keys: &'k [VerifierKey],
    ) -> Result<Vec<&'k VerifierKey>, Invalid> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for (_, key) in known(&self.signatures, &self.text, keys)? {
            if !signers.contains(&key) {
                signers.push(key);
            }
        }
        match signers.is_empty() {
            true => Err(Invalid::Unsigned),
            false => Ok(signers),
        }
    }
}

/// The signatures of known keys, verified; none if no known key signed.
pub(crate) fn known<'s, 'k>(
    signatures: &'s [Signature],
    text: &str,
    keys: &'k [VerifierKey],
) -> Result<Vec<(&'s Signature, &'k VerifierKey)>, Invalid> {
    let mut known = Vec::new();
    for signature in signatures {
        // Two keys may have the same short id.
        let mut candidates = keys.iter().filter(|key| signature.is_of(key)).peekable();
        if candidates.peek().is_none() {
            continue;
        }
        let key = candidates
            .find(|key| key.verifies(text, &signature.signature))
            .ok_or_else(|| Invalid::Signature {
                name: signature.name.clone(),
            })?;
        known.push((signature, key));
    }
    Ok(known)
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}

impl FromStr for Note {
    type Err = Invalid;

    fn from_str(note: &str) -> Result<Self, Invalid> {
        Self::parse(note)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::SigningKey;

    /// The example of c2sp.org/signed-note.
    const EXAMPLE: &str = "This is an example message.\n\n\
        — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    /// Its key.
    fn example_key() -> VerifierKey {
        let key = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        key.parse().unwrap()
    }

    #[test]
    fn note_of_the_specification_is_verified() {
        let note = Note::parse(EXAMPLE).unwrap();
        assert_eq!(note.text, "This is an example message.\n");
        assert_eq!(note.verified_by(&[example_key()]), Ok(vec![&example_key()]));
        assert_eq!(note.to_string(), EXAMPLE);
        let changed = Note::parse(&EXAMPLE.replace("example message", "example massage")).unwrap();
        assert_eq!(
            changed.verified_by(&[example_key()]),
            Err(Invalid::Signature {
                name: "example.com/foo".to_owned()
            })
        );
    }

    #[test]
    fn unknown_keys_are_ignored() {
        let note = Note::parse(EXAMPLE).unwrap();
        let (stranger, _) = SigningKey::generate();
        let same_name = stranger.verifier("example.com/foo");
        assert_eq!(
            note.verified_by(std::slice::from_ref(&same_name)),
            Err(Invalid::Unsigned)
        );
        assert_eq!(note.verified_by(&[]), Err(Invalid::Unsigned));
        let line = stranger.sign("example.com/foo", &note.text);
        let both = Note::parse(&format!("{EXAMPLE}{line}{line}")).unwrap();
        assert_eq!(both.verified_by(&[example_key()]), Ok(vec![&example_key()]));
        let keys = [same_name, example_key()];
        assert_eq!(both.verified_by(&keys), Ok(vec![&keys[1], &keys[0]]));
        // A known key that signed well once and badly once is refused.
        let bad = stranger.sign("example.com/foo", "other\n");
        let bad = Note::parse(&format!("{EXAMPLE}{line}{bad}")).unwrap();
        assert!(matches!(
            bad.verified_by(&keys),
            Err(Invalid::Signature { .. })
        ));
    }

    #[test]
    fn text_may_have_empty_lines_but_the_last_one_ends_it() {
        let (key, _) = SigningKey::generate();
        let text = "a\n\n— b AAAAAAA=\n";
        let note = format!("{text}\n{}", key.sign("a", text));
        assert_eq!(Note::parse(&note).unwrap().text, text);
    }

    #[test]
    fn malformed_notes_are_refused() {
        let line = "— a AAAAAAA=\n";
        assert!(Note::parse(&format!("a\n\n{line}")).is_ok());
        for note in [
            String::new(),
            "a\n".to_owned(),
            "a\n\n".to_owned(),
            format!("a\n{line}"),
            format!("a\r\n\n{line}"),
            format!("a\n\n{}", line.trim_end()),
            format!("a\n\n{line}\n"),
            "a\n\n— a AAAAAA==\n".to_owned(),
            "a\n\n— a AAAAAAA\n".to_owned(),
            "a\n\n— a AAAAAAB=\n".to_owned(),
            "a\n\n—  AAAAAAA=\n".to_owned(),
            "a\n\n- a AAAAAAA=\n".to_owned(),
            "a\n\n— a\u{a0}b AAAAAAA=\n".to_owned(),
            "a\n\n— a+b AAAAAAA=\n".to_owned(),
            format!("a\n\n{}", line.repeat(101)),
            format!("{}\n\n{line}", "a".repeat(MAX_NOTE_BYTES)),
        ] {
            assert!(Note::parse(&note).is_err(), "{note:.60}");
        }
        assert!(Note::parse(&format!("a\n\n{}", line.repeat(100))).is_ok());
    }

    proptest! {
        #[test]
        fn note_that_is_read_is_written_alike(
            text in "[a\n]{0,6}|.{0,20}",
            line in "(— [a+ ]{1,2} [AB=]{4,8}\n|.\n){0,3}",
        ) {
            let text = format!("{text}\n\n{line}");
            if let Ok(note) = Note::parse(&text) {
                prop_assert_eq!(note.to_string(), text);
            }
        }
    }
}
