//! Checkpoints (c2sp.org/tlog-checkpoint): a log's signed promise of its size and root.
//!
//! Whoever holds one can prove that the log broke it. Witnesses sign the same text: see
//! [`cosignature`](crate::cosignature).

use crate::hash::Hash;
use crate::invalid::Invalid;
use crate::key::{KeyKind, SigningKey, VerifierKey};
use crate::note::Note;
use crate::text::{base64, decimal, hash_from_base64};

/// A log's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is also that of its keys: [`is_key_name`](crate::key::is_key_name) must hold for it.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, base64(&self.root))
    }

    /// Reads a checkpoint's text, which nobody has verified. Extension lines are allowed and forgotten.
    ///
    /// # Errors
    ///
    /// [`Invalid::Malformed`].
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("checkpoint");
        let text = text
            .strip_suffix('\n')
            .ok_or(malformed("it does not end with a line break"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(malformed("it has fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: decimal(size).ok_or(malformed("the size is not a decimal number"))?,
            root: hash_from_base64(root)
                .ok_or(malformed("the root is not a SHA-256 hash in base64"))?,
        })
    }

    /// Signs the checkpoint with each key: the whole note.
    ///
    /// While keys rotate there are two. Without any key the result is not a note.
    pub fn sign(&self, keys: &[&SigningKey]) -> String {
        let text = self.to_text();
        let mut note = format!("{text}\n");
        for key in keys {
            note += &key.sign(&self.origin, &text);
        }
        note
    }

    /// Reads a checkpoint that a log signed with one of the keys.
    ///
    /// Witnesses' keys may be among the keys, and their signatures must match then; but the log's own signature must be
    /// there.
    ///
    /// # Errors
    ///
    /// Any error of [`Note::parse`] and [`Note::verified_by`], and [`Invalid::Origin`].
    pub fn open(note: &str, origin: &str, keys: &[VerifierKey]) -> Result<Self, Invalid> {
        let note = Note::parse(note)?;
        let signers = note.verified_by(keys)?;
        if !signers.iter().any(|key| key.kind == KeyKind::Note) {
            return Err(Invalid::Unsigned);
        }
        let checkpoint = Self::parse(&note.text)?;
        match checkpoint.origin == origin {
            true => Ok(checkpoint),
            false => Err(Invalid::Origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cosignature::cosign;
    use crate::hash::EMPTY_ROOT;

    fn example() -> Checkpoint {
        Checkpoint {
            origin: "example.com/log".to_owned(),
            size: 20_852_163,
            root: [7; 32],
        }
    }

    #[test]
    fn text_is_that_of_the_specification() {
        let text =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_text(), text);
        let extended = format!("{text}an extension\n");
        assert_eq!(Checkpoint::parse(&extended), Ok(checkpoint));
    }

    #[test]
    fn malformed_texts_are_refused() {
        let root = base64(&EMPTY_ROOT);
        assert!(Checkpoint::parse(&format!("a\n0\n{root}\n")).is_ok());
        for text in [
            String::new(),
            "\n".to_owned(),
            "a\n0\n".to_owned(),
            format!("a\n0\n{root}"),
            format!("\n0\n{root}\n"),
            format!("a\n00\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n\n{root}\n"),
            format!("a\n0 \n{root}\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            format!("a\n0\n{root}\n\n"),
            format!("a\n0\n{root}\n\nb\n"),
            "a\n0\nAAAA\n".to_owned(),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn either_key_of_a_rotation_opens_it() {
        let ((old, _), (new, _), (other, _)) = (
            SigningKey::generate(),
            SigningKey::generate(),
            SigningKey::generate(),
        );
        let checkpoint = example();
        let origin = checkpoint.origin.as_str();
        let note = checkpoint.sign(&[&old, &new]);
        for key in [&old, &new] {
            let opened = Checkpoint::open(&note, origin, &[key.verifier(origin)]);
            assert_eq!(opened.as_ref(), Ok(&checkpoint));
        }
        let keys = [old.verifier(origin)];
        let open = |note: &str, origin: &str| Checkpoint::open(note, origin, &keys);
        assert_eq!(open(&note, "example.com/other"), Err(Invalid::Origin));
        let changed = note.replace("20852163", "20852164");
        assert!(matches!(
            open(&changed, origin),
            Err(Invalid::Signature { .. })
        ));
        assert_eq!(
            open(&checkpoint.sign(&[&other]), origin),
            Err(Invalid::Unsigned)
        );
        assert!(open(&checkpoint.sign(&[]), origin).is_err());
    }

    #[test]
    fn witness_does_not_stand_for_the_log() {
        let ((log, _), (witness, _)) = (SigningKey::generate(), SigningKey::generate());
        let checkpoint = example();
        let origin = checkpoint.origin.as_str();
        let line = cosign(&witness, "w", &checkpoint.to_text(), 1);
        let keys = [
            log.verifier(origin),
            VerifierKey::witness("w", witness.public_key()),
        ];
        let unsigned = format!("{}\n{line}", checkpoint.to_text());
        assert_eq!(
            Checkpoint::open(&unsigned, origin, &keys),
            Err(Invalid::Unsigned)
        );
        let signed = checkpoint.sign(&[&log]) + &line;
        assert_eq!(Checkpoint::open(&signed, origin, &keys), Ok(checkpoint));
    }

    proptest! {
        #[test]
        fn text_that_is_read_is_written_alike(
            origin in ".{0,5}",
            size in "0|[1-9][0-9]{0,19}|.{1,2}",
            root in "[A-Za-z0-9+/]{42}[AEIQ]=",
            end in "\n|\n\n|\nb\n|",
        ) {
            let text = format!("{origin}\n{size}\n{root}{end}");
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert!(text.starts_with(&checkpoint.to_text()));
            }
        }
    }
}
