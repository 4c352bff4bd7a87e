//! Less usual transforms, and certificates elsewhere in the document.

use super::kinds::only;
use super::signer::{C14N, C14N11, ENVELOPED, EXCLUSIVE, Key, Signer, enveloped, transform};
use crate::xmldsig::{Omission, ReferenceIntegrity, ValueIntegrity, XmlSignature};

const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";
const FILTER2: &str = "http://www.w3.org/2002/06/xmldsig-filter2";
/// The expression of XMLDSig 1.1 section 6.6.4.
const SPEC: &str = "count(ancestor-or-self::ds:Signature | here()/ancestor::ds:Signature[1]) &gt; count(ancestor-or-self::ds:Signature)";

fn xpath(expression: &str) -> String {
    format!("<ds:Transform Algorithm=\"{XPATH}\"><ds:XPath>{expression}</ds:XPath></ds:Transform>")
}

fn filter2(paths: &[&str]) -> String {
    let paths = paths
        .iter()
        .map(|path| format!("<f:XPath xmlns:f=\"{FILTER2}\" Filter=\"subtract\">{path}</f:XPath>"));
    let paths: String = paths.collect();
    format!("<ds:Transform Algorithm=\"{FILTER2}\">{paths}</ds:Transform>")
}

/// A document with this content, whose signature covers these octets as the result of these transforms.
fn signed(inside: &str, transforms: &str, octets: &str) -> XmlSignature {
    let signature = Signer::new(Key::P256)
        .reference("", transforms, octets)
        .sign();
    only(&format!("<doc>{inside}{signature}</doc>"))
}

#[track_caller]
fn assert_intact(signature: &XmlSignature, omits: Omission, covers_root: bool) {
    assert_eq!(signature.value, ValueIntegrity::Intact(0));
    assert!(signature.references_intact(), "{:?}", signature.references);
    assert_eq!(signature.references[0].omits, omits);
    assert_eq!(signature.covers_root, covers_root);
}

#[test]
fn expressions_leave_the_signature_or_all_of_them_out() {
    let doc = "<doc><a></a></doc>";
    for (transforms, omits) in [
        (xpath(SPEC), Omission::Itself),
        (
            xpath(" not( ancestor-or-self::ds:Signature )"),
            Omission::Signatures,
        ),
        (
            filter2(&["here()/ancestor::ds:Signature[1]"]),
            Omission::Itself,
        ),
        (filter2(&["//ds:Signature"]), Omission::Signatures),
        (xpath(SPEC) + &transform(ENVELOPED), Omission::Itself),
    ] {
        assert_intact(&signed("<a></a>", &transforms, doc), omits, true);
    }
    // Only an expression that leaves out all signatures leaves out another one.
    let other = Signer::new(Key::Other).reference("", "", "").sign();
    let both = format!("<a></a>{}", other.replace("Id=\"sig\"", ""));
    let all = xpath("not(ancestor-or-self::ds:Signature)");
    let signature = Signer::new(Key::P256).reference("", &all, doc).sign();
    let xml = format!("<doc>{both}{signature}</doc>");
    let found = crate::xmldsig::inspect(xml.as_bytes()).unwrap();
    assert_intact(&found[1], Omission::Signatures, true);
    let own = Signer::new(Key::P256)
        .reference("", &xpath(SPEC), doc)
        .sign();
    let xml = format!("<doc>{both}{own}</doc>");
    let found = crate::xmldsig::inspect(xml.as_bytes()).unwrap();
    assert_eq!(found[1].references[0].integrity, ReferenceIntegrity::Broken);
}

/// A reference that leaves content out signs only a part, whatever its URI.
#[test]
fn what_leaves_content_out_does_not_cover_the_document() {
    let leaves = xpath("not(ancestor-or-self::ds:Signature) and not(ancestor-or-self::price)");
    let inside = "<price>1</price><b><price>2</price></b>";
    let signature = signed(inside, &leaves, "<doc><b></b></doc>");
    assert_intact(&signature, Omission::Elements, false);
    let leaves = filter2(&["//ds:Signature", "//price"]);
    let signature = signed(inside, &leaves, "<doc><b></b></doc>");
    assert_intact(&signature, Omission::Elements, false);
    // A signature of nothing attests nothing.
    for nothing in [
        "not(ancestor-or-self::doc)",
        &SPEC.replace("Signature", "Nothing"),
    ] {
        let signature = signed(inside, &xpath(nothing), "");
        let integrity = signature.references[0].integrity;
        assert_eq!(integrity, ReferenceIntegrity::Broken, "{nothing}");
    }
    // Unknown expressions are not guessed.
    for unknown in [
        "true()",
        "not(self::ds:Signature)",
        "not(ancestor-or-self::ds:Signature) or 1",
    ] {
        let signature = signed(inside, &xpath(unknown), "<doc></doc>");
        let integrity = signature.references[0].integrity;
        assert_eq!(integrity, ReferenceIntegrity::Unresolved, "{unknown}");
    }
}

