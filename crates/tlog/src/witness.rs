//! Asking a witness for its signature (c2sp.org/tlog-witness, `add-checkpoint`).
//!
//! Bodies of requests and answers are written and parsed here; sending them is the caller's work.

use std::fmt;
use std::str::FromStr;

use crate::cosignature::{Cosignature, verified};
use crate::hash::Hash;
use crate::invalid::Invalid;
use crate::key::VerifierKey;
use crate::note::{Note, Signature};
use crate::text::{base64, decimal, hash_from_base64};

/// The most hashes of a consistency proof, since logs have fewer than 2^63 entries.
const MAX_PROOF: usize = 63;

/// Reads a witness's answer to [`AddCheckpoint`] about the checkpoint with this text.
///
/// # Errors
///
/// [`Invalid::Malformed`] if the answer is not a list of signatures or has one without a time, [`Invalid::Signature`] if
/// a known witness's signature does not match, and [`Invalid::Unsigned`] if no known witness signed.
pub fn read_answer(
    answer: &str,
    text: &str,
    witnesses: &[VerifierKey],
) -> Result<Vec<Cosignature>, Invalid> {
    let found = verified(&Signature::read_lines(answer)?, text, witnesses)?;
    if found.iter().any(|cosignature| cosignature.at_s == 0) {
        return Err(Invalid::malformed("answer of the witness")(
            "a signature has no time",
        ));
    }
    match found.is_empty() {
        true => Err(Invalid::Unsigned),
        false => Ok(found),
    }
}

/// Reads a witness's answer with status 409: the size of the log that it signed last.
///
/// # Errors
///
/// [`Invalid::Malformed`].
pub fn read_size(answer: &str) -> Result<u64, Invalid> {
    let size = answer.strip_suffix('\n').and_then(decimal);
    size.ok_or(Invalid::malformed("answer of the witness")(
        "it is not a size",
    ))
}

