//! The OpenAPI document: it agrees with the server, and its web page loads nothing from other hosts.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sigpersist::http::{NamesTenant, ROUTES};
use sigpersist::tenants::NewKey;
use sigpersist_model::context::Scope;
use sigpersist_model::key::Algorithm;

use crate::support::{
    COUNTERSIGNED, Client, DETACHED, FIRST, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, TestApp,
    described,
};

fn document(app: &TestApp) -> Value {
    let answer = app.anonymous().get("/openapi.json");
    assert_eq!(answer.status, 200);
    answer.json
}

/// The operations, named by method and path.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), operation)
        })
    });
    operations.collect()
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let app = TestApp::start();
    let document = document(&app);
    assert_eq!(document["openapi"], "3.1.0");
    let routes = ROUTES.iter().flat_map(|route| {
        let own = (route.names_tenant != NamesTenant::Always)
            .then(|| format!("{} {}", route.method, route.path));
        let of_tenant = (route.names_tenant != NamesTenant::Never)
            .then(|| format!("{} /tenants/{{tenant}}{}", route.method, route.path));
        own.into_iter().chain(of_tenant)
    });
    let documented: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(documented, routes.collect());
}

#[test]
fn every_operation_is_complete() {
    let app = TestApp::start();
    let document = document(&app);
    let (mut ids, mut bare) = (BTreeSet::new(), Vec::new());
    for (name, operation) in operations(&document) {
        let id = operation["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{name}: no id"));
        assert!(ids.insert(id), "{name}: another operation is called {id}");
        assert!(operation["summary"].is_string(), "{name}: no summary");
        assert!(operation["security"].is_array(), "{name}: no security");
        for parameter in operation["parameters"].as_array().unwrap() {
            let what = format!("{name}: {}", parameter["name"]);
            assert!(
                !parameter["description"].as_str().unwrap().is_empty(),
                "{what}: no description"
            );
            assert!(parameter["schema"].is_object(), "{what}: no schema");
            let schema = resolved(&document, &parameter["schema"]);
            let examples = [&parameter["example"], &schema["examples"]];
            assert!(
                examples.iter().any(|example| !example.is_null()),
                "{what}: no example"
            );
        }
        let mut bodies = vec![("the request".to_owned(), &operation["requestBody"])];
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = resolved(&document, response);
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{name}: {status} has no description"
            );
            assert!(
                response["headers"]["x-request-id"].is_object(),
                "{name}: {status}"
            );
            bodies.push((status.clone(), response));
        }
        for (what, body) in bodies {
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                if content.get("example").is_none() && content.get("examples").is_none() {
                    bare.push(format!("{name}: {what} has no example of {kind}"));
                }
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
    let unresolved: Vec<_> = references(&document)
        .into_iter()
        .filter(|reference| {
            document
                .pointer(reference.trim_start_matches('#'))
                .is_none()
        })
        .collect();
    assert_eq!(unresolved, [""; 0]);
}

/// Follows a `$ref`; any other value is returned as it is.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value.as_str() {
                Some(reference) if name == "$ref" => vec![reference],
                _ => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// Collects the JSON paths that a body may contain according to its schema.
fn described(
    document: &Value,
    schema: &Value,
    path: &str,
    depth: usize,
    found: &mut BTreeSet<String>,
) {
    if depth > 20 {
        return;
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
        return described(document, schema, path, depth + 1, found);
    }
    for some in ["allOf", "oneOf", "anyOf"] {
        for one in schema[some].as_array().into_iter().flatten() {
            described(document, one, path, depth + 1, found);
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        found.insert(path.clone());
        described(document, schema, &path, depth + 1, found);
    }
    if schema["items"].is_object() {
        described(
            document,
            &schema["items"],
            &format!("{path}/0"),
            depth + 1,
            found,
        );
    }
}

/// Collects the JSON paths that a body contains.
fn shown(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let path = format!("{path}/{name}");
                found.insert(path.clone());
                shown(value, &path, found);
            }
        }
        Value::Array(items) => {
            for item in items {
                shown(item, &format!("{path}/0"), found);
            }
        }
        _ => {}
    }
}

