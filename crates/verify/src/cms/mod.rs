//! Reading and verifying CMS signatures: who signed, with what, when, and whether it is intact. Pure functions over bytes;
//! nothing is fetched.
//!
//! - `signed_data` takes a `SignedData` apart (RFC 5652) and `signer_info` those who signed it, `timestamp` what a time stamp says
//!   and proves (RFC 3161); `archive` has what those of a signer are of.
//! - `inspect` says what that means, `verify` whether it holds, with the `content` that is signed.

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

use crate::pki::work::Exhausted;
use crate::pki::{Algorithm, Certificate, Malformed, Name};

pub(crate) use inspect::tell;
pub use inspect::{inspect, inspect_within};
pub(crate) use signed_data::{SignedData, is_signed_data};
pub(crate) use verify::judge;
pub use verify::{verify, verify_within};

/// What a CMS says of itself and its signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Whether the signed content is elsewhere.
    pub detached: bool,
    /// OID of the content's type.
    pub content_type: String,
    /// Size of the content in bytes, where it is inside.
    pub content_size: Option<u64>,
    /// Its signers, in the order of the file.
    pub signers: Vec<Signer>,
    /// How many certificates are embedded.
    pub certificates: usize,
    /// How many lists of revoked certificates and answers about revocation are embedded.
    pub revocations: usize,
}

/// One signer of a CMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// How the signer's certificate is named.
    pub identifier: SignerIdentifier,
    /// The signer's certificate, where it is embedded and readable.
    pub certificate: Option<Certificate>,
    /// What the content was hashed with.
    pub digest_algorithm: Algorithm,
    /// What the signature was made with.
    pub signature_algorithm: Algorithm,
    /// When the signer says that it signed, in milliseconds since 1970 (RFC 5652 section 11.3).
    pub signing_time_ms: Option<i64>,
    /// When a time stamp of the signature says that it was there, in milliseconds since 1970 (RFC 3161).
    pub timestamp_ms: Option<i64>,
    /// How far it goes of what CAdES asks (ETSI EN 319 122-1), by what is there of it.
    pub level: Level,
    /// Who has signed this signature (RFC 5652 section 11.4), in the order of the file.
    pub countersignatures: Vec<Self>,
}

/// The level of a CMS signature, by what is in it (ETSI EN 319 122-1); it need not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Level {
    /// Not even the signer's certificate is signed along.
    Cms,
    /// The signer's certificate is signed along.
    B,
    /// And a time stamp of the signature is there.
    T,
    /// And what tells whether certificates were revoked, of the signer or of all of them.
    Lt,
    /// And an archive time stamp of it all.
    Lta,
}

/// How a signer's certificate is named (RFC 5652 section 5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerIdentifier {
    /// By who issued it, and its serial number.
    IssuerAndSerial {
        /// The issuer's name.
        issuer: Name,
        /// The serial number in hexadecimal.
        serial: String,
    },
    /// By its key's identifier, in hexadecimal.
    SubjectKeyIdentifier(String),
}

/// Why a signature can't be inspected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// It is something else than CMS.
    #[error("this is not a CMS signed-data object")]
    NotCms,
    /// It is CMS, but broken; the text says where.
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
