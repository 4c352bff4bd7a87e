//! Management of plugins, revisions and hooks over REST.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::guest::Guest;
use crate::support::{Client, FIRST, REJECT, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, TestApp};

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

fn put(client: &Client, path: &str, component: &[u8]) -> crate::support::Response {
    client.send("PUT", path, &WASM, Some(component.to_vec()))
}

fn rejecting() -> Vec<u8> {
    Guest {
        judge: REJECT,
        ..Guest::default()
    }
    .component()
}

fn accepting() -> Vec<u8> {
    Guest::default().component()
}

#[test]
fn a_plugin_is_uploaded_shown_given_back_and_deleted() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let first = put(&operator, "/plugins/tags", SIGNER_TAGS).expect(201);
    let revision = &first.json["content"]["revision"];
    let sha256 = revision["sha256"].as_str().unwrap().to_owned();
    assert_eq!(first.header("etag").unwrap(), format!("\"{sha256}\""));
    assert_eq!(
        first.header("location").unwrap(),
        format!("/plugins/tags/revisions/{sha256}")
    );
    assert_eq!(revision["exports"], json!(["lifecycle", "tagger"]));
    assert_eq!(revision["size"], SIGNER_TAGS.len());
    assert_eq!(revision["uploaded_by"], "tester");
    // Uploading the newest bytes again changes nothing; uploading older bytes makes them the newest again.
    put(&operator, "/plugins/tags", SIGNER_TAGS).expect(200);
    put(&operator, "/plugins/tags", REQUIRE_COUNTERSIGNATURE).expect(201);
    put(&operator, "/plugins/tags", SIGNER_TAGS).expect(201);
    let revisions = operator.get("/plugins/tags/revisions").expect(200);
    let revisions = revisions.json["content"]["revisions"].as_array().unwrap();
    assert_eq!(revisions.len(), 2);
    assert_eq!(revisions[0]["sha256"], sha256.as_str());
    let plugin = operator.get("/plugins/tags").expect(200);
    assert_eq!(plugin.json["content"]["plugin"]["revisions"], 2);
    assert_eq!(plugin.json["content"]["plugin"]["owner"], "tenant");
    assert_eq!(plugin.header("etag").unwrap(), format!("\"{sha256}\""));
    let path = format!("/plugins/tags/revisions/{sha256}");
    let metadata = operator.get(&path).expect(200);
    assert_eq!(metadata.json["content"]["revision"], revisions[0]);
    let bytes = operator.get_bytes(&path, &[("accept", "application/wasm")]);
    assert_eq!(bytes, SIGNER_TAGS);
    // A plugin can't be deleted while it is bound.
    operator
        .json("PUT", "/hooks/tagging", &json!({"plugin": "tags"}))
        .expect(201);
    let bound = operator
        .send("DELETE", "/plugins/tags", &[], None)
        .expect_error(409, "plugin_bound");
    assert_eq!(bound.json["details"]["hooks"], json!(["tagging"]));
    operator
        .send("DELETE", "/hooks/tagging", &[], None)
        .expect(200);
    operator
        .send("DELETE", "/plugins/tags", &[], None)
        .expect(200);
    operator
        .get("/plugins/tags")
        .expect_error(404, "plugin_not_found");
    assert_eq!(
        app.audit("acme"),
        [
            "plugin.upload tags",
            "plugin.upload tags",
            "plugin.upload tags",
            "hook.set tagging",
            "hook.delete tagging",
            "plugin.delete tags"
        ]
    );
}

#[test]
fn what_can_not_be_a_plugin_is_refused_with_the_reason() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let refused = put(&operator, "/plugins/p", &Guest::default().core_module());
    let refused = refused.expect_error(422, "refused");
    assert!(refused.text.contains("core WebAssembly module"));
    put(&operator, "/plugins/P", &accepting()).expect_error(422, "refused");
    put(&operator, "/plugins/a%2Fb", &accepting()).expect_error(422, "refused");
    operator
        .send(
            "PUT",
            "/plugins/p",
            &[("content-type", "text/plain")],
            Some(accepting()),
        )
        .expect_error(415, "unsupported_media_type");
    operator
        .get("/plugins/p/revisions/xyz")
        .expect_error(400, "invalid_parameter");
}

