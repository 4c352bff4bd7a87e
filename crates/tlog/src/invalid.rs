//! The error of parsing and verifying.
//!
//! Each sentence says what is wrong with the input, and repeats nothing of it. Proofs that can't be made, since a stored
//! hash is missing, have an error of their own: [`ProofError`](crate::subtree::ProofError).

/// A reason to refuse an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The input is not spelt as its format demands.
    #[error("The {what} is malformed: {why}.")]
    Malformed {
        /// The kind of input.
        what: &'static str,
        /// The broken rule.
        why: &'static str,
    },
    /// The entry's index is not below the log's size.
    #[error("The index {index} is not in a log of size {size}.")]
    IndexBeyondSize {
        /// The index.
        index: u64,
        /// The log's size.
        size: u64,
    },
    /// The old size is above the new one.
    #[error("The old size {old_size} is above the new size {new_size}.")]
    SizesReversed {
        /// The old size.
        old_size: u64,
        /// The new size.
        new_size: u64,
    },
    /// The proof has too few or too many hashes.
    #[error("The proof has the wrong number of hashes.")]
    ProofLength,
    /// The proof computes another root than the expected one.
    #[error("The proof does not lead to the root.")]
    Root,
    /// The consistency proof computes another old root than the expected one.
    #[error("The proof does not lead to the old root.")]
    OldRoot,
    /// No known key signed.
    #[error("None of the known keys signed it.")]
    Unsigned,
    /// A known key's signature does not match.
    #[error("The signature of the known key `{name}` does not match.")]
    Signature {
        /// The key's name.
        name: String,
    },
    /// The checkpoint is that of another log.
    #[error("The checkpoint has another origin than the expected one.")]
    Origin,
    /// The key can't be used.
    #[error("The secret key is not an Ed25519 key in PKCS #8.")]
    SecretKey,
    /// An entry is too long for an entry bundle.
    #[error(
        "An entry of {bytes} bytes is too long: entry bundles hold entries of at most 65535 bytes."
    )]
    EntryTooLong {
        /// The entry's length.
        bytes: usize,
    },
}

impl Invalid {
    /// Makes the errors of one kind of input, each from the broken rule.
    pub(crate) fn malformed(what: &'static str) -> impl Fn(&'static str) -> Self + Copy {
        move |why| Self::Malformed { what, why }
    }
}
