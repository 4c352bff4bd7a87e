//! What is refused is told in the log of a tenant that wants that: by whom and why, and never so often that it fills the log.

use serde_json::{Value, json};
use sigpersist_model::plugin::{Mode, OnFailure};

use crate::support::guest::{Guest, LOOP};
use crate::support::{Client, REJECT, TestApp, eventually};

fn guest(judges: &[&str], judge: &str) -> Vec<u8> {
    Guest {
        judges,
        judge,
        ..Guest::default()
    }
    .component()
}

/// Whether a tenant wants refusals in its log.
fn want(operator: &Client, refusals: bool) {
    let set = operator.json("PATCH", "/log", &json!({ "refusals": refusals }));
    let set = set.expect(200);
    assert_eq!(set.json["content"]["settings"]["refusals"], refusals);
}

/// The refusals in the log of a tenant.
fn told(app: &TestApp, client: &Client) -> Vec<Value> {
    app.sequence();
    let page = client
        .get("/events?types=version.refused&limit=1000")
        .expect(200);
    page.json["content"]["events"].as_array().unwrap().clone()
}

fn faults(app: &TestApp) -> Value {
    let checked = app.operator("acme").get("/log/verify").expect(200);
    checked.json["content"]["log"]["faults"].clone()
}

#[test]
fn a_refusal_says_by_what_and_why_as_the_answer_did() {
    let app = TestApp::start();
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    operator
        .json("PATCH", "/policy", &json!({"accept": "cms"}))
        .expect(200);
    // Nobody wants it yet.
    acme.save("d", "t", 0, "x")
        .expect_error(422, "signature_not_accepted");
    assert_eq!(told(&app, &acme), Vec::<Value>::new());
    want(&operator, true);
    let answer = acme
        .save("d", "t", 0, "x")
        .expect_error(422, "signature_not_accepted");
    let refused = told(&app, &acme);
    assert_eq!(refused.len(), 1);
    let event = &refused[0];
    assert_eq!(
        (&event["document"], &event["thread"]),
        (&json!("d"), &json!("t"))
    );
    assert_eq!(
        event["refusal"],
        json!({
            "operation": "save",
            "code": "signature_not_accepted",
            "message": answer.json["message"],
            "reasons": [{
                "by": "policy",
                "name": "cms",
                "code": "signature_not_accepted",
                "message": answer.json["message"],
            }],
            "omitted": 0,
        })
    );
    operator
        .json("PATCH", "/policy", &json!({"accept": "any"}))
        .expect(200);
    acme.save("d", "t", 0, "x").expect(201);
    acme.save("d", "t", 7, "y")
        .expect_error(409, "version_conflict");
    app.hook(
        "acme",
        "no",
        &guest(&["save-validator", "delete-validator"], REJECT),
        |_| {},
    );
    for operation in ["save", "delete"] {
        let answer = match operation {
            "save" => acme.save("d", "t", 1, "y"),
            _ => acme.delete("d", "t"),
        };
        let answer = answer.expect_error(422, "hook_rejected");
        let refused = told(&app, &acme);
        let refusal = &refused.last().unwrap()["refusal"];
        assert_eq!(
            (&refusal["operation"], &refusal["code"], &refusal["message"]),
            (
                &json!(operation),
                &json!("hook_rejected"),
                &answer.json["message"]
            )
        );
        let rejection = &answer.json["details"]["rejections"][0];
        assert_eq!(
            refusal["reasons"],
            json!([{
                "by": "hook",
                "name": "no",
                "code": rejection["code"],
                "message": rejection["message"],
            }])
        );
    }
    // A hook that fails refuses, too, unless its settings say otherwise; and what it would say if it did not only watch is no
    // refusal.
    app.set("acme", "no", "no", |hook| hook.mode = Mode::Monitor)
        .unwrap();
    app.hook("acme", "loops", &guest(&["save-validator"], LOOP), |hook| {
        hook.on_failure = OnFailure::Reject;
    });
    acme.save("d", "t", 1, "y").expect_error(500, "hook_failed");
    let refused = told(&app, &acme);
    assert_eq!(refused.len(), 4);
    assert_eq!(refused[3]["refusal"]["code"], "hook_failed");
    assert_eq!(refused[3]["refusal"]["reasons"][0]["name"], "loops");
    // Other errors are no refusals, and neither is anything that only tries.
    acme.delete("none", "t")
        .expect_error(404, "signature_not_found");
    let input =
        json!({"operation": "save", "document": "d", "thread": "t", "version": 1, "cms": "y"});
    operator
        .json("POST", "/hooks/evaluate", &json!({ "input": input }))
        .expect(200);
    operator
        .json(
            "POST",
            "/hooks/backtest",
            &json!({"candidate": {"hook": "no"}}),
        )
        .expect(200);
    let decisions = operator
        .get("/hooks/decisions?verdict=rejected")
        .expect(200);
    let id = decisions.json["content"]["decisions"][0]["id"]
        .as_str()
        .unwrap();
    operator
        .send("POST", &format!("/hooks/decisions/{id}/replay"), &[], None)
        .expect(200);
    assert_eq!(told(&app, &acme).len(), 4);
    want(&operator, false);
    acme.save("d", "t", 1, "y").expect_error(500, "hook_failed");
    assert_eq!(told(&app, &acme).len(), 4);
    assert_eq!(faults(&app), json!([]));
    app.platform()
        .json("PATCH", "/log", &json!({"refusals": true}))
        .expect_error(400, "invalid_parameter");
}

