//! The life of a tenant over REST: creation, change, suspension and resumption, and a deletion that is scheduled and
//! cancelled.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Client, Response, Stopwatch, TestApp, eventually};

fn tenant(response: &Response) -> &Value {
    &response.json["content"]["tenant"]
}

fn post(client: &Client, path: &str) -> Response {
    client.send("POST", path, &[], None)
}

fn delete(client: &Client, path: &str) -> Response {
    client.send("DELETE", path, &[], None)
}

#[test]
fn creating_again_gives_what_is_there_unless_something_else_is_asked_for() {
    let app = TestApp::start();
    let platform = app.platform();
    let asked =
        json!({"slug": "acme", "name": "Acme", "quotas": {"max_bytes": 5000, "request_burst": 0}});
    let created = platform.json("POST", "/tenants", &asked).expect(201);
    assert_eq!(created.header("location"), Some("/tenants/acme"));
    let acme = tenant(&created);
    assert_eq!(
        (&acme["slug"], &acme["name"]),
        (&json!("acme"), &json!("Acme"))
    );
    assert_eq!(acme["state"], "active");
    assert_eq!(acme["quotas"]["max_bytes"], 5000);
    assert_eq!(acme["quotas"]["max_threads"], Value::Null);
    assert_eq!(acme["quotas_in_force"]["max_threads"], 0);
    for same in [
        asked.clone(),
        json!({"slug": "acme"}),
        json!({"slug": "acme", "quotas": {"max_bytes": 5000, "max_threads": null}}),
    ] {
        let again = platform.json("POST", "/tenants", &same).expect(200);
        assert_eq!(tenant(&again), acme, "{same}");
    }
    for other in [
        json!({"slug": "acme", "name": "Another"}),
        json!({"slug": "acme", "quotas": {"max_bytes": 5001}}),
        json!({"slug": "acme", "quotas": {"max_threads": 1}}),
    ] {
        let refused = platform
            .json("POST", "/tenants", &other)
            .expect_error(409, "tenant_exists");
        assert!(refused.text.contains("PATCH /tenants/acme"));
    }
    assert_eq!(tenant(&platform.get("/tenants/acme").expect(200)), acme);
    let trail = platform.get("/audit?tenant=acme").expect(200);
    let events = trail.json["content"]["events"].as_array().unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["action"], "tenant.create");
    // Of many simultaneous requests, one creates the tenant.
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let racers = [(); 8].map(|()| {
            scope.spawn(|| {
                platform
                    .json("POST", "/tenants", &json!({"slug": "raced"}))
                    .status
            })
        });
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap())
            .collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 7);
}

#[test]
fn mistakes_are_told_with_their_place() {
    let app = TestApp::start();
    let platform = app.platform();
    app.tenant("acme");
    for (body, field) in [
        (json!({"slug": "a", "oops": 1}), "/oops"),
        (
            json!({"slug": "a", "quotas": {"max_byte": 1}}),
            "/quotas/max_byte",
        ),
        (
            json!({"slug": "a", "quotas": {"max_bytes": -1}}),
            "/quotas/max_bytes",
        ),
        (
            json!({"slug": "a", "quotas": {"max_bytes": u64::MAX}}),
            "/quotas/max_bytes",
        ),
    ] {
        let refused = platform
            .json("POST", "/tenants", &body)
            .expect_error(400, "invalid_parameter");
        assert_eq!(refused.json["details"]["field"], field, "{body}");
    }
    for body in [json!({"slug": "A"}), json!({"slug": "b", "name": ""})] {
        platform
            .json("POST", "/tenants", &body)
            .expect_error(422, "refused");
    }
    platform
        .get("/tenants/nobody")
        .expect_error(404, "tenant_not_found");
    platform
        .json("PATCH", "/tenants/nobody", &json!({"name": "x"}))
        .expect_error(404, "tenant_not_found");
    for path in ["/tenants/nobody/suspend", "/tenants/nobody/resume"] {
        post(&platform, path).expect_error(404, "tenant_not_found");
    }
    delete(&platform, "/tenants/nobody").expect_error(404, "tenant_not_found");
    platform
        .get("/tenants?state=asleep")
        .expect_error(400, "invalid_parameter");
    platform
        .get("/tenants?cursor=No+slug")
        .expect_error(400, "invalid_parameter");
    // A tenant may not even read these, whatever scopes its token has.
    let operator = app.operator("acme");
    for (method, path) in [
        ("GET", "/tenants"),
        ("GET", "/tenants/acme"),
        ("POST", "/tenants/acme/resume"),
        ("DELETE", "/tenants/acme"),
    ] {
        operator
            .send(method, path, &[], None)
            .expect_error(403, "insufficient_scope");
    }
}

