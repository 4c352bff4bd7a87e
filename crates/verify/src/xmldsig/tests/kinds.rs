//! The supported kinds of signatures, each intact.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signer::{
    C14N, C14N11, DS, ENVELOPED, EXCLUSIVE, Key, SHA256, Signer, enveloped, transform,
};
use crate::judging::Judging;
use crate::pki::gost_signer;
use crate::pki::hash::Hash;
use crate::pki::{Anchors, Budget, Indication, SubIndication};
use crate::xmldsig::{
    Coverage, ReferenceIntegrity, ValueIntegrity, Xml, XmlSignature, inspect, inspect_over,
};

/// 1 January 2027, when the certificates are valid.
const IN_2027: i64 = 1_798_761_600_000;

/// The only signature of a document.
#[track_caller]
pub(super) fn only(xml: &str) -> XmlSignature {
    let mut signatures = inspect(xml.as_bytes()).unwrap();
    assert_eq!(signatures.len(), 1);
    signatures.remove(0)
}

#[track_caller]
fn assert_intact(xml: &str) -> XmlSignature {
    let signature = only(xml);
    assert_eq!(signature.value, ValueIntegrity::Intact(0));
    assert!(signature.references_intact(), "{:?}", signature.references);
    signature
}

fn element(name: &str, id: &str) -> Coverage {
    Coverage::Element {
        name: name.to_owned(),
        id: id.to_owned(),
    }
}

#[test]
fn enveloped_signatures_of_all_keys_are_intact() {
    for key in Key::ALL {
        let signature = assert_intact(&enveloped(key, "<a>1</a>"));
        assert_eq!(signature.id.as_deref(), Some("sig"));
        assert_eq!(signature.canonicalization_method, EXCLUSIVE);
        assert_eq!(signature.references[0].covers, Coverage::WholeDocument);
        assert_eq!(signature.references[0].transforms, [ENVELOPED, EXCLUSIVE]);
        assert_eq!(signature.references[0].digest_method, SHA256);
        assert!(signature.encloses);
        assert!(!signature.duplicate_ids);
        assert_eq!(signature.signing_certificate_matches, None);
    }
}

#[test]
fn what_is_outside_of_the_document_is_looked_at_where_it_is_given() {
    let xml = Signer::new(Key::P256)
        .reference("contract.txt", "", "A contract.")
        .sign();
    let over = |xml: &str, external: &[u8]| {
        let anchors = Anchors::default();
        let judging = Judging {
            document: Some(external),
            ..Judging::new(&anchors, 0)
        };
        let mut found = inspect_over(Xml::Text(xml), Some(&judging), &Budget::new()).unwrap();
        found.remove(0)
    };
    assert_eq!(
        only(&xml).references[0].integrity,
        ReferenceIntegrity::Unresolved
    );
    let given = over(&xml, b"A contract.");
    assert!(given.references_intact() && given.covers_external && given.is_detached());
    let other = over(&xml, b"Another.");
    assert_eq!(other.references[0].integrity, ReferenceIntegrity::Broken);
    assert!(!other.covers_external);
    // With several references, nobody knows which of them the document is for. Under a transform, nobody knows its
    // result.
    let two = Signer::new(Key::P256)
        .reference("contract.txt", "", "A contract.")
        .reference("other.txt", "", "A contract.")
        .sign();
    let transformed = Signer::new(Key::P256)
        .reference("contract.xml", &transform(EXCLUSIVE), "A contract.")
        .sign();
    for xml in [two, transformed] {
        let found = over(&xml, b"A contract.");
        assert_eq!(
            found.references[0].integrity,
            ReferenceIntegrity::Unresolved
        );
    }
}

#[test]
fn without_what_is_elsewhere_a_signature_is_judged_by_the_digests_that_were_signed() {
    let anchors = Anchors::new([STANDARD.decode(Key::P256.certificate().trim()).unwrap()]);
    let judge = |xml: &str| {
        let found = inspect(xml.as_bytes()).unwrap();
        super::super::judge(&found, &Judging::new(&anchors, IN_2027))
            .unwrap()
            .remove(0)
    };
    let signer = || Signer::new(Key::P256).reference("contract.txt", "", "A contract.");
    let found = judge(&signer().sign());
    assert_eq!(
        (found.sub_indication, found.intact),
        (Some(SubIndication::SignedDataNotFound), None)
    );
    let apart = found.apart_from_content.unwrap();
    assert_eq!(
        (apart.indication, apart.intact),
        (Indication::TotalPassed, Some(true)),
        "{apart:?}"
    );
    // The value was made over something else.
    let forged = signer().sign().replace("contract.txt", "contract.doc");
    let found = judge(&forged);
    assert_eq!(
        (found.intact, found.apart_from_content),
        (Some(false), None)
    );
    // A reference into this document that can't be followed is not outside of it.
    let unknown = signer().reference("", &transform("urn:unknown"), "").sign();
    let found = judge(&unknown);
    assert_eq!(
        (found.sub_indication, found.apart_from_content),
        (Some(SubIndication::SignedDataNotFound), None)
    );
}

