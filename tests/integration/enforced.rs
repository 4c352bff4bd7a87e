//! Enforcement of a tenant's policy: it keeps out forged, changed, untrusted and revoked signatures, and detached ones
//! without their content.

use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigpersist_runtime::fair_semaphore::FairSemaphore;
use sigpersist_verify::cms;
use sigpersist_verify::digest::{sha256, to_hex};
use sigpersist_verify::pki::to_pem;

use crate::support::cms::{detached, forged, replaced};
use crate::support::{
    COUNTERSIGNED, Client, DETACHED, FIRST, Response, SIGNER_TAGS, TestApp, certificate_pem, der,
};

const CA: &str = include_str!("../data/verify/ca.crt.b64");
const CHAINED: &str = include_str!("../data/verify/chained.cms.b64");
const LATE: &str = include_str!("../data/verify/late.cms.b64");
const EVIDENCE: &str = include_str!("../data/verify/evidence.txt");
const SIGNED_XML: &str = include_str!("../data/verify/signed.xml");
const REVOKED_XML: &str = include_str!("../data/verify/revoked.xml");
const CONTRACT: &[u8] = b"A contract between two people who do not exist.\n";

fn evidence(name: &str) -> &'static str {
    let mut lines = EVIDENCE.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(known, _)| *known == name).unwrap().1
}

/// Starts a server with a tenant that trusts the tests' certificate authority.
fn start() -> (TestApp, Client, Client) {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    trust(&operator);
    (app, acme, operator)
}

fn trust(operator: &Client) {
    let body = json!({ "pem": certificate_pem(CA) });
    operator.json("POST", "/trust-anchors", &body).expect(201);
}

fn set(operator: &Client, policy: &Value) -> Response {
    operator.json("PATCH", "/policy", policy).expect(200)
}

fn save(
    client: &Client,
    document: &str,
    version: u32,
    cms: &str,
    content: Option<&[u8]>,
) -> Response {
    let mut body = json!({"document": document, "thread": "t", "version": version, "cms": cms});
    if let Some(content) = content {
        body["content"] = json!(STANDARD.encode(content));
    }
    client.post(&body)
}

fn verdicts(client: &Client, document: &str) -> Vec<Value> {
    let path = format!("/signature/verdicts?document={document}&thread=t");
    let answer = client.get(&path).expect(200);
    let verdicts = answer.json["content"]["verdicts"].as_array();
    verdicts.unwrap().clone()
}

#[test]
fn each_policy_saves_what_it_asks_for_and_nothing_less() {
    let (_app, acme, operator) = start();
    let chained = der(CHAINED);
    let forged_value = STANDARD.encode(forged(&chained));
    let other_content = replaced(&chained, b"A contract", b"B contract");
    let other_content = STANDARD.encode(other_content);
    let other_xml = SIGNED_XML.replace("A contract", "B contract");
    // Each signature with the strictest policy that accepts it.
    let kinds = [
        ("good", CHAINED.trim(), "passed"),
        ("with lists", evidence("crl-good"), "passed"),
        ("countersigned", evidence("countersigned"), "passed"),
        ("good XML", SIGNED_XML, "passed"),
        ("by a stranger", FIRST.trim(), "intact"),
        ("by two strangers", COUNTERSIGNED.trim(), "intact"),
        ("revoked", evidence("crl-revoked"), "intact"),
        ("expired", LATE.trim(), "intact"),
        ("revoked XML", REVOKED_XML, "intact"),
        ("forged", &forged_value, "readable"),
        ("of something else", &other_content, "readable"),
        ("of another type", evidence("other-type"), "readable"),
        (
            "countersigned by nobody",
            evidence("countersigned-wrong"),
            "readable",
        ),
        ("changed XML", &other_xml, "readable"),
        ("signed by nobody", evidence("nobody"), "any"),
        ("no signature", "anything", "any"),
    ];
    let policies = ["any", "readable", "intact", "passed"];
    for (number, accept) in policies.iter().enumerate() {
        set(&operator, &json!({ "accept": accept }));
        for (place, (kind, cms, strictest)) in kinds.iter().enumerate() {
            let document = format!("{number}-{place}");
            let strictest = policies.iter().position(|policy| policy == strictest);
            let answer = save(&acme, &document, 0, cms, None);
            if number <= strictest.unwrap() {
                assert_eq!(answer.status, 201, "{kind}, {accept}: {}", answer.text);
                continue;
            }
            assert_eq!(answer.status, 422, "{kind}, {accept}: {}", answer.text);
            let refused = answer.expect_error(422, "signature_not_accepted");
            let details = &refused.json["details"];
            assert!(details["problem"].is_string(), "{kind}: {details}");
            acme.read(&document, "t")
                .expect_error(404, "signature_not_found");
        }
    }
}

