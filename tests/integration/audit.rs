//! The audit trail: it has an event for each change, and no event can be changed without detection.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};
use sigpersist::audit::{self, Verified};
use sigpersist::http::{Audience, ROUTES};
use sigpersist_model::audit::{EventOwner, Fault, Head};
use sigpersist_model::context::Scope;
use sigpersist_model::digest::{sha256, to_hex};

use crate::support::guest::Guest;
use crate::support::{
    Client, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, TestApp, TestDatabase, certificate_pem, der,
    sigpersist,
};

/// Routes of operators and admins that change nothing, whatever their method suggests.
const CHANGES_NOTHING: [(&str, &str); 3] = [
    ("POST", "/hooks/evaluate"),
    ("POST", "/hooks/backtest"),
    ("POST", "/hooks/decisions/{id}/replay"),
];

/// Routes whose work goes on in the background. The tests of transfers look at their events.
const IN_BACKGROUND: [(&str, &str); 5] = [
    ("POST", "/exports"),
    ("DELETE", "/exports/{id}"),
    ("PUT", "/imports/{tenant}/{sha256}"),
    ("POST", "/imports/{tenant}/{sha256}"),
    ("DELETE", "/imports/{tenant}/{sha256}"),
];

/// Routes whose events the tests of issuers, logs, witnesses and webhooks look at.
const ELSEWHERE: [(&str, &str); 14] = [
    ("PATCH", "/log"),
    ("POST", "/log/keys"),
    ("POST", "/log/reopen"),
    ("POST", "/log/witnesses"),
    ("DELETE", "/log/witnesses"),
    ("POST", "/issuers"),
    ("DELETE", "/issuers/{name}"),
    ("POST", "/issuers/{name}/refresh"),
    ("POST", "/webhooks"),
    ("PATCH", "/webhooks/{id}"),
    ("DELETE", "/webhooks/{id}"),
    ("POST", "/webhooks/{id}/rotate-secret"),
    ("POST", "/webhooks/{id}/test"),
    ("POST", "/webhooks/{id}/replay"),
];

/// A request that changes something, and the event that it should leave.
struct Change {
    route: (&'static str, &'static str),
    path: &'static str,
    body: Value,
    action: &'static str,
    target: &'static str,
    /// Expected members of the old and the new state.
    before: Value,
    after: Value,
}

