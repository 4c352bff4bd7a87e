//! DELETE /signature.

use serde_json::json;

use crate::support::TestApp;

#[test]
fn a_thread_goes_with_all_its_versions_and_tags() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (thread, version) in [("t", 0), ("t", 1), ("other", 0)] {
        let cms = format!("{thread} over {version}");
        acme.post(&json!({"document": "d", "thread": thread, "version": version, "cms": cms, "tags": ["x"]}))
            .expect(201);
    }
    assert_eq!(acme.delete("d", "t").expect(200).text, r#"{"status":true}"#);
    acme.read("d", "t").expect_error(404, "signature_not_found");
    acme.get("/signature?document=d&thread=t&version=1")
        .expect_error(404, "signature_not_found");
    acme.delete("d", "t")
        .expect_error(404, "signature_not_found");
    let listed = acme.get("/signatures?tags=x").expect(200);
    assert_eq!(listed.signatures().len(), 1);
    assert_eq!(listed.signatures()[0]["thread"], "other");
    // The name is free again, for another thread.
    let anew = acme.save("d", "t", 0, "anew").expect(201);
    assert_eq!(anew.signature()["version"], 1);
}

#[test]
fn preconditions_guard_a_delete() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let delete = |tag: &str| {
        let body = json!({"document": "d", "thread": "t"});
        acme.json_with("DELETE", "/signature", &body, &[("if-match", tag)])
    };
    delete("*").expect_error(412, "precondition_failed");
    acme.save("d", "t", 0, "first").expect(201);
    acme.save("d", "t", 1, "second").expect(201);
    let failed = delete("\"1\"").expect_error(412, "precondition_failed");
    assert_eq!(failed.json["details"]["current_version"], 2);
    delete("\"2\"").expect(200);
}

#[test]
fn a_delete_names_its_thread() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for body in [
        json!({}),
        json!({"document": "d"}),
        json!({"document": "d", "thread": "t", "version": 1}),
    ] {
        acme.json("DELETE", "/signature", &body)
            .expect_error(400, "invalid_parameter");
    }
}