#[test]
fn a_refusal_tells_of_everybody_who_signed() {
    let (_app, acme, operator) = start();
    set(&operator, &json!({"accept": "passed"}));
    let refused = save(&acme, "d", 0, evidence("countersigned-wrong"), None);
    let refused = refused.expect_error(422, "signature_not_accepted");
    let details = &refused.json["details"];
    let signers = details["signers"].as_array().unwrap();
    let told: Vec<_> = signers
        .iter()
        .map(|signer| {
            json!([
                signer["signer"],
                signer["accepted"],
                signer["indication"],
                signer["sub_indication"],
                signer["subject"]
            ])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["1", true, "TOTAL_PASSED", null, "CN=Signer"],
            ["1.1", false, "TOTAL_FAILED", "HASH_FAILURE", "CN=Counter"],
        ])
    );
    assert!(signers[1]["explanation"].as_str().unwrap().ends_with('.'));
    let message = refused.json["message"].as_str().unwrap();
    assert!(
        message.contains("1 of its 2 signers is not accepted"),
        "{message}"
    );
    // If there is only one signer, the message contains the explanation.
    let refused = save(&acme, "d", 0, evidence("crl-revoked"), None);
    let refused = refused.expect_error(422, "signature_not_accepted");
    let signer = &refused.json["details"]["signers"][0];
    assert_eq!(signer["sub_indication"], "REVOKED_NO_POE");
    assert_eq!(refused.json["details"]["problem"], signer["explanation"]);
}

#[test]
fn what_is_detached_is_saved_by_what_can_be_told_refused_or_needs_its_content() {
    let (app, acme, operator) = start();
    let (good, content) = detached(&der(CHAINED));
    assert_eq!(content, CONTRACT);
    let forged = STANDARD.encode(forged(&good));
    let good = STANDARD.encode(good);
    let other = b"Another contract.".as_slice();
    let contents = [None, Some(CONTRACT), Some(other)];
    let mut saved = 0;
    // For each policy: whether the save succeeds without content, with the right content, and with other content.
    for (accept, detached, of_good, of_forged, of_stranger) in [
        (
            "readable",
            "accept",
            [true, true, false],
            [true, false, false],
            [true, true, false],
        ),
        ("readable", "refuse", [false; 3], [false; 3], [false; 3]),
        (
            "readable",
            "needs_content",
            [false, true, false],
            [false; 3],
            [false, true, false],
        ),
        (
            "intact",
            "accept",
            [true, true, false],
            [false; 3],
            [true, true, false],
        ),
        ("intact", "refuse", [false; 3], [false; 3], [false; 3]),
        (
            "intact",
            "needs_content",
            [false, true, false],
            [false; 3],
            [false, true, false],
        ),
        (
            "passed",
            "accept",
            [true, true, false],
            [false; 3],
            [false; 3],
        ),
        ("passed", "refuse", [false; 3], [false; 3], [false; 3]),
        (
            "passed",
            "needs_content",
            [false, true, false],
            [false; 3],
            [false; 3],
        ),
        ("any", "refuse", [false; 3], [false; 3], [false; 3]),
    ] {
        set(&operator, &json!({"accept": accept, "detached": detached}));
        for (kind, cms, expected) in [
            ("good", &*good, of_good),
            ("forged", &*forged, of_forged),
            ("by a stranger", DETACHED, of_stranger),
        ] {
            for (content, expected) in contents.iter().zip(expected) {
                saved += 1;
                let document = format!("d{saved}");
                let answer = save(&acme, &document, 0, cms, *content);
                let status = if expected { 201 } else { 422 };
                let case = format!("{kind}, {accept}, {detached}, {content:?}");
                assert_eq!(answer.status, status, "{case}: {}", answer.text);
                if !expected {
                    answer.expect_error(422, "signature_not_accepted");
                    continue;
                }
                // The digest of the content is recorded with the verdict.
                let recorded = verdicts(&acme, &document);
                let digest = content.map(|content| to_hex(&sha256(content)));
                assert_eq!(recorded.len(), usize::from(content.is_some()), "{case}");
                for verdict in recorded {
                    assert_eq!(verdict["content_sha256"], json!(digest), "{case}");
                }
            }
        }
        // A signature that includes its content needs no other.
        save(
            &acme,
            &format!("{accept}-{detached}"),
            0,
            CHAINED.trim(),
            None,
        )
        .expect(201);
    }
    // The content itself is not stored.
    let kept = app.database.lines(
        "SELECT 'a signature' AS line FROM signature_versions v JOIN signatures s ON s.id = v.signature_id
         WHERE position('people who do not exist'::bytea IN v.signature) > 0 AND s.document LIKE 'd%'
         UNION ALL SELECT 'a verdict' FROM signature_verdicts WHERE verdict::text LIKE '%QSBjb250cmFjdC%'
         UNION ALL SELECT 'an event' FROM audit_events WHERE concat(before, after) LIKE '%QSBjb250cmFjdC%'
         UNION ALL SELECT 'an input' FROM hook_inputs",
    );
    assert_eq!(kept.trim(), "");
    // Content must be base64, in a form as in JSON.
    set(
        &operator,
        &json!({"accept": "passed", "detached": "needs_content"}),
    );
    let body = json!({"document": "x", "thread": "t", "cms": good, "content": "?"});
    let refused = acme.post(&body).expect_error(400, "invalid_parameter");
    assert_eq!(refused.json["details"]["field"], "/content");
    let content = STANDARD
        .encode(CONTRACT)
        .replace('+', "%2B")
        .replace('=', "%3D");
    let path = format!("/signature?content={content}");
    let body = json!({"document": "x", "thread": "t", "cms": good});
    acme.json("POST", &path, &body).expect(201);
}

