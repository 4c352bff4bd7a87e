//! Signatures whose content could be mistaken for other content than the signed one, and signatures for which that
//! can't happen.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::signer::{DS, ENVELOPED, EXCLUSIVE, Key, Signer, enveloped, transform};
use crate::judging::Judging;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, name};
use crate::pki::certificate::Parsed;
use crate::pki::{Anchors, Budget, Indication, SubIndication};
use crate::xmldsig::{Xml, inspect, inspect_over, judge};

/// Whether the only signature passes. Otherwise asserts that it is intact, and that only its coverage prevents it.
#[track_caller]
fn passes(xml: &str) -> bool {
    let trusted = STANDARD.decode(Key::P256.certificate()).unwrap();
    let found = inspect(xml.as_bytes()).unwrap();
    let now_ms = 1_798_675_200_000;
    let verdicts = judge(&found, &Judging::new(&Anchors::new([trusted]), now_ms)).unwrap();
    let [verdict] = verdicts.as_slice() else {
        panic!("{verdicts:?}");
    };
    assert_eq!(verdict.intact, Some(true), "{verdict:?}");
    if verdict.indication == Indication::TotalPassed {
        return true;
    }
    let why = Some(SubIndication::SigConstraintsFailure);
    assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    false
}

/// An enveloping signature over this `Object`.
fn enveloping(object: &str) -> String {
    let signed = object.replacen("<ds:Object", &format!("<ds:Object {DS}"), 1);
    Signer::new(Key::P256)
        .reference("#o", &transform(EXCLUSIVE), &signed)
        .object(object)
        .sign()
}

#[test]
fn a_document_that_is_a_signature_passes_where_all_of_it_is_signed() {
    let xml = enveloping("<ds:Object Id=\"o\"><sum>1</sum></ds:Object>");
    assert!(passes(&xml));
    // If the signature is moved into another document, somebody may read the unsigned content around it.
    assert!(!passes(&format!("<doc><sum>9</sum>{xml}</doc>")));
    assert!(!passes(&format!("<doc>{xml}</doc>")));
    // An additional object that nobody signed.
    let object = "<ds:Object><sum>9</sum></ds:Object>";
    assert!(!passes(
        &xml.replace("<ds:Object", &format!("{object}<ds:Object"))
    ));
    let end = "</ds:Signature>";
    assert!(!passes(&xml.replace(end, &format!("{object}{end}"))));
}

#[test]
fn the_one_element_of_an_object_is_all_of_it() {
    let signature = |object: &str| {
        Signer::new(Key::P256)
            .reference("#x", &transform(EXCLUSIVE), "<sum Id=\"x\">1</sum>")
            .object(object)
            .sign()
    };
    let sum = "<sum Id=\"x\">1</sum>";
    assert!(passes(&signature(&format!(
        "<ds:Object> {sum}<!-- --> </ds:Object>"
    ))));
    for around in [
        format!("<ds:Object><sum>9</sum>{sum}</ds:Object>"),
        format!("<ds:Object>9{sum}</ds:Object>"),
        format!("<ds:Object><sums>{sum}</sums></ds:Object>"),
        format!("<ds:Object>{sum}</ds:Object><ds:Object/>"),
    ] {
        assert!(!passes(&signature(&around)), "{around}");
    }
}

#[test]
fn text_of_an_object_is_signed_where_it_is_plain() {
    let base64 = "http://www.w3.org/2000/09/xmldsig#base64";
    let signature = |object: &str| {
        Signer::new(Key::P256)
            .reference("#o", &transform(base64), "hello")
            .object(object)
            .sign()
    };
    let plain = signature("<ds:Object Id=\"o\">aGVs\nbG8=</ds:Object>");
    assert!(passes(&plain));
    assert!(!passes(&format!("<doc>{plain}</doc>")));
    assert!(!passes(&signature(
        "<ds:Object Id=\"o\"><a>aGVs</a><b>bG8=</b></ds:Object>"
    )));
}

#[test]
fn lists_that_nobody_looks_up_are_no_content() {
    for list in ["Manifest", "SignatureProperties"] {
        let object = format!("<ds:Object Id=\"o\"><ds:{list}></ds:{list}></ds:Object>");
        assert!(!passes(&enveloping(&object)), "{list}");
    }
}

