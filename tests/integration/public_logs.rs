//! Logs that are open to the public: whoever has no token reads what the tenant reads, and nothing if the log is not public.

use serde_json::{Value, json};
use sigpersist_model::context::Scope;
use sigpersist_tlog::{Checkpoint, VerifierKey};

use crate::support::{Client, Response, TestApp, eventually};

/// Opens the log of whoever asks, or closes it. Returns the path of its current tree.
fn publish(operator: &Client, public: bool) -> Option<String> {
    let set = operator.json("PATCH", "/log", &json!({ "public": public }));
    path(&set.expect(200))
}

/// The path of the current tree of a shown log.
fn path(log: &Response) -> Option<String> {
    let epochs = log.json["content"]["epochs"].as_array().unwrap();
    let path = epochs.last().unwrap()["public_path"].as_str();
    path.map(str::to_owned)
}

/// The text that a stranger reads, which is no JSON.
#[track_caller]
fn read(stranger: &Client, path: &str) -> String {
    let answer = stranger.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.text
}

#[test]
fn anybody_reads_a_public_log_as_its_tenant_does() {
    let app = TestApp::start();
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    let stranger = app.anonymous();
    for number in 0..300 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    app.sequence();
    let shown = operator.get("/log").expect(200);
    assert_eq!(path(&shown), None);
    assert_eq!(
        shown.json["content"]["settings"],
        json!({ "public": false, "refusals": false })
    );
    let path = publish(&operator, true).unwrap();
    app.sequence();
    let note = read(&stranger, &format!("{path}/checkpoint"));
    // A client that is given the path as its prefix finds the name of the log there.
    let origin = note.lines().next().unwrap();
    assert_eq!(path.rsplit('/').next(), origin.rsplit('/').next());
    let keys = stranger.get(&format!("{path}/keys")).expect(200);
    let key: VerifierKey = keys.json["content"]["keys"][0]["verifier_keys"][0]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let size = Checkpoint::open(&note, origin, &[key]).unwrap().size;
    let rest = size - 256;
    for part in [
        "checkpoint".to_owned(),
        "keys".to_owned(),
        "tile/0/000".to_owned(),
        format!("tile/0/001.p/{rest}"),
        "tile/1/000.p/1".to_owned(),
        "tile/entries/000".to_owned(),
        format!("tile/entries/001.p/{rest}"),
        "consistency?from=7".to_owned(),
        "consistency?from=7&to=200".to_owned(),
    ] {
        let public = stranger.bytes(&format!("{path}/{part}"));
        assert_eq!(public, operator.bytes(&format!("/log/{part}")), "{part}");
        let text = String::from_utf8_lossy(&public);
        assert!(!text.contains("acme"), "{part}: {text}");
    }
    let header = |part: &str, name: &str| {
        let head = stranger.send("HEAD", &format!("{path}/{part}"), &[], None);
        assert_eq!((head.status, &*head.text), (200, ""), "{part}");
        head.header(name).map(str::to_owned).unwrap_or_default()
    };
    for (part, cached) in [
        ("checkpoint", "public, max-age=1"),
        ("keys", "public, max-age=60"),
        ("tile/0/000", "public, max-age=604800"),
        ("tile/entries/000", "public, max-age=604800"),
        ("consistency?from=7", "private, no-cache"),
    ] {
        assert_eq!(header(part, "cache-control"), cached, "{part}");
        assert_eq!(header(part, "access-control-allow-origin"), "*", "{part}");
    }
    for missing in ["9/000", "0/999", "0/001.p/255", "x", "entries/../000"] {
        stranger
            .get(&format!("{path}/tile/{missing}"))
            .expect_error(404, "tile_not_found");
    }
    stranger
        .get(&format!("{path}/consistency?from=9&to=8"))
        .expect_error(400, "invalid_parameter");
    stranger
        .get(&format!("{path}/consistency"))
        .expect_error(400, "invalid_parameter");
    stranger
        .json("POST", &format!("{path}/checkpoint"), &json!({}))
        .expect_error(405, "method_not_allowed");
    // The log itself says that it was opened, and so does the audit trail.
    let told = operator.get("/events?types=log.set").expect(200);
    assert_eq!(told.json["content"]["events"][0]["target"], "log");
    let trail = operator.get("/audit?action=log.set").expect(200);
    let event = &trail.json["content"]["events"][0];
    assert_eq!(
        (&event["before"]["public"], &event["after"]["public"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn a_log_that_is_not_public_is_not_there_for_strangers() {
    let app = TestApp::start();
    let other_server = app.replica();
    for slug in ["acme", "other"] {
        app.tenant(slug).save("d", "t", 0, "x").expect(201);
    }
    app.sequence();
    let operator = app.operator("acme");
    let id = |slug: &str| {
        let shown = app.operator(slug).get("/log").expect(200);
        let origin = shown.json["content"]["epochs"][0]["origin"].clone();
        origin
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    let (public, private) = (id("acme"), id("other"));
    publish(&operator, true);
    let servers = [app.anonymous(), other_server.anonymous()];
    // Whoever opens one log opens no other; and nothing tells a closed one from none.
    let masked = |response: Response| {
        let mut json = response.json;
        json["request_id"] = Value::Null;
        (response.status, json)
    };
    let ids = [
        private,
        "0".repeat(32),
        public.to_uppercase(),
        public[1..].to_owned(),
        format!("sigpersist%2F{public}"),
        format!("{public}%20"),
        "%27".to_owned(),
        "x".repeat(5000),
        "acme".to_owned(),
    ];
    for stranger in &servers {
        read(stranger, &format!("/logs/{public}/checkpoint"));
        for part in [
            "checkpoint",
            "keys",
            "tile/0/000.p/1",
            "tile/x",
            "consistency?from=0",
        ] {
            let answers: Vec<_> = ids
                .iter()
                .map(|id| masked(stranger.get(&format!("/logs/{id}/{part}"))))
                .collect();
            assert_eq!(answers[0].1["code"], "log_not_found", "{part}");
            for answer in &answers {
                assert_eq!(*answer, answers[0], "{part}");
            }
        }
        // An id with slashes is another path.
        stranger
            .get(&format!("/logs/sigpersist/{public}/checkpoint"))
            .expect_error(404, "route_not_found");
    }
    let everywhere = |status: u16| {
        for stranger in &servers {
            for part in ["checkpoint", "keys", "tile/0/000.p/1", "consistency?from=0"] {
                let answer = stranger.get(&format!("/logs/{public}/{part}"));
                assert_eq!(answer.status, status, "{part}");
            }
        }
    };
    publish(&operator, false);
    everywhere(404);
    publish(&operator, true);
    everywhere(200);
    let platform = app.platform();
    platform
        .send("POST", "/tenants/acme/suspend", &[], None)
        .expect(200);
    everywhere(404);
    platform
        .send("POST", "/tenants/acme/resume", &[], None)
        .expect(200);
    everywhere(200);
    let _removal = app.remove_tenants();
    platform
        .send("DELETE", "/tenants/acme?confirm=acme", &[], None)
        .expect(202);
    everywhere(404);
    eventually(|| platform.get("/tenants/acme").status == 404);
    everywhere(404);
    let left = "SELECT count(*)::text AS line FROM log_settings WHERE tenant_id <> 0";
    assert_eq!(app.database.lines(left).trim(), "0");
}

#[test]
fn a_log_is_opened_by_its_owner_and_with_all_its_trees() {
    let app = TestApp::start();
    app.tenant("acme").save("d", "t", 0, "x").expect(201);
    let stranger = app.anonymous();
    let reader = app.client("acme", &[Scope::LogRead]);
    reader
        .json("PATCH", "/log", &json!({ "public": true }))
        .expect_error(403, "insufficient_scope");
    app.operator("acme")
        .json("PATCH", "/log", &json!({ "public": 1 }))
        .expect_error(400, "invalid_parameter");
    // Before there is a tree, too.
    let platform = app.platform();
    let for_acme = app.platform_for("acme");
    for_acme
        .json("PATCH", "/log", &json!({ "public": true }))
        .expect(200);
    platform
        .json("PATCH", "/tenants/nobody/log", &json!({ "public": true }))
        .expect_error(404, "tenant_not_found");
    app.sequence();
    let first = path(&for_acme.get("/log").expect(200)).unwrap();
    let before = read(&stranger, &format!("{first}/checkpoint"));
    app.database.execute(
        "UPDATE log_epochs SET frozen_why = 'For a test.', frozen_at = now() WHERE tenant_id <> 0",
    );
    platform
        .json(
            "POST",
            "/tenants/acme/log/reopen",
            &json!({"reason": "a test"}),
        )
        .expect(200);
    app.sequence();
    let second = path(&for_acme.get("/log").expect(200)).unwrap();
    assert_ne!(first, second);
    let old = read(&stranger, &format!("{first}/checkpoint"));
    assert_eq!(old, before);
    let new = read(&stranger, &format!("{second}/checkpoint"));
    assert_ne!(new, before);
    // The keys of one tree do not tell the name of the other.
    let keys = stranger.get(&format!("{second}/keys")).expect(200).text;
    assert!(!keys.contains(first.rsplit('/').next().unwrap()), "{keys}");
    // The platform's own.
    assert_eq!(path(&platform.get("/log").expect(200)), None);
    let own = publish(&platform, true).unwrap();
    read(&stranger, &format!("{own}/checkpoint"));
    publish(&platform, false);
    stranger
        .get(&format!("{own}/checkpoint"))
        .expect_error(404, "log_not_found");
    read(&stranger, &format!("{second}/checkpoint"));
}

#[test]
fn a_stranger_costs_a_look_into_an_index() {
    let app = TestApp::start();
    app.database.execute(
        "INSERT INTO log_epochs (tenant_id, epoch, origin, first, size, edge, root, at)
         SELECT n, 1, 'sigpersist/' || md5(n::text), 1, 0, '', '', now() FROM generate_series(1, 3000) AS n;
         ANALYZE log_epochs",
    );
    let statement = "SELECT origin FROM log_epochs WHERE public_id = $1";
    let plans = app.database.analyze_for(0, statement, "'none'");
    assert!(!plans.contains("Seq Scan"), "{plans}");
}

/// Strangers who read as much as they can keep no tenant from working, and wait in a queue of their own.
#[test]
fn whoever_has_no_token_waits_for_others_of_that_kind_only() {
    let app = TestApp::start_with(|config| config.http.queue_timeout_ms = 300);
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    app.sequence();
    let path = publish(&app.operator("acme"), true).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let permit = || runtime.block_on(app.server.public_logs.acquire(None));
    let _all = [permit().unwrap(), permit().unwrap()];
    app.anonymous()
        .get(&format!("{path}/checkpoint"))
        .expect_error(503, "overloaded");
    read(&app.anonymous(), "/.well-known/jwks.json");
    acme.save("d", "t", 1, "y").expect(201);
    read(&app.operator("acme"), "/log/checkpoint");
}
