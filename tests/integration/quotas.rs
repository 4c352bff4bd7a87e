//! Quotas of tenants: refusals, the details in them, and the time after which requests pass again.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::guest::{Guest, LOOP};
use crate::support::{Client, Response, TestApp, eventually};

fn set(app: &TestApp, quotas: &Value) {
    app.platform()
        .json("PATCH", "/tenants/acme", &json!({ "quotas": quotas }))
        .expect(200);
}

#[track_caller]
fn exceeded(response: Response, quota: &str, limit: u64, used: u64) -> Response {
    let response = response.expect_error(429, "quota_exceeded");
    assert_eq!(
        response.json["details"],
        json!({"quota": quota, "limit": limit, "used": used})
    );
    response
}

fn retry_after(response: &Response) -> u64 {
    response.header("retry-after").unwrap().parse().unwrap()
}

#[test]
fn bytes_are_stored_up_to_the_quota_and_reads_and_deletes_go_on() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let other = app.tenant("other");
    set(&app, &json!({"max_bytes": 10}));
    acme.save("a", "t", 0, "f-ur").expect(201);
    acme.save("a", "t", 1, "o-er").expect(201);
    let refused = exceeded(acme.save("b", "t", 0, "abc"), "max_bytes", 10, 8);
    assert_eq!(refused.header("retry-after"), None);
    exceeded(acme.save("a", "t", 2, "abc"), "max_bytes", 10, 8);
    acme.save("b", "t", 0, "ab").expect(201);
    exceeded(acme.save("c", "t", 0, "a"), "max_bytes", 10, 10);
    other.save("c", "t", 0, "a lot more").expect(201);
    // A retry of a stored version is answered, and reading works.
    acme.save("b", "t", 0, "ab").expect(200);
    acme.save("a", "t", 1, "o-er").expect(200);
    acme.read("a", "t").expect(200);
    // A delete makes room at once.
    acme.delete("a", "t").expect(200);
    acme.save("c", "t", 0, "8 bytes.").expect(201);
    exceeded(acme.save("d", "t", 0, "a"), "max_bytes", 10, 10);
    set(&app, &json!({"max_bytes": 0}));
    acme.save("d", "t", 0, "a").expect(201);
}

#[test]
fn threads_are_made_up_to_the_quota_and_signed_over_beyond() {
    let app = TestApp::start_with(|config| config.quotas.max_threads = 2);
    let acme = app.tenant("acme");
    acme.save("a", "t", 0, "1").expect(201);
    acme.save("b", "t", 0, "1").expect(201);
    exceeded(acme.save("c", "t", 0, "1"), "max_threads", 2, 2);
    exceeded(acme.save("c", "t", 1, "1"), "max_threads", 2, 2);
    // Neither a countersignature nor a retry creates a thread; a conflict stays a conflict.
    acme.save("a", "t", 1, "2").expect(201);
    acme.save("a", "t", 2, "3").expect(201);
    acme.save("b", "t", 0, "1").expect(200);
    acme.save("b", "t", 0, "other")
        .expect_error(409, "version_conflict");
    // The tenant's own quota overrides the server's default.
    set(&app, &json!({"max_threads": 3}));
    acme.save("c", "t", 0, "1").expect(201);
    exceeded(acme.save("d", "t", 0, "1"), "max_threads", 3, 3);
}

#[test]
fn racing_saves_on_one_server_never_go_over_the_quota() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    set(&app, &json!({"max_threads": 20, "max_bytes": 1000}));
    let saved: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let acme = &acme;
                scope.spawn(move || {
                    (0..10)
                        .filter(|number| {
                            let saved = acme.save(&format!("{writer}-{number}"), "t", 0, "x");
                            assert!([201, 429].contains(&saved.status), "{}", saved.text);
                            saved.status == 201
                        })
                        .count()
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    assert_eq!(saved, 20);
}

#[test]
fn another_servers_saves_are_seen_within_a_second() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    set(&app, &json!({"max_threads": 3}));
    let replica = app.replica();
    let elsewhere = Client::new(&replica.base, acme.token.clone());
    acme.save("a", "t", 0, "x").expect(201);
    elsewhere.save("b", "t", 0, "x").expect(201);
    elsewhere.save("c", "t", 0, "x").expect(201);
    std::thread::sleep(Duration::from_millis(1_050));
    exceeded(acme.save("d", "t", 0, "x"), "max_threads", 3, 3);
}

