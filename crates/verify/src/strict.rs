//! Tests of CMS files with parts that would not be judged: each is refused, with the reason in the message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cms::{InspectError, inspect, inspect_within};
use crate::pki::authority::{
    DATA, NOW_MS, Party, Pki, SHA256, SIGNED_DATA, algorithm, attribute, oid, sequence,
};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, Budget};
use crate::{Body, Judging, Report, report};

const MESSAGE: &[u8] = b"a contract";
const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const COUNTERSIGNATURE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 6];
/// A content type that PKCS#7 allows not to be an OCTET STRING.
const ANOTHER: [u64; 4] = [1, 2, 3, 4];

/// A CMS in parts. Each `after_…` field is extra data; it is empty in a valid CMS.
#[derive(Clone)]
struct Cms {
    content_info: Vec<u8>,
    signer: Vec<u8>,
    after_signer: Vec<u8>,
    after_signers: Vec<u8>,
    after_signed_data: Vec<u8>,
    after_wrapper: Vec<u8>,
    after_all: Vec<u8>,
}

impl Pki {
    /// A `SignerInfo` that names the person's certificate and is signed by any party, with extra fields after the
    /// signature. Returns the signature value and the whole `SignerInfo`.
    fn signer(&self, by: &Party, signed: &[u8], after: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let identifier = sequence(&[self.root.name.clone(), tlv(0x02, &[2])]);
        let value = by.sign(signed);
        let signer = sequence(&[
            tlv(0x02, &[1]),
            identifier,
            algorithm(&SHA256),
            algorithm(&ECDSA_SHA256),
            tlv(0x04, &value),
            after.to_vec(),
        ]);
        (value, signer)
    }

    fn cms(&self) -> Cms {
        self.cms_by(&self.person)
    }

    fn cms_by(&self, by: &Party) -> Cms {
        Cms {
            content_info: content_info(&DATA, &tlv(0x04, MESSAGE)),
            signer: self.signer(by, MESSAGE, &[]).1,
            after_signer: Vec::new(),
            after_signers: Vec::new(),
            after_signed_data: Vec::new(),
            after_wrapper: Vec::new(),
            after_all: Vec::new(),
        }
    }

    /// A signature by the person with nested countersignatures, one by each of these parties.
    fn countersigned(&self, by: &[&Party]) -> Vec<u8> {
        let (mut value, last) = self.signer(&self.person, MESSAGE, &[]);
        let mut signers = vec![last];
        for party in by {
            let signer;
            (value, signer) = self.signer(party, &value, &[]);
            signers.push(signer);
        }
        let signer = signers.into_iter().rev().reduce(|of_it, signer| {
            let attribute = attribute(&COUNTERSIGNATURE, &of_it);
            let fields = content(&signer);
            tlv(0x30, &[fields, tlv(0xa1, &attribute)].concat())
        });
        self.encode(&Cms {
            signer: signer.unwrap(),
            ..self.cms()
        })
    }

    fn encode(&self, cms: &Cms) -> Vec<u8> {
        let signers = [&cms.signer[..], &cms.after_signer].concat();
        let signed_data = sequence(&[
            tlv(0x02, &[1]),
            tlv(0x31, &algorithm(&SHA256)),
            cms.content_info.clone(),
            tlv(0xa0, &self.certificate),
            tlv(0x31, &signers),
            cms.after_signers.clone(),
        ]);
        let wrapped = [signed_data, cms.after_signed_data.clone()].concat();
        let file = sequence(&[
            oid(&SIGNED_DATA),
            tlv(0xa0, &wrapped),
            cms.after_wrapper.clone(),
        ]);
        [file, cms.after_all.clone()].concat()
    }

    fn report_on(&self, file: &[u8]) -> Report {
        let anchors = Anchors::new([self.anchor.clone()]);
        let judging = Judging::new(&anchors, NOW_MS);
        report(&Body::from_file(file), Some(&judging))
    }

    #[track_caller]
    fn assert_refused(&self, file: &[u8], why: &str) {
        let told = self.report_on(file);
        assert!(!told.passes() && told.signers.is_empty(), "{told:?}");
        let problem = told.problem.unwrap();
        assert!(problem.contains(why), "{problem}, and not {why}");
    }
}

fn content_info(kind: &[u64], content: &[u8]) -> Vec<u8> {
    sequence(&[oid(kind), tlv(0xa0, content)])
}

