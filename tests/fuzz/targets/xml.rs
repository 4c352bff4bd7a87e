//! Whatever the bytes: XML is read and judged without a panic, and what passes signs something.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sigpersist_fuzz::{NOW_MS, anchors};
use sigpersist_verify::pki::Indication;
use sigpersist_verify::{Judging, xmldsig};

fuzz_target!(|bytes: &[u8]| {
    let Ok(found) = xmldsig::inspect(bytes) else {
        return;
    };
    let verdicts = xmldsig::judge(&found, &Judging::new(&anchors(), NOW_MS)).unwrap_or_default();
    for (signature, verdict) in found.iter().zip(verdicts) {
        if verdict.indication == Indication::TotalPassed {
            assert!(signature.references_intact() && (signature.encloses || signature.envelops));
        }
    }
});
