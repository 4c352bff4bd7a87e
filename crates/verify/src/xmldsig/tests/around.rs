//! Unsigned content around signatures and in other signatures: lists of signatures, parallel signatures, instructions
//! and comments.

use super::signer::{DS, ENVELOPED, EXCLUSIVE, Key, Signer, transform};
use super::unsigned::{
    CONTRACT, PAY, detached, detached_passes, enveloping, passes_over, qualifying, unsigned,
    verdicts, with,
};
use crate::pki::{Indication, SubIndication};

const LISTS: [(&str, &str); 3] = [
    ("http://uri.etsi.org/02918/v1.2.1#", "XAdESSignatures"),
    (
        "urn:oasis:names:tc:opendocument:xmlns:digitalsignature:1.0",
        "document-signatures",
    ),
    (
        "http://openoffice.org/2004/documentsignatures",
        "document-signatures",
    ),
];

#[test]
fn a_detached_signature_passes_alone_or_in_a_list_of_signatures() {
    let one = detached(Key::P256);
    let other = detached(Key::Rsa).replace("Id=\"sig\"", "Id=\"other\"");
    assert!(detached_passes(&one));
    assert!(detached_passes(&format!(
        "<?xml version=\"1.0\"?>\n<!-- Comments say nothing. -->\n{one}\n"
    )));
    for (namespace, local) in LISTS {
        let list = |attributes: &str, inside: &str| {
            format!("<l:{local} xmlns:l=\"{namespace}\" {attributes}>{inside}</l:{local}>")
        };
        assert!(detached_passes(&list("", &one)));
        assert!(detached_passes(&list(
            "Id=\"l\" xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:schemaLocation=\"a b\"",
            &format!("\n<!-- two -->{one}\n{other}"),
        )));
        assert!(detached_passes(&list(
            "xmlns:o=\"urn:oasis:names:tc:opendocument:xmlns:digitalsignature:1.0\" o:version=\"1.2\"",
            &one
        )));
        for spoilt in [
            list("", &format!("{one}{PAY}")),
            list("", &format!("{PAY}{one}")),
            list("", &format!("{one}pay mallory")),
            list("", &format!("{one}<?pay mallory?>")),
            list("pay=\"mallory\"", &one),
            list("xmlns:e=\"urn:e\" e:pay=\"mallory\"", &one),
            list("l:pay=\"mallory\"", &one),
            list("", &list("", &one)),
            format!("<doc>{}</doc>", list("", &one)),
            format!("<?xml-stylesheet href=\"mallory.xsl\"?>{}", list("", &one)),
            list("", &one).replace(namespace, "urn:e"),
            list("", &one).replace(local, "contract"),
        ] {
            assert!(!detached_passes(&spoilt), "{spoilt}");
        }
    }
    for spoilt in [
        format!("<contract>{PAY}{one}</contract>"),
        format!("<contract>{one}</contract>"),
        format!("<?xml-stylesheet href=\"mallory.xsl\"?>{one}"),
    ] {
        assert!(!detached_passes(&spoilt), "{spoilt}");
    }
}

#[test]
fn a_signature_that_is_left_out_has_the_form_of_one() {
    let all = format!(
        "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>\
         not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>{}",
        transform(EXCLUSIVE)
    );
    let one = |key, id: &str| {
        let signer = Signer::new(key).reference("", &all, "<doc></doc>");
        signer.sign().replace("Id=\"sig\"", &format!("Id=\"{id}\""))
    };
    let first = one(Key::P256, "a");
    let second = one(Key::Rsa, "b");
    let passes = |other: &str| passes_over(&format!("<doc>{first}{other}</doc>"), None);
    assert!(passes(&second));
    assert!(passes(&with(&second, &unsigned("<x:CertificateValues/>"))));
    assert!(!passes(&with(
        &second,
        "<ds:Object>pay mallory</ds:Object>"
    )));
    assert!(!passes(&with(&second, PAY)));
    // Content that the other signature signs counts as signed.
    let octets = format!("<ds:Object {DS} Id=\"o\">{PAY}</ds:Object>");
    let content = Signer::new(Key::Rsa)
        .reference("#o", &transform(EXCLUSIVE), &octets)
        .object(&octets)
        .sign();
    assert!(passes(&content));
    assert!(!passes(
        &content.replace("<ds:SignedInfo ", "<ds:SignedInfo Id=\"i\" ")
    ));
    // A forged signature signs nothing.
    let property = "<ds:SignatureProperty Id=\"o\"><pay></pay></ds:SignatureProperty>";
    let object = format!(
        "<ds:Object><ds:SignatureProperties>{property}</ds:SignatureProperties></ds:Object>"
    );
    let octets = property.replacen(" Id", &format!(" {DS} Id"), 1);
    let signed = Signer::new(Key::Rsa)
        .reference("#o", &transform(EXCLUSIVE), &octets)
        .object(&object)
        .sign();
    assert!(passes(&signed));
    assert!(!passes(
        &signed
            .replace("URI=\"#o\"", "URI=\"#o\" ")
            .replace("<ds:SignedInfo ", "<ds:SignedInfo Id=\"i\" ")
    ));
    for info in [PAY, "<ds:Object>pay mallory</ds:Object>", "pay mallory"] {
        let forged =
            format!("<ds:Signature {DS}><ds:SignedInfo>{info}</ds:SignedInfo></ds:Signature>");
        assert!(!passes(&forged), "{info}");
    }
    // A broken signature with nothing but regular parts of a signature.
    let properties = qualifying("<x:SignedProperties><x:City>Almaty</x:City></x:SignedProperties>");
    let broken = with(
        &second.replace("<ds:SignedInfo ", "<ds:SignedInfo Id=\"i\" "),
        &properties,
    );
    assert!(passes(&broken));
    // If the other signature is signed, it may contain anything.
    let other = format!("<ds:Signature {DS}><ds:Object>anything</ds:Object></ds:Signature>");
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let around = Signer::new(Key::P256)
        .reference("", &transforms, &format!("<doc>{other}</doc>"))
        .sign();
    assert!(passes_over(&format!("<doc>{around}{other}</doc>"), None));
}

