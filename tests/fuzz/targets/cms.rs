//! Reads and verifies a CMS from any bytes without a panic. No CMS may pass over a document that nobody signed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sigpersist_fuzz::{NOW_MS, anchors};
use sigpersist_verify::pki::Indication;
use sigpersist_verify::{Judging, cms};

fuzz_target!(|bytes: &[u8]| {
    let inspection = cms::inspect(bytes);
    let anchors = anchors();
    let verdicts = cms::verify(bytes, &Judging::new(&anchors, NOW_MS));
    if let (Ok(inspection), Ok(verdicts)) = (&inspection, &verdicts) {
        assert_eq!(inspection.signers.len(), verdicts.len());
    }
    let another = b"A document that nobody has signed.";
    let judging = Judging {
        document: Some(another),
        ..Judging::new(&anchors, NOW_MS)
    };
    for verdict in cms::verify(bytes, &judging).unwrap_or_default() {
        assert_ne!(verdict.indication, Indication::TotalPassed);
    }
});