/// The body of a request `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness signed last, or 0.
    pub old_size: u64,
    /// The proof that the checkpoint continues the log of that size.
    pub proof: Vec<Hash>,
    /// The checkpoint: a whole note.
    pub checkpoint: String,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        for hash in &self.proof {
            writeln!(f, "{}", base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Invalid;

    fn from_str(body: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("request to the witness");
        let (head, checkpoint) = body
            .split_once("\n\n")
            .ok_or(malformed("there is no empty line before the checkpoint"))?;
        Note::parse(checkpoint)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old "));
        let proof: Option<Vec<_>> = lines.map(hash_from_base64).collect();
        let proof = proof.ok_or(malformed("a line of the proof is not a hash"))?;
        if proof.len() > MAX_PROOF {
            return Err(malformed("the proof has more than 63 hashes"));
        }
        Ok(Self {
            old_size: old_size
                .and_then(decimal)
                .ok_or(malformed("the first line is not `old` and a size"))?,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::cosignature::{cosign, cosignatures};
    use crate::key::SigningKey;
    use crate::subtree::consistency_proof;
    use crate::testing::MemoryLog;
    use crate::verify::verify_consistency;

    const ORIGIN: &str = "example.com/log";

    fn checkpoint(log: &MemoryLog, size: u64) -> Checkpoint {
        Checkpoint {
            origin: ORIGIN.to_owned(),
            size,
            root: *log.root(size),
        }
    }

    /// A witness that plays by c2sp.org/tlog-witness.
    struct Witness {
        key: SigningKey,
        log: VerifierKey,
        seen: (u64, Hash),
    }

    impl Witness {
        fn answer(&mut self, body: &str) -> Result<String, u16> {
            let request: AddCheckpoint = body.parse().map_err(|_| 400_u16)?;
            let keys = [self.log.clone()];
            let checkpoint =
                Checkpoint::open(&request.checkpoint, ORIGIN, &keys).map_err(|_| 403_u16)?;
            if request.old_size != self.seen.0 {
                return Err(409);
            }
            verify_consistency(
                request.old_size,
                checkpoint.size,
                &request.proof,
                &self.seen.1,
                &checkpoint.root,
            )
            .map_err(|_| 422_u16)?;
            self.seen = (checkpoint.size, checkpoint.root);
            Ok(cosign(&self.key, "w", &checkpoint.to_text(), 1_679_315_147))
        }
    }

    #[test]
    fn witness_signs_one_history() {
        let mut log = MemoryLog::with_size(300);
        let (log_key, _) = SigningKey::generate();
        let (key, _) = SigningKey::generate();
        let known = [VerifierKey::witness("w", key.public_key())];
        let mut witness = Witness {
            key,
            log: log_key.verifier(ORIGIN),
            seen: (0, crate::hash::EMPTY_ROOT),
        };
        let mut request = |old_size, size| {
            let body = AddCheckpoint {
                old_size,
                proof: consistency_proof(old_size, size, &mut log).unwrap(),
                checkpoint: checkpoint(&log, size).sign(&[&log_key]),
            };
            assert_eq!(body.to_string().parse(), Ok(body.clone()));
            body
        };
        let (first, second, stale) = (request(0, 100), request(100, 300), request(0, 300));
        for body in [&first, &second] {
            let answer = witness.answer(&body.to_string()).unwrap();
            let note = Note::parse(&body.checkpoint).unwrap();
            let found = read_answer(&answer, &note.text, &known).unwrap();
            assert_eq!((found.len(), found[0].at_s), (1, 1_679_315_147));
            assert_eq!(found[0].line, answer);
            let cosigned = Note::parse(&(body.checkpoint.clone() + &answer)).unwrap();
            assert_eq!(cosignatures(&cosigned, &known), Ok(found));
            assert_eq!(cosignatures(&note, &known), Ok(vec![]));
        }
        assert_eq!(witness.answer(&stale.to_string()), Err(409));
        let mut rewritten = MemoryLog::with_size(301);
        rewritten.roots[301][0] ^= 1;
        let forked = AddCheckpoint {
            old_size: 300,
            proof: consistency_proof(300, 301, &mut rewritten).unwrap(),
            checkpoint: checkpoint(&rewritten, 301).sign(&[&log_key]),
        };
        assert_eq!(witness.answer(&forked.to_string()), Err(422));
    }

    #[test]
    fn answer_needs_a_known_key_and_a_time() {
        let ((key, _), (other, _)) = (SigningKey::generate(), SigningKey::generate());
        let known = [VerifierKey::witness("w", key.public_key())];
        let text = "a\n1\nAAAA\n";
        let (line, stranger) = (cosign(&key, "w", text, 7), cosign(&other, "w", text, 7));
        assert_eq!(read_answer(&stranger, text, &known), Err(Invalid::Unsigned));
        let both = read_answer(&(stranger + &line), text, &known).unwrap();
        assert_eq!(both.len(), 1);
        assert!(read_answer(&cosign(&key, "w", text, 0), text, &known).is_err());
        let elsewhere = read_answer(&line, "a\n2\nAAAA\n", &known);
        assert!(matches!(elsewhere, Err(Invalid::Signature { .. })));
        assert!(read_answer("", text, &known).is_err());
        assert!(read_answer(line.trim_end(), text, &known).is_err());
    }

    #[test]
    fn answer_409_is_a_size() {
        assert_eq!(read_size("20852014\n"), Ok(20_852_014));
        for answer in ["", "\n", "1", "01\n", "1\n\n", "x\n"] {
            assert!(read_size(answer).is_err(), "{answer:?}");
        }
    }

    #[test]
    fn malformed_requests_are_refused() {
        let note = "a\n\n— a AAAAAAA=\n";
        let hash = base64(&[7; 32]);
        assert!(format!("old 0\n\n{note}").parse::<AddCheckpoint>().is_ok());
        for body in [
            format!("old 00\n\n{note}"),
            format!("old\n\n{note}"),
            format!("\n\n{note}"),
            format!("old 0\n{note}"),
            format!("old 1\nAAAA\n\n{note}"),
            format!("old 1\n{}\n{note}", format!("{hash}\n").repeat(64)),
            format!("old 1\n{hash}\n\n"),
        ] {
            assert!(body.parse::<AddCheckpoint>().is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn request_that_is_read_is_written_alike(text in "old [0-9]{0,3}\n(.{0,3}\n){0,2}\na\n\n— a AAAAAAA=\n") {
            if let Ok(request) = text.parse::<AddCheckpoint>() {
                prop_assert_eq!(request.to_string(), text);
            }
        }
    }
}
