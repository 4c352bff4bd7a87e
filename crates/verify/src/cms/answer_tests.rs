//! OCSP responses of entitled signers, with each rule of RFC 6960 obeyed and broken.

use super::revocation_tests::{
    GOOD, ISSUER, MESSAGE, Pki, REVOKED, SERIAL, UNTOLD, ce, entry, flag, place, point, points,
};
use super::verify_within;
use crate::digest::sha256;
use crate::judging::Judging;
use crate::pki::authority::{
    NOW_MS, PRINTABLE, Party, Role, UTF8, algorithm, day, extension, name, oid, sequence,
};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, Budget, SubIndication};

const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const OCSP_RESPONSE: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 16, 2];
const OCSP_BASIC: [u64; 10] = [1, 3, 6, 1, 5, 5, 7, 48, 1, 1];

/// The serial number of a delegate's certificate.
const DELEGATE: u8 = 5;

/// An OCSP response, with or without the certificate of its signer.
struct Answer<'a> {
    pki: &'a Pki,
    by: &'a Party,
    /// Empty if no certificate comes with the response.
    certificate: Vec<u8>,
    serials: &'a [u8],
    /// The issuer's name, whose digest is in the response.
    issuer: Vec<u8>,
    /// The days (`YYMMDD`) on which it was made, from which its statement counts, and until which.
    days: [&'a str; 3],
    is_revoked: bool,
    /// Extensions of the response, and of each of its entries.
    extensions: [Vec<Vec<u8>>; 2],
}

impl<'a> Answer<'a> {
    fn new(pki: &'a Pki, by: &'a Party, certificate: Vec<u8>) -> Self {
        Self {
            pki,
            by,
            certificate,
            serials: &[SERIAL],
            issuer: pki.root.name.clone(),
            days: ["270101", "270101", "280101"],
            is_revoked: false,
            extensions: [Vec::new(), Vec::new()],
        }
    }

    /// The response as a CMS embeds it.
    fn encode(&self) -> Vec<u8> {
        tlv(0xa1, &[oid(&OCSP_RESPONSE), self.basic()].concat())
    }

    /// A `BasicOCSPResponse`.
    fn basic(&self) -> Vec<u8> {
        let key = self.pki.root.public_key();
        let hashes = [&*self.issuer, &key[key.len() - 65..]].map(|it| tlv(0x04, &sha256(it)));
        let [made, this, next] = self.days.map(time);
        let [of_answer, of_entry] = self.extensions.each_ref().map(|all| match all.as_slice() {
            [] => Vec::new(),
            all => tlv(0xa1, &sequence(all)),
        });
        let status = if self.is_revoked {
            tlv(0xa1, &time("250101"))
        } else {
            tlv(0x80, &[])
        };
        let entries = self.serials.iter().map(|serial| {
            let id = [&[algorithm(&SHA256)], &hashes[..], &[tlv(0x02, &[*serial])]].concat();
            let next = tlv(0xa0, &next);
            sequence(&[
                sequence(&id),
                status.clone(),
                this.clone(),
                next,
                of_entry.clone(),
            ])
        });
        let entries = sequence(&entries.collect::<Vec<_>>());
        let tbs = sequence(&[tlv(0xa1, &self.by.name), made, entries, of_answer]);
        let value = [vec![0], self.by.sign(&tbs)].concat();
        let certificates = match self.certificate.as_slice() {
            [] => Vec::new(),
            one => tlv(0xa0, &tlv(0x30, one)),
        };
        sequence(&[
            tbs,
            algorithm(&ECDSA_SHA256),
            tlv(0x03, &value),
            certificates,
        ])
    }

    #[track_caller]
    fn assert(&self, why: Option<SubIndication>) {
        self.pki.assert(&[], &[self.encode()], why);
    }
}

fn time(day: &str) -> Vec<u8> {
    tlv(0x18, format!("20{day}000000Z").as_bytes())
}

/// The extended key usage for signing responses.
fn usage() -> Vec<u8> {
    ce(37, false, &sequence(&[oid(&[1, 3, 6, 1, 5, 5, 7, 3, 9])]))
}

fn delegate() -> Party {
    Party::new(name(UTF8, "Test Responder"))
}

/// A delegate's certificate with these additional extensions.
fn certificate(pki: &Pki, delegate: &Party, more: &[Vec<u8>]) -> Vec<u8> {
    let extensions = [&[usage()], more].concat();
    pki.root
        .certify_with(delegate, Role::Person, DELEGATE, &extensions)
}

