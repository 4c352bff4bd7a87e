//! Webhooks: what is delivered, in which order and with which signature; what happens if a receiver does not take it.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sigpersist::webhooks::keep_dispatching;
use sigpersist_model::context::Scope;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Call, Client, Receiver, TestApp, eventually};

/// A server that numbers what happens and calls webhooks on this machine.
fn start() -> (TestApp, [AbortOnDropHandle<()>; 2]) {
    let app = TestApp::start_with(|config| {
        config.evidence.interval_ms = 20;
        config.webhooks.allow = "127.0.0.1".to_owned();
    });
    let tasks = [app.keep_sequencing(), app.keep(keep_dispatching)];
    (app, tasks)
}

fn create(operator: &Client, form: &Value) -> (i64, String) {
    let made = operator.json("POST", "/webhooks", form).expect(201);
    let content = &made.json["content"];
    let id = content["webhook"]["id"].as_i64().unwrap();
    (id, content["secret"].as_str().unwrap().to_owned())
}

fn webhook(operator: &Client, id: i64) -> Value {
    operator.get(&format!("/webhooks/{id}")).expect(200).json["content"]["webhook"].clone()
}

#[test]
fn what_happens_is_delivered_once_signed_and_in_the_order_of_each_thread() {
    let (app, _tasks) = start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let receiver = Receiver::start(|_| 204);
    let types = json!(["version.", "signature."]);
    let (id, secret) = create(&operator, &json!({"url": receiver.url, "types": types}));
    for version in 0..5 {
        for document in ["a", "b"] {
            acme.save(document, "t", version, &format!("{version}"))
                .expect(201);
        }
    }
    acme.delete("b", "t").expect(200);
    // Versions of a deleted signature that were not told yet are not told any more. Threads do not wait for each other.
    eventually(|| {
        let calls = receiver.calls();
        let is_deleted = |call: &Call| call.json()["type"] == "signature.deleted";
        calls.iter().any(is_deleted) && calls.iter().any(|call| call.told() == "a 5")
    });
    let told = receiver.told();
    let of = |document: &str| {
        told.iter()
            .filter(|told| told.starts_with(document))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("a"),
        (1..=5)
            .map(|version| format!("a {version}"))
            .collect::<Vec<_>>()
    );
    assert!(of("b").is_sorted());
    let mut ids = HashSet::new();
    for call in receiver.calls() {
        assert!(call.verifies(&secret));
        assert!(ids.insert(call.headers["webhook-id"].clone()), "told twice");
        let event = call.json();
        assert_eq!(event["data"]["type"], event["type"]);
        assert_eq!(event["data"]["id"], call.headers["webhook-id"]);
        assert_eq!(call.headers["content-type"], "application/json");
    }
    eventually(|| webhook(&operator, id)["behind"] == 0);
    let attempts = operator
        .get(&format!("/webhooks/{id}/attempts"))
        .expect(200);
    let attempts = attempts.json["content"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), ids.len());
    assert_eq!(
        (&attempts[0]["outcome"], &attempts[0]["status"]),
        (&json!("delivered"), &json!(204))
    );
    // Again, with the same ids.
    let before = receiver.calls().len();
    let replayed = operator.json(
        "POST",
        &format!("/webhooks/{id}/replay"),
        &json!({"from": 1, "to": 1000}),
    );
    assert!(
        replayed.expect(202).json["content"]["events"]
            .as_i64()
            .unwrap()
            > 10
    );
    eventually(|| receiver.calls().len() >= before + 6 && webhook(&operator, id)["pending"] == 0);
    for call in receiver.calls() {
        ids.insert(call.headers["webhook-id"].clone());
    }
    assert!(ids.len() <= before);
    // Whoever asks for another tenant's finds nothing.
    app.tenant("other");
    app.operator("other")
        .get(&format!("/webhooks/{id}"))
        .expect_error(404, "webhook_not_found");
}

