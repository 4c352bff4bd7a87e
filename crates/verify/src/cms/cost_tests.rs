//! The counted work of revocation with many lists, places and keys.

use super::revocation_tests::{
    GOOD, MESSAGE, Pki, REVOKED, SERIAL, entry, flag, number, place, point, points, reason,
};
use super::{verify, verify_within};
use crate::judging::Judging;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, name, sequence};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, Budget, SubIndication};

#[test]
fn keys_that_sign_each_others_lists_end_somewhere() {
    let pki = Pki::new();
    let count = 40;
    // Many keys with the root's name, each with a list of its own.
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
fn many_lists_and_places_are_looked_at_within_the_budget() {
    let pki = Pki::new();
    let anchors = Anchors::new([pki.root.certify(&pki.root, Role::Authority, 1)]);
    let general = tlv(0xa4, &pki.publisher.name);
    let own = |number: usize| sequence(&[place(&format!("http://{number}")), tlv(0xa2, &general)]);
    let verify_many = |lists: usize, places: Vec<Vec<u8>>| {
        let named = points(&places);
        let certificate = pki
            .root
            .certify_with(&pki.person, Role::Person, SERIAL, &named);
        let lists = (0..lists).map(|list_number| {
            let scope = point(&[place(&format!("http://list{list_number}")), flag(0x84)]);
            pki.publisher.list_with(&pki.publisher.name, &[], &[scope])
        });
        let certificates = [
            certificate,
            pki.root.certify(&pki.publisher, Role::Lists, 3),
        ];
        let lists: Vec<_> = lists.collect();
        let identifier = (&*pki.root.name, SERIAL);
        let cms = pki.person.cms(MESSAGE, identifier, &certificates, &lists);
        let budget = Budget::new();
        let verdicts = verify_within(&cms, &Judging::new(&anchors, NOW_MS), &budget);
        (verdicts.is_ok(), budget.spent_ns())
    };
    let verify = |lists, places| verify_many(lists, (0..places).map(own).collect());
    let (is_done, spent_ns) = verify(20, 20);
    assert!(is_done && spent_ns < 10_000_000, "{spent_ns}");
    for (lists, places) in [(40, 20), (20, 40)] {
        let (is_done, twice_ns) = verify(lists, places);
        assert!(is_done && twice_ns < 3 * spent_ns, "{spent_ns} {twice_ns}");
    }
    // As many places as a certificate holds. They name nothing.
    let (is_done, _) = verify_many(200, vec![sequence(&[]); 30_000]);
    assert!(!is_done);
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

#[test]
fn many_certificates_of_one_name_and_key_cost_little() {
    let pki = Pki::new();
    let (root, person) = (&pki.root, &pki.person);
    let sub = Party::new(name(UTF8, "Test Sub"));
    let anchors = Anchors::new([root.certify(root, Role::Authority, 1)]);
    let spent_ns = |mut certificates: Vec<Vec<u8>>, lists: &[Vec<u8>], why| {
        certificates.push(sub.certify(person, Role::Person, SERIAL));
        let cms = person.cms(MESSAGE, (&sub.name, SERIAL), &certificates, lists);
        let budget = Budget::new();
        let verdicts = verify_within(&cms, &Judging::new(&anchors, NOW_MS), &budget).unwrap();
        assert_eq!(verdicts[0].sub_indication, why, "{verdicts:?}");
        budget.spent_ns()
    };
    let serials = || 10..210;
    // Each is an issuer of each, and none leads to an anchor.
    let of_itself = serials().map(|serial| sub.certify(&sub, Role::Authority, serial));
    let no_chain = Some(SubIndication::NoCertificateChainFound);
    let spent = spent_ns(of_itself.collect(), &[], no_chain);
    assert!(spent < 30_000_000, "{spent}");
    // Each leads to the root, all paths are as bad as the first, and each key may have signed each list.
    let of_root = serials().map(|serial| root.certify(&sub, Role::Authority, serial));
    let listed = [entry(SERIAL, &[])];
    let lists = (0..50).map(|list| sub.list_with(&sub.name, &listed, &[number(list)]));
    let spent = spent_ns(of_root.collect(), &lists.collect::<Vec<_>>(), REVOKED);
    assert!(spent < 300_000_000, "{spent}");
}
