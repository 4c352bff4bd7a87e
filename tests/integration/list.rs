//! GET /signatures.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{Client, TestApp};

fn documents(path: &str, client: &Client) -> Vec<String> {
    let listed = client.get(path).expect(200);
    listed
        .signatures()
        .iter()
        .map(|signature| signature["document"].as_str().unwrap().to_owned())
        .collect()
}

/// Follows the cursor through all pages.
fn walk(path: &str, client: &Client) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}{cursor}")).expect(200);
        all.extend_from_slice(page.signatures());
        match page.json["content"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[test]
fn filters_narrow_the_list_and_combine() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (document, thread, stage, tags) in [
        ("a", "t1", json!("draft"), json!(["x"])),
        ("b", "t1", json!("final"), json!(["x", "y"])),
        ("c", "t2", json!("final"), json!(["y", "z"])),
        ("d", "t2", json!(null), json!([])),
    ] {
        let body = json!({"document": document, "thread": thread, "stage": stage, "tags": tags, "cms": "x"});
        acme.post(&body).expect(201);
    }
    for (query, expected) in [
        ("", "d c b a"),
        ("document=b", "b"),
        ("chain=t1", "b a"),
        ("thread=t2", "d c"),
        ("thread=t2&chain=t2", "d c"),
        ("stage=final", "c b"),
        ("stage=final&chain=t1", "b"),
        ("tags=x", "b a"),
        ("tags=x&tags=y", "c b a"),
        ("tags=x&tags=y&tags_match=any", "c b a"),
        ("tags=x&tags=y&tags_match=all", "b"),
        ("tags=y&stage=final&chain=t2", "c"),
        ("tags=x&document=c", ""),
        ("tags=none", ""),
        ("document=none", ""),
        ("limit=2", "d c"),
        ("limit=2&offset=1", "c b"),
        ("tags=x&tags=y&limit=1&offset=1", "b"),
        ("tags=y&tags=z&tags_match=all&offset=1", ""),
        ("offset=4", ""),
    ] {
        let found = documents(&format!("/signatures?{query}"), &acme);
        assert_eq!(found.join(" "), expected, "{query}");
        let counted = acme
            .get(&format!("/signatures?{query}&count=true"))
            .expect(200);
        let unpaged: Vec<_> = query
            .split('&')
            .filter(|part| !part.starts_with("limit") && !part.starts_with("offset"))
            .collect();
        let matches = documents(&format!("/signatures?{}", unpaged.join("&")), &acme).len();
        assert_eq!(counted.json["content"]["nb_results"], matches, "{query}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "offset=-1",
        "count=maybe",
        "cursor=x",
        "tags_match=some",
        "omit=tags",
        "tags=",
        "stage=",
        "chain=a&thread=b",
        "documnet=a",
    ] {
        let refused = acme
            .get(&format!("/signatures?{query}"))
            .expect_error(400, "invalid_parameter");
        let field = refused.json["details"]["field"].as_str().unwrap();
        assert!(
            query.contains(field.trim_start_matches('/')),
            "{query}: {field}"
        );
    }
}

#[test]
fn the_stage_is_that_of_the_current_version() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (version, stage) in [(0, "draft"), (1, "final")] {
        let body = json!({"document": "d", "thread": "t", "version": version, "cms": stage, "stage": stage});
        acme.post(&body).expect(201);
    }
    assert!(documents("/signatures?stage=draft", &acme).is_empty());
    let listed = acme.get("/signatures?stage=final").expect(200);
    assert_eq!(listed.signatures()[0]["version"], 2);
    assert_eq!(listed.signatures()[0]["parent"], 1);
    assert_eq!(listed.signatures()[0]["signature"], "final");
}

