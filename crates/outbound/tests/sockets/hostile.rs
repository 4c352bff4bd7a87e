//! Peers that want to hold a request for ever, or to make it read or send what it should not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use sigpersist_outbound::{Failure, Limits, Request, Step};

use crate::server::{LIMITS, Server, WHOLE, assert_timeout, post, read_head, timed};

const PAUSE: Duration = Duration::from_millis(10);

#[test]
fn a_peer_that_never_answers_is_left() {
    let server = Server::start(|client| {
        read_head(&client);
        thread::sleep(WHOLE * 20);
    });
    let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert_timeout(&result, took, Step::Answer);
}

#[test]
fn a_peer_that_never_reads_is_left() {
    let server = Server::start(|client| {
        thread::sleep(WHOLE * 20);
        drop(client);
    });
    let body = vec![b'x'; 64 * 1024 * 1024];
    let (result, took) = timed(&server.outbound(), post(&server.url(), &body));
    assert_timeout(&result, took, Step::Answer);
}

#[test]
fn a_peer_that_reads_slowly_is_left() {
    let server = Server::start(|mut client| {
        let mut few = [0; 4096];
        while client.read(&mut few).is_ok_and(|read| read > 0) {
            thread::sleep(PAUSE);
        }
    });
    let body = vec![b'x'; 64 * 1024 * 1024];
    let (result, took) = timed(&server.outbound(), post(&server.url(), &body));
    assert_timeout(&result, took, Step::Answer);
}

#[test]
fn a_peer_that_drips_headers_is_left() {
    let server = Server::start(|mut client| {
        read_head(&client);
        let head = b"HTTP/1.1 200 OK\r\nx-slow: ".iter();
        for byte in head.chain(std::iter::repeat(&b'x')) {
            if client.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(PAUSE);
        }
    });
    let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert_timeout(&result, took, Step::Answer);
}

#[test]
fn a_peer_that_drips_a_body_is_left() {
    for head in [
        "content-length: 999",
        "connection: close",
        "transfer-encoding: chunked",
    ] {
        let server = Server::start(move |mut client| {
            read_head(&client);
            drop(client.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()));
            // One byte of a body, or of a chunk's length.
            while client.write_all(b"0").is_ok() {
                thread::sleep(PAUSE);
            }
        });
        let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
        assert_timeout(&result, took, Step::Answer);
    }
}

#[test]
fn interim_answers_without_end_are_left() {
    let server = Server::start(|mut client| {
        read_head(&client);
        while client
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .is_ok()
        {
            thread::sleep(PAUSE);
        }
    });
    let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert_timeout(&result, took, Step::Answer);
}

#[test]
fn interim_answers_are_limited_in_bytes() {
    let server = Server::start(|mut client| {
        read_head(&client);
        let many = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
        while client.write_all(&many).is_ok() {}
    });
    let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert_eq!(result, Err(Failure::TooLong));
    assert!(took < WHOLE, "{took:?}");
}

