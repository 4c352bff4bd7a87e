//! Valid and invalid heads of HTTP requests: each gets its answer, and the server keeps working.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Stopwatch, TestApp};

/// Sends bytes, and reads until the server closes the connection or sends nothing more.
fn raw(app: &TestApp, request: &str) -> String {
    let mut stream = connect(app);
    // The server may close before it has read everything.
    drop(stream.write_all(request.as_bytes()));
    read(&mut stream)
}

fn connect(app: &TestApp) -> TcpStream {
    let stream = TcpStream::connect(app.base.trim_start_matches("http://")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asserts that the answer is one failure in the envelope, with the headers of all answers.
#[track_caller]
fn assert_fails(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let head = head.to_lowercase();
    for carried in ["x-content-type-options: nosniff", "x-request-id: "] {
        assert!(head.contains(carried), "{answer}");
    }
    let body: Value = serde_json::from_str(body).expect(answer);
    assert_eq!(body["code"], code, "{answer}");
    assert_eq!(body["status"], false);
}

#[track_caller]
fn assert_lives(app: &TestApp) {
    app.anonymous().get("/health/live").expect(200);
}

const END: &str = "Connection: close\r\n\r\n";

#[test]
fn heads_that_are_none_are_refused_in_the_envelope() {
    let app = TestApp::start();
    for (head, status, code) in [
        ("GET /health/live HTTP/1.1\r\n", 400, "malformed_request"),
        (
            "GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
            400,
            "malformed_request",
        ),
        (
            "GET /health/live HTTP/1.1\r\nHost: a/b\r\n",
            400,
            "malformed_request",
        ),
        (
            "GET /health/live HTTP/1.1\r\nHost: \r\n",
            400,
            "malformed_request",
        ),
        (
            "GET foo.txt HTTP/1.1\r\nHost: x\r\n",
            400,
            "malformed_request",
        ),
        (
            "GET x:443 HTTP/1.1\r\nHost: x\r\n",
            400,
            "malformed_request",
        ),
        (
            "GET http://other/health/live HTTP/1.1\r\nHost: x\r\n",
            400,
            "malformed_request",
        ),
        (
            "GET http://other HTTP/1.1\r\nHost: x\r\n",
            400,
            "malformed_request",
        ),
        ("GET * HTTP/1.1\r\nHost: x\r\n", 400, "malformed_request"),
        (
            "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n",
            405,
            "method_not_allowed",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n",
            405,
            "method_not_allowed",
        ),
        (
            "POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n",
            415,
            "unsupported_content_encoding",
        ),
        (
            "POST /inspect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n",
            501,
            "unsupported_transfer_encoding",
        ),
        (
            "POST /inspect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            501,
            "unsupported_transfer_encoding",
        ),
    ] {
        let answer = raw(&app, &format!("{head}{END}{{}}"));
        assert_fails(&answer, status, code);
        assert_lives(&app);
    }
}

#[test]
fn heads_of_old_and_absolute_ones_are_understood() {
    let app = TestApp::start();
    for (head, status) in [
        ("GET /health/live HTTP/1.0\r\n", 200),
        ("GET /health/live HTTP/1.0\r\nHost: x\r\n", 200),
        (
            "GET http://sign.example:8080/health/live HTTP/1.1\r\nHost: sign.example:8080\r\n",
            200,
        ),
        ("GET http://x/nothing HTTP/1.1\r\nHost: X\r\n", 404),
        ("GET http://x HTTP/1.1\r\nHost: x\r\n", 404),
        ("GET /health/live HTTP/1.1\r\nHost: [::1]:8080\r\n", 200),
        // Leading empty lines, and lines that end in LF alone (RFC 9112 section 2.2).
        ("\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n", 200),
        ("GET /health/live HTTP/1.1\nHost: x\n", 200),
        ("FOO /health/live HTTP/1.1\r\nHost: x\r\n", 405),
        // Routes without a token take no body, so the server does not wait for one.
        (
            "GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n",
            200,
        ),
    ] {
        let answer = raw(&app, &format!("{head}{END}"));
        let start = format!("HTTP/1.1 {status} ");
        let old = format!("HTTP/1.0 {status} ");
        assert!(
            answer.starts_with(&start) || answer.starts_with(&old),
            "{head}: {answer}"
        );
    }
}

/// The HTTP parser answers these itself, by a status without the envelope or by closing the connection.
#[test]
fn what_the_parser_refuses_harms_nobody() {
    let app = TestApp::start();
    let next = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    let many: String = (0..200)
        .map(|number| format!("X-{number}: a\r\n"))
        .collect();
    for (request, status) in [
        ("GET /health/live\r\n\r\n".to_owned(), Some(400)),
        (
            "GET /health/live HTTP/3.0\r\nHost: x\r\n\r\n".to_owned(),
            Some(400),
        ),
        ("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), Some(400)),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n".to_owned(),
            Some(400),
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n".to_owned(),
            Some(400),
        ),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned(), Some(400)),
        (
            format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
            Some(431),
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(65_535)),
            Some(414),
        ),
        (
            format!(
                "POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n{next}"
            ),
            Some(400),
        ),
        (
            format!("POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n{next}"),
            Some(400),
        ),
        (
            format!(
                "POST /inspect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{next}"
            ),
            Some(400),
        ),
        (
            format!(
                "POST /inspect HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}"
            ),
            Some(400),
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), None),
    ] {
        let answer = raw(&app, &request);
        assert!(
            answer.matches("HTTP/1.").count() <= 1,
            "{request}: {answer}"
        );
        if let Some(status) = status {
            let start = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&start), "{request}: {answer}");
        }
        assert_lives(&app);
    }
    // If both headers are given, the chunks count, and the rest is not taken for a request (RFC 9112 section 6.1).
    let both = format!(
        "POST /inspect HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{next}",
        next.len() + 5
    );
    assert_eq!(raw(&app, &both).matches("HTTP/1.1 ").count(), 1);
}

