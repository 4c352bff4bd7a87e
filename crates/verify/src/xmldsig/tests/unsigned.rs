//! Unsigned content of a signature passes if it is a regular part of a signature, and never if an application could
//! take it for signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signer::{DS, ENVELOPED, EXCLUSIVE, Key, Signer, transform};
use crate::judging::Judging;
use crate::pki::{Anchors, Budget, Indication, SubIndication, Verdict};
use crate::xmldsig::{Xml, inspect_over, judge};

/// 1 January 2027, when the certificates are valid.
const IN_2027: i64 = 1_798_761_600_000;
pub(super) const CONTRACT: &str = "A contract.";
const XADES: &str = "xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"";
pub(super) const PAY: &str = "<pay to=\"mallory\">1000000</pay>";

/// The verdict on each signature, with or without the contract.
pub(super) fn verdicts(xml: &str, document: Option<&str>) -> Vec<Verdict> {
    let trusted = [Key::P256, Key::Rsa].map(|key| STANDARD.decode(key.certificate()).unwrap());
    let anchors = Anchors::new(trusted);
    let judging = Judging {
        document: document.map(str::as_bytes),
        ..Judging::new(&anchors, IN_2027)
    };
    let found = inspect_over(Xml::Text(xml), Some(&judging), &Budget::new()).expect(xml);
    judge(&found, &judging).unwrap()
}

/// Whether the first signature passes. Otherwise asserts that it is intact, and that only content that could be
/// mistaken for something else prevents it.
#[track_caller]
pub(super) fn passes_over(xml: &str, document: Option<&str>) -> bool {
    let verdict = verdicts(xml, document).remove(0);
    assert_eq!(verdict.intact, Some(true), "{verdict:?} {xml}");
    is_pass(verdict.indication, verdict.sub_indication)
}

#[track_caller]
fn is_pass(indication: Indication, why: Option<SubIndication>) -> bool {
    if indication != Indication::TotalPassed {
        assert_eq!(why, Some(SubIndication::SigConstraintsFailure));
    }
    indication == Indication::TotalPassed
}

/// Whether the first signature of a detached one passes. Asserts that the outcome is the same without the document.
#[track_caller]
pub(super) fn detached_passes(xml: &str) -> bool {
    let passes = passes_over(xml, Some(CONTRACT));
    let apart = verdicts(xml, None).remove(0).apart_from_content.unwrap();
    assert_eq!(is_pass(apart.indication, apart.sub_indication), passes);
    passes
}

pub(super) fn detached(key: Key) -> String {
    let signer = Signer::new(key).reference("contract.txt", "", CONTRACT);
    signer.sign()
}

fn enveloped() -> String {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signer = Signer::new(Key::P256).reference("", &transforms, "<doc>1</doc>");
    format!("<doc>1{}</doc>", signer.sign())
}

pub(super) fn enveloping() -> String {
    let object = format!("<ds:Object {DS} Id=\"o\">1</ds:Object>");
    Signer::new(Key::P256)
        .reference("#o", &transform(EXCLUSIVE), &object)
        .object("<ds:Object Id=\"o\">1</ds:Object>")
        .sign()
}

/// The signature with something inserted before its end tag.
pub(super) fn with(xml: &str, inside: &str) -> String {
    xml.replacen("</ds:Signature>", &format!("{inside}</ds:Signature>"), 1)
}

fn with_key(xml: &str, inside: &str) -> String {
    xml.replacen("<ds:KeyInfo>", &format!("<ds:KeyInfo>{inside}"), 1)
}

pub(super) fn qualifying(inside: &str) -> String {
    format!(
        "<ds:Object><x:QualifyingProperties {XADES} Target=\"#sig\">{inside}</x:QualifyingProperties></ds:Object>"
    )
}

pub(super) fn unsigned(inside: &str) -> String {
    qualifying(&format!(
        "<x:UnsignedProperties><x:UnsignedSignatureProperties>{inside}</x:UnsignedSignatureProperties></x:UnsignedProperties>"
    ))
}

