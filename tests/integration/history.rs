//! The history of a hook: all its bindings, what differs between them, and the way back to any of them.

use serde_json::{Value, json};
use sigpersist_model::plugin::Mode;

use crate::support::guest::{ACCEPT, Guest};
use crate::support::{Client, REJECT, SIGNER_TAGS, TestApp};

fn guest(judge: &str) -> Vec<u8> {
    Guest {
        judge,
        ..Guest::default()
    }
    .component()
}

fn bindings(client: &Client, query: &str) -> (Vec<Value>, Value) {
    let page = client
        .get(&format!("/hooks/h/bindings?{query}"))
        .expect(200);
    let content = &page.json["content"];
    let bindings = content["bindings"].as_array().unwrap().clone();
    (bindings, content["next"].clone())
}

fn each(bindings: &[Value], name: &str) -> Vec<Value> {
    let bindings = bindings.iter();
    bindings.map(|binding| binding[name].clone()).collect()
}

fn roll_back(client: &Client, to: u32) -> crate::support::Response {
    client.json("POST", "/hooks/h/rollback", &json!({ "to": to }))
}

#[test]
fn every_binding_is_kept_with_its_author_and_can_be_compared_and_restored() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.upload("tags", SIGNER_TAGS).unwrap();
    let set = |settings: Value| {
        let request = json!({"plugin": "tags", "settings": settings, "timeout_ms": 1000});
        operator.json("PUT", "/hooks/h", &request)
    };
    set(json!({"prefixes": {"iin": "a/", "bin": ""}})).expect(201);
    set(json!({"prefixes": {"iin": "b/", "signer": "s/"}})).expect(200);
    app.set("acme", "h", "tags", |request| {
        request.timeout_ms = Some(1000);
        request.mode = Mode::Monitor;
        request.settings = json!({"prefixes": {"iin": "b/", "signer": "s/"}});
        request.shadow = Some(Default::default());
    })
    .unwrap();

    let (all, next) = bindings(&operator, "");
    assert_eq!(each(&all, "number"), [3, 2, 1]);
    assert_eq!(each(&all, "in_force"), [true, false, false]);
    assert_eq!(each(&all, "deleted"), [false, false, false]);
    assert_eq!(each(&all, "mode"), ["monitor", "enforce", "enforce"]);
    assert_eq!(
        each(&all, "set_by"),
        [json!("command line"), json!("tester"), json!("tester")]
    );
    assert!(all[0]["set_at"].as_str() >= all[1]["set_at"].as_str());
    assert_eq!(next, Value::Null);
    let hook = operator.get("/hooks/h").expect(200);
    let hook = &hook.json["content"]["hook"];
    for name in [
        "plugin", "revision", "settings", "shadow", "set_at", "order",
    ] {
        assert_eq!(all[0][name], hook[name], "{name}");
    }
    // In pages.
    let (first, next) = bindings(&operator, "limit=2");
    assert_eq!(
        (each(&first, "number"), &next),
        (vec![json!(3), json!(2)], &json!("2"))
    );
    let (rest, next) = bindings(&operator, "limit=2&cursor=2");
    assert_eq!((each(&rest, "number"), next), (vec![json!(1)], Value::Null));
    let one = operator.get("/hooks/h/bindings/2").expect(200);
    assert_eq!(one.json["content"]["binding"], all[1]);

    let diff = |path: &str| {
        let path = format!("/hooks/h/bindings/{path}");
        operator.get(&path).expect(200).json["content"]["diff"].clone()
    };
    let settings = diff("1/diff?to=2");
    assert_eq!(settings["changed"], json!(["settings"]));
    assert_eq!(
        settings["changes"],
        json!([
            {"op": "remove", "path": "/settings/prefixes/bin", "before": "", "after": null},
            {"op": "replace", "path": "/settings/prefixes/iin", "before": "a/", "after": "b/"},
            {"op": "add", "path": "/settings/prefixes/signer", "before": null, "after": "s/"},
        ])
    );
    // Without another one, with the one in force.
    let mode = diff("2/diff");
    assert_eq!((&mode["from"], &mode["to"]), (&json!(2), &json!(3)));
    assert_eq!(mode["changed"], json!(["mode", "shadow"]));
    assert_eq!(diff("3/diff")["changes"], json!([]));

    // Restores any of them, as a new binding; a repetition changes nothing.
    let back = roll_back(&operator, 1).expect(200);
    assert_eq!(back.json["content"]["hook"]["number"], 4);
    assert_eq!(diff("1/diff")["changes"], json!([]));
    let again = roll_back(&operator, 1).expect(200);
    assert_eq!(again.json["content"]["hook"]["number"], 4);
    acme.save("d", "t", 0, crate::support::FIRST.trim())
        .expect(201);

    for (path, code) in [
        ("/hooks/h/bindings/77", "binding_not_found"),
        ("/hooks/h/bindings/0", "binding_not_found"),
        ("/hooks/h/bindings/x", "binding_not_found"),
        ("/hooks/h/bindings/1/diff?to=77", "binding_not_found"),
        ("/hooks/none/bindings", "hook_not_found"),
        ("/hooks/none/bindings/1", "hook_not_found"),
        ("/hooks/none/bindings/1/diff", "hook_not_found"),
    ] {
        operator.get(path).expect_error(404, code);
    }
    for bad in ["limit=0", "limit=51", "cursor=x", "to=1"] {
        operator
            .get(&format!("/hooks/h/bindings?{bad}"))
            .expect_error(400, "invalid_parameter");
    }
    let (of_platform, _) = bindings(&app.platform_for("acme"), "");
    assert_eq!(of_platform.len(), 4);
}

