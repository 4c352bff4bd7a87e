//! Parameters in queries, paths, headers and bodies, as the document describes them.

use serde_json::{Map, Value, json};
use sigpersist_model::transfer;

use super::super::multipart;
use super::super::parameter::{CERTIFICATES, CMS, CONTENT, Parameter, SIGNATURES, label};
use super::super::parameters::FILE_TYPES;
use super::super::route::{BodyKind, Route};

const SHA256: &str = "^[0-9a-fA-F]{64}$";

/// A parameter in a query.
pub(super) fn in_query(parameter: &Parameter, required: bool) -> Value {
    given(
        "query",
        parameter.name,
        parameter.description.to_owned(),
        required,
        parameter.schema(),
        (parameter.example)(),
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
        ("issuers", "name") => (slug(), "The issuer's name", "keycloak"),
        ("hooks", "name") => (slug(), "The hook's name", "signer-tags"),
        ("keys", _) => (
            label(),
            "The key's name, as in the `kid` header of tokens",
            "acme-1",
        ),
        ("hooks", "number") => (
            json!({ "type": "string", "pattern": "^[1-9][0-9]{0,9}$" }),
            "The binding's number",
            "1",
        ),
        ("hooks", _) => (
            json!({ "type": "string" }),
            "The decision's id",
            "1613610000000000-17-0",
        ),
        ("webhooks", _) => (
            json!({ "type": "string", "pattern": "^[1-9][0-9]{0,17}$" }),
            "The webhook's id",
            "3",
        ),
        ("log", "epoch") => (
            json!({ "type": "string", "pattern": "^[1-9][0-9]{0,4}$" }),
            "The number of the tree",
            "1",
        ),
        ("logs", "origin") => (
            json!({ "type": "string" }),
            "The id of the tree: the last part of its name",
            "5c1b0d9f8e7a4b32a1c0ffee00112233",
        ),
        ("log" | "logs", _) => (
            json!({ "type": "string" }),
            "The tile: its level and number, as C2SP's tlog-tiles spells them. It contains slashes",
            "0/000.p/1",
        ),
        ("exports", _) => (
            json!({ "type": "string" }),
            "The export's id",
            "7f0c2f4e9d5a41b7",
        ),
        ("docs", "page") => (
            json!({ "type": "string" }),
            "The file's path in the book. It may contain slashes",
            "running.html",
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

/// A header that a handler describes. The documentation page fills in an example beside the schema, so the one of an optional
/// header is within it.
pub(super) fn in_header(mut header: Value) -> Value {
    if header["required"] == false {
        let example = header["example"].take();
        if let Some(header) = header.as_object_mut() {
            header.remove("example");
        }
        header["schema"]["type"] = "string".into();
        header["schema"]["examples"] = json!([example]);
    }
    header
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

/// The bodies in which a route takes its parameters, by media type.
pub(super) fn bodies(route: &Route) -> Value {
    let json = match route.body {
        BodyKind::Many => {
            let mut list = SIGNATURES.schema();
            list["description"] = SIGNATURES.description.into();
            list["items"] = body(route);
            json!({
                "type": "object",
                "properties": { SIGNATURES.name: list },
                "required": [SIGNATURES.name],
                "additionalProperties": false,
            })
        }
        _ => body(route),
    };
    let mut content = json!({ "application/json": { "schema": json } });
    if route.body == BodyKind::Many {
        // Described as one line is.
        content[transfer::MEDIA_TYPE] = json!({ "schema": body(route) });
    }
    if route.body == BodyKind::Signature {
        let mut form = body(route);
        for file in [&CMS, &CONTENT, &CERTIFICATES] {
            if let Some(schema) = form["properties"].get_mut(file.name) {
                *schema = binary(file.description);
            }
        }
        content[multipart::MEDIA_TYPE] = json!({ "schema": form });
        if route.required.iter().any(|one| one.name == CMS.name) {
            for kind in FILE_TYPES {
                let said = "The signature. The other parameters are in the query.";
                content[kind] = json!({ "schema": binary(said) });
            }
        }
    }
    content
}

/// A file in a request. Its schema has no type, since it is no JSON (OpenAPI 3.1, section 4.8.14.4).
fn binary(description: &str) -> Value {
    json!({
        "description": description,
        "contentMediaType": "application/octet-stream",
        "examples": ["<Signature/>"],
    })
}

/// The parameters of a route as members of a JSON body.
fn body(route: &Route) -> Value {
    let all = route.required.iter().chain(route.optional);
    let properties = all.map(|parameter| {
        let mut schema = match parameter.name {
            // A single tag may be sent as a string.
            "tags" => json!({ "oneOf": [parameter.schema(), label()] }),
            _ => parameter.schema(),
        };
        let is_required = route.required.iter().any(|one| one.name == parameter.name);
        if !is_required {
            // Many clients send null for "not given".
            schema = json!({ "anyOf": [schema, { "type": "null" }] });
        }
        schema["description"] = parameter.description.into();
        schema["examples"] = json!([(parameter.example)()]);
        (parameter.name.to_owned(), schema)
    });
    let required: Vec<_> = route.required.iter().map(|one| one.name).collect();
    json!({
        "type": "object",
        "properties": properties.collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    })
}
