//! Reading XML signatures (XMLDSig, XAdES): who signed what, and whether the bytes still agree.
//!
//! Pure functions over bytes; nothing is fetched.
//!
//! - `text` decodes bytes to characters; `parse` makes a `document` of them, within limits.
//! - `elements` names the namespaces and algorithms that are supported.
//! - `node_set` is a part of a document; `canonical` writes it as the octets that are hashed (Canonical XML 1.0, 1.1 or
//!   exclusive; `base_uri` joins `xml:base` for 1.1).
//! - `reference` follows one reference: what it covers, and its digest after the transforms of `transform`. `xpath`
//!   reads the expressions that leave elements out.
//! - `budget` collects or hashes computed octets, within the budget of `pki::work`.
//! - `signature` reads one `Signature`, `xades` its qualifying properties, `stamps` its time stamps; `verify` checks
//!   its value by its `method`, with the certificates that `key_info` finds.
//! - `coverage` checks whether the signature covers all that an application reads, by the names in `vocabulary`;
//!   `judge` derives the verdict.
//!
//! References to other files, and transforms that do not occur in practice, are `Unresolved`; nothing is guessed.

mod base_uri;
mod canonical;
mod coverage;
mod document;
mod elements;
mod judge;
mod key_info;
mod method;
mod node_set;
mod output;
mod parse;
mod reference;
mod signature;
mod stamps;
#[cfg(test)]
pub(crate) mod tests;
mod text;
mod transform;
mod verify;
mod vocabulary;
mod xades;
mod xpath;

use crate::pki::budget::Exhausted;
use crate::pki::{Algorithm, oid};

pub use judge::{judge, judge_within};
pub use signature::{Xml, inspect, inspect_over};

/// One `Signature` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlSignature {
    /// The `Id` attribute.
    pub id: Option<String>,
    /// URI of the signature method; empty if it is missing.
    pub signature_method: String,
    /// The signature method; `None` if it is not supported.
    method: Option<method::Method>,
    /// URI of the canonicalisation method of `SignedInfo`; empty if it is missing.
    pub canonicalization_method: String,
    /// The signed parts, in the order of the file.
    pub references: Vec<Reference>,
    /// The certificates in DER of the `KeyInfo`, or that it refers to in the document. If the signer's certificate is
    /// only at hand elsewhere, it comes last.
    pub certificates: Vec<Vec<u8>>,
    /// Whether the last of [`XmlSignature::certificates`] is not from the `KeyInfo`.
    pub is_certificate_given: bool,
    /// Index of the certificate that the signed properties name as the signing one. These properties count only under
    /// the condition of [`XmlSignature::signing_time`].
    pub signing_certificate: Option<usize>,
    /// The signing time that the signer claims, as written. Only if an intact reference of this signature covers it;
    /// otherwise anyone may have written it.
    pub signing_time: Option<String>,
    /// Whether the signature value matches `SignedInfo`.
    pub value: ValueIntegrity,
    /// Whether the certificate that verifies the value is the one that the signed properties name. If no certificate
    /// verifies it, whether the named one is at hand. `None` if no property that an intact reference covers names one.
    pub signing_certificate_matches: Option<bool>,
    /// The time stamps, in the order of the file.
    pub timestamps: Vec<TimeStamp>,
    /// The embedded validation data.
    pub evidence: Evidence,
    /// Whether an identifier occurs twice in the document. References to such an identifier are broken. Others are not
    /// affected: business documents often repeat an `id` in harmless places.
    pub duplicate_ids: bool,
    /// Whether a reference covers the whole document or an element around this signature. Says nothing about integrity.
    pub encloses: bool,
    /// Whether this signature is the root element, and references cover each of its `Object`s but for those that have only its own
    /// properties or key. Says nothing about integrity.
    pub envelops: bool,
    /// Whether something could be mistaken for signed content: it is in this signature, or in another one that this one
    /// does not sign; that signature does not sign it either; and it is no regular part of a signature.
    pub has_unsigned: bool,
    /// Whether the document consists of this signature only, or of a list of signatures (`ASiC`, `OpenDocument` or
    /// EPUB) that contains it.
    pub is_apart: bool,
    /// Whether covered text is split: an unsigned comment or an omitted signature comes right before it, or such a
    /// signature comes right after text in a place where signers do not put it.
    pub splits_text: bool,
    /// Whether a reference covers content outside the document that was given and is intact.
    pub covers_external: bool,
    /// Whether a document was given, but no reference has its digest. Never true for a countersignature: it signs
    /// another signature, not a document.
    pub ignores_given: bool,
    /// Whether a reference covers the whole document, or its root element if no processing instructions are around it.
    /// Says nothing about integrity.
    pub covers_root: bool,
    /// Index of the signature whose unsigned properties contain this one.
    countersigned: Option<usize>,
}

