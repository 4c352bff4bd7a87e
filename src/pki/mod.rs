//! Certificates, and whom they lead to. Pure functions over bytes; nothing is fetched.
//!
//! - `ber` walks ASN.1 in the Basic Encoding Rules, which signers use as freely as DER.
//! - `certificate` takes a certificate apart (RFC 5280); `name`, `person` and `oid` turn names and object identifiers into what
//!   people know them by; `pem` puts DER into armour.
//! - `public_key` says whether a signature holds under a key, with the cryptography of `hash` and `gost`; `work` has the budget for it all.
//! - `chain` looks for a way to somebody who is trusted, and judges it, with what `crl`, `ocsp` and `revocation` tell.
//! - `verdict` has the words for all that (ETSI EN 319 102-1).

pub(crate) mod algorithm;
pub(crate) mod ber;
pub(crate) mod certificate;
pub(crate) mod chain;
mod crl;
mod gost;
#[cfg(test)]
pub(crate) mod gost_signer;
pub(crate) mod hash;
pub(crate) mod name;
mod ocsp;
pub(crate) mod oid;
mod pem;
mod person;
pub(crate) mod public_key;
pub(crate) mod revocation;
pub(crate) mod verdict;
pub mod work;

pub(crate) use certificate::describe_certificate_within;
pub use certificate::{KEY_USAGES, describe_certificate};
pub use chain::Anchors;
pub use pem::to_pem;
pub use person::{Person, role};
pub use revocation::Revocation;
pub use verdict::{Basis, Indication, SubIndication, Verdict};
pub use work::Work;

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

/// What was to be ASN.1 is broken; the text says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl From<work::Exhausted> for Malformed {
    fn from(work::Exhausted: work::Exhausted) -> Self {
        Self("it would take too long to examine all that it asks for")
    }
}