#[test]
fn a_failed_call_holds_back_its_own_thread_only_and_nothing_is_lost() {
    let (app, _tasks) = start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let works = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let working = Arc::clone(&works);
    let receiver = Receiver::start(move |call| {
        let is_first = call.told() == "a 1";
        if is_first && !working.load(std::sync::atomic::Ordering::SeqCst) {
            500
        } else {
            200
        }
    });
    let (id, _) = create(
        &operator,
        &json!({"url": receiver.url, "types": ["version."]}),
    );
    acme.save("a", "t", 0, "1").expect(201);
    acme.save("a", "t", 1, "2").expect(201);
    acme.save("b", "t", 0, "1").expect(201);
    eventually(|| {
        receiver.told().contains(&"b 1".to_owned()) && webhook(&operator, id)["pending"] == 2
    });
    acme.save("a", "t", 2, "3").expect(201);
    acme.save("b", "t", 1, "2").expect(201);
    eventually(|| {
        receiver.told().contains(&"b 2".to_owned()) && webhook(&operator, id)["pending"] == 3
    });
    assert_eq!(
        receiver
            .told()
            .iter()
            .filter(|told| told.starts_with('a'))
            .count(),
        1
    );
    assert_ne!(webhook(&operator, id)["failing_since"], json!("x"));
    works.store(true, std::sync::atomic::Ordering::SeqCst);
    // The first retry comes after about five seconds.
    eventually(|| webhook(&operator, id)["pending"] == 0);
    let told: Vec<_> = receiver
        .told()
        .into_iter()
        .filter(|told| told.starts_with('a'))
        .collect();
    assert_eq!(told, ["a 1", "a 1", "a 2", "a 3"]);
}

#[test]
fn a_receiver_that_is_gone_or_fails_for_days_is_not_called_any_more_until_somebody_says_so() {
    let (app, _tasks) = start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let status = Arc::new(std::sync::atomic::AtomicU16::new(410));
    let answers = Arc::clone(&status);
    let receiver = Receiver::start(move |_| answers.load(std::sync::atomic::Ordering::SeqCst));
    let (id, _) = create(
        &operator,
        &json!({"url": receiver.url, "types": ["version."]}),
    );
    acme.save("a", "t", 0, "1").expect(201);
    eventually(|| webhook(&operator, id)["enabled"] == false);
    let why = webhook(&operator, id)["disabled_because"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(why.contains("410"), "{why}");
    acme.save("a", "t", 1, "2").expect(201);
    eventually(|| {
        let events = operator.get("/events?types=webhook.disable").expect(200);
        events.json["content"]["events"].as_array().unwrap().len() == 1
    });
    assert_eq!(receiver.calls().len(), 1);
    status.store(503, std::sync::atomic::Ordering::SeqCst);
    app.database
        .execute("UPDATE webhooks SET failing_since = now() - interval '6 days'");
    operator
        .json(
            "PATCH",
            &format!("/webhooks/{id}"),
            &json!({"enabled": true}),
        )
        .expect(200);
    // Its time begins anew, when it is recorded that the call failed.
    eventually(|| receiver.calls().len() >= 2);
    eventually(|| webhook(&operator, id)["failing_since"] != Value::Null);
    assert_eq!(webhook(&operator, id)["enabled"], true);
    app.database.execute("UPDATE webhooks SET failing_since = now() - interval '6 days'; UPDATE webhook_pending SET next_at = now()");
    eventually(|| webhook(&operator, id)["enabled"] == false);
    status.store(200, std::sync::atomic::Ordering::SeqCst);
    operator
        .json(
            "PATCH",
            &format!("/webhooks/{id}"),
            &json!({"enabled": true}),
        )
        .expect(200);
    eventually(|| receiver.told().last().is_some_and(|told| told == "a 2"));
    assert_eq!(webhook(&operator, id)["failing_since"], Value::Null);
}

#[test]
fn a_new_secret_signs_beside_the_old_one_and_a_test_tells_what_came_of_it() {
    let (app, _tasks) = start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let receiver = Receiver::start(|_| 202);
    let (id, old) = create(
        &operator,
        &json!({"url": receiver.url, "types": ["no.such"]}),
    );
    let rotated = operator
        .json("POST", &format!("/webhooks/{id}/rotate-secret"), &json!({}))
        .expect(201);
    let new = rotated.json["content"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let test = operator
        .json("POST", &format!("/webhooks/{id}/test"), &json!({}))
        .expect(200);
    assert_eq!(test.json["content"]["attempt"]["outcome"], "delivered");
    let call = receiver.calls().pop().unwrap();
    assert_eq!(call.json()["type"], "webhook.test");
    assert!(call.verifies(&old) && call.verifies(&new));
    operator
        .json(
            "PATCH",
            &format!("/webhooks/{id}"),
            &json!({"types": ["version."]}),
        )
        .expect(200);
    let events = operator.get("/audit?action=webhook.").expect(200);
    let events = events.json["content"]["events"].as_array().unwrap();
    let actions: Vec<_> = events
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        ["webhook.update", "webhook.rotate_secret", "webhook.create"]
    );
    assert_eq!(events[0]["before"]["types"], json!(["no.such"]));
    // A rotation of the master key takes the secrets along.
    app.database.run(&["master-key", "rotate"]);
    app.database
        .execute("UPDATE webhooks SET old_secret_until = now()");
    let with_new_file = app.replica_with(|config| config.webhooks.allow = "127.0.0.1".to_owned());
    let there = Client::new(&with_new_file.base, operator.token.clone());
    there
        .json("POST", &format!("/webhooks/{id}/test"), &json!({}))
        .expect(200);
    let call = receiver.calls().pop().unwrap();
    assert!(!call.verifies(&old) && call.verifies(&new));
    there
        .send("DELETE", &format!("/webhooks/{id}"), &[], None)
        .expect(200);
    there
        .get(&format!("/webhooks/{id}"))
        .expect_error(404, "webhook_not_found");
}

#[test]
fn addresses_within_the_network_are_refused_when_they_are_entered() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    for url in [
        "http://127.0.0.1:8080/",
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://0x7f.1/",
        "https://example.com:8443/",
        "https://nowhere.invalid/",
        "ftp://example.com/",
    ] {
        operator
            .json("POST", "/webhooks", &json!({"url": url}))
            .expect_error(422, "refused");
    }
    for url in [
        "https://user:password@example.com/",
        "https://example.com/#a",
        "https://example.com/ä",
        "not a url",
    ] {
        operator
            .json("POST", "/webhooks", &json!({"url": url}))
            .expect_error(400, "invalid_parameter");
    }
    app.client("acme", &[Scope::WebhooksRead])
        .json("POST", "/webhooks", &json!({"url": "https://example.com/"}))
        .expect_error(403, "insufficient_scope");
}

