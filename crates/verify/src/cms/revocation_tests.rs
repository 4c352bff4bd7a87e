//! Revocation lists of entitled signers, with each rule of RFC 5280 section 6.3 obeyed and broken.

use super::verify;
use crate::judging::Judging;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, day, extension, name, sequence};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, RevocationRule, Rules, SubIndication, Verdict};

pub(super) const MESSAGE: &[u8] = b"a contract";
/// The serial number of the person's certificate.
pub(super) const SERIAL: u8 = 2;

const NUMBER: u64 = 20;
const REASON: u64 = 21;
const DELTA: u64 = 27;
const ISSUING_POINT: u64 = 28;
pub(super) const ISSUER: u64 = 29;
const POINTS: u64 = 31;
const KEPT_SINCE: u64 = 60;

pub(super) const GOOD: Option<SubIndication> = None;
pub(super) const UNTOLD: Option<SubIndication> = Some(SubIndication::TryLater);
pub(super) const REVOKED: Option<SubIndication> = Some(SubIndication::RevokedNoPoe);

pub(super) struct Pki {
    pub(super) root: Party,
    /// The authority that publishes lists for the root.
    pub(super) publisher: Party,
    pub(super) person: Party,
}

impl Pki {
    pub(super) fn new() -> Self {
        Self {
            root: Party::new(name(UTF8, "Test Root")),
            publisher: Party::new(name(UTF8, "Test Publisher")),
            person: Party::new(name(UTF8, "Somebody")),
        }
    }

    /// The verdict if revocation information is required, with these extensions of the person's certificate and these
    /// lists.
    fn judge(&self, of_person: &[Vec<u8>], lists: &[Vec<u8>]) -> Verdict {
        let person = &self.person;
        let certificate = self
            .root
            .certify_with(person, Role::Person, SERIAL, of_person);
        self.judge_with(&[certificate], lists)
    }

    /// Judges with these certificates, of which the person's comes first.
    pub(super) fn judge_with(&self, certificates: &[Vec<u8>], lists: &[Vec<u8>]) -> Verdict {
        let Self {
            root,
            publisher,
            person,
        } = self;
        let anchors = Anchors::new([root.certify(root, Role::Authority, 1)]);
        let of_publisher = root.certify(publisher, Role::Lists, 3);
        let certificates = [certificates, &[of_publisher]].concat();
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
    pub(super) fn assert(
        &self,
        of_person: &[Vec<u8>],
        lists: &[Vec<u8>],
        why: Option<SubIndication>,
    ) {
        let verdict = self.judge(of_person, lists);
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    }

    /// A list of the root.
    pub(super) fn list(&self, entries: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
        self.root.list_with(&self.root.name, entries, extensions)
    }
}

pub(super) fn ce(number: u64, is_critical: bool, value: &[u8]) -> Vec<u8> {
    extension(&[2, 5, 29, number], is_critical, value)
}

pub(super) fn entry(serial: u8, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut fields = vec![tlv(0x02, &[serial]), tlv(0x17, b"250101000000Z")];
    if !extensions.is_empty() {
        fields.push(sequence(extensions));
    }
    sequence(&fields)
}

pub(super) fn reason(code: u8) -> Vec<u8> {
    ce(REASON, false, &tlv(0x0a, &[code]))
}

pub(super) fn number(value: u8) -> Vec<u8> {
    ce(NUMBER, false, &tlv(0x02, &[value]))
}

/// An `IssuingDistributionPoint` with these fields.
pub(super) fn point(fields: &[Vec<u8>]) -> Vec<u8> {
    ce(ISSUING_POINT, true, &sequence(fields))
}

pub(super) fn flag(tag: u8) -> Vec<u8> {
    tlv(tag, &[0xff])
}

/// `fullName` with a URI.
pub(super) fn place(uri: &str) -> Vec<u8> {
    tlv(0xa0, &tlv(0xa0, &tlv(0x86, uri.as_bytes())))
}

/// `CRLDistributionPoints` with these points.
pub(super) fn points(all: &[Vec<u8>]) -> Vec<Vec<u8>> {
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
        // A listed certificate is revoked, whatever the scope of the list.
        let listed = pki.list(&[entry(SERIAL, &[])], &[point(&scope)]);
        pki.assert(own, &[listed], REVOKED);
    }
}

