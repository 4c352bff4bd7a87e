//! Chains whose certificates constrain one another (RFC 5280 section 6.1), with each rule obeyed and broken.

use crate::judging::Judging;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, extension, name, oid, sequence};
use crate::pki::ber::{Reader, tlv};
use crate::pki::{Anchors, Budget, Rules, SubIndication, Verdict};

pub(super) const MESSAGE: &[u8] = b"a contract";

const POLICIES: u64 = 32;
const MAPPINGS: u64 = 33;
const POLICY_CONSTRAINTS: u64 = 36;
const INHIBIT_ANY: u64 = 54;

/// A chain of the root, an authority below it, and a person.
pub(super) struct Chain {
    pub(super) root: Party,
    pub(super) sub: Party,
    pub(super) person: Party,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self {
            root: Party::new(name(UTF8, "Test Root")),
            sub: Party::new(name(UTF8, "Test Sub")),
            person: Party::new(name(UTF8, "Somebody")),
        }
    }

    /// The verdict on the person's signature, if the authority's certificate and the person's have these extensions.
    fn judge(&self, rules: &Rules, of_sub: &[Vec<u8>], of_person: &[Vec<u8>]) -> Verdict {
        self.judge_within(rules, of_sub, of_person, &Budget::new())
    }

    pub(super) fn judge_within(
        &self,
        rules: &Rules,
        of_sub: &[Vec<u8>],
        of_person: &[Vec<u8>],
        budget: &Budget,
    ) -> Verdict {
        let Self { root, sub, person } = self;
        let anchors = Anchors::new([root.certify(root, Role::Authority, 1)]);
        let certificates = [
            root.certify_with(sub, Role::Authority, 2, of_sub),
            sub.certify_with(person, Role::Person, 3, of_person),
        ];
        let cms = person.cms(MESSAGE, (&sub.name, 3), &certificates, &[]);
        let judging = Judging {
            rules: rules.clone(),
            ..Judging::new(&anchors, NOW_MS)
        };
        super::verify_within(&cms, &judging, budget)
            .unwrap()
            .remove(0)
    }

    #[track_caller]
    pub(super) fn assert(
        &self,
        of_sub: &[Vec<u8>],
        of_person: &[Vec<u8>],
        why: Option<SubIndication>,
    ) {
        let verdict = self.judge(&Rules::default(), of_sub, of_person);
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    }
}

pub(super) fn critical(number: u64, value: &[u8]) -> Vec<u8> {
    extension(&[2, 5, 29, number], true, value)
}

pub(super) const GENERAL: Option<SubIndication> =
    Some(SubIndication::CertificateChainGeneralFailure);
const DEMANDED: Option<SubIndication> = Some(SubIndication::ChainConstraintsFailure);

#[test]
fn critical_extensions_that_are_not_known_and_repeated_ones_are_refused() {
    let chain = Chain::new();
    let unknown = |is_critical| extension(&[1, 2, 3, 4], is_critical, &[5, 0]);
    chain.assert(&[unknown(false)], &[unknown(false)], None);
    chain.assert(&[unknown(true)], &[], GENERAL);
    chain.assert(&[], &[unknown(true)], GENERAL);
    let policies = policies(&[1]);
    chain.assert(&[], &[policies.clone(), policies], GENERAL);
    // An extension that can't be read counts as unknown.
    for number in [17, 31, POLICIES] {
        let broken = |is_critical| extension(&[2, 5, 29, number], is_critical, b"example.org");
        chain.assert(&[], &[broken(false)], None);
        chain.assert(&[], &[broken(true)], GENERAL);
    }
}

#[test]
fn usages_that_cannot_be_read_are_for_nothing() {
    let chain = Chain::new();
    let usages = |value: Vec<u8>| vec![extension(&[2, 5, 29, 37], false, &value)];
    let mail = oid(&[1, 3, 6, 1, 5, 5, 7, 3, 4]);
    chain.assert(&[], &usages(sequence(std::slice::from_ref(&mail))), None);
    chain.assert(&[], &usages(sequence(&[])), DEMANDED);
    chain.assert(&[], &usages(mail.clone()), DEMANDED);
    chain.assert(&[], &usages(sequence(&[mail, tlv(0x02, &[1])])), DEMANDED);
}

