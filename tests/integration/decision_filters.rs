//! Filters of the list of decisions, and the work that a page does at most.

use serde_json::{Value, json};
use sigpersist_model::plugin::Mode;

use crate::support::guest::{ACCEPT, Guest, rejecting};
use crate::support::{Client, REJECT, TestApp};

fn guest(judge: &str) -> Vec<u8> {
    Guest {
        judge,
        ..Guest::default()
    }
    .component()
}

/// Document and hook of each decision; the hook of a shadow's ends with an asterisk.
fn found(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("/hooks/decisions?{query}")).expect(200);
    let decisions = page.json["content"]["decisions"].as_array().unwrap().iter();
    let text = |decision: &Value, name: &str| decision[name].as_str().unwrap().to_owned();
    decisions
        .map(|decision| {
            let shadow = if decision["shadow"] == true { "*" } else { "" };
            format!(
                "{} {}{shadow}",
                text(decision, "document"),
                text(decision, "hook")
            )
        })
        .collect()
}

#[test]
fn decisions_are_found_by_what_decided_how_and_for_whom() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let crm = app.application("acme", "crm");
    let operator = app.operator("acme");
    let old = app.upload("p", &guest(ACCEPT)).unwrap().sha256;
    let new = app.upload("p", &guest(&rejecting('A'))).unwrap().sha256;
    app.hook("acme", "m", &guest(&rejecting('B')), |request| {
        request.mode = Mode::Monitor;
        request.order = 1;
    });
    let set = |request: Value| operator.json("PUT", "/hooks/h", &request);
    let settings = json!({"a": 1});
    set(json!({"plugin": "p", "revision": old, "settings": settings, "shadow": {"revision": new, "settings": {}}}))
        .expect(201);
    acme.save("d1", "t", 0, "x").expect(201);
    // A shadow that agrees.
    set(json!({"plugin": "p", "revision": old, "shadow": {"revision": old}})).expect(200);
    crm.save("d2", "t", 0, "x").expect(201);
    crm.save("d2", "t", 0, "x").expect(200);
    set(json!({"plugin": "p", "revision": new})).expect(200);
    acme.save("d3", "t", 0, "x")
        .expect_error(422, "hook_rejected");

    let all = [
        "d3 h", "d3 m", "d2 h*", "d2 h", "d2 m", "d2 h*", "d2 h", "d2 m", "d1 h*", "d1 h", "d1 m",
    ];
    assert_eq!(found(&operator, ""), all);
    for (query, expected) in [
        ("code=A", &["d3 h", "d1 h*"][..]),
        ("code=B&document=d1", &["d1 m"]),
        ("code=C", &[]),
        ("code=B&hook=h", &[]),
        ("differs=true", &["d1 h*"]),
        ("differs=false", &["d2 h*", "d2 h*"]),
        ("shadow=true&document=d1", &["d1 h*"]),
        ("shadow=false&document=d1", &["d1 h", "d1 m"]),
        ("shadow=true&verdict=accepted", &["d2 h*", "d2 h*"]),
        ("shadow=true&verdict=rejected", &["d1 h*"]),
        ("shadow=false&code=A", &["d3 h"]),
        ("outcome=rejected", &["d3 h", "d3 m"]),
        ("outcome=not_stored", &["d2 h*", "d2 h", "d2 m"]),
        ("outcome=failed", &[]),
        ("subject=crm&hook=m", &["d2 m", "d2 m"]),
        ("subject=tester&hook=m", &["d3 m", "d1 m"]),
        ("subject=nobody", &[]),
        ("hook=h&binding=1", &["d1 h*", "d1 h"]),
        ("hook=h&binding=3", &["d3 h"]),
        ("hook=m&binding=1&document=d3", &["d3 m"]),
        ("hook=h&binding=9", &[]),
        ("document=d1&thread=t&shadow=true", &["d1 h*"]),
        ("document=d3", &["d3 h", "d3 m"]),
    ] {
        assert_eq!(found(&operator, query), expected, "{query}");
    }
    // A revision: of hooks and of shadows.
    assert_eq!(
        found(&operator, &format!("revision={new}")),
        ["d3 h", "d1 h*"]
    );
    assert_eq!(
        found(&operator, &format!("revision={old}&shadow=false")),
        ["d2 h", "d2 h", "d1 h"]
    );
    assert_eq!(
        found(&operator, &format!("revision={old}&shadow=true")),
        ["d2 h*", "d2 h*"]
    );
    assert!(found(&operator, &format!("revision={}", "0".repeat(64))).is_empty());

    // Each filter keeps the order and loses nothing between pages.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/hooks/decisions?limit=1&hook=h&shadow=true{cursor}");
        let page = operator.get(&path).expect(200);
        let content = &page.json["content"];
        let decisions = content["decisions"].as_array().unwrap().iter();
        seen.extend(decisions.map(|decision| decision["id"].clone()));
        match content["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 3);

    // One decision shows the settings that made it: those of the shadow are its own.
    let settings_of = |query: &str| {
        let page = operator
            .get(&format!("/hooks/decisions?{query}"))
            .expect(200);
        let decision = &page.json["content"]["decisions"][0];
        let path = format!("/hooks/decisions/{}", decision["id"].as_str().unwrap());
        let one = operator.get(&path).expect(200);
        let content = &one.json["content"];
        assert_eq!(content["decision"], *decision);
        content["settings"].clone()
    };
    assert_eq!(settings_of("document=d1&hook=h&shadow=false"), settings);
    assert_eq!(settings_of("document=d1&hook=h&shadow=true"), json!({}));

    for bad in [
        "binding=1",
        "hook=h&binding=0",
        "revision=abc",
        "shadow=maybe",
        "differs=2",
        "outcome=fine",
        "code=",
        "thread=t",
    ] {
        operator
            .get(&format!("/hooks/decisions?{bad}"))
            .expect_error(400, "invalid_parameter");
    }
}

