//! CMS with chains and revocation lists that are made here.

use super::{inspect, verify};
use crate::digest::sha256;
use crate::judging::Judging;
use crate::pki::authority::{
    DATA, NOW_MS, PRINTABLE, Parts, Party, Pki, Role, UTF8, attribute, name, oid, sequence,
};
use crate::pki::ber::tlv;
use crate::pki::gost_signer;
use crate::pki::{Anchors, Indication, RevocationRule, Rules, SubIndication, Verdict};

const MESSAGE: &[u8] = b"a contract";

/// The verdict on a CMS with one signer.
#[track_caller]
fn verdict(cms: &[u8], anchor: &[u8]) -> Verdict {
    verdict_by(cms, anchor, &Rules::default())
}

#[track_caller]
fn verdict_by(cms: &[u8], anchor: &[u8], rules: &Rules) -> Verdict {
    let anchors = Anchors::new([anchor.to_vec()]);
    let judging = Judging {
        rules: rules.clone(),
        ..Judging::new(&anchors, NOW_MS)
    };
    let mut verdicts = verify(cms, &judging).unwrap();
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

#[track_caller]
fn assert_not_passed(verdict: &Verdict, why: SubIndication) {
    assert_eq!(verdict.indication, Indication::Indeterminate, "{verdict:?}");
    assert_eq!(verdict.sub_indication, Some(why), "{verdict:?}");
}

#[track_caller]
fn assert_passed(verdict: &Verdict) {
    assert_eq!(verdict.indication, Indication::TotalPassed, "{verdict:?}");
}

impl Pki {
    /// The verdict on the person's signature, with these additional certificates and lists.
    #[track_caller]
    fn judge(&self, certificates: &[Vec<u8>], lists: &[Vec<u8>]) -> Verdict {
        self.judge_by(&Rules::default(), certificates, lists)
    }

    #[track_caller]
    fn judge_by(&self, rules: &Rules, certificates: &[Vec<u8>], lists: &[Vec<u8>]) -> Verdict {
        let certificates = [std::slice::from_ref(&self.certificate), certificates].concat();
        let identifier = (&*self.root.name, 2);
        let cms = self.person.cms(MESSAGE, identifier, &certificates, lists);
        verdict_by(&cms, &self.anchor, rules)
    }
}

#[test]
fn issuers_are_known_however_their_names_are_spelt() {
    let Pki {
        root,
        anchor,
        person,
        ..
    } = Pki::new();
    for spelt in [
        name(PRINTABLE, "Test Root"),
        name(UTF8, "TEST  root "),
        name(PRINTABLE, " test Root"),
    ] {
        let certificate = root.certify_by(&spelt, &person, 3);
        for identified in [&spelt, &root.name] {
            let cms = person.cms(
                MESSAGE,
                (identified, 3),
                std::slice::from_ref(&certificate),
                &[],
            );
            assert_passed(&verdict(&cms, &anchor));
        }
    }
    let other = name(PRINTABLE, "Test Root 2");
    let certificate = root.certify_by(&other, &person, 3);
    let cms = person.cms(MESSAGE, (&other, 3), &[certificate], &[]);
    assert_not_passed(
        &verdict(&cms, &anchor),
        SubIndication::NoCertificateChainFound,
    );
}

#[test]
fn a_certificate_that_names_two_algorithms_was_issued_by_nobody() {
    let pki = Pki::new();
    let certificate = pki.root.certify_with_two_algorithms(&pki.person, 3);
    let cms = pki
        .person
        .cms(MESSAGE, (&pki.root.name, 3), &[certificate], &[]);
    assert_not_passed(
        &verdict(&cms, &pki.anchor),
        SubIndication::NoCertificateChainFound,
    );
}

#[test]
fn lists_count_however_their_issuer_is_spelt() {
    let pki = Pki::new();
    assert_passed(&pki.judge(&[], &[pki.root.list(&pki.root.name, &[])]));
    for spelt in [name(UTF8, "Test Root"), name(PRINTABLE, "test root")] {
        let list = pki.root.list(&spelt, &[9, 2]);
        assert_not_passed(&pki.judge(&[], &[list]), SubIndication::RevokedNoPoe);
    }
    let other = pki.root.list(&name(UTF8, "Another Root"), &[2]);
    assert_passed(&pki.judge(&[], &[other]));
}

#[test]
fn lists_count_by_each_key_of_an_authority_that_leads_to_the_trusted_one() {
    let pki = Pki::new();
    let another = Party::new(pki.root.name.clone());
    let list = another.list(&pki.root.name, &[2]);
    for role in [Role::Lists, Role::Authority] {
        let certificate = pki.root.certify(&another, role, 7);
        let judged = pki.judge(&[certificate], std::slice::from_ref(&list));
        assert_not_passed(&judged, SubIndication::RevokedNoPoe);
    }
    // A key that may not sign lists, one that only vouches for itself, one that is missing, and one that was revoked.
    let person = pki.root.certify(&another, Role::Person, 7);
    let itself = another.certify(&another, Role::Authority, 7);
    for certificates in [vec![person], vec![itself], vec![]] {
        let judged = pki.judge(&certificates, std::slice::from_ref(&list));
        assert_passed(&judged);
    }
    let lists = [list, pki.root.list(&pki.root.name, &[7])];
    assert_passed(&pki.judge(&[pki.root.certify(&another, Role::Lists, 7)], &lists));
}

#[test]
fn where_revocation_must_be_told_what_tells_nothing_is_to_be_tried_later() {
    let required = Rules {
        revocation: RevocationRule::Required,
        ..Rules::default()
    };
    let pki = Pki::new();
    assert_not_passed(&pki.judge_by(&required, &[], &[]), SubIndication::TryLater);
    let list = pki.root.list(&pki.root.name, &[9]);
    assert_passed(&pki.judge_by(&required, &[], std::slice::from_ref(&list)));
    let revoked = pki.root.list(&pki.root.name, &[2]);
    assert_not_passed(
        &pki.judge_by(&required, &[], &[list, revoked]),
        SubIndication::RevokedNoPoe,
    );
    let by_nobody = pki.person.list(&pki.root.name, &[9]);
    assert_not_passed(
        &pki.judge_by(&required, &[], &[by_nobody]),
        SubIndication::TryLater,
    );
}

#[test]
fn each_authority_of_a_chain_must_be_told_of_too() {
    let required = Rules {
        revocation: RevocationRule::Required,
        ..Rules::default()
    };
    let pki = Pki::new();
    let sub = Party::new(name(UTF8, "Test Sub"));
    let certificates = [
        pki.root.certify(&sub, Role::Authority, 5),
        sub.certify(&pki.person, Role::Person, 6),
    ];
    let of_person = sub.list(&sub.name, &[]);
    let of_sub = pki.root.list(&pki.root.name, &[]);
    let judge = |lists: &[Vec<u8>]| {
        let cms = pki
            .person
            .cms(MESSAGE, (&sub.name, 6), &certificates, lists);
        verdict_by(&cms, &pki.anchor, &required)
    };
    let untold = judge(std::slice::from_ref(&of_person));
    assert_not_passed(&untold, SubIndication::TryLater);
    assert!(untold.explanation.contains("an authority's certificate"));
    let untold = judge(std::slice::from_ref(&of_sub));
    assert_not_passed(&untold, SubIndication::TryLater);
    assert!(untold.explanation.contains("the signer's certificate"));
    assert_passed(&judge(&[of_person, of_sub]));
}

const CONTENT_TYPE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 3];
const MESSAGE_DIGEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 4];
const SIGNING_TIME: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 5];
const CONTENT_TIMESTAMP: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 20];
const REVOCATION_VALUES: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 24];

