//! Hooks that ask for verdicts: their answers, the record of these, and components of contract 1.0.0.

use serde_json::{Value, json};
use sigpersist_verify::digest::sha256;

use crate::support::guest::{CONTRACT_1_0, Guest};
use crate::support::{
    COUNTERSIGNED, Client, DETACHED, DROPPED, FIRST, REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS,
    TestApp, certificate_pem,
};

const CA: &str = include_str!("../data/verify/ca.crt.b64");
const CHAINED: &str = include_str!("../data/verify/chained.cms.b64");
const FORGED: &str = include_str!("../data/forged.cms.b64");

/// Plugins built against contract 1.0.0, unchanged since.
const OLD_SIGNER_TAGS: &[u8] = include_bytes!("../data/hooks-1.0/signer-tags.wasm");
const OLD_COUNTERSIGNATURE: &[u8] =
    include_bytes!("../data/hooks-1.0/require-countersignature.wasm");
const OLD_RETENTION: &[u8] = include_bytes!("../data/hooks-1.0/retention.wasm");

fn trust(operator: &Client) -> String {
    let body = json!({ "pem": certificate_pem(CA) });
    let answer = operator.json("POST", "/trust-anchors", &body).expect(201);
    let anchor = &answer.json["content"]["trust_anchors"][0]["sha256"];
    anchor.as_str().unwrap().to_owned()
}

fn distrust(operator: &Client, anchor: &str) {
    let path = format!("/trust-anchors/{anchor}");
    operator.json("DELETE", &path, &json!({})).expect(200);
}

fn decisions(operator: &Client) -> Vec<Value> {
    let page = operator.get("/hooks/decisions").expect(200);
    let decisions = page.json["content"]["decisions"].as_array().unwrap();
    decisions.clone()
}

fn replay(operator: &Client, decision: &Value) -> crate::support::Response {
    let id = decision["id"].as_str().unwrap();
    let path = format!("/hooks/decisions/{id}/replay");
    operator.send("POST", &path, &[], None)
}

/// The recorded verdicts of each judgement, newest first.
fn recorded(app: &TestApp) -> Vec<Option<Value>> {
    let rows = app.database.lines(
        "SELECT coalesce((input -> 'verdicts')::text, 'null') AS line FROM hook_judgements \
         ORDER BY at DESC, id DESC",
    );
    rows.lines()
        .map(|row| serde_json::from_str::<Option<Value>>(row).unwrap())
        .collect()
}

#[test]
fn components_of_the_contract_before_verdicts_run_unchanged() {
    // The files have not been rebuilt.
    for (component, digest) in [
        (
            OLD_SIGNER_TAGS,
            "92fc04da2e5be31b75e0eb57a6f99df285d351cc4a72561343758c0a62bfa583",
        ),
        (
            OLD_COUNTERSIGNATURE,
            "83bbbcb5528bb9997db96e7872d7a9d92aa9224ee13ff153854a0702672d8deb",
        ),
        (
            OLD_RETENTION,
            "ba84444f67c5e33d00242b6f5cd630c984e5477933a1a370b0394c5c0ae6d72d",
        ),
    ] {
        let hex: String = sha256(component)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(hex, digest);
    }
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", OLD_SIGNER_TAGS, |_| {});
    app.hook("acme", "keeps", OLD_COUNTERSIGNATURE, |request| {
        request.order = 1;
    });
    app.hook("acme", "retention", OLD_RETENTION, |request| {
        request.settings = json!({"retention_days": 1});
    });
    // Reads bytes and settings and writes log lines, through contract 1.0.0.
    let reads = Guest {
        definitions: r#"(import "sigpersist:hooks/payload@1.1.0" "read" (func $read (param i64 i32 i32)))
            (import "sigpersist:hooks/config@1.1.0" "json" (func $json (param i32)))
            (import "sigpersist:hooks/log@1.1.0" "write" (func $log (param i32 i32 i32)))"#,
        judge: "(call $read (i64.const 0) (i32.const 4) (i32.const 4096))
            (if (i32.ne (i32.load (i32.const 4100)) (i32.const 4)) (then unreachable))
            (call $json (i32.const 4096))
            (if (i32.ne (i32.load (i32.const 4100)) (i32.const 2)) (then unreachable))
            (call $log (i32.const 1) (i32.const 768) (i32.const 6)) (i32.const 1024)",
        ..Guest::default()
    };
    let reads = reads.component_against(CONTRACT_1_0);
    app.hook("acme", "reads", &reads, |request| request.order = 2);
    // Old components verify nothing: signers are tagged even if the signature is forged, as before.
    let save = |document: &str, version, cms: &str| acme.save(document, "t", version, cms);
    let tags = json!([
        "iin:123456789011",
        "bin:123456789021",
        "signer:АХМЕТОВА АЙГЕРІМ"
    ]);
    assert_eq!(json!(save("d", 0, FIRST.trim()).expect(201).tags()), tags);
    assert_eq!(json!(save("f", 0, FORGED.trim()).expect(201).tags()), tags);
    assert_eq!(
        save("e", 0, DETACHED).expect(201).tags()[0],
        "iin:123456789022"
    );
    save("d", 1, DROPPED.trim()).expect_error(422, "hook_rejected");
    save("d", 1, COUNTERSIGNED.trim()).expect(201);
    let kept = acme.delete("d", "t").expect_error(422, "hook_rejected");
    assert_eq!(kept.json["details"]["rejections"][0]["code"], "retained");
    assert!(recorded(&app).iter().all(Option::is_none));
    // Their replays give the same results.
    let operator = app.operator("acme");
    let decisions = decisions(&operator);
    assert_eq!(decisions.len(), 16);
    for decision in decisions {
        let replayed = replay(&operator, &decision).expect(200);
        assert_eq!(replayed.json["content"]["same"], true, "{}", replayed.text);
    }
}

