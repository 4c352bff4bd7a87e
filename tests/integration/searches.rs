//! Finding signatures by who signed them, how they were judged and when they changed, and answers with some members only.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use sigpersist::signatures::keep_indexing;

use crate::support::{COUNTERSIGNED, Client, FIRST, TestApp, eventually_within};

const DROPPED: &str = include_str!("../data/dropped.cms.b64");
const FORGED: &str = include_str!("../data/forged.cms.b64");
const UNNAMED: &str = include_str!("../data/unnamed.cms.b64");

const AIGERIM: &str = "iin:123456789011";
const COMPANY: &str = "bin:123456789021";
const DAULET: &str = "iin:123456789022";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn documents(client: &Client, query: &str) -> String {
    let listed = client.get(&format!("/signatures?{query}")).expect(200);
    let listed = listed.signatures().iter();
    let names: Vec<_> = listed
        .map(|signature| signature["document"].as_str().unwrap().to_owned())
        .collect();
    names.join(" ")
}

fn save(client: &Client, document: &str, version: u32, cms: &str, more: Value) {
    let mut body =
        json!({"document": document, "thread": "t", "version": version, "cms": cms.trim()});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    client.post(&body).expect(201);
}

/// Checks each query in both directions.
#[track_caller]
fn check(client: &Client, expected: &[(&str, &str)]) {
    for (query, expected) in expected {
        assert_eq!(documents(client, query), *expected, "{query}");
        let mut backwards: Vec<_> = expected.split(' ').collect();
        backwards.reverse();
        let ascending = documents(client, &format!("{query}&direction=asc"));
        assert_eq!(ascending, backwards.join(" "), "{query}");
        let counted = client
            .get(&format!("/signatures?{query}&count=true&limit=1"))
            .expect(200);
        let number = expected.split_whitespace().count();
        assert_eq!(counted.json["content"]["nb_results"], number, "{query}");
        // One by one.
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = client
                .get(&format!("/signatures?{query}&limit=1{cursor}"))
                .expect(200);
            let names = page.signatures().iter();
            found.extend(names.map(|signature| signature["document"].as_str().unwrap().to_owned()));
            match page.json["content"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found.join(" "), *expected, "{query}");
    }
}