/// One change by each route, in an order in which each is possible. A new route fails the test until it is listed here.
fn changes() -> Vec<Change> {
    let change = |route, path, body, action, target, before, after| Change {
        route,
        path,
        body,
        action,
        target,
        before,
        after,
    };
    let (put_plugin, put_hook) = (("PUT", "/plugins/{name}"), ("PUT", "/hooks/{name}"));
    let component = |bytes: &[u8]| json!({"component": BASE64.encode(bytes)});
    let (old, new) = (SIGNER_TAGS, REQUIRE_COUNTERSIGNATURE);
    let size = |bytes: &[u8]| json!({"size": bytes.len(), "cases": 0});
    let ca = include_str!("../data/verify/ca.crt.b64");
    // Leaks: this function is called once per run.
    let anchor: &'static str = to_hex(&sha256(&der(ca))).leak();
    let anchor_path: &'static str = format!("/trust-anchors/{anchor}").leak();
    vec![
        change(
            put_plugin,
            "/plugins/p",
            component(old),
            "plugin.upload",
            "p",
            Value::Null,
            size(old),
        ),
        change(
            put_plugin,
            "/plugins/p",
            component(new),
            "plugin.upload",
            "p",
            size(old),
            size(new),
        ),
        change(
            put_hook,
            "/hooks/a",
            json!({"plugin": "p", "order": 1}),
            "hook.set",
            "a",
            Value::Null,
            json!({"number": 1, "order": 1, "mode": "enforce"}),
        ),
        change(
            put_hook,
            "/hooks/a",
            json!({"plugin": "p", "order": 1, "mode": "monitor", "timeout_ms": 77}),
            "hook.set",
            "a",
            json!({"number": 1, "mode": "enforce"}),
            json!({"number": 2, "mode": "monitor", "timeout_ms": 77}),
        ),
        change(
            ("POST", "/hooks/{name}/rollback"),
            "/hooks/a/rollback",
            json!({}),
            "hook.rollback",
            "a",
            json!({"number": 2, "mode": "monitor"}),
            json!({"number": 3, "mode": "enforce"}),
        ),
        change(
            put_hook,
            "/hooks/b",
            json!({"plugin": "p", "order": 9}),
            "hook.set",
            "b",
            Value::Null,
            json!({"number": 1, "order": 9}),
        ),
        change(
            ("PUT", "/hooks/order"),
            "/hooks/order",
            json!({"order": ["a", "b"]}),
            "hook.reorder",
            "b",
            json!({"number": 1, "order": 9}),
            json!({"number": 2, "order": 2}),
        ),
        change(
            ("POST", "/hooks/{name}/release"),
            "/hooks/b/release",
            json!({}),
            "hook.release",
            "b",
            json!({"number": 2, "quarantine": "it kept failing"}),
            json!({"number": 2, "quarantine": null}),
        ),
        change(
            ("DELETE", "/hooks/{name}"),
            "/hooks/a",
            json!({}),
            "hook.delete",
            "a",
            json!({"number": 3, "plugin": "p"}),
            Value::Null,
        ),
        change(
            ("DELETE", "/hooks/{name}"),
            "/hooks/b",
            json!({}),
            "hook.delete",
            "b",
            json!({"number": 2, "order": 2}),
            Value::Null,
        ),
        change(
            ("PATCH", "/policy"),
            "/policy",
            json!({"accept": "readable"}),
            "policy.set",
            "policy",
            json!({"accept": "any", "record_verdicts": false}),
            json!({"accept": "readable", "record_verdicts": false}),
        ),
        change(
            ("POST", "/trust-anchors"),
            "/trust-anchors",
            json!({"pem": certificate_pem(ca)}),
            "anchor.add",
            anchor,
            Value::Null,
            json!({"subject": "CN=Upper,O=Sigpersist"}),
        ),
        change(
            ("DELETE", "/trust-anchors/{sha256}"),
            anchor_path,
            json!({}),
            "anchor.remove",
            anchor,
            json!({"subject": "CN=Upper,O=Sigpersist"}),
            Value::Null,
        ),
        change(
            ("DELETE", "/plugins/{name}"),
            "/plugins/p",
            json!({}),
            "plugin.delete",
            "p",
            json!({}),
            Value::Null,
        ),
    ]
}

/// Like [`changes`], for the platform's routes about tenants and their keys.
fn changes_of_tenants() -> Vec<Change> {
    let change = |route, path, body, action: &'static str, before, after| Change {
        route,
        path,
        body,
        action,
        target: if action.starts_with("tenant.") {
            "third"
        } else {
            "k-1"
        },
        before,
        after,
    };
    vec![
        change(
            ("POST", "/tenants"),
            "/tenants",
            json!({"slug": "third", "quotas": {"max_threads": 5}}),
            "tenant.create",
            Value::Null,
            json!({"name": "third", "state": "active"}),
        ),
        change(
            ("PATCH", "/tenants/{name}"),
            "/tenants/third",
            json!({"name": "Third", "quotas": {"max_threads": null}}),
            "tenant.update",
            json!({"name": "third", "quotas": {"max_threads": 5}}),
            json!({"name": "Third", "quotas": {"max_threads": null}}),
        ),
        change(
            ("POST", "/keys"),
            "/tenants/third/keys",
            json!({"kid": "k-1", "algorithm": "ES256", "expires_at": "2999-01-01 00:00:00"}),
            "key.add",
            Value::Null,
            json!({"algorithm": "ES256", "kind": "key_pair", "expires_at": "2999-01-01 00:00:00"}),
        ),
        change(
            ("POST", "/tokens"),
            "/tenants/third/tokens",
            json!({"scopes": ["signatures:read"], "subject": "script"}),
            "token.issue",
            Value::Null,
            json!({"scopes": ["signatures:read"], "subject": "script"}),
        ),
        change(
            ("POST", "/keys/{name}/revoke"),
            "/tenants/third/keys/k-1/revoke",
            json!({}),
            "key.revoke",
            json!({"state": "active"}),
            json!({"state": "revoked"}),
        ),
        change(
            ("POST", "/suspend"),
            "/tenants/third/suspend",
            json!({}),
            "tenant.suspend",
            json!({"state": "active", "suspended_at": null}),
            json!({"state": "suspended"}),
        ),
        change(
            ("POST", "/resume"),
            "/tenants/third/resume",
            json!({}),
            "tenant.resume",
            json!({"state": "suspended"}),
            json!({"state": "active", "suspended_at": null}),
        ),
        change(
            ("DELETE", "/tenants/{name}"),
            "/tenants/third",
            json!({}),
            "tenant.delete",
            json!({"state": "active", "delete_after": null}),
            json!({"state": "deleting"}),
        ),
    ]
}