impl Pki {
    /// The required attributes, in the order of DER.
    fn attributes() -> [Vec<u8>; 2] {
        [
            attribute(&CONTENT_TYPE, &oid(&DATA)),
            attribute(&MESSAGE_DIGEST, &tlv(0x04, &sha256(MESSAGE))),
        ]
    }

    /// The verdict on a signature of the attributes `signed`, if the CMS stores them as `stored`.
    #[track_caller]
    fn judge_attributes(&self, stored: &[Vec<u8>], signed: &[Vec<u8>]) -> Verdict {
        self.judge_parts(&Parts {
            attributes: Some(stored.concat()),
            signed: tlv(0x31, &signed.concat()),
            ..self.parts()
        })
    }

    /// A CMS without signed attributes.
    fn parts(&self) -> Parts<'_> {
        Parts {
            content: tlv(0x04, MESSAGE),
            signed: MESSAGE.to_vec(),
            attributes: None,
            unsigned: Vec::new(),
            identifier: (&self.root.name, 2),
            certificates: std::slice::from_ref(&self.certificate),
            lists: &[],
        }
    }

    #[track_caller]
    fn judge_parts(&self, parts: &Parts<'_>) -> Verdict {
        verdict(&self.person.cms_of(parts), &self.anchor)
    }
}

