//! Reads settings with serde, and reports the JSON pointer of a mistake.

use serde_path_to_error::{Path, Segment};

use crate::{Issue, Plugin};

/// Deserializes a plugin from its settings, as JSON text.
///
/// # Errors
///
/// The first mistake, with its JSON pointer and a message.
pub fn configure<P: Plugin>(json: &str) -> Result<P, Issue> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let plugin = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| issue(pointer(error.path()), error.inner()))?;
    reader.end().map_err(|error| issue(String::new(), &error))?;
    Ok(plugin)
}

/// The plugin with the settings of the running hook. The server only passes settings that were accepted.
pub(crate) fn configured<P: Plugin>() -> P {
    match configure(&crate::bindings::sigpersist::hooks::config::json()) {
        Ok(plugin) => plugin,
        Err(_) => panic!("the settings were not validated"),
    }
}

fn issue(field: String, error: &serde_json::Error) -> Issue {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    Issue { field, message }
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer += &format!("/{index}"),
            Segment::Map { key } => {
                pointer += "/";
                pointer += &key.replace('~', "~0").replace('/', "~1");
            }
            // These are no steps in JSON: a variant's content has the path of the variant, and an unknown segment has
            // no name.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Lists {
        lists: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "a/b")]
        size: u8,
    }

    impl Default for Lists {
        fn default() -> Self {
            Self {
                lists: vec![Inner { size: 1 }],
            }
        }
    }

    impl Plugin for Lists {
        const SUMMARY: &str = "Is configured";
    }

    #[track_caller]
    fn refused(json: &str, field: &str, message: &str) {
        let issue = configure::<Lists>(json).unwrap_err();
        assert_eq!(
            (issue.field.as_str(), issue.message.as_str()),
            (field, message)
        );
    }

    #[test]
    fn settings_are_read_and_have_defaults() {
        assert_eq!(
            configure(r#"{"lists": [{"a/b": 7}]}"#),
            Ok(Lists {
                lists: vec![Inner { size: 7 }]
            })
        );
        assert_eq!(configure("{}"), Ok(Lists::default()));
    }

    #[test]
    fn a_mistake_is_told_with_its_json_pointer() {
        refused(
            r#"{"lists": [{"a/b": 1}, {"a/b": 300}]}"#,
            "/lists/1/a~1b",
            "invalid value: integer `300`, expected u8",
        );
        refused(
            r#"{"lists": 1}"#,
            "/lists",
            "invalid type: integer `1`, expected a sequence",
        );
        refused(
            r#"{"list": 1}"#,
            "/list",
            "unknown field `list`, expected `lists`",
        );
        refused(r#"{"lists": [{}]}"#, "/lists/0", "missing field `a/b`");
        refused("{} 1", "", "trailing characters");
        refused("{", "", "EOF while parsing an object");
    }
}
