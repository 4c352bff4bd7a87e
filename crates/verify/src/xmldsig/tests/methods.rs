//! Signatures of each method, made by another implementation: OpenSSL with its GOST engine.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kinds::only;
use crate::pki::certificate::Parsed;
use crate::xmldsig::verify::is_weak;
use crate::xmldsig::{ValueIntegrity, XmlSignature};

/// A name and XML in base64 on each line, written by `fixtures/methods.py`.
const METHODS: &str = include_str!("fixtures/methods.txt");

fn each() -> impl Iterator<Item = (&'static str, String)> {
    METHODS.lines().map(|line| {
        let (name, xml) = line.split_once(' ').unwrap();
        let xml = String::from_utf8(STANDARD.decode(xml).unwrap()).unwrap();
        (name, xml)
    })
}

/// The document with this name.
#[track_caller]
fn named(name: &str) -> String {
    each().find(|(other, _)| *other == name).unwrap().1
}

fn proves(signature: &XmlSignature) -> bool {
    let certificate = Parsed::from_der(&signature.certificates[0]).unwrap();
    !is_weak(signature.method.as_ref(), &certificate)
}

#[test]
fn each_method_is_verified_as_it_says() {
    for (name, xml) in each() {
        let signature = only(&xml);
        assert_eq!(signature.value, ValueIntegrity::Intact(0), "{name}");
        assert!(signature.references_intact(), "{name}");
        assert!(signature.signature_algorithm().name.is_some(), "{name}");
        assert_eq!(proves(&signature), !name.contains("sha1"), "{name}");
        let changed = only(&xml.replace("A contract", "B contract"));
        assert!(!changed.references_intact(), "{name}");
        let signed_info = xml.replace(
            "<ds:Reference URI=\"\">",
            "<ds:Reference URI=\"\" Id=\"r\">",
        );
        let changed = only(&signed_info);
        assert_eq!(changed.value, ValueIntegrity::Broken, "{name}");
    }
}

/// Only the named method is tried, even if the key or other parameters would fit.
#[test]
fn a_method_is_no_other_one() {
    let ecdsa = "2021/04/xmldsig-more#ecdsa-sha3-256";
    for (name, from, to) in [
        ("ed25519", "eddsa-ed25519", "eddsa-ed448"),
        (
            "gost-256",
            "gostr34112012-256\"></ds:SignatureMethod>",
            "gostr34112012-512\"></ds:SignatureMethod>",
        ),
        ("ecdsa-sha3", ecdsa, "2001/04/xmldsig-more#ecdsa-sha256"),
        ("pss-sha3", "sha3-256-rsa-MGF1", "sha256-rsa-MGF1"),
        ("pss-with-a-salt", ">200<", ">201<"),
    ] {
        let xml = named(name);
        let changed = xml.replacen(from, to, 1);
        assert_ne!(changed, xml, "{name}");
        assert_eq!(only(&changed).value, ValueIntegrity::Broken, "{name}");
    }
    // Parameters that are unknown or incomplete are not guessed.
    for (name, from, to) in [
        ("pss-with-a-salt", ">200<", ">-1<"),
        ("pss-with-parameters", "#MGF1", "#MGF2"),
        (
            "pss-with-parameters",
            ">1</pss:TrailerField>",
            ">2</pss:TrailerField>",
        ),
        ("pss-with-parameters", "xmlenc#sha512", "xmlenc#sha513"),
        ("pss-with-parameters", "MaskGenerationFunction", "Mask"),
    ] {
        let xml = named(name);
        let changed = xml.replace(from, to);
        assert_ne!(changed, xml, "{name}");
        let value = only(&changed).value;
        assert!(
            matches!(value, ValueIntegrity::UnsupportedAlgorithm(_)),
            "{name}: {value:?}"
        );
    }
}
