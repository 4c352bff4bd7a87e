//! The types of this crate are those of the server's OpenAPI document: whatever the document describes is read, and nothing of
//! it is lost.

#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "a test that panics has failed, as it should"
)]

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sigpersist_client::{
    Details, Event, EventPage, Evidence, HookRejection, Refusal, RefusedSigner, Signature,
    SignaturePage,
};

const SNAPSHOT: &str = include_str!("../../../tests/snapshots/openapi.snap");

fn document() -> Value {
    // After the head of the snapshot.
    let mut document: Value =
        serde_json::from_str(SNAPSHOT.splitn(3, "---\n").nth(2).unwrap()).unwrap();
    // The client never asks for some members only, so those in a list are whole.
    let schemas = &mut document["components"]["schemas"];
    schemas["ListedSignature"]["required"] = schemas["SignatureContent"]["required"].clone();
    document
}

/// A value of a schema. With `full`, it has all members; otherwise those that are required.
fn value_of(document: &Value, schema: &Value, full: bool) -> Value {
    if let Some(name) = schema["$ref"].as_str() {
        return value_of(document, document.pointer(&name[1..]).unwrap(), full);
    }
    if let Some(parts) = schema["oneOf"].as_array() {
        return value_of(document, &parts[0], full);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].clone(),
        kind => kind.clone(),
    };
    match kind.as_str() {
        Some("object") if schema["properties"].is_object() => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let properties = schema["properties"].as_object().unwrap().iter();
            let members =
                properties.filter(|(name, _)| full || required.contains(&name.as_str().into()));
            let members =
                members.map(|(name, member)| (name.clone(), value_of(document, member, full)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Some("array") => Value::Array(vec![value_of(document, &schema["items"], full)]),
        Some("integer" | "number") => 7.into(),
        Some("boolean") => true.into(),
        Some("string") => "text".into(),
        // Anything.
        _ => Value::Object(Map::new()),
    }
}

/// The same without members that are null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(
                members
                    .map(|(name, member)| (name, without_nulls(member)))
                    .collect(),
            )
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

#[track_caller]
fn check<T: Serialize + DeserializeOwned>(name: &str) {
    let document = document();
    let schema = &document["components"]["schemas"][name];
    assert!(schema.is_object(), "there is no schema {name}");
    for full in [true, false] {
        let mut value = value_of(&document, schema, full);
        let read: T = serde_json::from_value(value.clone())
            .unwrap_or_else(|error| panic!("{name} {value}: {error}"));
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(without_nulls(written), value, "{name}");
        // What may be null may be null, and members of later servers are ignored.
        let properties = schema["properties"].as_object().unwrap();
        for (member, schema) in properties {
            let kinds = schema["type"].as_array().or(schema["oneOf"].as_array());
            if kinds.is_some_and(|kinds| {
                kinds
                    .iter()
                    .any(|kind| kind == "null" || kind["type"] == "null")
            }) {
                value[member] = Value::Null;
            }
        }
        value["of_later_servers"] = 1.into();
        serde_json::from_value::<T>(value).unwrap();
    }
}

#[test]
fn what_the_server_answers_is_read_whole() {
    check::<Signature>("SignatureContent");
    check::<SignaturePage>("ListContent");
    check::<Evidence>("Evidence");
    check::<Event>("HappeningContent");
    check::<EventPage>("HappeningsContent");
    check::<HookRejection>("HookRejection");
    check::<RefusedSigner>("RefusedSigner");
}

#[test]
fn the_versions_of_a_thread_are_a_page_too() {
    let document = document();
    let schema = &document["components"]["schemas"]["HistoryContent"];
    let page: SignaturePage = serde_json::from_value(value_of(&document, schema, true)).unwrap();
    assert_eq!(
        (page.signatures.len(), page.next.as_deref()),
        (1, Some("text"))
    );
}

#[test]
fn errors_are_read_with_the_details_of_their_codes() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let mut untyped = Vec::new();
    for code in schemas["Code"]["enum"].as_array().unwrap() {
        let code = code.as_str().unwrap();
        let words = code
            .split('_')
            .map(|word| word[..1].to_uppercase() + &word[1..]);
        let details = &schemas[format!("{}Details", words.collect::<String>())];
        let mut failure = value_of(&document, &schemas["Failure"], true);
        failure["code"] = code.into();
        failure["details"] = match details {
            Value::Null => Value::Null,
            details => value_of(&document, details, true),
        };
        let body = serde_json::to_vec(&failure).unwrap();
        let refusal = Refusal::read(http::StatusCode::CONFLICT, &http::HeaderMap::new(), &body);
        assert_eq!(
            (refusal.code.as_str(), refusal.message.as_str()),
            (code, "text")
        );
        assert_eq!(refusal.request_id.as_deref(), Some("text"));
        match refusal.typed_details() {
            None => assert!(details.is_null(), "{code}"),
            Some(Details::Other(_)) => untyped.push(code.to_owned()),
            Some(_) => {}
        }
    }
    // Errors of operators, of transport, and of a server that is not ready.
    let expected = [
        "body_timeout",
        "cases_failed",
        "method_not_allowed",
        "not_ready",
        "plugin_bound",
        "plugin_signature_refused",
        "settings_refused",
    ];
    assert_eq!(untyped, expected);
}
