//! What the targets have in common.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigpersist_verify::pki::Anchors;

/// The authority that most of the seeds lead to.
pub fn anchors() -> Anchors {
    let ca = include_str!("../../data/verify/ca.crt.b64");
    let ca = STANDARD.decode(ca.trim()).expect("base64");
    Anchors::new([ca])
}

/// The last day of 2026, in milliseconds since 1970: all certificates of the seeds are valid then.
pub const NOW_MS: i64 = 1_798_761_600_000;
