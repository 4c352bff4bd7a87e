//! Schemas, descriptions and examples of parameters, by name, for queries and bodies alike.

use serde_json::{Map, Value, json};
use sigpersist_model::attachments::MAX_CERTIFICATES_BYTES;
use sigpersist_model::signature::{MAX_COMMENT_CHARS, MAX_LABEL_CHARS, MAX_TAGS, MAX_VERSION};

use super::super::route::Route;
use super::examples;
use crate::signatures::MAX_LIMIT;

/// An example signature, as clients send it.
pub(super) const CMS: &str = include_str!("../../../tests/data/first.cms.b64");

/// Canonical base64: groups of four characters, with unused bits zero.
const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
const SHA256: &str = "^[0-9a-fA-F]{64}$";
/// The number of an event, and its hash.
const HEAD: &str = "^[0-9]{1,18}:[0-9a-f]{64}$";
/// Sixteen bytes in URL-safe base64; the first eight are a time.
const PLACE: &str = "^A[A-H][A-Za-z0-9_-]{19}[AQgw]$";

/// Schema, description and example of a parameter.
fn parameter(name: &str) -> (Value, &'static str, Value) {
    match name {
        "document" => (label(), "The document's code", json!("doc_12")),
        "thread" => (
            label(),
            "The thread: the process in which the document is signed",
            json!("ticket_42"),
        ),
        "chain" => (label(), "The same as `thread`", json!("ticket_42")),
        "stage" => (label(), "The stage of the version", json!("approval")),
        "cms" => (
            json!({ "type": "string", "minLength": 1 }),
            "The signature: CMS in base64, or XML. It is stored and returned byte for byte",
            json!(CMS.trim()),
        ),
        "content" => (
            json!({ "type": "string", "pattern": BASE64, "contentEncoding": "base64" }),
            "The content that a detached signature signs, in base64",
            json!("QSBjb250cmFjdCBiZXR3ZWVuIHR3byBwZW9wbGUgd2hvIGRvIG5vdCBleGlzdC4K"),
        ),
        "certificates" => (
            json!({ "type": "string", "maxLength": MAX_CERTIFICATES_BYTES }),
            "Additional certificates in PEM, of absent signers and of authorities in between. They are not trusted",
            examples::certificate().into(),
        ),
        "version_created_by" => (
            json!({ "oneOf": [{ "type": "integer", "minimum": i64::MIN, "maximum": u64::MAX }, label()] }),
            "The creator of the version; returned as text",
            json!(33),
        ),
        "version_comment" => (
            json!({ "type": "string", "maxLength": MAX_COMMENT_CHARS }),
            "A comment on the version",
            json!("The first signature"),
        ),
        "tags" => (
            json!({ "type": "array", "items": label(), "maxItems": MAX_TAGS }),
            "Tags; duplicates count once",
            json!(["customer_1", "signed"]),
        ),
        "tags_match" => (
            json!({ "type": "string", "enum": ["any", "all"], "default": "any" }),
            "Whether `any` of `tags` is enough, or `all` must match",
            json!("any"),
        ),
        "omit" => (
            json!({ "type": "array", "items": { "type": "string", "enum": ["signature"] } }),
            "What to leave out of the response: `signature`, the signature itself",
            json!(["signature"]),
        ),
        "limit" => (
            json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50 }),
            "Maximum number of results",
            json!(20),
        ),
        "offset" => (
            json!({ "type": "integer", "minimum": 0, "maximum": MAX_VERSION, "default": 0 }),
            "Number of results to skip",
            json!(0),
        ),
        "cursor" => (
            json!({ "type": "string", "pattern": PLACE }),
            "The `next` of an earlier answer, to continue it",
            json!("AAW7i4RxVUAAAAAAAAAAKg"),
        ),
        "count" => (
            flag(),
            "Whether to count all matches, as `nb_results`",
            json!(true),
        ),
        "inspect" => (flag(), "Whether to show who signed", json!(true)),
        "verify" => (flag(), "Whether to verify the signature, too", json!(true)),
        "platform" => (
            flag(),
            "Whether it is about the platform's own events only",
            json!(true),
        ),
        "hook" => (label(), "The hook's name", json!("signer-tags")),
        "verdict" => (
            json!({ "type": "string", "enum": ["accepted", "rejected", "failed"] }),
            "The verdict of the hook",
            json!("rejected"),
        ),
        "since" => (
            time(),
            "At this time or later",
            json!("2021-02-18 01:00:00"),
        ),
        "until" => (time(), "Before this time", json!("2031-02-18 01:00:00")),
        "to" => (
            json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
            "The number of the binding to restore; the previous one if it is left out",
            json!(1),
        ),
        "tenant" => (label(), "The tenant's slug", json!("acme")),
        "actor" => (
            label(),
            "The subject of the token that made the change",
            json!("olga"),
        ),
        "action" => (label(), "The action", json!("hook.set")),
        "target" => (label(), "The object of the action", json!("signer-tags")),
        "request_id" => (label(), "The id of the request", json!("7f0c2f4e9d5a41b7")),
        "state" => (
            json!({ "type": "string", "enum": ["active", "suspended", "deleting", "removing"] }),
            "The state of the tenants",
            json!("active"),
        ),
        "expect" => (
            json!({ "type": "string", "pattern": HEAD }),
            "An event that must be in the trail: the `head` of an earlier check",
            json!("12:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ),
        "keyed" => (
            flag(),
            "Whether it is a fault if seals could not be checked, or there are none",
            json!(true),
        ),
        "incomplete" => (
            flag(),
            "Whether to resume the tenant although parts of its import are missing",
            json!(true),
        ),
        "anybodys" => (
            flag(),
            "Without a tenant in the path: whether the key may be any tenant's, too",
            json!(true),
        ),
        "confirm" => (
            label(),
            "The tenant's slug once more: removes all its data at once, without the grace period",
            json!("acme"),
        ),
        _ => (Value::Null, "", Value::Null),
    }
}

