//! Trials of hooks before they decide anything.

use serde_json::{Value, json};

use crate::support::guest::Guest;
use crate::support::{
    COUNTERSIGNED, DROPPED, FIRST, REJECT, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, TestApp,
};

#[test]
fn a_draft_is_evaluated_by_the_whole_chain_and_nothing_is_stored() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    app.hook(
        "acme",
        "require-countersignature",
        REQUIRE_COUNTERSIGNATURE,
        |request| {
            request.order = 1;
        },
    );
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    let recorded = operator.get("/hooks/decisions").expect(200).json;
    let evaluate = |input: Value| {
        operator
            .json("POST", "/hooks/evaluate", &json!({"input": input}))
            .expect(200)
            .json["content"]
            .clone()
    };
    // An evaluation over the stored version.
    let accepted = evaluate(
        json!({"document": "d", "thread": "t", "cms": COUNTERSIGNED.trim(), "tags": ["own"]}),
    );
    assert_eq!(accepted["outcome"], "accepted");
    assert_eq!(accepted["tags"].as_array().unwrap().len(), 6);
    assert_eq!(accepted["decisions"].as_array().unwrap().len(), 2);
    assert!(accepted["decisions"][0]["fuel"].as_u64().unwrap() > 0);
    let dropped = evaluate(json!({"document": "d", "thread": "t", "cms": DROPPED.trim()}));
    assert_eq!(dropped["outcome"], "rejected");
    assert_eq!(dropped["decisions"][1]["code"], "signer-dropped");
    // An evaluation over a version in the request.
    let told =
        evaluate(json!({"cms": DROPPED.trim(), "previous": {"cms": DROPPED.trim(), "version": 4}}));
    assert_eq!(told["outcome"], "accepted");
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 1);
    assert_eq!(operator.get("/hooks/decisions").expect(200).json, recorded);
    operator
        .json(
            "POST",
            "/hooks/evaluate",
            &json!({"input": {"document": "d", "thread": "t"}}),
        )
        .expect_error(400, "invalid_parameter");
    operator
        .json(
            "POST",
            "/hooks/evaluate",
            &json!({"input": {"operation": "delete", "document": "none"}}),
        )
        .expect_error(404, "signature_not_found");
}

#[test]
fn a_candidate_takes_a_hooks_place_or_comes_last() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    let rejecting = Guest {
        judges: &["save-validator", "delete-validator"],
        judge: REJECT,
        ..Guest::default()
    };
    app.upload("no", &rejecting.component()).unwrap();
    let evaluate = |input: Value, candidate: Value| {
        let body = json!({"input": input, "candidate": candidate});
        operator.json("POST", "/hooks/evaluate", &body)
    };
    let input = json!({"cms": FIRST.trim()});
    let settings = json!({"prefixes": {"iin": "person/", "bin": "", "signer": ""}});
    let replaced =
        evaluate(input.clone(), json!({"hook": "tags", "settings": settings})).expect(200);
    assert_eq!(
        replaced.json["content"]["tags"],
        json!(["person/123456789011"])
    );
    let added = evaluate(input.clone(), json!({"plugin": "no"})).expect(200);
    assert_eq!(added.json["content"]["outcome"], "rejected");
    assert_eq!(added.json["content"]["decisions"][1]["hook"], "candidate");
    let delete = json!({"operation": "delete", "cms": "x"});
    let refused = evaluate(delete, json!({"plugin": "no"})).expect(200);
    assert_eq!(refused.json["content"]["outcome"], "rejected");
    let issue = evaluate(
        input.clone(),
        json!({"hook": "tags", "settings": {"oops": 1}}),
    );
    let issue = issue.expect_error(422, "settings_refused");
    let field = issue.json["details"]["issues"][0]["field"]
        .as_str()
        .unwrap();
    assert!(field.starts_with("/candidate/settings"), "{field}");
    evaluate(input.clone(), json!({"hook": "none"})).expect_error(404, "hook_not_found");
    evaluate(input, json!({})).expect_error(400, "invalid_parameter");
}

