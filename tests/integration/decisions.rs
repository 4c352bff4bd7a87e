//! The record of hook decisions: it is complete, and can be filtered, replayed and cleared.

use serde_json::{Value, json};
use sigpersist_model::plugin::{Mode, OnFailure};

use crate::support::guest::{Guest, LOOP};
use crate::support::{
    COUNTERSIGNED, Client, DROPPED, FIRST, REJECT, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, TestApp,
};

fn decisions(client: &Client, query: &str) -> Vec<Value> {
    let page = client.get(&format!("/hooks/decisions?{query}")).expect(200);
    page.json["content"]["decisions"]
        .as_array()
        .unwrap()
        .clone()
}

/// One member of each decision.
fn each(client: &Client, query: &str, name: &str) -> Vec<Value> {
    let decisions = decisions(client, query);
    decisions
        .iter()
        .map(|decision| decision[name].clone())
        .collect()
}

fn guest(judges: &[&str], judge: &str) -> Vec<u8> {
    Guest {
        judges,
        judge,
        ..Guest::default()
    }
    .component()
}

#[test]
fn every_run_is_recorded_whole() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |request| {
        request.settings = json!({"prefixes": {"bin": "", "signer": ""}});
    });
    app.hook(
        "acme",
        "require-countersignature",
        REQUIRE_COUNTERSIGNATURE,
        |request| {
            request.order = 1;
        },
    );
    let body = json!({"document": "d", "thread": "t", "cms": FIRST.trim(), "tags": ["own", "iin:1"], "stage": "s"});
    let headers = [("x-request-id", "request-1")];
    acme.json_with("POST", "/signature", &body, &headers)
        .expect(201);
    let recorded = decisions(&operator, "");
    assert_eq!(recorded.len(), 2);
    let (tags, keeps) = (&recorded[0], &recorded[1]);
    assert_eq!(tags["hook"], "signer-tags");
    assert_eq!(keeps["hook"], "require-countersignature");
    for decision in [tags, keeps] {
        assert_eq!(decision["operation"], "save");
        assert_eq!(decision["document"], "d");
        assert_eq!(decision["thread"], "t");
        assert_eq!(decision["version"], 1);
        assert_eq!(decision["outcome"], "accepted");
        assert_eq!(decision["verdict"], "accepted");
        assert_eq!(decision["mode"], "enforce");
        assert_eq!(decision["request_id"], "request-1");
        assert_eq!(decision["subject"], "tester");
        assert_eq!(decision["input_sha256"].as_str().unwrap().len(), 64);
        assert!(decision["fuel"].as_u64().unwrap() > 100);
        assert!(decision["microseconds"].as_u64().unwrap() > 0);
        assert!(decision["memory_bytes"].as_u64().unwrap() > 60_000);
    }
    assert_eq!(tags["input_sha256"], keeps["input_sha256"]);
    assert_eq!(tags["plugin"], "signer-tags");
    let hook = operator.get("/hooks/signer-tags").expect(200);
    assert_eq!(tags["revision"], hook.json["content"]["hook"]["revision"]);
    assert_ne!(tags["settings_sha256"], keeps["settings_sha256"]);
    assert_eq!(tags["tags_added"], json!(["iin:123456789011"]));
    assert_eq!(tags["tags_removed"], json!(["iin:1"]));
    // Rejections are recorded too.
    acme.save("d", "t", 1, DROPPED.trim())
        .expect_error(422, "hook_rejected");
    let refused = decisions(&operator, "verdict=rejected");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["code"], "signer-dropped");
    assert_eq!(refused[0]["outcome"], "rejected");
    assert_eq!(refused[0]["version"], 2);
    assert!(
        refused[0]["message"]
            .as_str()
            .unwrap()
            .contains("drops the signer")
    );
    // A delete leaves no decision if no hook judges it.
    acme.delete("d", "t").expect(200);
    assert_eq!(decisions(&operator, "").len(), 4);
    let id = refused[0]["id"].as_str().unwrap();
    let one = operator.get(&format!("/hooks/decisions/{id}")).expect(200);
    assert_eq!(one.json["content"]["decision"], refused[0]);
    operator
        .get("/hooks/decisions/nonsense")
        .expect_error(404, "decision_not_found");
}