#[test]
fn test_cases_come_with_a_revision_and_must_pass() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let upload = |expected: &str| {
        let case = json!({
            "name": "an individual signs",
            "input": {"cms": FIRST.trim(), "tags": ["own"]},
            "expected": {"verdict": "accepted", "tags": ["own", "iin:123456789011", expected, "signer:АХМЕТОВА АЙГЕРІМ"]},
        });
        let body = json!({"component": BASE64.encode(SIGNER_TAGS), "cases": [case]});
        operator.json("PUT", "/plugins/tags", &body)
    };
    let failed = upload("bin:000000000000").expect_error(422, "cases_failed");
    let differences = &failed.json["details"]["cases"][0]["differences"];
    assert_eq!(
        differences,
        &json!([r#"tags[2]: expected "bin:000000000000", got "bin:123456789021""#])
    );
    operator
        .get("/plugins/tags")
        .expect_error(404, "plugin_not_found");
    let passed = upload("bin:123456789021").expect(201);
    assert_eq!(passed.json["content"]["revision"]["cases"], 1);
    let unknown =
        json!({"component": "", "cases": [{"input": {"cms": "x", "oops": 1}, "expected": {}}]});
    let unknown = operator
        .json("PUT", "/plugins/tags", &unknown)
        .expect_error(400, "invalid_parameter");
    assert_eq!(unknown.json["details"]["field"], "/cases/0/input/oops");
}

#[test]
fn a_hook_is_set_whole_idempotently_and_under_preconditions() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let sha256 = put(&operator, "/plugins/no", &rejecting()).expect(201).json["content"]["revision"]
        ["sha256"]
        .clone();
    let request = json!({
        "plugin": "no", "revision": "latest", "order": 3, "operations": ["save"], "mode": "monitor",
        "on_failure": "allow", "timeout_ms": 50, "memory_bytes": 1_048_576, "fuel": 1_000_000,
        "settings": {"a": [1, 2]}, "enabled": true,
    });
    let set = operator
        .json_with("PUT", "/hooks/no", &request, &[("if-none-match", "*")])
        .expect(201);
    assert_eq!(set.header("location").unwrap(), "/hooks/no");
    assert_eq!(set.header("etag").unwrap(), "\"1\"");
    let hook = &set.json["content"]["hook"];
    for (name, value) in request.as_object().unwrap() {
        let expected = if name == "revision" { &sha256 } else { value };
        assert_eq!(&hook[name], expected, "{name}");
    }
    assert_eq!(hook["set_by"], "tester");
    assert_eq!(
        operator.get("/hooks/no").expect(200).json["content"]["hook"],
        *hook
    );
    // Setting the same again changes nothing; another operator's change is not overwritten.
    operator.json("PUT", "/hooks/no", &request).expect(200);
    assert_eq!(
        operator
            .get("/hooks/no")
            .expect(200)
            .header("etag")
            .unwrap(),
        "\"1\""
    );
    acme.save("d", "t", 0, "x").expect(201);
    let enforce = json!({"plugin": "no", "mode": "enforce"});
    operator
        .json_with("PUT", "/hooks/no", &enforce, &[("if-match", "\"7\"")])
        .expect_error(412, "precondition_failed");
    let changed = operator
        .json_with("PUT", "/hooks/no", &enforce, &[("if-match", "\"1\"")])
        .expect(200);
    assert_eq!(changed.header("etag").unwrap(), "\"2\"");
    acme.save("e", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    // Disables the hook.
    operator
        .json(
            "PUT",
            "/hooks/no",
            &json!({"plugin": "no", "enabled": false}),
        )
        .expect(200);
    acme.save("e", "t", 0, "x").expect(201);
    // Rolls back to the previous binding, and then to one by number.
    let back = operator
        .send("POST", "/hooks/no/rollback", &[], None)
        .expect(200);
    assert_eq!(back.json["content"]["hook"]["number"], 4);
    acme.save("f", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    let first = operator
        .json("POST", "/hooks/no/rollback", &json!({"to": 1}))
        .expect(200);
    assert_eq!(first.json["content"]["hook"]["order"], 3);
    acme.save("f", "t", 0, "x").expect(201);
    operator
        .json("POST", "/hooks/no/rollback", &json!({"to": 77}))
        .expect_error(404, "binding_not_found");
    operator
        .send("DELETE", "/hooks/no", &[("if-match", "\"1\"")], None)
        .expect_error(412, "precondition_failed");
    operator
        .send("DELETE", "/hooks/no", &[("if-match", "\"5\"")], None)
        .expect(200);
    operator
        .get("/hooks/no")
        .expect_error(404, "hook_not_found");
    assert_eq!(
        app.audit("acme"),
        [
            "plugin.upload no",
            "hook.set no",
            "hook.set no",
            "hook.set no",
            "hook.rollback no",
            "hook.rollback no",
            "hook.delete no"
        ]
    );
}

#[test]
fn mistakes_in_a_hook_are_told_with_a_pointer() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    put(&operator, "/plugins/tags", SIGNER_TAGS).expect(201);
    let refused = |name: &str, request: Value, code: &str| {
        let status = if code == "invalid_parameter" {
            400
        } else {
            422
        };
        operator
            .json("PUT", &format!("/hooks/{name}"), &request)
            .expect_error(status, code)
    };
    for (request, field) in [
        (json!({"plugin": "tags", "oops": 1}), "/oops"),
        (json!({"plugin": "tags", "mode": "loud"}), "/mode"),
        (json!({"plugin": "tags", "revision": "newest"}), "/revision"),
        (
            json!({"plugin": "tags", "timeout_ms": 60_000}),
            "/timeout_ms",
        ),
        (json!({"plugin": "tags", "timeout_ms": 0}), "/timeout_ms"),
        (
            json!({"plugin": "tags", "memory_bytes": 1_u64 << 40}),
            "/memory_bytes",
        ),
        (json!({"plugin": "tags", "fuel": 1_u64 << 60}), "/fuel"),
        (
            json!({"plugin": "tags", "operations": ["delete"]}),
            "/operations",
        ),
        (json!({"plugin": "tags", "operations": []}), "/operations"),
        (json!({"plugin": "tags", "settings": []}), "/settings"),
        (
            json!({"plugin": "tags", "shadow": {"settings": 1}}),
            "/shadow/settings",
        ),
    ] {
        let refused = refused("h", request.clone(), "invalid_parameter");
        assert_eq!(refused.json["details"]["field"], field, "{request}");
    }
    let issue = refused(
        "h",
        json!({"plugin": "tags", "settings": {"prefixes": {"inn": 1}}}),
        "settings_refused",
    );
    let field = issue.json["details"]["issues"][0]["field"]
        .as_str()
        .unwrap();
    assert!(field.starts_with("/settings/prefixes"), "{field}");
    // A name that is a path of the API, and one that has another meaning for candidates.
    let reserved = operator.json("PUT", "/hooks/decisions", &json!({"plugin": "tags"}));
    reserved.expect_error(405, "method_not_allowed");
    refused("candidate", json!({"plugin": "tags"}), "refused");
    refused("Bad", json!({"plugin": "tags"}), "refused");
    operator
        .json("PUT", "/hooks/h", &json!({"plugin": "none"}))
        .expect_error(404, "plugin_not_found");
    operator
        .json(
            "PUT",
            "/hooks/h",
            &json!({"plugin": "tags", "revision": "0".repeat(64)}),
        )
        .expect_error(404, "revision_not_found");
    assert_eq!(
        operator.get("/hooks").expect(200).json["content"]["hooks"],
        json!([])
    );
}

#[test]
fn hooks_are_reordered_all_at_once() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    put(&operator, "/plugins/no", &rejecting()).expect(201);
    for name in ["a", "b", "c"] {
        operator
            .json("PUT", &format!("/hooks/{name}"), &json!({"plugin": "no"}))
            .expect(201);
    }
    let rejected_by = || {
        let refused = acme
            .save("d", "t", 0, "x")
            .expect_error(422, "hook_rejected");
        let rejections = refused.json["details"]["rejections"].as_array().unwrap();
        let hooks = rejections
            .iter()
            .map(|rejection| rejection["hook"].as_str().unwrap());
        hooks.collect::<String>()
    };
    assert_eq!(rejected_by(), "abc");
    operator
        .json("PUT", "/hooks/order", &json!({"order": ["c", "a", "b"]}))
        .expect(200);
    assert_eq!(rejected_by(), "cab");
    for bad in [
        json!(["a", "b"]),
        json!(["a", "b", "c", "d"]),
        json!(["a", "a", "b"]),
    ] {
        operator
            .json("PUT", "/hooks/order", &json!({"order": bad}))
            .expect_error(400, "invalid_parameter");
    }
    assert_eq!(rejected_by(), "cab");
}

