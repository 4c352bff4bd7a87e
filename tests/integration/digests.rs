//! The log of a tenant has a digest of what hooks decided on each day, which tells whoever changed a decision later.

use serde_json::{Value, json};
use sigpersist::log::Digests;

use crate::support::{SIGNER_TAGS, TestApp, eventually};

/// A tenant whose hook judged saves on three days, of which the last is not over.
fn start() -> TestApp {
    let app = TestApp::start_with(|config| config.hooks.keep_decisions_days = 30);
    let acme = app.tenant("acme");
    app.tenant("other").save("d", "t", 0, "x").expect(201);
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    for number in 0..6 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    // The logs begin.
    app.sequence();
    // Four of them two and five days ago; twelve hours from midnight, whenever the test runs.
    app.database.execute(
        "UPDATE hook_judgements SET at = date_trunc('day', at, 'UTC') - interval '36 hours' WHERE document IN ('d0', 'd1');
         UPDATE hook_judgements SET at = date_trunc('day', at, 'UTC') - interval '108 hours' WHERE document IN ('d2', 'd3')",
    );
    app
}

/// Adds the digests of all days that are over.
fn digest(app: &TestApp) {
    let digests = Digests::default();
    // Other tests have transactions on the same Postgres.
    eventually(|| {
        while digests.pass(&app.app).unwrap() {}
        let left = "SELECT count(*)::text AS line FROM log_epochs \
                    WHERE tenant_id <> 0 AND (decided_on IS NULL OR decided_on < (now() - interval '1 hour')::date - 1)";
        app.database.lines(left).trim() == "0"
    });
    app.sequence();
}

/// The digests in the log of a tenant.
fn told(app: &TestApp, slug: &str) -> Vec<Value> {
    let page = app
        .operator(slug)
        .get("/events?types=decisions.digest")
        .expect(200);
    page.json["content"]["events"].as_array().unwrap().clone()
}

fn check(app: &TestApp) -> Value {
    let checked = app.operator("acme").get("/log/verify").expect(200);
    checked.json["content"]["log"].clone()
}

fn faults(app: &TestApp) -> Vec<String> {
    serde_json::from_value(check(app)["faults"].clone()).unwrap()
}

#[test]
fn each_day_with_decisions_has_one_digest_when_it_is_over() {
    let app = start();
    digest(&app);
    let days = told(&app, "acme");
    let numbers: Vec<_> = days.iter().map(|event| &event["count"]).collect();
    assert_eq!(numbers, [2, 2]);
    assert!(
        days[0]["day"].as_str() < days[1]["day"].as_str(),
        "{days:?}"
    );
    // Days without decisions add nothing, and neither does the present day, nor doing it again.
    assert_eq!(told(&app, "other"), Vec::<Value>::new());
    digest(&app);
    assert_eq!(told(&app, "acme"), days);
    let checked = check(&app);
    assert_eq!(checked["faults"], json!([]));
    assert_eq!(
        (&checked["decision_days"], &checked["swept_days"]),
        (&json!(2), &json!(0))
    );
    // As the documentation spells it.
    let spelt = app.database.lines(
        "SELECT encode(sha256(string_agg(sha256(convert_to(string_agg, 'UTF8')), '' ORDER BY at, id)), 'hex') AS line FROM (
             SELECT at, id, string_agg(octet_length(column_) || ':' || column_ || ',', '' ORDER BY place)
             FROM hook_judgements, unnest(ARRAY[
                 (extract(epoch FROM at) * 1000000)::bigint::text, id::text, version::text, operation, outcome, document,
                 thread, encode(input_sha256, 'hex'), input::text, decisions::text]) WITH ORDINALITY AS c (column_, place)
             WHERE document IN ('d2', 'd3') GROUP BY at, id) AS rows",
    );
    assert_eq!(days[0]["sha256"], spelt.trim());
    // A transaction that began earlier keeps everybody waiting.
    app.database
        .execute("UPDATE log_epochs SET decided_on = NULL");
    let running = app.database.hold("SELECT pg_current_xact_id()");
    let digests = Digests::default();
    while digests.pass(&app.app).unwrap() {}
    app.sequence();
    assert_eq!(told(&app, "acme").len(), 2);
    drop(running);
    digest(&app);
    assert_eq!(told(&app, "acme").len(), 4);
    assert_eq!(faults(&app), Vec::<String>::new());
}

