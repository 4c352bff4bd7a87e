//! A tenant never sees another's rows, on any route.

use serde_json::{Value, json};
use sigpersist::http::{Audience, ROUTES};

use crate::support::{Client, SIGNER_TAGS, TestApp};

/// A request that finds something of the tenant's own on each route. A new route fails here until it is listed.
fn request(method: &str, path: &str, decision: &str) -> (String, Option<Value>) {
    let thread = "document=secret&thread=t";
    match (method, path) {
        ("GET" | "DELETE", "/signature") => (format!("{path}?{thread}"), None),
        ("POST", "/signature") => (
            path.to_owned(),
            Some(json!({"document": "secret", "thread": "t", "version": 1, "cms": "over 1"})),
        ),
        ("GET", "/signature/versions") => (format!("{path}?{thread}"), None),
        ("GET", "/signatures") => (format!("{path}?tags=hidden&count=true"), None),
        ("GET", "/plugins" | "/hooks" | "/hooks/decisions" | "/metrics") => (path.to_owned(), None),
        ("GET" | "DELETE" | "POST", _)
            if path.starts_with("/plugins/") || path.contains("/hooks/{name}") =>
        {
            (
                path.replace("{name}", "secret")
                    .replace("{sha256}", &"0".repeat(64)),
                None,
            )
        }
        ("PUT", "/plugins/{name}") => (
            "/plugins/secret".to_owned(),
            Some(json!({"component": "AGFzbQ=="})),
        ),
        ("PUT", "/hooks/{name}") => (
            "/hooks/secret".to_owned(),
            Some(json!({"plugin": "secret"})),
        ),
        ("PUT", "/hooks/order") => (path.to_owned(), Some(json!({"order": ["secret"]}))),
        ("POST", "/hooks/evaluate") => (
            path.to_owned(),
            Some(json!({"input": {"operation": "delete", "document": "secret", "thread": "t"}})),
        ),
        ("POST", "/hooks/backtest") => (
            path.to_owned(),
            Some(json!({"candidate": {"hook": "secret"}})),
        ),
        ("GET" | "POST", _) if path.contains("/decisions/{id}") => {
            (path.replace("{id}", decision), None)
        }
        _ => panic!("say here what another tenant could try on {method} {path}"),
    }
}

fn send(client: &Client, method: &str, path: &str, decision: &str) -> crate::support::Response {
    let (path, body) = request(method, path, decision);
    match body {
        Some(body) => client.json(method, &path, &body),
        None => client.send(method, &path, &[], None),
    }
}

/// Without what differs from one answer to the next.
fn masked(mut json: Value) -> Value {
    json["request_id"] = Value::Null;
    if let Some(signature) = json.pointer_mut("/content/signature") {
        for name in ["id", "created_at", "updated_at", "version_created_at"] {
            signature[name] = Value::Null;
        }
    }
    json
}

#[test]
fn no_route_shows_changes_or_hints_at_another_tenants_rows() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.post(&json!({"document": "secret", "thread": "t", "cms": "mine", "tags": ["hidden"]}))
        .expect(201);
    let operator = app.operator("acme");
    let component = [("content-type", "application/wasm")];
    operator
        .send(
            "PUT",
            "/plugins/secret",
            &component,
            Some(SIGNER_TAGS.to_vec()),
        )
        .expect(201);
    operator
        .json("PUT", "/hooks/secret", &json!({"plugin": "secret"}))
        .expect(201);
    acme.save("other", "t", 0, "mine").expect(201);
    let decisions = operator.get("/hooks/decisions").expect(200);
    let decision = decisions.json["content"]["decisions"][0]["id"]
        .as_str()
        .unwrap();
    let before = acme.read("secret", "t").expect(200);
    let hooks = operator.get("/hooks").expect(200);
    // What is another's answers exactly like what does not exist: as on a server where nobody has it.
    let without = TestApp::start();
    for (number, route) in ROUTES.iter().enumerate() {
        let method = route.method.as_str();
        // A tenant for each route, since what one route saves the next would find.
        let slug = format!("evil-{number}");
        app.tenant(&slug);
        without.tenant(&slug);
        let stolen = send(&app.operator(&slug), method, route.path, decision);
        let nothing = send(&without.operator(&slug), method, route.path, decision);
        assert!(!stolen.text.contains("mine"), "{}", stolen.text);
        assert_eq!(stolen.status, nothing.status, "{method} {}", route.path);
        assert_eq!(
            masked(stolen.json),
            masked(nothing.json),
            "{method} {}",
            route.path
        );
        // Nor under the other's name.
        if route.audience == Audience::Operators {
            let (path, body) = request(method, route.path, decision);
            let body = body.map(|body| body.to_string().into_bytes());
            let json = [("content-type", "application/json")];
            app.operator(&slug)
                .send(method, &format!("/tenants/acme{path}"), &json, body)
                .expect_error(404, "tenant_not_found");
        }
    }
    assert_eq!(operator.get("/hooks").expect(200).json, hooks.json);
    assert_eq!(acme.read("secret", "t").expect(200).json, before.json);
    // The same names are free for each tenant.
    let evil = app.tenant("evil");
    let own = evil.save("secret", "t", 0, "theirs").expect(201);
    assert_eq!(own.signature()["version"], 1);
    assert_eq!(
        acme.read("secret", "t").expect(200).signature()["signature"],
        "mine"
    );
    let listed = evil.get("/signatures?count=true").expect(200);
    assert_eq!(listed.json["content"]["nb_results"], 1);
}

#[test]
fn every_route_refuses_callers_without_a_good_token() {
    let app = TestApp::start();
    app.tenant("acme");
    for route in ROUTES {
        let method = route.method.as_str();
        send(&app.anonymous(), method, route.path, "1-1-0").expect_error(401, "missing_token");
        send(
            &app.anonymous().with_token("garbage"),
            method,
            route.path,
            "1-1-0",
        )
        .expect_error(401, "invalid_token");
    }
}

#[test]
fn a_cursor_of_another_tenant_leads_nowhere_else() {
    let app = TestApp::start();
    let (acme, evil) = (app.tenant("acme"), app.tenant("evil"));
    for document in ["a", "b"] {
        acme.save(document, "t", 0, "x").expect(201);
    }
    let page = acme.get("/signatures?limit=1").expect(200);
    let cursor = page.json["content"]["next"].as_str().unwrap();
    assert!(
        evil.get(&format!("/signatures?cursor={cursor}"))
            .expect(200)
            .signatures()
            .is_empty()
    );
}