fn label() -> Value {
    // Control characters are those of Unicode's category Cc.
    json!({ "type": "string", "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$", "minLength": 1, "maxLength": MAX_LABEL_CHARS })
}

fn flag() -> Value {
    json!({ "type": "boolean", "default": false })
}

fn time() -> Value {
    json!({ "$ref": "#/components/schemas/GivenTime" })
}

/// The `version` parameter. To read, it is at least 1; to save, it may be 0, for no version yet.
fn version(minimum: u32) -> (Value, &'static str, Value) {
    let schema = json!({ "type": "integer", "minimum": minimum, "maximum": MAX_VERSION });
    match minimum {
        0 => (
            schema,
            "The version that was signed over; 0, or left out, for the first signature",
            json!(0),
        ),
        _ => (
            schema,
            "The version; the current one if it is left out",
            json!(1),
        ),
    }
}

/// A parameter in a query; `own` is the handler's description of it.
pub(super) fn in_query(name: &str, required: bool, own: Option<&Value>) -> Value {
    let (mut schema, description, mut example) = match name {
        "version" => version(1),
        name => parameter(name),
    };
    if let Some(own) = own {
        schema = own["schema"].clone();
        // In a query, null means that the parameter is left out.
        let kinds = schema["type"].as_array().into_iter().flatten();
        if let Some(kind) = kinds.clone().find(|kind| *kind != "null").cloned() {
            schema["type"] = kind;
        }
        let of_own = own.get("example").or_else(|| own["schema"].get("example"));
        example = of_own.cloned().unwrap_or(example);
    }
    given(
        "query",
        name,
        description.to_owned(),
        required,
        schema,
        example,
    )
}

