//! All that a signature is judged by.

use crate::pki::{Anchors, Rules};

/// How a signature is to be judged.
#[derive(Debug, Clone)]
pub struct Judging<'a> {
    /// The document that a detached signature signs.
    pub document: Option<&'a [u8]>,
    /// The trusted certificates.
    pub anchors: &'a Anchors,
    /// Certificates in DER that are at hand beside the signature and not trusted: of signers who are not in it, renewed ones of its
    /// keys, and of authorities in between.
    pub certificates: &'a [Vec<u8>],
    /// The rules for chains.
    pub rules: Rules,
    /// The time of the verification, in milliseconds since 1970.
    pub now_ms: i64,
}

impl<'a> Judging<'a> {
    /// By these trusted certificates at this time, without a document or other certificates, and by the rules that hold where nobody says otherwise.
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