#[test]
fn decisions_are_stored_with_the_version_or_not_at_all() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    app.database
        .execute("ALTER TABLE hook_judgements ADD CONSTRAINT no CHECK (document <> 'no')");
    acme.save("no", "t", 0, FIRST.trim())
        .expect_error(500, "internal");
    acme.read("no", "t")
        .expect_error(404, "signature_not_found");
    app.database
        .execute("ALTER TABLE hook_judgements DROP CONSTRAINT no");
    acme.save("no", "t", 0, FIRST.trim()).expect(201);
    // A retry and a conflict ran their hooks, but stored nothing.
    acme.save("no", "t", 0, FIRST.trim()).expect(200);
    acme.save("no", "t", 7, FIRST.trim())
        .expect_error(409, "version_conflict");
    assert_eq!(
        each(&operator, "", "outcome"),
        ["not_stored", "not_stored", "accepted"]
    );
}

#[test]
fn deletes_failures_monitors_logs_and_warnings_are_on_record() {
    let app = TestApp::start_with(|config| config.hooks.max_log_bytes = 100);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook(
        "acme",
        "keep",
        &guest(&["delete-validator"], REJECT),
        |_| {},
    );
    app.hook(
        "acme",
        "loop",
        &guest(&["save-validator"], LOOP),
        |request| {
            request.timeout_ms = Some(30);
            request.on_failure = OnFailure::Allow;
            request.order = 1;
        },
    );
    app.hook(
        "acme",
        "watch",
        &guest(&["save-validator"], REJECT),
        |request| {
            request.mode = Mode::Monitor;
            request.order = 2;
        },
    );
    let wordy = Guest {
        definitions: r#"(import "sigpersist:hooks/log@1.1.0" "write" (func $write (param i32 i32 i32)))"#,
        judge: "(call $write (i32.const 2) (i32.const 768) (i32.const 6))
                (call $write (i32.const 1) (i32.const 131072) (i32.const 200))
                (i32.const 1024)",
        ..Guest::default()
    };
    app.hook("acme", "wordy", &wordy.component(), |request| {
        request.order = 3;
    });
    acme.save("d", "t", 0, "x").expect(201);
    acme.delete("d", "t").expect_error(422, "hook_rejected");
    assert_eq!(
        each(&operator, "", "hook"),
        ["keep", "loop", "watch", "wordy"]
    );
    let keep = &decisions(&operator, "hook=keep")[0];
    assert_eq!(keep["operation"], "delete");
    assert_eq!(keep["code"], "rejected");
    let failed = &decisions(&operator, "verdict=failed")[0];
    assert_eq!(
        failed["failure"],
        "validate-save: it ran longer than its limit of 30 ms (timeout_ms)"
    );
    assert_eq!(failed["outcome"], "accepted");
    let watch = &decisions(&operator, "hook=watch")[0];
    assert_eq!(
        (&watch["mode"], &watch["verdict"], &watch["outcome"]),
        (&json!("monitor"), &json!("rejected"), &json!("accepted"))
    );
    let wordy = &decisions(&operator, "hook=wordy")[0];
    assert_eq!(
        wordy["log"][0],
        json!({"level": "warn", "message": "a test"})
    );
    assert!(
        wordy["log"][1]["message"]
            .as_str()
            .unwrap()
            .contains("hooks.max_log_bytes")
    );
}

#[test]
fn hooks_behind_one_that_stops_the_chain_decided_nothing() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let trap = guest(&["tagger", "save-validator"], "(unreachable)");
    app.hook("acme", "trap", &trap, |_| {});
    let fine = guest(&["save-validator"], "(i32.const 1024)");
    app.hook("acme", "behind", &fine, |request| request.order = 1);
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    assert_eq!(each(&operator, "", "hook"), ["trap"]);
    let id = each(&operator, "", "id");
    let path = format!("/hooks/decisions/{}/replay", id[0].as_str().unwrap());
    let replay = operator.send("POST", &path, &[], None).expect(200);
    assert_eq!(replay.json["content"]["same"], true, "{}", replay.text);
    // With `on_failure` allow, the validator of a failed hook does not run either, as if the hook did not exist.
    app.set("acme", "trap", "trap", |request| {
        request.on_failure = OnFailure::Allow;
    })
    .unwrap();
    acme.save("d", "t", 0, "x").expect(201);
    assert_eq!(
        each(&operator, "limit=2", "verdict"),
        ["failed", "accepted"]
    );
}