#[test]
fn a_removed_hook_keeps_its_history_and_comes_back_by_number() {
    let app = TestApp::start_with(|config| config.hooks.max_hooks_per_tenant = 1);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "h", &guest(REJECT), |_| {});
    operator.send("DELETE", "/hooks/h", &[], None).expect(200);
    acme.save("d", "t", 0, "x").expect(201);
    let (all, _) = bindings(&operator, "");
    assert_eq!(each(&all, "in_force"), [false]);
    // There is no binding in force to go back from, or to compare with.
    operator
        .send("POST", "/hooks/h/rollback", &[], None)
        .expect_error(404, "hook_not_found");
    operator
        .get("/hooks/h/bindings/1/diff")
        .expect_error(404, "hook_not_found");
    roll_back(&operator, 2).expect_error(404, "binding_not_found");
    // As for a new hook, there must be room for it.
    app.hook("acme", "other", &guest(ACCEPT), |_| {});
    roll_back(&operator, 1).expect_error(422, "refused");
    operator
        .send("DELETE", "/hooks/other", &[], None)
        .expect(200);
    let headers = [("if-match", "\"1\"")];
    operator
        .json_with("POST", "/hooks/h/rollback", &json!({"to": 1}), &headers)
        .expect_error(412, "precondition_failed");
    let back = roll_back(&operator, 1).expect(200);
    assert_eq!(back.json["content"]["hook"]["number"], 2);
    acme.save("e", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    let audit = app.audit("acme");
    assert_eq!(audit.last().unwrap(), "hook.rollback h");
    let event = operator.get("/audit?action=hook.rollback").expect(200);
    let event = &event.json["content"]["events"][0];
    assert_eq!(event["before"], Value::Null);
    assert_eq!(event["after"]["number"], 2);
}

#[test]
fn a_binding_whose_plugin_was_deleted_is_shown_but_not_restored() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let upload = |name: &str, component: Vec<u8>| {
        let headers = [("content-type", "application/wasm")];
        operator
            .send(
                "PUT",
                &format!("/plugins/{name}"),
                &headers,
                Some(component),
            )
            .expect(201);
    };
    upload("old", guest(REJECT));
    upload("new", guest(ACCEPT));
    for (plugin, status) in [("old", 201), ("new", 200)] {
        operator
            .json("PUT", "/hooks/h", &json!({ "plugin": plugin }))
            .expect(status);
    }
    operator
        .send("DELETE", "/plugins/old", &[], None)
        .expect(200);
    let (all, _) = bindings(&operator, "");
    assert_eq!(each(&all, "plugin"), ["new", "old"]);
    assert_eq!(each(&all, "deleted"), [false, true]);
    let refused = roll_back(&operator, 1).expect_error(422, "refused");
    let message = refused.json["message"].as_str().unwrap();
    let revision = all[1]["revision"].as_str().unwrap();
    assert!(
        message.contains("its plugin `old` was deleted") && message.contains(revision),
        "{message}"
    );
    // Another plugin of the same name is not the one that was bound.
    upload("old", guest(REJECT));
    roll_back(&operator, 1).expect_error(422, "refused");
    let (all, _) = bindings(&operator, "");
    assert_eq!(each(&all, "in_force"), [true, false]);
    let changed = operator.get("/hooks/h/bindings/1/diff").expect(200);
    assert_eq!(
        changed.json["content"]["diff"]["changed"],
        json!(["plugin", "revision"])
    );
}

#[test]
fn a_rollback_to_what_is_quarantined_says_so() {
    let app = TestApp::start_with(|config| config.hooks.quarantine_failures = 3);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "h", &guest(ACCEPT), |_| {});
    app.hook("acme", "h", &guest("(unreachable)"), |_| {});
    for number in 0..3 {
        acme.save(&number.to_string(), "t", 0, "x")
            .expect_error(500, "hook_failed");
    }
    let hook = operator.get("/hooks/h").expect(200);
    assert!(!hook.json["content"]["hook"]["quarantine"].is_null());
    let refused = roll_back(&operator, 2).expect_error(422, "refused");
    let message = refused.json["message"].as_str().unwrap();
    assert!(
        message.contains("quarantined") && message.contains("3 times in a row"),
        "{message}"
    );
    let back = roll_back(&operator, 1).expect(200);
    assert_eq!(back.json["content"]["hook"]["quarantine"], Value::Null);
    acme.save("d", "t", 0, "x").expect(201);
}
