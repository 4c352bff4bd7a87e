//! Versions that are read as a stream of lines: as many as one likes, with any number of bytes together.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::streamed::{Open, streamed_to, text, told};
use crate::support::TestApp;

const GET: &str = "/signatures/get";

fn name(document: &str, version: Option<u32>) -> Value {
    match version {
        Some(version) => json!({"document": document, "thread": "t", "version": version}),
        None => json!({"document": document, "thread": "t"}),
    }
}

#[test]
fn each_line_is_answered_in_its_place() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("a", "t", 0, "first").expect(201);
    acme.save("a", "t", 1, "second").expect(201);
    let lines = [
        name("a", None).to_string(),
        name("a", Some(1)).to_string(),
        String::new(),
        name("a", Some(3)).to_string(),
        name("nowhere", None).to_string(),
        "{\"document\": ".to_owned(),
        json!({"document": "a"}).to_string(),
        json!({"document": "a", "thread": "t", "cms": "x"}).to_string(),
        name("a", None).to_string(),
    ];
    let read = streamed_to(&acme, GET, &lines.join("\n"));
    assert_eq!(
        told(&read),
        [
            (1, 200, ""),
            (2, 200, ""),
            (4, 404, "signature_not_found"),
            (5, 404, "signature_not_found"),
            (6, 400, "malformed_json"),
            (7, 400, "invalid_parameter"),
            (8, 400, "invalid_parameter"),
            (9, 200, ""),
        ]
    );
    let signatures = [0, 1, 7].map(|place| &read[place]["signature"]);
    assert_eq!(signatures[0], acme.read("a", "t").signature());
    assert_eq!(signatures[1]["signature"], "first");
    assert_eq!(signatures[2]["version"], 2);
    // Nothing at all is no stream.
    let lines = ("content-type", "application/x-ndjson");
    acme.send("POST", GET, &[lines], Some(b"\n\n".to_vec()))
        .expect_error(400, "invalid_parameter");
}

#[test]
fn together_they_may_be_larger_than_a_page() {
    let app = TestApp::start_with(|config| {
        config.http.max_list_bytes = 100_000;
        config.http.max_bytes_in_flight = 8 * 1024 * 1024;
    });
    let acme = app.tenant("acme");
    let large = "x".repeat(60_000);
    for number in 0..3 {
        acme.save(&format!("d{number}"), "t", 0, &format!("{large}{number}"))
            .expect(201);
    }
    let names: Vec<_> = (0..600)
        .map(|number| name(&format!("d{}", number % 3), None))
        .collect();
    acme.json("POST", GET, &json!({"signatures": names[..3]}))
        .expect_error(400, "invalid_parameter");
    // Far more than all requests together may have in memory.
    let read = streamed_to(&acme, GET, &text(&names));
    assert_eq!(read.len(), 600);
    for (number, one) in read.iter().enumerate() {
        assert_eq!(one["line"], number + 1);
        let signature = one["signature"]["signature"].as_str();
        assert_eq!(signature, Some(&*format!("{large}{}", number % 3)));
    }
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let app = TestApp::start_with(|config| {
        config.http.max_concurrent_requests = 2;
        config.http.write_timeout_ms = 2_000;
    });
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, &"x".repeat(500_000)).expect(201);
    let names = text(&vec![name("d", None); 100]);
    let mut silent: Vec<_> = (0..4).map(|_| Open::of(&acme, GET)).collect();
    for open in &mut silent {
        open.send(&names);
        open.socket.flush().unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    let since = Instant::now();
    acme.read("d", "t").expect(200);
    acme.save("other", "t", 0, "x").expect(201);
    assert!(since.elapsed() < Duration::from_secs(2));
    // They are let go, without the answers that they did not read.
    std::thread::sleep(Duration::from_secs(3));
    for open in &mut silent {
        let answers = std::iter::from_fn(|| open.next_of_broken()).count();
        assert!(answers < 100, "{answers}");
    }
}

#[test]
fn what_is_too_fast_for_the_tenant_waits() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    app.platform()
        .json(
            "PATCH",
            "/tenants/acme",
            &json!({"quotas": {"requests_per_second": 10, "request_burst": 1}}),
        )
        .expect(200);
    std::thread::sleep(Duration::from_millis(1_200));
    let since = Instant::now();
    let read = streamed_to(&acme, GET, &text(&vec![name("d", None); 11]));
    assert!(read.iter().all(|one| one["status"] == 200), "{read:?}");
    assert!(since.elapsed() > Duration::from_millis(800));
}
