//! GET /signature and GET /signature/versions.

use serde_json::json;

use crate::support::{Client, TestApp};

fn with_history(app: &TestApp, versions: u32) -> Client {
    let acme = app.tenant("acme");
    for version in 0..versions {
        let body = json!({
            "document": "d", "thread": "t", "version": version, "cms": format!("over {version}"),
            "stage": format!("stage {version}"), "tags": [format!("tag {version}")],
        });
        acme.post(&body).expect(201);
    }
    acme
}

#[test]
fn a_version_is_read_as_it_was_saved() {
    let app = TestApp::start();
    let acme = with_history(&app, 3);
    let current = acme.read("d", "t").expect(200);
    assert_eq!(current.header("etag"), Some("\"3\""));
    assert_eq!(current.signature()["signature"], "over 2");
    let second = acme
        .get("/signature?document=d&thread=t&version=2")
        .expect(200);
    assert_eq!(second.header("etag"), Some("\"2\""));
    assert_eq!(second.signature()["signature"], "over 1");
    assert_eq!(second.signature()["parent"], 1);
    assert_eq!(second.signature()["stage"], "stage 1");
    assert_eq!(second.tags(), ["tag 1"]);
    assert_eq!(second.signature()["id"], current.signature()["id"]);
    assert_eq!(
        second.signature()["created_at"],
        current.signature()["created_at"]
    );
    acme.get("/signature?document=d&thread=t&version=4")
        .expect_error(404, "signature_not_found");
    acme.get("/signature?document=d&thread=other")
        .expect_error(404, "signature_not_found");
    for query in [
        "document=d",
        "thread=t",
        "document=d&thread=t&version=0",
        "document=d&thread=t&cms=x",
    ] {
        acme.get(&format!("/signature?{query}"))
            .expect_error(400, "invalid_parameter");
    }
}

#[test]
fn a_client_that_has_the_version_is_told_so() {
    let app = TestApp::start();
    let acme = with_history(&app, 2);
    let read = |headers: &[(&str, &str)]| acme.get_with("/signature?document=d&thread=t", headers);
    for tag in ["\"2\"", "W/\"2\"", "\"1\", \"2\"", "*"] {
        let same = read(&[("if-none-match", tag)]).expect(304);
        assert_eq!(same.header("etag"), Some("\"2\""));
    }
    read(&[("if-none-match", "\"1\"")]).expect(200);
    read(&[("if-match", "\"2\"")]).expect(200);
    read(&[("if-match", "\"1\"")]).expect_error(412, "precondition_failed");
}

#[test]
fn the_history_is_listed_newest_first_in_pages() {
    let app = TestApp::start();
    let acme = with_history(&app, 7);
    let path = "/signature/versions?document=d&thread=t";
    let all = acme.get(path).expect(200);
    let versions: Vec<_> = all
        .versions()
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(all.versions()[0]["signature"], "over 6");
    assert_eq!(all.json["content"]["next"], json!(null));

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = acme
            .get(&format!("{path}&limit=3&omit=signature{cursor}"))
            .expect(200);
        seen.extend(
            page.versions()
                .iter()
                .map(|version| version["version"].as_u64().unwrap()),
        );
        assert!(
            page.versions()
                .iter()
                .all(|version| version.get("signature").is_none())
        );
        match page.json["content"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, versions);
    acme.get("/signature/versions?document=d&thread=x&cursor=5")
        .expect_error(404, "signature_not_found");
    acme.get("/signature/versions?document=d&thread=x")
        .expect_error(404, "signature_not_found");
    for query in ["&cursor=x", "&limit=0", "&limit=1001", "&omit=tags"] {
        acme.get(&format!("{path}{query}"))
            .expect_error(400, "invalid_parameter");
    }
}

#[test]
fn head_is_answered_like_get_without_a_body() {
    let app = TestApp::start();
    let acme = with_history(&app, 1);
    let head = acme.send("HEAD", "/signature?document=d&thread=t", &[], None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.header("etag"), Some("\"1\""));
}