#[test]
fn signatures_are_found_by_who_signed_them() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    save(&acme, "a", 0, FIRST, json!({"tags": ["x"], "stage": "s"}));
    save(&acme, "b", 0, DROPPED, json!({"tags": ["x", "y"]}));
    save(&acme, "c", 0, FIRST, json!({}));
    save(&acme, "c", 1, COUNTERSIGNED, json!({}));
    save(
        &acme,
        "d",
        0,
        "any text",
        json!({"tags": ["y"], "stage": "s"}),
    );
    // Who signed an earlier version is still found.
    save(&acme, "e", 0, FIRST, json!({}));
    save(&acme, "e", 1, DROPPED, json!({}));
    save(&acme, "f", 0, UNNAMED, json!({}));
    let inspected = acme
        .get("/signature?document=a&thread=t&inspect=true")
        .expect(200);
    let certificate = &inspected.json["content"]["inspection"]["signers"][0]["certificate"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let by_digest = format!("signer=sha256:{}", text(&certificate["sha256"]));
    let issuer = encoded(&text(&certificate["issuer"]["rfc4514"]));
    let by_serial = format!("signer=serial:{},{issuer}", text(&certificate["serial"]));
    let other_issuer = format!("signer=serial:{},CN=x", text(&certificate["serial"]));
    check(
        &acme,
        &[
            (&format!("signer={AIGERIM}"), "e c a"),
            (&format!("signer={COMPANY}"), "e c a"),
            (&by_digest, "e c a"),
            (&by_serial, "e c a"),
            (&other_issuer, ""),
            (&format!("signer={DAULET}"), "e c b"),
            (&format!("signer={AIGERIM}&signer={DAULET}"), "e c b a"),
            ("signer=iin:000000000000", ""),
            (&format!("not_signed_by={DAULET}"), "f d a"),
            (
                &format!("not_signed_by={AIGERIM}&not_signed_by={DAULET}"),
                "f d",
            ),
            (&format!("signer={AIGERIM}&not_signed_by={DAULET}"), "a"),
            (&format!("signer={DAULET}&tags=x"), "b"),
            (
                &format!("signer={DAULET}&tags=x&tags=y&tags_match=all"),
                "b",
            ),
            (&format!("not_signed_by={DAULET}&tags=x&tags=y"), "d a"),
            (&format!("not_signed_by={DAULET}&tags=y&stage=s"), "d"),
            (&format!("not_signed_by={DAULET}&stage=s"), "d a"),
            (&format!("signer={AIGERIM}&document=c"), "c"),
            (&format!("signer={AIGERIM}&document=c&thread=t"), "c"),
            (&format!("signer={DAULET}&document=a&thread=t"), ""),
            (&format!("not_signed_by={DAULET}&document=a&thread=t"), "a"),
            (&format!("signer={DAULET}&thread=t"), "e c b"),
        ],
    );
    let other = app.tenant("other");
    assert_eq!(documents(&other, &format!("signer={AIGERIM}")), "");
    // What is deleted is not found any more, nor is anything of it kept.
    acme.delete("c", "t").expect(200);
    assert_eq!(documents(&acme, &format!("signer={AIGERIM}")), "e a");
    let kept = "SELECT count(*)::text AS line FROM signature_terms t
                LEFT JOIN signatures s ON s.tenant_id = t.tenant_id AND s.id = t.signature_id WHERE s.id IS NULL";
    assert_eq!(app.database.lines(kept).trim(), "0");
    for query in [
        "signer=123456789011",
        "signer=iin:1",
        "signer=",
        "not_signed_by=serial:01",
        "verdict=good",
        "order=size",
        "direction=up",
        "fields=colour",
        "created_since=yesterday",
        "updated_since=2021-02-18 01:00:00&order=created",
        "order=updated&created_until=2021-02-18 01:00:00",
    ] {
        let query = query.replace(' ', "%20");
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
fn where_signatures_are_verified_only_intact_signers_count() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    save(&acme, "claimed", 0, FORGED, json!({}));
    assert_eq!(documents(&acme, &format!("signer={AIGERIM}")), "claimed");
    let operator = app.operator("acme");
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": true}))
        .expect(200);
    save(&acme, "forged", 0, FORGED, json!({}));
    save(&acme, "intact", 0, FIRST, json!({}));
    assert_eq!(
        documents(&acme, &format!("signer={AIGERIM}")),
        "intact claimed"
    );
    check(
        &acme,
        &[
            ("verdict=failed", "forged"),
            ("verdict=indeterminate", "intact"),
            ("verdict=passed", ""),
            ("verdict=failed&verdict=indeterminate", "intact forged"),
            ("verdict=indeterminate&document=forged", ""),
            (&format!("verdict=indeterminate&signer={AIGERIM}"), "intact"),
        ],
    );
    // A verdict is about the current version, and the last one counts.
    save(&acme, "intact", 1, FORGED, json!({}));
    assert_eq!(documents(&acme, "verdict=failed"), "intact forged");
    assert_eq!(documents(&acme, "verdict=indeterminate"), "");
    let verified = json!({"document": "intact", "thread": "t", "version": 1});
    acme.json("POST", "/signature/verify", &verified)
        .expect(201);
    assert_eq!(documents(&acme, "verdict=failed"), "intact forged");
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": false}))
        .expect(200);
    save(&acme, "intact", 2, FIRST, json!({}));
    assert_eq!(documents(&acme, "verdict=failed"), "forged");
    let verified = json!({"document": "intact", "thread": "t"});
    acme.json("POST", "/signature/verify", &verified)
        .expect(201);
    assert_eq!(documents(&acme, "verdict=indeterminate"), "intact");
}

#[test]
fn signatures_are_ordered_by_their_last_change_and_cut_by_time() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for document in ["a", "b", "c", "d"] {
        save(
            &acme,
            document,
            0,
            FIRST,
            json!({"tags": ["x"], "stage": "first"}),
        );
    }
    save(
        &acme,
        "b",
        1,
        COUNTERSIGNED,
        json!({"tags": ["x", "y"], "stage": "second"}),
    );
    save(
        &acme,
        "a",
        1,
        DROPPED,
        json!({"tags": ["y"], "stage": "second"}),
    );
    save(
        &acme,
        "a",
        2,
        COUNTERSIGNED,
        json!({"tags": ["y"], "stage": "second"}),
    );
    // Seconds apart, as times are told.
    app.database.execute(
        "UPDATE signature_versions SET created_at = '2026-01-01'::timestamptz + interval '1 second' * CASE
             WHEN version = 1 THEN signature_id WHEN signature_id = 2 THEN 10 ELSE 10 + version END;
         UPDATE signatures s SET created_at = v.created_at FROM signature_versions v
         WHERE v.signature_id = s.id AND v.version = 1;
         UPDATE signatures s SET updated_at = v.created_at FROM signature_versions v
         WHERE v.signature_id = s.id AND v.version = s.version;
         UPDATE signature_tags t SET created_at = s.created_at FROM signatures s WHERE s.id = t.signature_id;
         UPDATE signature_terms t SET created_at = s.created_at FROM signatures s WHERE s.id = t.signature_id",
    );
    let at = |document: &str, column: &str| {
        let all = acme
            .get(&format!("/signatures?document={document}"))
            .expect(200);
        let time = all.signatures()[0][column].as_str().unwrap().to_owned();
        encoded(&time)
    };
    let (created_b, created_d) = (at("b", "created_at"), at("d", "created_at"));
    let (updated_b, updated_c) = (at("b", "updated_at"), at("c", "updated_at"));
    check(
        &acme,
        &[
            ("", "d c b a"),
            ("order=created", "d c b a"),
            ("order=updated", "a b d c"),
            (&format!("created_since={created_b}"), "d c b"),
            (&format!("created_until={created_b}"), "a"),
            (
                &format!("created_since={created_b}&created_until={created_d}"),
                "c b",
            ),
            (&format!("created_since={created_b}&stage=first"), "d c"),
            (
                &format!("created_since={created_b}&thread=t&created_until={created_d}"),
                "c b",
            ),
            (&format!("created_since={created_b}&document=a"), ""),
            (
                &format!("created_until={created_b}&document=a&thread=t"),
                "a",
            ),
            (
                &format!("created_since={created_b}&tags=x&tags=y&tags_match=all"),
                "b",
            ),
            (&format!("created_since={created_b}&tags=x"), "d c b"),
            (&format!("updated_since={updated_b}"), "a b"),
            (&format!("updated_until={updated_b}"), "d c"),
            (
                &format!("updated_since={updated_c}&updated_until={updated_b}"),
                "d c",
            ),
            (
                &format!("updated_since={updated_b}&order=updated&tags=x"),
                "b",
            ),
            ("order=updated&tags=x", "b d c"),
            ("order=updated&tags=y", "a b"),
            ("order=updated&tags=x&tags=y&tags_match=all", "b"),
            ("order=updated&stage=second", "a b"),
            ("order=updated&stage=first&tags=y", ""),
            ("order=updated&thread=t&stage=second", "a b"),
            ("order=updated&document=b&thread=t", "b"),
            (&format!("order=updated&signer={DAULET}"), "a b"),
            (&format!("order=updated&not_signed_by={DAULET}"), "d c"),
        ],
    );
    let since = format!("created_until={created_b}&created_since={created_d}");
    assert_eq!(documents(&acme, &since), "");
    // A cursor continues only the list that it is from.
    let page = acme.get("/signatures?order=updated&limit=1").expect(200);
    let next = page.json["content"]["next"].as_str().unwrap();
    for other in ["", "order=updated&direction=asc&", "direction=asc&"] {
        let refused = acme
            .get(&format!("/signatures?{other}cursor={next}"))
            .expect_error(400, "invalid_parameter");
        assert!(
            refused.json["message"]
                .as_str()
                .unwrap()
                .contains("another order")
        );
    }
}

