//! Tests of hostile documents and of encodings.

use std::time::Duration;

use nix::time::ClockId;

use super::kinds::only;
use super::signer::{C14N, DS, ENVELOPED, EXCLUSIVE, Key, Signer, enveloped, transform};
use crate::pki::Budget;
use crate::xmldsig::{ValueIntegrity, Xml, XmlError, XmlSignature, inspect, inspect_over};

#[track_caller]
fn refusal(xml: &str) -> XmlError {
    inspect(xml.as_bytes()).unwrap_err()
}

#[test]
fn document_types_are_refused() {
    for xml in [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;&b;&b;'>]><a>&d;</a>",
    ] {
        assert_eq!(refusal(xml), XmlError::DocumentType);
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert_eq!(inspect(nested(256).as_bytes()), Ok(Vec::new()));
    assert_eq!(refusal(&nested(257)), XmlError::TooLarge("levels"));
    assert_eq!(
        refusal(&"<a>".repeat(1_000_000)),
        XmlError::TooLarge("levels")
    );
}

#[test]
fn nodes_are_bounded() {
    let nodes = |count| format!("<a>{}</a>", "<b/>".repeat(count));
    assert_eq!(inspect(nodes(499_999).as_bytes()), Ok(Vec::new()));
    assert_eq!(refusal(&nodes(500_000)), XmlError::TooLarge("nodes"));
    let attributes: String = (0..500_000).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(
        refusal(&format!("<a{attributes}/>")),
        XmlError::TooLarge("nodes")
    );
}

#[test]
fn namespaces_in_scope_are_bounded() {
    let declare = |count| -> String { (0..count).map(|n| format!(" xmlns:p{n}='u'")).collect() };
    let beside = format!("<a><b{0}/><b{0}/></a>", declare(1_000));
    assert_eq!(inspect(beside.as_bytes()), Ok(Vec::new()));
    let inside = format!("<a xmlns='u'><b{}/></a>", declare(1_000));
    assert_eq!(refusal(&inside), XmlError::TooLarge("namespaces"));
}

#[test]
fn signatures_references_and_certificates_are_bounded() {
    let signatures = |count| format!("<a {DS}>{}</a>", "<ds:Signature/>".repeat(count));
    assert_eq!(inspect(signatures(100).as_bytes()).unwrap().len(), 100);
    assert_eq!(refusal(&signatures(101)), XmlError::TooLarge("signatures"));
    let references = |count| {
        format!(
            "<ds:Signature {DS}><ds:SignedInfo>{}</ds:SignedInfo></ds:Signature>",
            "<ds:Reference/>".repeat(count)
        )
    };
    assert_eq!(only(&references(1_000)).references.len(), 1_000);
    assert_eq!(
        refusal(&references(1_001)),
        XmlError::TooLarge("references")
    );
    let certificate = "<ds:X509Certificate>AAAA</ds:X509Certificate>";
    let certificates = enveloped(Key::P256, "").replace(
        "<ds:X509Certificate>",
        &format!("{}<ds:X509Certificate>", certificate.repeat(100)),
    );
    assert_eq!(refusal(&certificates), XmlError::TooLarge("certificates"));
}

#[test]
fn names_are_bounded() {
    let name = |length| format!("<{}/>", "a".repeat(length));
    assert_eq!(inspect(name(1_000).as_bytes()), Ok(Vec::new()));
    assert_eq!(refusal(&name(1_001)), XmlError::TooLarge("names"));
}

/// Each of many certificates is tried on a long `SignedInfo`.
#[test]
fn verification_is_bounded() {
    let other = Key::Other.certificate().trim();
    let certificate = format!("<ds:X509Certificate>{other}</ds:X509Certificate>");
    let xml = Signer::new(Key::P256)
        .reference(&"x".repeat(8_000_000), "", "")
        .sign()
        .replace(
            "<ds:X509Certificate>",
            &format!("{}<ds:X509Certificate>", certificate.repeat(99)),
        );
    assert_eq!(refusal(&xml), XmlError::TooLarge("certificates"));
}

/// One long namespace is written for each of many elements.
#[test]
fn canonical_form_is_bounded() {
    let octets = "x".repeat(50_000);
    let signature = Signer::new(Key::P256)
        .reference("", &transform(EXCLUSIVE), "")
        .sign();
    let xml = format!(
        "<a xmlns:p=\"urn:{octets}\">{}{signature}</a>",
        "<p:b/>".repeat(50_000)
    );
    assert_eq!(refusal(&xml), XmlError::TooLarge("signed octets"));
}

/// Many references cover the whole document.
#[test]
fn repeated_work_is_bounded() {
    let mut signer = Signer::new(Key::P256);
    for _ in 0..1_000 {
        signer = signer.reference("", &transform(C14N), "");
    }
    let xml = format!("<a>{}{}</a>", "x".repeat(1_000_000), signer.sign());
    assert_eq!(refusal(&xml), XmlError::TooLarge("signed octets"));
}

/// Documents with `count` parts of one kind (elements, attributes and the like), one document for each kind.
fn shapes(count: usize) -> Vec<(&'static str, String)> {
    let each = |part: fn(usize) -> String| (0..count).map(part).collect::<String>();
    let signed = |inside: &str, transforms: &str| {
        let signature = Signer::new(Key::P256).reference("", transforms, "").sign();
        format!("<a>{inside}{signature}</a>")
    };
    let long = "x".repeat(10 * count);
    let elements = each(|_| "<b/>".to_owned());
    let prefixes = each(|number| format!(" p{number}"));
    let list = format!(
        "<ds:Transform Algorithm=\"{EXCLUSIVE}\"><i:InclusiveNamespaces xmlns:i=\"{EXCLUSIVE}\" PrefixList=\"{prefixes}\"/></ds:Transform>"
    );
    let of_xml = each(|number| format!(" xml:n{number}=''"));
    vec![
        ("elements", signed(&elements, &transform(EXCLUSIVE))),
        ("a list of prefixes", signed(&elements, &list)),
        (
            "attributes of xml",
            format!("<a{of_xml}>{}</a>", signed(&elements, &transform(C14N)))
                .replace("<a><b/>", "<a Id=\"i\"><b/>")
                .replace("URI=\"\"", "URI=\"#i\""),
        ),
        (
            "attributes of a long namespace",
            signed(
                &format!(
                    "<p:b xmlns:p=\"{long}\"{}/>",
                    each(|number| format!(" p:n{number}=''"))
                ),
                &transform(C14N),
            ),
        ),
        (
            "elements of a long namespace",
            signed(
                &format!(
                    "<b xmlns:p=\"{long}\">{}</b>",
                    each(|_| "<p:c/>".to_owned())
                ),
                &transform(C14N),
            ),
        ),
        (
            "comments before text",
            signed(
                &each(|_| "<b><!---->x</b>".to_owned()),
                &transform(EXCLUSIVE),
            ),
        ),
        (
            "parts of a signature that are not signed",
            signed("", &transform(EXCLUSIVE)).replace(
                "<ds:KeyInfo>",
                &format!(
                    "<ds:KeyInfo>{}",
                    each(|_| "<ds:KeyName>x</ds:KeyName><!---->".to_owned())
                ),
            ),
        ),
        (
            "objects",
            Signer::new(Key::P256)
                .reference("", &transform(ENVELOPED), "")
                .object(&each(|_| "<ds:Object><b/><!----></ds:Object>".to_owned()))
                .sign(),
        ),
        (
            "values inside of one another",
            format!(
                "<ds:Signature {DS}><ds:Object><q:QualifyingProperties xmlns:q=\"http://uri.etsi.org/01903/v1.3.2#\">{}{long}{}</q:QualifyingProperties></ds:Object></ds:Signature>",
                "<q:EncapsulatedX509Certificate>".repeat(100),
                "</q:EncapsulatedX509Certificate>".repeat(100),
            ),
        ),
    ]
}

/// The CPU time that this thread needs for some work: the best of three runs.
fn cpu_time(mut budget: impl FnMut()) -> Duration {
    let mut one = || {
        let clock = || {
            let now = nix::time::clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
            Duration::from(now)
        };
        let before = clock();
        budget();
        clock() - before
    };
    (0..3).map(|_| one()).min().unwrap_or_default()
}

/// Eight times the input takes about eight times as long, and never sixty-four times: no cost is quadratic.
#[test]
fn no_shape_costs_the_square_of_its_length() {
    for ((shape, small), (_, large)) in shapes(2_000).iter().zip(shapes(16_000)) {
        let took = |xml: &str| cpu_time(|| drop(inspect(xml.as_bytes())));
        let (one, eight) = (took(small), took(&large));
        assert!(
            eight < 30 * one.max(Duration::from_millis(2)),
            "{shape}: {one:?}, then {eight:?}"
        );
        let budget = Budget::new();
        drop(inspect_over(Xml::Text(&large), None, &budget));
        assert!(budget.spent_ns() > large.len() as u64, "{shape}");
    }
}

/// Each listed prefix is looked at once, not once for each element.
#[test]
fn a_list_of_prefixes_costs_what_there_is_of_it() {
    let spent = |prefixes: usize| {
        let list: String = (0..prefixes).map(|number| format!("p{number} ")).collect();
        let listed = format!(
            "<ds:Transform Algorithm=\"{EXCLUSIVE}\"><i:InclusiveNamespaces xmlns:i=\"{EXCLUSIVE}\" PrefixList=\"{list}\"/></ds:Transform>"
        );
        let signature = Signer::new(Key::P256).reference("", &listed, "").sign();
        let xml = format!("<a>{}{signature}</a>", "<b/>".repeat(1_000));
        let budget = Budget::new();
        drop(inspect_over(Xml::Text(&xml), None, &budget).unwrap());
        (budget.spent_ns(), xml.len() as u64)
    };
    let ((few, few_bytes), (many, many_bytes)) = (spent(1), spent(20_000));
    assert!(many - few < 40 * (many_bytes - few_bytes), "{few} {many}");
}

#[test]
fn malformed_documents_are_refused() {
    for xml in [
        "",
        " ",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>text",
        "<a b='1' b='2'/>",
        "<p:a/>",
        "<a p:b=''/>",
        "<a xmlns:p='1' xmlns:q='1' p:b='' q:b=''/>",
        "<a xmlns:p=''/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xml='u'/>",
        "<xmlns:a/>",
        "<a xmlns='' xmlns=''/>",
        "<a>&b;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#+65;</a>",
        "<a>&amp</a>",
        "<a b='<'/>",
        "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<a>\u{1}</a>",
        "<a>\u{FFFF}</a>",
        "<?xml version='1.1'?><a/>",
        "<a><?xml version='1.0'?></a>",
        "<a/>&#65;",
        "<a><?p?q?></a>",
        "<a><b xmlns:p='u'/><p:c/></a>",
    ] {
        let outcome = inspect(xml.as_bytes());
        assert!(
            matches!(outcome, Err(XmlError::Malformed(_))),
            "{xml}: {outcome:?}"
        );
    }
}

fn utf16(xml: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = "\u{FEFF}".encode_utf16();
    mark.chain(xml.encode_utf16()).flat_map(unit).collect()
}

#[test]
fn byte_order_marks_and_utf_16_are_read() {
    let signed = enveloped(Key::P256, "ә 𝄞");
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-16\"?>{signed}");
    for bytes in [
        [b"\xEF\xBB\xBF", signed.as_bytes()].concat(),
        utf16(&signed, u16::to_le_bytes),
        utf16(&declared, u16::to_be_bytes),
    ] {
        let signatures = inspect(&bytes).unwrap();
        assert!(signatures[0].references_intact());
        assert_eq!(signatures[0].value, ValueIntegrity::Intact(0));
    }
}