/// Beside signed content, properties must be signed too: one by one, as a list or with their `Object`.
#[test]
fn properties_beside_content_pass_where_they_are_signed() {
    const CONTENT: &str = "<ds:Object Id=\"o\">1</ds:Object>";
    let sign = |object: &str, signed: &[&str]| {
        let mut signer = Signer::new(Key::P256).object(CONTENT).object(object);
        for (place, octets) in std::iter::once(&CONTENT).chain(signed).enumerate() {
            let (start, rest) = octets.split_once(' ').unwrap();
            let octets = format!("{start} {DS} {rest}");
            let id = ["#o", "#p", "#q"][place];
            signer = signer.reference(id, &transform(EXCLUSIVE), &octets);
        }
        signer.sign()
    };
    let property = "<ds:SignatureProperty Id=\"p\" Target=\"#sig\">2027</ds:SignatureProperty>";
    let other = property.replace("\"p\"", "\"q\"");
    let list = |inside: &str| format!("<ds:SignatureProperties>{inside}</ds:SignatureProperties>");
    let object = |inside: &str| format!("<ds:Object>{inside}</ds:Object>");
    let named = |element: String| element.replacen('>', " Id=\"p\">", 1);
    let plain = "<ds:SignatureProperty Target=\"#sig\">2027</ds:SignatureProperty>";
    let both = format!("{property}{other}");
    let named_list = named(list(plain));
    let named_object = named(object(&list(plain)));
    for (inside, signed) in [
        (object(&list(property)), vec![property]),
        (object(&list(&both)), vec![property, &other]),
        (object(&named_list), vec![&named_list]),
        (named_object.clone(), vec![&named_object]),
    ] {
        assert!(passes(&sign(&inside, &signed)), "{inside}");
    }
    let evil = "<pay>9</pay>";
    let listed = format!("{property}{evil}");
    let beside = format!("{}{evil}", list(property));
    let manifest = "<ds:Manifest Id=\"q\"></ds:Manifest>";
    let lists = format!("{}{manifest}", list(property));
    for (inside, signed) in [
        (object(&list(property)), vec![]),
        (object(&list(&both)), vec![property]),
        (object(&list(&listed)), vec![property]),
        (object(&beside), vec![property]),
        (object(&lists), vec![property, manifest]),
    ] {
        assert!(!passes(&sign(&inside, &signed)), "{inside}");
    }
}

#[test]
fn an_element_around_the_signature_passes_where_it_is_the_document() {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signature = Signer::new(Key::P256)
        .reference("#d", &transforms, "<doc Id=\"d\"><sum>1</sum></doc>")
        .sign();
    let document = format!("<doc Id=\"d\"><sum>1</sum>{signature}</doc>");
    assert!(passes(&document));
    assert!(!passes(&format!(
        "<evil><doc><sum>9</sum></doc>{document}</evil>"
    )));
}

/// A signed document whose signature contains a countersignature, at this place among its properties, over the element
/// with this id.
fn countersigned(place: &[&str], id: &str) -> String {
    const XADES: &str = "xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"";
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signature = Signer::new(Key::P256)
        .reference("", &transforms, "<doc><sum Id=\"other\">1</sum></doc>")
        .sign()
        .replacen("<ds:SignatureValue>", "<ds:SignatureValue Id=\"value\">", 1);
    let from = signature.find("<ds:SignatureValue ").unwrap();
    let to = signature.find("<ds:KeyInfo>").unwrap();
    let value = signature.get(from..to).unwrap();
    let octets = if id == "value" {
        value.replacen("<ds:SignatureValue", &format!("<ds:SignatureValue {DS}"), 1)
    } else {
        "<sum Id=\"other\">1</sum>".to_owned()
    };
    let uri = format!("#{id}");
    let mut inside = Signer::new(Key::P256)
        .reference(&uri, &transform(EXCLUSIVE), &octets)
        .sign()
        .replace("Id=\"sig\"", "");
    for local in place.iter().rev() {
        inside = format!("<x:{local} {XADES}>{inside}</x:{local}>");
    }
    let object = format!("<ds:Object>{inside}</ds:Object></ds:Signature>");
    let signature = signature.replace("</ds:Signature>", &object);
    format!("<doc><sum Id=\"other\">1</sum>{signature}</doc>")
}