#[test]
fn a_certificate_is_valid_by_the_minute_where_it_tells_no_seconds() {
    let Chain { root, person, .. } = Chain::new();
    let anchors = Anchors::new([root.certify(&root, Role::Authority, 1)]);
    // The judged time is the midnight before the 21st.
    for (until, why) in [
        (tlv(0x18, b"202606210001Z"), None),
        (tlv(0x18, b"202606210000Z"), None),
        (
            tlv(0x18, b"202606202359Z"),
            Some(SubIndication::OutOfBoundsNoPoe),
        ),
        (tlv(0x17, b"2606210001Z"), None),
        (
            tlv(0x17, b"2606202359Z"),
            Some(SubIndication::OutOfBoundsNoPoe),
        ),
    ] {
        let validity = [tlv(0x18, b"202001010000Z"), until];
        let certificate = root.certify_for(&person, Role::Person, 3, &[], validity);
        let cms = person.cms(MESSAGE, (&root.name, 3), &[certificate], &[]);
        let verdicts = super::verify(&cms, &Judging::new(&anchors, NOW_MS)).unwrap();
        assert_eq!(verdicts[0].sub_indication, why, "{verdicts:?}");
        // The last second is valid to its end.
        let verdicts = super::verify(&cms, &Judging::new(&anchors, NOW_MS + 999)).unwrap();
        assert_eq!(verdicts[0].sub_indication, why, "{verdicts:?}");
    }
}

#[test]
fn an_authority_without_a_name_leads_nowhere() {
    let nobody = || Party::new(sequence(&[]));
    let nameless = Chain {
        sub: nobody(),
        ..Chain::new()
    };
    nameless.assert(&[], &[], GENERAL);
    let person = Chain {
        person: nobody(),
        ..Chain::new()
    };
    person.assert(&[], &[], None);
}

#[test]
fn critical_statements_of_a_qualified_certificate_must_be_known() {
    let chain = Chain::new();
    let statements = |is_critical, arcs: &[&[u64]]| {
        let all: Vec<_> = arcs.iter().map(|arcs| sequence(&[oid(arcs)])).collect();
        [extension(
            &[1, 3, 6, 1, 5, 5, 7, 1, 3],
            is_critical,
            &sequence(&all),
        )]
    };
    // Statements that the certificate is qualified, that its key is in a device, and another one.
    let known: [&[u64]; 2] = [&[0, 4, 0, 1862, 1, 1], &[0, 4, 0, 1862, 1, 4]];
    let other: [&[u64]; 2] = [known[0], &[1, 2, 3, 4]];
    chain.assert(&[], &statements(true, &known), None);
    chain.assert(&[], &statements(false, &other), None);
    chain.assert(&[], &statements(true, &other), GENERAL);
}

/// A policy by its number; 0 is `anyPolicy`.
fn policy(number: u64) -> Vec<u8> {
    if number == 0 {
        oid(&[2, 5, 29, 32, 0])
    } else {
        oid(&[1, 3, 6, 1, 4, 1, number])
    }
}

fn policies(numbers: &[u64]) -> Vec<u8> {
    let all: Vec<_> = numbers.iter().map(|it| sequence(&[policy(*it)])).collect();
    critical(POLICIES, &sequence(&all))
}

fn mapping(pairs: &[(u64, u64)]) -> Vec<u8> {
    let pairs = pairs
        .iter()
        .map(|(a, b)| sequence(&[policy(*a), policy(*b)]));
    critical(MAPPINGS, &sequence(&pairs.collect::<Vec<_>>()))
}

fn explicit_after(skip: u8) -> Vec<u8> {
    critical(POLICY_CONSTRAINTS, &tlv(0x30, &tlv(0x80, &[skip])))
}

fn accepting(numbers: &[u64]) -> Rules {
    let dotted = numbers.iter().map(|number| format!("1.3.6.1.4.1.{number}"));
    Rules {
        require_explicit_policy: true,
        initial_policies: Some(dotted.collect()),
        ..Rules::default()
    }
}

#[test]
fn a_chain_must_be_valid_for_a_policy_where_somebody_demands_it() {
    let chain = Chain::new();
    // Nobody demands a policy.
    chain.assert(&[policies(&[1])], &[policies(&[2])], None);
    let explicit = Rules {
        require_explicit_policy: true,
        ..Rules::default()
    };
    for (of_sub, of_person, why) in [
        (vec![policies(&[1])], vec![policies(&[1, 2])], None),
        (vec![policies(&[1])], vec![policies(&[2])], DEMANDED),
        (vec![policies(&[1])], vec![], DEMANDED),
        (vec![], vec![policies(&[1])], DEMANDED),
        (vec![policies(&[0])], vec![policies(&[1])], None),
        (vec![policies(&[1])], vec![policies(&[0])], None),
    ] {
        let verdict = chain.judge(&explicit, &of_sub, &of_person);
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
        // An authority makes the same demand.
        let of_sub = [of_sub, vec![explicit_after(0)]].concat();
        chain.assert(&of_sub, &of_person, why);
    }
    // The demand begins after this many certificates.
    chain.assert(&[policies(&[1]), explicit_after(2)], &[], None);
}

