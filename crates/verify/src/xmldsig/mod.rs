//! Reading XML signatures (XMLDSig, XAdES): who signed what, and whether the bytes still agree.
//!
//! Pure functions over bytes; nothing is fetched.
//!
//! - `text` turns bytes into characters, `parse` these into a `document`, within bounds.
//! - `elements` names the namespaces and algorithms that are known.
//! - `node_set` is a part of it, `canonical` writes that as the octets that get hashed (Canonical XML, exclusive or not;
//!   of version 1.1 `base_uri`).
//! - `reference` follows one reference: what it covers, and its digest after what `transform` makes of it, by `xpath` where it
//!   leaves elements out.
//! - `work` is where computed octets go, within the budget that `pki::work` has for all of it.
//! - `signature` reads one `Signature`, `xades` its qualifying properties, `stamps` its time stamps; `verify` checks its value by its
//!   `method`, with the certificates that `key_info` leads to.
//! - `coverage` is whether that is all that an application reads, by the names of `vocabulary`; `judge` says what all that comes to.
//!
//! References to other files, and transforms outside of those that occur in practice, are `Unresolved`: never a guess.

mod base_uri;
mod canonical;
mod coverage;
mod document;
mod elements;
mod judge;
mod key_info;
mod method;
mod node_set;
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
mod work;
mod xades;
mod xpath;

use crate::pki::work::Exhausted;
use crate::pki::{Algorithm, oid};

pub use judge::{judge, judge_within};
pub use signature::{Xml, inspect, inspect_over};

/// One `Signature` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XmlSignature {
    /// Its `Id`.
    pub id: Option<String>,
    /// URI of what the value was made with; empty where it is missing.
    pub signature_method: String,
    /// The same as it is known elsewhere; none where it is not.
    method: Option<method::Method>,
    /// URI of how its `SignedInfo` is canonicalised; empty where it is missing.
    pub canonicalization_method: String,
    /// What it signs, in the order of the file.
    pub references: Vec<Reference>,
    /// The certificates in its `KeyInfo`, or that this leads to in the document, in DER; then the signer's, where that is only at hand beside it.
    pub certificates: Vec<Vec<u8>>,
    /// Whether the last of them is not in its `KeyInfo`.
    pub is_certificate_given: bool,
    /// Which of them its signed properties name as the signing one; these count as for `signing_time`.
    pub signing_certificate: Option<usize>,
    /// When the signer says that it signed, as written; only where an intact reference of this signature covers it, as
    /// otherwise anyone may have written it.
    pub signing_time: Option<String>,
    /// Whether its value fits its `SignedInfo`.
    pub value: ValueIntegrity,
    /// Whether the certificate that verifies the value is the one that the signed properties name. Where none verifies,
    /// whether the named one is at hand. `None` where no property that an intact reference covers names any.
    pub signing_certificate_matches: Option<bool>,
    /// Its time stamps, in the order of the file.
    pub timestamps: Vec<TimeStamp>,
    /// What is embedded to validate it with.
    pub evidence: Evidence,
    /// Whether any identifier occurs twice in the document. References to such a one are broken; others are not
    /// affected, and business documents often repeat an `id` in harmless places.
    pub duplicate_ids: bool,
    /// Whether a reference covers the whole document or an element around this signature. Says nothing about integrity.
    pub encloses: bool,
    /// Whether this signature is the root element, and references cover each of its `Object`s but for those that have only its own
    /// properties or key. Says nothing about integrity.
    pub envelops: bool,
    /// Whether something could be taken for something that it signs: in it, or in a signature that it does not sign, is what that signature
    /// does not sign either, and what is no part of signatures.
    pub has_unsigned: bool,
    /// Whether the document is nothing but this signature, or a list of signatures of `ASiC`, `OpenDocument` or EPUB with it inside.
    pub is_apart: bool,
    /// Whether a comment that it does not sign, or a signature that it leaves out, comes right before text that it covers.
    pub splits_text: bool,
    /// Whether a reference covers something outside of the document, which was given and is intact.
    pub covers_external: bool,
    /// Whether a document was given that is none of what it signs: no reference has its digest. A countersignature signs another
    /// signature, and no document.
    pub ignores_given: bool,
    /// Whether a reference covers the whole document, or its root element where no processing instructions are around that. Says
    /// nothing about integrity.
    pub covers_root: bool,
    /// Which signature of the document it is a property of, by its place.
    countersigned: Option<usize>,
}

impl XmlSignature {
    /// The signer's certificate, in DER: the one that verifies the value, or else the one that is signed along, or else the
    /// first.
    pub fn certificate(&self) -> Option<&[u8]> {
        let place = match self.value {
            ValueIntegrity::Intact(place) => Some(place),
            _ => self.signing_certificate,
        };
        let certificate = self.certificates.get(place.unwrap_or_default());
        certificate.map(Vec::as_slice)
    }

    /// Whether it signs the value of the signature that it is a property of. Says nothing about integrity.
    pub fn countersigns(&self) -> bool {
        let mut references = self.references.iter();
        references.any(|reference| {
            reference.covers == Coverage::Countersigned && !reference.covers_text_alone()
        })
    }

    /// How many certificates are in its `KeyInfo`.
    pub fn embedded_certificates(&self) -> usize {
        self.certificates.len() - usize::from(self.is_certificate_given)
    }

    /// Whether all that it signs is elsewhere.
    pub fn is_detached(&self) -> bool {
        let mut signed = self.references.iter().map(|reference| &reference.covers);
        signed.all(|covers| matches!(covers, Coverage::External | Coverage::SignedProperties))
    }

