//! Requests that work.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use sigpersist_outbound::{Answer, Request};

use crate::server::{LIMITS, Seen, Server, post, remember, timed};

/// A server that remembers requests, and those that it got.
fn remembering(answer: &'static str) -> (Server, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let remembered = Arc::clone(&seen);
    let server = Server::start(move |mut client| {
        remember(&client, &remembered);
        drop(client.write_all(answer.as_bytes()));
    });
    (server, seen)
}

#[test]
fn a_request_arrives_as_it_was_made() {
    let (server, seen) = remembering("HTTP/1.1 204 No Content\r\n\r\n");
    let port = server.address.port();
    let url = format!("http://Hooks.Example:{port}?a=%20b");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    headers.insert("webhook-id", HeaderValue::from_static("id-1"));
    for reserved in [
        "host",
        "content-length",
        "connection",
        "transfer-encoding",
        "expect",
    ] {
        headers.insert(reserved, HeaderValue::from_static("100-continue"));
    }
    let request = Request {
        headers,
        ..post(&url, b"{\"a\":1}")
    };
    let (answer, _) = timed(&server.outbound(), request);
    assert_eq!(
        answer.unwrap(),
        Answer {
            status: 204,
            retry_after: None,
            max_age: None,
            body: vec![],
            is_cut: false
        }
    );
    let (head, body) = seen.lock().unwrap().remove(0);
    let mut lines: Vec<_> = head.trim_end().split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /?a=%20b HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: hooks.example:{port}");
    assert_eq!(
        lines,
        [
            "accept-encoding: identity",
            "accept: */*",
            "connection: close",
            "content-length: 7",
            "content-type: application/json",
            &host,
            "user-agent: sigpersist",
            "webhook-id: id-1",
        ]
    );
    assert_eq!(body, b"{\"a\":1}");
}

#[test]
fn proxies_of_the_environment_are_ignored() {
    let proxy = Server::answering("HTTP/1.1 502 Proxy\r\ncontent-length: 0\r\n\r\n");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "ordinary::a_request_arrives_as_it_was_made"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, proxy.url());
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn addresses_of_ipv6_are_reached() {
    // Some machines have no IPv6, not even on loopback.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let seen = Arc::new(Seen::default());
    let remembered = Arc::clone(&seen);
    let server = Server::at("[::1]:0", move |mut client| {
        remember(&client, &remembered);
        drop(client.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
    });
    let (answer, _) = timed(&server.outbound(), post(&server.url(), b"{}"));
    assert_eq!(answer.unwrap().status, 204);
    let host = format!("host: [::1]:{}\r\n", server.address.port());
    assert!(seen.lock().unwrap()[0].0.contains(&host));
}

#[test]
fn a_request_without_a_body_says_so() {
    let (server, seen) = remembering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let url = server.url();
    let get = Request {
        method: Method::GET,
        ..post(&url, b"")
    };
    assert_eq!(timed(&server.outbound(), get).0.unwrap().body, b"ok");
    timed(&server.outbound(), post(&url, b"")).0.unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen[0].0.starts_with("GET / HTTP/1.1") && !seen[0].0.contains("content-length"));
    assert!(seen[1].0.contains("content-length: 0"), "{}", seen[1].0);
}

#[test]
fn an_answer_may_have_as_many_bytes_as_the_limit() {
    for (bytes, is_cut) in [(0, false), (999, false), (1000, false), (1001, true)] {
        let body = "x".repeat(bytes);
        for head in [
            format!("content-length: {bytes}"),
            "connection: close".to_owned(),
        ] {
            let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
            let answer = timed(&server.outbound(), post(&server.url(), b"{}"))
                .0
                .unwrap();
            assert_eq!(answer.is_cut, is_cut, "{bytes}");
            assert_eq!(answer.body.len(), bytes.min(LIMITS.max_answer));
        }
    }
}

#[test]
fn retry_after_is_read() {
    for (header, expected) in [
        ("retry-after: 120", Some(120)),
        ("retry-after: 999999999", Some(86_400)),
        ("retry-after: Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
        ("retry-after: \u{fc}", None),
        ("x-other: 1", None),
    ] {
        let server = Server::answering(format!(
            "HTTP/1.1 503 Busy\r\n{header}\r\ncontent-length: 0\r\n\r\n"
        ));
        let answer = timed(&server.outbound(), post(&server.url(), b"{}"))
            .0
            .unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(
            answer.retry_after,
            expected.map(Duration::from_secs),
            "{header}"
        );
    }
}

#[test]
fn each_request_has_a_connection_of_its_own() {
    let (server, seen) = remembering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let outbound = server.outbound();
    for _ in 0..3 {
        timed(&outbound.clone(), post(&server.url(), b"{}"))
            .0
            .unwrap();
    }
    assert_eq!((server.connections(), seen.lock().unwrap().len()), (3, 3));
}

#[test]
fn nothing_shows_urls_or_bodies() {
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret");
    let url = format!("{}?token=secret", server.url());
    let outbound = server.outbound();
    let request = post(&url, b"secret");
    let shown = format!(
        "{request:?} {:?} {outbound:?}",
        outbound.check(&url).unwrap()
    );
    let answer = outbound.send(request, LIMITS).unwrap();
    assert_eq!(answer.body, b"secret");
    assert!(!format!("{shown} {answer:?}").contains("secret"));
}
