//! Drafts as a stream of lines: each is answered with a line, however many there are and however slowly they come.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, REJECT, TestApp, eventually, guest::Guest};

const LINES: (&str, &str) = ("content-type", "application/x-ndjson");

fn draft(document: &str, version: u32, cms: &str) -> Value {
    json!({"document": document, "thread": "t", "version": version, "cms": cms})
}

pub(crate) fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn outcomes(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The number, status and error code of each line.
pub(crate) fn told(outcomes: &[Value]) -> Vec<(u64, u64, &str)> {
    let told = outcomes.iter().map(|one| {
        let code = one["error"]["code"].as_str().unwrap_or_default();
        (
            one["line"].as_u64().unwrap(),
            one["status"].as_u64().unwrap(),
            code,
        )
    });
    told.collect()
}

/// Sends lines at once, and reads all answers.
#[track_caller]
fn streamed(client: &Client, body: &str) -> Vec<Value> {
    streamed_to(client, "/signatures", body)
}

/// As [`streamed`], to any route.
#[track_caller]
pub(crate) fn streamed_to(client: &Client, path: &str, body: &str) -> Vec<Value> {
    let answer = client.send("POST", path, &[LINES], Some(body.as_bytes().to_vec()));
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("content-type"), Some(LINES.1));
    outcomes(&answer.text)
}

/// A stream that is open: lines are sent and read one by one.
pub(crate) struct Open {
    pub(crate) socket: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Open {
    fn new(client: &Client) -> Self {
        Self::of(client, "/signatures")
    }

    /// A stream to any route.
    pub(crate) fn of(client: &Client, path: &str) -> Self {
        let mut socket = TcpStream::connect(client.base.strip_prefix("http://").unwrap()).unwrap();
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).unwrap();
        write!(
            socket,
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
            client.token.as_deref().unwrap(),
            LINES.1
        )
        .unwrap();
        let answers = BufReader::new(socket.try_clone().unwrap());
        Self { socket, answers }
    }

    pub(crate) fn send(&mut self, text: &str) {
        write!(self.socket, "{:x}\r\n{text}\r\n", text.len()).unwrap();
    }

    /// The next line of the answer that is JSON; none at its end. The head and the sizes of chunks are skipped.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let line = self.line().unwrap()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// The next whole line of an answer that may be cut anywhere.
    pub(crate) fn next_of_broken(&mut self) -> Option<Value> {
        let line = self.line().ok()??;
        serde_json::from_str(&line).ok()
    }

    fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut line = String::new();
        while self.answers.read_line(&mut line)? > 0 {
            if line.starts_with('{') {
                return Ok(Some(line));
            }
            line.clear();
        }
        Ok(None)
    }
}

#[test]
fn each_line_has_an_outcome_of_its_own() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("there", "t", 0, "first").expect(201);
    let lines = [
        draft("new", 0, "a").to_string(),
        draft("there", 0, "first").to_string(),
        draft("there", 0, "other").to_string(),
        "{\"document\": ".to_owned(),
        String::new(),
        draft("new", 1, "b").to_string(),
        // It names its thread, so later ones of the thread are not tried.
        json!({"document": "new", "thread": "t", "cms": "x", "nonsense": 1}).to_string(),
        json!({"document": "odd", "thread": "t", "version": -1, "cms": "x"}).to_string(),
        draft("odd", 0, "a").to_string(),
        draft("there", 1, "b").to_string(),
        "[]".to_owned(),
        draft("last", 0, "a").to_string(),
    ];
    let saved = streamed(&acme, &lines.join("\n"));
    assert_eq!(
        told(&saved),
        [
            (1, 201, ""),
            (2, 200, ""),
            (3, 409, "version_conflict"),
            (4, 400, "malformed_json"),
            (6, 201, ""),
            (7, 400, "invalid_parameter"),
            (8, 400, "invalid_parameter"),
            (9, 424, "earlier_failed"),
            (10, 424, "earlier_failed"),
            (11, 400, "malformed_json"),
            (12, 201, ""),
        ]
    );
    assert_eq!(saved[0]["signature"]["document"], "new");
    assert_eq!(saved[0]["signature"].get("signature"), None);
    assert_eq!(saved[7]["error"]["code"], "earlier_failed");
    acme.read("odd", "t")
        .expect_error(404, "signature_not_found");
    assert_eq!(acme.read("new", "t").signature()["version"], 2);
    // One line is a stream, too.
    let one = streamed(&acme, &draft("single", 0, "a").to_string());
    assert_eq!(told(&one), [(1, 201, "")]);
}

