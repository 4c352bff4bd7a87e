//! Whatever the bytes: a CMS is read and verified without a panic, and none passes over a document that nobody signed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sigpersist_fuzz::{NOW_MS, anchors};
use sigpersist_verify::cms;
use sigpersist_verify::pki::Indication;

fuzz_target!(|bytes: &[u8]| {
    let inspection = cms::inspect(bytes);
    let anchors = anchors();
    let verdicts = cms::verify(bytes, None, &anchors, NOW_MS);
    if let (Ok(inspection), Ok(verdicts)) = (&inspection, &verdicts) {
        assert_eq!(inspection.signers.len(), verdicts.len());
    }
    let another = b"A document that nobody has signed.";
    for verdict in cms::verify(bytes, Some(another), &anchors, NOW_MS).unwrap_or_default() {
        assert_ne!(verdict.indication, Indication::TotalPassed);
    }
});