#[test]
fn a_delegate_answers_while_it_is_not_revoked_itself() {
    let pki = Pki::new();
    let delegate = delegate();
    let answered = |more: &[Vec<u8>], serials: &[u8]| {
        let certificate = certificate(&pki, &delegate, more);
        let answer = Answer::new(&pki, &delegate, certificate);
        Answer { serials, ..answer }.encode()
    };
    pki.assert(&[], &[answered(&[], &[SERIAL])], GOOD);
    pki.assert(&[], &[answered(&[], &[9])], UNTOLD);
    // A list of another place shows nobody to be good, but it can revoke.
    let list = |serial| pki.list(&[entry(serial, &[])], &[point(&[place("http://there")])]);
    pki.assert(&[], &[answered(&[], &[SERIAL]), list(9)], GOOD);
    pki.assert(&[], &[answered(&[], &[SERIAL]), list(DELEGATE)], UNTOLD);
    let no_check = extension(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5], false, &[5, 0]);
    pki.assert(
        &[],
        &[answered(&[no_check], &[SERIAL]), list(DELEGATE)],
        GOOD,
    );
    // A list says whether the delegate was revoked, and the response covers the signer of that list.
    let publisher = &pki.publisher;
    let general = |name: &[u8]| tlv(0xa4, name);
    let named = points(&[sequence(&[tlv(0xa2, &general(&publisher.name))])]);
    let indirect = |entries: &[Vec<u8>], scope: &[Vec<u8>]| {
        publisher.list_with(&publisher.name, entries, &[point(scope)])
    };
    let answer = answered(&named, &[SERIAL, 3]);
    let whole = indirect(&[], &[flag(0x84)]);
    pki.assert(&[], &[answer.clone(), whole], GOOD);
    // The same if the list is first looked at for the person, for whom it covers only some reasons.
    let of_root = ce(ISSUER, true, &sequence(&[general(&pki.root.name)]));
    let some = [tlv(0x83, &[7, 0x60, 0]), flag(0x84)];
    let listed = |serial| indirect(&[entry(serial, std::slice::from_ref(&of_root))], &some);
    pki.assert(&named, &[answer.clone(), listed(9)], GOOD);
    pki.assert(&named, &[answer, listed(DELEGATE)], UNTOLD);
}

#[test]
fn a_bare_answer_may_be_called_by_its_own_name() {
    let pki = Pki::new();
    for (is_revoked, why) in [(false, GOOD), (true, REVOKED)] {
        let answer = Answer {
            is_revoked,
            ..Answer::new(&pki, &pki.root, Vec::new())
        };
        let basic = answer.basic();
        pki.assert(
            &[],
            &[tlv(0xa1, &[oid(&OCSP_BASIC), basic.clone()].concat())],
            why,
        );
        // Under another OID, it is not a response.
        let other = [oid(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 4]), basic].concat();
        pki.assert(&[], &[tlv(0xa1, &other)], UNTOLD);
    }
}

#[test]
fn only_delegates_of_the_issuer_answer() {
    let pki = Pki::new();
    let delegate = delegate();
    let stranger = Party::new(pki.root.name.clone());
    let plain = pki.root.certify(&delegate, Role::Person, DELEGATE);
    let by_stranger = stranger.certify_with(&delegate, Role::Person, DELEGATE, &[usage()]);
    for certificate in [plain, by_stranger] {
        Answer::new(&pki, &delegate, certificate).assert(UNTOLD);
    }
    let other = Answer {
        issuer: name(UTF8, "Another Root"),
        ..Answer::new(&pki, &pki.root, Vec::new())
    };
    other.assert(UNTOLD);
    Answer::new(&pki, &pki.root, Vec::new()).assert(GOOD);
}