#[test]
fn ten_thousand_signatures_are_listed_by_cursor_without_gap_or_repeat() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    // Creates all threads at the same time, so that only ids determine the order.
    app.database.execute(
        "WITH thread AS (
             INSERT INTO signatures (tenant_id, document, thread, version)
             SELECT t.id, 'd' || n, 'c' || n % 10, 1 FROM tenants t, generate_series(1, 10000) n
             RETURNING tenant_id, id, created_at),
         version AS (
             INSERT INTO signature_versions (tenant_id, signature_id, version, encoding, sha256, tags, signature)
             SELECT tenant_id, id, 1, 't', sha256('x'), ARRAY['all', 'mod' || id % 4], 'x' FROM thread)
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
         SELECT tenant_id, id, created_at, tag FROM thread, unnest(ARRAY['all', 'mod' || id % 4]) tag;
         ANALYZE",
    );
    for (query, expected) in [
        ("limit=997", 10_000),
        ("limit=1000&omit=signature", 10_000),
        ("limit=700&tags=all", 10_000),
        ("limit=700&tags=mod1&tags=mod3", 5_000),
        ("limit=700&tags=all&tags=mod2&tags_match=all", 2_500),
        ("limit=333&chain=c7", 1_000),
    ] {
        let all = walk(&format!("/signatures?{query}"), &acme);
        let ids: Vec<_> = all
            .iter()
            .map(|signature| signature["id"].as_i64().unwrap())
            .collect();
        assert_eq!(ids.len(), expected, "{query}");
        assert_eq!(
            ids.iter().collect::<HashSet<_>>().len(),
            expected,
            "{query}"
        );
        assert!(ids.is_sorted_by(|a, b| a > b), "{query}");
    }
    let counted = acme
        .get("/signatures?limit=1&count=true&tags=mod1")
        .expect(200);
    assert_eq!(counted.json["content"]["nb_results"], 2_500);
    // A large offset gives the same page as the cursor.
    let deep = acme
        .get("/signatures?limit=1000&offset=9000&omit=signature")
        .expect(200);
    let all = walk("/signatures?limit=1000&omit=signature", &acme);
    assert_eq!(deep.signatures(), &all[9000..]);
}

/// Inserts threads of the first tenant, numbered `from` to `to`, newest first.
fn fill(app: &TestApp, from: u32, to: u32) {
    app.database.execute(&format!(
        "WITH thread AS (
             INSERT INTO signatures (tenant_id, document, thread, version, stage, created_at)
             SELECT 1, 'd' || CASE WHEN n < 10 THEN 7 ELSE n % 100 END, 'c' || CASE WHEN n < 10 THEN 1000 + n ELSE n / 100 END, 1,
                    CASE WHEN n % 200 = 10 THEN 'rare' WHEN n < 10 THEN 's1' ELSE 's' || n % 3 END,
                    now() - n * interval '1 second'
             FROM generate_series({from}, {to}) n RETURNING tenant_id, id, created_at, stage),
         version AS (
             INSERT INTO signature_versions (tenant_id, signature_id, version, created_at, encoding, sha256, tags, signature)
             SELECT tenant_id, id, 1, created_at, 't', sha256('x'), '{{x,y}}', 'x' FROM thread),
         terms AS (
             INSERT INTO signature_terms (tenant_id, signature_id, created_at, term)
             SELECT tenant_id, id, created_at, term
             FROM thread, unnest('{{iin:000000000001,verdict:passed}}' || CASE WHEN stage = 'rare' THEN ARRAY['iin:000000000002'] ELSE '{{}}' END) term)
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
         SELECT tenant_id, id, created_at, tag
         FROM thread, unnest(ARRAY['x', 'y'] || CASE WHEN stage = 'rare' THEN ARRAY['rare'] ELSE '{{}}' END) tag"
    ));
}

/// The maximum number of rows that a node of a plan returns or discards.
fn most_rows(plan: &str) -> f64 {
    let number = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        text[..digits.unwrap_or(text.len())].parse::<f64>().unwrap()
    };
    let (mut most, mut loops) = (0.0_f64, 1.0);
    for line in plan.lines() {
        if let Some((rows, rest)) = line
            .split_once("(actual rows=")
            .and_then(|(_, rest)| rest.split_once(" loops="))
        {
            loops = number(rest);
            most = most.max(number(rows) * loops);
        } else if let Some((what, removed)) = line.split_once(": ")
            && what.trim_start().starts_with("Rows Removed by")
        {
            most = most.max(number(removed) * loops);
        }
    }
    most
}

const HEAD: &str = "50, 1000000, 50";
const AFTER: &str = "now() - interval '5000 seconds', 0";
const TAIL: &str = "51, 0, 1, 1";
const SINCE: &str = "now() - interval '1 year', 0";