#[test]
fn wrong_encodings_are_refused() {
    for bytes in [
        b"<a>\xFF</a>".to_vec(),
        b"<?xml version='1.0' encoding='windows-1253'?><a>\xD2</a>".to_vec(),
        b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\x80</a>".to_vec(),
        b"<?xml version='1.0' encoding='US-ASCII'?><a>\xE9</a>".to_vec(),
        b"<?xml version='1.0' encoding='UTF-16'?><a/>".to_vec(),
        b"<?xml version='1.0' encoding='ISO-2022-JP'?><a/>".to_vec(),
        b"<?xml version='1.0' encoding='UTF-7'?><a/>".to_vec(),
        utf16(
            "<?xml version='1.0' encoding='UTF-8'?><a/>",
            u16::to_le_bytes,
        ),
        b"\xFF\xFE<\x00a".to_vec(),
        b"\xFF\xFE\x00\xD8<\x00".to_vec(),
    ] {
        let outcome = inspect(&bytes);
        assert!(outcome.is_err(), "{outcome:?}");
    }
    assert_eq!(
        inspect(b"<?xml version='1.0' encoding='ISO-8859-2'?><a/>"),
        Ok(Vec::new())
    );
}

/// Characters are signed in UTF-8, whatever the encoding of the file.
#[test]
fn named_encodings_are_read() {
    let body = "<a>Қол қойылды. Подписано.</a>";
    let xml = enveloped(Key::P256, body);
    let declared = |encoding: &str| format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>{xml}");
    let intact = |signatures: Result<Vec<XmlSignature>, XmlError>| {
        let signature = signatures.unwrap().remove(0);
        assert_eq!(signature.value, ValueIntegrity::Intact(0));
        assert!(signature.references_intact());
    };
    for encoding in ["UTF-8", "utf-8"] {
        intact(inspect(declared(encoding).as_bytes()));
    }
    let russian = enveloped(Key::P256, "<a>Подписано.</a>");
    for encoding in ["windows-1251", "koi8-r", "iso-8859-5", "IBM866"] {
        let text = format!("<?xml version='1.0' encoding='{encoding}'?>{russian}");
        let known = encoding_rs::Encoding::for_label(encoding.as_bytes()).unwrap();
        let (bytes, _, unmappable) = known.encode(&text);
        assert!(
            !unmappable && std::str::from_utf8(&bytes).is_err(),
            "{encoding}"
        );
        intact(inspect(&bytes));
        // In decoded text, the declared encoding no longer counts.
        intact(inspect_over(Xml::Text(&text), None, &Budget::new()));
    }
    let text = format!("\u{feff}{}", declared("windows-1251"));
    intact(inspect_over(Xml::Text(&text), None, &Budget::new()));
}

/// No changed byte and no truncation causes a panic.
#[test]
fn damaged_documents_do_not_panic() {
    let xml = enveloped(Key::P256, "<a b=\"&amp;\">1</a><?p?><![CDATA[x]]>");
    for at in 0..xml.len() {
        let mut bytes = xml.clone().into_bytes();
        drop(inspect(&bytes[..at]));
        for change in [b'<', b'>', b'"', b'&', b'=', b':', b' ', 0, 0xFF, b'A'] {
            bytes[at] = change;
            drop(inspect(&bytes));
        }
    }
}

#[test]
fn changed_signed_bytes_are_never_intact() {
    let inside = "<a b=\"1\">2</a>";
    let xml = enveloped(Key::P256, inside);
    let start = "<doc>".len();
    for at in start..start + inside.len() {
        for change in b'!'..=b'~' {
            let mut bytes = xml.clone().into_bytes();
            if bytes[at] == change {
                continue;
            }
            bytes[at] = change;
            if let Ok(signatures) = inspect(&bytes) {
                // Only a change of both quotes of an attribute would keep the content, so each change of one byte is
                // noticed.
                assert!(
                    !signatures.iter().any(|it| it.references_intact()),
                    "{at} {change}"
                );
            }
        }
    }
}