/// The id of the key that signed a client's token.
fn kid(client: &Client) -> String {
    let token = client.token.as_ref().unwrap();
    let header = URL_SAFE_NO_PAD
        .decode(token.split('.').next().unwrap())
        .unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

fn events(client: &Client, query: &str) -> Vec<Value> {
    let page = client.get(&format!("/audit?{query}")).expect(200);
    page.json["content"]["events"].as_array().unwrap().clone()
}

#[track_caller]
fn assert_holds(actual: &Value, members: &Value, what: &str) {
    assert_eq!(actual.is_null(), members.is_null(), "{what}: {actual}");
    for (name, value) in members.as_object().into_iter().flatten() {
        assert_eq!(&actual[name], value, "{what}: {name} of {actual}");
    }
}

#[test]
fn every_change_by_every_route_is_one_event_that_says_all_of_it() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    let (changes, changes_of_tenants) = (changes(), changes_of_tenants());
    let listed = changes.iter().chain(&changes_of_tenants);
    let listed: BTreeSet<_> = listed
        .map(|change| change.route)
        .chain(CHANGES_NOTHING)
        .chain(IN_BACKGROUND)
        .chain(ELSEWHERE)
        .collect();
    let routes = ROUTES
        .iter()
        .filter(|route| route.method != Method::GET && route.audience != Audience::Tenant);
    let routes: BTreeSet<_> = routes
        .map(|route| (route.method.as_str(), route.path))
        .collect();
    assert_eq!(listed, routes, "say here what each route changes");
    let count = |slug: &str| {
        let chain = format!("FROM audit_events WHERE tenant = '{slug}'");
        let count = app
            .database
            .lines(&format!("SELECT count(*)::text AS line {chain}"));
        count.trim().parse::<usize>().unwrap()
    };
    let check = |client: &Client, slug: &str, kind: &str, changes: &[Change]| {
        for (place, change) in changes.iter().enumerate() {
            if change.action == "hook.release" {
                app.database.execute(
                    "UPDATE hooks SET quarantined_at = now(), quarantine_reason = 'it kept failing' WHERE name = 'b'",
                );
            }
            let before = count(slug);
            let id = format!("request-{place}");
            let (method, _) = change.route;
            let headers = [("x-request-id", id.as_str())];
            let answer = client.json_with(method, change.path, &change.body, &headers);
            assert!(answer.status < 300, "{}", answer.text);
            let what = format!("{method} {}", change.path);
            assert_eq!(count(slug), before + 1, "{what}");
            let event = &events(client, "limit=1")[0];
            assert_eq!(event["tenant"], slug, "{what}");
            assert_eq!(event["number"], before + 1, "{what}");
            assert_eq!(event["actor_kind"], kind, "{what}");
            assert_eq!(event["actor"], "tester", "{what}");
            assert_eq!(event["key"], kid(client).as_str(), "{what}");
            assert_eq!(event["request_id"], id.as_str(), "{what}");
            assert_eq!(event["action"], change.action, "{what}");
            assert_eq!(event["target"], change.target, "{what}");
            assert_holds(&event["before"], &change.before, &what);
            assert_holds(&event["after"], &change.after, &what);
        }
    };
    check(&app.platform(), "third", "platform", &changes_of_tenants);
    for (client, slug, kind) in [
        (app.operator("acme"), "acme", "tenant"),
        (app.platform_for("other"), "other", "platform"),
    ] {
        check(&client, slug, kind, &changes);
        // Neither a refused request nor a repeated change leaves an event.
        let before = count(slug);
        client
            .send("DELETE", "/hooks/a", &[], None)
            .expect_error(404, "hook_not_found");
        client
            .json("PUT", "/hooks/a", &json!({"plugin": "none"}))
            .expect_error(404, "plugin_not_found");
        assert_eq!(count(slug), before);
    }
    assert_eq!(broken(&app), []);
}