#[test]
fn a_candidate_is_run_over_what_is_stored() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    for number in 0..30 {
        acme.save(&format!("d{number}"), "t", 0, FIRST.trim())
            .expect(201);
    }
    for number in 0..3 {
        acme.save(&format!("d{number}"), "t", 1, DROPPED.trim())
            .expect(201);
    }
    app.upload("keeps", REQUIRE_COUNTERSIGNATURE).unwrap();
    let backtest = |body: Value| {
        operator
            .json("POST", "/hooks/backtest", &body)
            .expect(200)
            .json["content"]["backtest"]
            .clone()
    };
    let report = backtest(json!({"candidate": {"plugin": "keeps"}}));
    assert_eq!(
        (&report["examined"], &report["unchanged"]),
        (&json!(33), &json!(30))
    );
    assert_eq!(report["next"], Value::Null);
    let change = &report["changes"][0];
    assert_eq!(
        (&change["from"], &change["to"], &change["count"]),
        (&json!("accepted"), &json!("rejected"), &json!(3))
    );
    assert_eq!(change["examples"].as_array().unwrap().len(), 3);
    assert_eq!(change["examples"][0]["document"], "d2");
    assert_eq!(change["examples"][0]["version"], 2);
    assert!(
        change["examples"][0]["reasons"][0]
            .as_str()
            .unwrap()
            .starts_with("signer-dropped")
    );
    // Compared with the hook that the candidate would replace, only tags change.
    let settings = json!({"prefixes": {"iin": "person/"}});
    let report =
        backtest(json!({"candidate": {"hook": "tags", "settings": settings}, "limit": 10}));
    assert_eq!(report["examined"], 10);
    assert_eq!(report["changes"][0]["only_tags"], true);
    assert_eq!(report["changes"][0]["count"], 10);
    assert_eq!(
        report["changes"][0]["examples"].as_array().unwrap().len(),
        5
    );
    // Backtests in parts examine every version once.
    let mut examined = 0;
    let mut cursor = Value::Null;
    loop {
        let part =
            backtest(json!({"candidate": {"plugin": "keeps"}, "limit": 7, "cursor": cursor}));
        examined += part["examined"].as_u64().unwrap();
        cursor = part["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(examined, 33);
    let one = backtest(json!({"candidate": {"plugin": "keeps"}, "document": "d1"}));
    assert_eq!(one["examined"], 2);
    let none = backtest(json!({"candidate": {"plugin": "keeps"}, "until": "2000-01-01 00:00:00"}));
    assert_eq!(none["examined"], 0);
    for bad in [
        json!({"candidate": {"plugin": "keeps"}, "limit": 0}),
        json!({"candidate": {"plugin": "keeps"}, "cursor": "x"}),
        json!({"candidate": {"plugin": "keeps"}, "operation": "delete"}),
        json!({"candidate": {"plugin": "keeps"}, "since": "soon"}),
    ] {
        operator
            .json("POST", "/hooks/backtest", &bad)
            .expect_error(400, "invalid_parameter");
    }
}

#[test]
fn trials_take_turns_of_their_own() {
    let app = TestApp::start_with(|config| config.hooks.queue_timeout_ms = 100);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    app.tenant("other");
    let others = app.operator("other");
    let draft = json!({"input": {"cms": "x"}});
    // As if the tenant were running a backtest: other tenants' trials and ordinary requests still work.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let permit = |tenant| runtime.block_on(app.server.trials.acquire(tenant)).unwrap();
    let own = permit(Some(app.tenant_id("acme")));
    operator
        .json("POST", "/hooks/evaluate", &draft)
        .expect_error(429, "rate_limited");
    others.json("POST", "/hooks/evaluate", &draft).expect(200);
    acme.save("d", "t", 0, "x").expect(201);
    drop(own);
    // As if many tenants were running backtests.
    let all = 0..app.app.config.hooks.max_concurrent_trials;
    let all: Vec<_> = all.map(|_| permit(None)).collect();
    operator
        .json("POST", "/hooks/evaluate", &draft)
        .expect_error(503, "overloaded");
    acme.save("e", "t", 0, "x").expect(201);
    drop(all);
    operator
        .json("POST", "/hooks/evaluate", &json!({"input": {"cms": "x"}}))
        .expect(200);
}
