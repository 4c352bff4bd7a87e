//! Certificates and certificate chains. Pure functions over bytes; nothing is fetched.
//!
//! - `ber` reads ASN.1 in the Basic Encoding Rules (BER), which signers use as freely as DER.
//! - `certificate` parses a certificate (RFC 5280). `name`, `person` and `oid` turn names and object identifiers into
//!   terms that people know. `pem` writes PEM.
//! - `public_key` verifies a signature under a key, with the cryptography of `hash`, `rsa`, `ecdsa` and `gost` (its
//!   curves are in `gost_curves`, their arithmetic in `weierstrass`). `budget` has the budget for all of this.
//! - `signer` chooses among the certificates that could be a signer's.
//! - `chain` searches for a chain to a trust anchor and judges it by `rules`. `status` finds out whether its
//!   certificates were revoked, from `crl` (`scope` says which certificates a list covers), `ocsp` and `revocation`.
//! - `path` checks the constraints that a path's certificates put on one another: `extensions`, `name_constraints` and
//!   `policies`.
//! - `verdict` has the terms of ETSI EN 319 102-1 for the result.

pub(crate) mod algorithm;
#[cfg(test)]
pub(crate) mod authority;
pub(crate) mod ber;
pub mod budget;
pub(crate) mod certificate;
pub(crate) mod chain;
mod crl;
mod distribution;
mod ecdsa;
mod extensions;
mod general_name;
mod gost;
mod gost_curves;
#[cfg(test)]
pub(crate) mod gost_signer;
pub(crate) mod hash;
pub(crate) mod name;
mod name_constraints;
mod ocsp;
pub(crate) mod oid;
mod path;
mod pem;
mod person;
mod policies;
pub(crate) mod public_key;
pub(crate) mod revocation;
mod rsa;
mod rules;
pub(crate) mod same_name;
mod scope;
pub(crate) mod signer;
mod status;
pub(crate) mod verdict;
mod weierstrass;
#[cfg(test)]
mod wycheproof;

pub use budget::{Budget, Issued};
pub use certificate::{KeyUsage, describe_certificate, describe_certificate_within};
pub use chain::Anchors;
pub use pem::to_pem;
pub use revocation::Revocation;
pub use rules::{RevocationRule, Rules};
pub use verdict::{Basis, Indication, Outcome, SubIndication, Verdict};

use serde::Serialize;

use crate::time;

/// A certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certificate {
    /// The subject's name.
    pub subject: Name,
    /// The issuer's name.
    pub issuer: Name,
    /// Its serial number, in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(example = "01"))]
    pub serial: String,
    /// The start of its validity.
    #[serde(rename = "not_before", serialize_with = "time::serialize_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub not_before_ms: i64,
    /// The end of its validity.
    #[serde(rename = "not_after", serialize_with = "time::serialize_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub not_after_ms: i64,
    /// SHA-256 of its DER, in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(value_type = crate::digest::Sha256))]
    pub sha256: String,
    /// The algorithm of its public key.
    pub public_key_algorithm: Algorithm,
    /// The usages of its key (RFC 5280 section 4.2.1.3).
    #[cfg_attr(feature = "openapi", schema(example = json!(["digitalSignature", "nonRepudiation"])))]
    pub key_usages: Vec<KeyUsage>,
    /// Object identifiers of the extended usages of its key (RFC 5280 section 4.2.1.12).
    #[cfg_attr(feature = "openapi", schema(example = json!(["1.2.398.3.3.4.1.1"])))]
    pub extended_key_usages: Vec<String>,
    /// The individual identification number, if Kazakhstan's authority issued the certificate: `serialNumber=IIN…` of
    /// the subject.
    #[cfg_attr(feature = "openapi", schema(example = "123456789011"))]
    pub iin: Option<String>,
    /// The organisation's business identification number: `OU=BIN…` of the subject.
    #[cfg_attr(feature = "openapi", schema(example = "123456789021"))]
    pub bin: Option<String>,
    /// Roles of the holder that Kazakhstan's authority expresses by extended key usages.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, example = json!(["individual"])))]
    pub roles: Vec<&'static str>,
    /// The certificate itself, in DER.
    #[serde(skip)]
    pub der: Vec<u8>,
}

/// A distinguished name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Name {
    /// The name in the form of RFC 4514, most specific part first.
    #[cfg_attr(
        feature = "openapi",
        schema(example = "CN=АХМЕТОВА АЙГЕРІМ,serialNumber=IIN123456789011")
    )]
    pub rfc4514: String,
    /// Its parts, in the order of the certificate.
    pub attributes: Vec<NameAttribute>,
}

/// An attribute of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Attribute))]
pub struct NameAttribute {
    /// The object identifier of its type.
    #[cfg_attr(feature = "openapi", schema(example = "2.5.4.5"))]
    pub oid: String,
    /// The type's short name, if it has one: `CN`, `serialNumber`.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "serialNumber"))]
    pub name: Option<&'static str>,
    /// Its value. If that is not text: `#` and the DER in hexadecimal.
    #[cfg_attr(feature = "openapi", schema(example = "IIN123456789011"))]
    pub value: String,
}

/// An algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Algorithm {
    /// Its object identifier, or in XML its URI.
    #[cfg_attr(feature = "openapi", schema(example = "2.16.840.1.101.3.4.2.1"))]
    pub oid: String,
    /// Its name, if it is known.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "SHA-256"))]
    pub name: Option<&'static str>,
}

/// Broken ASN.1; the text says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

impl From<budget::Exhausted> for Malformed {
    fn from(budget::Exhausted: budget::Exhausted) -> Self {
        Self("it is too complex: examining it takes too long")
    }
}
