//! POST /signature: versions, retries, preconditions, and the rules of its parameters.

use serde_json::{Value, json};

use crate::support::{FIRST, TestApp};

#[test]
fn version_n_creates_n_plus_1_and_anything_else_is_a_conflict() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for version in [2, 5] {
        let conflict = acme
            .save("d", "t", version, "first")
            .expect_error(409, "version_conflict");
        assert_eq!(conflict.json["details"]["current_version"], 0);
    }
    let first = acme.save("d", "t", 0, "first").expect(201);
    assert_eq!(first.header("etag"), Some("\"1\""));
    assert_eq!(
        first.header("location"),
        Some("/signature?document=d&thread=t&version=1")
    );
    let id = &first.signature()["id"];
    for version in 1..5 {
        let next = acme
            .save("d", "t", version, &format!("over {version}"))
            .expect(201);
        assert_eq!(next.signature()["version"], version + 1);
        assert_eq!(next.signature()["parent"], version);
        assert_eq!(&next.signature()["id"], id);
        assert_eq!(
            next.header("etag"),
            Some(format!("\"{}\"", version + 1).as_str())
        );
    }
    for version in [0, 1, 4, 6, 2_147_483_647] {
        let conflict = acme
            .save("d", "t", version, "other")
            .expect_error(409, "version_conflict");
        assert_eq!(conflict.json["details"]["current_version"], 5, "{version}");
    }
    let absent = acme.post(&json!({"document": "d", "thread": "t", "cms": "other"}));
    let absent = absent.expect_error(400, "invalid_parameter");
    assert_eq!(absent.json["details"]["field"], "/version");
}

#[test]
fn absent_0_and_1_create_the_first_version() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (document, version) in [("a", json!(null)), ("b", json!(0)), ("c", json!(1))] {
        let saved = acme
            .post(&json!({"document": document, "thread": "t", "cms": "x", "version": version}))
            .expect(201);
        assert_eq!(saved.signature()["version"], 1);
        assert_eq!(saved.signature()["parent"], Value::Null);
    }
}

#[test]
fn an_identical_retry_is_answered_with_the_version_it_made() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let body = |version: u32, cms: &str| {
        json!({
            "document": "d", "thread": "t", "version": version, "cms": cms, "stage": "s",
            "version_created_by": 7, "version_comment": "c", "tags": ["b", "a"],
        })
    };
    for (version, cms) in [(1, "first"), (1, "second"), (2, "third")] {
        let made = acme.post(&body(version, cms)).expect(201);
        let again = acme.post(&body(version, cms)).expect(200);
        assert_eq!(
            again.json["content"]["signature"]["version"],
            made.signature()["version"]
        );
        assert_eq!(again.signature()["signature"], cms);
        assert_eq!(again.header("etag"), made.header("etag"));
        assert_eq!(again.header("location"), None);
    }
    // A retry is recognized even if others have countersigned since.
    for (version, cms, was) in [
        (0, "first", 1),
        (1, "first", 1),
        (1, "second", 2),
        (2, "third", 3),
    ] {
        let again = acme.post(&body(version, cms)).expect(200);
        assert_eq!(again.signature()["version"], was);
    }
    // The order and repetition of tags do not matter.
    for tags in [json!(["a", "b"]), json!(["b", "a", "b"])] {
        let mut reordered = body(2, "third");
        reordered["tags"] = tags;
        let again = acme.post(&reordered).expect(200);
        assert_eq!(again.signature()["version"], 3);
        assert_eq!(again.tags(), ["b", "a"]);
    }
    let mut absent = body(0, "first");
    absent.as_object_mut().unwrap().remove("version");
    assert_eq!(acme.post(&absent).expect(200).signature()["version"], 1);
    // A retry must be identical in every part.
    for (name, value) in [
        ("cms", json!("other")),
        ("stage", json!("x")),
        ("version_created_by", json!(8)),
        ("version_comment", json!("x")),
        ("tags", json!(["a"])),
        ("tags", json!(["a", "b", "c"])),
        ("tags", json!(["a", "c"])),
    ] {
        let mut changed = body(2, "third");
        changed[name] = value;
        acme.post(&changed).expect_error(409, "version_conflict");
    }
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 3);
}

