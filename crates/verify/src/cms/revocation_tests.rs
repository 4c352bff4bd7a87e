//! Lists of revoked certificates by those who are entitled, each rule of RFC 5280 section 6.3 obeyed and broken.

use super::verify;
use crate::digest::sha256;
use crate::judging::Judging;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, algorithm, extension, name, oid, sequence};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, RevocationRule, Rules, SubIndication, Verdict};

const MESSAGE: &[u8] = b"a contract";
/// The person's certificate.
const SERIAL: u8 = 2;

const NUMBER: u64 = 20;
const REASON: u64 = 21;
const DELTA: u64 = 27;
const ISSUING_POINT: u64 = 28;
const ISSUER: u64 = 29;
const POINTS: u64 = 31;

const GOOD: Option<SubIndication> = None;
const UNTOLD: Option<SubIndication> = Some(SubIndication::TryLater);
const REVOKED: Option<SubIndication> = Some(SubIndication::RevokedNoPoe);

struct Pki {
    root: Party,
    /// Who publishes lists for the root.
    publisher: Party,
    person: Party,
}

impl Pki {
    fn new() -> Self {
        Self {
            root: Party::new(name(UTF8, "Test Root")),
            publisher: Party::new(name(UTF8, "Test Publisher")),
            person: Party::new(name(UTF8, "Somebody")),
        }
    }

    /// The verdict where revocation must be told, the person's certificate has these extensions, and these lists are at hand.
    fn judge(&self, of_person: &[Vec<u8>], lists: &[Vec<u8>]) -> Verdict {
        let Self {
            root,
            publisher,
            person,
        } = self;
        let anchors = Anchors::new([root.certify(root, Role::Authority, 1)]);
        let certificates = [
            root.certify_with(person, Role::Person, SERIAL, of_person),
            root.certify(publisher, Role::Lists, 3),
        ];
        let cms = person.cms(MESSAGE, (&root.name, SERIAL), &certificates, lists);
        let judging = Judging {
            rules: Rules {
                revocation: RevocationRule::Required,
                ..Rules::default()
            },
            ..Judging::new(&anchors, NOW_MS)
        };
        verify(&cms, &judging).unwrap().remove(0)
    }

    #[track_caller]
    fn assert(&self, of_person: &[Vec<u8>], lists: &[Vec<u8>], why: Option<SubIndication>) {
        let verdict = self.judge(of_person, lists);
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    }

    /// A list of the root.
    fn list(&self, entries: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
        self.root.list_with(&self.root.name, entries, extensions)
    }
}

fn ce(number: u64, is_critical: bool, value: &[u8]) -> Vec<u8> {
    extension(&[2, 5, 29, number], is_critical, value)
}

fn entry(serial: u8, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut fields = vec![tlv(0x02, &[serial]), tlv(0x17, b"250101000000Z")];
    if !extensions.is_empty() {
        fields.push(sequence(extensions));
    }
    sequence(&fields)
}

fn reason(code: u8) -> Vec<u8> {
    ce(REASON, false, &tlv(0x0a, &[code]))
}

fn number(value: u8) -> Vec<u8> {
    ce(NUMBER, false, &tlv(0x02, &[value]))
}

/// An `IssuingDistributionPoint` with these fields.
fn point(fields: &[Vec<u8>]) -> Vec<u8> {
    ce(ISSUING_POINT, true, &sequence(fields))
}

fn flag(tag: u8) -> Vec<u8> {
    tlv(tag, &[0xff])
}

/// `fullName`, a URI.
fn place(uri: &str) -> Vec<u8> {
    tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes())))
}

/// `CRLDistributionPoints` with these, each with these fields.
fn points(all: &[Vec<u8>]) -> Vec<Vec<u8>> {
    vec![ce(POINTS, false, &sequence(all))]
}