#[test]
fn a_list_walks_every_tenant_once_while_others_come_and_go() {
    let app = TestApp::start();
    let platform = app.platform();
    let create = |slug: &str| {
        platform
            .json("POST", "/tenants", &json!({"slug": slug}))
            .expect(201)
    };
    let mut expected: Vec<String> = (0..25).map(|number| format!("t-{number:02}")).collect();
    // Creates them in another order than that of the list.
    for slug in expected.iter().rev() {
        create(slug).expect(201);
    }
    post(&platform, "/tenants/t-07/suspend").expect(200);
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = platform
            .get(&format!("/tenants?limit=4{cursor}"))
            .expect(200);
        let content = &page.json["content"];
        let slugs = content["tenants"].as_array().unwrap().iter();
        walked.extend(slugs.map(|tenant| tenant["slug"].as_str().unwrap().to_owned()));
        // Created after the first page; sorts before the cursor.
        if walked.len() == 4 {
            create("t-00-late").expect(201);
        }
        match content["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    expected.sort();
    assert_eq!(walked, expected);
    let suspended = platform.get("/tenants?state=suspended").expect(200);
    let suspended = suspended.json["content"]["tenants"].as_array().unwrap();
    assert_eq!(suspended.len(), 1);
    assert_eq!(suspended[0]["slug"], "t-07");
    let active = platform.get("/tenants?state=active&limit=1000").expect(200);
    assert_eq!(
        active.json["content"]["tenants"].as_array().unwrap().len(),
        25
    );
    assert_eq!(active.json["content"]["next"], Value::Null);
}

#[test]
fn a_change_holds_at_once_and_leaves_a_trace_of_what_was_changed() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let platform = app.platform();
    acme.save("d", "t", 0, "f-ur").expect(201);
    let changed = platform
        .json(
            "PATCH",
            "/tenants/acme",
            &json!({"name": "Acme Ltd", "quotas": {"max_signature_bytes": 3}}),
        )
        .expect(200);
    assert_eq!(tenant(&changed)["name"], "Acme Ltd");
    let refused = acme
        .save("e", "t", 0, "f-ur")
        .expect_error(413, "payload_too_large");
    assert_eq!(refused.json["details"]["limit_bytes"], 3);
    acme.save("e", "t", 0, "a-b").expect(201);
    // Omitted members stay as they are; null resets to the server's default.
    let changed = platform
        .json(
            "PATCH",
            "/tenants/acme",
            &json!({"quotas": {"max_signature_bytes": null}}),
        )
        .expect(200);
    assert_eq!(tenant(&changed)["name"], "Acme Ltd");
    acme.save("f", "t", 0, "f-ur").expect(201);
    // A request that changes nothing leaves no event.
    platform
        .json("PATCH", "/tenants/acme", &json!({"name": "Acme Ltd"}))
        .expect(200);
    let events = app.database.lines(
        "SELECT concat_ws(' ', action, before, after) AS line FROM audit_events WHERE action = 'tenant.update' ORDER BY number",
    );
    assert_eq!(
        events.lines().collect::<Vec<_>>(),
        [
            r#"tenant.update {"name":"acme","quotas":{"max_signature_bytes":null}} {"name":"Acme Ltd","quotas":{"max_signature_bytes":3}}"#,
            r#"tenant.update {"quotas":{"max_signature_bytes":3}} {"quotas":{"max_signature_bytes":null}}"#,
        ]
    );
}