#[test]
fn many_refusals_are_few_entries_and_a_number() {
    let app = TestApp::start();
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    let other = app.tenant("other");
    for slug in ["acme", "other"] {
        let operator = app.operator(slug);
        operator
            .json("PATCH", "/policy", &json!({"accept": "cms"}))
            .expect(200);
        want(&operator, true);
    }
    for number in 0..100 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(422);
    }
    assert_eq!(told(&app, &acme).len(), 20);
    // Others have a number of their own.
    other.save("d", "t", 0, "x").expect(422);
    assert_eq!(told(&app, &other).len(), 1);
    // As are those of another server, whose cache knows what was set here.
    let second = app.replica();
    let mut there = acme.clone();
    there.base.clone_from(&second.base);
    there.save("d", "t", 0, "x").expect(422);
    assert_eq!(told(&app, &acme).len(), 21);
    want(&operator, false);
    eventually(|| {
        let before = told(&app, &acme).len();
        there.save("d", "t", 0, "x").expect(422);
        told(&app, &acme).len() == before
    });
}

#[test]
fn what_a_refusal_says_goes_with_its_thread_or_with_the_decisions_of_its_age() {
    let app = TestApp::start_with(|config| config.hooks.keep_decisions_days = 30);
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    want(&operator, true);
    acme.save("d", "t", 0, "x").expect(201);
    acme.save("e", "t", 0, "x").expect(201);
    operator
        .json("PATCH", "/policy", &json!({"accept": "cms"}))
        .expect(200);
    acme.save("d", "t", 1, "y").expect(422);
    // Also if it is in the queue yet.
    acme.save("e", "t", 1, "y").expect(422);
    acme.delete("e", "t").expect(200);
    acme.save("never", "t", 0, "y").expect(422);
    acme.save("never", "u", 0, "y").expect(422);
    assert_eq!(told(&app, &acme).len(), 3);
    acme.delete("d", "t").expect(200);
    let left = told(&app, &acme);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|event| event["document"] == "never"));
    let refs = app
        .database
        .lines("SELECT array_length(refs, 1)::text AS line FROM log_entries WHERE kind = 'd' ORDER BY number DESC LIMIT 1");
    assert_eq!(refs.trim(), "2");
    assert_eq!(faults(&app), json!([]));
    acme.save("never", "v", 0, "y").expect(422);
    app.database.execute(
        "UPDATE log_entries SET at = at - interval '31 days' WHERE kind = 'r' AND event LIKE '%\"u\"%'",
    );
    let _clearing = app.clear_decisions();
    eventually(|| told(&app, &acme).len() == 2);
    let left = told(&app, &acme);
    let threads: Vec<_> = left.iter().map(|event| &event["thread"]).collect();
    assert_eq!(threads, ["t", "v"]);
    let erased = app.database.lines(
        "SELECT count(*)::text AS line FROM log_entries WHERE kind = 'r' AND event IS NULL AND salt IS NULL",
    );
    assert_eq!(erased.trim(), "3");
}
