//! Tests of data given beside a signature: a document that it must sign, and certificates that prove nothing if they do
//! not match.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signer::{DS, ENVELOPED, EXCLUSIVE, Key, Signer, enveloped, transform};
use crate::judging::Judging;
use crate::pki::{Anchors, Budget, Indication, SubIndication};
use crate::xmldsig::{Xml, inspect_over, judge};

/// 1 January 2027, when the certificates are valid.
const IN_2027: i64 = 1_798_761_600_000;
const CONTRACT: &str = "A contract.";

type Outcome = (Indication, Option<SubIndication>, Option<bool>);

const PASSED: Outcome = (Indication::TotalPassed, None, Some(true));
const NO_CERTIFICATE: Outcome = (
    Indication::Indeterminate,
    Some(SubIndication::NoSigningCertificateFound),
    None,
);
const NOT_FOUND: Outcome = (
    Indication::Indeterminate,
    Some(SubIndication::SignedDataNotFound),
    None,
);
const OTHER_DOCUMENT: Outcome = (
    Indication::TotalFailed,
    Some(SubIndication::HashFailure),
    Some(false),
);
const FORGED: Outcome = (
    Indication::TotalFailed,
    Some(SubIndication::SigCryptoFailure),
    Some(false),
);

/// The outcome of each signature, with this document, trusted certificates and other given ones.
fn outcomes(xml: &str, document: Option<&str>, trusted: &[Key], given: &[Key]) -> Vec<Outcome> {
    let der = |key: &Key| STANDARD.decode(key.certificate()).unwrap();
    let anchors = Anchors::new(trusted.iter().map(der));
    let certificates: Vec<_> = given.iter().map(der).collect();
    let judging = Judging {
        document: document.map(str::as_bytes),
        certificates: &certificates,
        ..Judging::new(&anchors, IN_2027)
    };
    let found = inspect_over(Xml::Text(xml), Some(&judging), &Budget::new()).unwrap();
    let verdicts = judge(&found, &judging).unwrap();
    let outcomes = verdicts.iter();
    outcomes
        .map(|it| (it.indication, it.sub_indication, it.intact))
        .collect()
}

fn outcome(xml: &str, document: &str) -> Outcome {
    outcomes(xml, Some(document), &[Key::P256], &[]).remove(0)
}

#[test]
fn a_document_that_is_given_is_one_that_is_signed() {
    let plain = enveloped(Key::P256, "<sum>1</sum>");
    assert_eq!(outcome(&plain, CONTRACT), OTHER_DOCUMENT);
    // Not even the whole file is the signed document, because the signature in it is not signed.
    assert_eq!(outcome(&plain, &plain), OTHER_DOCUMENT);
    // The signed octets, byte for byte.
    assert_eq!(outcome(&plain, "<doc><sum>1</sum></doc>"), PASSED);

    let base64 = transform("http://www.w3.org/2000/09/xmldsig#base64");
    let encoded = STANDARD.encode(CONTRACT);
    let enveloping = Signer::new(Key::P256)
        .reference("#o", &base64, CONTRACT)
        .object(&format!("<ds:Object Id=\"o\">{encoded}</ds:Object>"))
        .sign();
    assert_eq!(outcome(&enveloping, CONTRACT), PASSED);
    assert_eq!(outcome(&enveloping, "Another."), OTHER_DOCUMENT);

    let detached = Signer::new(Key::P256).reference("a", "", CONTRACT).sign();
    assert_eq!(outcome(&detached, CONTRACT), PASSED);
    assert_eq!(outcome(&detached, "Another."), OTHER_DOCUMENT);
}

#[test]
fn one_of_several_documents_is_not_all_that_is_signed() {
    let both = Signer::new(Key::P256)
        .reference("a", "", CONTRACT)
        .reference("b", "", "Another.")
        .sign();
    assert_eq!(outcome(&both, "Another."), NOT_FOUND);
    assert_eq!(outcome(&both, "A third."), OTHER_DOCUMENT);
    // The result of this transform is not known here.
    let transformed = Signer::new(Key::P256)
        .reference("a", &transform(EXCLUSIVE), CONTRACT)
        .sign();
    assert_eq!(outcome(&transformed, CONTRACT), NOT_FOUND);
    assert_eq!(outcome(&transformed, "Another."), NOT_FOUND);
}

#[test]
fn the_digest_of_a_document_is_no_property_of_the_signer() {
    let properties = "<x:SignedProperties xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\" Id=\"p\"></x:SignedProperties>";
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let object = properties.replace(" xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"", "");
    let signature = Signer::new(Key::P256)
        .reference("", &transforms, "<doc></doc>")
        .reference("#p", &transform(EXCLUSIVE), properties)
        .object(&format!(
            "<ds:Object><x:QualifyingProperties xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\">{object}</x:QualifyingProperties></ds:Object>"
        ))
        .sign();
    let document = format!("<doc>{signature}</doc>");
    assert_eq!(outcome(&document, "<doc></doc>"), PASSED);
    assert_eq!(outcome(&document, properties), OTHER_DOCUMENT);
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
    let judge = |trusted: &[Key], given: &[Key]| outcomes(&xml, None, trusted, given).remove(0);
    assert_eq!(judge(&[], &[]), NO_CERTIFICATE);
    for others in [&[Key::Other][..], &[Key::Rsa, Key::P384]] {
        assert_eq!(judge(others, &[]), NO_CERTIFICATE);
        assert_eq!(judge(&[], others), NO_CERTIFICATE);
    }
    assert_eq!(judge(&[Key::Other, Key::P256], &[]), PASSED);
    assert_eq!(judge(&[Key::P256], &[Key::Rsa]), PASSED);
    // A certificate in the signature itself does prove that it was forged.
    let other = Key::Other.certificate();
    let named = enveloped(Key::P256, "").replace(Key::P256.certificate(), other);
    let found = outcomes(&named, None, &[Key::Rsa], &[Key::P384]);
    assert_eq!(found, [FORGED]);
}

#[test]
fn a_countersignature_signs_no_document() {
    const XADES: &str = "xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"";
    let signature = Signer::new(Key::P256).reference("a", "", CONTRACT).sign();
    let signature = signature.replace("<ds:SignatureValue>", "<ds:SignatureValue Id=\"value\">");
    let from = signature.find("<ds:SignatureValue ").unwrap();
    let to = signature.find("<ds:KeyInfo>").unwrap();
    let value = signature.get(from..to).unwrap();
    let octets = value.replace(" Id=", &format!(" {DS} Id="));
    let counter = Signer::new(Key::P256)
        .reference("#value", &transform(EXCLUSIVE), &octets)
        .sign()
        .replace("Id=\"sig\"", "");
    let object = format!(
        "<ds:Object><x:QualifyingProperties {XADES}><x:UnsignedProperties><x:UnsignedSignatureProperties><x:CounterSignature>\
         {counter}</x:CounterSignature></x:UnsignedSignatureProperties></x:UnsignedProperties></x:QualifyingProperties></ds:Object>"
    );
    let xml = signature.replace("</ds:Signature>", &format!("{object}</ds:Signature>"));
    let found = outcomes(&xml, Some(CONTRACT), &[Key::P256], &[]);
    assert_eq!(found, [PASSED, PASSED]);
}