/// A parameter in a query or a header.
///
/// Pages that send test requests prefill parameters that have an example or a default of their own. So only required
/// parameters have one; optional ones have their examples in the schema.
fn given(
    place: &str,
    name: &str,
    mut description: String,
    required: bool,
    mut schema: Value,
    example: Value,
) -> Value {
    if !required && let Some(schema) = schema.as_object_mut() {
        schema.remove("example");
        if let Some(default) = schema.remove("default") {
            let default = default
                .as_str()
                .map_or_else(|| default.to_string(), ToOwned::to_owned);
            description = format!("{description}; `{default}` if it is left out");
        }
        if !schema.contains_key("$ref") {
            schema.insert("examples".to_owned(), json!([example]));
        }
    }
    let mut parameter = json!({
        "name": name,
        "in": place,
        "description": description,
        "required": required,
        "schema": schema,
    });
    if required {
        parameter["example"] = example;
    }
    parameter
}

/// A parameter in a path.
pub(super) fn in_path(name: &str, path: &str) -> Value {
    let noun = path.split('/').nth(1).unwrap_or_default();
    let slug = || json!({ "$ref": "#/components/schemas/Slug" });
    let (schema, description, example) = match (noun, name) {
        // The answer does not reveal whether this tenant exists.
        ("tenants", "name") if path.ends_with("/jwks.json") => {
            (json!({ "type": "string" }), "The tenant's slug", "acme")
        }
        (_, "tenant") | ("tenants", _) => (slug(), "The tenant's slug", "acme"),
        ("plugins", "name") => (slug(), "The plugin's name", "signer-tags"),
        ("hooks", "name") => (slug(), "The hook's name", "signer-tags"),
        ("keys", _) => (
            label(),
            "The key's name, as in the `kid` header of tokens",
            "acme-1",
        ),
        ("hooks", _) => (
            json!({ "type": "string" }),
            "The decision's id",
            "1613610000000000-17-0",
        ),
        ("exports", _) => (
            json!({ "type": "string" }),
            "The export's id",
            "7f0c2f4e9d5a41b7",
        ),
        ("docs", _) => (
            json!({ "type": "string" }),
            "The file's name",
            "swagger-ui.css",
        ),
        ("imports", _) => (
            json!({ "type": "string", "pattern": SHA256 }),
            "The SHA-256 of the file",
            "578e1c4659b21abd8b3d97c7363671d30c472fbf9847fc5adbbf973989895991",
        ),
        _ => (
            json!({ "type": "string", "pattern": SHA256 }),
            "The SHA-256 of the component or certificate",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    };
    json!({
        "name": name,
        "in": "path",
        "description": description,
        "required": true,
        "schema": schema,
        "example": example,
    })
}

/// The headers for conditional requests (RFC 9110 section 13.1).
pub(super) fn preconditions() -> [Value; 2] {
    let header = |name: &str, description: &str, example: &str| {
        let schema =
            json!({ "type": "string", "pattern": r#"^(\*|"[0-9]{1,9}"(, ?"[0-9]{1,9}")*)$"# });
        given(
            "header",
            name,
            description.to_owned(),
            false,
            schema,
            json!(example),
        )
    };
    [
        header(
            "If-Match",
            "The request is done only if the resource has this `ETag`; with `*`, only if it exists",
            "\"1\"",
        ),
        header(
            "If-None-Match",
            "The request is done only if the resource does not have this `ETag`; with `*`, only if it does not exist",
            "\"2\"",
        ),
    ]
}

/// The parameters of a route as members of a JSON body.
pub(super) fn body(route: &Route) -> Value {
    let names = route.required.iter().chain(route.optional);
    let properties = names.map(|name| {
        // Only a save may have version 0.
        let (mut schema, description, example) = match *name {
            "version" if route.required.contains(&"cms") => version(0),
            "version" => version(1),
            // A single tag may be sent as a string.
            "tags" => {
                let (list, description, example) = parameter("tags");
                (json!({ "oneOf": [list, label()] }), description, example)
            }
            name => parameter(name),
        };
        if !route.required.contains(name) {
            // Many clients send null for "not given".
            schema = json!({ "anyOf": [schema, { "type": "null" }] });
        }
        schema["description"] = description.into();
        schema["examples"] = json!([example]);
        ((*name).to_owned(), schema)
    });
    json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "required": route.required,
        "additionalProperties": false,
    })
}