/// Above the number of threads that are gathered, the walk is along all threads; the results are the same.
#[test]
fn many_matches_are_found_by_their_last_change_as_few_are() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.database.execute(
        "WITH thread AS (
             INSERT INTO signatures (tenant_id, document, thread, version, created_at, updated_at)
             SELECT t.id, 'd' || n, 'c' || n % 3, 1, now() - n * interval '1 second', now() - (n * 7919 % 24000) * interval '1 second'
             FROM tenants t, generate_series(1, 24000) n RETURNING *),
         version AS (
             INSERT INTO signature_versions (tenant_id, signature_id, version, created_at, encoding, sha256, tags, signature)
             SELECT tenant_id, id, 1, updated_at, 't', sha256('x'), ARRAY['all', 'mod' || id % 4], 'x' FROM thread)
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
         SELECT tenant_id, id, created_at, tag FROM thread, unnest(ARRAY['all', 'mod' || id % 4]) tag;
         ANALYZE",
    );
    for (query, expected) in [
        ("tags=all", 24_000),
        ("tags=mod1", 6_000),
        ("tags=all&tags=mod1&tags_match=all", 6_000),
        ("tags=mod1&tags=mod2", 12_000),
        ("thread=c1", 8_000),
        ("thread=c1&tags=all", 8_000),
    ] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = acme
                .get(&format!("/signatures?{query}&order=updated&limit=1000&fields=id&fields=updated_at{cursor}"))
                .expect(200);
            found.extend_from_slice(page.signatures());
            match page.json["content"]["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found.len(), expected, "{query}");
        let times = found
            .iter()
            .map(|signature| signature["updated_at"].as_str().unwrap());
        assert!(times.is_sorted_by(|a, b| a >= b), "{query}");
    }
}

