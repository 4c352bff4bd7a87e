//! Monitoring of the server: liveness, readiness and metrics, none of which reveals secrets.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::guest::Guest;
use crate::support::{
    Client, FIRST, Program, REJECT, Stopwatch, TestApp, TestDatabase, eventually,
};

/// The sample lines of a metric, without its HELP and TYPE.
fn lines<'a>(metrics: &'a str, name: &str) -> Vec<&'a str> {
    let of_name = metrics.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    of_name.collect()
}

fn metrics(app: &TestApp) -> String {
    String::from_utf8(app.platform().get_bytes("/metrics", &[])).unwrap()
}

#[test]
fn a_server_without_its_database_lives_and_is_not_ready() {
    let app = TestApp::start();
    let anybody = app.anonymous();
    anybody.get("/health/live").expect(200);
    eventually(|| anybody.get("/health/ready").status == 200);
    app.database.forbid_connections(true);
    let since = Stopwatch::start();
    eventually(|| anybody.get("/health/ready").status == 503);
    assert!(since.elapsed() < Duration::from_secs(2));
    let refused = anybody.get("/health/ready").expect_error(503, "not_ready");
    assert_eq!(refused.json["details"]["lacks"], json!(["database"]));
    assert!(refused.header("retry-after").is_some());
    anybody.get("/health/live").expect(200);
    app.database.forbid_connections(false);
    let since = Stopwatch::start();
    eventually(|| anybody.get("/health/ready").status == 200);
    assert!(since.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_schema_that_lacks_a_migration_is_not_ours() {
    let app = TestApp::start();
    let anybody = app.anonymous();
    eventually(|| anybody.get("/health/ready").status == 200);
    let newest = "version = (SELECT max(version) FROM __diesel_schema_migrations)";
    app.database.execute(&format!(
        "UPDATE __diesel_schema_migrations SET version = 'gone' WHERE {newest}"
    ));
    eventually(|| anybody.get("/health/ready").json["details"]["lacks"] == json!(["schema"]));
}

#[test]
fn what_is_counted_is_told_by_route_status_hook_and_reason() {
    let app = TestApp::start();
    let acme = app.tenant("metrics-acme");
    let reject = Guest {
        judge: REJECT,
        ..Guest::default()
    };
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    acme.save("d", "t", 7, "x")
        .expect_error(409, "version_conflict");
    acme.get("/nowhere/at/all")
        .expect_error(404, "route_not_found");
    app.hook("metrics-acme", "refuses", &reject.component(), |_| {});
    acme.save("e", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    let metrics = metrics(&app);
    let counted = |name: &str, labels: &[&str]| {
        let lines = lines(&metrics, name);
        let line = lines
            .iter()
            .find(|line| labels.iter().all(|label| line.contains(label)));
        let line = line.unwrap_or_else(|| panic!("no {name} {labels:?} in {metrics}"));
        let value = line.rsplit(' ').next().unwrap();
        value.parse::<f64>().unwrap()
    };
    for (name, labels) in [
        (
            "sigpersist_http_requests_total",
            &["route=\"/signature\"", "method=\"POST\"", "status=\"201\""][..],
        ),
        (
            "sigpersist_http_requests_total",
            &["route=\"(unknown)\"", "status=\"404\""],
        ),
        (
            "sigpersist_http_request_duration_seconds_bucket",
            &["route=\"/signature\"", "le=\"+Inf\""],
        ),
        ("sigpersist_http_requests_in_flight", &[]),
        ("sigpersist_refusals_total", &["code=\"version_conflict\""]),
        ("sigpersist_refusals_total", &["code=\"hook_rejected\""]),
        ("sigpersist_database_wait_seconds_count", &[]),
        (
            "sigpersist_hook_runs_total",
            &[
                "tenant=\"metrics-acme\"",
                "hook=\"refuses\"",
                "verdict=\"rejected\"",
            ],
        ),
        (
            "sigpersist_hook_duration_seconds_count",
            &["tenant=\"metrics-acme\"", "hook=\"refuses\""],
        ),
        ("sigpersist_hook_fuel_total", &["hook=\"refuses\""]),
        ("sigpersist_plugins_made_ready_total", &["from=\"source\""]),
        ("sigpersist_stored_bytes", &["tenant=\"metrics-acme\""]),
    ] {
        assert!(counted(name, labels) > 0.0, "{name} {labels:?}");
    }
    assert!(counted("sigpersist_database_connections", &["state=\"idle\""]) >= 0.0);
    assert!(metrics.contains("# HELP sigpersist_http_requests_total"));
    // The path of an unknown route does not become a label.
    assert!(!metrics.contains("nowhere"));
}

#[test]
fn told_to_stop_it_says_so_before_it_stops_and_a_second_signal_ends_it() {
    let database = TestDatabase::new();
    let delay = [("SIGPERSIST_HTTP_SHUTDOWN_DELAY_MS", "1500")];
    let server = Program::serve_on(&database, &delay);
    let anybody = Client::new(&server.base, None);
    eventually(|| anybody.get("/health/ready").status == 200);
    server.signal(Signal::SIGTERM);
    eventually(|| anybody.get("/health/ready").status == 503);
    let lacks = anybody.get("/health/ready").json["details"]["lacks"].clone();
    assert_eq!(lacks, json!(["stopping"]));
    // Requests are answered until the server stops.
    anybody
        .get("/signatures")
        .expect_error(401, "missing_token");
    assert!(server.wait().success());

    let forever = [("SIGPERSIST_HTTP_SHUTDOWN_DELAY_MS", "60000")];
    let server = Program::serve_on(&database, &forever);
    server.signal(Signal::SIGTERM);
    let anybody = Client::new(&server.base, None);
    eventually(|| anybody.get("/health/ready").status == 503);
    let since = Stopwatch::start();
    server.signal(Signal::SIGTERM);
    assert!(!server.wait().success());
    assert!(since.elapsed() < Duration::from_secs(2));
}

/// A local address with a port that was free a moment ago.
pub(crate) fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn those_who_watch_find_what_they_need_on_a_port_of_their_own_and_nothing_else() {
    let database = TestDatabase::new();
    let address = free_address();
    let settings = [
        ("SIGPERSIST_HTTP_WATCH_LISTEN", address.as_str()),
        ("SIGPERSIST_HTTP_CORS_ORIGINS", "*"),
    ];
    let server = Program::serve_on(&database, &settings);
    let watcher = Client::new(&format!("http://{address}"), None);
    // Pages may use the API, but not this port.
    let page = [("origin", "https://app.example.com")];
    let live = watcher.get_with("/health/live", &page).expect(200);
    assert_eq!(live.header("access-control-allow-origin"), None);
    eventually(|| watcher.get("/health/ready").status == 200);
    let metrics = || String::from_utf8(watcher.get_bytes("/metrics", &[])).unwrap();
    // Webhooks are counted every few seconds.
    eventually(|| metrics().contains("\nsigpersist_webhook_pending "));
    let metrics = metrics();
    for sample in [
        "sigpersist_ready 1",
        "sigpersist_webhooks{state=\"failing\"} 0",
        "sigpersist_webhook_pending 0",
        "sigpersist_webhook_lag_seconds 0",
    ] {
        assert!(metrics.contains(&format!("\n{sample}\n")), "{metrics}");
    }
    for path in ["/signatures", "/tenants", "/.well-known/jwks.json"] {
        watcher.get(path).expect_error(404, "route_not_found");
    }
    // On the main port, metrics still need a token.
    let anybody = Client::new(&server.base, None);
    anybody.get("/metrics").expect_error(401, "missing_token");
}

/// Sends marked secrets in every possible way, and asserts that logs and metrics contain none of them.
#[test]
fn no_secret_token_or_signature_reaches_a_log_or_what_is_counted() {
    let database = TestDatabase::new();
    let log = database.folder.path().join("log");
    let mut serve = database.command(&["serve", "--listen", "127.0.0.1:0"]);
    serve
        .env("RUST_LOG", "debug")
        .env("SIGPERSIST_LOG_FORMAT", "json")
        .stderr(std::fs::File::create(&log).unwrap());
    let server = Program::start(serve);
    database.run(&["tenant", "create", "acme"]);
    let key = database.run(&["key", "add", "acme", "--json"]);
    let key: serde_json::Value = serde_json::from_str(&key).unwrap();
    let secret = key["secret"].as_str().unwrap().to_owned();
    let token = database.run(&["token", "issue", "acme"]);
    database.run(&["key", "add", "--platform"]);
    let platform = database.run(&["token", "issue", "--platform", "--scope", "metrics:read"]);
    let acme = server.client(&token);
    acme.save("d", "t", 0, "MARKED-SIGNATURE-BODY").expect(201);
    acme.save("d", "t", 5, "MARKED-REFUSED-BODY")
        .expect_error(409, "version_conflict");
    acme.send(
        "POST",
        "/signature",
        &[("content-type", "application/json")],
        Some(b"{\"cms\": \"MARKED-BROKEN-BODY".to_vec()),
    )
    .expect_error(400, "malformed_json");
    acme.json("POST", "/verify", &json!({"cms": "MARKED-VERIFIED-BODY"}))
        .expect(200);
    server
        .client("MARKED-BAD-TOKEN")
        .get("/signatures")
        .expect_error(401, "invalid_token");
    server
        .client(&format!("{token}x"))
        .get("/signatures")
        .expect_error(401, "invalid_token");
    acme.get("/signatures?tags=MARKED-QUERY").expect(200);
    let counted = server.client(&platform).get_bytes("/metrics", &[]);
    assert!(server.stop().success());
    let emitted = std::fs::read_to_string(&log).unwrap() + &String::from_utf8(counted).unwrap();
    assert!(emitted.contains("\"status\":201"), "{emitted}");
    let master = std::fs::read_to_string(database.master_key_file()).unwrap();
    let signature = token.rsplit('.').next().unwrap();
    for marked in [
        "MARKED",
        &secret,
        &token,
        signature,
        &platform,
        master.trim(),
    ] {
        let at = emitted.find(marked);
        assert!(at.is_none(), "{marked} is told");
    }
}