/// One of several signers of a file signs data of his own, as a bank's client does.
#[test]
fn each_signature_of_a_list_is_told_of_itself() {
    let octets = format!("<ds:Object {DS} Id=\"o\">{PAY}</ds:Object>");
    let list = |signer: Signer| {
        let other = signer
            .reference("#o", &transform(EXCLUSIVE), &octets)
            .object(&octets)
            .sign()
            .replace("Id=\"sig\"", "Id=\"other\"");
        let (namespace, local) = LISTS[0];
        let one = detached(Key::P256);
        let list = format!("<l:{local} xmlns:l=\"{namespace}\">{one}{other}</l:{local}>");
        assert!(detached_passes(&list));
        let verdict = verdicts(&list, Some(CONTRACT)).remove(1);
        (verdict.indication, verdict.sub_indication)
    };
    let both = Signer::new(Key::Rsa).reference("contract.txt", "", CONTRACT);
    assert_eq!(list(both), (Indication::TotalPassed, None));
    // The signer signs only his own data, so the given document is not the signed one.
    let why = Some(SubIndication::HashFailure);
    let own = Signer::new(Key::Rsa);
    assert_eq!(list(own), (Indication::TotalFailed, why));
}

#[test]
fn instructions_around_a_root_element_are_signed_or_do_not_pass() {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let style = "<?style a?>";
    let sign = |uri: &str, octets: &str| {
        let signer = Signer::new(Key::P256).reference(uri, &transforms, octets);
        signer.sign()
    };
    let root = "<doc Id=\"d\"></doc>";
    let whole = sign("", &format!("{style}\n{root}"));
    let element = sign("#d", root);
    let document = |signature: &str| format!("<doc Id=\"d\">{signature}</doc>");
    assert!(passes_over(&format!("{style}{}", document(&whole)), None));
    assert!(passes_over(&document(&element), None));
    assert!(passes_over(
        &format!("<!-- -->{}", document(&element)),
        None
    ));
    assert!(!passes_over(
        &format!("{style}{}", document(&element)),
        None
    ));
    assert!(!passes_over(
        &format!("{}{style}", document(&element)),
        None
    ));
    assert!(!passes_over(&format!("{style}{}", enveloping()), None));
}

/// A program that reads all text of an element gets the text of a signature in it, too.
#[test]
fn a_signature_follows_text_only_where_signers_put_it() {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let sign = |uri: &str, octets: &str| {
        let signer = Signer::new(Key::P256).reference(uri, &transforms, octets);
        signer.sign()
    };
    let passes = |xml: String| passes_over(&xml, None);
    let signature = sign("", "<doc><sum>1000</sum></doc>");
    for gap in ["", "<!-- -->", "<![CDATA[]]>"] {
        let xml = format!("<doc><sum>1000{gap}{signature}</sum></doc>");
        assert!(!passes(xml), "{gap}");
    }
    // White space is no text. In the root element, signers put the signature after text.
    let blank = sign("", "<doc><sum>1000</sum>\n <end>\n </end></doc>");
    assert!(passes(format!(
        "<doc><sum>1000</sum>\n <end>{blank}\n </end></doc>"
    )));
    assert!(passes(format!(
        "<doc><sum>1000</sum>\n <end>\n {blank}</end></doc>"
    )));
    let text = sign("", "<doc>1000</doc>");
    assert!(passes(format!("<doc>1000{text}</doc>")));
    let element = sign("#d", "<doc Id=\"d\">1000</doc>");
    assert!(passes(format!("<doc Id=\"d\">1000{element}</doc>")));
    // Text with elements in between is read piece by piece.
    let mixed = sign("", "<doc><p>1000<b></b></p></doc>");
    assert!(passes(format!("<doc><p>1000<b></b>{mixed}</p></doc>")));
}

/// The hash is the same without comments and signatures, but a reader that takes the first piece of text for the whole
/// reads another sum.
#[test]
fn text_that_is_signed_is_in_one_piece() {
    let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
    let signature = Signer::new(Key::P256)
        .reference("", &transforms, "<doc><sum>1000</sum></doc>")
        .sign();
    let passes = |xml: String| passes_over(&xml, None);
    assert!(passes(format!("<doc><sum>1000</sum>{signature}</doc>")));
    assert!(passes(format!(
        "<doc><!-- --><sum>1000<!-- --></sum>{signature}</doc>"
    )));
    for sum in ["10<!-- -->00", "<!--9-->1000", "<!----><!---->1000"] {
        assert!(!passes(format!("<doc><sum>{sum}</sum>{signature}</doc>")));
    }
    assert!(!passes(format!("<doc><sum>10{signature}00</sum></doc>")));
    for gap in ["", "<!-- -->", "<![CDATA[]]>"] {
        assert!(!passes(format!(
            "<doc><sum>{signature}{gap}1000</sum></doc>"
        )));
    }
    let object = enveloping().replace("\"o\">1<", "\"o\"><!--9-->1<");
    assert!(!passes(object));
    // Nobody reads such text inside of a signature.
    assert!(detached_passes(&detached(Key::P256).replace(
        "<ds:X509Certificate>",
        "<ds:X509Certificate><!-- -->"
    )));
}