/// The content of a DER value.
fn content(value: &[u8]) -> Vec<u8> {
    let mut reader = crate::pki::ber::Reader::new(value);
    let value = reader.next().unwrap().unwrap();
    value.content().to_vec()
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

const SECOND: &str = "there is extra data after the signature";

#[test]
fn nothing_but_padding_may_follow_a_signature() {
    let pki = Pki::new();
    let good = pki.encode(&pki.cms());
    let forged = pki.encode(&pki.cms_by(&pki.root));
    assert!(!pki.report_on(&forged).passes());
    for padding in [&[][..], &[0; 4096], b"\n", b"\r\n", b"\0\0 \t\r\n\0"] {
        let padded = [&good[..], padding].concat();
        assert!(pki.report_on(&padded).passes(), "{padding:x?}");
        assert!(pki.report_on(STANDARD.encode(&padded).as_bytes()).passes());
    }
    let late = [&[0; 100][..], &forged].concat();
    for tail in [
        &forged[..],
        &late,
        &good,
        &tlv(0x04, b"more"),
        b"x",
        &[0x30],
    ] {
        let file = [&good[..], tail].concat();
        pki.assert_refused(&file, SECOND);
        pki.assert_refused(STANDARD.encode(&file).as_bytes(), SECOND);
        pki.assert_refused(pem("CMS", &file).as_bytes(), SECOND);
    }
}

#[test]
fn one_signature_may_be_in_armour() {
    let pki = Pki::new();
    let good = pki.encode(&pki.cms());
    let forged = pki.encode(&pki.cms_by(&pki.root));
    let certificate = pem("CERTIFICATE", &pki.certificate);
    let letter = "Dear Sir,\n\nplease find what I signed.\n";
    let alone = pem("CMS", &good);
    for file in [
        alone.clone(),
        format!("{letter}{alone}{letter}"),
        format!("{certificate}{alone}\r\n{certificate}"),
        pem("SOMETHING ELSE", &good),
    ] {
        assert!(pki.report_on(file.as_bytes()).passes(), "{file}");
    }
    for label in ["CMS", "PKCS7", "PKCS #7 SIGNED DATA", "SOMETHING ELSE"] {
        let other = pem(label, &forged);
        pki.assert_refused(format!("{alone}{other}").as_bytes(), SECOND);
        pki.assert_refused(format!("{other}{letter}{alone}").as_bytes(), SECOND);
        pki.assert_refused(format!("{alone}{certificate}{other}").as_bytes(), SECOND);
    }
    // Another program may still read a block that has a header or lacks its end.
    let with_header = pem("CMS", &forged).replacen('\n', "\nComment: a header\n\n", 1);
    let without_end = pem("CMS", &forged).replace("-----END", "");
    for other in [with_header, without_end] {
        pki.assert_refused(format!("{other}{alone}").as_bytes(), "not a CMS");
        pki.assert_refused(format!("{alone}{other}").as_bytes(), "not a CMS");
    }
}

#[test]
fn nothing_may_be_put_into_the_parts_of_a_signature() {
    let pki = Pki::new();
    let forged = pki.signer(&pki.root, MESSAGE, &[]).1;
    let more = || tlv(0x31, &forged);
    let signer = |after: &[u8]| Cms {
        signer: pki.signer(&pki.person, MESSAGE, after).1,
        ..pki.cms()
    };
    let plain = tlv(0x30, &[oid(&ANOTHER), tlv(0x31, &[]), more()].concat());
    assert!(pki.report_on(&pki.encode(&pki.cms())).passes());
    assert!(
        pki.report_on(&pki.encode(&signer(&tlv(0xa1, &[]))))
            .passes()
    );
    for (cms, why) in [
        (
            Cms {
                after_signers: more(),
                ..pki.cms()
            },
            "its SignedData has extra data after the signers",
        ),
        (
            Cms {
                after_signed_data: content(&pki.encode(&pki.cms_by(&pki.root))),
                ..pki.cms()
            },
            "its ContentInfo has extra data after the SignedData",
        ),
        (
            Cms {
                after_wrapper: tlv(0xa0, &more()),
                ..pki.cms()
            },
            "its ContentInfo has extra data after the SignedData",
        ),
        (
            Cms {
                after_wrapper: vec![0, 0],
                ..pki.cms()
            },
            "its ContentInfo has extra data after the SignedData",
        ),
        (
            Cms {
                content_info: sequence(&[oid(&DATA), tlv(0xa0, &tlv(0x04, MESSAGE)), more()]),
                ..pki.cms()
            },
            "after its content",
        ),
        // A signer with a wrong tag.
        (
            Cms {
                after_signer: tlv(0xa0, &content(&forged)),
                ..pki.cms()
            },
            "a signer is not a sequence",
        ),
        (
            signer(&[tlv(0xa1, &[]), tlv(0xa1, &[])].concat()),
            "a signer has extra data after its attributes",
        ),
        (
            signer(&more()),
            "a signer has extra data after its attributes",
        ),
        (
            signer(&tlv(0xa1, &plain)),
            "an attribute of a signer has extra data after its values",
        ),
        (
            signer(&tlv(
                0xa1,
                &tlv(0xa0, &attribute(&COUNTERSIGNATURE, &forged)),
            )),
            "an attribute of a signer is not a sequence",
        ),
    ] {
        pki.assert_refused(&pki.encode(&cms), why);
    }
}

#[test]
fn content_is_one_octet_string() {
    let pki = Pki::new();
    let octets = tlv(0x04, MESSAGE);
    let (one, other) = MESSAGE.split_at(3);
    let pieces = |tag: u8| tlv(0x24, &[tlv(0x04, one), tlv(tag, other)].concat());
    let cms = |kind: &[u64], content: &[u8]| {
        pki.encode(&Cms {
            content_info: content_info(kind, content),
            ..pki.cms()
        })
    };
    for good in [octets.clone(), pieces(0x04)] {
        assert!(pki.report_on(&cms(&DATA, &good)).passes());
    }
    let twice = [octets.clone(), tlv(0x04, b"another contract")].concat();
    for kind in [&DATA[..], &ANOTHER] {
        pki.assert_refused(&cms(kind, &twice), "more than one content");
        for (content, why) in [
            (tlv(0x0c, MESSAGE), "its content is not an octet string"),
            (tlv(0x31, MESSAGE), "its content is not an octet string"),
            (Vec::new(), "its content is not an octet string"),
            (
                pieces(0x0c),
                "a piece of its content is not an octet string",
            ),
            (
                pieces(0x30),
                "a piece of its content is not an octet string",
            ),
        ] {
            pki.assert_refused(&cms(kind, &content), why);
        }
    }
    let value = sequence(&[oid(&ANOTHER)]);
    let no_octets = InspectError::Malformed("its content is not an octet string");
    assert_eq!(inspect(&cms(&DATA, &value)), Err(no_octets));
    let found = inspect(&cms(&ANOTHER, &value)).unwrap();
    assert_eq!(found.content_size, Some(value.len() as u64 - 2));
}

#[test]
fn a_countersignature_is_told_or_the_signature_refused() {
    let pki = Pki::new();
    let Pki { person, root, .. } = &pki;
    for depth in 0..8 {
        let mut by = vec![person; depth];
        by.push(root);
        let told = pki.report_on(&pki.countersigned(&by));
        assert_eq!(told.problem, None);
        let mut signer = &told.signers[0];
        for _ in 0..depth {
            assert!(signer.passes());
            signer = &signer.countersigners()[0];
        }
        let [forged] = signer.countersigners() else {
            panic!("{signer:?}");
        };
        assert!(signer.passes() && !forged.passes());
    }
    let too_deep = pki.countersigned(&[person; 9]);
    pki.assert_refused(&too_deep, "nested too deeply");

    let many = attribute(&ANOTHER, &tlv(0x04, b"x")).repeat(501);
    let unreadable = pki.signer(root, MESSAGE, &tlv(0xa1, &many)).1;
    let no_set = sequence(&[oid(&COUNTERSIGNATURE), unreadable.clone()]);
    let with = |attribute: &[u8]| {
        pki.encode(&Cms {
            signer: pki.signer(person, MESSAGE, &tlv(0xa1, attribute)).1,
            ..pki.cms()
        })
    };
    for (attribute, why) in [
        (
            attribute(&COUNTERSIGNATURE, &unreadable),
            "too many attributes",
        ),
        (attribute(&COUNTERSIGNATURE, &[0x30, 0x05]), "truncated"),
        (attribute(&COUNTERSIGNATURE, &sequence(&[])), "no version"),
        (
            attribute(&COUNTERSIGNATURE, &tlv(0x04, &unreadable)),
            "a signer is not a sequence",
        ),
        (no_set, "has no values"),
    ] {
        pki.assert_refused(&with(&attribute), why);
    }
}

/// A forged countersignature there would be covered by the signer's own signature, and would look as if it had been
/// judged.
#[test]
fn a_countersignature_is_no_signed_attribute() {
    let pki = Pki::new();
    let forged = pki.signer(&pki.root, MESSAGE, &[]).1;
    let attributes = attribute(&COUNTERSIGNATURE, &forged);
    let signer = sequence(&[
        tlv(0x02, &[1]),
        sequence(&[pki.root.name.clone(), tlv(0x02, &[2])]),
        algorithm(&SHA256),
        tlv(0xa0, &attributes),
        algorithm(&ECDSA_SHA256),
        tlv(0x04, &pki.person.sign(&tlv(0x31, &attributes))),
    ]);
    let cms = pki.encode(&Cms {
        signer,
        ..pki.cms()
    });
    pki.assert_refused(&cms, "among the signed attributes");
}

#[test]
fn countersignatures_in_one_another_cost_little() {
    let pki = Pki::new();
    let [few, many] = [20, 1_000].map(|count| {
        let deep = pki.countersigned(&vec![&pki.person; count]);
        let budget = Budget::new();
        assert!(inspect_within(&deep, &budget).is_err());
        budget.spent_ns() - deep.len() as u64 * 4
    });
    // Without the cost of scanning each byte, the depth makes no difference.
    assert_eq!(few, many);
}