#[test]
fn a_delegate_may_be_among_the_certificates_at_hand() {
    let pki = Pki::new();
    let delegate = delegate();
    let person = pki.root.certify(&pki.person, Role::Person, SERIAL);
    let judge = |of_delegate: Vec<u8>, is_revoked, lists: &[Vec<u8>]| {
        let answer = Answer {
            is_revoked,
            ..Answer::new(&pki, &delegate, Vec::new())
        };
        let evidence = [&[answer.encode()], lists].concat();
        let verdict = pki.judge_with(&[person.clone(), of_delegate], &evidence);
        verdict.sub_indication
    };
    let good = certificate(&pki, &delegate, &[]);
    assert_eq!(judge(good.clone(), false, &[]), GOOD);
    assert_eq!(judge(good.clone(), true, &[]), REVOKED);
    // The same rules hold as for a delegate inside of a response.
    let list = |serial| pki.list(&[entry(serial, &[])], &[point(&[place("http://there")])]);
    assert_eq!(judge(good.clone(), false, &[list(9)]), GOOD);
    assert_eq!(judge(good, false, &[list(DELEGATE)]), UNTOLD);
    let stranger = Party::new(pki.root.name.clone());
    let over = ["200101", "260101"].map(day);
    let unknown = extension(&[1, 2, 3, 4], true, &[5, 0]);
    let other = Party::new(delegate.name.clone());
    for wrong in [
        pki.root.certify(&delegate, Role::Person, DELEGATE),
        stranger.certify_with(&delegate, Role::Person, DELEGATE, &[usage()]),
        pki.root
            .certify_for(&delegate, Role::Person, DELEGATE, &[usage()], over),
        pki.root
            .certify_with(&delegate, Role::Lists, DELEGATE, &[usage()]),
        certificate(&pki, &delegate, &[unknown]),
        certificate(&pki, &other, &[]),
    ] {
        for is_revoked in [false, true] {
            assert_eq!(judge(wrong.clone(), is_revoked, &[]), UNTOLD);
        }
    }
}

#[test]
fn another_key_of_an_authority_answers_for_it() {
    let pki = Pki::new();
    let person = pki.root.certify(&pki.person, Role::Person, SERIAL);
    let new = Party::new(pki.root.name.clone());
    let other = Party::new(name(UTF8, "Test Sub"));
    let stranger = Party::new(pki.root.name.clone());
    let of_new = |by: &Party, role| by.certify(&new, role, DELEGATE);
    let of_other = pki.root.certify(&other, Role::Authority, DELEGATE);
    for (by, certificate, [good, revoked]) in [
        (&new, of_new(&pki.root, Role::Authority), [GOOD, REVOKED]),
        (&new, of_new(&pki.root, Role::Lists), [UNTOLD; 2]),
        (&new, of_new(&pki.root, Role::Person), [UNTOLD; 2]),
        (&new, of_new(&stranger, Role::Authority), [UNTOLD; 2]),
        (&new, of_new(&new, Role::Authority), [UNTOLD; 2]),
        (&other, of_other, [UNTOLD; 2]),
    ] {
        for (is_revoked, why) in [(false, good), (true, revoked)] {
            let answer = Answer {
                is_revoked,
                ..Answer::new(&pki, by, Vec::new())
            };
            let at_hand = [person.clone(), certificate.clone()];
            let verdict = pki.judge_with(&at_hand, &[answer.encode()]);
            assert_eq!(verdict.sub_indication, why, "{verdict:?}");
            let inside = Answer {
                certificate: certificate.clone(),
                ..answer
            };
            inside.assert(why);
        }
    }
}