/// Each kind of list, with the values of its statement for the newest page and for a distant one.
fn lists() -> Vec<(&'static str, [String; 2])> {
    let walked = |value: &str| {
        [
            format!("{HEAD}, 1, {value}, {value}, {TAIL}"),
            format!("{HEAD}, 1, {value}, {value}, {AFTER}, {TAIL}"),
        ]
    };
    let tagged = |before: &str, after: &str| {
        [
            format!("{HEAD}, {before}, {after} {TAIL}"),
            format!("{HEAD}, {before}, {AFTER}, {after} {TAIL}"),
        ]
    };
    let walked_all = |checked: &str| {
        [
            format!("{HEAD}, 1, {checked}{TAIL}"),
            format!("{HEAD}, 1, {checked}{AFTER}, {TAIL}"),
        ]
    };
    let key = "'d7', 'c50', 'd7', 'c50'";
    vec![
        (
            "limit=50",
            [
                format!("{HEAD}, 1, {TAIL}"),
                format!("{HEAD}, 1, {AFTER}, {TAIL}"),
            ],
        ),
        ("limit=50&document=d7", walked("'d7'")),
        ("limit=50&chain=c77", walked("'c77'")),
        ("limit=50&stage=s1", walked("'s1'")),
        (
            "limit=50&document=d7&chain=c50",
            [
                format!("{HEAD}, 1, {key}, {TAIL}"),
                format!("{HEAD}, 1, {key}, {AFTER}, {TAIL}"),
            ],
        ),
        ("limit=50&tags=x", tagged("'{x}', 1", "51,")),
        ("limit=50&tags=x&tags=y", tagged("'{x,y}', 1", "51,")),
        (
            "limit=50&tags=x&stage=s1",
            tagged("'{x}', 1, 1, 's1'", "51,"),
        ),
        ("limit=50&direction=asc", walked_all("")),
        (
            "limit=50&created_since=2001-02-18%2001:00:00&created_until=2101-02-18%2001:00:00",
            [
                format!("{HEAD}, 1, {SINCE}, now(), 0, {TAIL}"),
                format!("{HEAD}, 1, {SINCE}, {AFTER}, {TAIL}"),
            ],
        ),
        (
            "limit=50&document=d7&created_since=2001-02-18%2001:00:00",
            [
                format!("{HEAD}, 1, 'd7', {SINCE}, 'd7', {TAIL}"),
                format!("{HEAD}, 1, 'd7', {SINCE}, 'd7', {AFTER}, {TAIL}"),
            ],
        ),
        (
            "limit=50&signer=iin:000000000001",
            tagged("'{iin:000000000001}', 1", "51,"),
        ),
        (
            "limit=50&signer=iin:000000000001&tags=x",
            tagged("'{iin:000000000001}', 1, 1, '{x}'", "51,"),
        ),
        (
            "limit=50&verdict=passed",
            tagged("'{verdict:passed}', 1", "51,"),
        ),
        (
            "limit=50&not_signed_by=iin:000000000002",
            walked_all("1, '{iin:000000000002}', "),
        ),
        ("limit=50&order=updated", walked_all("1, ")),
        (
            "limit=50&tags=x&tags=rare&tags_match=all",
            [
                format!("{HEAD}, 1, '{{x,rare}}', 1, 1, '{{x,rare}}', {TAIL}"),
                format!("{HEAD}, 1, '{{x,rare}}', 1, {AFTER}, 1, '{{x,rare}}', {AFTER}, {TAIL}"),
            ],
        ),
    ]
}

/// Filters with few results, with the values of their count statements.
fn counts() -> Vec<(&'static str, String)> {
    let key = "1, 'd7', 'c50', 'd7', 'c50'".to_owned();
    vec![
        ("document=d7", "1, 'd7', 'd7'".to_owned()),
        ("chain=c77", "1, 'c77', 'c77'".to_owned()),
        ("stage=rare", "1, 'rare', 'rare'".to_owned()),
        ("document=d7&chain=c50", key),
        ("tags=rare&tags=none", "'{rare,none}', 1".to_owned()),
        (
            "tags=x&tags=rare&tags_match=all",
            "1, '{x,rare}', 1, 1, '{x,rare}'".to_owned(),
        ),
        ("tags=rare&stage=rare", "'{rare}', 1, 1, 'rare'".to_owned()),
    ]
}