#[test]
fn only_who_holds_is_tagged() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let save = |document: &str, cms: &str| {
        let body =
            json!({"document": document, "thread": "t", "cms": cms, "tags": ["iin:123456789011"]});
        acme.post(&body).expect(201)
    };
    assert_eq!(save("d", FIRST.trim()).tags()[0], "iin:123456789011");
    // A forged signature does not get the tag of the signer whom it names, even if the client sets that tag.
    assert!(save("forged", FORGED.trim()).tags().is_empty());
    let found = acme.get("/signatures?tags=iin:123456789011").expect(200);
    assert_eq!(found.signatures().len(), 1);
    // With this setting, only signers whom the tenant trusts are tagged.
    app.set("acme", "signer-tags", "signer-tags", |request| {
        request.settings = json!({"signers": "passed"});
    })
    .unwrap();
    assert!(save("unknown", CHAINED.trim()).tags().is_empty());
    trust(&app.operator("acme"));
    assert_eq!(save("passes", CHAINED.trim()).tags(), ["signer:Signer"]);
    assert!(save("untrusted", FIRST.trim()).tags().is_empty());
}

#[test]
fn each_signer_must_pass_where_a_hook_says_so_and_a_forged_one_may_be_dropped() {
    let app = TestApp::start();
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    acme.save("d", "t", 0, FORGED.trim()).expect(201);
    acme.save("e", "t", 0, FIRST.trim()).expect(201);
    trust(&operator);
    app.hook("acme", "keeps", REQUIRE_COUNTERSIGNATURE, |request| {
        request.settings = json!({"passed": true});
    });
    let codes = |document: &str, cms: &str| {
        let refused = acme
            .save(document, "t", 1, cms)
            .expect_error(422, "hook_rejected");
        let rejections = refused.json["details"]["rejections"]
            .as_array()
            .unwrap()
            .clone();
        rejections
            .iter()
            .map(|it| it["code"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(codes("d", FORGED.trim()), ["signer-not-passed"]);
    assert_eq!(codes("d", FIRST.trim()), ["signer-not-passed"]);
    acme.save("d", "t", 1, CHAINED.trim()).expect(201);
    // An intact signer must be kept by the next version, even if the certificate is not trusted.
    assert_eq!(codes("e", CHAINED.trim()), ["signer-dropped"]);
    // Both versions were judged, although only one hook asked.
    let judged = recorded(&app);
    let verdict = |name: &str, judgement: &Option<Value>| {
        judgement.as_ref().unwrap()[name]["signers"][0].clone()
    };
    assert_eq!(
        verdict("signature", &judged[1])["indication"],
        "TOTAL_PASSED"
    );
    assert_eq!(
        verdict("previous", &judged[1])["indication"],
        "TOTAL_FAILED"
    );
    assert_eq!(verdict("previous", &judged[1])["intact"], false);
    assert_eq!(
        verdict("signature", &judged[1])["chain"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    for decision in decisions(&operator) {
        let replayed = replay(&operator, &decision).expect(200);
        assert_eq!(replayed.json["content"]["same"], true, "{}", replayed.text);
    }
}

#[test]
fn a_replay_tells_what_was_told_then() {
    let app = TestApp::start();
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    let anchor = trust(&operator);
    app.hook("acme", "tags", SIGNER_TAGS, |request| {
        request.settings = json!({"signers": "passed"});
    });
    let save = || acme.save("d", "t", 0, CHAINED.trim());
    assert_eq!(save().expect(201).tags(), ["signer:Signer"]);
    distrust(&operator, &anchor);
    let evaluate = json!({"input": {"document": "new", "cms": CHAINED.trim()}});
    let now = operator
        .json("POST", "/hooks/evaluate", &evaluate)
        .expect(200);
    assert_eq!(now.json["content"]["tags"], json!([]));
    let decision = &decisions(&operator)[0];
    let replayed = replay(&operator, decision).expect(200);
    let content = &replayed.json["content"];
    assert_eq!(content["same"], true, "{}", replayed.text);
    assert_eq!(content["replayed"]["tags_added"], json!(["signer:Signer"]));
    assert_eq!(content["replayed"]["fuel"], decision["fuel"]);
    // Verdicts that were not recorded are not invented.
    for (verdicts, why) in [
        (r#"{"left_out": true}"#, "too large to be recorded"),
        ("null", "did not ask then"),
    ] {
        app.database.execute(&format!(
            "UPDATE hook_judgements SET input = jsonb_set(input, '{{verdicts}}', '{verdicts}')"
        ));
        let gone = replay(&operator, decision).expect_error(410, "input_gone");
        assert!(gone.text.contains(why), "{}", gone.text);
    }
}

#[test]
fn a_backtest_goes_by_what_was_told_or_by_the_time_of_the_save() {
    let app = TestApp::start();
    let (acme, operator) = (app.tenant("acme"), app.operator("acme"));
    let anchor = trust(&operator);
    acme.save("before", "t", 0, CHAINED.trim()).expect(201);
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    acme.save("told", "t", 0, CHAINED.trim()).expect(201);
    let backtest = |document: &str| {
        let candidate = json!({"plugin": "tags", "settings": {"signers": "passed"}});
        let body = json!({"candidate": candidate, "document": document});
        let answer = operator.json("POST", "/hooks/backtest", &body).expect(200);
        let report = &answer.json["content"]["backtest"];
        assert_eq!(report["examined"], 1);
        let changes = report["changes"].as_array().unwrap();
        changes
            .first()
            .map_or(json!(null), |it| it["examples"][0]["tags_added"].clone())
    };
    assert_eq!(backtest("before"), json!(["signer:Signer"]));
    // This version has the tag already, and the candidate would keep it.
    assert_eq!(backtest("told"), json!(null));
    distrust(&operator, &anchor);
    assert_eq!(backtest("before"), json!(null));
    assert_eq!(backtest("told"), json!(null));
    // Without the recorded verdicts, the candidate would remove the tag.
    app.database
        .execute("UPDATE hook_judgements SET input = input - 'verdicts'");
    let candidate = json!({"plugin": "tags", "settings": {"signers": "passed"}});
    let body = json!({"candidate": candidate, "document": "told"});
    let answer = operator.json("POST", "/hooks/backtest", &body).expect(200);
    let change = &answer.json["content"]["backtest"]["changes"][0]["examples"][0];
    assert_eq!(change["tags_removed"], json!(["signer:Signer"]));
    // Verdicts are for the time of the save, which is now more than a year before the signature was made.
    trust(&operator);
    app.database
        .execute("UPDATE signature_versions SET created_at = '2020-01-01' WHERE version = 1");
    let answer = operator.json("POST", "/hooks/backtest", &body).expect(200);
    let change = &answer.json["content"]["backtest"]["changes"][0]["examples"][0];
    assert_eq!(change["tags_removed"], json!(["signer:Signer"]));
}

/// Hooks may ask for verdicts on a delete. A first version has no previous verdicts.
#[test]
fn deletes_may_ask_and_what_is_not_there_is_no_signature() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let asks = |judge: &'static str, judges: &'static [&'static str]| {
        Guest {
            judges,
            definitions: r#"(import "sigpersist:hooks/verdicts@1.1.0" "judge" (func $judge (param i32)))
                (import "sigpersist:hooks/previous-verdicts@1.1.0" "judge" (func $previous (param i32)))"#,
            judge,
            ..Guest::default()
        }
        .component()
    };
    // Accepts a readable CMS with one signer. The result has its case first, then the pointer and length of the list.
    let delete = asks(
        "(call $judge (i32.const 4096))
         (if (i32.load8_u (i32.const 4096)) (then unreachable))
         (if (i32.ne (i32.load (i32.const 4104)) (i32.const 1)) (then unreachable))
         (i32.const 1024)",
        &["delete-validator"],
    );
    app.hook("acme", "delete", &delete, |_| {});
    // Accepts a version without a previous one: the result is the first error case, `not-cms`.
    let save = asks(
        "(call $previous (i32.const 4096))
         (if (i32.ne (i32.load8_u (i32.const 4096)) (i32.const 1)) (then unreachable))
         (if (i32.load8_u (i32.const 4100)) (then unreachable))
         (i32.const 1024)",
        &["save-validator"],
    );
    app.hook("acme", "save", &save, |_| {});
    for (document, cms) in [("signed", FIRST.trim()), ("other", "<a/>")] {
        acme.save(document, "t", 0, cms).expect(201);
    }
    acme.delete("signed", "t").expect(200);
    acme.delete("other", "t").expect_error(500, "hook_failed");
    let told = recorded(&app);
    assert_eq!(
        told[1].as_ref().unwrap()["signature"]["signers"][0]["intact"],
        true
    );
    // There is no signature while a plugin is being set up.
    let early = Guest {
        definitions: r#"(import "sigpersist:hooks/verdicts@1.1.0" "judge" (func $judge (param i32)))"#,
        describe: "(call $judge (i32.const 4096)) (i32.const 512)",
        ..Guest::default()
    };
    let refused = app.upload("early", &early.component()).unwrap_err();
    assert!(refused.to_string().contains("no signature to read"));
}