#[test]
fn a_key_does_not_answer_for_itself() {
    let pki = Pki::new();
    let usages = [
        oid(&[1, 3, 6, 1, 5, 5, 7, 3, 4]),
        oid(&[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ];
    let both = ce(37, false, &sequence(&usages));
    let person = pki
        .root
        .certify_with(&pki.person, Role::Person, SERIAL, &[both]);
    for (is_revoked, why) in [(false, UNTOLD), (true, REVOKED)] {
        let answer = Answer {
            is_revoked,
            ..Answer::new(&pki, &pki.person, Vec::new())
        };
        let verdict = pki.judge_with(std::slice::from_ref(&person), &[answer.encode()]);
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    }
}

#[test]
fn many_certificates_and_answers_cost_little_together() {
    let pki = Pki::new();
    let [delegate, stranger] = ["Test Responder", "Test Root"].map(|it| Party::new(name(UTF8, it)));
    let anchors = Anchors::new([pki.root.certify(&pki.root, Role::Authority, 1)]);
    let person = pki.root.certify(&pki.person, Role::Person, SERIAL);
    // The root does not know the signer of the responses.
    let answer = Answer::new(&pki, &stranger, Vec::new()).encode();
    let copies = vec![certificate(&pki, &delegate, &[]); 150];
    let others =
        (10..160).map(|serial| stranger.certify_with(&stranger, Role::Person, serial, &[usage()]));
    let certificates = [&[person], &copies[..], &others.collect::<Vec<_>>()].concat();
    let spent_ns = |answers: usize, certificates: &[Vec<u8>]| {
        let answers = vec![answer.clone(); answers];
        let identifier = (&*pki.root.name, SERIAL);
        let cms = pki.person.cms(MESSAGE, identifier, certificates, &answers);
        let budget = Budget::new();
        let verdicts = verify_within(&cms, &Judging::new(&anchors, NOW_MS), &budget);
        assert!(verdicts.is_ok_and(|all| all[0].sub_indication == GOOD));
        budget.spent_ns()
    };
    let [few, many] = [1, 200]
        .map(|answers| spent_ns(answers, &certificates) - spent_ns(answers, &certificates[..2]));
    assert!(many < few + few / 2, "{few} {many}");
}

#[test]
fn answers_with_critical_extensions_that_are_not_known_tell_nobody_to_be_good() {
    let pki = Pki::new();
    let delegate = delegate();
    let certificate = certificate(&pki, &delegate, &[]);
    let unknown = |is_critical| vec![extension(&[1, 2, 3, 4], is_critical, &[5, 0])];
    let nonce = vec![extension(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 2], true, &[4, 0])];
    let answer = |extensions| Answer {
        extensions,
        ..Answer::new(&pki, &delegate, certificate.clone())
    };
    answer([nonce, unknown(false)]).assert(GOOD);
    for extensions in [[unknown(true), vec![]], [vec![], unknown(true)]] {
        let answer = answer(extensions);
        answer.assert(UNTOLD);
        let revoked = Answer {
            is_revoked: true,
            ..answer
        };
        revoked.assert(REVOKED);
    }
}

#[test]
fn a_delegate_is_believed_while_its_certificate_is_valid() {
    let pki = Pki::new();
    let delegate = delegate();
    let answer = |until: &str, days| {
        let validity = ["200101", until].map(day);
        let certificate =
            pki.root
                .certify_for(&delegate, Role::Person, DELEGATE, &[usage()], validity);
        Answer {
            days,
            ..Answer::new(&pki, &delegate, certificate)
        }
    };
    let early = ["250601", "250601", "280101"];
    answer("300101", early).assert(GOOD);
    answer("260101", early).assert(UNTOLD);
    // Made after its certificate expired, or before the time from which its statement counts.
    answer("260101", ["270101", "270101", "280101"]).assert(UNTOLD);
    answer("300101", ["250601", "270101", "280101"]).assert(UNTOLD);
    let revoked = Answer {
        is_revoked: true,
        ..answer("260101", early)
    };
    revoked.assert(REVOKED);
}

#[test]
fn an_answer_names_the_issuer_as_the_certificate_spells_it() {
    let pki = Pki::new();
    let spelt = name(PRINTABLE, "test ROOT");
    let person = pki.root.certify_by(&spelt, &pki.person, SERIAL);
    for (issuer, is_revoked, why) in [
        (pki.root.name.clone(), false, GOOD),
        (spelt.clone(), false, GOOD),
        (spelt, true, REVOKED),
        (name(PRINTABLE, "Test ROOT"), true, UNTOLD),
    ] {
        let answer = Answer {
            issuer,
            is_revoked,
            ..Answer::new(&pki, &pki.root, Vec::new())
        };
        let verdict = pki.judge_with(std::slice::from_ref(&person), &[answer.encode()]);
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    }
}

#[test]
fn an_answer_may_go_on_telling_of_certificates_that_are_over() {
    let pki = Pki::new();
    let validity = ["200101", "260901"].map(day);
    let person = pki
        .root
        .certify_for(&pki.person, Role::Person, SERIAL, &[], validity);
    let judge = |extensions: Vec<Vec<u8>>| {
        let answer = Answer {
            extensions: [Vec::new(), extensions],
            ..Answer::new(&pki, &pki.root, Vec::new())
        };
        let verdict = pki.judge_with(std::slice::from_ref(&person), &[answer.encode()]);
        verdict.sub_indication
    };
    let cutoff = |day: &str| {
        vec![extension(
            &[1, 3, 6, 1, 5, 5, 7, 48, 1, 6],
            false,
            &time(day),
        )]
    };
    assert_eq!(judge(vec![]), UNTOLD);
    assert_eq!(judge(cutoff("200101")), GOOD);
    assert_eq!(judge(cutoff("261001")), UNTOLD);
}