#[test]
fn the_first_version_over_itself_with_other_tags_is_a_new_version() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 1, "x").expect(201);
    let tagged = acme
        .post(&json!({"document": "d", "thread": "t", "version": 1, "cms": "x", "tags": ["new"]}))
        .expect(201);
    assert_eq!(tagged.signature()["version"], 2);
}

#[test]
fn preconditions_say_the_same_in_http_words() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let post = |version: Value, cms: &str, headers: &[(&str, &str)]| {
        let body = json!({"document": "d", "thread": "t", "version": version, "cms": cms});
        acme.json_with("POST", "/signature", &body, headers)
    };
    let failed = post(json!(1), "x", &[("if-match", "*")]).expect_error(412, "precondition_failed");
    assert_eq!(failed.json["details"]["current_version"], 0);
    post(json!(null), "x", &[("if-match", "\"1\"")]).expect_error(412, "precondition_failed");
    post(json!(null), "first", &[("if-none-match", "*")]).expect(201);
    // A retry is recognized as such.
    post(json!(null), "first", &[("if-none-match", "*")]).expect(200);
    post(json!(null), "other", &[("if-none-match", "*")]).expect_error(412, "precondition_failed");
    post(json!(1), "other", &[("if-none-match", "\"1\"")]).expect_error(412, "precondition_failed");
    let second = post(json!(null), "second", &[("if-match", "\"1\"")]).expect(201);
    assert_eq!(second.signature()["version"], 2);
    post(json!(null), "second", &[("if-match", "\"1\"")]).expect(200);
    let stale = post(json!(null), "other", &[("if-match", "\"1\"")])
        .expect_error(412, "precondition_failed");
    assert_eq!(stale.json["details"]["current_version"], 2);
    post(json!(2), "other", &[("if-match", "\"1\"")]).expect_error(412, "precondition_failed");
    // The precondition holds, but the version is wrong.
    post(json!(3), "other", &[("if-match", "\"2\"")]).expect_error(409, "version_conflict");
    post(json!(null), "other", &[("if-match", "*")]).expect_error(400, "invalid_parameter");
    post(json!(2), "other", &[("if-match", "W/\"2\"")]).expect_error(412, "precondition_failed");
    let named =
        post(json!(2), "other", &[("if-match", "2")]).expect_error(400, "invalid_parameter");
    assert!(named.json["message"].as_str().unwrap().contains("if-match"));
    assert_eq!(
        post(json!(2), "third", &[("if-match", "\"7\", \"2\"")])
            .expect(201)
            .signature()["version"],
        3
    );
    assert_eq!(
        post(json!(3), "fourth", &[("if-match", "*")])
            .expect(201)
            .signature()["version"],
        4
    );
}

#[test]
fn tags_belong_to_the_thread_and_each_version_keeps_its_own() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let save = |version: u32, tags: Value| {
        let cms = format!("over {version}");
        acme.post(
            &json!({"document": "d", "thread": "t", "version": version, "cms": cms, "tags": tags}),
        )
        .expect(201)
    };
    assert_eq!(save(0, json!(["b", "a", "b"])).tags(), ["b", "a"]);
    assert_eq!(save(1, json!("one")).tags(), ["one"]);
    assert_eq!(save(2, json!(["one", "two"])).tags(), ["one", "two"]);
    assert_eq!(acme.read("d", "t").expect(200).tags(), ["one", "two"]);
    assert_eq!(
        acme.get("/signature?document=d&thread=t&version=1")
            .expect(200)
            .tags(),
        ["b", "a"]
    );
    for (tag, matches) in [("a", 0), ("b", 0), ("one", 1), ("two", 1)] {
        let listed = acme.get(&format!("/signatures?tags={tag}")).expect(200);
        assert_eq!(listed.signatures().len(), matches, "{tag}");
    }
    assert!(save(3, json!(null)).tags().is_empty());
    assert!(
        acme.get("/signatures?tags=one")
            .expect(200)
            .signatures()
            .is_empty()
    );
}

