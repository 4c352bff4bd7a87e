//! Witnesses' signatures of checkpoints (c2sp.org/tlog-cosignature, Ed25519).
//!
//! With it a witness states that it saw one history of the log, and when. Cosignatures of ML-DSA-44 are ignored like those
//! of unknown keys. How a log asks for a cosignature is in [`witness`](crate::witness).

use crate::invalid::Invalid;
use crate::key::{KeyKind, SigningKey, VerifierKey, cosigned_message, split_timestamp};
use crate::note::{Note, Signature, known};

/// A witness's signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness's key.
    pub key: VerifierKey,
    /// The time of signing, in seconds since 1970.
    pub at_s: u64,
    /// The line for the note, with its line break.
    pub line: String,
}

/// Signs a checkpoint's text as a witness at a time, in seconds since 1970: the line with its line break.
pub fn cosign(key: &SigningKey, name: &str, text: &str, at_s: u64) -> String {
    let signature = key.sign_bytes(cosigned_message(text, at_s).as_bytes());
    let timed = [&at_s.to_be_bytes()[..], &signature].concat();
    key.signature_line(name, KeyKind::Cosignature, &timed)
}

/// Verifies a witness's signature of a checkpoint's text, and returns its time in seconds since 1970.
///
/// # Errors
///
/// [`Invalid::Unsigned`] if it is another key's or the key is not a witness's, and [`Invalid::Signature`] if it does not
/// match.
pub fn verify_cosignature(
    signature: &Signature,
    text: &str,
    key: &VerifierKey,
) -> Result<u64, Invalid> {
    if key.kind != KeyKind::Cosignature || !signature.is_of(key) {
        return Err(Invalid::Unsigned);
    }
    let bytes = &signature.signature;
    let verified = split_timestamp(bytes).filter(|_| key.verifies(text, bytes));
    verified
        .map(|(at_s, _)| at_s)
        .ok_or_else(|| Invalid::Signature {
            name: key.name.clone(),
        })
}

/// The signatures of known witnesses in a checkpoint, one for each key; none if no known witness signed.
///
/// # Errors
///
/// [`Invalid::Signature`] if a known witness's signature does not match.
pub fn cosignatures(note: &Note, witnesses: &[VerifierKey]) -> Result<Vec<Cosignature>, Invalid> {
    verified(&note.signatures, &note.text, witnesses)
}

/// The verified signatures of known witnesses.
pub(crate) fn verified(
    signatures: &[Signature],
    text: &str,
    witnesses: &[VerifierKey],
) -> Result<Vec<Cosignature>, Invalid> {
    let mut found: Vec<Cosignature> = Vec::new();
    for (signature, key) in known(signatures, text, witnesses)? {
        let is_known = found.iter().any(|other| other.key == *key);
        if key.kind == KeyKind::Cosignature && !is_known {
            found.push(Cosignature {
                key: key.clone(),
                at_s: verify_cosignature(signature, text, key)?,
                line: format!("{signature}\n"),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_the_specification_has_its_time() {
        let line = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";
        let signature: Signature = line.parse().unwrap();
        let (at_s, rest) = split_timestamp(&signature.signature).unwrap();
        assert_eq!((at_s, rest.len()), (1_679_315_147, 64));
        let text =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        // The example in the section about the signed message.
        let message = format!("cosignature/v1\ntime 1679315147\n{text}");
        assert_eq!(cosigned_message(text, at_s), message);
    }

    #[test]
    fn signature_holds_for_one_text_one_time_and_one_key() {
        let (key, _) = SigningKey::generate();
        let (other, _) = SigningKey::generate();
        let known = VerifierKey::witness("w", key.public_key());
        let text = "a\n1\nAAAA\n";
        let line = cosign(&key, "w", text, 7);
        let signature: Signature = line.trim_end().parse().unwrap();
        assert_eq!(verify_cosignature(&signature, text, &known), Ok(7));
        let mismatch = Err(Invalid::Signature {
            name: "w".to_owned(),
        });
        assert_eq!(
            verify_cosignature(&signature, "a\n2\nAAAA\n", &known),
            mismatch
        );
        let mut later = signature.clone();
        later.signature[7] += 1;
        assert_eq!(verify_cosignature(&later, text, &known), mismatch);
        let mut short = signature.clone();
        short.signature.truncate(7);
        assert_eq!(verify_cosignature(&short, text, &known), mismatch);
        for key in [
            VerifierKey::witness("w", other.public_key()),
            VerifierKey::witness("v", key.public_key()),
            VerifierKey::new("w", key.public_key()),
        ] {
            assert_eq!(
                verify_cosignature(&signature, text, &key),
                Err(Invalid::Unsigned)
            );
        }
        // A time beyond 2^63 - 1 is not allowed, however well it is signed.
        let beyond = cosign(&key, "w", text, 1 << 63);
        let beyond: Signature = beyond.trim_end().parse().unwrap();
        assert_eq!(verify_cosignature(&beyond, text, &known), mismatch);
    }
}
