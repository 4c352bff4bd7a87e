//! Invalid bodies of every kind: each gets its answer, and the server keeps working.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::support::{Client, Stopwatch, TestApp};

fn post(client: &Client, kind: Option<&str>, body: &[u8]) -> crate::support::Response {
    let headers: Vec<_> = kind.iter().map(|kind| ("content-type", *kind)).collect();
    client.send("POST", "/signature", &headers, Some(body.to_vec()))
}

#[test]
fn what_is_no_json_object_is_malformed() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let deep = "[".repeat(100_000);
    let deep_member = format!(r#"{{"document": {}}}"#, "[".repeat(1000));
    for body in [
        &b"{"[..],
        b"{]",
        b"[]",
        b"null",
        b"\"text\"",
        b"7",
        b"{} {}",
        b"{\"document\": \"\xff\"}",
        b"\xff\xfe{\0}\0",
        b"{\"document\": \"a\nb\"}",
        b"{'document': 'd'}",
        b"{\"document\": \"\\ud800\"}",
        deep.as_bytes(),
        deep_member.as_bytes(),
    ] {
        let refused =
            post(&acme, Some("application/json"), body).expect_error(400, "malformed_json");
        assert!(refused.text.len() < 1000);
    }
    // A complete but empty body has no parameters.
    post(&acme, Some("application/json"), b"").expect_error(400, "invalid_parameter");
    post(&acme, Some("application/json"), b"{}").expect_error(400, "invalid_parameter");
}

#[test]
fn the_kind_of_body_is_json() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let body = json!({"document": "d", "thread": "t", "cms": "x"}).to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "json",
        "multipart/mixed; boundary=x",
    ] {
        post(&acme, Some(kind), body.as_bytes()).expect_error(415, "unsupported_media_type");
    }
    post(
        &acme,
        Some("Application/JSON; charset=utf-8"),
        body.as_bytes(),
    )
    .expect(201);
    post(&acme, None, body.as_bytes()).expect(200);
}

#[test]
fn a_body_over_the_limit_is_refused_with_the_limit() {
    let app = TestApp::start_with(|config| config.http.max_signature_bytes = 1000);
    let acme = app.tenant("acme");
    let limit = app.app.config.http.max_body_bytes();
    let padded = |size: usize| {
        let mut body = json!({"document": "d", "thread": "t", "cms": "x"}).to_string();
        body.push_str(&" ".repeat(size - body.len()));
        body
    };
    post(&acme, None, padded(limit).as_bytes()).expect(201);
    let refused =
        post(&acme, None, padded(limit + 1).as_bytes()).expect_error(413, "payload_too_large");
    assert_eq!(refused.json["details"]["limit_bytes"], limit);

    // Without a declared length, the limit applies while reading.
    let mut stream = raw(&app, &acme, "POST", "transfer-encoding: chunked\r\n");
    let chunk = format!("{:x}\r\n{}\r\n", 1000, " ".repeat(1000));
    for _ in 0..limit / 1000 + 2 {
        stream.write_all(chunk.as_bytes()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_starts_with(&mut stream, "HTTP/1.1 413");
    acme.read("d", "t").expect(200);
}

#[test]
fn a_body_that_does_not_arrive_is_given_up() {
    let app = TestApp::start_with(|config| config.http.body_timeout_ms = 200);
    let acme = app.tenant("acme");
    let since = Stopwatch::start();
    let mut stream = raw(&app, &acme, "POST", "content-length: 100\r\n");
    stream.write_all(b"{").unwrap();
    let answer = assert_starts_with(&mut stream, "HTTP/1.1 408");
    assert!(answer.contains("body_timeout"), "{answer}");
    assert!(since.elapsed() < Duration::from_secs(5));
    // A client that disconnects in the middle of its body disturbs nobody.
    let mut stream = raw(&app, &acme, "POST", "content-length: 100\r\n");
    stream.write_all(b"{").unwrap();
    drop(stream);
    acme.read("d", "t").expect_error(404, "signature_not_found");
}

fn raw(app: &TestApp, client: &Client, method: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let token = client.token.as_ref().unwrap();
    write!(
        stream,
        "{method} /signature HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{headers}connection: close\r\n\r\n"
    )
    .unwrap();
    stream
}

#[track_caller]
fn assert_starts_with(stream: &mut TcpStream, start: &str) -> String {
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with(start), "{answer}");
    answer
}
