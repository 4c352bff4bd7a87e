//! DELETE /signature.

use std::thread;

use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};
use sigpersist::audit;
use sigpersist_model::audit::EventOwner;
use sigpersist_model::digest::{sha256, to_hex};

use crate::support::guest::Guest;
use crate::support::{TestApp, eventually};

#[test]
fn a_thread_goes_with_all_its_versions_and_tags() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (thread, version) in [("t", 0), ("t", 1), ("other", 0)] {
        let cms = format!("{thread} over {version}");
        acme.post(&json!({"document": "d", "thread": thread, "version": version, "cms": cms, "tags": ["x"]}))
            .expect(201);
    }
    assert_eq!(acme.delete("d", "t").expect(200).text, r#"{"status":true}"#);
    acme.read("d", "t").expect_error(404, "signature_not_found");
    acme.get("/signature?document=d&thread=t&version=1")
        .expect_error(404, "signature_not_found");
    acme.delete("d", "t")
        .expect_error(404, "signature_not_found");
    let listed = acme.get("/signatures?tags=x").expect(200);
    assert_eq!(listed.signatures().len(), 1);
    assert_eq!(listed.signatures()[0]["thread"], "other");
    // The name can be used again, for another thread.
    let anew = acme.save("d", "t", 0, "anew").expect(201);
    assert_eq!(anew.signature()["version"], 1);
}

#[test]
fn preconditions_guard_a_delete() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let delete = |tag: &str| {
        let body = json!({"document": "d", "thread": "t"});
        acme.json_with("DELETE", "/signature", &body, &[("if-match", tag)])
    };
    delete("*").expect_error(412, "precondition_failed");
    acme.save("d", "t", 0, "first").expect(201);
    acme.save("d", "t", 1, "second").expect(201);
    let failed = delete("\"1\"").expect_error(412, "precondition_failed");
    assert_eq!(failed.json["details"]["current_version"], 2);
    delete("\"2\"").expect(200);
}

#[test]
fn a_delete_names_its_thread() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for body in [
        json!({}),
        json!({"document": "d"}),
        json!({"document": "d", "thread": "t", "version": 1}),
    ] {
        acme.json("DELETE", "/signature", &body)
            .expect_error(400, "invalid_parameter");
    }
}

/// The events about signatures, oldest first.
fn events(app: &TestApp) -> Vec<Value> {
    let page = app.operator("acme").get("/audit?action=signature.");
    let page = page.expect(200);
    let mut events = page.json["content"]["events"].as_array().unwrap().clone();
    events.reverse();
    events
}

fn names(app: &TestApp) -> Vec<String> {
    let events = events(app).into_iter().map(|event| {
        let word = |name: &str| event[name].as_str().unwrap().to_owned();
        format!("{} {}", word("action"), word("target"))
    });
    events.collect()
}

#[track_caller]
fn assert_whole(app: &TestApp) {
    for chain in audit::verify(&app.app, &EventOwner::All, None, |_, _| {}).unwrap() {
        assert_eq!(chain.faults, []);
    }
}

#[test]
fn a_delete_and_a_save_of_the_same_name_afterwards_are_in_the_audit_trail() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let request = |id| [("x-request-id", id)];
    let (first, second, anew) = ("first", "second", "once more");
    for (version, cms) in [(0, first), (1, second)] {
        acme.save("d/1", "50%", version, cms).expect(201);
    }
    acme.delete("d/1", "none")
        .expect_error(404, "signature_not_found");
    let key = json!({"document": "d/1", "thread": "50%"});
    acme.json_with("DELETE", "/signature", &key, &[("if-match", "\"1\"")])
        .expect_error(412, "precondition_failed");
    assert_eq!(events(&app), [] as [Value; 0]);
    acme.json_with("DELETE", "/signature", &key, &request("deleting"))
        .expect(200);
    let again = json!({"document": "d/1", "thread": "50%", "version": 1, "cms": anew});
    acme.json_with("POST", "/signature", &again, &request("saving"))
        .expect(201);
    // Neither a later version nor an identical retry leaves another `signature.recreate` event.
    acme.json_with("POST", "/signature", &again, &[])
        .expect(200);
    acme.save("d/1", "50%", 1, second).expect(201);
    let events = events(&app);
    let digest = |text: &str| to_hex(&sha256(text.as_bytes()));
    let expected = [
        (
            "signature.delete",
            "deleting",
            json!({"document": "d/1", "thread": "50%", "version": 2, "sha256": digest(second)}),
            Value::Null,
        ),
        (
            "signature.recreate",
            "saving",
            Value::Null,
            json!({"document": "d/1", "thread": "50%", "version": 1, "sha256": digest(anew)}),
        ),
    ];
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for (event, (action, request_id, before, after)) in events.iter().zip(expected) {
        assert_eq!(event["action"], action);
        assert_eq!(event["target"], "d%2F1/50%25");
        assert_eq!(event["actor"], "tester");
        assert!(event["key"].is_string());
        assert_eq!(event["request_id"], request_id);
        assert_eq!((&event["before"], &event["after"]), (&before, &after));
    }
    assert_whole(&app);
}

