//! Reads and judges XML from any bytes without a panic. A signature that passes must sign something.

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