#[test]
fn the_record_is_filtered_and_paged() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    for (order, name) in (0..).zip(["a", "b"]) {
        app.hook(
            "acme",
            name,
            &guest(&["save-validator"], "(i32.const 1024)"),
            |request| {
                request.order = order;
            },
        );
    }
    for number in 0..5 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    app.hook(
        "acme",
        "b",
        &guest(&["save-validator"], REJECT),
        |request| request.order = 1,
    );
    acme.save("d0", "t", 1, "y")
        .expect_error(422, "hook_rejected");
    assert_eq!(decisions(&operator, "document=d0&thread=t").len(), 4);
    assert_eq!(decisions(&operator, "document=d0&thread=other").len(), 0);
    assert_eq!(decisions(&operator, "hook=b&verdict=accepted").len(), 5);
    assert_eq!(decisions(&operator, "since=2000-01-01T00:00:00Z").len(), 12);
    assert_eq!(decisions(&operator, "until=2000-01-01%2000:00:00").len(), 0);
    // For any page size, each decision appears once and in the same order.
    let all = each(&operator, "", "id");
    assert_eq!(all.len(), 12);
    for limit in [1, 2, 3, 5, 12] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = operator
                .get(&format!("/hooks/decisions?limit={limit}{cursor}"))
                .expect(200);
            let content = &page.json["content"];
            let ids = content["decisions"].as_array().unwrap().iter();
            seen.extend(ids.map(|decision| decision["id"].clone()));
            match content["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, all, "{limit}");
    }
    for bad in [
        "verdict=maybe",
        "since=yesterday",
        "cursor=x",
        "limit=0",
        "oops=1",
    ] {
        operator
            .get(&format!("/hooks/decisions?{bad}"))
            .expect_error(400, "invalid_parameter");
    }
    assert!(decisions(&app.platform_for("acme"), "").len() == 12);
}

#[test]
fn a_filter_that_finds_little_comes_back_with_a_place_to_go_on() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "rare", &guest(&["save-validator"], REJECT), |_| {});
    acme.save("d", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    app.database.execute(
        r#"INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
           SELECT 1, 1, 'save', 'accepted', 'd', 't', sha256(''), input, '[{"hook": "other", "binding": 1}]'
           FROM hook_judgements, generate_series(1, 11000)"#,
    );
    let mut pages = 0;
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = operator
            .get(&format!("/hooks/decisions?hook=rare{cursor}"))
            .expect(200);
        pages += 1;
        found.extend(
            page.json["content"]["decisions"]
                .as_array()
                .unwrap()
                .clone(),
        );
        match page.json["content"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((found.len(), pages), (1, 3));
}

#[test]
fn a_decision_is_replayed_on_its_own_input_whatever_was_changed_since() {
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
    acme.post(&json!({"document": "d", "thread": "t", "cms": FIRST.trim(), "tags": ["iin:1"]}))
        .expect(201);
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(201);
    acme.save("d", "t", 2, DROPPED.trim())
        .expect_error(422, "hook_rejected");
    // The hooks have changed since, or are deleted.
    app.set("acme", "signer-tags", "signer-tags", |request| {
        request.settings = json!({"prefixes": {"iin": "person/"}});
    })
    .unwrap();
    operator
        .send("DELETE", "/hooks/require-countersignature", &[], None)
        .expect(200);
    let all = decisions(&operator, "");
    assert_eq!(all.len(), 6);
    for decision in &all {
        let id = decision["id"].as_str().unwrap();
        let replay = operator
            .send("POST", &format!("/hooks/decisions/{id}/replay"), &[], None)
            .expect(200);
        let content = &replay.json["content"];
        assert_eq!(content["same"], true, "{}", replay.text);
        assert_eq!(content["recorded"]["id"], decision["id"]);
        for name in ["verdict", "code", "tags_added", "tags_removed", "fuel"] {
            assert_eq!(
                content["replayed"][name], decision[name],
                "{name}: {}",
                replay.text
            );
        }
    }
    assert_eq!(
        decisions(&operator, "").len(),
        6,
        "a replay is not recorded"
    );
    // Deleting the thread deletes the judged input.
    acme.delete("d", "t").expect(200);
    let id = all[5]["id"].as_str().unwrap();
    operator
        .send("POST", &format!("/hooks/decisions/{id}/replay"), &[], None)
        .expect_error(410, "input_gone");
}

#[test]
fn a_refused_signature_is_kept_for_replays_only_up_to_a_size() {
    let app = TestApp::start_with(|config| config.hooks.max_kept_input_bytes = 10);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "no", &guest(&["save-validator"], REJECT), |_| {});
    for (document, cms, status) in [("small", "0123456789", 200), ("large", "0123456789a", 410)] {
        acme.save(document, "t", 0, cms)
            .expect_error(422, "hook_rejected");
        let id = each(&operator, &format!("document={document}"), "id");
        let path = format!("/hooks/decisions/{}/replay", id[0].as_str().unwrap());
        let replay = operator.send("POST", &path, &[], None);
        assert_eq!(replay.status, status, "{}", replay.text);
    }
}