#[test]
fn signed_attributes_hold_as_stored_and_as_der_has_them() {
    let pki = Pki::new();
    let sorted = Pki::attributes();
    let unsorted = [sorted[1].clone(), sorted[0].clone()];
    assert_passed(&pki.judge_attributes(&sorted, &sorted));
    assert_passed(&pki.judge_attributes(&unsorted, &sorted));
    assert_passed(&pki.judge_attributes(&unsorted, &unsorted));
    // An attribute of indefinite length.
    let mut open = sorted.clone();
    let inside = [
        oid(&MESSAGE_DIGEST),
        tlv(0x31, &tlv(0x04, &sha256(MESSAGE))),
    ]
    .concat();
    open[1] = [&[0x30, 0x80][..], &inside, &[0, 0]].concat();
    assert_passed(&pki.judge_attributes(&open, &sorted));
    assert_passed(&pki.judge_attributes(&open, &open));
    let [content_type, _] = &sorted;
    let other = attribute(&MESSAGE_DIGEST, &tlv(0x04, &sha256(b"another")));
    let other = [content_type.clone(), other];
    let failed = pki.judge_attributes(&sorted, &other);
    assert_eq!(failed.sub_indication, Some(SubIndication::SigCryptoFailure));
    let failed = pki.judge_attributes(&other, &other);
    assert_eq!(failed.sub_indication, Some(SubIndication::HashFailure));
}

#[test]
fn three_attributes_alone_must_not_be_repeated() {
    let pki = Pki::new();
    let judge = |more: &[Vec<u8>]| {
        let mut attributes = [&Pki::attributes()[..], more].concat();
        attributes.sort();
        pki.judge_attributes(&attributes, &attributes)
    };
    let time = attribute(&SIGNING_TIME, &tlv(0x17, b"260101000000Z"));
    let stamp = attribute(&CONTENT_TIMESTAMP, &sequence(&[]));
    assert_passed(&judge(std::slice::from_ref(&time)));
    assert_passed(&judge(&[stamp.clone(), stamp]));
    let [content_type, digest] = Pki::attributes();
    let twice = sequence(&[
        oid(&SIGNING_TIME),
        tlv(0x31, &tlv(0x17, b"260101000000Z").repeat(2)),
    ]);
    for more in [
        vec![time.clone(), time],
        vec![content_type],
        vec![digest],
        vec![twice],
    ] {
        let failed = judge(&more);
        let why = failed.sub_indication;
        assert_eq!(why, Some(SubIndication::FormatFailure), "{more:x?}");
        assert_eq!(failed.intact, Some(true));
    }
}

#[test]
fn content_may_be_cut_into_pieces_of_pieces_but_not_endlessly() {
    let pki = Pki::new();
    let (one, other) = MESSAGE.split_at(3);
    let mut content = tlv(
        0x24,
        &[tlv(0x04, one), tlv(0x24, &tlv(0x04, other))].concat(),
    );
    let parts = |content: &[u8]| Parts {
        content: content.to_vec(),
        ..pki.parts()
    };
    assert_passed(&pki.judge_parts(&parts(&content)));
    for _ in 0..10 {
        content = tlv(0x24, &content);
    }
    assert!(inspect(&pki.person.cms_of(&parts(&content))).is_err());
}

