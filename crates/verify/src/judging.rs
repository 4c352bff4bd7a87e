//! The inputs for judging a signature.

use crate::pki::{Anchors, Rules};

/// The inputs for judging a signature: document, certificates, rules and time.
#[derive(Debug, Clone)]
pub struct Judging<'a> {
    /// The document that a detached signature signs, if there is one.
    pub document: Option<&'a [u8]>,
    /// The trusted certificates.
    pub anchors: &'a Anchors,
    /// Untrusted certificates in DER that help to build chains: signers that the signature does not embed, renewed
    /// certificates of their keys, and intermediate authorities.
    pub certificates: &'a [Vec<u8>],
    /// The rules for certificate chains.
    pub rules: Rules,
    /// The time of the verification, in milliseconds since 1970.
    pub now_ms: i64,
}

impl<'a> Judging<'a> {
    /// Judges by these trusted certificates at this time, with default rules and without a document or other
    /// certificates.
    pub fn new(anchors: &'a Anchors, now_ms: i64) -> Self {
        Self {
            document: None,
            anchors,
            certificates: &[],
            rules: Rules::default(),
            now_ms,
        }
    }
}