impl XmlSignature {
    /// The signer's certificate, in DER: the one that verifies the value; otherwise the one that the signed properties
    /// name; otherwise the first.
    pub fn certificate(&self) -> Option<&[u8]> {
        let place = match self.value {
            ValueIntegrity::Intact(place) => Some(place),
            _ => self.signing_certificate,
        };
        let certificate = self.certificates.get(place.unwrap_or_default());
        certificate.map(Vec::as_slice)
    }

    /// Whether this is a countersignature that signs the value of the signature around it. Says nothing about
    /// integrity.
    pub fn countersigns(&self) -> bool {
        let mut references = self.references.iter();
        references.any(|reference| {
            reference.covers == Coverage::Countersigned && !reference.covers_text_alone()
        })
    }

    /// Number of certificates from the `KeyInfo`.
    pub fn embedded_certificates(&self) -> usize {
        self.certificates.len() - usize::from(self.is_certificate_given)
    }

    /// Whether all signed content is outside of the document.
    pub fn is_detached(&self) -> bool {
        let mut signed = self.references.iter().map(|reference| &reference.covers);
        signed.all(|covers| matches!(covers, Coverage::External | Coverage::SignedProperties))
    }

    /// The signature algorithm; if it is not known, its URI.
    pub fn signature_algorithm(&self) -> Algorithm {
        let known = self.method.as_ref().map(method::Method::describe);
        known.unwrap_or_else(|| unknown(&self.signature_method))
    }

    /// The digest algorithm of the first reference; if it is not known, its URI.
    pub fn digest_algorithm(&self) -> Algorithm {
        let uri = self.references.first().map_or("", |it| &it.digest_method);
        let known = elements::digest(uri);
        known.map_or_else(
            || unknown(uri),
            |hash| oid::algorithm(hash.oid().to_owned()),
        )
    }

    /// The signing time that the signer claims, in milliseconds since 1970.
    pub fn signing_time_ms(&self) -> Option<i64> {
        self.signing_time.as_deref().and_then(judge::time_ms)
    }

    /// Whether there are references and all of them are intact.
    pub fn references_intact(&self) -> bool {
        !self.references.is_empty()
            && self
                .references
                .iter()
                .all(|reference| reference.integrity == ReferenceIntegrity::Intact)
    }
}

fn unknown(uri: &str) -> Algorithm {
    Algorithm {
        oid: uri.to_owned(),
        name: None,
    }
}

/// A time stamp of a signature (XAdES `SignatureTimeStamp` and `ArchiveTimeStamp`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeStamp {
    /// The data that is stamped.
    pub stamped: Stamped,
    /// The time-stamp tokens.
    pub tokens: Vec<TimeStampToken>,
    /// Indices of the signatures that the time stamp also covers, mainly countersignatures.
    pub along: Vec<usize>,
    /// SHA-256 of each certificate that the time stamp covers.
    pub certificates: Vec<[u8; 32]>,
}

/// The data that a time stamp covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamped {
    /// The signature's value.
    Value,
    /// All signed data, the signature, and the unsigned properties before the time stamp.
    Everything,
}

/// A token of a time stamp (RFC 3161).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeStampToken {
    /// The token in DER.
    pub der: Vec<u8>,
    /// The time that the token states, in milliseconds since 1970.
    pub time_ms: i64,
    /// Whether the token's imprint matches the data that it must stamp. Says nothing about who made it.
    pub fits: bool,
}