/// Postgres plans by outdated or missing statistics, and by settings of the machine's owner. None of these may turn a
/// page into a scan of all the tenant's threads.
#[test]
fn a_page_costs_the_same_wherever_it_is_and_whatever_statistics_say() {
    let app = TestApp::start_with(|config| config.database.pool_size = 1);
    let acme = app.tenant("acme");
    for table in [
        "signatures",
        "signature_versions",
        "signature_tags",
        "signature_terms",
    ] {
        app.database.execute(&format!(
            "ALTER TABLE {table} SET (autovacuum_enabled = off)"
        ));
    }
    fill(&app, 0, 9);
    // The statements exactly as the server sends them.
    let cursor_of = |query: &str| {
        let order = query
            .split('&')
            .filter(|part| part.starts_with("order") || part.starts_with("direction"));
        let order: Vec<_> = order.collect();
        let page = acme
            .get(&format!("/signatures?limit=1&{}", order.join("&")))
            .expect(200);
        page.json["content"]["next"].as_str().unwrap().to_owned()
    };
    let sent = |path: String, beginning: &str| {
        acme.get(&path).expect(200);
        let sent = app.database.lines(&format!(
            "SELECT query AS line FROM pg_stat_activity
             WHERE query LIKE '{beginning}%' AND datname = current_database() AND pid <> pg_backend_pid()"
        ));
        assert!(!sent.is_empty(), "{path}");
        sent
    };
    let mut statements = Vec::new();
    for (query, [newest, far]) in lists() {
        let cursor = format!("&cursor={}", cursor_of(query));
        for (cursor, values) in [(String::new(), newest), (cursor, far)] {
            let path = format!("/signatures?{query}{cursor}");
            statements.push((sent(path, "SELECT s.id, s.document"), values));
        }
    }
    for (query, values) in counts() {
        let path = format!("/signatures?limit=1&count=true&{query}");
        statements.push((sent(path, "SELECT count(*) FROM ("), values));
    }
    let all_known = "ANALYZE signatures, signature_versions, signature_tags, signature_terms";
    let about = "WHERE oid IN ('signatures'::regclass, 'signature_versions'::regclass, 'signature_tags'::regclass, 'signature_terms'::regclass)";
    let moments = [
        ("ten rows, all alike", all_known.to_owned()),
        (
            "nothing",
            format!(
                "DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM pg_class {about});
                 UPDATE pg_class SET reltuples = -1, relpages = 0 {about}"
            ),
        ),
        ("all", all_known.to_owned()),
        (
            "a million rows",
            format!("UPDATE pg_class SET reltuples = 1000000 {about}"),
        ),
    ];
    for (known, learn) in moments {
        app.database.execute(&learn);
        if known.starts_with("ten") {
            fill(&app, 10, 20_000);
        }
        for (name, (workers, cost)) in [("none", ("0", "1000")), ("for nothing", ("4", "0"))] {
            for (setting, value) in [
                ("max_parallel_workers_per_gather", workers),
                ("parallel_setup_cost", cost),
                ("parallel_tuple_cost", cost),
                ("min_parallel_table_scan_size", "0"),
                ("min_parallel_index_scan_size", "0"),
            ] {
                app.database.set(setting, value);
            }
            for (statement, values) in &statements {
                let plan = app.database.analyze(statement, values);
                assert!(
                    most_rows(&plan) <= 300.0 && !plan.contains("Seq Scan on sign"),
                    "known: {known}; workers: {name}; {statement} ({values}):\n{plan}"
                );
            }
        }
    }
}

#[test]
fn a_page_that_would_not_fit_into_memory_is_refused_with_the_way_out() {
    let app = TestApp::start_with(|config| config.http.max_list_bytes = 1000);
    let acme = app.tenant("acme");
    for document in ["a", "b"] {
        acme.save(document, "t", 0, &"?".repeat(600)).expect(201);
    }
    let refused = acme
        .get("/signatures")
        .expect_error(400, "invalid_parameter");
    assert_eq!(refused.json["details"]["field"], "/limit");
    // Threads after the page do not count.
    assert_eq!(documents("/signatures?limit=1", &acme), ["b"]);
    assert_eq!(documents("/signatures?omit=signature", &acme), ["b", "a"]);
    acme.get("/signatures?document=a").expect(200).signatures()[0]["signature"]
        .as_str()
        .unwrap();
}

#[test]
fn lists_leave_connections_to_others() {
    let app = TestApp::start_with(|config| {
        config.database.pool_size = 8;
        config.http.queue_timeout_ms = 100;
    });
    let (acme, other) = (app.tenant("acme"), app.tenant("other"));
    acme.save("d", "t", 0, "x").expect(201);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let permit = |tenant| runtime.block_on(app.server.lists.acquire(tenant));
    // As if the tenant had as many lists as it may have, each of which reads for long.
    let own = app.tenant_id("acme");
    let most = [permit(Some(own)).unwrap(), permit(Some(own)).unwrap()];
    acme.get("/signatures").expect_error(429, "rate_limited");
    acme.read("d", "t").expect(200);
    acme.save("d", "t", 1, "y").expect(201);
    other.get("/signatures").expect(200);
    drop(most);
    acme.get("/signatures").expect(200);
    // All tenants together have half of the connections.
    let all: Vec<_> = (0..4).map(|_| permit(None).unwrap()).collect();
    permit(None).unwrap_err();
    other.get("/signatures").expect_error(503, "overloaded");
    other.save("d", "t", 0, "x").expect(201);
    drop(all);
    other.get("/signatures").expect(200);
}