/// Signatures as Kazakhstan's software makes them.
#[test]
fn gost_signatures_and_digests_are_intact() {
    let algorithms = "urn:ietf:params:xml:ns:pkigovkz:xmlsec:algorithms";
    let content = "<doc><a>1</a></doc>";
    let digest = STANDARD.encode(Hash::Streebog512.digest(content.as_bytes()));
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signed_info = format!(
        "<ds:SignedInfo {DS}><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{algorithms}:gostr34102015-gostr34112015-512\"></ds:SignatureMethod>\
         <ds:Reference URI=\"\"><ds:Transforms>{transforms}</ds:Transforms>\
         <ds:DigestMethod Algorithm=\"{algorithms}:gostr34112015-512\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    );
    let value = STANDARD.encode(gost_signer::sign(signed_info.as_bytes()));
    let certificate = STANDARD.encode(gost_signer::certificate());
    let xml = content.replace(
        "</doc>",
        &format!(
            "<ds:Signature {DS}>{signed_info}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>\
             <ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature></doc>"
        ),
    );
    let signature = assert_intact(&xml);
    let name = signature.signature_algorithm().name.unwrap();
    assert!(name.starts_with("GOST R 34.10-2015"), "{name}");
    let name = signature.digest_algorithm().name.unwrap();
    assert!(name.starts_with("GOST R 34.11-2015"), "{name}");
    let changed = only(&xml.replace("<a>1", "<a>2"));
    assert_eq!(changed.references[0].integrity, ReferenceIntegrity::Broken);
    let changed = only(&xml.replace(EXCLUSIVE, C14N));
    assert_eq!(changed.value, ValueIntegrity::Broken);
}

#[test]
fn white_space_in_base64_does_not_matter() {
    let xml = enveloped(Key::P256, "<a/>".replace("/>", "></a>").as_str());
    let broken_up = xml.replace("</ds:SignatureValue>", "&#13;\n </ds:SignatureValue>");
    assert_intact(&broken_up);
}

#[test]
fn enveloping_signature_is_intact() {
    let octets = format!("<ds:Object {DS} Id=\"o\">a &lt; b</ds:Object>");
    let xml = Signer::new(Key::P256)
        .reference("#o", &transform(EXCLUSIVE), &octets)
        .object("<ds:Object Id='o'>a &#60; b</ds:Object>")
        .sign();
    let signature = assert_intact(&xml);
    assert_eq!(signature.references[0].covers, element("Object", "o"));
    assert!(!signature.encloses);
}

#[test]
fn detached_element_is_found_by_all_kinds_of_identifiers() {
    for attribute in ["Id", "ID", "id", "xml:id"] {
        let octets = format!("<part {attribute}=\"p\">1</part>");
        let signature = Signer::new(Key::P256)
            .reference("#p", &transform(EXCLUSIVE), &octets)
            .sign();
        let signature = assert_intact(&format!("<doc>{octets}{signature}</doc>"));
        assert_eq!(signature.references[0].covers, element("part", "p"));
    }
}

#[test]
fn identifiers_of_saml_1_1_are_those_of_its_elements_alone() {
    let sign = |local: &str, namespace: &str, identifier: &str| {
        let octets = format!(
            "<{local} xmlns=\"urn:oasis:names:tc:SAML:1.0:{namespace}\" {identifier}=\"p\">1</{local}>"
        );
        let signature = Signer::new(Key::P256)
            .reference("#p", &transform(EXCLUSIVE), &octets)
            .sign();
        (octets, signature)
    };
    for (local, namespace, identifier) in [
        ("Assertion", "assertion", "AssertionID"),
        ("Request", "protocol", "RequestID"),
        ("Response", "protocol", "ResponseID"),
    ] {
        let (octets, signature) = sign(local, namespace, identifier);
        let found = assert_intact(&format!("<doc>{octets}{signature}</doc>"));
        assert_eq!(found.references[0].covers, element(local, "p"));
        let twice = only(&format!("<doc>{octets}{octets}{signature}</doc>"));
        assert_eq!(twice.references[0].integrity, ReferenceIntegrity::Broken);
        assert!(twice.duplicate_ids);
    }
    for (local, namespace, identifier) in [
        ("Assertion", "assertion", "ResponseID"),
        ("Assertion", "protocol", "AssertionID"),
        ("Request", "protocol", "ResponseID"),
        ("doc", "protocol", "RequestID"),
    ] {
        let (octets, signature) = sign(local, namespace, identifier);
        let found = only(&format!("<doc>{octets}{octets}{signature}</doc>"));
        let integrity = found.references[0].integrity;
        assert_eq!(integrity, ReferenceIntegrity::Unresolved, "{octets}");
        assert!(!found.duplicate_ids);
    }
}

#[test]
fn signature_around_its_parent_encloses() {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signature = Signer::new(Key::P256)
        .reference("#p", &transforms, "<part Id=\"p\">1</part>")
        .sign();
    let xml = format!("<doc><part Id=\"p\">1{signature}</part></doc>");
    assert!(assert_intact(&xml).encloses);
}

#[test]
fn inclusive_canonicalization_brings_the_context_along() {
    let namespaces = "xmlns=\"urn:d\" xmlns:x=\"urn:x\"";
    for (method, attributes) in [
        (C14N, "xml:id=\"i\" xml:lang=\"kk\""),
        (C14N11, "xml:lang=\"kk\""),
    ] {
        let octets = format!("<part {namespaces} Id=\"p\" {attributes}>1</part>");
        let signature = Signer::new(Key::P256)
            .reference("#p", &transform(method), &octets)
            .sign();
        assert_intact(&format!(
            "<doc {namespaces} xml:lang=\"kk\" xml:id=\"i\"><part Id=\"p\">1</part>{signature}</doc>"
        ));
    }
}

#[test]
fn element_without_transforms_is_canonicalized_inclusively() {
    let octets = "<part xmlns:x=\"urn:x\" Id=\"p\">1</part>";
    let signature = Signer::new(Key::P256).reference("#p", "", octets).sign();
    assert_intact(&format!(
        "<doc xmlns:x=\"urn:x\"><part Id=\"p\">1<!-- not signed --></part>{signature}</doc>"
    ));
}

#[test]
fn exclusive_canonicalization_minds_its_prefix_list() {
    let listed = format!(
        "<ds:Transform Algorithm=\"{EXCLUSIVE}\"><ec:InclusiveNamespaces xmlns:ec=\"{EXCLUSIVE}\" \
         PrefixList=\"x #default\"></ec:InclusiveNamespaces></ds:Transform>"
    );
    for (transforms, declared) in [
        (transform(EXCLUSIVE), " xmlns:y=\"urn:y\""),
        (
            listed,
            " xmlns=\"urn:d\" xmlns:x=\"urn:x\" xmlns:y=\"urn:y\"",
        ),
    ] {
        let octets = format!("<y:part{declared} Id=\"p\">1</y:part>");
        let signature = Signer::new(Key::P256)
            .reference("#p", &transforms, &octets)
            .sign();
        assert_intact(&format!(
            "<doc xmlns=\"urn:d\" xmlns:x=\"urn:x\" xmlns:y=\"urn:y\" xmlns:z=\"urn:z\">\
             <y:part Id=\"p\">1</y:part>{signature}</doc>"
        ));
    }
}

#[test]
fn comments_are_signed_only_by_xpointer_and_method() {
    let with_comments = format!("{EXCLUSIVE}WithComments");
    let (kept, dropped) = ("<part Id=\"p\">1<!--c--></part>", "<part Id=\"p\">1</part>");
    for (uri, method, octets) in [
        ("#p", with_comments.as_str(), dropped),
        ("#xpointer(id('p'))", with_comments.as_str(), kept),
        ("#xpointer(id('p'))", EXCLUSIVE, dropped),
    ] {
        let signature = Signer::new(Key::P256)
            .reference(uri, &transform(method), octets)
            .sign();
        let signature = assert_intact(&format!("<doc>{kept}{signature}</doc>"));
        assert_eq!(signature.references[0].covers, element("part", "p"));
    }
}

#[test]
fn whole_document_with_comments_has_those_outside_of_its_root() {
    let transforms = transform(ENVELOPED) + &transform(&format!("{C14N}#WithComments"));
    for (uri, octets) in [
        ("#xpointer(/)", "<!--a-->\n<doc></doc>\n<?b c?>\n<!--d-->"),
        ("", "<doc></doc>\n<?b c?>"),
    ] {
        let signature = Signer::new(Key::P256)
            .reference(uri, &transforms, octets)
            .sign();
        assert_intact(&format!("<!--a--><doc>{signature}</doc> <?b   c?><!--d-->"));
    }
}

#[test]
fn base64_transform_hashes_what_is_encoded() {
    let encoded = STANDARD.encode("signed text");
    let xml = Signer::new(Key::P256)
        .reference(
            "#o",
            &transform("http://www.w3.org/2000/09/xmldsig#base64"),
            "signed text",
        )
        .object(&format!("<ds:Object Id=\"o\">\n{encoded}\n</ds:Object>"))
        .sign();
    assert_intact(&xml);
}

#[test]
fn usual_xpaths_leave_all_signatures_out() {
    let xpath = format!(
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>\
         not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>{}",
        transform(EXCLUSIVE)
    );
    let filter = format!(
        "<ds:Transform Algorithm=\"http://www.w3.org/2002/06/xmldsig-filter2\">\
         <f:XPath xmlns:f=\"http://www.w3.org/2002/06/xmldsig-filter2\" Filter=\"subtract\">\
         /descendant::ds:Signature</f:XPath></ds:Transform>{}",
        transform(EXCLUSIVE)
    );
    for transforms in [xpath, filter] {
        let sign = |key| {
            Signer::new(key)
                .reference("", &transforms, "<doc>1</doc>")
                .sign()
        };
        let xml = format!("<doc>1{}{}</doc>", sign(Key::P256), sign(Key::Rsa));
        let signatures = inspect(xml.as_bytes()).unwrap();
        assert_eq!(signatures.len(), 2);
        assert!(signatures.iter().all(XmlSignature::references_intact));
    }
}

#[test]
fn other_xpaths_and_external_files_are_unresolved() {
    let xpath = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\">\
                 <ds:XPath>self::text()</ds:XPath></ds:Transform>";
    let foreign = "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\">\
                   <ds:XPath>not(ancestor-or-self::p:Signature)</ds:XPath>\
                   </ds:Transform>";
    let kept = "<ds:Transform Algorithm=\"http://www.w3.org/2002/06/xmldsig-filter2\">\
                <f:XPath xmlns:f=\"http://www.w3.org/2002/06/xmldsig-filter2\" Filter=\"intersect\">\
                //ds:Signature</f:XPath></ds:Transform>";
    for (uri, transforms) in [
        ("", xpath.to_owned()),
        ("", foreign.to_owned()),
        ("", kept.to_owned()),
        ("", transform("urn:unknown")),
        ("", transform(EXCLUSIVE) + &transform(ENVELOPED)),
        ("other.xml", transform(EXCLUSIVE)),
        ("#xpointer(//a)", String::new()),
    ] {
        let signature = Signer::new(Key::P256)
            .reference(uri, &transforms, "")
            .sign();
        let signature = only(&format!("<doc>{signature}</doc>"));
        assert_eq!(signature.value, ValueIntegrity::Intact(0));
        assert_eq!(
            signature.references[0].integrity,
            ReferenceIntegrity::Unresolved
        );
        assert!(!signature.references_intact());
    }
}

#[test]
fn all_digests_are_known() {
    for (method, algorithm) in [
        (
            "http://www.w3.org/2000/09/xmldsig#sha1",
            &digest::SHA1_FOR_LEGACY_USE_ONLY,
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#sha224",
            &digest::SHA224,
        ),
        (
            "http://www.w3.org/2001/04/xmldsig-more#sha384",
            &digest::SHA384,
        ),
        ("http://www.w3.org/2001/04/xmlenc#sha512", &digest::SHA512),
    ] {
        let xml = Signer::new(Key::P256)
            .digested(
                "#o",
                "",
                method,
                algorithm,
                &format!("<ds:Object {DS} Id=\"o\">1</ds:Object>"),
            )
            .object("<ds:Object Id=\"o\">1</ds:Object>")
            .sign();
        assert_intact(&xml);
    }
}
