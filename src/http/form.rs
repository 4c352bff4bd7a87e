//! Parsing of JSON bodies into structs.
//!
//! Serde's errors quote names and texts of the input in full. And in a field that accepts any JSON (the settings of a
//! hook, the expectations of a test case), a value of two bytes takes a hundred times as much memory. So a first pass
//! checks the body and keeps nothing: the number of values must be in proportion to its size, and long texts are
//! allowed only in certain members.

use std::fmt;

use http::HeaderMap;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::json_object::Object;

use super::parameters::{JSON, check_content_type};
use super::query::first_in_query;

/// Number of values that any body may have.
const MAX_VALUES: usize = 5_000;
/// A larger body may have one more value per this many bytes: a [`serde_json::Value`] takes 72, and a growing list
/// twice that.
const BYTES_FOR_A_VALUE: usize = 72;
/// An object counts as this many values in addition to its members, since it has a table of its own.
const OBJECT: usize = 4;
/// Maximum length of a member's name, in bytes.
const MAX_NAME_BYTES: usize = 1024;
/// Maximum length of a text, in bytes, except for members that contain a file.
const MAX_TEXT_BYTES: usize = 128 * 1024;
/// Members that contain a file.
const FILES: [&str; 4] = ["cms", "component", "content", "pem"];
/// A member with texts of any length, since its total size is limited elsewhere.
const SETTINGS: &str = "settings";

/// Parses a JSON body into a struct.
///
/// # Errors
///
/// [`Error::InvalidParameter`] with a JSON pointer to the part that does not fit.
pub(super) fn read_form<'a, T: Deserialize<'a>>(
    query: &str,
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<T> {
    if let Some(name) = first_in_query(query)? {
        return Err(Error::invalid(
            &name,
            format!(
                "There is no parameter `{name}`: this request takes its input from the body only."
            ),
        ));
    }
    check_content_type(headers, vec![JSON])?;
    if holds_nul(body) {
        return Err(Error::InvalidParameter {
            field: String::new(),
            message: "The request must not contain the character U+0000.".to_owned(),
        });
    }
    let mut shape = Shape::of(body);
    let looked_through = shape.deserialize(&mut serde_json::Deserializer::from_slice(body));
    looked_through.map_err(|error| refusal(String::new(), &error))?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let form = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer);
    let form = form.map_err(|error| refusal(pointer(error.path()), error.inner()))?;
    deserializer
        .end()
        .map_err(|error| Error::MalformedJson(error.to_string()))?;
    Ok(form.0)
}

fn refusal(field: String, error: &serde_json::Error) -> Error {
    if !error.is_data() {
        return Error::MalformedJson(error.to_string());
    }
    // Serde's line and column would only repeat the pointer.
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    Error::InvalidParameter {
        message: match field.as_str() {
            "" => format!("The request is not valid: {words}."),
            field => format!("`{field}` is not valid: {words}."),
        },
        field,
    }
}

/// Checks a body's size and shape, and keeps nothing of it.
#[derive(Debug)]
struct Shape {
    /// Number of values allowed.
    most: usize,
    /// Number of further values allowed.
    left: usize,
    /// Whether the next text may be long.
    may_be_long: bool,
    is_in_settings: bool,
}

impl Shape {
    fn of(body: &[u8]) -> Self {
        let most = MAX_VALUES + body.len() / BYTES_FOR_A_VALUE;
        Self {
            most,
            left: most,
            may_be_long: false,
            is_in_settings: false,
        }
    }

    fn count<E: serde::de::Error>(&mut self, values: usize) -> Result<(), E> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or_else(|| {
            let most = self.most;
            E::custom(format_args!(
                "it has too many values for its size; {most} are allowed"
            ))
        })?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.count(1)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.count(1)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.count(1)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.count(1)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.count(1)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.len() > MAX_TEXT_BYTES && !self.may_be_long && !self.is_in_settings {
            return Err(E::custom(format_args!(
                "it has a text of {} bytes; at most {MAX_TEXT_BYTES} are allowed",
                text.len()
            )));
        }
        self.count(1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        self.may_be_long = false;
        self.count(1)?;
        while elements.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let was_in_settings = self.is_in_settings;
        self.count(OBJECT)?;
        while members.next_key_seed(Name(self))?.is_some() {
            members.next_value_seed(&mut *self)?;
            self.is_in_settings = was_in_settings;
        }
        Ok(())
    }
}

/// The name of a member, which decides the allowed length of its text.
struct Name<'s>(&'s mut Shape);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        if name.len() > MAX_NAME_BYTES {
            return Err(E::custom(format_args!(
                "it has a member with a name of {} bytes; at most {MAX_NAME_BYTES} are allowed",
                name.len()
            )));
        }
        self.0.may_be_long = FILES.contains(&name);
        self.0.is_in_settings |= name == SETTINGS;
        self.0.count(1)
    }
}

/// Whether JSON text contains U+0000, which Postgres cannot store in text. Valid JSON contains it only as an escape.
fn holds_nul(json: &[u8]) -> bool {
    const ESCAPE: &[u8] = b"\\u0000";
    json.windows(ESCAPE.len()).enumerate().any(|(at, window)| {
        let before = json.get(..at).unwrap_or_default();
        // After an odd number of backslashes, this is an escaped backslash and five characters.
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
        window == ESCAPE && backslashes.count() % 2 == 0
    })
}

/// Converts a path in JSON to a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let text = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&text);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_escaped_nul_is_told_from_an_escaped_backslash() {
        assert!(holds_nul(br#"{"a": "\u0000"}"#));
        assert!(holds_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "u0000"}"#));
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[serde(default)]
        settings: Value,
        #[serde(default)]
        cms: Value,
        #[serde(default)]
        other: Value,
    }

    fn read(body: &Value) -> Result<Form> {
        read_form("", &HeaderMap::new(), body.to_string().as_bytes())
    }

    #[test]
    fn a_form_has_so_many_values_for_its_size() {
        let numbers = |count: usize| json!({ "other": vec![0; count] });
        assert_eq!(read(&numbers(5_000)).unwrap().other[0], 0);
        let refused = read(&numbers(1_000_000)).unwrap_err().to_string();
        assert!(refused.contains("too many values"), "{refused}");
        // A large body may have more values, however small the other ones are.
        let mut roomy = numbers(10_000);
        roomy["cms"] = "x".repeat(1_000_000).into();
        assert!(read(&roomy).is_ok());
        // Objects take more memory than numbers.
        assert!(read(&json!({ "other": vec![json!({}); 5_000] })).is_err());
        assert!(read(&json!({ "other": vec![json!({}); 900] })).is_ok());
    }

    #[test]
    fn texts_are_long_where_a_file_is_and_names_nowhere() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(read(&json!({ "cms": long })).unwrap().cms, json!(long));
        let settings = json!({ "settings": { "list": [{ "deep": long }] } });
        assert!(!read(&settings).unwrap().settings.is_null());
        for bad in [
            json!({ "other": long }),
            json!({ "cms": [long] }),
            json!({ "cms": { "other": long } }),
            json!({ "settings": {}, "other": long }),
            json!({ long.clone(): 1 }),
        ] {
            let refused = read(&bad).unwrap_err();
            assert_eq!(refused.code(), "invalid_parameter");
            assert!(refused.to_string().len() < 200, "{refused}");
        }
    }
}
