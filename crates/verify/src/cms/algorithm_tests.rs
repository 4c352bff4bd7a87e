//! Signatures that another implementation made with each algorithm: OpenSSL, with its engine for GOST.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::{Anchors, Indication};
use crate::{Judging, cms};

/// A name and DER in base64 on each line, made by `fixtures/make.sh`.
const ALGORITHMS: &str = include_str!("fixtures/algorithms.txt");
/// The end of 2026, in milliseconds since 1970.
const NOW_MS: i64 = 1_798_675_200_000;

fn each() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    ALGORITHMS.lines().map(|line| {
        let (name, der) = line.split_once(' ').unwrap();
        (name, STANDARD.decode(der).unwrap())
    })
}

#[test]
fn each_algorithm_and_curve_is_verified() {
    let anchors = Anchors::default();
    let mut count = 0;
    for (name, der) in each().filter(|(name, _)| !name.contains("ed448")) {
        let verdict = |der: &[u8]| {
            cms::verify(der, &Judging::new(&anchors, NOW_MS))
                .unwrap()
                .remove(0)
        };
        assert_eq!(verdict(&der).intact, Some(true), "{name}");
        let signer = cms::inspect(&der).unwrap().signers.remove(0);
        assert!(signer.signature_algorithm.name.is_some(), "{name}");
        let mut changed = der.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(verdict(&changed).intact, Some(false), "{name}");
        count += 1;
    }
    assert_eq!(count, 17);
}

#[test]
fn an_authority_may_sign_with_ed448() {
    let named = |name| each().find(|(other, _)| *other == name).unwrap().1;
    let anchors = Anchors::new([named("ed448")]);
    let verdict = |der: &[u8]| {
        cms::verify(der, &Judging::new(&anchors, NOW_MS))
            .unwrap()
            .remove(0)
    };
    let passed = verdict(&named("under-ed448"));
    assert_eq!(passed.indication, Indication::TotalPassed, "{passed:?}");
}