#[test]
fn a_countersignature_passes_where_it_signs_the_signature_that_has_it() {
    let place = [
        "QualifyingProperties",
        "UnsignedProperties",
        "UnsignedSignatureProperties",
        "CounterSignature",
    ];
    let trusted = STANDARD.decode(Key::P256.certificate()).unwrap();
    let anchors = Anchors::new([trusted]);
    let passes = |xml: &str| {
        let found = inspect(xml.as_bytes()).unwrap();
        let verdicts = judge(&found, &Judging::new(&anchors, 1_798_675_200_000)).unwrap();
        assert!(verdicts.iter().all(|it| it.intact == Some(true)), "{xml}");
        let passed = verdicts.iter();
        let passed: Vec<_> = passed
            .map(|it| it.indication == Indication::TotalPassed)
            .collect();
        passed
    };
    let both = countersigned(&place, "value");
    assert_eq!(passes(&both), [true, true]);
    // Unsigned content of the countersignature is also inside of the signature around it.
    let object = "<ds:Object>9</ds:Object></ds:Signature>";
    let inside = both.replacen("</ds:Signature>", object, 1);
    assert_eq!(passes(&inside), [false, false]);
    // If the signed content of the outer signature is replaced, its countersignature is no signature of the
    // replacement.
    let forged = both.replacen("<sum Id=\"other\">1", "<sum Id=\"other\">9", 1);
    let found = inspect(forged.as_bytes()).unwrap();
    let verdicts = judge(&found, &Judging::new(&anchors, 1_798_675_200_000)).unwrap();
    assert_eq!(verdicts[0].sub_indication, Some(SubIndication::HashFailure));
    assert_eq!(verdicts[1].intact, Some(true));
    let why = Some(SubIndication::SigConstraintsFailure);
    assert_eq!(verdicts[1].sub_indication, why);
    // A countersignature of something else, or in another place, does not pass.
    assert_eq!(passes(&countersigned(&place, "other")), [true, false]);
    // Without `QualifyingProperties` there is unsigned content in an `Object`.
    assert_eq!(passes(&countersigned(&place[1..], "value")), [false, false]);
    let other = ["QualifyingProperties", "CounterSignature"];
    assert_eq!(passes(&countersigned(&other, "value")), [true, false]);
}

#[test]
fn parts_of_soap_messages_are_found_by_their_identifiers() {
    let wsu = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd";
    let message = |namespace: &str| {
        let body = format!("<body xmlns:u=\"{namespace}\" u:Id=\"b\">1</body>");
        let signature = Signer::new(Key::P256)
            .reference("#b", &transform(EXCLUSIVE), &body)
            .sign();
        format!("<envelope><header>{signature}</header>{body}</envelope>")
    };
    // The signature is intact, but the envelope around the body is not signed.
    assert!(!passes(&message(wsu)));
    let found = inspect(message("urn:other").as_bytes()).unwrap();
    assert!(!found[0].references_intact());
}

/// An enveloped signature in which an unsigned part is replaced.
fn with(part: &str, other: &str) -> String {
    let xml = enveloped(Key::P256, "<sum>1</sum>");
    assert!(xml.contains(part));
    xml.replace(part, other)
}

#[test]
fn what_nobody_signed_in_a_signature_is_part_of_signatures() {
    const XADES: &str = "xmlns:x=\"http://uri.etsi.org/01903/v1.3.2#\"";
    let (key, end) = ("</ds:KeyInfo>", "</ds:Signature>");
    let value = "</ds:SignatureValue>";
    let properties = |inside: &str| {
        format!(
            "<ds:Object><x:QualifyingProperties {XADES}><x:UnsignedProperties>\
             <x:UnsignedSignatureProperties>{inside}</x:UnsignedSignatureProperties>\
             </x:UnsignedProperties></x:QualifyingProperties></ds:Object>{end}"
        )
    };
    let more = "<n:SealingEvidenceRecords xmlns:n=\"http://uri.etsi.org/19132/v1.1.1#\"/>";
    for xml in [
        with(key, &format!("<ds:KeyName>somebody</ds:KeyName>{key}")),
        with(end, &format!("\n<!-- a comment --><ds:Object/>\n{end}")),
        with(end, &properties("<x:CertificateValues/>")),
        with(end, &properties(more)),
    ] {
        assert!(passes(&xml), "{xml}");
    }
    let sum = "<sum>9</sum>";
    for xml in [
        with(end, &format!("{sum}{end}")),
        with(end, &format!("9{end}")),
        with(end, &format!("<ds:Object>{sum}</ds:Object>{end}")),
        with(end, &format!("<ds:Object>9</ds:Object>{end}")),
        with(
            end,
            &format!("<ds:Object><ds:Object>{sum}</ds:Object></ds:Object>{end}"),
        ),
        with(end, &properties(sum)),
        with(
            end,
            &properties(&format!("<x:CertificateValues>{sum}</x:CertificateValues>")),
        ),
        with(key, &format!("{sum}{key}")),
        with(value, &format!("<sum a=\"9\"/>{value}")),
    ] {
        assert!(!passes(&xml), "{xml}");
    }
    // The rule also holds for a document that is a signature.
    let xml = enveloping("<ds:Object Id=\"o\"><sum>1</sum></ds:Object>");
    for part in [key, end] {
        assert!(
            !passes(&xml.replace(part, &format!("{sum}{part}"))),
            "{part}"
        );
    }
    assert!(!passes(&xml.replace(end, &properties(sum))));
}