#[test]
fn any_text_comes_back_byte_for_byte() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let armoured = format!("-----BEGIN CMS-----\r\n{FIRST}\r\n-----END CMS-----\r\n");
    let zero = "a\u{0}b";
    for (index, cms) in [
        FIRST.trim(),
        FIRST,
        &armoured,
        "<?xml version=\"1.0\"?>\n<a>ключ</a>",
        zero,
        "\u{feff}<a/>",
        " ",
    ]
    .iter()
    .enumerate()
    {
        let document = format!("d{index}");
        let saved = acme.save(&document, "t", 0, cms).expect(201);
        assert_eq!(saved.signature()["signature"], *cms);
        assert_eq!(
            acme.read(&document, "t").expect(200).signature()["signature"],
            *cms
        );
    }
}

#[test]
fn the_largest_signature_fits_and_one_byte_more_does_not() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let largest = "A".repeat(10 * 1024 * 1024);
    acme.save("d", "t", 0, &largest).expect(201);
    assert_eq!(
        acme.read("d", "t").expect(200).signature()["signature"],
        largest
    );
    let refused = acme
        .save("d", "t", 1, &(largest + "A"))
        .expect_error(413, "payload_too_large");
    assert_eq!(refused.json["details"]["limit_bytes"], 10 * 1024 * 1024);
}

#[test]
fn parameters_that_break_their_rules_are_named() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let long = "ж".repeat(256);
    let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
    for (name, value) in [
        ("document", json!("")),
        ("document", json!(null)),
        ("document", json!(12)),
        ("document", json!(long)),
        ("document", json!("a\nb")),
        ("thread", json!("")),
        ("thread", json!("\u{7f}")),
        ("version", json!(-1)),
        ("version", json!("x")),
        ("version", json!(1.5)),
        ("version", json!(2_147_483_648_u32)),
        ("version", json!([1])),
        ("cms", json!("")),
        ("cms", json!(null)),
        ("cms", json!(7)),
        ("version_created_by", json!("")),
        ("version_created_by", json!(1.5)),
        ("version_created_by", json!(long)),
        ("version_comment", json!("x".repeat(4097))),
        ("version_comment", json!("a\u{0}")),
        ("version_comment", json!(7)),
        ("tags", json!([""])),
        ("tags", json!([long])),
        ("tags", json!(["a\tb"])),
        ("tags", json!([7])),
        ("tags", json!({"a": 1})),
        ("tags", json!(many)),
        ("stage", json!("")),
        ("stage", json!(long)),
    ] {
        let mut body = json!({"document": "d", "thread": "t", "version": 0, "cms": "x"});
        body[name] = value;
        let refused = acme.post(&body).expect_error(400, "invalid_parameter");
        assert_eq!(
            refused.json["details"]["field"],
            format!("/{name}"),
            "{body}"
        );
        assert!(refused.json["message"].as_str().unwrap().contains(name));
    }
    acme.read("d", "t").expect_error(404, "signature_not_found");

    let edges = json!({
        "document": "ж".repeat(255), "thread": " untrimmed ", "version": 0, "cms": "x",
        "version_created_by": "y".repeat(255), "version_comment": "\n".repeat(4096), "tags": many[..64], "stage": "s",
    });
    let saved = acme.post(&edges).expect(201);
    for name in [
        "document",
        "thread",
        "version_created_by",
        "version_comment",
        "tags",
        "stage",
    ] {
        assert_eq!(saved.signature()[name], edges[name]);
    }
}