#[test]
fn old_decisions_are_cleared_in_the_background() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "no", &guest(&["save-validator"], REJECT), |_| {});
    for document in ["old", "new"] {
        acme.save(document, "t", 0, document)
            .expect_error(422, "hook_rejected");
    }
    app.database.execute(
        "UPDATE hook_judgements SET at = at - interval '91 days' WHERE document = 'old';
         INSERT INTO hook_judgements (tenant_id, at, version, operation, outcome, document, thread, input_sha256, input, decisions)
         SELECT 1, at, 1, 'save', 'accepted', 'old', 't', sha256(''), input, decisions
         FROM hook_judgements, generate_series(1, 2500) WHERE document = 'old';
         UPDATE hook_inputs SET at = at - interval '91 days' WHERE signature = 'old';",
    );
    let _retention = app.clear_decisions();
    crate::support::eventually(|| {
        app.database
            .lines("SELECT count(*)::text AS line FROM hook_judgements")
            == "1\n"
    });
    assert_eq!(each(&operator, "", "document"), ["new"]);
    assert_eq!(
        app.database
            .lines("SELECT convert_from(signature, 'UTF8') AS line FROM hook_inputs"),
        "new\n"
    );
}

#[test]
fn a_shadow_runs_on_the_same_input_and_only_its_difference_is_told() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.upload("tags", SIGNER_TAGS).unwrap();
    let set = |shadow: Value| {
        let request = json!({"plugin": "tags", "settings": {"prefixes": {"bin": "", "signer": ""}}, "shadow": shadow});
        operator.json("PUT", "/hooks/tags", &request)
    };
    set(json!({"settings": {"prefixes": {"iin": "person/", "bin": "", "signer": ""}}})).expect(201);
    let saved = acme.save("d", "t", 0, FIRST.trim()).expect(201);
    assert_eq!(saved.tags(), ["iin:123456789011"]);
    let recorded = decisions(&operator, "");
    assert_eq!(recorded.len(), 2);
    let (shadow, active) = (&recorded[0], &recorded[1]);
    assert_eq!(
        (&shadow["shadow"], &shadow["mode"]),
        (&json!(true), &json!("monitor"))
    );
    assert_eq!(shadow["differs"], true);
    assert_eq!(shadow["tags_added"], json!(["person/123456789011"]));
    assert_eq!(active["tags_added"], json!(["iin:123456789011"]));
    assert_eq!(
        (&active["shadow"], &active["differs"]),
        (&json!(false), &Value::Null)
    );
    // The shadow is a revision that fails. Only the record shows it.
    let loops = guest(&["tagger"], "(unreachable)");
    app.upload("tags", &loops).unwrap();
    let newest =
        operator.get("/plugins/tags").expect(200).json["content"]["plugin"]["newest"]["sha256"]
            .clone();
    let before =
        operator.get("/hooks/tags").expect(200).json["content"]["hook"]["revision"].clone();
    assert_ne!(newest, before);
    let request = json!({"plugin": "tags", "revision": before, "shadow": {"revision": "latest"}});
    operator.json("PUT", "/hooks/tags", &request).expect(200);
    acme.save("e", "t", 0, FIRST.trim()).expect(201);
    let recorded = decisions(&operator, "document=e");
    assert_eq!(
        (&recorded[0]["verdict"], &recorded[0]["differs"]),
        (&json!("failed"), &json!(true))
    );
    assert_eq!(recorded[0]["revision"], newest);
    assert_eq!(recorded[1]["revision"], before);
    // The shadow agrees if it is the same revision.
    let request = json!({"plugin": "tags", "revision": before, "shadow": {"revision": before}});
    operator.json("PUT", "/hooks/tags", &request).expect(200);
    acme.save("f", "t", 0, FIRST.trim()).expect(201);
    assert_eq!(decisions(&operator, "document=f")[0]["differs"], false);
    let id = decisions(&operator, "document=d")[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let replay = operator
        .send("POST", &format!("/hooks/decisions/{id}/replay"), &[], None)
        .expect(200);
    assert_eq!(replay.json["content"]["same"], true, "{}", replay.text);
}
