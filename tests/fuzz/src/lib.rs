//! The readers of signatures by themselves, for fuzzing: the server's own sources, without the server.

#![allow(
    dead_code,
    missing_docs,
    reason = "the server uses more of them than the targets"
)]

#[path = "../../../src/cms/mod.rs"]
pub mod cms;
#[path = "../../../src/digest.rs"]
pub mod digest;
#[path = "../../../src/pki/mod.rs"]
pub mod pki;
#[path = "../../../src/words.rs"]
mod words;
#[path = "../../../src/xmldsig/mod.rs"]
pub mod xmldsig;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The authority that most of the seeds lead to.
pub fn anchors() -> pki::Anchors {
    let ca = include_str!("../../data/verify/ca.crt.b64");
    let ca = STANDARD.decode(ca.trim()).expect("base64");
    pki::Anchors::new([ca])
}

/// The last day of 2026, in milliseconds since 1970: all certificates of the seeds are valid then.
pub const NOW_MS: i64 = 1_798_761_600_000;