/// Each kind of signature, with the content that it needs.
fn kinds() -> [(String, Option<&'static str>); 3] {
    [
        (enveloped(), None),
        (enveloping(), None),
        (detached(Key::P256), Some(CONTRACT)),
    ]
}

#[test]
fn what_nobody_signs_in_a_signature_is_no_content() {
    let digest = format!(
        "<ds:Reference URI=\"a\"><ds:DigestMethod Algorithm=\"urn:a\"/><ds:DigestValue>{CONTRACT}</ds:DigestValue></ds:Reference>"
    );
    let everywhere = [
        format!("<ds:Object>{PAY}</ds:Object>"),
        "<ds:Object>pay mallory</ds:Object>".to_owned(),
        "<ds:Object><ds:Signature/></ds:Object>".to_owned(),
        "<ds:Signature/>".to_owned(),
        "<ds:Object><?pay mallory?></ds:Object>".to_owned(),
        format!("<ds:Object><ds:Manifest>{digest}</ds:Manifest></ds:Object>"),
        "<ds:Object><ds:SignatureProperties><ds:SignatureProperty Target=\"#sig\">pay mallory</ds:SignatureProperty></ds:SignatureProperties></ds:Object>".to_owned(),
        format!("<ds:Object><ds:SignatureProperties>{PAY}</ds:SignatureProperties></ds:Object>"),
        format!("<ds:Object><ds:KeyInfo>{PAY}</ds:KeyInfo></ds:Object>"),
        PAY.to_owned(),
        "pay mallory".to_owned(),
        "<?pay mallory?>".to_owned(),
        "<ds:Pay>mallory</ds:Pay>".to_owned(),
        "<x:Pay xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"/>".to_owned(),
        qualifying(PAY),
        qualifying("pay mallory"),
        qualifying("<?pay mallory?>"),
        qualifying("<ds:Object>pay mallory</ds:Object>"),
        qualifying("<x:SignedProperties><x:SignedSignatureProperties><x:SigningTime>2001-01-01T00:00:00Z</x:SigningTime></x:SignedSignatureProperties></x:SignedProperties>"),
        unsigned(PAY),
        unsigned("<x:Pay>mallory</x:Pay>"),
        unsigned("<x:CertificateValues/>pay mallory"),
        unsigned("<x:CertificateValues pay=\"mallory\"/>"),
        unsigned("<x:CertificateValues xml:pay=\"mallory\"/>"),
        unsigned("<x:CertificateValues x:pay=\"mallory\"/>"),
        unsigned(&format!("<x:CertificateValues><x:OtherCertificate>{PAY}</x:OtherCertificate></x:CertificateValues>")),
        unsigned("<x:CounterSignature><ds:Signature><ds:Object>pay mallory</ds:Object></ds:Signature></x:CounterSignature>"),
        unsigned("<x:CounterSignature><ds:Signature><ds:SignedInfo><pay/></ds:SignedInfo></ds:Signature></x:CounterSignature>"),
    ];
    for (xml, document) in kinds() {
        assert!(passes_over(&xml, document));
        let changed = everywhere.iter().map(|inside| with(&xml, inside));
        let keys = [
            PAY,
            "pay mallory",
            "<?pay mallory?>",
            "<ds:Object>pay mallory</ds:Object>",
            "<ds:Pay>mallory</ds:Pay>",
            "<ds:KeyName pay=\"mallory\"/>",
            "<ds:KeyValue><pay/></ds:KeyValue>",
        ];
        let keys = keys.iter().map(|inside| with_key(&xml, inside));
        let others = [
            ("<ds:Signature ", "<ds:Signature pay=\"mallory\" "),
            (
                "<ds:Signature ",
                "<ds:Signature xmlns:e=\"urn:e\" e:pay=\"1\" ",
            ),
            ("<ds:SignatureValue>", "<ds:SignatureValue pay=\"mallory\">"),
            (
                "<ds:SignatureValue>",
                "<ds:SignatureValue><pay to=\"mallory\"/>",
            ),
            ("<ds:SignatureValue>", "<ds:SignatureValue><?pay mallory?>"),
            ("<ds:KeyInfo>", "<ds:KeyInfo pay=\"mallory\">"),
        ];
        let others = others.iter().map(|(from, to)| xml.replacen(from, to, 1));
        for changed in changed.chain(keys).chain(others) {
            assert_ne!(changed, xml);
            assert!(!passes_over(&changed, document), "{changed}");
        }
    }
}

#[test]
fn what_signers_add_to_a_signature_passes() {
    let certificate = Key::Rsa.certificate();
    let reference = "<x:CertDigest><ds:DigestMethod Algorithm=\"urn:a\"/><ds:DigestValue>AAAA</ds:DigestValue></x:CertDigest>\
         <x:IssuerSerial><ds:X509IssuerName>CN=A</ds:X509IssuerName><ds:X509SerialNumber>1</ds:X509SerialNumber></x:IssuerSerial>";
    let properties = [
        "\n<!-- Comments say nothing. -->".to_owned(),
        format!(
            "<ds:Object><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:Object>"
        ),
        qualifying(""),
        unsigned(&format!(
            "\n<x:CertificateValues Id=\"v\"><x:EncapsulatedX509Certificate Encoding=\"urn:der\">{certificate}</x:EncapsulatedX509Certificate></x:CertificateValues>\n"
        )),
        unsigned(&format!(
            "<x:CompleteCertificateRefs><x:CertRefs><x:Cert URI=\"urn:a\">{reference}</x:Cert></x:CertRefs></x:CompleteCertificateRefs>"
        )),
        unsigned(&format!(
            "<x:SignatureTimeStamp Id=\"t\"><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"><e:InclusiveNamespaces xmlns:e=\"{EXCLUSIVE}\" PrefixList=\"a\"/></ds:CanonicalizationMethod><x:EncapsulatedTimeStamp>AAAA</x:EncapsulatedTimeStamp></x:SignatureTimeStamp>"
        )),
        unsigned(
            "<y:TimeStampValidationData xmlns:y=\"http://uri.etsi.org/01903/v1.4.1#\" URI=\"#t\"/>",
        ),
        unsigned(
            "<n:SealingEvidenceRecords xmlns:n=\"http://uri.etsi.org/19132/v1.1.1#\"><r:EvidenceRecord xmlns:r=\"urn:ietf:params:xml:ns:ers\" Version=\"1.0\"/></n:SealingEvidenceRecords>",
        ),
    ];
    let keys = [
        "<ds:KeyName>A key</ds:KeyName>",
        "<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>AAAA</ds:Modulus><ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>",
        "<ds:KeyValue><n:ECKeyValue xmlns:n=\"http://www.w3.org/2009/xmldsig11#\"><n:NamedCurve URI=\"urn:oid:1.2.840.10045.3.1.7\"/><n:PublicKey>AAAA</n:PublicKey></n:ECKeyValue></ds:KeyValue>",
        "<ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>CN=A</ds:X509IssuerName><ds:X509SerialNumber>1</ds:X509SerialNumber></ds:X509IssuerSerial><ds:X509SubjectName>CN=B</ds:X509SubjectName></ds:X509Data>",
    ];
    for (xml, document) in kinds() {
        let others = [
            ("<ds:SignatureValue>", "<ds:SignatureValue Id=\"value\">"),
            (
                "<ds:Signature ",
                "<ds:Signature xml:id=\"s\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:schemaLocation=\"a b\" ",
            ),
        ];
        let others = others.iter().map(|(from, to)| xml.replacen(from, to, 1));
        let properties = properties.iter().map(|inside| with(&xml, inside));
        let keys = keys.iter().map(|inside| with_key(&xml, inside));
        for changed in properties.chain(keys).chain(others) {
            assert_ne!(changed, xml);
            assert!(passes_over(&changed, document), "{changed}");
        }
    }
}

/// Signed content may be anything.
#[test]
fn what_is_signed_in_a_signature_passes() {
    let text = transform("http://www.w3.org/2000/09/xmldsig#base64");
    let property =
        "<ds:SignatureProperty Id=\"o\" Target=\"#sig\"><date>2027</date></ds:SignatureProperty>";
    let role = "<x:SignedProperties Id=\"o\"><x:ClaimedRole><role>any</role></x:ClaimedRole></x:SignedProperties>";
    let manifest = "<ds:Manifest Id=\"o\"><any></any></ds:Manifest>";
    for (object, transforms, octets) in [
        (
            format!(
                "<ds:Object><ds:SignatureProperties>{property}</ds:SignatureProperties></ds:Object>"
            ),
            transform(EXCLUSIVE),
            property.replacen(
                "<ds:SignatureProperty",
                &format!("<ds:SignatureProperty {DS}"),
                1,
            ),
        ),
        (
            qualifying(role),
            transform(EXCLUSIVE),
            role.replacen(" Id", &format!(" {XADES} Id"), 1),
        ),
        (
            format!("<ds:Object>{manifest}</ds:Object>"),
            transform(EXCLUSIVE),
            manifest.replacen(" Id", &format!(" {DS} Id"), 1),
        ),
        (
            format!("<ds:Object MimeType=\"text/xml\"><!-- -->{PAY}</ds:Object>")
                .replace(" to=", " Id=\"o\" to="),
            transform(EXCLUSIVE),
            PAY.replace(" to=", " Id=\"o\" to="),
        ),
        (
            "<ds:Object Id=\"o\" Encoding=\"urn:base64\">aGVsbG8=</ds:Object>".to_owned(),
            text.clone(),
            "hello".to_owned(),
        ),
    ] {
        let enveloping = Signer::new(Key::P256)
            .reference("contract.txt", "", CONTRACT)
            .reference("#o", &transforms, &octets)
            .object(&object)
            .sign();
        assert!(detached_passes(&enveloping), "{enveloping}");
        let whole = transform(ENVELOPED) + &transform(EXCLUSIVE);
        let enveloped = Signer::new(Key::P256)
            .reference("", &whole, "<doc></doc>")
            .reference("#o", &transforms, &octets)
            .object(&object)
            .sign();
        assert!(passes_over(&format!("<doc>{enveloped}</doc>"), None));
    }
    // Under a base64 transform, only the text is signed.
    for object in [
        "<ds:Object Id=\"o\" pay=\"mallory\">aGVsbG8=</ds:Object>",
        "<ds:Object Id=\"o\">aGVs<?pay mallory?>bG8=</ds:Object>",
        "<ds:Object Id=\"o\"><pay>aGVsbG8=</pay></ds:Object>",
    ] {
        let signature = Signer::new(Key::P256)
            .reference("contract.txt", "", CONTRACT)
            .reference("#o", &text, "hello")
            .object(object)
            .sign();
        assert!(!detached_passes(&signature), "{object}");
    }
}
