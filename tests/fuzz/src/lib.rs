//! Shared by all fuzz targets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigpersist_verify::pki::Anchors;

/// The authority to which most seeds' chains lead.
pub fn anchors() -> Anchors {
    let ca = include_str!("../../data/verify/ca.crt.b64");
    let ca = STANDARD.decode(ca.trim()).expect("base64");
    Anchors::new([ca])
}

/// The last day of 2026, in milliseconds since 1970, when all certificates of the seeds are valid.
pub const NOW_MS: i64 = 1_798_761_600_000;
