//! The examples of the API reference, key by key.

use serde_json::{Value, json};

use crate::support::TestApp;

/// Asserts that times have the format of the reference, and masks them.
fn mask_times(value: &mut Value) {
    for name in ["created_at", "updated_at", "version_created_at"] {
        if let Some(time) = value.get_mut(name) {
            let text = time.as_str().unwrap();
            chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
            assert_eq!(text.len(), 19);
            *time = json!("2021-02-19 15:00:00");
        }
    }
}

#[test]
fn post_get_list_and_delete_answer_as_the_reference_shows() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let cms = "MIIIrwYJKoZIhvcNAQcCoIIIoDCCCx+EWy11vQtlLdPQ==";
    let saved = acme
        .post(&json!({
            "document": "doc_12",
            "thread": "ticket_42",
            "version": 1,
            "cms": cms,
            "version_created_by": "some_user",
            "version_comment": "some comment",
            "tags": ["customer_1", "process_1"],
        }))
        .expect(201);
    let mut shown = saved.json.clone();
    mask_times(&mut shown["content"]["signature"]);
    insta::assert_json_snapshot!(shown, { ".content.signature.id" => 1 }, @r#"
    {
      "status": true,
      "message": null,
      "content": {
        "signature": {
          "id": 1,
          "version": 1,
          "document": "doc_12",
          "thread": "ticket_42",
          "stage": null,
          "signature": "MIIIrwYJKoZIhvcNAQcCoIIIoDCCCx+EWy11vQtlLdPQ==",
          "parent": null,
          "version_created_by": "some_user",
          "version_created_at": "2021-02-19 15:00:00",
          "version_comment": "some comment",
          "tags": [
            "customer_1",
            "process_1"
          ],
          "created_at": "2021-02-19 15:00:00",
          "updated_at": "2021-02-19 15:00:00"
        }
      }
    }
    "#);

    let body = json!({"document": "doc_12", "thread": "ticket_42"});
    let read = acme.json("GET", "/signature", &body).expect(200);
    assert_eq!(read.json, saved.json);

    let listed = acme
        .json(
            "GET",
            "/signatures",
            &json!({"document": "doc_12", "chain": "ticket_42", "count": true}),
        )
        .expect(200);
    let mut shown = listed.json.clone();
    mask_times(&mut shown["content"]["signatures"][0]);
    insta::assert_json_snapshot!(shown, { ".content.signatures[].id" => 1 }, @r#"
    {
      "status": true,
      "message": null,
      "content": {
        "signatures": [
          {
            "id": 1,
            "version": 1,
            "document": "doc_12",
            "thread": "ticket_42",
            "chain": "ticket_42",
            "stage": null,
            "signature": "MIIIrwYJKoZIhvcNAQcCoIIIoDCCCx+EWy11vQtlLdPQ==",
            "parent": null,
            "version_created_by": "some_user",
            "version_created_at": "2021-02-19 15:00:00",
            "version_comment": "some comment",
            "tags": [
              "customer_1",
              "process_1"
            ],
            "created_at": "2021-02-19 15:00:00",
            "updated_at": "2021-02-19 15:00:00"
          }
        ],
        "next": null,
        "nb_results": 1
      }
    }
    "#);

    let deleted = acme.json("DELETE", "/signature", &body).expect(200);
    assert_eq!(deleted.text, r#"{"status":true}"#);
}

#[test]
fn parameters_are_accepted_in_the_query_string_too() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let query = "document=doc+12&thread=ticket%2F42";
    let posted = acme
        .send(
            "POST",
            &format!("/signature?{query}&version=0&cms=MIIB&tags=a&tags=b&version_created_by=7"),
            &[],
            None,
        )
        .expect(201);
    assert_eq!(posted.signature()["document"], "doc 12");
    assert_eq!(posted.signature()["thread"], "ticket/42");
    assert_eq!(posted.signature()["version_created_by"], "7");
    assert_eq!(posted.tags(), ["a", "b"]);
    let read = acme.get(&format!("/signature?{query}")).expect(200);
    assert_eq!(read.json, posted.json);
    let listed = acme
        .get("/signatures?tags[]=b&thread=ticket/42")
        .expect(200);
    assert_eq!(listed.signatures().len(), 1);
    let location = posted.header("location").unwrap();
    assert_eq!(acme.get(location).expect(200).json, posted.json);
    assert_eq!(
        acme.send("DELETE", &format!("/signature?{query}"), &[], None)
            .expect(200)
            .text,
        r#"{"status":true}"#
    );
    acme.get(&format!("/signature?{query}"))
        .expect_error(404, "signature_not_found");
}