#[test]
fn whatever_somebody_does_to_decisions_is_named() {
    let app = start();
    digest(&app);
    assert_eq!(faults(&app), Vec::<String>::new());
    for (change, fault) in [
        (
            "UPDATE hook_judgements SET outcome = 'rejected' WHERE document = 'd0'",
            "some were changed",
        ),
        (
            "UPDATE hook_judgements SET decisions = jsonb_set(decisions, '{0,hook}', '\"other\"') WHERE document = 'd0'",
            "some were changed",
        ),
        (
            "UPDATE hook_judgements SET input = input || '{\"sha256\": \"00\"}' WHERE document = 'd0'",
            "some were changed",
        ),
        (
            "DELETE FROM hook_judgements WHERE document = 'd3'",
            "it says 2, and 1 are stored",
        ),
        (
            "DELETE FROM hook_judgements WHERE document IN ('d2', 'd3')",
            "it says 2, and 0 are stored",
        ),
        (
            "UPDATE hook_judgements SET at = at - interval '1 day' WHERE document = 'd1'",
            "they were added later",
        ),
        (
            "UPDATE hook_judgements SET at = at + interval '1 microsecond' WHERE document = 'd1'",
            "some were changed",
        ),
        (
            "INSERT INTO hook_judgements (tenant_id, at, version, operation, outcome, document, thread, input_sha256, input, decisions) \
             SELECT tenant_id, at, version, operation, outcome, document, thread, input_sha256, input, decisions \
             FROM hook_judgements WHERE document = 'd0'",
            "it says 2, and 3 are stored",
        ),
    ] {
        let kept = app.database.keep();
        app.database.execute(change);
        let found = faults(&app);
        assert!(
            found.iter().any(|found| found.contains(fault)),
            "{change}: {found:?}"
        );
        drop(kept);
    }
    assert_eq!(faults(&app), Vec::<String>::new());
    // Whoever lets the server make another digest is found, too.
    app.database.execute(
        "UPDATE hook_judgements SET outcome = 'rejected' WHERE document = 'd0'; UPDATE log_epochs SET decided_on = NULL",
    );
    digest(&app);
    let found = faults(&app);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("were changed between entry"), "{found:?}");
}

#[test]
fn decisions_that_are_not_kept_any_more_are_no_fault() {
    let app = start();
    digest(&app);
    let shorter = app.replica_with(|config| config.hooks.keep_decisions_days = 3);
    let _clearing = shorter.clear_decisions();
    eventually(|| {
        let left = "SELECT count(*)::text AS line FROM hook_judgements";
        app.database.lines(left).trim() == "4"
    });
    let checked = shorter.operator("acme").get("/log/verify").expect(200);
    let checked = &checked.json["content"]["log"];
    assert_eq!(checked["faults"], json!([]));
    assert_eq!(
        (&checked["decision_days"], &checked["swept_days"]),
        (&json!(1), &json!(1))
    );
    // A server that would keep them for longer knows no better, until the log says so.
    assert_eq!(faults(&app).len(), 1);
}

#[test]
fn digests_that_come_with_a_log_are_compared_if_the_decisions_came_too() {
    let (here, there) = (start(), TestApp::start());
    digest(&here);
    // Its plugin is not there, and this is about its decisions.
    here.operator("acme")
        .send("DELETE", "/hooks/tags", &[], None)
        .expect(200);
    let file = here.database.folder.path().join("acme.ndjson");
    let file = file.to_str().unwrap();
    for (slug, more, days) in [
        ("with", Some("--decisions"), (2, 0)),
        ("without", None, (0, 2)),
    ] {
        let there = if slug == "with" {
            &there
        } else {
            &TestApp::start()
        };
        let export = ["tenant", "export", "acme", "--output", file];
        let export: Vec<_> = export.into_iter().chain(more).collect();
        here.database.run(&export);
        there
            .database
            .run(&["tenant", "import", slug, "--input", file, "--create"]);
        there.sequence();
        let checked = there.platform_for(slug).get("/log/verify").expect(200);
        let checked = &checked.json["content"]["log"];
        assert_eq!(checked["faults"], json!([]));
        assert_eq!(
            (&checked["decision_days"], &checked["swept_days"]),
            (&json!(days.0), &json!(days.1))
        );
        // Those that are there are compared.
        there
            .database
            .execute("DELETE FROM hook_judgements WHERE document = 'd0'");
        let checked = there.platform_for(slug).get("/log/verify").expect(200);
        let faults = checked.json["content"]["log"]["faults"].as_array().unwrap();
        assert_eq!(faults.len(), usize::from(slug == "with"));
    }
}

#[test]
fn decisions_that_an_import_brings_are_digested_with_their_days() {
    let app = start();
    let file = app.database.folder.path().join("acme.ndjson");
    let file = file.to_str().unwrap();
    app.database
        .run(&["tenant", "export", "acme", "--output", file, "--decisions"]);
    app.database
        .execute("DELETE FROM hook_judgements WHERE document IN ('d1', 'd2', 'd3')");
    digest(&app);
    let counts = || {
        let days = told(&app, "acme");
        let counts = days.iter().map(|event| event["count"].as_u64().unwrap());
        counts.collect::<Vec<_>>()
    };
    assert_eq!(counts(), [1]);
    app.database
        .run(&["tenant", "import", "acme", "--input", file]);
    digest(&app);
    assert_eq!(counts(), [1, 2, 2]);
    assert_eq!(faults(&app), Vec::<String>::new());
}
