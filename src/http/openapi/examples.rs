//! Whole examples for request and response bodies, built from the examples of single values. The server accepts each of
//! them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sigpersist_verify::pki::to_pem;

/// A component and a certificate for the examples.
const COMPONENT: &[u8] = include_bytes!("../../../plugins/retention/retention.wasm");
const CERTIFICATE: &str = include_str!("../../../tests/data/verify/ca.crt.b64");

/// Maximum nesting of schemas, since some are recursive.
const MAX_DEPTH: usize = 32;

/// Adds examples to members that contain a file.
pub(super) fn give_files(schemas: &mut Value) {
    for (form, member, example) in [
        ("PluginUpload", "component", STANDARD.encode(COMPONENT)),
        ("TrustAnchorsForm", "pem", certificate()),
    ] {
        schemas[form]["properties"][member]["example"] = example.into();
    }
}

/// A certificate in PEM.
pub(in super::super) fn certificate() -> String {
    let certificate = STANDARD.decode(CERTIFICATE.trim()).unwrap_or_default();
    to_pem("CERTIFICATE", &certificate)
}

/// Adds an example to each body of the document.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let operations = document["paths"].as_object_mut().into_iter();
    let operations = operations.flat_map(Map::values_mut);
    let operations =
        operations.flat_map(|path| path.as_object_mut().into_iter().flat_map(Map::values_mut));
    for operation in operations {
        if let Some(body) = operation.get_mut("requestBody") {
            content(&schemas, body, Members::Chosen);
        }
        let responses = operation["responses"].as_object_mut().into_iter();
        for response in responses.flat_map(Map::values_mut) {
            content(&schemas, response, Members::All);
        }
    }
}

/// Members of an object that an example includes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Members {
    /// All members.
    All,
    /// Required members, and optional ones with an example of their own.
    Chosen,
}

fn content(schemas: &Value, body: &mut Value, members: Members) {
    let kinds = body.get_mut("content").and_then(Value::as_object_mut);
    for kind in kinds.into_iter().flat_map(Map::values_mut) {
        if kind.get("example").is_none()
            && kind.get("examples").is_none()
            && let Some(example) = example(schemas, &kind["schema"], members, 0)
        {
            kind["example"] = example;
        }
    }
}

/// An example for a schema; none if some part of it has no example.
fn example(schemas: &Value, schema: &Value, chosen: Members, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let within = |schema| example(schemas, schema, chosen, depth + 1);
    if let Some(own) = schema.get("example") {
        return Some(own.clone());
    }
    for one_of in ["examples", "enum"] {
        if let Some(first) = schema[one_of].as_array().and_then(|all| all.first()) {
            return Some(first.clone());
        }
    }
    if let Some(default) = schema.get("default") {
        return Some(default.clone());
    }
    if let Some(name) = schema["$ref"].as_str() {
        return within(&schemas[name.rsplit('/').next()?]);
    }
    for some in ["oneOf", "anyOf"] {
        if let Some(all) = schema[some].as_array() {
            return all
                .iter()
                .filter(|one| one["type"] != "null")
                .find_map(within);
        }
    }
    if let Some(all) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in all {
            whole.extend(within(part)?.as_object()?.clone());
        }
        return Some(whole.into());
    }
    let is = |kind: &str| {
        schema["type"] == kind
            || schema["type"]
                .as_array()
                .is_some_and(|all| all.contains(&kind.into()))
    };
    if is("object") {
        let required = schema["required"].as_array();
        let is_chosen = |name: &str, schema: &Value| {
            let own = schema.get("example").or_else(|| schema["examples"].get(0));
            required.is_some_and(|all| all.iter().any(|one| one == name))
                || own.is_some_and(|own| !own.is_null())
        };
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members
            .filter(|(name, schema)| chosen == Members::All || is_chosen(name, schema))
            .map(|(name, schema)| Some((name.clone(), within(schema)?)));
        return members.collect::<Option<Map<_, _>>>().map(Value::Object);
    }
    if is("array") {
        return Some(Value::Array(vec![within(&schema["items"])?]));
    }
    if is("integer") {
        return Some(schema.get("minimum").cloned().unwrap_or_else(|| json!(0)));
    }
    // A schema without a type accepts anything.
    schema.get("type").is_none().then(|| json!({}))
}