/// Embedded validation data may have megabytes. Reports do not describe it, so it does not count as described.
#[test]
fn long_lists_among_unsigned_attributes_are_read() {
    let pki = Pki::new();
    let many: Vec<u8> = (3..=255).cycle().take(120_000).collect();
    let values = |list: &[u8]| {
        let lists = tlv(0xa0, &sequence(&[list.to_vec()]));
        attribute(&REVOCATION_VALUES, &sequence(&[lists]))
    };
    let good = values(&pki.root.list(&pki.root.name, &many));
    assert!(good.len() > 2 * 1024 * 1024);
    let judge = |unsigned: Vec<u8>| {
        pki.judge_parts(&Parts {
            unsigned,
            ..pki.parts()
        })
    };
    assert_passed(&judge(good));
    let revoked = [&many[..], &[2]].concat();
    let revoked = values(&pki.root.list(&pki.root.name, &revoked));
    assert_not_passed(&judge(revoked), SubIndication::RevokedNoPoe);
}

#[test]
fn signatures_by_gost_are_verified() {
    let message = b"A contract between two people who do not exist.\n";
    let cms = gost_signer::cms(message);
    let verdict = |cms: &[u8]| {
        let verdicts = verify(cms, &Judging::new(&Anchors::default(), 0)).unwrap();
        assert_eq!(verdicts.len(), 1);
        verdicts[0].clone()
    };
    assert_eq!(verdict(&cms).intact, Some(true));
    // The last byte belongs to the signature, and the message is stored as it is.
    let place = cms.windows(message.len()).position(|it| it == message);
    for place in [cms.len() - 1, place.unwrap()] {
        let mut changed = cms.clone();
        changed[place] ^= 1;
        let changed = verdict(&changed);
        assert_eq!(changed.intact, Some(false));
        assert_eq!(
            changed.sub_indication,
            Some(SubIndication::SigCryptoFailure)
        );
    }
}

#[test]
fn without_its_content_a_signature_is_judged_by_the_digest_that_was_signed_along() {
    let pki = Pki::new();
    let attributes = Pki::attributes();
    let detached = |signed: Vec<u8>, attributes: Option<Vec<u8>>| Parts {
        content: Vec::new(),
        signed,
        attributes,
        ..pki.parts()
    };
    let stored = Some(attributes.concat());
    let good = detached(tlv(0x31, &attributes.concat()), stored.clone());
    let judge = |parts: &Parts<'_>, anchor: &[u8]| {
        let verdict = verdict(&pki.person.cms_of(parts), anchor);
        assert_not_passed(&verdict, SubIndication::SignedDataNotFound);
        assert_eq!(verdict.intact, None);
        verdict
    };
    let found = judge(&good, &pki.anchor);
    let apart = found.apart_from_content.unwrap();
    assert_eq!(
        (apart.indication, apart.intact),
        (Indication::TotalPassed, Some(true))
    );
    assert_eq!(found.chain.len(), 2);
    // No trusted certificate vouches for the signer.
    let stranger = Pki::new();
    let apart = judge(&good, &stranger.anchor).apart_from_content.unwrap();
    assert_eq!(
        (apart.sub_indication, apart.intact),
        (Some(SubIndication::NoCertificateChainFound), Some(true))
    );
    // The signature's value is of something else.
    let forged = judge(&detached(b"something else".to_vec(), stored), &pki.anchor);
    let apart = forged.apart_from_content.unwrap();
    assert_eq!(
        (apart.sub_indication, apart.intact),
        (Some(SubIndication::SigCryptoFailure), Some(false))
    );
    // Without signed attributes, nothing can be said.
    let bare = judge(&detached(MESSAGE.to_vec(), None), &pki.anchor);
    assert_eq!(bare.apart_from_content, None);
    // With the content, everything can be said.
    let cms = pki.person.cms_of(&good);
    let anchors = Anchors::new([pki.anchor.clone()]);
    let with = |content: &[u8]| {
        let judging = Judging {
            document: Some(content),
            ..Judging::new(&anchors, NOW_MS)
        };
        let mut verdicts = verify(&cms, &judging).unwrap();
        verdicts.remove(0)
    };
    assert_passed(&with(MESSAGE));
    assert_eq!(with(MESSAGE).apart_from_content, None);
    let other = with(b"another contract");
    assert_eq!(
        (other.intact, other.apart_from_content),
        (Some(false), None)
    );
}