/// Answers that are built without a Rust type for each part must be described too: reports of signatures, verdicts and
/// trust anchors.
#[test]
fn what_is_told_of_signatures_is_described_member_by_member() {
    let app = TestApp::start();
    app.tenant("acme");
    let client = app.client("acme", &Scope::ALL);
    let document = document(&app);
    let answer = |operation: &str, method: &str, path: &str, body: Value| {
        let (template, query) = operation.split_once(' ').unwrap();
        let response = client.json(method, path, &body);
        let status = response.status.to_string();
        let schema = &document["paths"][query][template]["responses"][&status]["content"]["application/json"]
            ["schema"];
        assert!(schema.is_object(), "{operation}: {status}");
        let (mut there, mut told) = (BTreeSet::new(), BTreeSet::new());
        described(&document, schema, "", 0, &mut told);
        shown(&response.json, "", &mut there);
        let untold: Vec<_> = there.difference(&told).collect();
        assert!(
            untold.is_empty(),
            "{operation}: {untold:?} are not described"
        );
        there
    };
    let xml = include_str!("../data/verify/signed.xml");
    let mut seen = BTreeSet::new();
    for cms in [FIRST, COUNTERSIGNED, DETACHED, xml, "nonsense"] {
        for path in ["/inspect", "/verify"] {
            seen.extend(answer(
                &format!("post {path}"),
                "POST",
                path,
                json!({ "cms": cms }),
            ));
        }
    }
    let mut told = BTreeSet::new();
    let schema = &document["components"]["schemas"]["Inspection"];
    described(&document, schema, "/content/inspection", 0, &mut told);
    // No signer of these is revoked, and the nested members of countersignatures and keys are not all there.
    let rare = ["/countersignatures/", "/revocation/", "/identifier/key"];
    let unseen: Vec<_> = told
        .difference(&seen)
        .filter(|path| !rare.iter().any(|rare| path.contains(rare)))
        .collect();
    assert!(
        unseen.is_empty(),
        "{unseen:?} are described and never there"
    );
}

/// All schemas within a schema, with their paths.
fn schemas_within<'a>(schema: &'a Value, path: &str, found: &mut Vec<(String, &'a Value)>) {
    found.push((path.to_owned(), schema));
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        schemas_within(member, &format!("{path}/{name}"), found);
    }
    for some in ["allOf", "oneOf", "anyOf"] {
        for one in schema[some].as_array().into_iter().flatten() {
            schemas_within(one, path, found);
        }
    }
    if schema["items"].is_object() {
        schemas_within(&schema["items"], &format!("{path}/0"), found);
    }
}

/// The examples of a schema, media type or parameter.
fn examples_of(described: &Value) -> Vec<&Value> {
    let own = described.get("example").into_iter();
    let several = described["examples"].as_array().into_iter().flatten();
    let named = described["examples"].as_object().into_iter().flatten();
    let named = named.map(|(_, example)| &example["value"]);
    own.chain(several).chain(named).collect()
}

/// A document must not contradict itself: clients are generated from its schemas and written by its examples.
#[test]
fn every_example_is_as_its_own_schema_says() {
    let document = described::document();
    let (mut wrong, mut held) = (Vec::new(), 0);
    let mut hold = |what: &str, schema: &Value, examples: Vec<&Value>| {
        for example in examples {
            held += 1;
            for difference in described::differences(schema, example) {
                wrong.push(format!("{what}{difference}"));
            }
        }
    };
    let mut schemas = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        schemas_within(schema, name, &mut schemas);
    }
    for (name, operation) in operations(document) {
        for parameter in operation["parameters"].as_array().unwrap() {
            let what = format!("{name}: {}", parameter["name"]);
            hold(&what, &parameter["schema"], examples_of(parameter));
            schemas_within(&parameter["schema"], &what, &mut schemas);
        }
        let mut bodies = vec![&operation["requestBody"]];
        for response in operation["responses"].as_object().unwrap().values() {
            let response = described::resolved(response);
            bodies.push(response);
            for (header, told) in response["headers"].as_object().into_iter().flatten() {
                let told = described::resolved(told);
                let what = format!("{name}: {header}");
                hold(&what, &told["schema"], examples_of(told));
            }
        }
        for body in bodies {
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                let what = format!("{name}: {kind} ");
                hold(&what, &content["schema"], examples_of(content));
                schemas_within(&content["schema"], &what, &mut schemas);
            }
        }
    }
    for (what, schema) in schemas {
        hold(&what, schema, examples_of(schema));
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(held > 800, "{held}");
}