#[test]
fn what_failed_is_remembered_for_the_whole_stream() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("there", "t", 0, "first").expect(201);
    let mut lines = vec![draft("there", 0, "other")];
    // Far more than one batch.
    lines.extend((0..250).map(|number| draft(&format!("d{number}"), 0, "a")));
    lines.push(draft("there", 1, "b"));
    let saved = streamed(&acme, &text(&lines));
    assert_eq!(saved.len(), 252);
    assert!(saved[1..251].iter().all(|one| one["status"] == 201));
    assert_eq!(saved[251]["error"]["code"], "earlier_failed");
    assert_eq!(acme.read("there", "t").signature()["version"], 1);
}

#[test]
fn five_thousand_are_saved_in_their_order() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let lines: Vec<_> = (0..5_000_u32)
        .map(|number| {
            draft(
                &format!("d{}", number % 1_000),
                number / 1_000,
                &format!("{number}"),
            )
        })
        .collect();
    let mut open = Open::new(&acme);
    let mut socket = open.socket.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for lines in lines.chunks(37) {
            let text = text(lines);
            write!(socket, "{:x}\r\n{text}\r\n", text.len()).unwrap();
        }
        write!(socket, "0\r\n\r\n").unwrap();
    });
    for number in 1..=5_000 {
        let outcome = open.next().unwrap();
        assert_eq!(told(std::slice::from_ref(&outcome)), [(number, 201, "")]);
    }
    assert_eq!(open.next(), None);
    sender.join().unwrap();
    let listed = acme.get("/signatures?count=true&limit=1").expect(200);
    assert_eq!(listed.json["content"]["nb_results"], 1_000);
    assert_eq!(acme.read("d7", "t").signature()["version"], 5);
}

#[test]
fn a_slow_client_reads_as_it_sends_and_holds_nobody_up() {
    let app = TestApp::start_with(|config| {
        // One request of a tenant at once.
        config.http.max_concurrent_requests = 2;
    });
    let acme = app.tenant("acme");
    let mut slow: Vec<_> = (0..4).map(|_| Open::new(&acme)).collect();
    for (place, open) in slow.iter_mut().enumerate() {
        open.send(&text(&[draft(&format!("slow-{place}"), 0, "a")]));
        assert_eq!(open.next().unwrap()["status"], 201);
        open.send("{\"document\": \"half");
    }
    let since = Instant::now();
    acme.read("slow-0", "t").expect(200);
    acme.save("other", "t", 0, "x").expect(201);
    assert!(since.elapsed() < Duration::from_secs(2));
    for open in &mut slow {
        open.send("\"}\n");
        assert_eq!(open.next().unwrap()["status"], 400);
        open.send("0\r\n\r\n");
    }
}

#[test]
fn what_was_answered_before_a_cut_is_saved_and_the_rest_is_not() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let mut open = Open::new(&acme);
    let whole: Vec<_> = (0..3)
        .map(|number| draft(&format!("d{number}"), 0, "a"))
        .collect();
    open.send(&text(&whole));
    for _ in 0..3 {
        assert_eq!(open.next().unwrap()["status"], 201);
    }
    // Whole, but the end of its line never comes.
    open.send(&draft("cut", 0, "a").to_string());
    drop(open);
    for number in 0..3 {
        acme.read(&format!("d{number}"), "t").expect(200);
    }
    // The same request once more goes on where it was cut.
    let again = streamed(&acme, &text(&[whole, vec![draft("new", 0, "a")]].concat()));
    assert_eq!(
        told(&again),
        [(1, 200, ""), (2, 200, ""), (3, 200, ""), (4, 201, "")]
    );
    acme.read("cut", "t")
        .expect_error(404, "signature_not_found");
}

