//! Shared by all tests: a Postgres, servers, clients, and plugins that misbehave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

mod balancer;
mod client;
mod cluster;
pub(crate) mod cms;
mod database;
pub(crate) mod described;
pub(crate) mod guest;
mod load;
mod program;
pub(crate) mod provider;
mod proxy;
mod reader;
mod receiver;
pub(crate) mod registry;
mod stopwatch;
pub(crate) mod tenant_file;
mod test_app;
mod witness;

pub(crate) use balancer::Balancer;
pub(crate) use client::{Client, Response};
pub(crate) use cluster::Cluster;
pub(crate) use database::{TestDatabase, temp_dir};
pub(crate) use load::{Load, rounds};
pub(crate) use program::{
    Program, assert_success, elsewhere, postmaster, run, running_postmaster, sigpersist, succeeds,
    tenant_token,
};
pub(crate) use proxy::{Mode, Proxy};
pub(crate) use reader::{Reader, check_log};
pub(crate) use receiver::{Call, Receiver};
pub(crate) use stopwatch::Stopwatch;
pub(crate) use test_app::{TestApp, eventually, eventually_within};
pub(crate) use witness::{Manner, Witness};

/// A CMS of `tests/data`: signed by Aigerim (IIN 123456789011, BIN 123456789021).
pub(crate) const FIRST: &str = include_str!("../../data/first.cms.b64");
/// [`FIRST`], countersigned by Daulet (IIN 123456789022).
pub(crate) const COUNTERSIGNED: &str = include_str!("../../data/countersigned.cms.b64");
/// Signed by Daulet alone.
pub(crate) const DROPPED: &str = include_str!("../../data/dropped.cms.b64");
/// Signed by Daulet, detached, in PEM armour, by key identifier.
pub(crate) const DETACHED: &str = include_str!("../../data/detached.cms.pem");
/// Signed by Aigerim, in BER with indefinite lengths.
pub(crate) const INDEFINITE: &str = include_str!("../../data/indefinite.cms.b64");

/// Decodes base64 with line breaks.
pub(crate) fn der(base64: &str) -> Vec<u8> {
    STANDARD
        .decode(base64.replace(char::is_whitespace, ""))
        .unwrap()
}

/// Wraps base64 as a certificate in PEM.
pub(crate) fn certificate_pem(base64: &str) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64.trim()
    )
}

/// The example plugins.
pub(crate) const SIGNER_TAGS: &[u8] =
    include_bytes!("../../../plugins/signer-tags/signer-tags.wasm");
pub(crate) const REQUIRE_COUNTERSIGNATURE: &[u8] =
    include_bytes!("../../../plugins/require-countersignature/require-countersignature.wasm");
/// The body of a [`guest::Guest`] judge that rejects: an error with an empty list of rejections.
pub(crate) const REJECT: &str = "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.const 2048)";

/// XML that is small but slow to read: this many signatures, each with five references to a document of many elements.
pub(crate) fn slow_to_read(signatures: usize) -> String {
    let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
    let reference = format!(
        r#"<Reference URI=""><Transforms><Transform Algorithm="{exclusive}"/></Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><DigestValue>AAAA</DigestValue></Reference>"#
    );
    let signature = format!(
        r#"<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><SignedInfo>{}</SignedInfo></Signature>"#,
        reference.repeat(5)
    );
    format!(
        "<r>{}{}</r>",
        "<a/>".repeat(3_000),
        signature.repeat(signatures)
    )
}
