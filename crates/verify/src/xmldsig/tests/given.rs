//! Certificates that are given beside a signature, and prove nothing where they don't fit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signer::{Key, enveloped};
use crate::judging::Judging;
use crate::pki::{Anchors, Indication, SubIndication, Work};
use crate::xmldsig::{Xml, inspect_over, judge};

/// 1 January 2027: the certificates are valid then.
const IN_2027: i64 = 1_798_761_600_000;

type Outcome = (Indication, Option<SubIndication>, Option<bool>);

const PASSED: Outcome = (Indication::TotalPassed, None, Some(true));
const NO_CERTIFICATE: Outcome = (
    Indication::Indeterminate,
    Some(SubIndication::NoSigningCertificateFound),
    None,
);
const FORGED: Outcome = (
    Indication::TotalFailed,
    Some(SubIndication::SigCryptoFailure),
    Some(false),
);

/// What each signature comes to, with keys that are trusted and others that are not.
fn outcomes(xml: &str, trusted: &[Key], given: &[Key]) -> Vec<Outcome> {
    let der = |key: &Key| STANDARD.decode(key.certificate()).unwrap();
    let anchors = Anchors::new(trusted.iter().map(der));
    let certificates: Vec<_> = given.iter().map(der).collect();
    let judging = Judging {
        certificates: &certificates,
        ..Judging::new(&anchors, IN_2027)
    };
    let found = inspect_over(Xml::Text(xml), Some(&judging), &Work::new()).unwrap();
    let verdicts = judge(&found, &judging).unwrap();
    let outcomes = verdicts.iter();
    outcomes
        .map(|it| (it.indication, it.sub_indication, it.intact))
        .collect()
}

/// A signature without its `KeyInfo`.
fn anonymous(key: Key) -> String {
    let signed = enveloped(key, "<sum>1</sum>");
    let from = signed.find("<ds:KeyInfo>").unwrap();
    let to = signed.find("</ds:Signature>").unwrap();
    let info = signed.get(from..to).unwrap();
    signed.replace(info, "")
}

#[test]
fn certificates_that_do_not_verify_prove_nothing_of_an_absent_one() {
    let xml = anonymous(Key::P256);
    let judge = |trusted: &[Key], given: &[Key]| outcomes(&xml, trusted, given).remove(0);
    assert_eq!(judge(&[], &[]), NO_CERTIFICATE);
    for others in [&[Key::Other][..], &[Key::Rsa, Key::P384]] {
        assert_eq!(judge(others, &[]), NO_CERTIFICATE);
        assert_eq!(judge(&[], others), NO_CERTIFICATE);
    }
    assert_eq!(judge(&[Key::Other, Key::P256], &[]), PASSED);
    assert_eq!(judge(&[Key::P256], &[Key::Rsa]), PASSED);
    // What the signature itself has is another matter.
    let other = Key::Other.certificate();
    let named = enveloped(Key::P256, "").replace(Key::P256.certificate(), other);
    let found = outcomes(&named, &[Key::Rsa], &[Key::P384]);
    assert_eq!(found, [FORGED]);
}
