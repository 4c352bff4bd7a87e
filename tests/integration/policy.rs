//! Policies, trust anchors, and the verdicts that are recorded accordingly.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigpersist_model::context::Scope;

use crate::support::{
    COUNTERSIGNED, Client, DETACHED, FIRST, REJECT, Stopwatch, TestApp, certificate_pem,
    guest::Guest,
};

const CA: &str = include_str!("../data/verify/ca.crt.b64");
const OTHER_CA: &str = include_str!("../data/verify/other.crt.b64");
const CHAINED: &str = include_str!("../data/verify/chained.cms.b64");
const EVIDENCE: &str = include_str!("../data/verify/evidence.txt");
const SIGNED_XML: &str = include_str!("../data/verify/signed.xml");
const XML: &str = "<a>Nobody has signed this.</a>";

fn trust(operator: &Client, certificate: &str) -> Value {
    let body = json!({ "pem": certificate_pem(certificate) });
    let answer = operator.json("POST", "/trust-anchors", &body);
    assert!(answer.status < 300, "{}", answer.text);
    answer.json["content"]["trust_anchors"][0].clone()
}

fn set(operator: &Client, policy: &Value) {
    operator.json("PATCH", "/policy", policy).expect(200);
}

/// The verdict on the only signer of a signature.
fn verdict(acme: &Client, cms: &str) -> Value {
    let answer = acme
        .json("POST", "/verify", &json!({ "cms": cms }))
        .expect(200);
    let signers = answer.json["content"]["inspection"]["signers"].clone();
    assert_eq!(signers.as_array().unwrap().len(), 1);
    signers[0]["verdict"].clone()
}