#[test]
fn a_list_is_about_certificates_of_its_place_and_kind() {
    let pki = Pki::new();
    let [here, there] = ["http://here", "http://there"].map(place);
    let names_here = points(&[sequence(std::slice::from_ref(&here))]);
    for (own, scope, why) in [
        (&[][..], vec![], GOOD),
        (&names_here, vec![], GOOD),
        (&names_here, vec![here.clone()], GOOD),
        (&names_here, vec![there], UNTOLD),
        (&[], vec![here], UNTOLD),
        (&[], vec![flag(0x81)], GOOD),
        (&[], vec![flag(0x82)], UNTOLD),
        (&[], vec![flag(0x85)], UNTOLD),
    ] {
        pki.assert(own, &[pki.list(&[], &[point(&scope)])], why);
        // What is listed is revoked, wherever it stands.
        let listed = pki.list(&[entry(SERIAL, &[])], &[point(&scope)]);
        pki.assert(own, &[listed], REVOKED);
    }
}

#[test]
fn a_place_may_be_named_by_what_follows_the_name_of_its_issuer() {
    let pki = Pki::new();
    let part = |text: &str| {
        let whole = name(UTF8, text);
        // The only part of a name, without the headers of both.
        tlv(0xa1, &whole[4..])
    };
    let names = points(&[sequence(&[tlv(0xa0, &part("list 1"))])]);
    for (own, why) in [("LIST 1", GOOD), ("list 2", UNTOLD)] {
        let scope = point(&[tlv(0xa0, &part(own))]);
        pki.assert(&names, &[pki.list(&[], &[scope])], why);
    }
}

#[test]
fn all_reasons_must_be_told_of() {
    let pki = Pki::new();
    // The bits from keyCompromise to aACompromise, and two parts of them.
    let some = |bits: [u8; 2]| pki.list(&[], &[point(&[tlv(0x83, &[7, bits[0], bits[1]])])]);
    let [all, first, rest] = [[0x7f, 0x80], [0x60, 0], [0x1f, 0x80]].map(some);
    pki.assert(&[], &[all], GOOD);
    pki.assert(&[], std::slice::from_ref(&first), UNTOLD);
    pki.assert(&[], std::slice::from_ref(&rest), UNTOLD);
    pki.assert(&[], &[first, rest], GOOD);
}

#[test]
fn what_has_critical_extensions_that_are_not_known_tells_nobody_to_be_good() {
    let pki = Pki::new();
    let unknown = |is_critical| extension(&[1, 2, 3, 4], is_critical, &[5, 0]);
    pki.assert(&[], &[pki.list(&[], &[unknown(false)])], GOOD);
    pki.assert(&[], &[pki.list(&[], &[unknown(true)])], UNTOLD);
    let of_others = |is_critical| pki.list(&[entry(9, &[unknown(is_critical)])], &[]);
    pki.assert(&[], &[of_others(false)], GOOD);
    pki.assert(&[], &[of_others(true)], UNTOLD);
    let listed = pki.list(&[entry(SERIAL, &[])], &[unknown(true)]);
    pki.assert(&[], &[listed], REVOKED);
}

#[test]
fn another_may_publish_where_the_certificate_names_it() {
    let pki = Pki::new();
    let publisher = &pki.publisher;
    let general = |name: &[u8]| tlv(0xa4, name);
    let named = points(&[sequence(&[tlv(0xa2, &general(&publisher.name))])]);
    let indirect = point(&[flag(0x84)]);
    let of_root = ce(ISSUER, true, &sequence(&[general(&pki.root.name)]));
    let list = |entries: &[Vec<u8>], extensions: &[Vec<u8>]| {
        publisher.list_with(&publisher.name, entries, extensions)
    };
    let good = list(&[], std::slice::from_ref(&indirect));
    pki.assert(&named, std::slice::from_ref(&good), GOOD);
    pki.assert(&[], std::slice::from_ref(&good), UNTOLD);
    // It must say itself that it is about others.
    pki.assert(&named, &[list(&[], &[])], UNTOLD);
    // An entry is of the last issuer that was named, at first of who publishes.
    let listed = entry(SERIAL, &[]);
    let own = list(
        std::slice::from_ref(&listed),
        std::slice::from_ref(&indirect),
    );
    pki.assert(&named, &[own], GOOD);
    let after = list(&[entry(9, &[of_root]), listed], &[indirect]);
    pki.assert(&named, std::slice::from_ref(&after), REVOKED);
    pki.assert(&[], &[after], UNTOLD);
    // Somebody who leads to nobody trusted may not.
    let stranger = Party::new(publisher.name.clone());
    let forged = stranger.list_with(&publisher.name, &[], &[point(&[flag(0x84)])]);
    pki.assert(&named, &[forged], UNTOLD);
}