#[test]
fn what_a_signature_lacks_may_come_beside_it_and_is_there_in_a_replay() {
    let (app, acme, operator) = start();
    set(&operator, &json!({"accept": "passed"}));
    app.hook("acme", "tags", SIGNER_TAGS, |request| {
        request.settings = json!({"signers": "passed"});
    });
    let save = |certificates: Option<&str>| {
        let mut body =
            json!({"document": "d", "thread": "t", "cms": evidence("without-certificate")});
        if let Some(certificates) = certificates {
            body["certificates"] = json!(certificates);
        }
        acme.post(&body)
    };
    save(None).expect_error(422, "signature_not_accepted");
    let signer = cms::inspect(&der(evidence("cades"))).unwrap().signers;
    let certificate = to_pem("CERTIFICATE", &signer[0].certificate.as_ref().unwrap().der);
    save(Some("?")).expect_error(400, "invalid_parameter");
    let saved = save(Some(&certificate)).expect(201);
    assert_eq!(saved.tags(), ["signer:Signer"]);
    let input = json!({"document": "e", "cms": evidence("without-certificate"), "certificates": certificate});
    let evaluate = operator.json("POST", "/hooks/evaluate", &json!({ "input": input }));
    let evaluated = evaluate.expect(200);
    assert_eq!(evaluated.json["content"]["tags"], json!(["signer:Signer"]));
    // The replay still knows the certificate, which is not in the signature.
    let decisions = operator.get("/hooks/decisions").expect(200);
    let id = &decisions.json["content"]["decisions"][0]["id"];
    let path = format!("/hooks/decisions/{}/replay", id.as_str().unwrap());
    let replayed = operator.send("POST", &path, &[], None).expect(200);
    assert_eq!(replayed.json["content"]["same"], true, "{}", replayed.text);
}

#[test]
fn content_that_was_not_signed_is_refused_under_every_policy() {
    let (_app, acme, operator) = start();
    let (detached, _) = detached(&der(CHAINED));
    let good = STANDARD.encode(detached);
    let refused = save(&acme, "d", 0, &good, Some(b"another"));
    let refused = refused.expect_error(422, "signature_not_accepted");
    assert_eq!(refused.json["details"]["signers"][0]["accepted"], false);
    assert!(
        refused
            .text
            .contains("`content` that you sent is not the signed content")
    );
    save(&acme, "d", 0, &good, None).expect(201);
    save(&acme, "d", 0, &good, Some(b"another")).expect_error(422, "signature_not_accepted");
    save(&acme, "d", 0, &good, Some(CONTRACT)).expect(200);
    // If the content can't be checked against the signature, it is refused.
    set(
        &operator,
        &json!({"accept": "cms", "detached": "needs_content"}),
    );
    let unknown = evidence("without-certificate");
    let (unknown, content) = cms_without_content(unknown);
    save(&acme, "e", 0, &unknown, Some(&content)).expect_error(422, "signature_not_accepted");
    save(&acme, "e", 0, &good, Some(CONTRACT)).expect(201);
}

