//! Names whose addresses are not permitted, or change between two questions.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sigpersist_outbound::{Failure, Outbound, Refused, Rules, Step};

use crate::server::{
    LONG_AFTER_CONNECTING, Server, WHOLE, assert_timeout, post, roots, timed, timed_within,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// An address of nobody that we would call: it is public, but the tests refuse before connecting to it.
const PUBLIC: &str = "1.1.1.1";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A client whose DNS gives one answer after the other, and the number of questions.
fn with_answers(rules: Rules, answers: &[&[&str]]) -> (Outbound, Arc<AtomicUsize>) {
    let answers: Vec<Vec<_>> = answers
        .iter()
        .map(|answer| answer.iter().copied().map(address).collect())
        .collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let outbound = Outbound::with_resolver(rules, roots(), move |_| {
        let turn = counted.fetch_add(1, Ordering::SeqCst);
        Ok(answers[turn.min(answers.len() - 1)].clone())
    });
    (outbound.unwrap(), asked)
}

#[test]
fn dns_is_asked_once_for_the_check_and_the_connection() {
    let vetted = Server::answering(OK);
    let port = vetted.address.port();
    // The same port at an address that no rule allows, to which DNS turns at the second question.
    let other = Server::at(&format!("127.0.0.2:{port}"), |_| {});
    let (outbound, asked) = with_answers(vetted.rules(), &[&["127.0.0.1"], &["127.0.0.2"]]);
    let url = format!("http://flips.example:{port}/");
    assert_eq!(timed(&outbound, post(&url, b"{}")).0.unwrap().status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!((vetted.connections(), other.connections()), (1, 0));
    let (refused, _) = timed(&outbound, post(&url, b"{}"));
    assert_eq!(refused, Err(Refused::Address.into()));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!((vetted.connections(), other.connections()), (1, 0));
}

#[test]
fn a_name_that_was_public_when_it_was_entered_is_judged_again() {
    let (outbound, asked) = with_answers(Rules::default(), &[&[PUBLIC], &["127.0.0.1"]]);
    let target = outbound.check_now("https://flips.example/").unwrap();
    let (refused, _) = timed(&outbound, post(&target.url(), b"{}"));
    assert_eq!(refused, Err(Refused::Address.into()));
    assert_eq!(refused.unwrap_err().class(), "refused_address");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn one_private_address_among_public_ones_refuses_the_name() {
    let server = Server::answering(OK);
    for answer in [
        [PUBLIC, "10.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [PUBLIC, "::1"],
        [PUBLIC, "::ffff:127.0.0.1"],
        [PUBLIC, "169.254.169.254"],
        [PUBLIC, "64:ff9b::a00:1"],
    ] {
        let (outbound, _) = with_answers(server.rules(), &[&answer]);
        assert_eq!(
            outbound.check_now("https://both.example/"),
            Err(Refused::Address)
        );
        let (refused, _) = timed(&outbound, post("https://both.example/", b"{}"));
        assert_eq!(refused, Err(Refused::Address.into()), "{answer:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn addresses_of_ipv4_in_ipv6_are_not_those_of_ipv4() {
    let server = Server::answering(OK);
    let port = server.address.port();
    let (outbound, _) = with_answers(server.rules(), &[&["::ffff:127.0.0.1"]]);
    for url in [
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
        format!("http://[::127.0.0.1]:{port}/"),
        format!("http://mapped.example:{port}/"),
    ] {
        let (refused, _) = timed(&outbound, post(&url, b"{}"));
        assert_eq!(refused, Err(Refused::Address.into()), "{url}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn metadata_is_not_reached_even_if_everything_is_allowed() {
    let allow = ["0.0.0.0/0", "[::]/0"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let (outbound, _) = with_answers(Rules { allow }, &[&["169.254.169.254"]]);
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://[fe80::1]/",
        "http://metadata.example/",
    ] {
        let (refused, _) = timed(&outbound, post(url, b"{}"));
        assert_eq!(refused, Err(Refused::Address.into()), "{url}");
    }
}

#[test]
fn the_next_address_is_tried_if_one_refuses() {
    let server = Server::answering(OK);
    let port = server.address.port();
    let allow = vec![format!("127.0.0.0/8:{port}").parse().unwrap()];
    let (outbound, _) = with_answers(Rules { allow }, &[&["127.0.0.9", "127.0.0.1"]]);
    let url = format!("http://two.example:{port}/");
    assert_eq!(timed(&outbound, post(&url, b"{}")).0.unwrap().status, 200);
}

#[test]
fn names_without_an_address_are_not_found() {
    let (nothing, _) = with_answers(Rules::default(), &[&[]]);
    let error = |_: &str| Err(io::ErrorKind::NotFound.into());
    let error = Outbound::with_resolver(Rules::default(), roots(), error).unwrap();
    for outbound in [nothing, error] {
        assert_eq!(
            outbound.check_now("https://none.example/"),
            Err(Refused::NotFound)
        );
        let (failed, _) = timed(&outbound, post("https://none.example/", b"{}"));
        assert_eq!(failed, Err(Failure::Dns));
    }
}

#[test]
fn dns_that_never_answers_is_left() {
    let slow = |_: &str| {
        thread::sleep(WHOLE * 20);
        Ok(vec![])
    };
    let outbound = Outbound::with_resolver(Rules::default(), roots(), slow).unwrap();
    let (result, took) = timed_within(
        &outbound,
        post("https://slow.example/", b"{}"),
        LONG_AFTER_CONNECTING,
    );
    assert_timeout(&result, took, Step::Lookup);
}
