//! Tests of certificates that the caller passes in beside a signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::sha256;
use crate::pki::authority::{
    DATA, NOW_MS, Parts, Party, Role, UTF8, attribute, name, oid, sequence,
};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, Indication, SubIndication};
use crate::{Body, Judging, Report, Signer, report};

const MESSAGE: &[u8] = b"a contract";
const CONTENT_TYPE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 3];
const MESSAGE_DIGEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 4];
const SIGNING_CERTIFICATE_V2: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 47];
const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

/// The report on a file with one signer, and that signer.
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

/// The serial number of the reported certificate.
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
    // Another signer's certificate with the same serial number.
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
        // The given certificate does not count as embedded.
        assert_eq!(told.certificates, Some(0));
    }
    // A given certificate is never trusted.
    let (_, untrusted) = judge(&cms, &[], &[&certificate, &intermediate, &anchor]);
    assert_comes_to(&untrusted, Indication::Indeterminate, no_chain);
    let (_, wrong) = judge(&cms, &[&anchor], &[&of_other, &intermediate]);
    let broken = Some(SubIndication::SigCryptoFailure);
    assert_comes_to(&wrong, Indication::TotalFailed, broken);
    // A trusted certificate is also used to find the signer.
    let (_, trusted) = judge(&cms, &[&certificate], &[]);
    assert_comes_to(&trusted, Indication::TotalPassed, None);
}

/// If the signature names the signer's certificate by digest, another certificate with the same issuer and serial
/// number proves nothing.
#[test]
fn a_given_certificate_that_is_not_the_one_signed_along_breaks_nothing() {
    let [root, person, other] =
        ["Root", "Somebody", "Another"].map(|it| Party::new(name(UTF8, it)));
    let anchor = root.certify(&root, Role::Authority, 1);
    let certificate = root.certify(&person, Role::Person, 3);
    let of_other = root.certify(&other, Role::Person, 3);
    let cms = |embedded: &[Vec<u8>], signed: &[u8]| {
        let named = sequence(&[sequence(&[sequence(&[tlv(0x04, &sha256(&certificate))])])]);
        let attributes = [
            attribute(&CONTENT_TYPE, &oid(&DATA)),
            attribute(&MESSAGE_DIGEST, &tlv(0x04, &sha256(signed))),
            attribute(&SIGNING_CERTIFICATE_V2, &named),
        ];
        person.cms_of(&Parts {
            content: tlv(0x04, MESSAGE),
            signed: tlv(0x31, &attributes.concat()),
            attributes: Some(attributes.concat()),
            unsigned: Vec::new(),
            identifier: (&root.name, 3),
            certificates: embedded,
            lists: &[],
        })
    };
    let absent = Some(SubIndication::NoSigningCertificateFound);
    let good = cms(&[], MESSAGE);
    let (_, alone) = judge(&good, &[&anchor], &[&of_other]);
    assert_comes_to(&alone, Indication::Indeterminate, absent);
    assert_eq!(alone.verdict.as_ref().unwrap().intact, None);
    assert!(alone.certificate.is_none());
    let (_, both) = judge(&good, &[&anchor], &[&of_other, &certificate]);
    assert_comes_to(&both, Indication::TotalPassed, None);
    let (_, swapped) = judge(&cms(&[of_other], MESSAGE), &[&anchor], &[]);
    assert_comes_to(&swapped, Indication::Indeterminate, absent);
    // A changed content fails no matter which certificate was used.
    let (_, changed) = judge(&cms(&[], b"another"), &[&anchor], &[&certificate]);
    let another = Some(SubIndication::HashFailure);
    assert_comes_to(&changed, Indication::TotalFailed, another);
}

/// XML with a signature that embeds no certificate.
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