/// A generated client has one error type to catch, and one type of details for each code that has details.
#[test]
fn all_failures_are_of_one_schema_and_details_of_one_for_each_code() {
    let document = described::document();
    let failure = json!({ "$ref": "#/components/schemas/Failure" });
    let mut codes = BTreeSet::new();
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        let content = &response["content"]["application/json"];
        assert_eq!(content["schema"], failure, "{name}");
        for (code, example) in content["examples"].as_object().unwrap() {
            codes.insert(code.clone());
            let details = example["value"].get("details");
            let schema = &document["components"]["schemas"][described::details_of(code)];
            assert_eq!(details.is_some(), schema.is_object(), "{code}");
            if let Some(details) = details {
                let differences = described::differences(schema, details);
                assert!(differences.is_empty(), "{code}: {differences:?}");
                assert!(schema["required"].is_array(), "{code} promises nothing");
            }
        }
    }
    let known = document["components"]["schemas"]["Code"]["enum"]
        .as_array()
        .unwrap();
    let known: BTreeSet<_> = known
        .iter()
        .map(|code| code.as_str().unwrap().to_owned())
        .collect();
    // Two codes are for paths and methods that are no route, and one is for an outcome within an answer.
    let others = ["method_not_allowed", "route_not_found", "earlier_failed"];
    codes.extend(others.map(ToOwned::to_owned));
    let unsaid: Vec<_> = known.difference(&codes).collect();
    assert!(unsaid.is_empty(), "no route is answered with {unsaid:?}");
}

