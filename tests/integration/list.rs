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

/// Follows the cursor to the end.
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
    // All of them created in one moment, so that only ids settle the order.
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
    // Deep by offset gives the same as by cursor.
    let deep = acme
        .get("/signatures?limit=1000&offset=9000&omit=signature")
        .expect(200);
    let all = walk("/signatures?limit=1000&omit=signature", &acme);
    assert_eq!(deep.signatures(), &all[9000..]);
}

#[test]
fn a_page_costs_the_same_wherever_it_is() {
    let app = TestApp::start_with(|config| config.database.pool_size = 1);
    let acme = app.tenant("acme");
    app.database.execute(
        "WITH thread AS (
             INSERT INTO signatures (tenant_id, document, thread, version, stage, created_at)
             SELECT t.id, 'd' || n % 100, 'c' || n / 100, 1, 's' || n % 3, now() - n * interval '1 second'
             FROM tenants t, generate_series(1, 20000) n RETURNING tenant_id, id, created_at),
         version AS (
             INSERT INTO signature_versions (tenant_id, signature_id, version, encoding, sha256, tags, signature)
             SELECT tenant_id, id, 1, 't', sha256('x'), '{x,y}', 'x' FROM thread)
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
         SELECT tenant_id, id, created_at, tag FROM thread, unnest(ARRAY['x', 'y']) tag;
         ANALYZE",
    );
    let cursor = acme.get("/signatures?limit=1").expect(200).json["content"]["next"].clone();
    let cursor = cursor.as_str().unwrap();
    let (head, after, tail) = (
        "50, 1000000, 50",
        "now() - interval '5000 seconds', 0",
        "51, 0, 1",
    );
    for (query, values) in [
        ("limit=50", format!("{head}, 1, {after}, {tail}")),
        (
            "limit=50&document=d7",
            format!("{head}, 1, 'd7', {after}, {tail}"),
        ),
        (
            "limit=50&chain=c77",
            format!("{head}, 1, 'c77', {after}, {tail}"),
        ),
        (
            "limit=50&stage=s1",
            format!("{head}, 1, 's1', {after}, {tail}"),
        ),
        (
            "limit=50&tags=x",
            format!("{head}, '{{x}}', 1, {after}, 51, {tail}"),
        ),
        (
            "limit=50&tags=x&tags=y",
            format!("{head}, '{{x,y}}', 1, {after}, 51, {tail}"),
        ),
        (
            "limit=50&tags=x&tags=y&tags_match=all",
            format!("{head}, 1, '{{x,y}}', 1, {after}, 1, '{{x,y}}', 2, {after}, {tail}"),
        ),
    ] {
        acme.get(&format!("/signatures?{query}&cursor={cursor}"))
            .expect(200);
        // The statement as the server just sent it, far from the newest: what it reads stays near the page's size.
        let statement = app.database.lines(
            "SELECT query AS line FROM pg_stat_activity
             WHERE query LIKE 'SELECT s.id, s.document%' AND datname = current_database()",
        );
        let plan = app.database.analyze(&statement, &values);
        let most_rows = plan
            .split("rows=")
            .skip(1)
            .map(|rest| rest.split(' ').next().unwrap().parse::<u32>().unwrap())
            .max();
        assert!(
            most_rows.unwrap() <= 200 && !plan.contains("Seq Scan on sign"),
            "{query}:\n{plan}"
        );
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
    // What comes after the page does not count.
    assert_eq!(documents("/signatures?limit=1", &acme), ["b"]);
    assert_eq!(documents("/signatures?omit=signature", &acme), ["b", "a"]);
    acme.get("/signatures?document=a").expect(200).signatures()[0]["signature"]
        .as_str()
        .unwrap();
}
