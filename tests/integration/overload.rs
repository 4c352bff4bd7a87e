//! Overload: requests that wait too long are refused, and refused or cancelled requests have no effect.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, TestApp, slow_to_read};

const QUEUE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Long enough for a request to join the queue.
const A_WHILE: Duration = Duration::from_millis(200);

/// A server that answers one request at a time, and a connection that keeps the thread `slow` locked.
fn one_at_a_time() -> (TestApp, Client, diesel::PgConnection) {
    let app = TestApp::start_with(|config| {
        config.http.max_concurrent_requests = 1;
        config.http.queue_timeout_ms = 1_500;
    });
    let acme = app.tenant("acme");
    acme.save("slow", "t", 0, "x").expect(201);
    let holder = app.database.lock_signatures();
    (app, acme, holder)
}

/// Sends a save without waiting for the answer.
fn send_save(client: &Client, document: &str) -> TcpStream {
    client.begin_save(&json!({"document": document, "thread": "t", "version": 0, "cms": "small"}))
}

/// The names of all stored documents, in alphabetical order.
fn documents(app: &TestApp) -> String {
    app.database
        .lines("SELECT string_agg(document, ' ' ORDER BY document) AS line FROM signatures")
        .trim()
        .to_owned()
}

#[test]
fn nothing_is_done_for_clients_that_hang_up_while_they_wait() {
    let (app, acme, holder) = one_at_a_time();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| acme.save("slow", "t", 1, "y"));
        std::thread::sleep(A_WHILE);
        let gone: Vec<_> = (0..20)
            .map(|number| send_save(&acme, &format!("gone-{number}")))
            .collect();
        std::thread::sleep(A_WHILE);
        let patient = scope.spawn(|| acme.save("patient", "t", 0, "x"));
        std::thread::sleep(A_WHILE);
        drop(gone);
        std::thread::sleep(A_WHILE);
        drop(holder);
        slow.join().unwrap().expect(201);
        // Turns are given in order, so the saves of the other clients would have come before this one.
        patient.join().unwrap().expect(201);
    });
    assert_eq!(documents(&app), "patient slow");
}

#[test]
fn what_waits_for_too_long_is_refused_in_time_and_never_done() {
    let (app, acme, holder) = one_at_a_time();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| acme.save("slow", "t", 1, "y"));
        std::thread::sleep(A_WHILE);
        let since = Instant::now();
        let refused: Vec<_> = (0..20)
            .map(|number| {
                let acme = &acme;
                scope.spawn(move || acme.save(&format!("late-{number}"), "t", 0, "x"))
            })
            .collect();
        for refused in refused {
            let refused = refused.join().unwrap().expect_error(503, "overloaded");
            assert_eq!(refused.header("retry-after"), Some("1"));
        }
        let waited = since.elapsed();
        // Some requests are refused up to an eighth of the time earlier.
        assert!(waited >= QUEUE_TIMEOUT * 7 / 8, "{waited:?}");
        assert!(waited < QUEUE_TIMEOUT * 2, "{waited:?}");
        drop(holder);
        slow.join().unwrap().expect(201);
    });
    // This save is answered after all requests that could still be waiting.
    acme.save("next", "t", 0, "x").expect(201);
    assert_eq!(documents(&app), "next slow");
}

/// One tenant's verifications, however many, leave turns to other tenants.
#[test]
fn a_tenants_verifications_keep_no_other_from_its_turns() {
    let app = TestApp::start_with(|config| {
        config.http.max_concurrent_requests = 4;
        config.http.queue_timeout_ms = 300;
    });
    let (evil, acme) = (app.tenant("evil"), app.tenant("acme"));
    let xml = slow_to_read(80);
    let stopped = AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut refused = 0;
                    while !stopped.load(Ordering::SeqCst) {
                        let body = json!({"cms": xml});
                        let answer = evil.json("POST", "/verify", &body);
                        if answer.status != 200 {
                            answer.expect_error(429, "rate_limited");
                            refused += 1;
                        }
                    }
                    refused
                })
            })
            .collect();
        for number in 0..20 {
            acme.save(&number.to_string(), "t", 0, "x").expect(201);
            let verified = acme.json("POST", "/verify", &json!({"cms": "x"}));
            verified.expect(200);
            std::thread::sleep(Duration::from_millis(50));
        }
        stopped.store(true, Ordering::SeqCst);
        let refused = attackers.into_iter().map(|it| it.join().unwrap());
        refused.sum::<usize>()
    });
    assert!(refused > 0, "the tenant waited for nothing of its own");
}