#[test]
fn a_place_may_be_named_by_what_follows_the_name_of_its_issuer() {
    let pki = Pki::new();
    let part = |text: &str| {
        let whole = name(UTF8, text);
        // The only part of the name, without the headers of both.
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
    // The list must say itself that it covers other issuers.
    pki.assert(&named, &[list(&[], &[])], UNTOLD);
    // An entry is of the issuer that was last named, at first of the publisher.
    let listed = entry(SERIAL, &[]);
    let own = list(
        std::slice::from_ref(&listed),
        std::slice::from_ref(&indirect),
    );
    pki.assert(&named, &[own], GOOD);
    let after = list(&[entry(9, &[of_root]), listed], &[indirect]);
    pki.assert(&named, std::slice::from_ref(&after), REVOKED);
    pki.assert(&[], &[after], UNTOLD);
    // A publisher that leads to no trust anchor does not count.
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
    // Alone, a delta list counts only for certificates that it has.
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
    // A delta list may lift a hold. It must be based on that list or an older one, and be newer than that list.
    let lift = |base, number_of| changes(base, number_of, std::slice::from_ref(&removed));
    let on_hold = whole(3, std::slice::from_ref(&held));
    pki.assert(&[], std::slice::from_ref(&on_hold), REVOKED);
    pki.assert(&[], &[on_hold.clone(), lift(3, 4)], GOOD);
    pki.assert(&[], &[on_hold.clone(), lift(2, 4)], GOOD);
    pki.assert(&[], &[on_hold.clone(), lift(4, 5)], REVOKED);
    pki.assert(&[], &[on_hold.clone(), lift(2, 3)], REVOKED);
    // The newest delta list counts.
    let again = changes(3, 5, std::slice::from_ref(&held));
    pki.assert(&[], &[on_hold, lift(3, 4), again], REVOKED);
    // A delta list for fewer reasons can't lift a hold. In a complete list, a removal shows a certificate neither good
    // nor revoked.
    let unknown = extension(&[1, 2, 3, 4], true, &[5, 0]);
    let base = ce(DELTA, true, &tlv(0x02, &[3]));
    let partial = pki.list(std::slice::from_ref(&removed), &[number(4), base, unknown]);
    let on_hold = whole(3, std::slice::from_ref(&held));
    pki.assert(&[], &[on_hold, partial], REVOKED);
    pki.assert(&[], &[whole(3, std::slice::from_ref(&removed))], UNTOLD);
    // A compromised key stays revoked.
    pki.assert(&[], &[whole(3, &[compromised]), lift(3, 4)], REVOKED);
}

#[test]
fn a_weak_list_tells_only_whom_it_lists() {
    let pki = Pki::new();
    let listed = [entry(SERIAL, &[])];
    pki.assert(&[], &[pki.root.weak_list(&[])], UNTOLD);
    pki.assert(&[], &[pki.root.weak_list(&listed)], REVOKED);
    pki.assert(&[], &[pki.root.weak_list(&[]), pki.list(&[], &[])], GOOD);
    // A list that names two algorithms is treated alike.
    pki.assert(&[], &[pki.root.list_with_two_algorithms(&[])], UNTOLD);
    pki.assert(&[], &[pki.root.list_with_two_algorithms(&listed)], REVOKED);
}

#[test]
fn a_key_for_lists_is_believed_while_its_certificate_is_valid() {
    let pki = Pki::new();
    let key = Party::new(pki.root.name.clone());
    let certificate = |until: &str| {
        let validity = ["200101", until].map(day);
        pki.root.certify_for(&key, Role::Lists, 5, &[], validity)
    };
    let person = pki.root.certify(&pki.person, Role::Person, SERIAL);
    let list = |revoked: &[Vec<u8>]| key.list_for(revoked, ["250601", "280101"]);
    let judge = |certificates: &[Vec<u8>], list: Vec<u8>| {
        let certificates = [std::slice::from_ref(&person), certificates].concat();
        pki.judge_with(&certificates, &[list]).sub_indication
    };
    let (over, renewed) = (certificate("260101"), certificate("300101"));
    let over = std::slice::from_ref(&over);
    assert_eq!(judge(over, list(&[])), UNTOLD);
    assert_eq!(judge(over, list(&[entry(SERIAL, &[])])), REVOKED);
    assert_eq!(judge(&[over[0].clone(), renewed], list(&[])), GOOD);
}

#[test]
fn a_new_key_of_an_authority_does_not_vouch_for_itself() {
    let pki = Pki::new();
    let new = Party::new(pki.root.name.clone());
    let certificates = [
        new.certify(&pki.person, Role::Person, SERIAL),
        pki.root.certify(&new, Role::Authority, 4),
    ];
    let judge = |lists: &[Vec<u8>]| pki.judge_with(&certificates, lists).sub_indication;
    let [by_new, by_old] = [&new, &pki.root].map(|by| by.list_with(&by.name, &[], &[]));
    assert_eq!(judge(std::slice::from_ref(&by_new)), UNTOLD);
    assert_eq!(judge(std::slice::from_ref(&by_old)), GOOD);
    assert_eq!(judge(&[by_new, by_old.clone()]), GOOD);
    // But it may revoke itself.
    let given_up = new.list_with(&new.name, &[entry(4, &[])], &[]);
    let of_authority = Some(SubIndication::RevokedCaNoPoe);
    assert_eq!(judge(&[given_up, by_old]), of_authority);
}

#[test]
fn a_list_may_go_on_telling_of_certificates_that_are_over() {
    let pki = Pki::new();
    // Valid at the judged time, and expired when the list was made.
    let validity = ["200101", "260901"].map(day);
    let person = pki
        .root
        .certify_for(&pki.person, Role::Person, SERIAL, &[], validity);
    let judge = |extensions: &[Vec<u8>]| {
        let list = pki.list(&[], extensions);
        pki.judge_with(std::slice::from_ref(&person), &[list])
            .sub_indication
    };
    let kept_since = |day: &str| {
        let time = tlv(0x18, format!("{day}000000Z").as_bytes());
        ce(KEPT_SINCE, false, &time)
    };
    assert_eq!(judge(&[]), UNTOLD);
    assert_eq!(judge(&[kept_since("20200101")]), GOOD);
    assert_eq!(judge(&[kept_since("20261001")]), UNTOLD);
}