#[test]
fn the_trail_is_filtered_paged_and_each_tenants_own() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    let (operator, platform) = (app.operator("acme"), app.platform());
    app.upload("p", &Guest::default().component()).unwrap();
    for name in ["a", "b", "c"] {
        app.set("acme", name, "p", |_| {}).unwrap();
    }
    app.set("other", "a", "p", |_| {}).unwrap();
    operator
        .send("DELETE", "/hooks/b", &[("x-request-id", "request-7")], None)
        .expect(200);
    let said = |client: &Client, query: &str| {
        let events = events(client, query);
        let said = events.iter().map(|event| {
            let tenant = event["tenant"].as_str().unwrap_or("-");
            let words = [&event["action"], &event["target"]].map(|word| word.as_str().unwrap());
            format!("{tenant} {}", words.join(" "))
        });
        said.collect::<Vec<_>>()
    };
    let own = [
        "acme hook.delete b",
        "acme hook.set c",
        "acme hook.set b",
        "acme hook.set a",
    ];
    assert_eq!(said(&operator, "action=hook."), own);
    assert_eq!(said(&app.platform_for("acme"), "action=hook."), own);
    assert_eq!(said(&platform, "tenant=acme&action=hook."), own);
    let all = [
        "acme hook.delete b",
        "other hook.set a",
        "acme hook.set c",
        "acme hook.set b",
        "acme hook.set a",
        "- plugin.upload p",
    ];
    let mut everything = said(&platform, "since=2020-01-01+00:00:00");
    everything.retain(|said| said.contains(" hook.") || said.contains(" plugin."));
    assert_eq!(everything, all);
    assert_eq!(
        said(&platform, "platform=true&action=plugin.upload"),
        ["- plugin.upload p"]
    );
    assert_eq!(said(&operator, "action=hook.delete"), own[..1]);
    assert_eq!(said(&operator, "request_id=request-7"), own[..1]);
    assert_eq!(said(&operator, "actor=tester&action=hook."), own[..1]);
    assert_eq!(said(&operator, "target=a&action=hook."), own[3..]);
    assert_eq!(
        said(&operator, "until=2020-01-01+00:00:00"),
        Vec::<String>::new()
    );
    // A cursor continues where the page before it ended, even if events are added meanwhile.
    for (client, all) in [(&operator, &own[..]), (&platform, &all[..5])] {
        let mut cursor = String::new();
        for expected in all {
            let query = format!("/audit?action=hook.&limit=1{cursor}");
            let page = client.get(&query).expect(200);
            let event = &page.json["content"]["events"][0];
            let (action, target) = (event["action"].as_str(), event["target"].as_str());
            assert!(expected.ends_with(&format!("{} {}", action.unwrap(), target.unwrap())));
            cursor = match page.json["content"]["next"].as_str() {
                Some(next) => format!("&cursor={next}"),
                None => String::new(),
            };
        }
        assert_eq!(cursor, "", "there is no more");
    }
    // After a tenant is deleted, the platform still sees its events.
    app.database
        .execute("DELETE FROM tenants WHERE slug = 'acme'");
    assert_eq!(said(&platform, "tenant=acme&action=hook."), own);
    platform
        .get("/tenants/acme/audit")
        .expect_error(404, "tenant_not_found");
    app.tenant("acme");
    assert_eq!(
        said(&app.operator("acme"), "action=hook."),
        Vec::<String>::new()
    );
    assert_eq!(broken(&app), []);
    // Scopes and invalid queries.
    let reader = app.client("other", &[Scope::AuditRead]);
    assert_eq!(said(&reader, "action=hook."), ["other hook.set a"]);
    app.client("other", &Scope::APPLICATION)
        .get("/audit")
        .expect_error(403, "insufficient_scope");
    for query in [
        "tenant=acme",
        "platform=true",
        "cursor=x",
        "limit=0",
        "since=x",
        "action=%00",
    ] {
        reader
            .get(&format!("/audit?{query}"))
            .expect_error(400, "invalid_parameter");
    }
}

/// Clears the trail, including the events of the test's set-up, as if no server had ever sealed anything.
fn begin_anew(app: &TestApp) {
    app.database.execute(
        "DELETE FROM audit_events; DELETE FROM audit_heads; DELETE FROM audit_seals; DELETE FROM audit_keys",
    );
}

