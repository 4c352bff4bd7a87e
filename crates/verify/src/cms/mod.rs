//! Reading and verifying CMS signatures: who signed, with what, when, and whether it is intact. Pure functions over bytes;
//! nothing is fetched.
//!
//! - `signed_data` parses a `SignedData` (RFC 5652), and `signer_info` its signers. `timestamp` reads time stamps and
//!   decides what they prove (RFC 3161). `archive` finds out what the time stamps of a signer cover.
//! - `inspect` describes a CMS, and `verify` judges it with the signed `content`.

#[cfg(test)]
mod algorithm_tests;
#[cfg(test)]
mod answer_tests;
mod archive;
#[cfg(test)]
mod archive_tests;
pub(crate) mod content;
#[cfg(test)]
mod cost_tests;
mod hash_index;
mod inspect;
#[cfg(test)]
mod name_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod revocation_tests;
mod signed_data;
mod signer_info;
#[cfg(test)]
pub(crate) mod stamper;
#[cfg(test)]
mod tests;
pub(crate) mod timestamp;
#[cfg(test)]
mod timestamp_tests;
mod verify;

use serde::Serialize;
use strum::Display;

use crate::pki::budget::Exhausted;
use crate::pki::{Algorithm, Certificate, Malformed, Name};

pub(crate) use inspect::tell;
pub use inspect::{inspect, inspect_within};
pub(crate) use signed_data::{SignedData, is_signed_data};
pub(crate) use verify::judge;
pub use verify::{verify, verify_within};

/// The description of a CMS and its signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether the signed content is not embedded.
    pub detached: bool,
    /// OID of the content type.
    pub content_type: String,
    /// Size of the content in bytes, if it is embedded.
    pub content_size: Option<u64>,
    /// Its signers, in the order of the file.
    pub signers: Vec<Signer>,
    /// Number of embedded certificates.
    pub certificates: usize,
    /// Number of embedded revocation lists and OCSP responses.
    pub revocations: usize,
}

/// One signer of a CMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The identifier of the signer's certificate.
    pub identifier: SignerIdentifier,
    /// The signer's certificate, if it is embedded and readable.
    pub certificate: Option<Certificate>,
    /// The digest algorithm of the content.
    pub digest_algorithm: Algorithm,
    /// The algorithm of the signature.
    pub signature_algorithm: Algorithm,
    /// The time of signing that the signer claims, in milliseconds since 1970 (RFC 5652 section 11.3).
    pub signing_time_ms: Option<i64>,
    /// The time that a time stamp of the signature states, in milliseconds since 1970 (RFC 3161).
    pub timestamp_ms: Option<i64>,
    /// The level of CAdES (ETSI EN 319 122-1), by the parts that are present.
    pub level: Level,
    /// Countersigners of this signature (RFC 5652 section 11.4), in the order of the file.
    pub countersignatures: Vec<Self>,
}

/// The level of a CMS signature, by the parts that are present (ETSI EN 319 122-1). The signature need not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Level {
    /// The signature does not even sign a reference to the signer's certificate.
    Cms,
    /// The signature signs a reference to the signer's certificate.
    B,
    /// Also, a time stamp of the signature is present.
    T,
    /// Also, revocation information is present, of the signer or for all signers.
    Lt,
    /// Also, an archive time stamp of all this is present.
    Lta,
}

/// The identifier of a signer's certificate (RFC 5652 section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerIdentifier {
    /// The issuer and the serial number.
    IssuerAndSerial {
        /// The issuer's name.
        issuer: Name,
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// The key identifier, in hexadecimal.
    SubjectKeyIdentifier(String),
}

/// The reason why a signature can't be inspected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The input is not CMS.
    #[error("this is not a CMS signed-data object")]
    NotCms,
    /// The input is CMS, but broken; the text says where.
    #[error("{0}")]
    Malformed(&'static str),
}

impl From<Malformed> for InspectError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed.0)
    }
}

impl From<Exhausted> for InspectError {
    fn from(exhausted: Exhausted) -> Self {
        Malformed::from(exhausted).into()
    }
}