#[test]
fn requests_pass_in_a_burst_and_then_at_their_rate() {
    let app = TestApp::start();
    let other = app.tenant("other");
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    set(&app, &json!({"requests_per_second": 1, "request_burst": 3}));
    // Another request is allowed each second, so rounds on a machine that is too slow are repeated.
    let in_time = (0..20).any(|_| {
        std::thread::sleep(Duration::from_secs(4));
        let since = Instant::now();
        let answers = [
            acme.read("d", "t"),
            operator.get("/hooks"),
            // Every route counts, and so do requests that are refused for another reason.
            acme.get("/hooks"),
            acme.read("d", "t"),
        ];
        if since.elapsed() > Duration::from_secs(1) {
            return false;
        }
        let [read, listed, forbidden, refused] = answers;
        read.expect(404);
        listed.expect(200);
        forbidden.expect_error(403, "insufficient_scope");
        let wait = retry_after(&exceeded(refused, "requests_per_second", 1, 3));
        assert_eq!(wait, 1);
        other.read("d", "t").expect(404);
        // Quotas do not apply to the platform or to invalid tokens.
        app.platform().get("/tenants/acme/hooks").expect(200);
        acme.with_token("garbage")
            .read("d", "t")
            .expect_error(401, "invalid_token");
        std::thread::sleep(Duration::from_secs(wait));
        let answers = [acme.read("d", "t"), acme.read("d", "t")];
        if since.elapsed() > Duration::from_secs(2) {
            return false;
        }
        let [read, refused] = answers;
        read.expect(404);
        exceeded(refused, "requests_per_second", 1, 3);
        true
    });
    assert!(in_time, "the machine is too slow to tell");
}

/// Begins a save, but does not send the declared body.
fn begin(app: &TestApp, client: &Client) -> TcpStream {
    let mut stream = TcpStream::connect(app.base.trim_start_matches("http://")).unwrap();
    let token = client.token.as_deref().unwrap();
    write!(
        stream,
        "POST /signature HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 100\r\n\r\n"
    )
    .unwrap();
    stream
}

fn under_way(app: &TestApp) -> u64 {
    let id = app.tenant_id("acme");
    app.app.meters.read(id).concurrent_requests
}

#[test]
fn requests_at_once_are_counted_until_they_end_or_are_given_up() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    set(&app, &json!({"max_concurrent_requests": 2}));
    let slow = [begin(&app, &acme), begin(&app, &acme)];
    eventually(|| under_way(&app) == 2);
    let refused = exceeded(acme.read("d", "t"), "max_concurrent_requests", 2, 2);
    assert_eq!(retry_after(&refused), 1);
    // A client that disconnects makes room.
    drop(slow);
    eventually(|| under_way(&app) == 0);
    for _ in 0..5 {
        acme.read("d", "t").expect(404);
    }
    eventually(|| under_way(&app) == 0);
}

#[test]
fn a_save_whose_client_hangs_up_counts_until_its_hook_has_ended() {
    // Only the deadline ends the hook.
    let app = TestApp::start_with(|config| config.hooks.fuel = i64::MAX.unsigned_abs());
    let acme = app.tenant("acme");
    let looping = Guest {
        judge: LOOP,
        ..Guest::default()
    };
    app.hook("acme", "loop", &looping.component(), |request| {
        request.timeout_ms = Some(3_000);
    });
    let mut stream = begin(&app, &acme);
    let body = json!({"document": "d", "thread": "t", "version": 0, "cms": "x"}).to_string();
    write!(stream, "{body:100}").unwrap();
    // Leaves time to read the body, which has arrived already, even on a busy machine.
    eventually(|| under_way(&app) == 1);
    std::thread::sleep(Duration::from_secs(1));
    drop(stream);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(under_way(&app), 1);
    eventually(|| under_way(&app) == 0);
}

#[test]
fn hooks_that_used_their_time_up_run_again_when_it_is_paid_off() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let looping = Guest {
        judge: LOOP,
        ..Guest::default()
    };
    app.hook("acme", "loop", &looping.component(), |request| {
        request.timeout_ms = Some(200);
    });
    // The burst is ten seconds' worth: 100 ms.
    set(&app, &json!({"hook_ms_per_second": 10}));
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    let refused = acme
        .save("d", "t", 0, "x")
        .expect_error(429, "quota_exceeded");
    let details = &refused.json["details"];
    assert_eq!(details["quota"], "hook_ms_per_second");
    assert_eq!(details["limit"], 10);
    let used = details["used"].as_u64().unwrap();
    assert!((190..1_000).contains(&used), "{used}");
    // The debt shrinks by 10 ms each second.
    let wait = retry_after(&refused);
    assert!(wait.abs_diff((used - 100) / 10) <= 1, "{wait} for {used}");
    // Requests that no hook judges still pass.
    acme.read("d", "t").expect(404);
    set(&app, &json!({"hook_ms_per_second": 60}));
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    let refused = acme.save("d", "t", 0, "x");
    let refused = match refused.status {
        429 => refused,
        // Each run may have taken a little less than 200 ms.
        _ => acme.save("d", "t", 0, "x"),
    }
    .expect_error(429, "quota_exceeded");
    std::thread::sleep(Duration::from_secs(retry_after(&refused)));
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
}