#[test]
fn properties_of_which_something_is_left_out_tell_nothing() {
    use super::signer::DS;
    const X: &str = "http://uri.etsi.org/01903/v1.3.2#";
    let properties = format!(
        "<x:SignedProperties xmlns:x=\"{X}\" Id=\"p\"><x:SignedSignatureProperties>\
         <x:SigningTime>2026-01-01T00:00:00Z</x:SigningTime></x:SignedSignatureProperties></x:SignedProperties>"
    );
    let object = format!(
        "<ds:Object {DS}><x:QualifyingProperties xmlns:x=\"{X}\">{properties}</x:QualifyingProperties></ds:Object>"
    );
    let sign = |transforms: &str, octets: &str| {
        let doc = transform(ENVELOPED) + &transform(EXCLUSIVE);
        let signature = Signer::new(Key::P256)
            .reference("", &doc, "<doc></doc>")
            .reference("#p", transforms, octets)
            .object(&object)
            .sign();
        only(&format!("<doc>{signature}</doc>"))
    };
    let whole = sign(&transform(EXCLUSIVE), &properties);
    assert!(whole.references_intact() && whole.signing_time.is_some());
    let leaves = format!(
        "<ds:Transform Algorithm=\"{XPATH}\"><ds:XPath xmlns:x=\"{X}\">not(ancestor-or-self::x:SigningTime)</ds:XPath></ds:Transform>"
    );
    let without = properties.replace("<x:SigningTime>2026-01-01T00:00:00Z</x:SigningTime>", "");
    let part = sign(&(leaves + &transform(EXCLUSIVE)), &without);
    assert!(part.references_intact(), "{:?}", part.references);
    assert_eq!(part.signing_time, None);
}

#[test]
fn canonical_forms_may_follow_one_another() {
    let comments = format!("{C14N}#WithComments");
    let two = transform(ENVELOPED) + &transform(&comments) + &transform(EXCLUSIVE);
    let inside = "<!-- a --><a:b xmlns:a=\"urn:a\" xmlns:c=\"urn:c\">&#13;</a:b>";
    let octets = "<doc><a:b xmlns:a=\"urn:a\">&#xD;</a:b></doc>";
    assert_intact(&signed(inside, &two, octets), Omission::Itself, true);
    let three = two + &transform(&comments);
    assert_intact(&signed(inside, &three, octets), Omission::Itself, true);
    // Any other transform after canonicalisation would apply to another document.
    let other = transform(EXCLUSIVE) + &transform(ENVELOPED);
    let signature = signed(inside, &other, octets);
    assert_eq!(
        signature.references[0].integrity,
        ReferenceIntegrity::Unresolved
    );
}

#[test]
fn bases_of_ancestors_are_joined_under_canonical_xml_1_1() {
    let sign = |element: &str, octets: &str| {
        let signature = Signer::new(Key::P256)
            .reference("#e", &transform(C14N11), octets)
            .sign();
        only(&format!(
            "<doc xml:base=\"http://a/b/c\" xml:lang=\"kk\"><d xml:base=\"../d/\">{element}</d>{signature}</doc>"
        ))
    };
    // A single base is inherited unchanged.
    let octets = "<e Id=\"e\" xml:base=\"http://a/../b//c#d\"></e>";
    let signature = Signer::new(Key::P256)
        .reference("#e", &transform(C14N11), octets)
        .sign();
    let one = only(&format!(
        "<doc xml:base=\"http://a/../b//c#d\"><e Id=\"e\"></e>{signature}</doc>"
    ));
    assert!(one.references_intact(), "{:?}", one.references);
    for (element, octets) in [
        (
            "<e Id=\"e\"></e>",
            "<e Id=\"e\" xml:base=\"http://a/d/\" xml:lang=\"kk\"></e>",
        ),
        (
            "<e Id=\"e\" xml:base=\"f/g\"><h xml:base=\"i\"></h></e>",
            "<e Id=\"e\" xml:base=\"http://a/d/f/g\" xml:lang=\"kk\"><h xml:base=\"i\"></h></e>",
        ),
    ] {
        let signature = sign(element, octets);
        assert!(signature.references_intact(), "{:?}", signature.references);
    }
}

#[test]
fn blanks_around_algorithms_are_no_part_of_them() {
    let blank = format!("{ENVELOPED} ");
    let signature = signed(
        "",
        &(transform(&blank) + &transform(EXCLUSIVE)),
        "<doc></doc>",
    );
    assert_intact(&signature, Omission::Itself, true);
    assert_eq!(signature.references[0].transforms[0], ENVELOPED);
}

