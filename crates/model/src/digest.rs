//! SHA-256 and hexadecimal, shared by many modules.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::Value;

pub use sigpersist_verify::digest::{sha256, to_hex};

/// Incremental SHA-256.
#[derive(Clone)]
pub struct RunningSha256(digest::Context);

impl std::fmt::Debug for RunningSha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RunningSha256")
    }
}

impl RunningSha256 {
    /// Starts with no input.
    #[expect(clippy::new_without_default, reason = "there is no value to leave out")]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Appends bytes to the input.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all input.
    pub fn finish(self) -> [u8; 32] {
        let mut sum = [0; 32];
        sum.copy_from_slice(self.0.finish().as_ref());
        sum
    }
}

/// SHA-256 of a JSON value's text, with object members sorted by name, so that equal values have equal digests.
pub fn json_sha256(value: &Value) -> [u8; 32] {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                let members = members.into_iter();
                members
                    .map(|(name, value)| (name.clone(), sorted(value)))
                    .collect()
            }
            Value::Array(values) => values.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sha256(sorted(value).to_string().as_bytes())
}

/// Decodes hexadecimal of either case; none if the text is not hexadecimal.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_digest_of_json_does_not_depend_on_the_order_of_members() {
        let one = json!({"b": {"y": 1, "x": [{"d": 1, "c": 2}]}, "a": null});
        let other = json!({"a": null, "b": {"x": [{"c": 2, "d": 1}], "y": 1}});
        assert_ne!(one.to_string(), other.to_string());
        assert_eq!(json_sha256(&one), json_sha256(&other));
        assert_eq!(
            json_sha256(&one),
            sha256(br#"{"a":null,"b":{"x":[{"c":2,"d":1}],"y":1}}"#)
        );
        assert_ne!(json_sha256(&json!([1, 2])), json_sha256(&json!([2, 1])));
    }
}
