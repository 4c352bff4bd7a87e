//! Archive time stamps of XML signatures. All stamped elements are written as exclusive canonicalisation leaves them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{Stamped, inspect, judge};
use super::signer::{DS, ENVELOPED, EXCLUSIVE, Key, Signer, transform};
use crate::cms::stamper::Stamper;
use crate::judging::Judging;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, name};
use crate::pki::{Anchors, Basis, SubIndication, Verdict};

const V132: &str = "http://uri.etsi.org/01903/v1.3.2#";
const V141: &str = "http://uri.etsi.org/01903/v1.4.1#";
/// Noon on 1 March 2021.
const STAMPED_MS: i64 = 1_614_600_000_000;
const DOCUMENT: &str = "<doc>a contract</doc>";
/// An `Object` that is signed, and below one that is not.
const OBJECT: &str =
    "<ds:Object xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" Id=\"o\">inside</ds:Object>";
const OTHER: &str =
    "<ds:Object xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" Id=\"p\">beside</ds:Object>";

/// A time stamp as an unsigned property in this namespace.
fn property(namespace: &str, local: &str, token: &[u8]) -> String {
    format!(
        "<x:{local} xmlns:x=\"{namespace}\"><ds:CanonicalizationMethod {DS} Algorithm=\"{EXCLUSIVE}\">\
         </ds:CanonicalizationMethod><e:EncapsulatedTimeStamp xmlns:e=\"{}\">{}\
         </e:EncapsulatedTimeStamp></x:{local}>",
        // The element of the token stayed in the older namespace.
        V132,
        STANDARD.encode(token)
    )
}

/// A signed document with unsigned properties.
struct Archive {
    signature: String,
    properties: Vec<String>,
}

impl Archive {
    fn new() -> Self {
        let transforms = transform(ENVELOPED) + &transform(EXCLUSIVE);
        let signature = Signer::new(Key::P256)
            .reference("", &transforms, DOCUMENT)
            .reference("#o", &transform(EXCLUSIVE), OBJECT)
            .object(OBJECT)
            .object(OTHER)
            .sign();
        Self {
            signature,
            properties: Vec::new(),
        }
    }

    fn xml(&self) -> String {
        let properties = format!(
            "<ds:Object><x:QualifyingProperties xmlns:x=\"{V132}\"><x:UnsignedProperties>\
             <x:UnsignedSignatureProperties>{}</x:UnsignedSignatureProperties>\
             </x:UnsignedProperties></x:QualifyingProperties></ds:Object></ds:Signature>",
            self.properties.concat()
        );
        let signature = self.signature.replace("</ds:Signature>", &properties);
        DOCUMENT.replace("</doc>", &(signature + "</doc>"))
    }

    /// An element of the signature in canonical form.
    fn part(&self, local: &str) -> String {
        let (open, close) = (format!("<ds:{local}"), format!("</ds:{local}>"));
        let from = self.signature.find(&open).unwrap();
        let to = self.signature.find(&close).unwrap() + close.len();
        let part = self.signature.get(from..to).unwrap();
        if part.starts_with(&format!("{open} {DS}")) {
            part.to_owned()
        } else {
            part.replacen(&open, &format!("{open} {DS}"), 1)
        }
    }

    /// The data that an archive time stamp made now must cover, in the order of ETSI EN 319 132-1 clause 5.5.2.2.
    fn everything(&self, objects: &str) -> String {
        [
            DOCUMENT,
            OBJECT,
            &self.part("SignedInfo"),
            &self.part("SignatureValue"),
            &self.part("KeyInfo"),
            &self.properties.concat(),
            objects,
        ]
        .concat()
    }
}

#[track_caller]
fn verdict(xml: &str, anchors: &Anchors) -> Verdict {
    let found = inspect(xml.as_bytes()).unwrap();
    assert_eq!(found.len(), 1);
    judge(&found, &Judging::new(anchors, NOW_MS))
        .unwrap()
        .remove(0)
}

#[test]
fn archive_stamps_prove_that_older_ones_were_there() {
    let root = Party::new(name(UTF8, "Test Root"));
    let signer = STANDARD
        .decode(Key::P256.certificate().replace('\n', ""))
        .unwrap();
    let anchors = Anchors::new([root.certify(&root, Role::Authority, 1), signer]);
    for (namespace, objects) in [
        (V141, [OBJECT, OTHER].concat()),
        // Before version 1.4.1, signed objects were not stamped again.
        (V132, OTHER.to_owned()),
    ] {
        let mut archive = Archive::new();
        let over = Stamper::new(&root, 2, ["20", "23"]);
        let stamped = archive.part("SignatureValue");
        let token = over.stamp(stamped.as_bytes(), "20210301", &[]);
        let property_of_value = property(V132, "SignatureTimeStamp", &token);
        archive.properties.push(property_of_value);
        let verdict_now = verdict(&archive.xml(), &anchors);
        assert_eq!(verdict_now.proven_time_ms, None);

        let between = Stamper::new(&root, 3, ["22", "24"]);
        let stamped = archive.everything(&objects);
        let token = between.stamp(stamped.as_bytes(), "20220601", &[]);
        let first = property(namespace, "ArchiveTimeStamp", &token);
        archive.properties.push(first);
        let last = Stamper::new(&root, 4, ["23", "30"]);
        let stamped = archive.everything(&objects);
        let token = last.stamp(stamped.as_bytes(), "20230601", &[]);
        let second = property(namespace, "ArchiveTimeStamp", &token);
        archive.properties.push(second);
        // A property after the time stamps is not stamped.
        let later = format!("<x:Other xmlns:x=\"{V132}\"></x:Other>");
        archive.properties.push(later);
        let xml = archive.xml();
        let stamps = &inspect(xml.as_bytes()).unwrap()[0].timestamps;
        let stamped: Vec<_> = stamps.iter().map(|it| it.stamped).collect();
        let [value, all] = [Stamped::Value, Stamped::Everything];
        assert_eq!(stamped, [value, all, all]);
        let proven = verdict(&xml, &anchors);
        assert_eq!(proven.intact, Some(true), "{proven:?}");
        assert_eq!(proven.judged_by, Basis::Proven);
        assert_eq!(proven.proven_time_ms, Some(STAMPED_MS));

        for (what, changed) in [
            ("an object", xml.replace("beside", "besides")),
            ("a property", xml.replace("x:SignatureTimeStamp", "x:Other")),
            ("a stamp between", xml.replace(&archive.properties[1], "")),
            (
                "one more before",
                xml.replace(
                    &archive.properties[0],
                    &(archive.properties[3].clone() + &archive.properties[0]),
                ),
            ),
        ] {
            assert_ne!(changed, xml, "{what}");
            let verdict = verdict(&changed, &anchors);
            assert_ne!(verdict.proven_time_ms, Some(STAMPED_MS), "{what}");
        }
    }
}

