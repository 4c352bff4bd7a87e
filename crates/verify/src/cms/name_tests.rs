//! Names below authorities that constrain them (RFC 5280 section 4.2.1.10), with each rule obeyed and broken.

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
    // A wildcard may stand for an excluded name.
    let hosts = [constraints(&[], &[tlv(DNS, b"a.example.org")])];
    chain.assert(&hosts, &names(tlv(DNS, b"*.example.org")), GENERAL);
    // `minimum` and `maximum`.
    for depth in [tlv(0x80, &[1]), tlv(0x81, &[1])] {
        let base = [tlv(DNS, b"example.org"), depth].concat();
        chain.assert(&[constraints(&[], &[base])], &[], GENERAL);
    }
}

fn alternative(names: &[Vec<u8>]) -> Vec<u8> {
    critical(ALTERNATIVE_NAMES, &sequence(names))
}

#[test]
fn another_spelling_of_a_name_evades_nothing() {
    let chain = Chain::new();
    let text = |tag, text: &str| tlv(tag, text.as_bytes());
    for (excluded, own) in [
        (text(URI, "example.org"), text(URI, "https://example.org./")),
        (
            text(URI, "example.org"),
            text(URI, "https://ex%61mple.org/"),
        ),
        (
            text(URI, ".example.org"),
            text(URI, "https://a.example.org.:8/"),
        ),
        (text(RFC822, "example.org"), text(RFC822, "a@example.org.")),
        (text(DNS, "example.org"), text(DNS, "a.example.org.")),
        (text(DNS, ".example.org"), text(DNS, "example.org")),
        (text(DNS, "foo.example.org"), text(DNS, "f*.example.org")),
        // Not an address.
        (
            tlv(ADDRESS, &[10, 0, 0, 0, 255, 0, 0, 0]),
            tlv(ADDRESS, &[10, 1, 2, 3, 4]),
        ),
    ] {
        let of_sub = constraints(&[], &[excluded]);
        chain.assert(&[of_sub], &[alternative(&[own])], GENERAL);
    }
}

#[test]
fn a_period_in_front_of_a_host_permits_only_what_is_below() {
    let chain = Chain::new();
    let permitted = [constraints(&[tlv(DNS, b".example.org")], &[])];
    for (own, why) in [
        ("a.example.org", None),
        ("*.example.org", None),
        ("example.org", GENERAL),
        ("aexample.org", GENERAL),
    ] {
        let own = [alternative(&[tlv(DNS, own.as_bytes())])];
        chain.assert(&permitted, &own, why);
    }
}

#[test]
fn restrictions_without_subtrees_cannot_be_read() {
    let chain = Chain::new();
    for sides in [&[][..], &[tlv(0xa0, &[])], &[tlv(0xa1, &[])]] {
        let empty = critical(NAME_CONSTRAINTS, &sequence(sides));
        chain.assert(&[empty], &[], GENERAL);
    }
}

#[test]
fn what_is_no_name_is_within_no_permitted_one() {
    let chain = Chain::new();
    for (base, own) in [
        (tlv(DNS, b"example.org"), tlv(DNS, b".example.org")),
        (tlv(DNS, b"example.org"), tlv(DNS, b"a..example.org")),
        (tlv(RFC822, b"example.org"), tlv(RFC822, b"a@b@example.org")),
        (tlv(RFC822, b"example.org"), tlv(RFC822, b"@example.org")),
    ] {
        let of_sub = constraints(&[base], &[]);
        chain.assert(&[of_sub], &[alternative(&[own])], GENERAL);
    }
    let quoted = alternative(&[tlv(RFC822, b"\"a@b\"@example.org")]);
    let of_sub = constraints(&[tlv(RFC822, b"example.org")], &[]);
    chain.assert(&[of_sub], &[quoted], None);
}

/// A name with one part, a mail address as a string with this tag.
fn address(tag: u8, text: &[u8]) -> Vec<u8> {
    let kind = oid(&[1, 2, 840, 113_549, 1, 9, 1]);
    sequence(&[tlv(0x31, &sequence(&[kind, tlv(tag, text)]))])
}

#[test]
fn an_address_in_the_subject_counts_unless_another_stands_for_it() {
    const IA5: u8 = 0x16;
    const BMP: u8 = 0x1e;
    let wide: Vec<u8> = "a@else.org"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let host = [alternative(&[tlv(DNS, b"example.org")])];
    let mailbox = [alternative(&[tlv(RFC822, b"a@example.org")])];
    for (tag, own, names, why) in [
        (IA5, &b"a@example.org"[..], &[][..], None),
        (UTF8, b"a@example.org", &[], None),
        (IA5, b"a@else.org", &[], GENERAL),
        (BMP, &wide, &[], GENERAL),
        // A name of another form does not replace the address.
        (IA5, b"a@else.org", &host, GENERAL),
        (IA5, b"a@else.org", &mailbox, None),
    ] {
        let person = Party::new(address(tag, own));
        let chain = Chain {
            person,
            ..Chain::new()
        };
        let of_sub = constraints(&[tlv(RFC822, b"example.org")], &[]);
        chain.assert(&[of_sub], names, why);
    }
    let person = Party::new(address(BMP, &wide));
    let chain = Chain {
        person,
        ..Chain::new()
    };
    chain.assert(
        &[constraints(&[], &[tlv(RFC822, b"else.org")])],
        &[],
        GENERAL,
    );
    chain.assert(&[constraints(&[], &[tlv(DNS, b"else.org")])], &[], None);
}

#[test]
fn mailboxes_beyond_ascii_are_restricted_as_others_are() {
    let chain = Chain::new();
    let mailbox = |text: &str| {
        let kind = oid(&[1, 3, 6, 1, 5, 5, 7, 8, 9]);
        let value = tlv(0xa0, &tlv(UTF8, text.as_bytes()));
        [alternative(&[tlv(OTHER, &[kind, value].concat())])]
    };
    let permitted = [constraints(&[tlv(RFC822, b"example.org")], &[])];
    let excluded = [constraints(&[], &[tlv(RFC822, b"example.org")])];
    for (own, is_in) in [
        ("ақ@example.org", Some(true)),
        ("ақ@else.org", Some(false)),
        // A host that is not a DNS name can't be compared.
        ("ақ@ақ.org", None),
    ] {
        let unless = |right: bool| if right { None } else { GENERAL };
        chain.assert(&permitted, &mailbox(own), unless(is_in == Some(true)));
        chain.assert(&excluded, &mailbox(own), unless(is_in == Some(false)));
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