/// A signed document with this `KeyInfo`, and with an additional object.
fn with_key_info(key_info: &str, object: &str) -> XmlSignature {
    let xml = enveloped(Key::P256, "<a></a>");
    let (before, rest) = xml.split_once("<ds:KeyInfo>").unwrap();
    let (_, after) = rest.split_once("</ds:KeyInfo>").unwrap();
    only(&format!(
        "{before}<ds:KeyInfo Id=\"k\">{key_info}</ds:KeyInfo><ds:Object>{object}</ds:Object>{after}"
    ))
}

#[test]
fn certificates_are_found_elsewhere_in_the_document() {
    const X509_DATA: &str = "http://www.w3.org/2000/09/xmldsig#X509Data";
    const RAW: &str = "http://www.w3.org/2000/09/xmldsig#rawX509Certificate";
    const BASE64: &str = "http://www.w3.org/2000/09/xmldsig#base64";
    let certificate = Key::P256.certificate();
    let certificates = format!("<ds:X509Certificate>{certificate}</ds:X509Certificate>");
    let data = format!("<ds:X509Data Id=\"d\">{certificates}</ds:X509Data>");
    let method = |kind: &str, inside: &str| {
        format!("<ds:RetrievalMethod URI=\"#d\" Type=\"{kind}\">{inside}</ds:RetrievalMethod>")
    };
    let decoding = format!("<ds:Transforms>{}</ds:Transforms>", transform(BASE64));
    let raw = format!("<text Id=\"d\">{certificate}</text>");
    let reference =
        "<n:KeyInfoReference xmlns:n=\"http://www.w3.org/2009/xmldsig11#\" URI=\"#i\"/>";
    let info = format!("<ds:KeyInfo Id=\"i\">{data}</ds:KeyInfo>");
    for (key_info, object) in [
        (method(X509_DATA, ""), &data),
        ("<ds:RetrievalMethod URI=\"#d\"/>".to_owned(), &data),
        (
            method(X509_DATA, "").replace("#d", "#xpointer(id('d'))"),
            &data,
        ),
        (method(RAW, &decoding), &raw),
        (
            method(RAW, &decoding).replace("#d", "#xpointer(id('d'))"),
            &raw,
        ),
        (reference.to_owned(), &info),
    ] {
        let signature = with_key_info(&key_info, object);
        assert_eq!(signature.value, ValueIntegrity::Intact(0), "{key_info}");
        assert_eq!(signature.embedded_certificates(), 1);
    }
    let other = format!("<other Id=\"d\">{certificates}</other>");
    let twice = format!("{data}{data}");
    let around = "<ds:KeyInfo Id=\"i\"><n:KeyInfoReference xmlns:n=\"http://www.w3.org/2009/xmldsig11#\" URI=\"#i\"/></ds:KeyInfo>".to_owned();
    for (key_info, object) in [
        (method(X509_DATA, ""), &other),
        (method(X509_DATA, ""), &twice),
        (
            method(X509_DATA, "").replace("#d", "#xpointer(id('d'))"),
            &twice,
        ),
        (method(X509_DATA, "").replace("#d", "#xpointer(d)"), &data),
        (method(X509_DATA, &decoding), &data),
        (method(RAW, ""), &raw),
        (method("urn:other", ""), &data),
        (reference.to_owned(), &data),
        (reference.to_owned(), &around),
        (reference.replace("#i", "#k"), &data),
    ] {
        let signature = with_key_info(&key_info, object);
        assert_eq!(signature.value, ValueIntegrity::NoCertificate, "{key_info}");
    }
}

#[test]
fn what_repeats_itself_is_bounded() {
    use crate::xmldsig::{XmlError, inspect};
    let methods = "<ds:RetrievalMethod URI=\"#k\"/>".repeat(101);
    let xml = enveloped(Key::P256, "")
        .replace("<ds:KeyInfo>", &format!("<ds:KeyInfo Id=\"k\">{methods}"));
    assert_eq!(
        inspect(xml.as_bytes()),
        Err(XmlError::TooLarge("references"))
    );
    // Each further canonicalisation costs as much as the first.
    let forms = transform(C14N).repeat(2_000);
    let inside = "<a></a>".repeat(1_000);
    let signature = Signer::new(Key::P256)
        .reference("", &(transform(ENVELOPED) + &forms), "")
        .sign();
    let xml = format!("<doc>{inside}{signature}</doc>");
    assert!(matches!(
        inspect(xml.as_bytes()),
        Err(XmlError::TooLarge(_))
    ));
    // Each repetition that leaves the same elements out costs work again.
    let leaves = vec!["not(ancestor-or-self::a)"; 28].join(" and ");
    let forms = xpath(&leaves).repeat(300);
    let inside = "<a></a>".repeat(20_000);
    let signature = Signer::new(Key::P256).reference("", &forms, "").sign();
    let xml = format!("<doc>{inside}{signature}</doc>");
    assert!(matches!(
        inspect(xml.as_bytes()),
        Err(XmlError::TooLarge(_))
    ));
}
