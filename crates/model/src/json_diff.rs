//! Differences of two JSON values, member by member.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A member that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = JsonChange)]
pub struct JsonChange {
    /// The operation of RFC 6902 that makes the change.
    pub op: JsonOperation,
    /// JSON pointer (RFC 6901) to the member.
    #[schema(example = "/settings/prefixes/iin")]
    pub path: String,
    /// Its value before; null if it was not there.
    #[schema(value_type = Value, example = json!(null))]
    pub before: Value,
    /// Its value after; null if it is not there.
    #[schema(value_type = Value, example = json!("person/"))]
    pub after: Value,
}

/// Operation that makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JsonOperation {
    /// The member is new.
    Add,
    /// The member is gone.
    Remove,
    /// The member has another value.
    Replace,
}

/// The members that differ. Objects are compared member by member, and anything else as a whole.
pub fn json_diff(before: &Value, after: &Value) -> Vec<JsonChange> {
    let mut changes = Vec::new();
    compare(&mut String::new(), before, after, &mut changes);
    changes
}

fn compare(path: &mut String, before: &Value, after: &Value, changes: &mut Vec<JsonChange>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        if before != after {
            changes.push(JsonChange {
                op: JsonOperation::Replace,
                path: path.clone(),
                before: before.clone(),
                after: after.clone(),
            });
        }
        return;
    };
    let length = path.len();
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    for name in names {
        path.push('/');
        path.push_str(&name.replace('~', "~0").replace('/', "~1"));
        match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) => compare(path, before, after, changes),
            (before, after) => changes.push(JsonChange {
                op: if before.is_none() {
                    JsonOperation::Add
                } else {
                    JsonOperation::Remove
                },
                path: path.clone(),
                before: before.cloned().unwrap_or_default(),
                after: after.cloned().unwrap_or_default(),
            }),
        }
        path.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_that_differ_are_named_by_pointers() {
        let before = json!({"same": [1, {"a": 2}], "old": null, "list": [1, 2], "a/b": {"~": 1, "kept": true}});
        let after = json!({"same": [1, {"a": 2}], "list": [2, 1], "a/b": {"~": "1", "kept": true}, "new": {}});
        let change = |op, path: &str, before, after| JsonChange {
            op,
            path: path.to_owned(),
            before,
            after,
        };
        let mut found = json_diff(&before, &after);
        found.sort_by(|one, other| one.path.cmp(&other.path));
        assert_eq!(
            found,
            [
                change(JsonOperation::Replace, "/a~1b/~0", json!(1), json!("1")),
                change(
                    JsonOperation::Replace,
                    "/list",
                    json!([1, 2]),
                    json!([2, 1])
                ),
                change(JsonOperation::Add, "/new", Value::Null, json!({})),
                change(JsonOperation::Remove, "/old", Value::Null, Value::Null),
            ]
        );
        assert_eq!(json_diff(&before, &before), []);
        // Values of different kinds differ as a whole.
        assert_eq!(
            json_diff(&json!({}), &json!([])),
            [change(JsonOperation::Replace, "", json!({}), json!([]))]
        );
    }
}