#[test]
fn policies_stand_for_one_another_where_nobody_inhibits_it() {
    let chain = Chain::new();
    let of_sub = [policies(&[1]), mapping(&[(1, 2)])];
    let of_person = [policies(&[2])];
    let judge = |rules: &Rules| chain.judge(rules, &of_sub, &of_person).sub_indication;
    assert_eq!(judge(&accepting(&[1])), None);
    assert_eq!(judge(&accepting(&[7, 1])), None);
    assert_eq!(judge(&accepting(&[2])), DEMANDED);
    assert_eq!(judge(&accepting(&[])), DEMANDED);
    let inhibiting = Rules {
        inhibit_policy_mapping: true,
        ..accepting(&[1])
    };
    assert_eq!(judge(&inhibiting), DEMANDED);
    for pair in [(0, 1), (1, 0)] {
        chain.assert(&[policies(&[1]), mapping(&[pair])], &of_person, GENERAL);
    }
}

#[test]
fn any_policy_stands_for_each_where_nobody_inhibits_it() {
    let chain = Chain::new();
    let of_person = [policies(&[0])];
    let judge =
        |rules: &Rules, of_sub: &[Vec<u8>]| chain.judge(rules, of_sub, &of_person).sub_indication;
    let any = policies(&[0]);
    assert_eq!(judge(&accepting(&[5]), std::slice::from_ref(&any)), None);
    assert_eq!(judge(&accepting(&[5]), &[policies(&[1])]), DEMANDED);
    let inhibiting = Rules {
        inhibit_any_policy: true,
        ..accepting(&[5])
    };
    assert_eq!(judge(&inhibiting, std::slice::from_ref(&any)), DEMANDED);
    let by_sub = [any, critical(INHIBIT_ANY, &tlv(0x02, &[0]))];
    assert_eq!(judge(&accepting(&[5]), &by_sub), DEMANDED);
}

#[test]
fn policies_that_cannot_be_read_are_refused_where_they_count() {
    let chain = Chain::new();
    let broken = critical(POLICY_CONSTRAINTS, &tlv(0x30, &tlv(0x80, &[0xff])));
    chain.assert(&[policies(&[1]), broken], &[policies(&[1])], GENERAL);
    let broken = critical(POLICIES, &tlv(0x30, &tlv(0x02, &[1])));
    chain.assert(&[explicit_after(0), broken], &[policies(&[1])], GENERAL);
}

#[test]
fn many_policies_and_mappings_cost_little() {
    let chain = Chain::new();
    let count = 1_000;
    let numbers: Vec<_> = (1..=count).collect();
    // Each of these maps to each of them, which the tree of RFC 5280 would multiply (RFC 9618 section 1).
    let pairs: Vec<_> = (1..=40)
        .flat_map(|a| (1..=40).map(move |b| (a, b)))
        .collect();
    let budget = Budget::new();
    let of_sub = [policies(&numbers), mapping(&pairs), explicit_after(0)];
    let verdict = chain.judge_within(&Rules::default(), &of_sub, &[policies(&numbers)], &budget);
    assert_eq!(verdict.sub_indication, None, "{verdict:?}");
    assert!(budget.spent_ns() < 50_000_000, "{}", budget.spent_ns());
}

#[test]
fn a_trusted_certificate_of_before_there_were_extensions_is_an_authoritys() {
    let Chain { root, sub, person } = Chain::new();
    let certificates = [
        root.certify_in_version_1(&sub, 2),
        sub.certify(&person, Role::Person, 3),
    ];
    let cms = person.cms(MESSAGE, (&sub.name, 3), &certificates, &[]);
    let why = |anchor: Vec<u8>| {
        let anchors = Anchors::new([anchor]);
        let judging = Judging::new(&anchors, NOW_MS);
        super::verify(&cms, &judging).unwrap()[0].sub_indication
    };
    assert_eq!(why(certificates[0].clone()), None);
    // In the middle of a chain, it may not sign others (RFC 5280 section 6.1.4 k).
    assert_eq!(why(root.certify_in_version_1(&root, 1)), GENERAL);
    assert_eq!(why(root.certify(&root, Role::Authority, 1)), GENERAL);
}

#[test]
fn a_certificate_has_no_field_that_nobody_has_signed() {
    let Chain { root, person, .. } = Chain::new();
    let anchors = Anchors::new([root.certify(&root, Role::Authority, 1)]);
    let certificate = root.certify(&person, Role::Person, 3);
    let value = Reader::new(&certificate).next().unwrap().unwrap();
    let why = |more: &[u8]| {
        let certificate = sequence(&[value.content().to_vec(), more.to_vec()]);
        let cms = person.cms(MESSAGE, (&root.name, 3), &[certificate], &[]);
        let judging = Judging::new(&anchors, NOW_MS);
        super::verify(&cms, &judging).unwrap()[0].sub_indication
    };
    assert_eq!(why(&[]), None);
    let absent = Some(SubIndication::NoSigningCertificateFound);
    assert_eq!(why(&[5, 0]), absent);
}