#[test]
fn chunks_are_limited_in_bytes() {
    let server = Server::start(|mut client| {
        read_head(&client);
        drop(client.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
        // The library takes no longer extension of a chunk.
        let many = b"1;xxxxxxxxxxxxxxxxxx\r\nx\r\n".repeat(100);
        while client.write_all(&many).is_ok() {}
    });
    let limits = Limits {
        max_answer: 8192,
        ..LIMITS
    };
    let result = server.outbound().send(post(&server.url(), b"{}"), limits);
    assert_eq!(result, Err(Failure::TooLong));
}

#[test]
fn a_late_answer_is_too_late() {
    let server = Server::start(|mut client| {
        read_head(&client);
        thread::sleep(WHOLE * 2);
        drop(client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"));
    });
    let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert_timeout(&result, took, Step::Answer);
}

#[test]
fn a_body_without_end_is_cut() {
    for head in ["connection: close", "content-length: 99999999999"] {
        let server = Server::start(move |mut client| {
            read_head(&client);
            drop(client.write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes()));
            while client.write_all(&[b'x'; 4096]).is_ok() {}
        });
        let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
        let answer = result.unwrap();
        assert_eq!((answer.status, answer.is_cut), (200, true));
        assert_eq!(answer.body, vec![b'x'; LIMITS.max_answer]);
        assert!(took < WHOLE, "{took:?}");
    }
}

#[test]
fn chunks_without_end_are_cut() {
    let server = Server::start(|mut client| {
        read_head(&client);
        drop(client.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
        while client.write_all(b"1\r\nx\r\n").is_ok() {}
    });
    let (result, _) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert!(result.unwrap().is_cut);
}

#[test]
fn headers_without_end_are_too_long() {
    let many: &[u8] = b"x-a: b\r\n";
    let long: &[u8] = &[b'x'; 4096];
    for part in [many, long] {
        let part = part.to_vec();
        let server = Server::start(move |mut client| {
            read_head(&client);
            drop(client.write_all(b"HTTP/1.1 200 OK\r\nx-long: "));
            while client.write_all(&part).is_ok() {}
        });
        let (result, took) = timed(&server.outbound(), post(&server.url(), b"{}"));
        assert_eq!(result, Err(Failure::TooLong));
        assert!(took < WHOLE, "{took:?}");
    }
}

#[test]
fn redirects_are_answers() {
    let secret = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    for location in [
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        secret.url(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let server = Server::answering(format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
            ));
            let (result, _) = timed(&server.outbound(), post(&server.url(), b"{}"));
            assert_eq!(result.unwrap().status, status);
            assert_eq!(server.connections(), 1);
        }
    }
    assert_eq!(secret.connections(), 0);
}

#[test]
fn other_protocols_and_early_ends_are_broken() {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "* OK IMAP secret-banner\r\n",
    ] {
        let server = Server::answering(answer);
        let (result, _) = timed(&server.outbound(), post(&server.url(), b"{}"));
        let failure = result.unwrap_err();
        assert_eq!(failure, Failure::Broken, "{answer}");
        assert!(!format!("{failure:?} {failure}").contains("secret"));
    }
}

#[test]
fn a_port_that_nobody_listens_at_is_a_failed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let server = Server::answering("");
    let mut rules = server.rules();
    rules.allow = vec!["127.0.0.1".parse().unwrap()];
    let outbound = sigpersist_outbound::Outbound::new(rules, crate::server::roots()).unwrap();
    drop(listener);
    let (result, _) = timed(&outbound, post(&url, b"{}"));
    assert_eq!(result, Err(Failure::Connect));
}

/// Parts of answers, so that random ones get past the first line.
const PARTS: [&str; 22] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.0 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 302 Found\r\n",
    "HTTP/1.1 999 X\r\n",
    "location: https://[::1\r\n",
    "location: \u{fc}\r\n",
    "content-length: 5\r\n",
    "content-length: 18446744073709551615\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "content-encoding: gzip\r\n",
    "retry-after: Sun, 06 Nov 9999 08:49:37 GMT\r\n",
    "content-type: text/plain; charset=x\r\n",
    "\r\n",
    "ffffffffffffffff\r\n",
    "1\r\nx\r\n",
    "0\r\n",
    "x",
    "\u{0}",
];

proptest! {
    #[test]
    fn no_answer_makes_the_client_panic(
        start in 0..7_usize,
        parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..12),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        method in prop::sample::select(&[Method::POST, Method::GET, Method::HEAD, Method::DELETE][..]),
    ) {
        let mut answer = [&[PARTS[start]], parts.as_slice()].concat().concat().into_bytes();
        answer.extend(rest);
        let server = Server::answering(answer);
        let url = server.url();
        let request = Request { method, ..post(&url, b"") };
        let result = server.outbound().send(request, LIMITS);
        let is_usual = match &result {
            Ok(answer) => (100..1000).contains(&answer.status),
            Err(failure) => matches!(failure, Failure::Broken | Failure::TooLong),
        };
        prop_assert!(is_usual, "{result:?}");
    }
}