/// Removes the content from a CMS that includes it, and returns both.
fn cms_without_content(cms: &str) -> (String, Vec<u8>) {
    let (detached, content) = detached(&der(cms));
    (STANDARD.encode(detached), content)
}

#[test]
fn retries_are_answered_as_before_whatever_the_policy_is_by_now() {
    let (_app, acme, operator) = start();
    let forged = STANDARD.encode(forged(&der(CHAINED)));
    save(&acme, "d", 0, &forged, None).expect(201);
    let (detached, _) = detached(&der(CHAINED));
    let detached = STANDARD.encode(detached);
    set(
        &operator,
        &json!({"accept": "passed", "detached": "needs_content"}),
    );
    save(&acme, "e", 0, &detached, Some(CONTRACT)).expect(201);
    // Signatures that were saved before are answered as before.
    save(&acme, "d", 0, &forged, None).expect(200);
    save(&acme, "e", 0, &detached, Some(CONTRACT)).expect(200);
    save(&acme, "e", 0, &detached, None).expect(200);
    assert_eq!(verdicts(&acme, "e").len(), 1);
    // Others are refused.
    save(&acme, "e", 0, &detached, Some(b"another")).expect_error(422, "signature_not_accepted");
    save(&acme, "d", 1, CHAINED.trim(), None).expect(201);
    save(&acme, "d", 2, &forged, None).expect_error(422, "signature_not_accepted");
    let with_stage =
        json!({"document": "d", "thread": "t", "version": 0, "cms": forged, "stage": "x"});
    acme.post(&with_stage)
        .expect_error(422, "signature_not_accepted");
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 2);
}

