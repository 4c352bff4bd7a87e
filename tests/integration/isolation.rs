//! A tenant never sees another's rows, on any route.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigpersist::http::{Audience, NamesTenant, ROUTES};
use sigpersist_model::context::Scope;
use sigpersist_model::digest::{sha256, to_hex};
use sigpersist_tlog::VerifierKey;

use crate::support::{Client, FIRST, SIGNER_TAGS, TestApp, certificate_pem, der, eventually};

/// A request to each route that finds something if it comes from the tenant itself. A new route fails here until it is
/// listed.
pub(crate) fn request(method: &str, path: &str, decision: &str) -> (String, Option<Value>) {
    let thread = "document=secret&thread=t";
    match (method, path) {
        ("GET" | "DELETE", "/signature") => (format!("{path}?{thread}"), None),
        ("POST", "/signature") => (
            path.to_owned(),
            Some(json!({"document": "secret", "thread": "t", "version": 1, "cms": "over 1"})),
        ),
        ("POST", "/signatures" | "/signatures/get") => {
            let one = json!({"document": "secret", "thread": "t", "version": 1});
            let mut draft = one.clone();
            draft["cms"] = json!("over 1");
            let one = if path.ends_with("get") { one } else { draft };
            (path.to_owned(), Some(json!({ "signatures": [one] })))
        }
        ("POST", "/inspect" | "/verify") => (path.to_owned(), Some(json!({"cms": "x"}))),
        ("GET", "/signature/versions" | "/signature/verdicts" | "/signature/proof") => {
            (format!("{path}?{thread}"), None)
        }
        ("POST", "/signature/verify") => (
            path.to_owned(),
            Some(json!({"document": "secret", "thread": "t"})),
        ),
        ("GET", "/policy" | "/trust-anchors") => (path.to_owned(), None),
        ("PATCH", "/policy") => (path.to_owned(), Some(json!({"accept": "any"}))),
        ("POST", "/trust-anchors") => (path.to_owned(), Some(json!({"pem": "x"}))),
        ("GET" | "DELETE", "/trust-anchors/{sha256}") => {
            let anchor = der(include_str!("../data/verify/ca.crt.b64"));
            let sha256 = to_hex(&sha256(&anchor));
            (path.replace("{sha256}", &sha256), None)
        }
        ("GET", "/signatures") => (format!("{path}?tags=hidden&count=true"), None),
        ("GET", "/plugins" | "/hooks" | "/hooks/decisions" | "/metrics") => (path.to_owned(), None),
        ("GET", "/audit") => (format!("{path}?action=hook."), None),
        ("GET", "/audit/verify" | "/events" | "/events/stream") => (path.to_owned(), None),
        ("POST", "/issuers") => (
            path.to_owned(),
            Some(json!({"name": "i", "issuer": "urn:i", "audiences": ["a"], "jwks": {"keys": []}})),
        ),
        ("GET" | "POST" | "DELETE", _) if path.starts_with("/issuers") => {
            (path.replace("{name}", "secret"), None)
        }
        ("POST", "/webhooks") => (path.to_owned(), Some(json!({"url": "https://127.0.0.1/"}))),
        ("PATCH", "/webhooks/{id}") => ("/webhooks/1".to_owned(), Some(json!({"enabled": false}))),
        ("POST", "/webhooks/{id}/replay") => (
            "/webhooks/1/replay".to_owned(),
            Some(json!({"from": 1, "to": 1})),
        ),
        ("GET" | "POST" | "DELETE", _) if path.starts_with("/webhooks") => {
            (path.replace("{id}", "1"), None)
        }
        ("PATCH", "/log") => (path.to_owned(), Some(json!({"public": true}))),
        // Whoever has no token guesses.
        ("GET", _) if path.starts_with("/logs/") => {
            let path = path.replace("{origin}", "5c1b0d9f8e7a4b32a1c0ffee00112233");
            let path = path.replace("{tile}", "0/000.p/1");
            (path.replace("consistency", "consistency?from=0"), None)
        }
        ("GET", "/log/consistency") => (format!("{path}?from=0"), None),
        ("POST", "/log/witnesses") => (
            path.to_owned(),
            Some(json!({"name": "w", "url": "https://1.1.1.1/", "key": "w"})),
        ),
        ("DELETE", "/log/witnesses") => (format!("{path}?name=mine"), None),
        ("POST", "/log/reopen") => (path.to_owned(), Some(json!({"reason": "mine"}))),
        ("GET" | "POST", _) if path == "/log" || path.starts_with("/log/") => {
            let path = path.replace("{tile}", "0/000.p/1");
            (path.replace("{epoch}", "1"), None)
        }
        ("GET", "/exports") => (path.to_owned(), None),
        ("GET", "/imports/{tenant}") => ("/imports/acme".to_owned(), None),
        ("POST", "/exports") => (path.to_owned(), Some(json!({"decisions": true}))),
        ("GET" | "DELETE", _) if path.starts_with("/exports/") => {
            (path.replace("{id}", "7f0c2f4e9d5a41b7"), None)
        }
        ("PUT" | "GET" | "DELETE", "/imports/{tenant}/{sha256}") => {
            let path = path.replace("{tenant}", "acme");
            (path.replace("{sha256}", &"0".repeat(64)), None)
        }
        ("POST", "/imports/{tenant}/{sha256}") => {
            let path = path.replace("{tenant}", "acme");
            let path = path.replace("{sha256}", &"0".repeat(64));
            (path, Some(json!({"create": true})))
        }
        ("GET" | "DELETE" | "POST", _)
            if path.starts_with("/plugins/") || path.contains("/hooks/{name}") =>
        {
            (
                path.replace("{name}", "secret")
                    .replace("{number}", "1")
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
        ("POST", "/tenants") => (path.to_owned(), Some(json!({"slug": "theirs"}))),
        ("PATCH", "/tenants/{name}") => ("/tenants/acme".to_owned(), Some(json!({"name": "x"}))),
        ("POST", "/suspend" | "/resume") => (path.to_owned(), None),
        ("GET" | "DELETE", _) if path.starts_with("/tenants") => {
            (path.replace("{name}", "acme"), None)
        }
        ("GET", "/usage" | "/whoami" | "/keys" | "/.well-known/jwks.json") => {
            (path.to_owned(), None)
        }
        ("GET", "/health/live" | "/health/ready") => (path.to_owned(), None),
        ("GET", "/openapi.json" | "/docs") => (path.to_owned(), None),
        ("GET", "/docs/{file}") => ("/docs/swagger-initializer.js".to_owned(), None),
        ("GET", "/docs/book" | "/docs/book/{page}") => ("/docs/book/index.html".to_owned(), None),
        ("POST", "/keys") => (path.to_owned(), Some(json!({"algorithm": "ES256"}))),
        ("POST", "/tokens") => (path.to_owned(), Some(json!({"scopes": []}))),
        ("GET" | "POST", _) if path.starts_with("/keys/{name}") => {
            (path.replace("{name}", "secret"), None)
        }
        _ => panic!("say here what another tenant could try on {method} {path}"),
    }
}

pub(crate) fn send(
    client: &Client,
    method: &str,
    path: &str,
    decision: &str,
) -> crate::support::Response {
    let (path, body) = request(method, path, decision);
    match body {
        Some(body) => client.json(method, &path, &body),
        None => client.send(method, &path, &[], None),
    }
}

/// Removes what differs between any two answers.
fn masked(mut json: Value) -> Value {
    json["request_id"] = Value::Null;
    if let Some(caller) = json.pointer_mut("/content/caller") {
        caller["key"] = Value::Null;
    }
    if let Some(head) = json.pointer_mut("/content/chains/0/head") {
        *head = Value::Null;
    }
    let of_many = "/content/results/0/signature";
    for place in ["/content/signature", of_many] {
        let Some(Value::Object(signature)) = json.pointer_mut(place) else {
            continue;
        };
        for name in ["id", "created_at", "updated_at", "version_created_at"] {
            signature.insert(name.to_owned(), Value::Null);
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
        .json(
            "PUT",
            "/hooks/secret",
            &json!({"plugin": "secret", "shadow": {}}),
        )
        .expect(201);
    acme.save("other", "t", 0, "mine").expect(201);
    operator
        .json("POST", "/webhooks", &json!({"url": "https://1.1.1.1/mine"}))
        .expect(201);
    let key = VerifierKey::witness("mine", [7; 32]).to_string();
    let witness = json!({"name": "mine", "url": "https://1.1.1.1/mine", "key": key});
    operator
        .json("POST", "/log/witnesses", &witness)
        .expect(201);
    let pem = certificate_pem(include_str!("../data/verify/ca.crt.b64"));
    operator
        .json("POST", "/trust-anchors", &json!({"pem": pem}))
        .expect(201);
    acme.json(
        "POST",
        "/signature/verify",
        &json!({"document": "secret", "thread": "t"}),
    )
    .expect(201);
    let decisions = operator.get("/hooks/decisions").expect(200);
    let decision = decisions.json["content"]["decisions"][0]["id"]
        .as_str()
        .unwrap();
    let before = acme.read("secret", "t").expect(200);
    let hooks = operator.get("/hooks").expect(200);
    // Another tenant's data gets the same answer as on a server where the data does not exist.
    let without = TestApp::start();
    for (number, route) in ROUTES.iter().enumerate() {
        let method = route.method.as_str();
        // A new tenant for each route, since a route would find the data that another route saved.
        let slug = format!("evil-{number}");
        app.tenant(&slug);
        without.tenant(&slug);
        let [stolen, nothing] = [&app, &without].map(|app| {
            let mut operator = app.operator(&slug);
            if route.names_tenant == NamesTenant::Always {
                operator.base.push_str("/tenants/acme");
            }
            // A stream has no end.
            if route.path == "/events/stream" {
                return operator.send("HEAD", route.path, &[], None);
            }
            send(&operator, method, route.path, decision)
        });
        assert!(!stolen.text.contains("\"mine"), "{}", stolen.text);
        assert_eq!(stolen.status, nothing.status, "{method} {}", route.path);
        assert_eq!(
            masked(stolen.json),
            masked(nothing.json),
            "{method} {}",
            route.path
        );
        // Naming the other tenant in the path does not help.
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
    // Each tenant may use the same names.
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

/// Asserts the status and code that every route answers to each kind of unauthorized caller.
#[test]
fn every_route_refuses_each_kind_of_stranger() {
    let app = TestApp::start();
    for slug in ["acme", "evil", "asleep"] {
        app.tenant(slug);
    }
    let asleep = app.operator("asleep");
    app.database
        .execute("UPDATE tenants SET suspended_at = now() WHERE slug = 'asleep'");
    eventually(|| asleep.get("/signatures").status == 403);
    let platform = app.platform();
    for route in ROUTES {
        let method = route.method.as_str();
        let refused = |client: &Client, prefix: &str, status: u16, code: &str| {
            let mut client = client.clone();
            client.base.push_str(prefix);
            let answer = send(&client, method, route.path, "1-1-0");
            let told = (answer.status, answer.json["code"].as_str());
            let path = format!("{method} {prefix}{}", route.path);
            assert_eq!(told, (status, Some(code)), "{path}: {}", answer.text);
        };
        if route.audience == Audience::Callers {
            refused(&app.anonymous(), "", 401, "missing_token");
            let garbage = app.anonymous().with_token("garbage");
            refused(&garbage, "", 401, "invalid_token");
            refused(&asleep, "", 403, "tenant_suspended");
            continue;
        }
        let Some(needed) = route.scope else {
            // Routes without a token show only public facts.
            let shown = send(&app.anonymous(), method, route.path, "");
            if route.path.starts_with("/logs/") {
                shown.expect_error(404, "log_not_found");
                continue;
            }
            let expected = match route.path {
                // Files of the program.
                "/openapi.json" | "/docs" | "/docs/{file}" | "/docs/book" | "/docs/book/{page}" => {
                    &*shown.text
                }
                "/health/live" => r#"{"status":true,"message":null,"content":{"live":true}}"#,
                "/health/ready" => r#"{"status":true,"message":null,"content":{"ready":true}}"#,
                _ => r#"{"keys":[]}"#,
            };
            assert_eq!((shown.status, &*shown.text), (200, expected));
            continue;
        };
        let everywhere: &[&str] = match route.names_tenant {
            NamesTenant::Never => &[""],
            NamesTenant::Maybe => &["", "/tenants/acme"],
            NamesTenant::Always => &["/tenants/acme"],
        };
        for prefix in everywhere {
            refused(&app.anonymous(), prefix, 401, "missing_token");
            let garbage = app.anonymous().with_token("garbage");
            refused(&garbage, prefix, 401, "invalid_token");
            refused(&asleep, prefix, 403, "tenant_suspended");
        }
        let but_one: Vec<_> = Scope::ALL
            .into_iter()
            .filter(|scope| *scope != needed)
            .collect();
        let unscoped = match route.audience {
            Audience::Platform => app.platform_with(&but_one),
            _ => app.client("acme", &but_one),
        };
        for prefix in everywhere {
            refused(&unscoped, prefix, 403, "insufficient_scope");
        }
        // Operators of another tenant, unknown tenants, and routes of the wrong audience.
        let evil = app.operator("evil");
        match (route.audience, route.names_tenant) {
            (Audience::Platform, names_tenant) => {
                for prefix in everywhere {
                    refused(&evil, prefix, 403, "insufficient_scope");
                }
                if names_tenant != NamesTenant::Never {
                    refused(&platform, "/tenants/nobody", 404, "tenant_not_found");
                }
            }
            (_, NamesTenant::Never) => {
                for stranger in [&evil, &platform] {
                    refused(stranger, "/tenants/acme", 404, "route_not_found");
                }
                refused(&platform, "", 403, "tenant_required");
            }
            (_, NamesTenant::Maybe | NamesTenant::Always) => {
                refused(&evil, "/tenants/acme", 404, "tenant_not_found");
                refused(&evil, "/tenants/nobody", 404, "tenant_not_found");
                refused(&platform, "/tenants/nobody", 404, "tenant_not_found");
            }
        }
    }
}

/// Guessing names and ids reveals nothing by the time of an answer: another tenant's data and missing data take equally
/// long.
#[test]
fn guessing_takes_as_long_whether_there_is_something_or_not() {
    const TRIES: usize = 500;
    /// Threshold in standard deviations of the rank sum. Chance exceeds it once in 15,000 tries.
    const CHANCE: f64 = 4.0;
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("secret", "t", 0, "x").expect(201);
    app.hook("acme", "secret", SIGNER_TAGS, |_| {});
    acme.save("other", "t", 0, FIRST.trim()).expect(201);
    let decisions = app.operator("acme").get("/hooks/decisions").expect(200);
    let decision = decisions.json["content"]["decisions"][0]["id"]
        .as_str()
        .unwrap();
    app.tenant("evil");
    let evil = app.operator("evil");
    for (there, not_there) in [
        (
            "/signature?document=secret&thread=t".to_owned(),
            "/signature?document=nobody&thread=t",
        ),
        (
            "/signature/versions?document=secret&thread=t".to_owned(),
            "/signature/versions?document=nobody&thread=t",
        ),
        ("/hooks/secret".to_owned(), "/hooks/nobody"),
        (
            format!("/hooks/decisions/{decision}"),
            "/hooks/decisions/1700000000000000-9-0",
        ),
        ("/tenants/acme/hooks".to_owned(), "/tenants/none/hooks"),
    ] {
        let time = |path: &str| {
            let since = Instant::now();
            let answer = evil.get(path);
            (since.elapsed(), answer)
        };
        let (_, of_another) = time(&there);
        let (_, of_nobody) = time(not_there);
        assert_eq!(of_another.status, 404, "{there}");
        assert_eq!(masked(of_another.json), masked(of_nobody.json), "{there}");
        // Chance may exceed the threshold once, but not three times in the same direction.
        let mut scores = Vec::new();
        while scores.len() < 3 {
            let mut times = [Vec::new(), Vec::new()];
            for number in 0..TRIES * 2 {
                // Alternates between the two, so that each comes first equally often.
                let which = (number + number / 2) % 2;
                times[which].push(time([&there, not_there][which]).0);
            }
            scores.push(rank_sum_score(times));
            if scores.last().is_some_and(|score| score.abs() <= CHANCE) {
                break;
            }
        }
        let astray = scores.len() == 3
            && (scores.iter().all(|score| *score > 0.0) || scores.iter().all(|score| *score < 0.0));
        assert!(!astray, "{there} can be told from {not_there}: {scores:?}");
    }
}

/// The deviation of the first times' rank sum from chance, in standard deviations: the rank-sum test of Mann and
/// Whitney.
fn rank_sum_score([first, second]: [Vec<Duration>; 2]) -> f64 {
    let (n, m) = (first.len() as f64, second.len() as f64);
    let firsts = first.into_iter().map(|time| (time, true));
    let seconds = second.into_iter().map(|time| (time, false));
    let mut all: Vec<_> = firsts.chain(seconds).collect();
    all.sort_unstable();
    let ranks: f64 = (1_u32..)
        .zip(&all)
        .filter(|(_, (_, is_first))| *is_first)
        .map(|(rank, _)| f64::from(rank))
        .sum();
    let expected = n * (n + m + 1.0) / 2.0;
    (ranks - expected) / (n * m * (n + m + 1.0) / 12.0).sqrt()
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