/// Inserts many events, so that the planner has a choice.
fn fill(app: &TestApp, tenants: &[i32], each: u32) {
    for tenant in tenants {
        app.database.execute(&format!(
            "SET sigpersist.tenant = '0'; \
             INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target, before, after) \
             SELECT {tenant}, (SELECT slug FROM tenants WHERE id = {tenant}), 'server', 'hook.set', 'h' || n, 'null', \
                    json_build_object('number', n, 'é', 'ж:,') \
             FROM generate_series(1, {each}) n"
        ));
    }
}

#[test]
fn a_page_is_read_from_an_index_in_order() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    fill(&app, &[0, 1, 2], 3_000);
    app.database.execute(
        "INSERT INTO audit_imported (tenant_id, part, tenant, number, at, source_id, source, actor_kind, action, target, previous, hash)
         SELECT tenant_id, 1, tenant, number, at, 7, 'elsewhere', actor_kind, action, target, previous, hash
         FROM audit_events WHERE tenant_id > 0;
         ANALYZE audit_events; ANALYZE audit_imported",
    );
    let (by_time, by_tenant) = ("audit_events_at_idx", "audit_events_tenant_idx");
    for (client, acting, path, values, index) in [
        (app.platform(), 0, "/audit", "51", by_time),
        (
            app.platform(),
            0,
            "/audit?tenant=acme",
            "'acme', 51",
            by_tenant,
        ),
        (
            app.operator("acme"),
            1,
            "/audit",
            "'acme', 1, 51",
            by_tenant,
        ),
    ] {
        client.get(path).expect(200);
        let statement = app.database.lines(
            "SELECT query AS line FROM pg_stat_activity WHERE query LIKE 'SELECT \"audit_events\"%' \
             AND datname = current_database() ORDER BY query_start DESC LIMIT 1",
        );
        let plan = app.database.analyze_for(acting, &statement, values);
        assert!(plan.contains(&format!("Backward using {index}")), "{plan}");
        assert!(!plan.contains("Sort"), "{plan}");
        // Imported events are paged by the same query.
        let statement = statement
            .replace("audit_events", "audit_imported")
            .replace("\"hash\"", "\"place\"");
        let plan = app.database.analyze_for(acting, &statement, values);
        let index = index.replace("audit_events", "audit_imported");
        assert!(plan.contains(&format!("Backward using {index}")), "{plan}");
        assert!(!plan.contains("Sort"), "{plan}");
    }
}

/// The faults of all broken chains, with the slugs of their tenants.
fn broken(app: &TestApp) -> Vec<(Option<String>, Vec<Fault>)> {
    let chains = verify(app, None);
    let broken = chains.into_iter().filter(|chain| !chain.faults.is_empty());
    broken.map(|chain| (chain.tenant, chain.faults)).collect()
}

fn verify(app: &TestApp, expected: Option<&Head>) -> Vec<Verified> {
    audit::verify(&app.app, &EventOwner::All, expected, |_, _| {}).unwrap()
}

