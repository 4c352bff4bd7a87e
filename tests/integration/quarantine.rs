//! Hooks that keep failing are quarantined on all servers at once, until they are released.

use serde_json::{Value, json};
use sigpersist_model::plugin::OnFailure;

use crate::support::guest::{Guest, LOOP};
use crate::support::{Client, SIGNER_TAGS, TestApp, eventually, slow_to_read};

fn looping() -> Vec<u8> {
    Guest {
        judge: LOOP,
        ..Guest::default()
    }
    .component()
}

fn quarantine(operator: &Client) -> Value {
    operator.get("/hooks/loop").expect(200).json["content"]["hook"]["quarantine"].clone()
}

fn app() -> TestApp {
    TestApp::start_with(|config| config.hooks.quarantine_failures = 3)
}

#[test]
fn a_hook_that_rejects_on_failure_refuses_at_once_without_running() {
    let app = app();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "loop", &looping(), |request| {
        request.timeout_ms = Some(100);
    });
    for _ in 0..3 {
        assert_eq!(quarantine(&operator), Value::Null);
        acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    }
    let reason = quarantine(&operator)["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("3 times in a row"), "{reason}");
    assert!(reason.contains("its limit of 100 ms"), "{reason}");
    for _ in 0..10 {
        acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    }
    let last = operator.get("/hooks/decisions?limit=10").expect(200);
    // No guest has run, since none has used time or fuel.
    let have_not_run = |decisions: &Value| {
        let decisions = decisions["content"]["decisions"].as_array().unwrap();
        let costs = decisions
            .iter()
            .map(|decision| (&decision["fuel"], &decision["microseconds"]));
        decisions.len() == 10
            && costs
                .into_iter()
                .all(|(fuel, time)| *fuel == 0 && *time == 0)
    };
    assert!(have_not_run(&last.json), "{}", last.text);
    let failure = last.json["content"]["decisions"][0]["failure"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(failure.contains("quarantined"), "{failure}");
    // A second server knows of the quarantine.
    let replica = app.replica();
    let elsewhere = Client::new(&replica.base, acme.token.clone());
    elsewhere
        .save("d", "t", 0, "x")
        .expect_error(500, "hook_failed");
    let last = operator.get("/hooks/decisions?limit=10").expect(200);
    assert!(have_not_run(&last.json), "{}", last.text);
    // A change of order does not end the quarantine.
    app.hook("acme", "other", &Guest::default().component(), |request| {
        request.order = -1;
    });
    operator
        .json("PUT", "/hooks/order", &json!({"order": ["loop", "other"]}))
        .expect(200);
    assert_ne!(quarantine(&operator), Value::Null);
    operator
        .send("DELETE", "/hooks/other", &[], None)
        .expect(200);
    // A released hook runs again, and is quarantined again if it goes on failing.
    let released = operator
        .send("POST", "/hooks/loop/release", &[], None)
        .expect(200);
    assert_eq!(released.json["content"]["hook"]["quarantine"], Value::Null);
    for _ in 0..3 {
        acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    }
    assert_ne!(quarantine(&operator), Value::Null);
    // A new binding of the hook ends its quarantine too.
    app.hook("acme", "loop", &Guest::default().component(), |_| {});
    assert_eq!(quarantine(&operator), Value::Null);
    acme.save("d", "t", 0, "x").expect(201);
    eventually(|| elsewhere.save("e", "t", 0, "x").status < 300);
    let metrics = app.platform().get_bytes("/metrics", &[]);
    let metrics = String::from_utf8(metrics).unwrap();
    for counted in ["sigpersist_hook_quarantines_total ", "verdict=\"failed\"} "] {
        assert!(metrics.contains(counted), "{metrics}");
    }
    operator
        .get("/metrics")
        .expect_error(403, "insufficient_scope");
    let events = app.audit("acme");
    assert_eq!(
        events[1..],
        [
            "hook.quarantine loop",
            "hook.set other",
            "hook.reorder loop",
            "hook.reorder other",
            "hook.delete other",
            "hook.release loop",
            "hook.quarantine loop",
            "hook.set loop"
        ]
    );
}

#[test]
fn a_hook_that_allows_on_failure_only_watches() {
    let app = app();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "loop", &looping(), |request| {
        request.timeout_ms = Some(20);
        request.on_failure = OnFailure::Allow;
    });
    for number in 0..4 {
        acme.save(&number.to_string(), "t", 0, "x").expect(201);
    }
    assert_ne!(quarantine(&operator), Value::Null);
    let modes = operator.get("/hooks/decisions").expect(200).json["content"]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| decision["mode"].clone())
        .collect::<Vec<_>>();
    assert_eq!(modes, ["monitor", "enforce", "enforce", "enforce"]);
}

#[test]
fn a_hook_that_fails_too_often_of_many_runs_is_set_aside() {
    let app = TestApp::start_with(|config| {
        config.hooks.quarantine_failures = 0;
        config.hooks.quarantine_window = 6;
        config.hooks.quarantine_percent = 50;
    });
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    // Traps if the name of the document has one letter.
    let half = Guest {
        judge: "(if (i32.eq (i32.load (i32.add (local.get 0) (i32.const 60))) (i32.const 1)) (then (unreachable))) (i32.const 1024)",
        ..Guest::default()
    };
    app.hook("acme", "loop", &half.component(), |request| {
        request.on_failure = OnFailure::Allow;
    });
    let mut failed = 0;
    for document in ["a", "bb", "c", "dd", "e", "ff"] {
        assert_eq!(quarantine(&operator), Value::Null);
        acme.save(document, "t", 0, "x").expect(201);
        let last = operator.get("/hooks/decisions?limit=1").expect(200).json;
        failed += usize::from(last["content"]["decisions"][0]["verdict"] == json!("failed"));
    }
    assert_eq!(failed, 3);
    assert!(
        quarantine(&operator)["reason"]
            .as_str()
            .unwrap()
            .contains("3 of 6")
    );
}

/// Saves a document that takes the server longer to read than a hook may run.
#[test]
fn the_servers_own_time_is_not_the_hooks() {
    let app = app();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "tags", SIGNER_TAGS, |request| {
        request.timeout_ms = Some(100);
    });
    let xml = slow_to_read(40);
    for number in 0..4 {
        acme.save(&number.to_string(), "t", 0, &xml).expect(201);
    }
    let decisions =
        operator.get("/hooks/decisions").expect(200).json["content"]["decisions"].clone();
    for decision in decisions.as_array().unwrap() {
        assert_eq!(decision["verdict"], json!("accepted"), "{decision}");
        let microseconds = decision["microseconds"].as_u64().unwrap();
        assert!(microseconds < 100_000, "{decision}");
    }
    let hook = operator.get("/hooks/tags").expect(200);
    assert_eq!(hook.json["content"]["hook"]["quarantine"], Value::Null);
}