    /// What the value was made with; by its URI where it is not known.
    pub fn signature_algorithm(&self) -> Algorithm {
        let known = self.method.as_ref().map(method::Method::describe);
        known.unwrap_or_else(|| unknown(&self.signature_method))
    }

    /// What the first reference is hashed with; by its URI where it is not known.
    pub fn digest_algorithm(&self) -> Algorithm {
        let uri = self.references.first().map_or("", |it| &it.digest_method);
        let known = elements::digest(uri);
        known.map_or_else(
            || unknown(uri),
            |hash| oid::algorithm(hash.oid().to_owned()),
        )
    }

    /// When the signer says that it signed, in milliseconds since 1970.
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
    /// What it stamps.
    pub stamped: Stamped,
    /// Its tokens.
    pub tokens: Vec<TimeStampToken>,
    /// Places of signatures of the document, countersignatures above all, that are in what it stamps.
    pub along: Vec<usize>,
    /// SHA-256 of each certificate in it.
    pub certificates: Vec<[u8; 32]>,
}

/// What a time stamp stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamped {
    /// The signature's value.
    Value,
    /// All that is signed, the signature, and the unsigned properties before the time stamp.
    Everything,
}

/// A token of a time stamp (RFC 3161).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeStampToken {
    /// Its encoding.
    pub der: Vec<u8>,
    /// When it was made, as it says, in milliseconds since 1970.
    pub time_ms: i64,
    /// Whether it is of what the time stamp must be of. Says nothing about who made it.
    pub fits: bool,
}

/// What a signature embeds to be validated with (XAdES `CertificateValues` and `RevocationValues`), in DER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Certificates.
    pub certificates: Vec<Vec<u8>>,
    /// Lists of revoked certificates.
    pub revocation_lists: Vec<Vec<u8>>,
    /// Answers about revocation (OCSP).
    pub revocation_answers: Vec<Vec<u8>>,
}

/// One thing that is signed (XMLDSig 1.1 section 4.4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Its `URI`; `None` where the application is supposed to know.
    pub uri: Option<String>,
    /// URIs of its transforms, in their order.
    pub transforms: Vec<String>,
    /// URI of what it was hashed with; empty where it is missing.
    pub digest_method: String,
    /// What it points at, before transforms.
    pub covers: Coverage,
    /// What of that its transforms leave out.
    pub omits: Omission,
    /// Whether its digest fits.
    pub integrity: ReferenceIntegrity,
    /// Whether it may be of the document that was given.
    is_given: bool,
}

impl Reference {
    /// Whether it points at something outside of the document.
    pub fn leads_elsewhere(&self) -> bool {
        leads_elsewhere(self.uri.as_deref())
    }

    /// Whether only the text of what it covers is hashed: names and structure around it may change.
    pub fn covers_text_alone(&self) -> bool {
        self.transforms.iter().any(|uri| uri == elements::BASE64)
    }
}

/// Elements that the transforms of a reference leave out, each with all that is inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Omission {
    /// None.
    #[default]
    Nothing,
    /// The signature itself.
    Itself,
    /// All signatures.
    Signatures,
    /// Something else: what is signed is not all that is there.
    Elements,
}

/// Whether the URI of a reference points at something outside of the document; without one, the application is supposed to know.
pub(crate) fn leads_elsewhere(uri: Option<&str>) -> bool {
    uri.is_none_or(|uri| !uri.is_empty() && !uri.starts_with('#'))
}

/// What a reference points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coverage {
    /// The document; its transforms may cut parts out of it.
    WholeDocument,
    /// One element with all that is inside.
    Element {
        /// Its local name.
        name: String,
        /// The identifier that it was found by.
        id: String,
    },
    /// The XAdES signed properties of this very signature.
    SignedProperties,
    /// The value of the signature that this one countersigns, being among its properties.
    Countersigned,
    /// Something that is not in this document, or can't be found in it.
    External,
}

impl Coverage {
    /// How much there is to tell of it.
    fn octets(&self) -> usize {
        match self {
            Self::Element { name, id } => name.len() + id.len(),
            Self::WholeDocument | Self::SignedProperties | Self::Countersigned | Self::External => {
                0
            }
        }
    }
}

/// Whether a reference's digest fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceIntegrity {
    /// It does.
    Intact,
    /// It does not, its target is ambiguous, or its data can't be read as its transforms demand.
    Broken,
    /// Not known: its target is elsewhere or not found, or it needs a transform or digest that is not supported.
    Unresolved,
}

/// Whether a signature's value fits its `SignedInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueIntegrity {
    /// It does, by the key of the certificate at this index of [`XmlSignature::certificates`].
    Intact(usize),
    /// No certificate that the signature has or names verifies it: it was changed, or its certificate is not the one that signed.
    Broken,
    /// It has and names no certificate that can be read. That another one that is at hand does not verify it proves nothing.
    NoCertificate,
    /// It needs the algorithm with this URI, or this URI with a key of another kind.
    UnsupportedAlgorithm(String),
}

/// Why a document can't be inspected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is not in the encoding that it claims, or that is not known here.
    #[error("this is not XML in UTF-8, UTF-16 or the encoding that it names")]
    Encoding,
    /// It is not well-formed; the text says why.
    #[error("this is not well-formed XML: {0}")]
    Malformed(&'static str),
    /// It has a document type. That may define entities and default attributes, so what is signed would depend on it.
    #[error("it has a document type declaration")]
    DocumentType,
    /// It is larger than we are willing to read; the text says in what.
    #[error("it has too many or too large {0}")]
    TooLarge(&'static str),
}

impl From<Exhausted> for XmlError {
    fn from(Exhausted: Exhausted) -> Self {
        Self::TooLarge("parts")
    }
}
