//! Names of those below authorities that restrict them (RFC 5280 section 4.2.1.10), each rule obeyed and broken.

use super::path_tests::{Chain, GENERAL, MESSAGE, critical};
use super::verify;
use crate::judging::Judging;
use crate::pki::Anchors;
use crate::pki::authority::{NOW_MS, Party, Role, UTF8, name, oid, sequence};
use crate::pki::ber::tlv;

const ALTERNATIVE_NAMES: u64 = 17;
const NAME_CONSTRAINTS: u64 = 30;

const OTHER: u8 = 0xa0;
const RFC822: u8 = 0x81;
const DNS: u8 = 0x82;
const DIRECTORY: u8 = 0xa4;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;
const REGISTERED_ID: u8 = 0x88;

fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let side = |tag, bases: &[Vec<u8>]| {
        let subtrees: Vec<_> = bases.iter().map(|base| tlv(0x30, base)).collect();
        if bases.is_empty() {
            Vec::new()
        } else {
            tlv(tag, &subtrees.concat())
        }
    };
    let sides = [side(0xa0, permitted), side(0xa1, excluded)];
    critical(NAME_CONSTRAINTS, &sequence(&sides))
}

#[test]
fn names_are_compared_with_what_an_authority_permits_and_excludes() {
    let chain = Chain::new();
    let ip = |bytes: &[u8]| tlv(ADDRESS, bytes);
    let text = |tag, text: &str| tlv(tag, text.as_bytes());
    for (base, own, is_in) in [
        (
            text(RFC822, "example.org"),
            text(RFC822, "a@Example.org"),
            true,
        ),
        (
            text(RFC822, "example.org"),
            text(RFC822, "a@b.example.org"),
            false,
        ),
        (
            text(RFC822, ".example.org"),
            text(RFC822, "a@b.example.org"),
            true,
        ),
        (
            text(RFC822, ".example.org"),
            text(RFC822, "a@example.org"),
            false,
        ),
        (
            text(RFC822, "a@example.org"),
            text(RFC822, "a@example.ORG"),
            true,
        ),
        (
            text(RFC822, "a@example.org"),
            text(RFC822, "A@example.org"),
            false,
        ),
        (text(DNS, "example.org"), text(DNS, "Example.org"), true),
        (text(DNS, "example.org"), text(DNS, "a.b.example.org"), true),
        (text(DNS, "example.org"), text(DNS, "myexample.org"), false),
        (
            text(URI, "example.org"),
            text(URI, "https://u@Example.org:8/x"),
            true,
        ),
        (
            text(URI, "example.org"),
            text(URI, "https://a.example.org"),
            false,
        ),
        (
            text(URI, ".example.org"),
            text(URI, "https://a.example.org"),
            true,
        ),
        (
            text(URI, ".example.org"),
            text(URI, "https://example.org/"),
            false,
        ),
        (ip(&[10, 0, 0, 0, 255, 0, 0, 0]), ip(&[10, 1, 2, 3]), true),
        (ip(&[10, 0, 0, 0, 255, 0, 0, 0]), ip(&[11, 1, 2, 3]), false),
        (
            tlv(DIRECTORY, &name(UTF8, "SOMEBODY")),
            tlv(DIRECTORY, &name(UTF8, "else")),
            false,
        ),
    ] {
        let names = critical(ALTERNATIVE_NAMES, &sequence(std::slice::from_ref(&own)));
        let own = std::slice::from_ref(&names);
        let base = std::slice::from_ref(&base);
        let unless = |right: bool| if right { None } else { GENERAL };
        chain.assert(&[constraints(base, &[])], own, unless(is_in));
        chain.assert(
            &[constraints(&[], base)],
            own,
            unless(!is_in && base[0][0] != DIRECTORY),
        );
    }
    // The subject is a directory name, too.
    let [own, other] = ["somebody", "else"].map(|text| tlv(DIRECTORY, &name(UTF8, text)));
    chain.assert(&[constraints(std::slice::from_ref(&own), &[])], &[], None);
    chain.assert(
        &[constraints(std::slice::from_ref(&other), &[])],
        &[],
        GENERAL,
    );
    chain.assert(&[constraints(&[], &[own])], &[], GENERAL);
    chain.assert(&[constraints(&[], &[other])], &[], None);
}

#[test]
fn names_and_constraints_that_cannot_be_compared_are_refused() {
    let chain = Chain::new();
    let names = |own: Vec<u8>| vec![critical(ALTERNATIVE_NAMES, &sequence(&[own]))];
    let registered = || tlv(REGISTERED_ID, &[42, 3]);
    let restricted = [constraints(&[], &[registered()])];
    chain.assert(&restricted, &names(registered()), GENERAL);
    chain.assert(&restricted, &names(tlv(DNS, b"example.org")), None);
    let uris = [constraints(&[], &[tlv(URI, b"example.org")])];
    for uri in ["https://10.0.0.1/", "urn:x", "https://[::1]/"] {
        chain.assert(&uris, &names(tlv(URI, uri.as_bytes())), GENERAL);
    }
    // A wildcard may stand for what is excluded.
    let hosts = [constraints(&[], &[tlv(DNS, b"a.example.org")])];
    chain.assert(&hosts, &names(tlv(DNS, b"*.example.org")), GENERAL);
    // `minimum` and `maximum`.
    for depth in [tlv(0x80, &[1]), tlv(0x81, &[1])] {
        let base = [tlv(DNS, b"example.org"), depth].concat();
        chain.assert(&[constraints(&[], &[base])], &[], GENERAL);
    }
}

#[test]
fn many_names_cost_little() {
    let chain = Chain::new();
    let count = 1_000;
    let host = |number: u64| tlv(DNS, format!("host{number}.example.org").as_bytes());
    let bases: Vec<_> = (1..=count).map(host).collect();
    let names: Vec<_> = (count + 1..=2 * count).map(host).collect();
    let anchors = Anchors::new([chain.root.certify(&chain.root, Role::Authority, 1)]);
    let certificates = [
        chain
            .root
            .certify_with(&chain.sub, Role::Authority, 2, &[constraints(&[], &bases)]),
        chain.sub.certify_with(
            &chain.person,
            Role::Person,
            3,
            &[critical(ALTERNATIVE_NAMES, &sequence(&names))],
        ),
    ];
    let cms = chain
        .person
        .cms(MESSAGE, (&chain.sub.name, 3), &certificates, &[]);
    // A million comparisons: done within the budget, or refused.
    if let Ok(verdicts) = verify(&cms, &Judging::new(&anchors, NOW_MS)) {
        assert_eq!(verdicts[0].sub_indication, None, "{verdicts:?}");
    }
}
