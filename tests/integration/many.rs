//! Many signatures in one request: each has an outcome of its own.

use serde_json::{Value, json};

use crate::support::{Client, FIRST, TestApp, eventually};

fn draft(document: &str, version: u32, cms: &str) -> Value {
    json!({"document": document, "thread": "t", "version": version, "cms": cms})
}

#[track_caller]
fn results(client: &Client, path: &str, signatures: &[Value]) -> Vec<Value> {
    let answer = client.json("POST", path, &json!({ "signatures": signatures }));
    let content = answer.expect(200).json["content"].clone();
    content["results"].as_array().unwrap().clone()
}

fn statuses(results: &[Value]) -> Vec<u64> {
    let statuses = results.iter().map(|result| result["status"].as_u64());
    statuses.map(Option::unwrap).collect()
}

#[test]
fn each_is_saved_refused_or_found_as_by_a_request_of_its_own() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("there", "t", 0, "first").expect(201);
    let all = [
        draft("new", 0, "a"),
        draft("there", 0, "first"),
        draft("there", 0, "other"),
        // Of one thread, in their order.
        draft("new", 1, "b"),
        draft("new", 2, "c"),
        draft("new", 2, "d"),
        draft("new", 3, "e"),
        json!({"document": "other", "thread": "t", "cms": "x", "tags": ["a"], "version_created_by": 33}),
    ];
    let saved = results(&acme, "/signatures", &all);
    assert_eq!(statuses(&saved), [201, 200, 409, 201, 201, 409, 424, 201]);
    assert_eq!(saved[4]["signature"]["version"], 3);
    assert_eq!(saved[4]["signature"]["parent"], 2);
    assert_eq!(saved[4]["signature"].get("signature"), None);
    assert_eq!(saved[4]["error"], Value::Null);
    assert_eq!(saved[5]["signature"], Value::Null);
    assert_eq!(saved[5]["error"]["code"], "version_conflict");
    assert_eq!(saved[5]["error"]["details"]["current_version"], 3);
    assert_eq!(saved[6]["error"]["code"], "earlier_failed");
    assert_eq!(saved[7]["signature"]["tags"], json!(["a"]));
    // The same once more changes nothing.
    let again = results(&acme, "/signatures", &all);
    assert_eq!(statuses(&again), [200, 200, 409, 200, 200, 409, 424, 200]);
    assert_eq!(acme.read("new", "t").signature()["signature"], "c");

    let read = results(
        &acme,
        "/signatures/get",
        &[
            json!({"document": "new", "thread": "t"}),
            json!({"document": "new", "thread": "t", "version": 1}),
            json!({"document": "new", "thread": "t", "version": 4}),
            json!({"document": "nowhere", "thread": "t"}),
        ],
    );
    assert_eq!(statuses(&read), [200, 200, 404, 404]);
    assert_eq!(read[0]["signature"]["signature"], "c");
    assert_eq!(read[1]["signature"]["signature"], "a");
    assert_eq!(read[2]["error"]["code"], "signature_not_found");
}

#[test]
fn one_that_is_not_as_described_refuses_the_whole_request() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (wrong, field) in [
        (json!({"document": "x", "thread": "t"}), "/signatures/1/cms"),
        (
            json!({"document": "x", "thread": "t", "cms": "x", "nonsense": 1}),
            "/signatures/1/nonsense",
        ),
        (
            json!({"document": "x", "thread": "t", "cms": "x", "version": -1}),
            "/signatures/1/version",
        ),
    ] {
        let all = json!({"signatures": [draft("d", 0, "x"), wrong]});
        let refused = acme.json("POST", "/signatures", &all);
        let refused = refused.expect_error(400, "invalid_parameter");
        assert_eq!(refused.json["details"]["field"], field);
    }
    for wrong in [json!("x"), json!(1), Value::Null, json!([])] {
        let all = json!({"signatures": [draft("d", 0, "x"), wrong]});
        let refused = acme.json("POST", "/signatures", &all);
        let refused = refused.expect_error(400, "invalid_parameter");
        assert_eq!(refused.json["details"]["field"], "/signatures/1");
    }
    let deep = format!(
        r#"{{"signatures": [{{"document": "d", "thread": "t", "cms": "x", "tags": {}{}}}]}}"#,
        "[".repeat(300),
        "]".repeat(300)
    );
    let kind = [("content-type", "application/json")];
    let refused = acme.send("POST", "/signatures", &kind, Some(deep.into_bytes()));
    let refused = refused.expect_error(400, "invalid_parameter");
    assert_eq!(refused.json["details"]["field"], "/signatures/0/tags");
    acme.read("d", "t").expect_error(404, "signature_not_found");
    acme.json(
        "POST",
        "/signatures/get",
        &json!({"signatures": [{"document": "d"}]}),
    )
    .expect_error(400, "invalid_parameter");
}

