//! Describes a certificate from any bytes without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sigpersist_verify::pki::{Anchors, describe_certificate};

fuzz_target!(|bytes: &[u8]| {
    let described = describe_certificate(bytes);
    assert_eq!(
        described.is_none(),
        Anchors::new([bytes.to_vec()]).is_empty()
    );
});