#[test]
fn a_name_is_none_of_another_thread_or_tenant() {
    let app = TestApp::start();
    let (acme, other) = (app.tenant("acme"), app.tenant("other"));
    for (document, thread) in [("a/b", "c"), ("a", "b%2Fc"), ("x", "y")] {
        acme.save(document, thread, 0, "x").expect(201);
        acme.delete(document, thread).expect(200);
    }
    let deletes = names(&app);
    for (document, thread) in [
        ("a", "b/c"),
        ("a%2Fb", "c"),
        ("x", "z"),
        ("y", "x"),
        ("X", "y"),
    ] {
        acme.save(document, thread, 0, "x").expect(201);
    }
    other.save("x", "y", 0, "x").expect(201);
    assert_eq!(names(&app), deletes);
    // A save that hooks judge leaves the event too.
    app.hook("acme", "h", &Guest::default().component(), |_| {});
    acme.save("x", "y", 0, "x").expect(201);
    assert_eq!(names(&app).last().unwrap(), "signature.recreate x/y");
    let judged = app.database.lines(
        "SELECT outcome AS line FROM hook_judgements WHERE document = 'x' AND operation = 'save'",
    );
    assert_eq!(judged, "accepted\n");
}

#[test]
fn saves_that_come_together_are_told_apart_by_whether_their_names_were_deleted() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let deleted = |number: usize| number.is_multiple_of(5);
    for number in (0..60).filter(|number| deleted(*number)) {
        acme.save("d", &number.to_string(), 0, "x").expect(201);
        acme.delete("d", &number.to_string()).expect(200);
    }
    thread::scope(|scope| {
        for number in 0..60 {
            let acme = &acme;
            scope.spawn(move || acme.save("d", &number.to_string(), 0, "y").expect(201));
        }
    });
    let mut recreated: Vec<_> = names(&app).into_iter().skip(12).collect();
    recreated.sort();
    let mut expected: Vec<_> = (0..60)
        .filter(|number| deleted(*number))
        .map(|number| format!("signature.recreate d/{number}"))
        .collect();
    expected.sort();
    assert_eq!(recreated, expected);
    assert_whole(&app);
}

/// An import that restores deleted threads leaves events for them.
#[test]
fn what_an_import_brings_back_is_told_too() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (thread, version) in [("t", 0), ("t", 1), ("u", 0), ("v", 0)] {
        let cms = format!("{thread} over {version}");
        acme.save("d/e", thread, version, &cms).expect(201);
    }
    let file = app.database.folder.path().join("acme.ndjson");
    let file = file.to_str().unwrap();
    app.database
        .run(&["tenant", "export", "acme", "--output", file]);
    for thread in ["t", "u"] {
        acme.delete("d/e", thread).expect(200);
    }
    let import = || {
        app.database
            .run(&["tenant", "import", "acme", "--input", file])
    };
    import();
    let told = names(&app);
    assert_eq!(told.len(), 4, "{told:?}");
    let events = events(&app);
    let recreated = events
        .iter()
        .find(|event| event["action"] == "signature.recreate" && event["target"] == "d%2Fe/t")
        .unwrap();
    assert_eq!(recreated["actor"], "command line");
    let sha256 = to_hex(&sha256("t over 1".as_bytes()));
    let after = json!({"document": "d/e", "thread": "t", "version": 2, "sha256": sha256});
    assert_eq!(recreated["after"], after);
    // A repeated import restores nothing.
    import();
    assert_eq!(names(&app), told);
    assert_whole(&app);
}

/// The save begins before the delete commits, and waits for it.
#[test]
fn a_save_that_races_with_a_delete_is_told_too() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let mut deleting = app.database.connect();
    deleting
        .batch_execute(
            "BEGIN; SET LOCAL sigpersist.tenant = '1'; DELETE FROM signatures;
             INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target) \
             VALUES (1, 'acme', 'tenant', 'signature.delete', 'd/t')",
        )
        .unwrap();
    thread::scope(|scope| {
        let saving = scope.spawn(|| acme.save("d", "t", 0, "y"));
        eventually(|| app.database.waiting_for_locks() > 0);
        deleting.batch_execute("COMMIT").unwrap();
        saving.join().unwrap().expect(201);
    });
    assert_eq!(
        names(&app),
        ["signature.delete d/t", "signature.recreate d/t"]
    );
}

/// The check in each save of a first version is one index lookup, whatever statistics Postgres has.
#[test]
fn whether_a_name_was_deleted_is_looked_up_in_an_index() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let source = include_str!("../../migrations/2026-11-29-000002_know_what_was_deleted/up.sql");
    let from = source.find("SELECT FROM public").unwrap();
    let to = source.find(") THEN").unwrap();
    let statement = format!(
        "SELECT {} AS n FROM (SELECT 1) one WHERE EXISTS ({})",
        1,
        &source[from..to]
    );
    let statement = statement
        .replace("$2", "$2::text")
        .replace("$3", "$3::text");
    for (deletes, analyzed) in [(10, false), (20_000, false), (20_000, true)] {
        app.database.execute(&format!(
            "SET sigpersist.tenant = '1';
             INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target)
             SELECT 1, 'acme', 'tenant', CASE n % 2 WHEN 0 THEN 'signature.delete' ELSE 'hook.set' END, 'd/' || n
             FROM generate_series(1, {deletes}) n"
        ));
        if analyzed {
            app.database.execute("ANALYZE audit_events");
        }
        if deletes > 10 {
            let plans = app.database.analyze(&statement, "1, 'd', 'x'");
            assert!(plans.contains("audit_events_deleted_idx"), "{plans}");
            assert!(!plans.contains("Seq Scan on audit_events"), "{plans}");
        }
    }
}