#[test]
fn whatever_somebody_does_to_events_is_found_and_named() {
    let tampered: [(&str, Vec<Fault>); 15] = [
        (
            "UPDATE audit_events SET target = 'x' WHERE tenant_id = 1 AND number = 4",
            vec![Fault::Changed(4)],
        ),
        (
            "UPDATE audit_events SET actor = NULL, actor_key = 'command line' WHERE tenant_id = 1 AND number = 1",
            vec![Fault::Changed(1)],
        ),
        (
            "UPDATE audit_events SET before = '{\"number\":2}' WHERE tenant_id = 1 AND number = 9",
            vec![Fault::Changed(9)],
        ),
        (
            "UPDATE audit_events SET after = replace(after::text, ' ', '')::json WHERE tenant_id = 1 AND number = 2",
            vec![Fault::Changed(2)],
        ),
        (
            "UPDATE audit_events SET at = at + interval '1 microsecond' WHERE tenant_id = 1 AND number = 3",
            vec![Fault::Changed(3)],
        ),
        (
            "DELETE FROM audit_events WHERE tenant_id = 1 AND number IN (4, 5)",
            vec![Fault::Missing { from: 4, to: 5 }],
        ),
        (
            "DELETE FROM audit_events WHERE tenant_id = 1 AND number = 1",
            vec![Fault::Missing { from: 1, to: 1 }],
        ),
        (
            "DELETE FROM audit_events WHERE tenant_id = 1 AND number >= 8",
            vec![Fault::Missing { from: 8, to: 9 }],
        ),
        (
            "DELETE FROM audit_events WHERE tenant_id = 1",
            vec![Fault::Missing { from: 1, to: 9 }],
        ),
        (
            "UPDATE audit_events SET number = -1 WHERE tenant_id = 1 AND number = 3;
             UPDATE audit_events SET number = 3 WHERE tenant_id = 1 AND number = 4;
             UPDATE audit_events SET number = 4 WHERE tenant_id = 1 AND number = -1",
            vec![
                Fault::Moved { number: 3, was: 4 },
                Fault::Moved { number: 4, was: 3 },
            ],
        ),
        (
            "UPDATE audit_events SET target = 'x' WHERE tenant_id = 1 AND number = 5;
             UPDATE audit_events e SET hash = audit_hash(e) WHERE tenant_id = 1 AND number = 5",
            vec![Fault::Replaced(5)],
        ),
        (
            "UPDATE audit_events SET target = 'x' WHERE tenant_id = 1 AND number = 9;
             UPDATE audit_events e SET hash = audit_hash(e) WHERE tenant_id = 1 AND number = 9",
            vec![Fault::Replaced(9)],
        ),
        // A forged event, inserted as if it had always been there.
        (
            "SET session_replication_role = replica;
             INSERT INTO audit_events SELECT tenant_id, number + 1, at + interval '1 second', tenant, actor_kind, actor, actor_key,
                    request_id, action, 'forged', before, after, hash, hash FROM audit_events WHERE tenant_id = 1 AND number = 9;
             UPDATE audit_events e SET hash = audit_hash(e) WHERE tenant_id = 1 AND number = 10",
            vec![Fault::Added { from: 10, to: 10 }],
        ),
        (
            "DELETE FROM audit_heads WHERE tenant_id = 1",
            vec![Fault::NoEnd],
        ),
        // A function that accepts every hash deceives the database, but not the verification.
        (
            "CREATE OR REPLACE FUNCTION audit_hash(event audit_events) RETURNS bytea LANGUAGE sql RETURN event.hash;
             UPDATE audit_events SET target = 'x' WHERE tenant_id = 1 AND number = 6",
            vec![Fault::Changed(6)],
        ),
    ];
    for (sql, faults) in tampered {
        let app = TestApp::start();
        app.tenant("acme");
        app.tenant("other");
        begin_anew(&app);
        fill(&app, &[0, 1, 2], 9);
        assert_eq!(broken(&app), []);
        app.database.execute(sql);
        assert_eq!(broken(&app), [(Some("acme".to_owned()), faults)], "{sql}");
    }
}

#[test]
fn a_chain_that_was_made_anew_is_found_by_what_was_noted_of_it() {
    let app = TestApp::start();
    app.tenant("acme");
    begin_anew(&app);
    fill(&app, &[1], 9);
    let head = |chains: Vec<Verified>| {
        let mut chains = chains.into_iter();
        chains
            .find(|chain| chain.tenant.is_some())
            .map(|chain| chain.head)
            .unwrap()
    };
    let noted = head(verify(&app, None));
    assert_eq!(noted.number, 9);
    fill(&app, &[1], 3);
    let later = verify(&app, Some(&noted));
    assert!(later.iter().all(|chain| chain.faults.is_empty()));
    app.database.execute(
        "SET sigpersist.tenant = '0';
         CREATE TEMPORARY TABLE copy AS SELECT * FROM audit_events WHERE tenant_id = 1 ORDER BY number;
         DELETE FROM audit_events WHERE tenant_id = 1;
         DELETE FROM audit_heads WHERE tenant_id = 1;
         INSERT INTO audit_events (tenant_id, at, tenant, actor_kind, action, target, before, after)
         SELECT tenant_id, at, tenant, actor_kind, action, CASE number WHEN 5 THEN 'x' ELSE target END, before, after
         FROM copy ORDER BY number",
    );
    assert_eq!(broken(&app), []);
    let found = verify(&app, Some(&noted));
    assert_eq!(found.last().unwrap().faults, [Fault::NotAsNoted(9)]);
}