#[test]
fn a_client_that_does_not_read_is_not_read_from_and_is_let_go() {
    let app = TestApp::start_with(|config| config.http.write_timeout_ms = 1_000);
    let acme = app.tenant("acme");
    let open = Open::new(&acme);
    let mut socket = open.socket.try_clone().unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    // Two bytes are answered with about two hundred.
    let text = "x\n".repeat(10_000);
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    let mut chunks = 0_usize;
    let since = Instant::now();
    while socket.write_all(chunk.as_bytes()).is_ok() {
        chunks += 1;
        assert!(chunks < 5_000, "the server reads whatever the client sends");
    }
    assert!(
        since.elapsed() < Duration::from_secs(29),
        "it was not let go"
    );
    acme.save("d", "t", 0, "x").expect(201);
}

#[test]
fn lines_are_limited_in_size_and_time() {
    let app = TestApp::start_with(|config| {
        config.http.max_signature_bytes = 1_000;
        config.http.body_timeout_ms = 700;
    });
    let acme = app.tenant("acme");
    let long = draft("long", 0, &"x".repeat(300_000));
    let large = draft("large", 0, &"x".repeat(1_001));
    let saved = streamed(
        &acme,
        &text(&[draft("a", 0, "x"), long, large, draft("b", 0, "x")]),
    );
    assert_eq!(
        told(&saved),
        [
            (1, 201, ""),
            (2, 413, "payload_too_large"),
            (3, 413, "payload_too_large"),
            (4, 201, "")
        ]
    );
    assert_eq!(saved[2]["error"]["details"]["limit_bytes"], 1_000);
    let mut open = Open::new(&acme);
    open.send(&text(&[draft("c", 0, "x")]));
    assert_eq!(open.next().unwrap()["status"], 201);
    open.send("{\"document\":");
    let last = open.next().unwrap();
    assert_eq!(
        told(std::slice::from_ref(&last)),
        [(2, 408, "body_timeout")]
    );
    assert_eq!(open.next(), None);
}

#[test]
fn a_stream_ends_when_its_caller_may_not_go_on_or_the_server_stops() {
    let app = TestApp::start();
    let (acme, other) = (app.tenant("acme"), app.tenant("other"));
    let mut open = Open::new(&acme);
    open.send(&text(&[draft("a", 0, "x")]));
    assert_eq!(open.next().unwrap()["status"], 201);
    app.platform()
        .json("POST", "/tenants/acme/suspend", &json!({}))
        .expect(200);
    open.send(&text(&[draft("b", 0, "x"), draft("c", 0, "x")]));
    let last = open.next().unwrap();
    assert_eq!(
        told(std::slice::from_ref(&last)),
        [(2, 403, "tenant_suspended")]
    );
    assert_eq!(open.next(), None);
    let mut open = Open::new(&other);
    open.send(&text(&[draft("a", 0, "x")]));
    assert_eq!(open.next().unwrap()["status"], 201);
    app.app.readiness.stop();
    app.app.waiters.dismiss();
    let last = open.next().unwrap();
    assert_eq!(told(std::slice::from_ref(&last)), [(2, 503, "not_ready")]);
    let mut rest = String::new();
    open.answers.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains('{'), "{rest}");
}