#[test]
fn archive_stamps_prove_that_countersignatures_were_there() {
    let root = Party::new(name(UTF8, "Test Root"));
    let anchors = Anchors::new([root.certify(&root, Role::Authority, 1)]);
    let proven = |xml: &str| {
        let found = inspect(xml.as_bytes()).unwrap();
        let verdicts = judge(&found, &Judging::new(&anchors, NOW_MS)).unwrap();
        let proven = verdicts.iter().map(|verdict| verdict.proven_time_ms);
        proven.collect::<Vec<_>>()
    };
    let countersignature = Signer::new(Key::Other)
        .reference("#o", &transform(EXCLUSIVE), OBJECT)
        .sign()
        // In canonical form.
        .replacen(&format!("<ds:SignedInfo {DS}>"), "<ds:SignedInfo>", 1)
        .replacen(" Id=\"sig\"", "", 1)
        .replace('\n', "");
    let countersignature =
        format!("<x:CounterSignature xmlns:x=\"{V132}\">{countersignature}</x:CounterSignature>");
    let stamper = Stamper::new(&root, 2, ["20", "30"]);
    let stamp = |archive: &Archive| {
        let stamped = archive.everything(&[OBJECT, OTHER].concat());
        let token = stamper.stamp(stamped.as_bytes(), "20210301", &[]);
        property(V141, "ArchiveTimeStamp", &token)
    };
    let mut archive = Archive::new();
    archive.properties.push(countersignature.clone());
    assert_eq!(proven(&archive.xml()), [None, None]);
    let after = stamp(&archive);
    archive.properties.push(after);
    let at = Some(STAMPED_MS);
    assert_eq!(proven(&archive.xml()), [at, at]);

    let mut archive = Archive::new();
    let before = stamp(&archive);
    archive.properties.push(before);
    archive.properties.push(countersignature);
    assert_eq!(proven(&archive.xml()), [at, None]);
}

#[test]
fn archive_stamps_prove_certificates_below_an_authority_that_was_revoked_later() {
    let [root, middle] = ["Root", "Middle"].map(|it| Party::new(name(UTF8, it)));
    let key = STANDARD
        .decode(include_str!("fixtures/p256.key.b64"))
        .unwrap();
    let person = Party::with_key(name(UTF8, "Somebody"), &key);
    let certificates = [
        middle.certify(&person, Role::Person, 2),
        root.certify(&middle, Role::Authority, 3),
    ];
    let certificates = certificates.map(|der| {
        let der = STANDARD.encode(der);
        format!("<ds:X509Certificate>{der}</ds:X509Certificate>")
    });
    let list = STANDARD.encode(root.list_since(&[3], "220601"));
    let anchors = Anchors::new([root.certify(&root, Role::Authority, 1)]);
    let stamper = Stamper::new(&root, 4, ["20", "30"]);
    let judged = |day: Option<&str>| {
        let mut archive = Archive::new();
        let (before, rest) = archive
            .signature
            .split_once("<ds:X509Certificate>")
            .unwrap();
        let (_, after) = rest.split_once("</ds:X509Certificate>").unwrap();
        archive.signature = [before, &certificates.concat(), after]
            .concat()
            .replace(OTHER, "");
        let value = archive.part("SignatureValue");
        let token = stamper.stamp(value.as_bytes(), "20210301", &[]);
        archive.properties = vec![
            property(V132, "SignatureTimeStamp", &token),
            format!(
                "<x:RevocationValues xmlns:x=\"{V132}\"><x:CRLValues><x:EncapsulatedCRLValue>{list}\
                 </x:EncapsulatedCRLValue></x:CRLValues></x:RevocationValues>"
            ),
        ];
        if let Some(day) = day {
            let token = stamper.stamp(archive.everything(OBJECT).as_bytes(), day, &[]);
            let stamp = property(V141, "ArchiveTimeStamp", &token);
            archive.properties.push(stamp);
        }
        let verdict = verdict(&archive.xml(), &anchors);
        assert_eq!(verdict.proven_time_ms, Some(STAMPED_MS));
        verdict.sub_indication
    };
    assert_eq!(judged(Some("20220301")), None);
    let unproven = Some(SubIndication::RevokedCaNoPoe);
    assert_eq!(judged(Some("20220901")), unproven);
    assert_eq!(judged(None), unproven);
}
