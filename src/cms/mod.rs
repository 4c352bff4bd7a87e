//! Reading and verifying signatures: who signed, with what, when, and whether it is intact. Pure functions over bytes;
//! nothing is fetched.
//!
//! - `ber` walks ASN.1 in the Basic Encoding Rules, which signers use as freely as DER.
//! - `signed_data` takes a CMS `SignedData` apart (RFC 5652), `certificate` and `timestamp` what it embeds (RFC 5280, RFC 3161).
//! - `inspect` says what that means; `name`, `person` and `oid` turn names and object identifiers into what people know them by.
//! - `verify` says whether it holds, with `chain`, and the cryptography of `hash`, `public_key` and `gost`.

mod ber;
mod certificate;
mod chain;
mod gost;
mod hash;
mod inspect;
mod name;
mod oid;
mod person;
mod public_key;
mod signed_data;
mod timestamp;
mod verify;

pub use certificate::describe_certificate;
pub use chain::Anchors;
pub use inspect::inspect;
pub use person::{Person, role};
pub use verify::{Indication, SubIndication, Verdict, verify};

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
    /// How many countersignatures it has (RFC 5652 section 11.4).
    pub countersignatures: usize,
}

/// What a signature has of the levels of CAdES; it need not be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Not even the signer's certificate is signed along.
    Cms,
    /// The signer's certificate is signed along.
    B,
    /// And a time stamp of the signature is there.
    T,
    /// And what tells whether certificates were revoked.
    Lt,
    /// And an archive time stamp of it all.
    Lta,
}

crate::words!(Level, Cms = "CMS", B = "B", T = "T", Lt = "LT", Lta = "LTA");

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

/// A certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is.
    pub subject: Name,
    /// Who issued it.
    pub issuer: Name,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// From when it is valid, in milliseconds since 1970.
    pub not_before_ms: i64,
    /// Until when it is valid, in milliseconds since 1970.
    pub not_after_ms: i64,
    /// SHA-256 of its DER, in hexadecimal.
    pub sha256: String,
    /// What its key is of.
    pub public_key_algorithm: Algorithm,
    /// What its key is for (RFC 5280 section 4.2.1.3).
    pub key_usages: Vec<&'static str>,
    /// OIDs of what else its key is for (RFC 5280 section 4.2.1.12).
    pub extended_key_usages: Vec<String>,
    /// Whom it names, where Kazakhstan's authority issued it.
    pub person: Person,
}

/// A distinguished name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// As one string (RFC 4514), most specific part first.
    pub rfc4514: String,
    /// Its parts, in the order of the certificate.
    pub attributes: Vec<NameAttribute>,
}

/// One attribute of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAttribute {
    /// OID of its type.
    pub oid: String,
    /// The type's short name, where it has one: `CN`, `serialNumber`.
    pub name: Option<&'static str>,
    /// Its value; `#` and the DER in hexadecimal where it is no text.
    pub value: String,
}

/// An algorithm by OID and, where it is known, name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Algorithm {
    /// Its OID.
    pub oid: String,
    /// Its usual name.
    pub name: Option<&'static str>,
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