#[test]
fn many_writers_make_one_unbroken_chain_for_each_tenant() {
    let app = TestApp::start();
    app.upload("p", &Guest::default().component()).unwrap();
    let tenants = ["acme", "other", "third"];
    for slug in tenants {
        app.tenant(slug);
    }
    std::thread::scope(|scope| {
        for writer in 0..12 {
            let app = &app;
            scope.spawn(move || {
                let slug = tenants[writer % tenants.len()];
                let operator = app.operator(slug);
                for round in 0..5 {
                    let body = json!({"plugin": "p", "order": round});
                    let set = operator.json("PUT", &format!("/hooks/h-{writer}"), &body);
                    assert!(set.status < 300, "{}", set.text);
                    let order = operator.json("PUT", "/hooks/order", &json!({"order": []}));
                    order.expect_error(400, "invalid_parameter");
                }
            });
        }
    });
    assert_eq!(broken(&app), []);
    for slug in tenants {
        let sets = app.audit(slug);
        let sets = sets.iter().filter(|event| event.starts_with("hook.set"));
        assert_eq!(sets.count(), 20, "{slug}");
    }
}

#[test]
fn the_servers_role_may_only_add() {
    let app = TestApp::start();
    app.tenant("acme");
    begin_anew(&app);
    fill(&app, &[0, 1], 2);
    let add = "INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target) VALUES";
    let refused = [
        "UPDATE audit_events SET target = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target, number) VALUES (1, 'acme', 'server', 'a', 't', 7)",
        "INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target, at) VALUES (1, 'acme', 'server', 'a', 't', now())",
        "UPDATE audit_heads SET number = 1",
        "DELETE FROM audit_heads",
        "INSERT INTO audit_heads VALUES (7, 0, now(), '')",
        "UPDATE audit_imported SET target = 'x'",
        "DELETE FROM audit_imported",
        "UPDATE audit_seals SET seal = ''",
        "DELETE FROM audit_seals",
        "UPDATE audit_keys SET number = 2",
        "DELETE FROM audit_keys",
        "CREATE TEMPORARY TABLE mine (LIKE audit_events); \
         CREATE TRIGGER chain BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION chain_audit_event()",
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
    ];
    let try_as_server = |tenant: u32, sql: &str| {
        use diesel::connection::SimpleConnection as _;
        let mut connection = app.database.connect();
        connection
            .batch_execute(&format!(
                "SET ROLE sigpersist_server; SET sigpersist.tenant = '{tenant}'; {sql}"
            ))
            .map_err(|error| error.to_string())
    };
    for sql in refused {
        let error = try_as_server(0, sql).expect_err(sql);
        assert!(
            error.contains("permission denied") || error.contains("must be owner"),
            "{sql}: {error}"
        );
    }
    try_as_server(1, &format!("{add} (1, 'acme', 'server', 'a', 't')")).unwrap();
    try_as_server(0, &format!("{add} (1, 'acme', 'server', 'a', 't')")).unwrap();
    // No tenant can add to another's chain.
    for other in [
        "(0, NULL, 'server', 'a', 't')",
        "(2, 'other', 'server', 'a', 't')",
    ] {
        let error = try_as_server(1, &format!("{add} {other}")).unwrap_err();
        assert!(error.contains("row-level security"), "{error}");
    }
    assert_eq!(broken(&app), []);
}

#[test]
fn secrets_never_reach_the_trail() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    app.upload("p", &Guest::default().component()).unwrap();
    let settings = json!({"plugin": "p", "settings": {"password": "hunter2"}});
    operator.json("PUT", "/hooks/h", &settings).expect(201);
    let settings = json!({"plugin": "p", "settings": {"password": "hunter3"}, "shadow": {"settings": {"password": "hunter4"}}});
    operator.json("PUT", "/hooks/h", &settings).expect(200);
    let event = &events(&operator, "limit=1")[0];
    let digest = |side: &str| event[side]["settings_sha256"].as_str().unwrap().to_owned();
    assert_ne!(digest("before"), digest("after"));
    let all = app.database.dump("audit_events");
    assert!(!all.contains("hunter"), "{all}");
    let token = operator.token.as_ref().unwrap();
    assert!(!all.contains(token.rsplit('.').next().unwrap()));
}