#[test]
fn two_servers_share_the_work_and_one_that_goes_away_is_replaced() {
    let (app, tasks) = start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let receiver = Receiver::start(|_| 200);
    let (id, _) = create(
        &operator,
        &json!({"url": receiver.url, "types": ["version."]}),
    );
    // What is not numbered yet is not behind, so calls are counted, too.
    let is_done = |count: usize| {
        let now = webhook(&operator, id);
        let told: HashSet<_> = receiver.told().into_iter().collect();
        told.len() == count && now["behind"] == 0 && now["pending"] == 0
    };
    let other = app.replica_with(|config| {
        config.evidence.interval_ms = 20;
        config.webhooks.allow = "127.0.0.1".to_owned();
    });
    let others = [other.keep_sequencing(), other.keep(keep_dispatching)];
    for number in 0..30 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    eventually(|| is_done(30));
    drop(tasks);
    for number in 30..60 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    eventually(|| is_done(60));
    drop(others);
}

#[test]
fn monitoring_sees_how_far_webhooks_are_behind_and_which_fail() {
    let app = TestApp::start_with(|config| {
        config.evidence.interval_ms = 20;
        config.webhooks.allow = "127.0.0.1".to_owned();
    });
    let state = || app.app.store.webhooks_state().unwrap();
    let counts = || {
        let state = state();
        (
            state.enabled,
            state.failing,
            state.disabled,
            state.pending,
            state.lag.as_secs() / 3600,
        )
    };
    assert_eq!(counts(), (0, 0, 0, 0, 0));
    let status = Arc::new(std::sync::atomic::AtomicU16::new(500));
    let answers = Arc::clone(&status);
    let fails = Receiver::start(move |_| answers.load(std::sync::atomic::Ordering::SeqCst));
    let works = Receiver::start(|_| 200);
    let mut ids = Vec::new();
    for (slug, receiver) in [("acme", &fails), ("other", &works)] {
        let client = app.tenant(slug);
        let form = json!({"url": receiver.url, "types": ["version."]});
        ids.push(create(&app.operator(slug), &form).0);
        client.save("d", "t", 0, "1").expect(201);
        client.save("d", "t", 1, "2").expect(201);
    }
    app.sequence();
    // Nobody calls them.
    let acme = app.tenant_id("acme");
    app.database.execute(&format!(
        "UPDATE log_entries SET at = at - interval '2 hours' - interval '1 minute'; \
         UPDATE log_entries SET at = at - interval '1 hour' WHERE tenant_id = {acme}"
    ));
    assert_eq!(counts(), (2, 0, 0, 0, 3));
    let _dispatching = app.keep(keep_dispatching);
    // The second version waits behind the first.
    eventually(|| counts() == (1, 1, 0, 2, 3));
    eventually(|| works.calls().len() == 2);
    // Whoever is not called is not late.
    let operator = app.operator("acme");
    let switch = |enabled: bool| {
        let path = format!("/webhooks/{}", ids[0]);
        operator
            .json("PATCH", &path, &json!({ "enabled": enabled }))
            .expect(200);
    };
    switch(false);
    assert_eq!(counts(), (1, 0, 1, 0, 0));
    status.store(200, std::sync::atomic::Ordering::SeqCst);
    switch(true);
    app.database
        .execute("UPDATE webhook_pending SET next_at = now()");
    eventually(|| counts() == (2, 0, 0, 0, 0));
    assert_eq!(fails.calls().len(), 3);
}