#[test]
fn versions_that_were_stored_before_are_indexed_later() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let set = |on: bool| {
        let policy = json!({"index_signers": on});
        operator.json("PATCH", "/policy", &policy).expect(200);
    };
    set(false);
    for number in 0..250 {
        save(&acme, &format!("d{number}"), 0, FIRST, json!({}));
    }
    save(&acme, "d0", 1, COUNTERSIGNED, json!({}));
    save(&acme, "text", 0, "any text", json!({}));
    for parameter in ["signer", "not_signed_by"] {
        let refused = acme
            .get(&format!("/signatures?{parameter}={AIGERIM}"))
            .expect_error(400, "invalid_parameter");
        assert_eq!(refused.json["details"]["field"], format!("/{parameter}"));
    }
    set(true);
    save(&acme, "new", 0, DROPPED, json!({}));
    let found = || {
        acme.get(&format!("/signatures?count=true&limit=1&signer={AIGERIM}"))
            .expect(200)
    };
    assert_eq!(found().json["content"]["incomplete"], true);
    let _indexing = app.keep(keep_indexing);
    eventually_within(Duration::from_secs(60), || {
        found().json["content"]["incomplete"].is_null()
    });
    assert_eq!(found().json["content"]["nb_results"], 250);
    assert_eq!(documents(&acme, &format!("signer={DAULET}")), "new d0");
    assert_eq!(
        documents(&acme, &format!("not_signed_by={AIGERIM}")),
        "new text"
    );
}

#[test]
fn a_list_has_the_members_that_were_asked_for() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    save(&acme, "a", 0, FIRST, json!({"tags": ["x"]}));
    let listed = |query: &str| {
        let listed = acme.get(&format!("/signatures?{query}")).expect(200);
        listed.signatures()[0].clone()
    };
    assert_eq!(
        listed("fields=document&fields=tags"),
        json!({"document": "a", "tags": ["x"]})
    );
    assert_eq!(
        listed("fields=stage&fields=parent"),
        json!({"stage": null, "parent": null})
    );
    assert_eq!(
        listed("fields=signature"),
        json!({"signature": FIRST.trim()})
    );
    assert_eq!(
        listed("fields=signature&fields=version&omit=signature"),
        json!({"version": 1})
    );
    let all = listed("");
    assert_eq!(all.as_object().unwrap().len(), 14);
    for (name, value) in all.as_object().unwrap() {
        assert_eq!(listed(&format!("fields={name}"))[name], *value, "{name}");
    }
}