#[test]
fn platform_operators_act_for_any_tenant_and_tenants_for_themselves_alone() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.tenant("other");
    let platform = app.platform();
    put(&platform, "/plugins/no", &rejecting()).expect(201);
    let set = platform
        .json("PUT", "/tenants/acme/hooks/no", &json!({"plugin": "no"}))
        .expect(201);
    assert_eq!(set.header("location").unwrap(), "/tenants/acme/hooks/no");
    acme.save("d", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    // The tenant sees the platform's plugin but can't change it. A plugin of the same name belongs to the tenant.
    let operator = app.operator("acme");
    let plugins = operator.get("/plugins").expect(200);
    assert_eq!(plugins.json["content"]["plugins"][0]["owner"], "platform");
    operator
        .send("DELETE", "/plugins/no", &[], None)
        .expect_error(404, "plugin_not_found");
    let bound = platform
        .send("DELETE", "/plugins/no", &[], None)
        .expect_error(409, "plugin_bound");
    assert_eq!(bound.json["details"]["hooks"], json!(["acme/no"]));
    put(&operator, "/plugins/no", &accepting()).expect(201);
    operator
        .json("PUT", "/hooks/no", &json!({"plugin": "no"}))
        .expect(200);
    acme.save("d", "t", 0, "x").expect(201);
    // A tenant may name itself in the path; other tenants and unknown names are not found.
    operator.get("/tenants/acme/hooks").expect(200);
    operator
        .get("/tenants/other/hooks")
        .expect_error(404, "tenant_not_found");
    operator
        .get("/tenants/nobody/hooks")
        .expect_error(404, "tenant_not_found");
    platform
        .get("/tenants/nobody/hooks")
        .expect_error(404, "tenant_not_found");
    // Without a tenant, there are no hooks or signatures.
    platform.get("/hooks").expect_error(403, "tenant_required");
    platform
        .get("/signatures")
        .expect_error(403, "tenant_required");
    platform
        .get("/tenants/acme/signatures")
        .expect_error(404, "route_not_found");
    let uploaded = platform.get("/tenants/acme/plugins/no").expect(200);
    assert_eq!(uploaded.json["content"]["plugin"]["owner"], "tenant");
}