/// The statement of a page.
const LIST: &str = include_str!("../../crates/store/sql/decision_list.sql");

/// The query of each filter that no index knows, such that it matches one decision, the oldest.
const RARE: [&str; 8] = [
    "hook=rare",
    "code=rejected",
    "verdict=rejected",
    "outcome=rejected",
    "subject=tester",
    "document=rare",
    "hook=rare&binding=1",
    "revision=REVISION",
];

#[test]
fn a_rare_match_is_found_in_pages_of_bounded_work() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "rare", &guest(REJECT), |_| {});
    acme.save("rare", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    app.database.execute(
        r#"INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
           SELECT 1, 1, 'save', 'accepted', 'd' || n % 100, 't' || n, sha256(''),
                  jsonb_set(input, '{circumstances,subject}', '"other"'), '[{"hook": "other", "binding": 1}, {"hook": "another", "binding": 1}]'
           FROM hook_judgements, generate_series(1, 11000) n;
           ANALYZE hook_judgements"#,
    );
    let hook = operator.get("/hooks/rare").expect(200);
    let revision = hook.json["content"]["hook"]["revision"].as_str().unwrap();
    for query in RARE {
        let query = query.replace("REVISION", revision);
        let (mut pages, mut matches) = (0, 0);
        let mut cursor = String::new();
        loop {
            let page = operator
                .get(&format!("/hooks/decisions?{query}{cursor}"))
                .expect(200);
            let content = &page.json["content"];
            pages += 1;
            matches += content["decisions"].as_array().unwrap().len();
            match content["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!((matches, pages), (1, 3), "{query}");
    }
    // A thread is walked by its own index, so the first page is the last.
    let page = operator
        .get("/hooks/decisions?document=rare&thread=t&code=rejected")
        .expect(200);
    assert_eq!(page.json["content"]["next"], Value::Null);
    assert_eq!(
        page.json["content"]["decisions"].as_array().unwrap().len(),
        1
    );

    // The plan: backwards in an index, without a sort, and no more than 5,000 rows of the record.
    let unset = "NULL::text";
    let plan = |document: &str, thread: &str, pattern: &str| {
        let values = [
            document,
            thread,
            "NULL::timestamptz",
            "NULL::timestamptz",
            "NULL::timestamptz",
            "0",
            "5000",
            "51",
            unset,
            unset,
            unset,
            pattern,
            "'{}'::jsonb[]",
            "NULL::integer[]",
            "NULL::bytea",
            "-1",
        ];
        // The server plans each page with its values, so only the tenant stays a parameter.
        let numbered: Vec<_> = (2..).zip(values).collect();
        let list = numbered
            .iter()
            .rev()
            .fold(LIST.replace(';', ""), |text, (number, value)| {
                text.replace(&format!("${number}"), value)
            });
        app.database.analyze(&list, "1")
    };
    let rare = plan(unset, unset, r#"'{"hook": "rare"}'::jsonb"#);
    let scan = "Index Scan Backward using hook_judgements_pkey on hook_judgements";
    assert!(
        rare.contains(scan) && rare.contains("Rows Removed by Filter: 5000"),
        "{rare}"
    );
    let of_thread = plan("'rare'::text", "'t'::text", r#"'{"hook": "rare"}'::jsonb"#);
    let scan = "Index Scan Backward using hook_judgements_thread_idx on hook_judgements";
    assert!(
        of_thread.contains(scan) && !of_thread.contains("Rows Removed"),
        "{of_thread}"
    );
    for plan in [rare, of_thread] {
        for forbidden in ["Sort", "Seq Scan on hook_judgements", "Disk"] {
            assert!(!plan.contains(forbidden), "{plan}");
        }
    }
}