#[test]
fn lists_of_changes_count_together_with_a_whole_one() {
    let pki = Pki::new();
    let whole = |number_of, entries: &[Vec<u8>]| pki.list(entries, &[number(number_of)]);
    let changes = |base, number_of, entries: &[Vec<u8>]| {
        let base = ce(DELTA, true, &tlv(0x02, &[base]));
        pki.list(entries, &[number(number_of), base])
    };
    let held = entry(SERIAL, &[reason(6)]);
    let compromised = entry(SERIAL, &[reason(1)]);
    let removed = entry(SERIAL, &[reason(8)]);
    // Alone it says only whom it lists.
    pki.assert(&[], &[changes(1, 2, &[])], UNTOLD);
    pki.assert(
        &[],
        &[changes(1, 2, std::slice::from_ref(&compromised))],
        REVOKED,
    );
    pki.assert(&[], &[whole(1, &[]), changes(1, 2, &[])], GOOD);
    pki.assert(
        &[],
        &[whole(1, &[]), changes(1, 2, &[entry(SERIAL, &[])])],
        REVOKED,
    );
    // What was on hold may be let go; by changes since that list or an older one, and since then.
    let lift = |base, number_of| changes(base, number_of, std::slice::from_ref(&removed));
    let on_hold = whole(3, std::slice::from_ref(&held));
    pki.assert(&[], std::slice::from_ref(&on_hold), REVOKED);
    pki.assert(&[], &[on_hold.clone(), lift(3, 4)], GOOD);
    pki.assert(&[], &[on_hold.clone(), lift(2, 4)], GOOD);
    pki.assert(&[], &[on_hold.clone(), lift(4, 5)], REVOKED);
    pki.assert(&[], &[on_hold.clone(), lift(2, 3)], REVOKED);
    // The newest counts.
    let again = changes(3, 5, std::slice::from_ref(&held));
    pki.assert(&[], &[on_hold, lift(3, 4), again], REVOKED);
    // A key that is lost stays so.
    pki.assert(&[], &[whole(3, &[compromised]), lift(3, 4)], REVOKED);
}

/// An answer by a delegate, with its certificate: these are good.
fn answer(pki: &Pki, delegate: &Party, certificate: Vec<u8>, serials: &[u8]) -> Vec<u8> {
    const SHA256: [u64; 9] = [2, 16, 840, 1, 101, 3, 4, 2, 1];
    const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
    const OCSP_RESPONSE: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 16, 2];
    let key = pki.root.public_key();
    let hashes = [&*pki.root.name, &key[key.len() - 65..]].map(|it| tlv(0x04, &sha256(it)));
    let made = tlv(0x18, b"20270101000000Z");
    let entries = serials.iter().map(|serial| {
        let id = [&[algorithm(&SHA256)], &hashes[..], &[tlv(0x02, &[*serial])]].concat();
        sequence(&[sequence(&id), tlv(0x80, &[]), made.clone()])
    });
    let entries: Vec<_> = entries.collect();
    let tbs = sequence(&[tlv(0xa1, &delegate.name), made.clone(), sequence(&entries)]);
    let value = [vec![0], delegate.sign(&tbs)].concat();
    let basic = sequence(&[
        tbs,
        algorithm(&ECDSA_SHA256),
        tlv(0x03, &value),
        tlv(0xa0, &sequence(&[certificate])),
    ]);
    tlv(0xa1, &[oid(&OCSP_RESPONSE), basic].concat())
}