#[test]
fn a_rollback_returns_to_the_same_plugin_whatever_has_its_name_by_now() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.upload("p", &rejecting()).unwrap();
    operator
        .json("PUT", "/hooks/h", &json!({"plugin": "p"}))
        .expect(201);
    put(&operator, "/plugins/p", &accepting()).expect(201);
    operator
        .json("PUT", "/hooks/h", &json!({"plugin": "p"}))
        .expect(200);
    acme.save("d", "t", 0, "x").expect(201);
    operator
        .send("POST", "/hooks/h/rollback", &[], None)
        .expect(200);
    acme.save("e", "t", 0, "x")
        .expect_error(422, "hook_rejected");
}

#[test]
fn what_postgres_can_not_store_is_refused_on_every_path() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    put(&operator, "/plugins/p", &accepting()).expect(201);
    for (path, body) in [
        ("/hooks/h", json!({"plugin": "p", "settings": {"a": "\0"}})),
        ("/hooks/h", json!({"plugin": "p\0"})),
        ("/hooks/h", json!({"plugin": "p", "settings": {"\0": 1}})),
        ("/hooks/order", json!({"order": ["\0"]})),
        ("/plugins/p", json!({"component": "\0"})),
    ] {
        operator
            .json("PUT", path, &body)
            .expect_error(400, "invalid_parameter");
    }
    let candidate = json!({"candidate": {"hook": "\0"}});
    operator
        .json("POST", "/hooks/backtest", &candidate)
        .expect_error(400, "invalid_parameter");
    for path in ["/hooks/%00", "/plugins/%00", "/tenants/%00/hooks"] {
        operator.get(path).expect_error(404, "route_not_found");
    }
    operator
        .get("/hooks/decisions?document=%00")
        .expect_error(400, "invalid_parameter");
    // An escaped backslash before `u0000` is no NUL character.
    let settings = json!({"plugin": "p", "settings": {"a": "\\u0000"}});
    operator.json("PUT", "/hooks/h", &settings).expect(201);
}

#[test]
fn settings_and_hooks_are_limited_in_size_and_number() {
    let app = TestApp::start_with(|config| {
        config.hooks.max_settings_bytes = 100;
        config.hooks.max_hooks_per_tenant = 2;
    });
    app.tenant("acme");
    let operator = app.operator("acme");
    put(&operator, "/plugins/p", &accepting()).expect(201);
    let set = |name: &str, length: usize| {
        let request = json!({"plugin": "p", "settings": {"a": "x".repeat(length)}});
        operator.json("PUT", &format!("/hooks/{name}"), &request)
    };
    set("a", 92).expect(201);
    let refused = set("a", 93).expect_error(400, "invalid_parameter");
    assert_eq!(refused.json["details"]["field"], "/settings");
    assert!(refused.text.contains("hooks.max_settings_bytes"));
    set("b", 1).expect(201);
    let refused = set("c", 1).expect_error(422, "refused");
    assert!(refused.text.contains("hooks.max_hooks_per_tenant"));
    set("b", 2).expect(200);
}

#[test]
fn a_hook_that_does_not_load_stops_saves_only_where_its_failure_does() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "broken", &rejecting(), |request| {
        request.on_failure = sigpersist_model::plugin::OnFailure::Allow;
    });
    app.database.execute(
        "ALTER TABLE plugin_revisions DROP CONSTRAINT plugin_revisions_sha256_check;
         UPDATE plugin_revisions SET component = set_byte(component, 100, 7);",
    );
    let fresh = app.replica();
    let client = Client::new(&fresh.base, acme.token.clone());
    client.save("d", "t", 0, "x").expect(201);
}