#[test]
fn quotas_and_hooks_hold_for_each_draft() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let drafts: Vec<_> = (0..8)
        .map(|number| draft(&format!("d{number}"), 0, "x"))
        .collect();
    let patch = json!({"quotas": {"requests_per_second": 10, "request_burst": 1}});
    app.platform()
        .json("PATCH", "/tenants/acme", &patch)
        .expect(200);
    eventually(|| {
        let shown = app.platform().get("/tenants/acme");
        shown.text.contains("\"requests_per_second\":10")
    });
    std::thread::sleep(Duration::from_secs(1));
    // Drafts above the rate wait, and are not refused.
    let since = Instant::now();
    let saved = streamed(&acme, &text(&drafts));
    assert!(saved.iter().all(|one| one["status"] == 201), "{saved:?}");
    assert!(since.elapsed() > Duration::from_millis(500));
    let other = app.tenant("other");
    let guest = Guest {
        judge: REJECT,
        ..Guest::default()
    };
    app.hook("other", "never", &guest.component(), |_| {});
    let refused = streamed(&other, &text(&drafts[..2]));
    assert_eq!(
        told(&refused),
        [(1, 422, "hook_rejected"), (2, 422, "hook_rejected")]
    );
}

#[test]
fn a_request_that_is_no_stream_of_drafts_is_refused_as_a_whole() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let send = |path: &str, headers: &[(&str, &str)], body: &str| {
        acme.send("POST", path, headers, Some(body.as_bytes().to_vec()))
    };
    let one = draft("d", 0, "x").to_string();
    for empty in ["", "\n \n"] {
        send("/signatures", &[LINES], empty).expect_error(400, "invalid_parameter");
    }
    send("/signatures?document=d", &[LINES], &one).expect_error(400, "invalid_parameter");
    send("/signature/verify", &[LINES], &one).expect_error(415, "unsupported_media_type");
    let refused = send("/signatures", &[("content-type", "text/csv")], &one);
    let refused = refused.expect_error(415, "unsupported_media_type");
    assert!(refused.text.contains(LINES.1), "{}", refused.text);
    app.anonymous()
        .send(
            "POST",
            "/signatures",
            &[LINES],
            Some(one.clone().into_bytes()),
        )
        .expect_error(401, "missing_token");
    // Preconditions would be about one of them.
    for header in [("if-match", "\"1\""), ("if-none-match", "*")] {
        let many = json!({"signatures": [draft("d", 0, "x")]}).to_string();
        let json = ("content-type", "application/json");
        send("/signatures", &[header, json], &many).expect_error(400, "invalid_parameter");
        send("/signatures", &[header, LINES], &one).expect_error(400, "invalid_parameter");
    }
    acme.read("d", "t").expect_error(404, "signature_not_found");
}

#[test]
fn streams_without_lines_take_nothing_and_end() {
    let app = TestApp::start_with(|config| {
        config.http.max_bytes_in_flight = 4 * 1024 * 1024;
        config.http.body_timeout_ms = 1_500;
    });
    let acme = app.tenant("acme");
    let mut idle: Vec<_> = (0..12).map(|_| Open::new(&acme)).collect();
    std::thread::sleep(Duration::from_millis(300));
    acme.get("/signatures").expect(200);
    acme.save("d", "t", 0, "x").expect(201);
    // Blank lines keep none alive.
    let mut blank = idle.pop().unwrap();
    let mut socket = blank.socket.try_clone().unwrap();
    let since = Instant::now();
    let sender = std::thread::spawn(move || {
        while since.elapsed() < Duration::from_secs(10) && socket.write_all(b"1\r\n\n\r\n").is_ok()
        {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    for open in idle.iter_mut().chain([&mut blank]) {
        assert_eq!(open.next().unwrap()["code"], "body_timeout");
    }
    assert!(since.elapsed() < Duration::from_secs(8));
    sender.join().unwrap();
}

#[test]
fn lines_that_can_not_be_read_count_for_the_rate() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let quotas = json!({"quotas": {"requests_per_second": 10, "request_burst": 1}});
    app.platform()
        .json("PATCH", "/tenants/acme", &quotas)
        .expect(200);
    std::thread::sleep(Duration::from_millis(1_200));
    let since = Instant::now();
    assert_eq!(streamed(&acme, &"x\n".repeat(11)).len(), 11);
    assert!(since.elapsed() > Duration::from_millis(800));
}