#[test]
fn a_delegate_answers_while_it_is_not_revoked_itself() {
    let pki = Pki::new();
    let delegate = Party::new(name(UTF8, "Test Responder"));
    let usage = || ce(37, false, &sequence(&[oid(&[1, 3, 6, 1, 5, 5, 7, 3, 9])]));
    let answered = |more: &[Vec<u8>], serials: &[u8]| {
        let extensions = [&[usage()], more].concat();
        let certificate = pki
            .root
            .certify_with(&delegate, Role::Person, 5, &extensions);
        answer(&pki, &delegate, certificate, serials)
    };
    pki.assert(&[], &[answered(&[], &[SERIAL])], GOOD);
    pki.assert(&[], &[answered(&[], &[9])], UNTOLD);
    // A list of another place says nothing good, but whom it lists.
    let list = |serial| pki.list(&[entry(serial, &[])], &[point(&[place("http://there")])]);
    pki.assert(&[], &[answered(&[], &[SERIAL]), list(9)], GOOD);
    pki.assert(&[], &[answered(&[], &[SERIAL]), list(5)], UNTOLD);
    let no_check = extension(&[1, 3, 6, 1, 5, 5, 7, 48, 1, 5], false, &[5, 0]);
    pki.assert(&[], &[answered(&[no_check], &[SERIAL]), list(5)], GOOD);
    // Whether the delegate was revoked is told by somebody of whom this very answer tells.
    let publisher = &pki.publisher;
    let general = tlv(0xa4, &publisher.name);
    let named = points(&[sequence(&[tlv(0xa2, &general)])]);
    let indirect = publisher.list_with(&publisher.name, &[], &[point(&[flag(0x84)])]);
    pki.assert(&[], &[answered(&named, &[SERIAL, 3]), indirect], GOOD);
}

#[test]
fn keys_that_sign_each_others_lists_end_somewhere() {
    let pki = Pki::new();
    let count = 40;
    // Many keys of the root's name, each with a list of its own.
    let keys: Vec<_> = (0..count)
        .map(|_| Party::new(pki.root.name.clone()))
        .collect();
    let of_keys = keys.iter().zip(10..);
    let mut certificates: Vec<_> = of_keys
        .map(|(key, serial)| pki.root.certify(key, Role::Lists, serial))
        .collect();
    certificates.push(pki.root.certify(&pki.person, Role::Person, SERIAL));
    let lists: Vec<_> = keys
        .iter()
        .map(|key| key.list(&pki.root.name, &[9]))
        .collect();
    let anchors = Anchors::new([pki.root.certify(&pki.root, Role::Authority, 1)]);
    let cms = pki
        .person
        .cms(MESSAGE, (&pki.root.name, SERIAL), &certificates, &lists);
    let verdicts = verify(&cms, &Judging::new(&anchors, NOW_MS));
    assert!(verdicts.is_ok_and(|all| all[0].sub_indication == GOOD));
}

#[test]
fn a_list_of_many_is_looked_through_within_the_budget() {
    let pki = Pki::new();
    let entries: Vec<_> = (0..100_000_u32)
        .map(|serial| {
            let serial = [&[1][..], &serial.to_be_bytes()].concat();
            let fields = [
                tlv(0x02, &serial),
                tlv(0x17, b"250101000000Z"),
                sequence(&[reason(1)]),
            ];
            sequence(&fields)
        })
        .collect();
    pki.assert(&[], &[pki.list(&entries, &[number(1)])], GOOD);
    let last = [entries, vec![entry(SERIAL, &[])]].concat();
    pki.assert(&[], &[pki.list(&last, &[number(1)])], REVOKED);
}