#[test]
fn requests_that_are_sent_at_once_are_answered_in_their_order() {
    let app = TestApp::start();
    let requests = format!(
        "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\nGET /health/live HTTP/1.1\r\nHost: x\r\n{END}"
    );
    let answers = raw(&app, &requests);
    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[test]
fn no_answer_is_taken_for_another_kind() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let saved = acme.save("d", "t", 0, "x").expect(201);
    let etag = saved.header("etag").unwrap();
    let unchanged = acme.get_with("/signature?document=d&thread=t", &[("if-none-match", etag)]);
    assert_eq!(unchanged.status, 304);
    for answer in [
        &saved,
        &unchanged,
        &acme.get("/nothing"),
        &acme.get("/docs"),
        &acme.send("HEAD", "/health/live", &[], None),
        &app.anonymous().get("/signatures"),
    ] {
        let header = answer.header("x-content-type-options");
        assert_eq!(header, Some("nosniff"), "{answer:?}");
    }
}

#[test]
fn a_body_that_is_refused_by_its_head_is_not_asked_for() {
    let app = TestApp::start_with(|config| config.http.max_signature_bytes = 1000);
    let acme = app.tenant("acme");
    let reader = app.client("acme", &[sigpersist_model::context::Scope::SignaturesRead]);
    let bearer = |client: &Client| {
        let token = client.token.as_ref().unwrap();
        format!("Authorization: Bearer {token}\r\n")
    };
    let (own, reading) = (bearer(&acme), bearer(&reader));
    let (json, long) = (
        "Content-Type: application/json\r\nContent-Length: 100\r\n",
        "Content-Length: 10000000\r\n",
    );
    for (what, status, code) in [
        (
            format!("POST /nothing HTTP/1.1\r\nHost: x\r\n{own}{json}"),
            404,
            "route_not_found",
        ),
        (
            format!("PUT /signature HTTP/1.1\r\nHost: x\r\n{own}{json}"),
            405,
            "method_not_allowed",
        ),
        (
            format!("POST /signature HTTP/1.1\r\n{own}{json}"),
            400,
            "malformed_request",
        ),
        (
            format!("POST /signature HTTP/1.1\r\nHost: x\r\n{json}"),
            401,
            "missing_token",
        ),
        (
            format!("POST /signature HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n{json}"),
            401,
            "invalid_token",
        ),
        (
            format!("POST /signature HTTP/1.1\r\nHost: x\r\n{reading}{json}"),
            403,
            "insufficient_scope",
        ),
        (
            format!("POST /signature HTTP/1.1\r\nHost: x\r\n{own}{long}"),
            413,
            "payload_too_large",
        ),
        (
            format!(
                "POST /signature HTTP/1.1\r\nHost: x\r\n{own}Content-Type: text/plain\r\nContent-Length: 100\r\n"
            ),
            415,
            "unsupported_media_type",
        ),
        (
            format!(
                "POST /signature HTTP/1.1\r\nHost: x\r\n{own}Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
            ),
            415,
            "unsupported_media_type",
        ),
        (
            format!("POST /signature HTTP/1.1\r\nHost: x\r\n{own}{json}Content-Encoding: br\r\n"),
            415,
            "unsupported_content_encoding",
        ),
    ] {
        // The connection is closed at once, so that a body sent anyway is not read as a request.
        assert_fails(
            &raw(&app, &format!("{what}Expect: 100-continue\r\n\r\n")),
            status,
            code,
        );
    }
    // The server asks for the body of a request that it does not refuse.
    let body = json!({"document": "d", "thread": "t", "cms": "x"}).to_string();
    let mut stream = connect(&app);
    write!(
        stream,
        "POST /signature HTTP/1.1\r\nHost: x\r\n{own}Expect: 100-continue\r\nContent-Length: {}\r\n{END}",
        body.len()
    )
    .unwrap();
    let mut goes_on = [0; 25];
    stream.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let answer = read(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

#[test]
fn strangers_who_are_refused_and_go_on_sending_keep_nobody_out() {
    let app = TestApp::start_with(|config| {
        config.http.max_connections = 4;
        config.http.max_connections_per_peer = 4;
    });
    let sending: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect(&app);
            stream
                .write_all(b"POST /signature HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
                .unwrap();
            stream
        })
        .collect();
    let since = Stopwatch::start();
    assert_lives(&app);
    // The server goes on reading from each of them for two seconds, after which the client sees its answer.
    assert!(since.elapsed() < Duration::from_secs(10));
    drop(sending);
}
