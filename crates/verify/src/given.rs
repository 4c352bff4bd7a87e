//! Certificates that are given beside a signature, for which there are tests alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pki::authority::{NOW_MS, Party, Role, UTF8, name};
use crate::pki::{Anchors, Indication, SubIndication};
use crate::{Body, Judging, Report, Signer, report};

const MESSAGE: &[u8] = b"a contract";
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// What is said of a file with one signer.
#[track_caller]
fn judge(file: &[u8], anchors: &[&Vec<u8>], given: &[&Vec<u8>]) -> (Report, Signer) {
    let copies = |all: &[&Vec<u8>]| -> Vec<Vec<u8>> { all.iter().copied().cloned().collect() };
    let anchors = Anchors::new(copies(anchors));
    let judging = Judging {
        certificates: &copies(given),
        ..Judging::new(&anchors, NOW_MS + YEAR_MS)
    };
    let mut told = report(&Body::from_file(file), Some(&judging));
    assert_eq!(told.signers.len(), 1, "{told:?}");
    let signer = told.signers.remove(0);
    (told, signer)
}

#[track_caller]
fn assert_comes_to(signer: &Signer, indication: Indication, why: Option<SubIndication>) {
    let verdict = signer.verdict.as_ref().unwrap();
    let found = (verdict.indication, verdict.sub_indication);
    assert_eq!(found, (indication, why), "{verdict:?}");
}

/// The serial number of the certificate that is told.
fn serial(signer: &Signer) -> Option<&str> {
    let certificate = signer.certificate.as_ref()?;
    Some(&certificate.serial)
}

#[test]
fn a_signer_who_is_absent_may_be_given() {
    let [root, middle, person, other] =
        ["Root", "Middle", "Somebody", "Another"].map(|it| Party::new(name(UTF8, it)));
    let anchor = root.certify(&root, Role::Authority, 1);
    let intermediate = root.certify(&middle, Role::Authority, 2);
    let certificate = middle.certify(&person, Role::Person, 3);
    // Another signer's, though with the same number.
    let of_other = middle.certify(&other, Role::Person, 3);
    let cms = person.cms(MESSAGE, (&middle.name, 3), &[], &[]);

    let (_, alone) = judge(&cms, &[&anchor], &[]);
    let absent = Some(SubIndication::NoSigningCertificateFound);
    assert_comes_to(&alone, Indication::Indeterminate, absent);
    assert!(alone.certificate.is_none());

    let no_chain = Some(SubIndication::NoCertificateChainFound);
    let (_, without_authority) = judge(&cms, &[&anchor], &[&certificate]);
    assert_comes_to(&without_authority, Indication::Indeterminate, no_chain);

    for given in [
        &[&intermediate, &certificate][..],
        &[&of_other, &certificate, &intermediate],
    ] {
        let (told, signer) = judge(&cms, &[&anchor], given);
        assert_comes_to(&signer, Indication::TotalPassed, None);
        assert_eq!(serial(&signer), Some("03"));
        // It is still not in there.
        assert_eq!(told.certificates, Some(0));
    }
    // A given one is never trusted.
    let (_, untrusted) = judge(&cms, &[], &[&certificate, &intermediate, &anchor]);
    assert_comes_to(&untrusted, Indication::Indeterminate, no_chain);
    let (_, wrong) = judge(&cms, &[&anchor], &[&of_other, &intermediate]);
    let broken = Some(SubIndication::SigCryptoFailure);
    assert_comes_to(&wrong, Indication::TotalFailed, broken);
    // One that is trusted is at hand, too.
    let (_, trusted) = judge(&cms, &[&certificate], &[]);
    assert_comes_to(&trusted, Indication::TotalPassed, None);
}

/// XML whose signature has no certificate.
fn xml() -> (String, Vec<u8>) {
    use crate::xmldsig::tests::signer::{Key, enveloped};
    let xml = enveloped(Key::P256, "<price>100</price>");
    let (before, rest) = xml.split_once("<ds:KeyInfo>").unwrap();
    let (_, after) = rest.split_once("</ds:KeyInfo>").unwrap();
    let certificate = STANDARD.decode(Key::P256.certificate().trim()).unwrap();
    (format!("{before}{after}"), certificate)
}

#[test]
fn a_signer_of_xml_may_be_given_too() {
    let (xml, certificate) = xml();
    let other = Party::new(name(UTF8, "Another"));
    let other = other.certify(&other, Role::Authority, 1);
    let (_, alone) = judge(xml.as_bytes(), &[], &[]);
    let absent = Some(SubIndication::NoSigningCertificateFound);
    assert_comes_to(&alone, Indication::Indeterminate, absent);
    let no_chain = Some(SubIndication::NoCertificateChainFound);
    let (told, given) = judge(xml.as_bytes(), &[&other], &[&other, &certificate]);
    assert_comes_to(&given, Indication::Indeterminate, no_chain);
    assert!(given.certificate.is_some());
    assert_eq!(told.certificates, Some(0));
    let (_, trusted) = judge(xml.as_bytes(), &[&certificate], &[]);
    assert_comes_to(&trusted, Indication::TotalPassed, None);
}
