//! Signatures that were tampered with.

use aws_lc_rs::digest::{SHA256 as ALGORITHM, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kinds::only;
use super::signer::{DS, EXCLUSIVE, Key, SHA256, Signer, enveloped, transform};
use super::unsigned::{CONTRACT, verdicts};
use crate::pki::SubIndication;
use crate::xmldsig::{Coverage, ReferenceIntegrity, ValueIntegrity, inspect};

#[test]
fn changed_content_breaks_the_reference_only() {
    let signature = only(&enveloped(Key::P256, "<sum>1</sum>").replace("<sum>1", "<sum>9"));
    assert_eq!(
        signature.references[0].integrity,
        ReferenceIntegrity::Broken
    );
    assert_eq!(signature.value, ValueIntegrity::Intact(0));
    assert!(!signature.references_intact());
}

#[test]
fn changed_signed_info_breaks_the_value() {
    for key in Key::ALL {
        let xml = enveloped(key, "").replace("<ds:SignedInfo ", "<ds:SignedInfo Id=\"i\" ");
        let signature = only(&xml);
        assert_eq!(signature.value, ValueIntegrity::Broken);
        assert!(signature.references_intact());
    }
}

#[test]
fn changed_certificate_breaks_the_value() {
    for other in [Key::Other, Key::P384, Key::Rsa] {
        let xml = enveloped(Key::P256, "").replace(Key::P256.certificate(), other.certificate());
        assert_eq!(only(&xml).value, ValueIntegrity::Broken);
    }
}

#[test]
fn missing_or_unreadable_certificate_is_no_certificate() {
    for certificate in ["", "AAAA", "!"] {
        let xml = enveloped(Key::P256, "").replace(Key::P256.certificate(), certificate);
        assert_eq!(only(&xml).value, ValueIntegrity::NoCertificate);
    }
}

#[test]
fn the_certificate_that_fits_is_found_among_several() {
    let certificate = Key::P256.certificate();
    let both = format!(
        "{}</ds:X509Certificate><ds:X509Certificate>{certificate}",
        Key::Other.certificate()
    );
    let xml = enveloped(Key::P256, "").replace(certificate, &both);
    assert_eq!(only(&xml).value, ValueIntegrity::Intact(1));
}

/// Leading zeros do not change the numbers, but accepting them would give one value many encodings.
#[test]
fn ecdsa_numbers_of_other_lengths_are_broken() {
    let xml = enveloped(Key::P256, "");
    let (_, rest) = xml.split_once("<ds:SignatureValue>").unwrap();
    let (value, _) = rest.split_once("</ds:SignatureValue>").unwrap();
    let numbers = STANDARD.decode(value).unwrap();
    let (r, s) = numbers.split_at(32);
    let longer = STANDARD.encode([r, &[0], s].concat());
    assert_eq!(
        only(&xml.replace(value, &longer)).value,
        ValueIntegrity::Broken
    );
    let empty = STANDARD.encode([0; 64]);
    assert_eq!(
        only(&xml.replace(value, &empty)).value,
        ValueIntegrity::Broken
    );
}

#[test]
fn unknown_method_is_told() {
    let xml = enveloped(Key::P256, "").replace("#ecdsa-sha256", "#hmac-md5");
    let method = "http://www.w3.org/2001/04/xmldsig-more#hmac-md5".to_owned();
    assert_eq!(
        only(&xml).value,
        ValueIntegrity::UnsupportedAlgorithm(method)
    );
}

/// The classic wrapping attack: the signed element moves to a place where nobody looks, and another one takes its
/// place.
#[test]
fn wrapped_element_with_duplicate_identifier_is_broken() {
    let signed = "<order Id=\"o\">1</order>";
    let signature = Signer::new(Key::P256)
        .reference("#o", &transform(EXCLUSIVE), signed)
        .sign();
    let forged = "<order Id=\"o\">999</order>";
    for hidden in [
        format!("<doc>{forged}<hidden>{signed}</hidden>{signature}</doc>"),
        format!("<doc><hidden>{signed}</hidden>{signature}{forged}</doc>"),
        format!(
            "<doc>{}<h>{signed}</h>{signature}</doc>",
            forged.replace("Id=", "ID=")
        ),
    ] {
        let signature = only(&hidden);
        assert!(signature.duplicate_ids);
        assert_eq!(
            signature.references[0].integrity,
            ReferenceIntegrity::Broken
        );
        assert_eq!(signature.references[0].covers, Coverage::External);
    }
}

#[test]
fn duplicate_identifier_elsewhere_is_told_but_harmless() {
    let signature = only(&enveloped(Key::P256, "<a id=\"1\"></a><b id=\"1\"></b>"));
    assert!(signature.duplicate_ids);
    assert!(signature.references_intact());
}

/// An element that is moved without a duplicate is still intact. The caller sees what is covered, and that it does not
/// enclose the signature.
#[test]
fn moved_element_is_intact_but_does_not_enclose() {
    let signed = "<order Id=\"o\">1</order>";
    let signature = Signer::new(Key::P256)
        .reference("#o", &transform(EXCLUSIVE), signed)
        .sign();
    let signature = only(&format!(
        "<doc><order>999</order><h>{signed}{signature}</h></doc>"
    ));
    assert!(signature.references_intact());
    assert!(!signature.encloses);
}

/// The target may exist under an identifier that only a schema declares, so it can't be reported as changed. Nor is it
/// outside of the document, so the given document is not taken for it.
#[test]
fn missing_target_is_not_found() {
    for uri in ["#none", "#xpointer(id('none'))"] {
        let signature = Signer::new(Key::P256).reference(uri, "", CONTRACT).sign();
        assert_eq!(
            only(&signature).references[0].integrity,
            ReferenceIntegrity::Unresolved
        );
        for document in [None, Some(CONTRACT)] {
            let verdict = verdicts(&signature, document).remove(0);
            assert_eq!(
                verdict.sub_indication,
                Some(SubIndication::SignedDataNotFound)
            );
            assert_eq!((verdict.intact, verdict.apart_from_content), (None, None));
        }
    }
}

#[test]
fn signature_of_itself_without_itself_attests_nothing() {
    let transforms = transform("http://www.w3.org/2000/09/xmldsig#enveloped-signature");
    let signature = Signer::new(Key::P256)
        .reference("#sig", &transforms, "")
        .sign();
    assert_eq!(
        only(&signature).references[0].integrity,
        ReferenceIntegrity::Broken
    );
}

#[test]
fn second_list_of_transforms_is_unresolved() {
    let transforms = format!("</ds:Transforms><ds:Transforms>{}", transform(EXCLUSIVE));
    let signature = Signer::new(Key::P256)
        .reference("#sig", &transforms, "")
        .sign();
    assert_eq!(
        only(&signature).references[0].integrity,
        ReferenceIntegrity::Unresolved
    );
}

#[test]
fn document_that_is_nothing_but_its_signature_attests_nothing() {
    let transforms = transform("http://www.w3.org/2000/09/xmldsig#enveloped-signature");
    let signature = Signer::new(Key::P256).reference("", &transforms, "").sign();
    assert_eq!(
        only(&signature).references[0].integrity,
        ReferenceIntegrity::Broken
    );
}

#[test]
fn signature_without_parts_is_not_intact() {
    for xml in [
        format!("<ds:Signature {DS}/>"),
        format!("<ds:Signature {DS}><ds:SignedInfo/></ds:Signature>"),
        enveloped(Key::P256, "").replace("</ds:SignedInfo>", "</ds:SignedInfo><ds:SignedInfo/>"),
    ] {
        let signature = only(&xml);
        assert!(!matches!(signature.value, ValueIntegrity::Intact(_)));
        assert!(!signature.references_intact());
    }
}

/// Signed properties that name these certificates: as a `QualifyingProperties` element, and as canonical octets.
fn properties(element: &str, named: &[Key]) -> (String, String) {
    let xades = "xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"";
    let entry = |ds: &str, key: &Key| {
        let certificate = STANDARD.decode(key.certificate()).unwrap();
        let digest = STANDARD.encode(digest(&ALGORITHM, &certificate));
        format!(
            "<x:Cert><x:CertDigest><ds:DigestMethod{ds} Algorithm=\"{SHA256}\"></ds:DigestMethod>\
             <ds:DigestValue{ds}>{digest}</ds:DigestValue></x:CertDigest></x:Cert>"
        )
    };
    let content = |ds: &str| {
        let entries: String = named.iter().map(|key| entry(ds, key)).collect();
        format!(
            "<x:SignedSignatureProperties><x:SigningTime>2026-01-02T03:04:05Z</x:SigningTime>\
             <x:{element}>{entries}</x:{element}></x:SignedSignatureProperties></x:SignedProperties>"
        )
    };
    let start = "<x:SignedProperties";
    (
        format!(
            "<ds:Object><x:QualifyingProperties {xades}>{start} Id=\"p\">{}</x:QualifyingProperties></ds:Object>",
            content("")
        ),
        format!("{start} {xades} Id=\"p\">{}", content(&format!(" {DS}"))),
    )
}

const V2: &str = "SigningCertificateV2";

#[test]
fn covered_properties_tell_time_and_certificate() {
    let (own, other) = (Key::P256, Key::Other);
    for (element, named, fits) in [
        (V2, vec![own], true),
        (V2, vec![own, other], true),
        (V2, vec![other], false),
        (V2, vec![other, own], false),
        ("SigningCertificate", vec![other, own], true),
        ("SigningCertificate", vec![other], false),
    ] {
        let (object, octets) = properties(element, &named);
        let xml = Signer::new(own)
            .reference("#p", &transform(EXCLUSIVE), &octets)
            .object(&object)
            .sign();
        let signature = only(&xml);
        assert!(signature.references_intact());
        assert_eq!(signature.references[0].covers, Coverage::SignedProperties);
        assert_eq!(
            signature.signing_time.as_deref(),
            Some("2026-01-02T03:04:05Z")
        );
        assert_eq!(signature.signing_certificate_matches, Some(fits));
        assert_eq!(signature.signing_certificate, fits.then_some(0));
    }
}

/// Only the text of a base64 transform's target is hashed, so its markup may be forged.
#[test]
fn properties_under_base64_tell_nothing() {
    let object = |name| {
        format!(
            "<ds:Object><x:QualifyingProperties xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\">\
             <x:SignedProperties Id=\"p\"><x:SignedSignatureProperties><x:{name}>AAAA</x:{name}>\
             </x:SignedSignatureProperties></x:SignedProperties></x:QualifyingProperties></ds:Object>"
        )
    };
    let xml = Signer::new(Key::P256)
        .reference(
            "#p",
            &transform("http://www.w3.org/2000/09/xmldsig#base64"),
            "\0\0\0",
        )
        .object(&object("SigningTime"))
        .sign();
    let signature = only(&xml);
    assert!(signature.references_intact());
    assert_eq!(signature.signing_time, None);
}

#[test]
fn changed_properties_tell_nothing() {
    let (object, octets) = properties(V2, &[Key::P256]);
    let xml = Signer::new(Key::P256)
        .reference("#p", &transform(EXCLUSIVE), &octets)
        .object(&object.replace("2026-01-02", "1999-01-02"))
        .sign();
    let signature = only(&xml);
    assert_eq!(
        signature.references[0].integrity,
        ReferenceIntegrity::Broken
    );
    assert_eq!(signature.signing_time, None);
    assert_eq!(signature.signing_certificate_matches, None);
}

#[test]
fn uncovered_or_foreign_properties_tell_nothing() {
    let (object, octets) = properties(V2, &[Key::P256]);
    let uncovered = Signer::new(Key::P256).object(&object).sign();
    let foreign = Signer::new(Key::P256)
        .reference("#p", &transform(EXCLUSIVE), &octets)
        .sign();
    for xml in [uncovered, format!("<doc {DS}>{foreign}{object}</doc>")] {
        let signature = only(&xml);
        assert_eq!(signature.signing_time, None);
        assert_eq!(signature.signing_certificate_matches, None);
    }
}

#[test]
fn counter_signature_in_unsigned_properties_is_found() {
    let octets = format!("<v {DS} Id=\"v\">1</v>").replace(&format!("{DS} "), "");
    let counter = Signer::new(Key::Rsa)
        .reference("#v", &transform(EXCLUSIVE), &octets)
        .sign();
    let object = format!(
        "<ds:Object><x:QualifyingProperties xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"><x:UnsignedProperties>\
         <x:CounterSignature>{counter}</x:CounterSignature></x:UnsignedProperties></x:QualifyingProperties>\
         <v Id=\"v\">1</v></ds:Object>"
    );
    let xml = Signer::new(Key::P256).object(&object).sign();
    let signatures = inspect(xml.as_bytes()).unwrap();
    assert_eq!(signatures.len(), 2);
    assert!(signatures[1].references_intact());
    assert_eq!(signatures[1].value, ValueIntegrity::Intact(0));
}