/// The page prefills parameters from their examples or defaults; the server must grant the resulting request.
#[test]
fn what_the_page_fills_in_is_granted_on_the_first_try() {
    let app = TestApp::start();
    let document = described::document();
    app.tenant("acme");
    // Somebody who tries the page has a token, and therefore a key.
    for holder in [Some("acme"), None] {
        app.add_key(holder, &NewKey::made(Algorithm::Hs256))
            .unwrap();
    }
    for (name, component) in [
        ("signer-tags", SIGNER_TAGS),
        ("require-countersignature", REQUIRE_COUNTERSIGNATURE),
    ] {
        app.hook("acme", name, component, |_| {});
    }
    app.sequence();
    let (tenant, platform) = (app.operator("acme"), app.platform());
    // Order: writes, reads, deletes, revocations, then suspending and resuming tenants, and finally deleting them.
    let rank = |name: &str| {
        let (method, path) = name.split_once(' ').unwrap();
        let of_life = ["/suspend", "/resume", "/tenants/{name}"];
        match method {
            _ if path.ends_with("/revoke") => 5,
            "DELETE" if of_life.iter().any(|end| path.ends_with(end)) => 7,
            "POST" if of_life.iter().any(|end| path.ends_with(end)) => 6,
            "DELETE" => 4,
            "GET" => 3,
            "POST" if path == "/signature" => 1,
            _ => 2,
        }
    };
    let mut all = operations(document);
    all.sort_by_key(|(name, _)| rank(name));
    let mut refused = Vec::new();
    for (name, operation) in all {
        let (method, path) = name.split_once(' ').unwrap();
        let mut path = path.to_owned();
        // A stream has no end.
        let is_stream = path.ends_with("/events/stream");
        let method = if is_stream { "HEAD" } else { method };
        let (mut query, mut headers) = (Vec::new(), Vec::new());
        for parameter in operation["parameters"].as_array().unwrap() {
            let filled = [
                &parameter["example"],
                &parameter["schema"]["example"],
                &parameter["schema"]["default"],
            ];
            let Some(filled) = filled.into_iter().find(|value| !value.is_null()) else {
                assert_eq!(parameter["required"], false, "{name}: {parameter}");
                continue;
            };
            assert_eq!(parameter["required"], true, "{name}: {parameter}");
            let filled = filled.as_str().unwrap();
            match parameter["in"].as_str().unwrap() {
                "path" => {
                    let place = format!("{{{}}}", parameter["name"].as_str().unwrap());
                    path = path.replace(&place, filled);
                }
                "query" => query.push(format!("{}={filled}", parameter["name"].as_str().unwrap())),
                "header" => headers.push((parameter["name"].as_str().unwrap(), filled)),
                other => panic!("{name}: {other} is filled in"),
            }
        }
        let content = &operation["requestBody"]["content"];
        let body = &content["application/json"]["example"];
        let piece = content["application/x-ndjson"]["example"].as_str();
        let full = format!("{path}?{}", query.join("&"));
        let ask = |client: &Client| {
            if let Some(piece) = piece {
                let kind = ("content-type", "application/x-ndjson");
                let headers = [&headers[..], &[kind]].concat();
                client.send(method, &full, &headers, Some(piece.into()))
            } else if body.is_null() {
                client.send(method, &full, &[], None)
            } else {
                client.json(method, &full, body)
            }
        };
        let of_platform = name.contains("/tenants");
        let mut answer = ask(if of_platform { &platform } else { &tenant });
        if answer.status == 403 {
            answer = ask(&platform);
        }
        // The object that an example names by digest or number may be missing, and one that it would create may exist.
        let there = ["tenant_exists", "key_exists"];
        let of_the_world =
            answer.status == 404 || there.iter().any(|code| answer.json["code"] == *code);
        // No log is frozen.
        let is_running = path.ends_with("/log/reopen") && answer.json["code"] == "refused";
        // No hook has a shadow.
        let is_alone = path.ends_with("/shadow") && answer.json["code"] == "refused";
        // Whether a host exists is asked of DNS, and whether keys are fetched from it, of the settings.
        let urls = ["/webhooks", "/log/witnesses", "/issuers"];
        let is_of_url = urls.iter().any(|url| path.contains(url));
        let is_host = is_of_url && answer.json["code"] == "refused";
        let is_known = of_the_world || is_running || is_alone || is_host;
        if answer.status >= 400 && !is_known {
            refused.push(format!("{name}: {} {}", answer.status, answer.text));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// JSON Schema calls 1.0 an integer, so the document admits it, and so must the server.
#[test]
fn a_whole_number_may_be_written_with_a_fraction_of_nothing() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let raw = |client: &Client, method: &str, path: &str, body: &str| {
        let kind = [("content-type", "application/json")];
        client.send(method, path, &kind, Some(body.as_bytes().to_vec()))
    };
    let save = r#"{"document": "d", "thread": "t", "version": 0.0, "cms": "x"}"#;
    raw(&acme, "POST", "/signature", save).expect(201);
    let save = r#"{"document": "d", "thread": "t", "version": 1.0, "cms": "y", "version_created_by": 33.0}"#;
    let saved = raw(&acme, "POST", "/signature", save).expect(201);
    assert_eq!(saved.signature()["version_created_by"], "33");
    for (version, status) in [("2.0", 200), ("2e0", 200), ("1.5", 400), ("-1.0", 400)] {
        let read = format!(r#"{{"document": "d", "thread": "t", "version": {version}}}"#);
        let answer = raw(&acme, "GET", "/signature", &read);
        assert_eq!(answer.status, status, "{version}: {}", answer.text);
    }
    let platform = app.platform();
    raw(
        &platform,
        "POST",
        "/tenants/acme/tokens",
        r#"{"lifetime_s": 60.0}"#,
    )
    .expect(201);
    let quotas = r#"{"quotas": {"max_bytes": 1000.0}}"#;
    let changed = raw(&platform, "PATCH", "/tenants/acme", quotas).expect(200);
    let quotas = &changed.json["content"]["tenant"]["quotas"];
    assert_eq!(quotas["max_bytes"], 1000);
}

#[test]
fn the_page_shows_the_document_from_this_server_alone() {
    let app = TestApp::start();
    let anybody: Client = app.anonymous();
    let page = anybody.get("/docs");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = page.text.clone();
    assert!(
        !html.contains("http://") && !html.contains("https://") && !html.contains("=\"//"),
        "{html}"
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let mut files = 0;
    for quoted in html.split('"').filter(|text| text.starts_with("docs/")) {
        let file = anybody.get_bytes(&format!("/{quoted}"), &[]);
        assert!(!file.is_empty(), "{quoted}");
        files += 1;
    }
    assert!(files >= 4, "{html}");
    let script = anybody.get("/docs/swagger-initializer.js").text;
    assert!(script.contains("openapi.json"), "{script}");
    anybody
        .get("/docs/nothing.js")
        .expect_error(404, "route_not_found");
}