/// Embedded validation data (XAdES `CertificateValues` and `RevocationValues`), in DER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Certificates.
    pub certificates: Vec<Vec<u8>>,
    /// Certificate revocation lists.
    pub revocation_lists: Vec<Vec<u8>>,
    /// OCSP responses.
    pub revocation_answers: Vec<Vec<u8>>,
}

/// One signed part (XMLDSig 1.1 section 4.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The `URI` attribute; `None` if the application is supposed to know it.
    pub uri: Option<String>,
    /// URIs of the transforms, in order.
    pub transforms: Vec<String>,
    /// URI of the digest algorithm; empty if it is missing.
    pub digest_method: String,
    /// The target of the URI, before transforms.
    pub covers: Coverage,
    /// The parts of the target that the transforms leave out.
    pub omits: Omission,
    /// Whether the digest matches.
    pub integrity: ReferenceIntegrity,
    /// Whether this may be the document that was given.
    is_given: bool,
}

impl Reference {
    /// Whether the URI points outside of the document.
    pub fn leads_elsewhere(&self) -> bool {
        leads_elsewhere(self.uri.as_deref())
    }

    /// Whether only the text of the target is hashed, so that names and structure in it may change.
    pub fn covers_text_alone(&self) -> bool {
        self.transforms.iter().any(|uri| uri == elements::BASE64)
    }
}

/// Elements that the transforms of a reference leave out, each with all its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Omission {
    /// None.
    #[default]
    Nothing,
    /// The signature itself.
    Itself,
    /// All signatures.
    Signatures,
    /// Other elements: a part of the target is not signed.
    Elements,
}

/// Whether the URI of a reference points outside of the document. A missing URI counts as outside: the application is
/// supposed to know it.
pub(crate) fn leads_elsewhere(uri: Option<&str>) -> bool {
    uri.is_none_or(|uri| !uri.is_empty() && !uri.starts_with('#'))
}

/// The target of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// The document. Transforms may leave parts out.
    WholeDocument,
    /// One element with all its content.
    Element {
        /// The element's local name.
        name: String,
        /// The identifier in the URI.
        id: String,
    },
    /// The XAdES signed properties of this signature.
    SignedProperties,
    /// The value of the signature that this one countersigns.
    Countersigned,
    /// Something that is not in this document or can't be found in it.
    External,
}

impl Coverage {
    /// Size of the description, in octets.
    fn octets(&self) -> usize {
        match self {
            Self::Element { name, id } => name.len() + id.len(),
            Self::WholeDocument | Self::SignedProperties | Self::Countersigned | Self::External => {
                0
            }
        }
    }
}

/// Whether a reference's digest matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceIntegrity {
    /// The digest matches.
    Intact,
    /// The digest does not match, the target is ambiguous, or the data can't be read as the transforms demand.
    Broken,
    /// Unknown: the target is elsewhere or not found, or a transform or digest is not supported.
    Unresolved,
}

/// Whether a signature's value matches its `SignedInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueIntegrity {
    /// It matches, by the key of the certificate at this index of [`XmlSignature::certificates`].
    Intact(usize),
    /// None of the certificates that the signature contains or names verifies it: it was changed, or another
    /// certificate made it.
    Broken,
    /// The signature contains and names no readable certificate. If another certificate that is at hand does not verify
    /// it, that proves nothing.
    NoCertificate,
    /// The algorithm with this URI is not supported, or not with this kind of key.
    UnsupportedAlgorithm(String),
}

/// Why a document can't be inspected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// The encoding is not the declared one, or is not supported.
    #[error("this is not XML in UTF-8, UTF-16 or its declared encoding")]
    Encoding,
    /// The document is not well-formed; the text says why.
    #[error("this is not well-formed XML: {0}")]
    Malformed(&'static str),
    /// The document has a document type declaration. It may define entities and default attributes, so the signed
    /// content would depend on it.
    #[error("it has a document type declaration, which is not accepted")]
    DocumentType,
    /// The document exceeds a limit; the text says which.
    #[error("it has too many {0}, or they are too large")]
    TooLarge(&'static str),
}

impl From<Exhausted> for XmlError {
    fn from(Exhausted: Exhausted) -> Self {
        Self::TooLarge("parts")
    }
}