/// Runs `sigpersist` on a test's database without a master key, so that only hashes are checked.
fn program(database: &TestDatabase, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = database.command(arguments);
    let output = command.env_remove("SIGPERSIST_MASTER_KEY_FILE").output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn commands_list_and_verify_with_exit_codes_to_trust() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    begin_anew(&app);
    fill(&app, &[1, 2], 2_500);
    let database = &app.database;
    let (code, listed, _) = program(
        database,
        &[
            "audit", "list", "acme", "--action", "hook.set", "--limit", "300", "--json",
        ],
    );
    assert_eq!(code, Some(0));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["events"].as_array().unwrap().len(), 300);
    assert_eq!(listed["events"][0]["after"]["é"], "ж:,");
    assert_eq!(listed["events"][0]["before"], Value::Null);
    assert!(listed["next"].is_string());
    let (_, table, _) = program(database, &["audit", "list", "--all", "--target", "h7"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let (code, verified, _) = program(database, &["audit", "verify", "acme", "--json"]);
    assert_eq!(code, Some(0));
    let verified: Value = serde_json::from_str(&verified).unwrap();
    let head = verified["chains"][0]["head"].as_str().unwrap().to_owned();
    fill(&app, &[1], 1);
    let (code, said, _) = program(database, &["audit", "verify", "acme", "--expect", &head]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.starts_with("acme: 2501 events, intact, up to 2501:"),
        "{said}"
    );
    let other = head.replace("2500:", "2499:");
    let (code, said, _) = program(database, &["audit", "verify", "acme", "--expect", &other]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("event 2499 is missing or does not have the expected hash"),
        "{said}"
    );
    database
        .execute("DELETE FROM audit_events WHERE tenant_id = 2 AND number BETWEEN 999 AND 1001");
    let (code, said, error) = program(database, &["audit", "verify", "--all"]);
    assert_eq!(code, Some(1));
    for words in [
        "other: 2497 events, BROKEN\n",
        "\n    events 999 to 1001 are missing",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(error.contains("1 of its chains is broken"), "{error}");
    // The exit code tells a failed check from a broken chain.
    let (code, _, error) = program(database, &["audit", "verify", "nobody"]);
    assert_eq!(code, Some(2), "{error}");
    let output = sigpersist(database.folder.path(), &["audit", "verify", "--all"])
        .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn events_from_before_the_chain_are_carried_into_it_and_back() {
    use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
    const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    let app = TestApp::start();
    app.tenant("acme");
    begin_anew(&app);
    // Connects as the owner of the tables, who can't bypass row-level security.
    let mut connection = diesel::Connection::establish(&app.database.url)
        .map(|connection: diesel::PgConnection| connection)
        .unwrap();
    let back = |connection: &mut diesel::PgConnection| {
        while !connection
            .revert_last_migration(MIGRATIONS)
            .unwrap()
            .to_string()
            .starts_with("20261124000007")
        {}
    };
    back(&mut connection);
    app.database.execute(
        "INSERT INTO audit_events (tenant_id, at, actor_kind, actor, request_id, action, target, details) VALUES
         (1, '2026-01-01 00:00:00Z', 'tenant', 'a', 'r', 'hook.set', 'x', '{\"before\": null, \"after\": {\"n\": 1}}'),
         (NULL, '2026-01-01 00:00:00Z', 'command_line', 'b', NULL, 'plugin.upload', 'y', '{\"before\": null, \"after\": null}'),
         (1, '2026-01-01 00:00:00Z', 'tenant', 'a', 'r', 'hook.set', 'z', '{\"before\": {\"n\": 1}, \"after\": {\"n\": 2}}')",
    );
    let told = "SELECT concat_ws(' ', tenant_id, number, tenant, actor, request_id, action, target, before, after) AS line
                FROM audit_events ORDER BY tenant_id, number";
    connection.run_pending_migrations(MIGRATIONS).unwrap();
    let expected = "0 1 b plugin.upload y\n\
                    1 1 acme a r hook.set x {\"n\": 1}\n\
                    1 2 acme a r hook.set z {\"n\": 1} {\"n\": 2}\n";
    assert_eq!(app.database.lines(told), expected);
    assert_eq!(broken(&app), []);
    back(&mut connection);
    assert_eq!(
        app.database.lines(
            "SELECT concat_ws(' ', tenant_id, action, target, details) AS line FROM audit_events ORDER BY id"
        ),
        "plugin.upload y {\"after\": null, \"before\": null}\n\
         1 hook.set x {\"after\": {\"n\": 1}, \"before\": null}\n\
         1 hook.set z {\"after\": {\"n\": 2}, \"before\": {\"n\": 1}}\n"
    );
    connection.run_pending_migrations(MIGRATIONS).unwrap();
    assert_eq!(app.database.lines(told), expected);
}