#[test]
fn no_comment_stands_within_a_text_unless_it_is_signed() {
    let xml = enveloped(Key::P256, "<sum>1000</sum> <n>2</n>");
    for (text, commented) in [
        ("1000", "1000<!-- a --><!-- b -->"),
        ("> <", "> <!-- a --><!-- b --><"),
        ("<ds:X509Certificate>M", "<ds:X509Certificate>M<!-- a -->"),
    ] {
        assert!(passes(&xml.replace(text, commented)), "{commented}");
    }
    for commented in [
        "1<!-- a -->000",
        "1<!-- a --><!-- b -->000",
        "<!-- a -->1000",
    ] {
        assert!(!passes(&xml.replace("1000", commented)), "{commented}");
    }
    let transforms = transform(ENVELOPED) + &transform(&format!("{EXCLUSIVE}WithComments"));
    let content = "<doc><sum>1<!-- a -->000</sum></doc>";
    for (uri, signed) in [
        ("#xpointer(/)", content.to_owned()),
        ("", content.replace("<!-- a -->", "")),
    ] {
        let signature = Signer::new(Key::P256)
            .reference(uri, &transforms, &signed)
            .sign();
        let xml = content.replace("</doc>", &format!("{signature}</doc>"));
        assert_eq!(passes(&xml), signed == content, "{uri}");
    }
}

#[test]
fn a_signature_of_something_elsewhere_has_no_other_content_around() {
    let signature = Signer::new(Key::P256)
        .reference("contract.txt", "", "A contract.")
        .sign();
    let trusted = STANDARD.decode(Key::P256.certificate()).unwrap();
    let anchors = Anchors::new([trusted]);
    let passes = |xml: &str, document: Option<&[u8]>| {
        let judging = Judging {
            document,
            ..Judging::new(&anchors, 1_798_675_200_000)
        };
        let found = inspect_over(Xml::Text(xml), Some(&judging), &Budget::new()).unwrap();
        let verdict = judge(&found, &judging).unwrap().remove(0);
        let outcome = verdict.apart_from_content.unwrap_or(verdict.outcome());
        assert_eq!(outcome.intact, Some(true), "{verdict:?}");
        outcome.indication == Indication::TotalPassed
    };
    for document in [None, Some(&b"A contract."[..])] {
        assert!(passes(&signature, document));
        let list = |other: &str| {
            format!(
                "<signatures xmlns=\"urn:oasis:names:tc:opendocument:xmlns:container\">\n{other}{signature}\n</signatures>"
            )
        };
        assert!(passes(&list(""), document));
        for other in ["<sum>9</sum>", "9"] {
            assert!(!passes(&list(other), document), "{other}");
        }
    }
}

#[test]
fn renewed_certificates_of_one_key_and_holder_count_where_none_was_signed_along() {
    let first = STANDARD.decode(Key::P256.certificate()).unwrap();
    let key = include_str!("fixtures/p256.key.b64");
    let subject = Parsed::from_der(&first)
        .unwrap()
        .x509()
        .subject()
        .as_raw()
        .to_vec();
    let holder = |name: Vec<u8>| Party::with_key(name, &STANDARD.decode(key).unwrap());
    let root = Party::new(name(UTF8, "Test Root"));
    let anchors = Anchors::new([root.certify(&root, Role::Authority, 1)]);
    let xml = enveloped(Key::P256, "<sum>1</sum>");
    let verdict = |given: Vec<u8>, is_named: bool| {
        let given = [given];
        let judging = Judging {
            certificates: &given,
            ..Judging::new(&anchors, NOW_MS)
        };
        let mut found = inspect_over(Xml::Text(&xml), Some(&judging), &Budget::new()).unwrap();
        if is_named {
            found[0].signing_certificate_matches = Some(true);
        }
        judge(&found, &judging).unwrap().remove(0)
    };
    let renewed = root.certify(&holder(subject.clone()), Role::Person, 7);
    let passed = verdict(renewed.clone(), false);
    assert_eq!(passed.indication, Indication::TotalPassed, "{passed:?}");
    assert_eq!(passed.certificate.unwrap().serial, "07");
    // A certificate of another holder with the same key, one with another key, and a renewed one although the first one
    // is named.
    let other = root.certify(&holder(name(UTF8, "Another")), Role::Person, 8);
    let other_key = root.certify(&Party::new(subject), Role::Person, 9);
    for (place, (given, is_named)) in [(other, false), (other_key, false), (renewed, true)]
        .into_iter()
        .enumerate()
    {
        let verdict = verdict(given, is_named);
        let indication = verdict.indication;
        assert_eq!(indication, Indication::Indeterminate, "{place}");
        assert_eq!((verdict.intact, verdict.certificate), (Some(true), None));
    }
}