fn verdicts(acme: &Client, query: &str) -> Vec<Value> {
    let path = format!("/signature/verdicts?document=d&thread=t{query}");
    let answer = acme.get(&path).expect(200);
    answer.json["content"]["verdicts"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn a_signature_passes_by_those_whom_its_own_tenant_trusts() {
    let app = TestApp::start();
    let replica = app.replica();
    let (acme, evil) = (app.tenant("acme"), app.tenant("evil"));
    let operator = app.operator("acme");
    let chained = CHAINED.trim();
    assert_eq!(
        verdict(&acme, chained)["sub_indication"],
        "NO_CERTIFICATE_CHAIN_FOUND"
    );
    // Another authority with the same name is not enough.
    trust(&operator, OTHER_CA);
    assert_eq!(
        verdict(&acme, chained)["sub_indication"],
        "NO_CERTIFICATE_CHAIN_FOUND"
    );
    let anchor = trust(&operator, CA);
    assert_eq!(anchor["subject"], "CN=Upper,O=Sigpersist");
    let passed = verdict(&acme, chained);
    assert_eq!(passed["indication"], "TOTAL_PASSED", "{passed}");
    assert_eq!(passed["judged_by"], "claimed");
    assert_eq!(passed["revocation"], json!({"status": "not_judged"}));
    assert_eq!(passed["chain"].as_array().unwrap().len(), 3);
    assert_eq!(passed["chain"][2], anchor["sha256"]);
    // Other tenants do not trust this anchor.
    assert_eq!(
        verdict(&evil, chained)["sub_indication"],
        "NO_CERTIFICATE_CHAIN_FOUND"
    );
    // Other servers learn of the new anchor.
    let elsewhere = replica.tenant("acme");
    let began = Stopwatch::start();
    while verdict(&elsewhere, chained)["indication"] != "TOTAL_PASSED" {
        assert!(began.elapsed() < Duration::from_secs(2));
        std::thread::sleep(Duration::from_millis(20));
    }
    // Stored signatures are verified with the anchors too.
    acme.save("d", "t", 0, chained).expect(201);
    let stored = acme
        .get("/signature?document=d&thread=t&verify=true")
        .expect(200);
    let signer = &stored.json["content"]["inspection"]["signers"][0];
    assert_eq!(signer["verdict"]["indication"], "TOTAL_PASSED");
    // After the anchor is removed, the signature does not pass.
    let path = format!("/trust-anchors/{}", anchor["sha256"].as_str().unwrap());
    let shown = operator.get(&path).expect(200);
    let pem = shown.json["content"]["trust_anchor"]["pem"]
        .as_str()
        .unwrap();
    assert_eq!(pem.lines().nth(1).unwrap().len(), 64);
    operator.json("DELETE", &path, &json!({})).expect(200);
    assert_eq!(
        verdict(&acme, chained)["sub_indication"],
        "NO_CERTIFICATE_CHAIN_FOUND"
    );
    operator
        .json("DELETE", &path, &json!({}))
        .expect_error(404, "trust_anchor_not_found");
    // The PEM that was shown can be sent back unchanged.
    operator
        .json("POST", "/trust-anchors", &json!({ "pem": pem }))
        .expect(201);
    assert_eq!(verdict(&acme, chained)["indication"], "TOTAL_PASSED");
}

#[test]
fn anchors_are_added_once_and_only_where_they_are_certificates() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let both = certificate_pem(CA) + &certificate_pem(OTHER_CA);
    let add = |pem: &str| operator.json("POST", "/trust-anchors", &json!({ "pem": pem }));
    assert_eq!(
        add(&both).expect(201).json["content"]["trust_anchors"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // Adding the same anchors again changes nothing.
    add(&both).expect(200);
    let listed = operator.get("/trust-anchors").expect(200);
    assert_eq!(
        listed.json["content"]["trust_anchors"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(app.audit("acme").len(), 2);
    for bad in [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        &certificate_pem(FIRST),
    ] {
        let answer = add(bad).expect_error(400, "invalid_parameter");
        assert_eq!(answer.json["details"]["field"], "/pem");
    }
    operator
        .json("POST", "/trust-anchors", &json!({"pem": 1}))
        .expect_error(400, "invalid_parameter");
    operator
        .get("/trust-anchors/x")
        .expect_error(400, "invalid_parameter");
    // A reader of policies may not change them, and applications may do neither.
    let reader = app.client("acme", &[Scope::PolicyRead]);
    reader.get("/trust-anchors").expect(200);
    reader
        .json("POST", "/trust-anchors", &json!({ "pem": both }))
        .expect_error(403, "insufficient_scope");
    app.tenant("acme")
        .get("/policy")
        .expect_error(403, "insufficient_scope");
    // Operators of the platform act for any tenant.
    app.platform_for("acme").get("/trust-anchors").expect(200);
}

#[test]
fn no_more_are_trusted_than_can_be_looked_at() {
    let app = TestApp::start();
    app.tenant("acme");
    app.database.execute(&format!(
        "INSERT INTO trust_anchors (tenant_id, sha256, certificate)
         SELECT {}, sha256(n::text::bytea), 'x' FROM generate_series(1, 99) n",
        app.tenant_id("acme")
    ));
    let operator = app.operator("acme");
    let both = certificate_pem(CA) + &certificate_pem(OTHER_CA);
    let answer = operator
        .json("POST", "/trust-anchors", &json!({ "pem": both }))
        .expect_error(422, "refused");
    assert!(answer.text.contains("100"), "{}", answer.text);
    trust(&operator, CA);
}

#[test]
fn any_text_is_accepted_unless_the_tenant_asks_for_more() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let policy = operator.get("/policy").expect(200);
    assert_eq!(
        policy.json["content"]["policy"],
        json!({"accept": "any", "detached": "accept", "revocation": "if_present", "record_verdicts": false, "index_signers": true})
    );
    let twice = STANDARD.encode(FIRST.trim());
    let nobody = EVIDENCE
        .lines()
        .find_map(|line| line.strip_prefix("nobody "))
        .unwrap();
    let texts = [
        ("cms", FIRST.trim()),
        ("cms", DETACHED),
        ("xml", SIGNED_XML),
        ("nothing", "anything"),
        ("nothing", XML),
        ("nothing", &twice),
        ("nothing", nobody),
    ];
    for (number, accept) in ["any", "cms", "xml", "readable"].iter().enumerate() {
        set(&operator, &json!({ "accept": accept }));
        for (place, (kind, text)) in texts.iter().enumerate() {
            let accepted = match *accept {
                "any" => true,
                "readable" => *kind != "nothing",
                accept => accept == *kind,
            };
            let document = format!("{number}-{place}");
            let answer = acme.save(&document, "t", 0, text);
            if accepted {
                answer.expect(201);
                let read = acme.read(&document, "t").expect(200);
                assert_eq!(read.signature()["signature"], *text);
                continue;
            }
            let refused = answer.expect_error(422, "signature_not_accepted");
            let details = &refused.json["details"];
            assert_eq!(details["accept"], *accept);
            assert_eq!(details["field"], "/cms");
            if *kind == "nothing" {
                assert!(details["problem"].is_string(), "{}", refused.text);
            }
            acme.read(&document, "t")
                .expect_error(404, "signature_not_found");
        }
    }
    operator
        .json("PATCH", "/policy", &json!({"accept": "all"}))
        .expect_error(400, "invalid_parameter");
}

#[test]
fn what_is_found_of_a_version_is_recorded_with_it_and_stays() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    assert_eq!(verdicts(&acme, ""), Vec::<Value>::new());
    set(&operator, &json!({"record_verdicts": true}));
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(201);
    let recorded = verdicts(&acme, "");
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0]["version"], 2);
    assert_eq!(recorded[0]["format"], "cms");
    let signers = recorded[0]["signers"].as_array().unwrap();
    assert_eq!(signers.len(), 2);
    for signer in signers {
        assert_eq!(
            signer["verdict"]["sub_indication"],
            "NO_CERTIFICATE_CHAIN_FOUND"
        );
    }
    assert!(signers.iter().any(|signer| signer["iin"] == "123456789011"));
    // A retry finds the version saved, with its one verdict.
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(200);
    assert_eq!(verdicts(&acme, "").len(), 1);
    // A version that is not saved leaves no verdict.
    acme.save("d", "t", 1, "another")
        .expect_error(409, "version_conflict");
    acme.save("d", "t", 2, CHAINED.trim()).expect(201);
    assert_eq!(verdicts(&acme, "&version=3").len(), 1);
    // The anchor is trusted only now: the old verdict stays, and the new one differs.
    trust(&operator, CA);
    let body = json!({"document": "d", "thread": "t"});
    let again = acme.json("POST", "/signature/verify", &body).expect(201);
    let again = &again.json["content"]["verdict"];
    assert_eq!(again["version"], 3);
    assert_eq!(again["signers"][0]["verdict"]["indication"], "TOTAL_PASSED");
    let all = verdicts(&acme, "&version=3");
    assert_eq!(all.len(), 2);
    assert_eq!(all[0], *again);
    assert_eq!(
        all[1]["signers"][0]["verdict"]["sub_indication"],
        "NO_CERTIFICATE_CHAIN_FOUND"
    );
    // An earlier version, which was saved before verdicts were recorded.
    let body = json!({"document": "d", "thread": "t", "version": 1});
    acme.json("POST", "/signature/verify", &body).expect(201);
    let all = verdicts(&acme, "");
    let versions: Vec<_> = all
        .iter()
        .map(|it| it["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [3, 3, 2, 1]);
    // Paging gives the same list.
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/signature/verdicts?document=d&thread=t&limit=1{cursor}");
        let page = acme.get(&path).expect(200);
        let content = &page.json["content"];
        pages.extend(content["verdicts"].as_array().unwrap().clone());
        let Some(next) = content["next"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(pages, all);
    acme.get("/signature/verdicts?document=d&thread=t&cursor=x")
        .expect_error(400, "invalid_parameter");
    for (method, path) in [
        ("POST", "/signature/verify"),
        ("GET", "/signature/verdicts"),
    ] {
        let body = json!({"document": "none", "thread": "t"});
        acme.json(method, path, &body)
            .expect_error(404, "signature_not_found");
    }
    // Deleting the thread deletes its verdicts.
    acme.delete("d", "t").expect(200);
    let left = app
        .database
        .lines("SELECT count(*)::text AS line FROM signature_verdicts");
    assert_eq!(left.trim(), "0");
}

#[test]
fn a_detached_signature_is_verified_later_with_its_document() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    set(&app.operator("acme"), &json!({"record_verdicts": true}));
    acme.save("d", "t", 0, DETACHED).expect(201);
    let found = verdicts(&acme, "");
    assert_eq!(
        found[0]["signers"][0]["verdict"]["sub_indication"],
        "SIGNED_DATA_NOT_FOUND"
    );
    let content = STANDARD.encode("A contract between two people who do not exist.\n");
    let body = json!({"document": "d", "thread": "t", "content": content});
    let found = acme.json("POST", "/signature/verify", &body).expect(201);
    let verdict = &found.json["content"]["verdict"]["signers"][0]["verdict"];
    assert_eq!(verdict["intact"], true);
    let body = json!({"document": "d", "thread": "t", "content": "AAAA"});
    let found = acme.json("POST", "/signature/verify", &body).expect(201);
    let verdict = &found.json["content"]["verdict"]["signers"][0]["verdict"];
    assert_eq!(verdict["indication"], "TOTAL_FAILED");
    let only_reads = app.client("acme", &[Scope::SignaturesRead]);
    only_reads
        .json("POST", "/signature/verify", &body)
        .expect_error(403, "insufficient_scope");
}

#[test]
fn a_version_has_no_more_verdicts_than_anybody_reads() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    app.database.execute(
        "INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict)
         SELECT tenant_id, signature_id, version, 2, '{}' FROM signature_versions, generate_series(1, 99)",
    );
    let body = json!({"document": "d", "thread": "t"});
    acme.json("POST", "/signature/verify", &body).expect(201);
    acme.json("POST", "/signature/verify", &body)
        .expect_error(422, "refused");
}

#[test]
fn verdicts_are_recorded_beside_what_hooks_decide() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    set(&app.operator("acme"), &json!({"record_verdicts": true}));
    app.hook("acme", "signer-tags", crate::support::SIGNER_TAGS, |_| {});
    let saved = acme.save("d", "t", 0, FIRST.trim()).expect(201);
    assert!(saved.tags().contains(&"iin:123456789011"));
    assert_eq!(verdicts(&acme, "").len(), 1);
    let reject = Guest {
        judge: REJECT,
        ..Guest::default()
    };
    app.hook("acme", "no", &reject.component(), |_| {});
    acme.save("d", "t", 1, COUNTERSIGNED.trim())
        .expect_error(422, "hook_rejected");
    assert_eq!(verdicts(&acme, "").len(), 1);
}

#[test]
fn policies_are_set_on_the_command_line() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let folder = app.database.folder.path();
    let run = |arguments: &[&str]| {
        let output = app.database.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, said, _) = run(&["policy", "show", "acme"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("sigpersist policy trust acme"), "{said}");
    let file = folder.join("ca.pem");
    std::fs::write(&file, certificate_pem(CA)).unwrap();
    let (code, said, error) = run(&["policy", "trust", "acme", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("CN=Upper,O=Sigpersist"), "{said}");
    let (code, said, error) = run(&[
        "policy",
        "set",
        "acme",
        "--accept",
        "readable",
        "--detached",
        "needs_content",
        "--record-verdicts",
        "true",
    ]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("accepts CMS and XML"), "{said}");
    assert!(
        said.contains("detached ones only with their content"),
        "{said}"
    );
    // The running server learns of the policy.
    crate::support::eventually(|| acme.save("x", "t", 0, "anything").status == 422);
    acme.save("d", "t", 0, CHAINED.trim()).expect(201);
    assert_eq!(
        verdicts(&acme, "")[0]["signers"][0]["verdict"]["indication"],
        "TOTAL_PASSED"
    );
    let (_, shown, _) = run(&["policy", "show", "acme", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["policy"],
        json!({"accept": "readable", "detached": "needs_content", "revocation": "if_present", "record_verdicts": true, "index_signers": true})
    );
    let sha256 = shown["trust_anchors"][0]["sha256"].as_str().unwrap();
    assert_eq!(run(&["policy", "distrust", "acme", sha256]).0, Some(0));
    let (code, _, error) = run(&["policy", "distrust", "acme", sha256]);
    assert_ne!(code, Some(0));
    assert!(error.contains("policy show acme"), "{error}");
    let (code, _, _) = run(&["policy", "set", "acme"]);
    assert_eq!(code, Some(2));
    // The audit trail has all of these changes, made by the command line.
    assert_eq!(
        app.audit("acme"),
        [
            format!("anchor.add {sha256}"),
            "policy.set policy".to_owned(),
            format!("anchor.remove {sha256}")
        ]
    );
}
