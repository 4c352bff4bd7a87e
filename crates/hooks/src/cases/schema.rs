//! The JSON Schema of test cases, for editors and other programs of plugin authors.

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::Case;

/// Beginning of a reference in an OpenAPI document.
const COMPONENTS: &str = "#/components/schemas/";

/// The JSON Schema of a test case.
pub fn schema() -> Value {
    let mut parts = Vec::new();
    Case::schemas(&mut parts);
    let parts = parts.into_iter();
    let parts: Map<String, Value> = parts
        .map(|(name, part)| (name, referring(json!(part))))
        .collect();
    let mut schema = referring(json!(Case::schema()));
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Test case of a Sigpersist plugin");
    schema["properties"]["expected"] = expected();
    schema["$defs"] = Value::Object(parts);
    schema
}

/// Rewrites references to the definitions of this schema. Examples are those of the API, which cases need not follow.
fn referring(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(name, _)| name != "example");
            members
                .map(|(name, value)| (name, referring(value)))
                .collect()
        }
        Value::Array(values) => values.into_iter().map(referring).collect(),
        Value::String(text) => match text.strip_prefix(COMPONENTS) {
            Some(name) => json!(format!("#/$defs/{name}")),
            None => Value::String(text),
        },
        other => other,
    }
}

/// Schema of the expected results. In lists of objects, only the members that a case names are compared.
fn expected() -> Value {
    let texts =
        |what: &str| json!({"type": "array", "description": what, "items": {"type": "string"}});
    let objects = |what: &str, members: &[&str]| {
        let members = members
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})));
        let members: Map<String, Value> = members.collect();
        json!({
            "type": "array",
            "description": what,
            "items": {"type": "object", "properties": members, "additionalProperties": false},
        })
    };
    json!({
        "type": "object",
        "description": "Expected results. Only members that the case names are compared; lists must have the same length.",
        "required": ["verdict"],
        "additionalProperties": false,
        "properties": {
            "verdict": {
                "type": "string",
                "enum": ["accepted", "rejected", "failed", "settings_refused"],
                "description": "Verdict of the plugin: `failed` if it trapped or broke a limit, `settings_refused` if it refused the settings.",
            },
            "tags": texts("Tags of the version afterwards, in their order."),
            "rejections": objects("Reasons for the refusal.", &["code", "message", "field"]),
            "warnings": texts("Warnings about an accepted save or delete."),
            "annotations": objects("Named values attached to an accepted save or delete.", &["name", "value"]),
            "issues": objects("Mistakes in the settings.", &["field", "message"]),
            "failure": {"type": "string", "description": "Cause of a failure, whole."},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::EXPECTED;

    /// All references of a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value {
                        Value::String(target) if name == "$ref" => found.push(target.clone()),
                        other => references(other, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_is_whole_and_tells_all_results() {
        let schema = schema();
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(schema.pointer(pointer).is_some(), "{reference}");
        }
        let expected = schema.pointer("/properties/expected/properties").unwrap();
        let told: Vec<_> = expected.as_object().unwrap().keys().collect();
        assert_eq!(told, EXPECTED);
        assert_eq!(schema["additionalProperties"], false);
    }

    /// The page for authors tells each member of a case.
    #[test]
    fn the_page_of_cases_tells_every_member() {
        let page = include_str!("../../../../docs/plugin-cases.md");
        let schema = schema();
        let of = |pointer: &str| {
            let members = schema.pointer(pointer).and_then(Value::as_object);
            members
                .unwrap_or_else(|| panic!("{pointer}"))
                .keys()
                .cloned()
        };
        let members = of("/properties/expected/properties")
            .chain(of("/$defs/Sample/properties"))
            .chain(of("/$defs/PartialCircumstances/properties"));
        for member in members {
            assert!(page.contains(&format!("`{member}`")), "{member}");
        }
    }
}
