//! The summary of what a shadow would have done.

use serde_json::{Value, json};

use crate::support::guest::{ACCEPT, Guest, rejecting};
use crate::support::{Client, FIRST, SIGNER_TAGS, TestApp};

fn guest(judge: &str) -> Vec<u8> {
    Guest {
        judges: &["save-validator", "delete-validator"],
        judge,
        ..Guest::default()
    }
    .component()
}

fn summary(client: &Client, hook: &str, query: &str) -> Value {
    let path = format!("/hooks/{hook}/shadow?{query}");
    client.get(&path).expect(200).json["content"].clone()
}

#[test]
fn a_shadows_rejections_and_failures_are_summed_up_by_code() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    let accepts = app.upload("p", &guest(ACCEPT)).unwrap().sha256;
    let rejects = app.upload("p", &guest(&rejecting('A'))).unwrap().sha256;
    let traps = app.upload("p", &guest("(unreachable)")).unwrap().sha256;
    let set = |order: u32, shadow: Value| {
        let request = json!({"plugin": "p", "revision": accepts, "order": order, "shadow": shadow});
        operator.json("PUT", "/hooks/h", &request)
    };
    set(0, Value::Null).expect(201);
    acme.save("before", "t", 0, "x").expect(201);
    operator.get("/hooks/h/shadow").expect_error(422, "refused");
    set(0, json!({ "revision": rejects })).expect(200);
    for number in 0..6 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    acme.delete("d0", "t").expect(200);
    // The same shadow beside another order of the hook.
    set(1, json!({ "revision": rejects })).expect(200);
    acme.save("d6", "t", 0, "x").expect(201);

    let whole = summary(&operator, "h", "");
    assert_eq!(whole["shadow"]["revision"], json!(rejects));
    let comparison = &whole["comparison"];
    assert_eq!(comparison["examined"], 8);
    assert_eq!(comparison["rejected"], 8);
    assert_eq!(comparison["failed"], 0);
    assert_eq!(comparison["unchanged"], 0);
    assert_eq!(comparison["next"], Value::Null);
    let changes = comparison["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{changes:?}");
    let change = &changes[0];
    assert_eq!(
        (
            &change["from"],
            &change["to"],
            &change["code"],
            &change["count"]
        ),
        (
            &json!("accepted"),
            &json!("rejected"),
            &json!("A"),
            &json!(8)
        )
    );
    let examples = change["examples"].as_array().unwrap();
    let documents: Vec<_> = examples.iter().map(|one| &one["document"]).collect();
    assert_eq!(documents, ["d6", "d0", "d5", "d4", "d3"]);
    let id = examples[1]["decision"].as_str().unwrap();
    let decision = operator.get(&format!("/hooks/decisions/{id}")).expect(200);
    let decision = &decision.json["content"]["decision"];
    assert_eq!(
        (
            &decision["shadow"],
            &decision["operation"],
            &decision["code"]
        ),
        (&json!(true), &json!("delete"), &json!("A"))
    );

    // In parts, each of which says that there is more.
    let (mut parts, mut examined, mut cursor) = (0, 0, String::new());
    loop {
        let part = summary(&operator, "h", &format!("limit=3{cursor}"));
        let part = &part["comparison"];
        parts += 1;
        examined += part["examined"].as_u64().unwrap();
        match part["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((parts, examined), (3, 8));
    let none = summary(&operator, "h", "until=2000-01-01%2000:00:00");
    assert_eq!(none["comparison"]["examined"], 0);
    let future = summary(&operator, "h", "since=2100-01-01%2000:00:00");
    assert_eq!(future["comparison"]["examined"], 0);

    // Another shadow is counted by itself; the earlier one by the number of its binding.
    set(1, json!({ "revision": traps })).expect(200);
    acme.save("d7", "t", 0, "x").expect(201);
    let failing = summary(&operator, "h", "");
    let comparison = &failing["comparison"];
    assert_eq!(
        (
            &comparison["examined"],
            &comparison["failed"],
            &comparison["rejected"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );
    let change = &comparison["changes"][0];
    assert_eq!(
        (&change["to"], &change["code"]),
        (&json!("failed"), &Value::Null)
    );
    assert!(
        change["examples"][0]["reasons"][0]
            .as_str()
            .unwrap()
            .contains("unreachable")
    );
    for binding in [2, 3] {
        let earlier = summary(&operator, "h", &format!("binding={binding}"));
        assert_eq!(earlier["comparison"]["examined"], 8);
    }
    operator
        .get("/hooks/h/shadow?binding=1")
        .expect_error(422, "refused");
    operator
        .get("/hooks/h/shadow?binding=9")
        .expect_error(404, "binding_not_found");
    operator
        .get("/hooks/none/shadow")
        .expect_error(404, "hook_not_found");
    for bad in [
        "limit=0",
        "limit=10001",
        "cursor=x",
        "since=soon",
        "binding=0",
    ] {
        operator
            .get(&format!("/hooks/h/shadow?{bad}"))
            .expect_error(400, "invalid_parameter");
    }
    let of_platform = summary(&app.platform_for("acme"), "h", "");
    assert_eq!(of_platform["comparison"]["examined"], 1);
    // On the command line.
    let text = app.database.run(&[
        "hook",
        "shadow",
        "acme",
        "h",
        "--binding",
        "2",
        "--limit",
        "7",
    ]);
    assert!(
        text.contains("Of 7 saves and deletes")
            && text.contains("it would have rejected 7, and failed on 0")
            && text.contains("accepted → rejected (A): 7")
            && text.contains(&format!("decision {id}"))
            && text.contains("raise --limit"),
        "{text}"
    );
}

#[test]
fn tags_that_a_shadow_would_set_otherwise_are_a_group_of_their_own() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.upload("tags", SIGNER_TAGS).unwrap();
    let only = |iin: &str| json!({"prefixes": {"iin": iin, "bin": "", "signer": ""}});
    let request = json!({
        "plugin": "tags", "settings": only("iin:"), "timeout_ms": 1000, "shadow": {"settings": only("person/")},
    });
    operator.json("PUT", "/hooks/tags", &request).expect(201);
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    // Without signers, both set none.
    acme.save("e", "t", 0, "<a/>").expect(201);
    let summary = summary(&operator, "tags", "");
    let comparison = &summary["comparison"];
    assert_eq!(
        (
            &comparison["examined"],
            &comparison["unchanged"],
            &comparison["rejected"]
        ),
        (&json!(2), &json!(1), &json!(0))
    );
    let change = &comparison["changes"][0];
    assert_eq!(
        (&change["to"], &change["only_tags"], &change["count"]),
        (&json!("accepted"), &json!(true), &json!(1))
    );
    assert_eq!(
        change["examples"][0]["tags_added"],
        json!(["person/123456789011"])
    );
    assert_eq!(summary["shadow"]["settings"], only("person/"));
}
