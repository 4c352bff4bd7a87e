//! Proofs in a file (c2sp.org/tlog-proof): a proof of inclusion with the checkpoint that it leads to.
//!
//! Whoever has the entry, the log's name and its public key verifies it offline. The file does not hold the entry: what
//! it is, the application says. Ours stands in `extra`, which nobody vouches for until the proof is verified.

use std::fmt;
use std::str::FromStr;

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::invalid::Invalid;
use crate::key::VerifierKey;
use crate::note::Note;
use crate::text::{base64, decimal, from_base64, hash_from_base64};
use crate::verify::verify_inclusion;

/// The first line.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";

/// The most hashes of a proof of inclusion, since sizes are 64-bit numbers.
const MAX_PROOF: usize = 64;

/// A proof with its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data of the application. It is not authenticated.
    pub extra: Option<Vec<u8>>,
    /// The entry's number in the log, from 0.
    pub index: u64,
    /// The proof of inclusion.
    pub proof: Vec<Hash>,
    /// The checkpoint: a whole note.
    pub checkpoint: String,
}

impl TlogProof {
    /// Verifies that the log has this leaf, and returns the checkpoint that says so.
    ///
    /// Cosignatures are not looked at, unless witnesses' keys are among the keys: then
    /// [`cosignatures`](crate::cosignature::cosignatures) counts them.
    ///
    /// # Errors
    ///
    /// Any error of [`Checkpoint::open`] and [`verify_inclusion`].
    pub fn verify(
        &self,
        leaf: &Hash,
        origin: &str,
        keys: &[VerifierKey],
    ) -> Result<Checkpoint, Invalid> {
        let checkpoint = Checkpoint::open(&self.checkpoint, origin, keys)?;
        verify_inclusion(
            self.index,
            checkpoint.size,
            leaf,
            &self.proof,
            &checkpoint.root,
        )?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.proof {
            writeln!(f, "{}", base64(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let malformed = Invalid::malformed("proof");
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(malformed("there is no empty line before the checkpoint"))?;
        Note::parse(checkpoint)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(MAGIC) {
            return Err(malformed("the first line is not `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines.peek().and_then(|line| line.strip_prefix("extra "));
        let extra = match extra {
            Some(extra) => {
                lines.next();
                Some(from_base64(extra).ok_or(malformed("`extra` is not base64"))?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = index
            .and_then(decimal)
            .ok_or(malformed("the line `index` is missing or not a number"))?;
        let proof: Option<Vec<_>> = lines.map(hash_from_base64).collect();
        let proof = proof.ok_or(malformed("a line of the proof is not a hash"))?;
        if proof.len() > MAX_PROOF {
            return Err(malformed("it has more than 64 hashes"));
        }
        Ok(Self {
            extra,
            index,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::SigningKey;
    use crate::subtree::inclusion_proof;
    use crate::testing::MemoryLog;

    const NOTE: &str = "a\n\n— a AAAAAAA=\n";

    #[test]
    fn spelling_is_that_of_the_specification() {
        let proof = TlogProof {
            extra: Some(b"age".to_vec()),
            index: 73_894,
            proof: vec![[0; 32]],
            checkpoint: NOTE.to_owned(),
        };
        let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let text = format!("c2sp.org/tlog-proof@v1\nextra YWdl\nindex 73894\n{hash}\n\n{NOTE}");
        assert_eq!(proof.to_string(), text);
        assert_eq!(text.parse(), Ok(proof));
        let bare = format!("c2sp.org/tlog-proof@v1\nindex 0\n\n{NOTE}");
        let read: TlogProof = bare.parse().unwrap();
        assert_eq!((read.extra.as_ref(), read.proof.len()), (None, 0));
        assert_eq!(read.to_string(), bare);
    }

    #[test]
    fn malformed_proofs_are_refused() {
        let hashes = format!("{}\n", base64(&[0; 32])).repeat(65);
        for head in [
            "",
            "c2sp.org/tlog-proof@v1\n",
            "c2sp.org/tlog-proof@v2\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nindex 00\n",
            "c2sp.org/tlog-proof@v1\nindex  0\n",
            "c2sp.org/tlog-proof@v1\r\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nindex 0\nextra YWdl\n",
            "c2sp.org/tlog-proof@v1\nextra YWd\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nextra\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nextra YWdl\nextra YWdl\nindex 0\n",
            "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n",
            &format!("c2sp.org/tlog-proof@v1\nindex 0\n{hashes}"),
        ] {
            assert!(
                format!("{head}\n{NOTE}").parse::<TlogProof>().is_err(),
                "{head}"
            );
        }
        let unsigned = "c2sp.org/tlog-proof@v1\nindex 0\n\na\n0\n";
        assert!(unsigned.parse::<TlogProof>().is_err());
    }

    #[test]
    fn proof_holds_for_its_leaf_in_its_log() {
        let mut log = MemoryLog::with_size(300);
        let (key, _) = SigningKey::generate();
        let checkpoint = Checkpoint {
            origin: "example.com/log".to_owned(),
            size: 300,
            root: *log.root(300),
        };
        let keys = [key.verifier("example.com/log")];
        let proof = TlogProof {
            extra: None,
            index: 257,
            proof: inclusion_proof(257, 300, &mut log).unwrap(),
            checkpoint: checkpoint.sign(&[&key]),
        };
        let proof: TlogProof = proof.to_string().parse().unwrap();
        let verify = |leaf, origin| proof.verify(leaf, origin, &keys);
        assert_eq!(verify(log.leaf(257), "example.com/log"), Ok(checkpoint));
        assert_eq!(verify(log.leaf(256), "example.com/log"), Err(Invalid::Root));
        assert_eq!(verify(log.leaf(257), "example.com"), Err(Invalid::Origin));
    }

    proptest! {
        #[test]
        fn proof_that_is_read_is_written_alike(
            head in "(extra [A-Za-z0-9=]{0,4}\n)?index [0-9]{0,3}\n([A-Z]{42}[AEI]=\n|.\n){0,2}\n?",
        ) {
            let text = format!("{MAGIC}\n{head}\n{NOTE}");
            if let Ok(proof) = text.parse::<TlogProof>() {
                prop_assert_eq!(proof.to_string(), text);
            }
        }
    }
}