#[test]
fn a_suspended_tenant_is_refused_everywhere_until_it_is_resumed() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let other = app.tenant("other");
    let platform = app.platform();
    let replica = app.replica();
    let elsewhere = Client::new(&replica.base, acme.token.clone());
    acme.save("d", "t", 0, "x").expect(201);
    elsewhere.read("d", "t").expect(200);
    let suspended = post(&platform, "/tenants/acme/suspend").expect(200);
    let since = Stopwatch::start();
    assert_eq!(tenant(&suspended)["state"], "suspended");
    acme.read("d", "t").expect_error(403, "tenant_suspended");
    while elsewhere.read("d", "t").status != 403 {
        assert!(since.elapsed() < Duration::from_secs(1));
    }
    acme.with_token("garbage")
        .read("d", "t")
        .expect_error(401, "invalid_token");
    other.save("d", "t", 0, "x").expect(201);
    // Suspending again changes nothing; platform operators may still act for the tenant.
    let again = post(&platform, "/tenants/acme/suspend").expect(200);
    assert_eq!(tenant(&again), tenant(&suspended));
    platform.get("/tenants/acme/hooks").expect(200);
    let usage = platform.get("/tenants/acme/usage").expect(200);
    assert_eq!(usage.json["content"]["usage"]["threads"], 1);
    let resumed = post(&platform, "/tenants/acme/resume").expect(200);
    assert_eq!(tenant(&resumed)["state"], "active");
    acme.read("d", "t").expect(200);
    eventually(|| elsewhere.read("d", "t").status == 200);
    post(&platform, "/tenants/acme/resume").expect(200);
    assert_eq!(
        app.audit("acme"),
        ["tenant.suspend acme", "tenant.resume acme"]
    );
}

#[test]
fn a_deletion_suspends_and_is_taken_back_until_it_has_begun() {
    let app = TestApp::start_with(|config| config.tenants.delete_grace_days = 7);
    let acme = app.tenant("acme");
    let platform = app.platform();
    acme.save("d", "t", 0, "x").expect(201);
    delete(&platform, "/tenants/acme?confirm=other").expect_error(400, "invalid_parameter");
    acme.read("d", "t").expect(200);
    let deleted = delete(&platform, "/tenants/acme").expect(202);
    assert_eq!(tenant(&deleted)["state"], "deleting");
    assert_eq!(
        app.database.lines(
            "SELECT (delete_after - suspended_at)::text AS line FROM tenants WHERE slug = 'acme'"
        ),
        "7 days\n"
    );
    acme.read("d", "t").expect_error(403, "tenant_suspended");
    // Neither deleting again nor suspending changes the date. Creating the tenant is refused.
    let again = delete(&platform, "/tenants/acme").expect(202);
    assert_eq!(tenant(&again), tenant(&deleted));
    let again = post(&platform, "/tenants/acme/suspend").expect(200);
    assert_eq!(tenant(&again), tenant(&deleted));
    platform
        .json("POST", "/tenants", &json!({"slug": "acme"}))
        .expect_error(409, "tenant_deleting");
    let listed = platform.get("/tenants?state=deleting").expect(200);
    assert_eq!(listed.json["content"]["tenants"][0]["slug"], "acme");
    // The tenant is not removed yet.
    let removal = app.remove_tenants();
    std::thread::sleep(Duration::from_millis(300));
    drop(removal);
    let resumed = post(&platform, "/tenants/acme/resume").expect(200);
    assert_eq!(tenant(&resumed)["delete_after"], Value::Null);
    acme.read("d", "t").expect(200);
    // Once the removal has begun, it can't be cancelled.
    delete(&platform, "/tenants/acme?confirm=acme").expect(202);
    app.database
        .execute("UPDATE tenants SET removing_since = now() WHERE slug = 'acme'");
    post(&platform, "/tenants/acme/resume").expect_error(409, "tenant_deleting");
    platform
        .json("PATCH", "/tenants/acme", &json!({"name": "x"}))
        .expect_error(409, "tenant_deleting");
    platform
        .json("POST", "/tenants", &json!({"slug": "acme"}))
        .expect_error(409, "tenant_deleting");
    let removing = delete(&platform, "/tenants/acme").expect(202);
    assert_eq!(tenant(&removing)["state"], "removing");
}