/// What a single save takes, many take, too.
#[test]
fn each_may_be_as_large_as_alone() {
    let app = TestApp::start_with(|config| config.http.max_signature_bytes = 200_000);
    let acme = app.tenant("acme");
    let tags: Vec<_> = (0..64).map(|number| number.to_string()).collect();
    let all: Vec<_> = (0..100)
        .map(|number| json!({"document": format!("d{number}"), "thread": "t", "cms": "x", "tags": tags}))
        .collect();
    assert_eq!(statuses(&results(&acme, "/signatures", &all)), [201; 100]);
    let large = draft("large", 0, &"x".repeat(200_000));
    let zero = draft("zero", 0, "x\u{0}");
    let both = results(&acme, "/signatures", &[large, zero]);
    assert_eq!(statuses(&both), [201; 2]);
    // Nothing of a request with one that is too large is saved: what follows in its thread could take its place.
    let all = [
        draft("first", 0, &"x".repeat(200_001)),
        draft("first", 1, "second"),
    ];
    acme.json("POST", "/signatures", &json!({ "signatures": all }))
        .expect_error(413, "payload_too_large");
    acme.read("first", "t")
        .expect_error(404, "signature_not_found");
}

#[test]
fn after_one_that_failed_the_next_of_its_thread_does_not_take_its_place() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.operator("acme")
        .json("PATCH", "/policy", &json!({"accept": "readable"}))
        .expect(200);
    let all = [
        draft("d", 0, "refused"),
        draft("d", 1, FIRST.trim()),
        draft("other", 0, FIRST.trim()),
    ];
    let saved = results(&acme, "/signatures", &all);
    assert_eq!(statuses(&saved), [422, 424, 201]);
    acme.read("d", "t").expect_error(404, "signature_not_found");
}

#[test]
fn many_are_read_up_to_the_bytes_of_a_page() {
    let app = TestApp::start_with(|config| config.http.max_list_bytes = 1_000);
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, &"x".repeat(402)).expect(201);
    let one = json!({"document": "d", "thread": "t"});
    let read = results(&acme, "/signatures/get", &[one.clone(), one.clone()]);
    assert_eq!(statuses(&read), [200, 200]);
    let three = json!({"signatures": [one, one, one]});
    let refused = acme.json("POST", "/signatures/get", &three);
    let refused = refused.expect_error(400, "invalid_parameter");
    assert!(refused.text.contains("fewer"), "{}", refused.text);
}

#[test]
fn a_suspended_tenant_saves_no_more_of_a_request_that_runs() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d1", "t", 0, "x").expect(201);
    // The first of a thread waits for this lock, and the tenant is suspended meanwhile.
    let held = app.database.hold("SELECT id FROM signatures FOR UPDATE");
    let all = [draft("d1", 1, "a"), draft("d1", 2, "b")];
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| results(&acme, "/signatures", &all));
        eventually(|| {
            app.database
                .lines("SELECT count(*)::text AS line FROM pg_locks WHERE NOT granted")
                .trim()
                != "0"
        });
        app.platform()
            .send("POST", "/tenants/acme/suspend", &[], None)
            .expect(200);
        drop(held);
        let saved = saving.join().unwrap();
        assert_eq!(statuses(&saved), [201, 403]);
        assert_eq!(saved[1]["error"]["code"], "tenant_suspended");
    });
}

#[test]
fn a_hundred_threads_are_created_at_once() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let all: Vec<_> = (0..100)
        .map(|number| draft(&format!("d{number}"), 0, "x"))
        .collect();
    let saved = results(&acme, "/signatures", &all);
    assert_eq!(statuses(&saved), [201; 100]);
    for (place, result) in saved.iter().enumerate() {
        assert_eq!(result["signature"]["document"], format!("d{place}"));
    }
    let count = acme.get("/signatures?count=true&limit=1").expect(200);
    assert_eq!(count.json["content"]["nb_results"], 100);
    let one_more = [all.as_slice(), &[draft("d100", 0, "x")]].concat();
    for wrong in [json!([]), json!(one_more)] {
        acme.json("POST", "/signatures", &json!({ "signatures": wrong }))
            .expect_error(400, "invalid_parameter");
    }
    for wrong in [json!({}), json!([]), json!({"signatures": [], "x": 1})] {
        let refused = acme.json("POST", "/signatures", &wrong);
        assert_eq!(refused.status, 400, "{}", refused.text);
    }
}

#[test]
fn each_counts_as_a_request() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let quotas = json!({"requests_per_second": 1, "request_burst": 5});
    app.platform()
        .json("PATCH", "/tenants/acme", &json!({ "quotas": quotas }))
        .expect(200);
    let all: Vec<_> = (0..8)
        .map(|number| draft(&format!("d{number}"), 0, "x"))
        .collect();
    let saved = results(&acme, "/signatures", &all);
    let statuses = statuses(&saved);
    let done = statuses.iter().filter(|status| **status == 201).count();
    // Another second may have begun.
    assert!((5..=6).contains(&done), "{statuses:?}");
    let refused = saved.iter().find(|result| result["status"] == 429).unwrap();
    assert_eq!(refused["error"]["code"], "quota_exceeded");
    assert!(refused["error"]["retry_after"].as_u64().unwrap() >= 1);
}