#[test]
fn of_those_who_race_one_wins_and_what_is_forged_never_does() {
    let (_app, acme, operator) = start();
    set(
        &operator,
        &json!({"accept": "passed", "record_verdicts": true}),
    );
    save(&acme, "d", 0, CHAINED.trim(), None).expect(201);
    let forged = STANDARD.encode(forged(&der(CHAINED)));
    let drafts = [
        evidence("countersigned"),
        evidence("cades"),
        evidence("crl-good"),
        &forged,
        &forged,
    ];
    let mut statuses: Vec<_> = thread::scope(|scope| {
        let saves: Vec<_> = drafts
            .iter()
            .map(|draft| scope.spawn(|| save(&acme, "d", 1, draft, None).status))
            .collect();
        saves.into_iter().map(|save| save.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 422, 422]);
    // First versions are saved in one batch, without the forged ones.
    let names: Vec<_> = (0..24).map(|number| format!("n{number}")).collect();
    thread::scope(|scope| {
        for (number, name) in names.iter().enumerate() {
            let (acme, forged) = (&acme, &forged);
            scope.spawn(move || {
                let is_forged = number % 3 == 0;
                let cms = if is_forged { forged } else { CHAINED.trim() };
                let status = save(acme, name, 0, cms, None).status;
                assert_eq!(status, if is_forged { 422 } else { 201 }, "{name}");
            });
        }
    });
    for (number, name) in names.iter().enumerate() {
        let read = acme.read(name, "t");
        assert_eq!(read.status == 404, number % 3 == 0, "{name}");
    }
    assert_eq!(verdicts(&acme, "n1").len(), 1);
}

#[test]
fn hooks_are_asked_only_about_what_the_policy_accepts() {
    let (app, acme, operator) = start();
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    set(&operator, &json!({"accept": "intact"}));
    let forged = STANDARD.encode(forged(&der(FIRST)));
    save(&acme, "d", 0, &forged, None).expect_error(422, "signature_not_accepted");
    let decided = || {
        let lines = "SELECT outcome::text AS line FROM hook_judgements";
        app.database.lines(lines).trim().to_owned()
    };
    assert_eq!(decided(), "");
    let found = "/signatures?tags=iin%3A123456789011";
    assert!(acme.get(found).expect(200).signatures().is_empty());
    let saved = save(&acme, "d", 0, FIRST.trim(), None).expect(201);
    assert!(saved.tags().contains(&"iin:123456789011"));
    assert_eq!(decided(), "accepted");
    // A retry is answered with the saved tags, even if the policy would now refuse the signature.
    set(&operator, &json!({"accept": "passed"}));
    save(&acme, "d", 0, FIRST.trim(), None).expect(200);
    save(&acme, "d", 1, FIRST.trim(), None).expect(200);
    save(&acme, "d", 1, COUNTERSIGNED.trim(), None).expect_error(422, "signature_not_accepted");
}

#[test]
fn a_plain_save_waits_for_no_turn_to_be_examined() {
    let app = TestApp::start_with(|config| config.http.queue_timeout_ms = 300);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tenant = app.tenant_id("acme");
    let permits = &app.app.examinations;
    let all = |permits: &FairSemaphore| runtime.block_on(permits.acquire_alone(tenant)).unwrap();
    let _all = [all(&permits.short), all(&permits.long)];
    save(&acme, "d", 0, FIRST.trim(), None).expect(201);
    set(&operator, &json!({"accept": "intact"}));
    save(&acme, "d", 1, COUNTERSIGNED.trim(), None).expect_error(429, "rate_limited");
}

#[test]
fn recorded_verdicts_name_the_policy_and_the_anchors_that_they_were_made_under() {
    let (app, acme, operator) = start();
    let policy = json!({"accept": "passed", "revocation": "if_present", "record_verdicts": true});
    let told = set(&operator, &policy);
    let told = &told.json["content"];
    // Every client can compute these digests.
    let text = r#"{"accept":"passed","detached":"accept","index_signers":true,"record_verdicts":true,"revocation":"if_present"}"#;
    assert_eq!(told["policy_sha256"], to_hex(&sha256(text.as_bytes())));
    let listed = operator.get("/trust-anchors").expect(200);
    let anchor = listed.json["content"]["trust_anchors"][0]["sha256"]
        .as_str()
        .unwrap();
    let line = format!("{anchor}\n");
    assert_eq!(told["anchors_sha256"], to_hex(&sha256(line.as_bytes())));
    assert_eq!(operator.get("/policy").expect(200).json["content"], *told);
    save(&acme, "d", 0, CHAINED.trim(), None).expect(201);
    set(&operator, &json!({"accept": "intact"}));
    let body = json!({"document": "d", "thread": "t", "content": "AAAA"});
    acme.json("POST", "/signature/verify", &body).expect(201);
    let recorded = verdicts(&acme, "d");
    for name in ["policy_sha256", "anchors_sha256"] {
        assert_eq!(recorded[1][name], told[name], "{name}");
    }
    assert_eq!(recorded[1]["content_sha256"], Value::Null);
    assert_ne!(recorded[0]["policy_sha256"], told["policy_sha256"]);
    assert_eq!(recorded[0]["anchors_sha256"], told["anchors_sha256"]);
    assert_eq!(recorded[0]["content_sha256"], to_hex(&sha256(&[0, 0, 0])));
    // Verdicts that were recorded before these members existed have null in them.
    app.database.execute(
        "UPDATE signature_verdicts SET verdict = verdict - 'policy_sha256' - 'anchors_sha256' - 'content_sha256'",
    );
    for verdict in verdicts(&acme, "d") {
        for name in ["policy_sha256", "anchors_sha256", "content_sha256"] {
            assert_eq!(verdict.get(name), Some(&Value::Null), "{name}");
        }
    }
    // The audit trail has the policy before and after the change.
    let changes = app.database.lines(
        "SELECT json_build_object('before', before, 'after', after)::text AS line FROM audit_events
         WHERE action = 'policy.set' ORDER BY number",
    );
    let change: Value = serde_json::from_str(changes.lines().nth(1).unwrap()).unwrap();
    assert_eq!(change["before"]["accept"], "passed");
    assert_eq!(change["after"]["accept"], "intact");
    assert_eq!(change["after"]["detached"], "accept");
}

#[test]
fn the_command_line_and_the_api_say_the_same_of_the_same() {
    let (app, acme, operator) = start();
    let folder = app.database.folder.path();
    let authority = folder.join("ca.pem");
    std::fs::write(&authority, certificate_pem(CA)).unwrap();
    let chained = der(CHAINED);
    let (without, _) = detached(&chained);
    let inputs: [(&[u8], Option<&[u8]>); 14] = [
        (CHAINED.trim().as_bytes(), None),
        (&chained, None),
        (&chained, Some(b"something else")),
        (&forged(&chained), None),
        (&without, None),
        (&without, Some(CONTRACT)),
        (&without, Some(b"something else")),
        (DETACHED.as_bytes(), Some(CONTRACT)),
        (evidence("countersigned-wrong").as_bytes(), None),
        (evidence("crl-revoked").as_bytes(), None),
        (SIGNED_XML.as_bytes(), None),
        (REVOKED_XML.as_bytes(), None),
        (b"<a>Nobody has signed this.</a>", None),
        (b"\x30\x03broken", None),
    ];
    let mask = |report: &mut Value| {
        fn masked(signer: &mut Value) {
            if signer["verdict"]["judged_by"] == "now" {
                signer["verdict"]["judged_time"] = Value::Null;
            }
            let others = signer["countersignatures"].as_array_mut();
            others.into_iter().flatten().for_each(masked);
        }
        let signers = report["signers"].as_array_mut();
        signers.into_iter().flatten().for_each(masked);
    };
    for trusts in [true, false] {
        if !trusts {
            let path = to_hex(&sha256(&der(CA)));
            let path = format!("/trust-anchors/{path}");
            operator.json("DELETE", &path, &json!({})).expect(200);
        }
        for (number, (input, content)) in inputs.iter().enumerate() {
            let file = folder.join(format!("{number}.signature"));
            std::fs::write(&file, input).unwrap();
            let mut arguments = vec!["verify", file.to_str().unwrap(), "--json"];
            let document = folder.join("document");
            if let Some(content) = content {
                std::fs::write(&document, content).unwrap();
                arguments.extend(["--document", document.to_str().unwrap()]);
            }
            if trusts {
                arguments.extend(["--trust", authority.to_str().unwrap()]);
            }
            let output = app.database.command(&arguments).output().unwrap();
            let mut told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let cms = match std::str::from_utf8(input) {
                Ok(text) => text.to_owned(),
                Err(_) => STANDARD.encode(input),
            };
            let mut body = json!({ "cms": cms });
            if let Some(content) = content {
                body["content"] = json!(STANDARD.encode(content));
            }
            let answer = acme.json("POST", "/verify", &body).expect(200);
            let mut answered = answer.json["content"]["inspection"].clone();
            mask(&mut told);
            mask(&mut answered);
            assert_eq!(told, answered, "input {number}, trust {trusts}");
        }
    }
}

#[test]
fn where_revocation_is_required_only_what_tells_of_it_passes() {
    let (app, acme, operator) = start();
    let policy = json!({"accept": "passed", "revocation": "required", "record_verdicts": true});
    set(&operator, &policy);
    let refused = save(&acme, "d", 0, CHAINED.trim(), None);
    let refused = refused.expect_error(422, "signature_not_accepted");
    let signer = &refused.json["details"]["signers"][0];
    assert_eq!(signer["indication"], "INDETERMINATE");
    assert_eq!(signer["sub_indication"], "TRY_LATER");
    save(&acme, "d", 0, evidence("crl-good"), None).expect(201);
    save(&acme, "e", 0, evidence("crl-revoked"), None).expect_error(422, "signature_not_accepted");
    // Every route that judges applies the policy.
    let told = |cms: &str| {
        let answer = acme
            .json("POST", "/verify", &json!({ "cms": cms }))
            .expect(200);
        answer.json["content"]["inspection"]["signers"][0]["verdict"]["sub_indication"].clone()
    };
    assert_eq!(told(CHAINED.trim()), "TRY_LATER");
    assert_eq!(told(evidence("crl-good")), Value::Null);
    set(&operator, &json!({"accept": "intact"}));
    save(&acme, "f", 0, CHAINED.trim(), None).expect(201);
    let recorded = &verdicts(&acme, "f")[0];
    assert_eq!(
        recorded["signers"][0]["verdict"]["sub_indication"],
        "TRY_LATER"
    );
    let output = app
        .database
        .command(&["policy", "set", "acme", "--revocation", "if_present"])
        .output()
        .unwrap();
    assert!(output.status.success());
    crate::support::eventually(|| told(CHAINED.trim()) == Value::Null);
}
