//! Parameters, from the query string and from a JSON body alike.
//!
//! The reference says "Parameters (json)", but many clients and proxies drop the body of a GET, so both are read
//! everywhere. A parameter that is given twice must say the same both times; one that nobody knows is an error, since a
//! misspelt filter would silently match everything.

use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::number::{from_json, whole};
use crate::object::Object;
use crate::signatures::model::check_label;

/// Parameters that were given.
#[derive(Debug)]
pub(super) struct Parameters {
    query: Vec<(String, String)>,
    json: Vec<(String, Value)>,
}

impl Parameters {
    /// Reads query and body, and refuses unknown names.
    pub(super) fn read(
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
        known: &[&str],
    ) -> Result<Self> {
        let parameters = Self {
            query: read_query(query)?,
            json: read_json(headers, body)?,
        };
        let names = parameters.query.iter().map(|(name, _)| name);
        let mut unknown: Vec<_> = names
            .chain(parameters.json.iter().map(|(name, _)| name))
            .filter(|name| !known.contains(&name.as_str()))
            .collect();
        unknown.dedup();
        match unknown.as_slice() {
            [] => Ok(parameters),
            [first, ..] => {
                let names: Vec<_> = unknown
                    .iter()
                    .map(|name| format!("`{}`", shortened(name)))
                    .collect();
                Err(Error::invalid(
                    first,
                    format!(
                        "There is no parameter {} here; the parameters are {}.",
                        names.join(", "),
                        known.join(", ")
                    ),
                ))
            }
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        self.one(name, "a string", Some, Value::as_str)
    }

    /// A text that must be there.
    pub(super) fn required_text(&self, name: &str) -> Result<&str> {
        self.text(name)?
            .ok_or_else(|| Error::invalid(name, format!("`{name}` is required.")))
    }

    /// A text that names something.
    pub(super) fn label(&self, name: &str) -> Result<Option<String>> {
        let text = self.text(name)?;
        if let Some(text) = text {
            check_label(name, text)?;
        }
        Ok(text.map(str::to_owned))
    }

    /// A text, or a whole number as its digits.
    pub(super) fn text_or_integer(&self, name: &str) -> Result<Option<String>> {
        self.one(
            name,
            "a string or an integer",
            |text| Some(text.to_owned()),
            |value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    Some(number.to_string())
                }
                Value::Number(number) => Some(whole(number.as_f64()?)?.to_string()),
                _ => None,
            },
        )
    }

    /// A whole number between `min` and `max`.
    pub(super) fn integer(&self, name: &str, min: u32, max: u32) -> Result<Option<u32>> {
        let in_range = |number: u64| {
            u32::try_from(number)
                .ok()
                .filter(|number| (min..=max).contains(number))
        };
        self.one(
            name,
            &format!("an integer between {min} and {max}"),
            |text| in_range(text.parse().ok()?),
            |value| in_range(from_json(&value.as_number()?.to_string())?),
        )
    }

    /// True or false.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.one(
            name,
            "true or false",
            |text| match text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Value::as_bool,
        )
    }

    /// A list of texts: repeated in a query, an array or a single string in JSON.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<String>>> {
        let in_query: Vec<_> = self.query_values(name).map(str::to_owned).collect();
        let mut found = (!in_query.is_empty()).then_some(in_query);
        for value in self.json_values(name) {
            let list = match value {
                Value::String(text) => Some(vec![text.clone()]),
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect(),
                _ => None,
            };
            let list = list.ok_or_else(|| {
                Error::invalid(name, format!("`{name}` must be an array of strings."))
            })?;
            keep(name, &mut found, list)?;
        }
        Ok(found)
    }

    /// The value that all mentions of a name agree on.
    fn one<'a, T: PartialEq>(
        &'a self,
        name: &str,
        rule: &str,
        from_query: impl Fn(&'a str) -> Option<T>,
        from_json: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let in_query = self.query_values(name).map(from_query);
        let in_json = self.json_values(name).map(from_json);
        let mut found = None;
        for value in in_query.chain(in_json) {
            let value =
                value.ok_or_else(|| Error::invalid(name, format!("`{name}` must be {rule}.")))?;
            keep(name, &mut found, value)?;
        }
        Ok(found)
    }

    fn query_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Null is what many clients send for "not given".
    fn json_values(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.json
            .iter()
            .filter(move |(key, value)| key == name && !value.is_null())
            .map(|(_, value)| value)
    }
}

fn keep<T: PartialEq>(name: &str, found: &mut Option<T>, value: T) -> Result<()> {
    match found {
        Some(before) if *before != value => Err(Error::invalid(
            name,
            format!("`{name}` is given more than once, with different values."),
        )),
        _ => {
            *found = Some(value);
            Ok(())
        }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Reads `application/x-www-form-urlencoded` pairs; `tags[]` is `tags`.
fn read_query(query: &str) -> Result<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            let name = name.strip_suffix("[]").unwrap_or(&name).to_owned();
            Ok((name, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| Error::InvalidParameter {
            field: String::new(),
            message: "The query string holds bytes that are not UTF-8.".to_owned(),
        })
}

/// Reads a body that is JSON of a certain form.
///
/// # Errors
///
/// [`Error::InvalidParameter`] with a JSON pointer to what is not of that form.
pub(super) fn read_form<T: DeserializeOwned>(
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<T> {
    if let Some((name, _)) = read_query(query)?.first() {
        let name = shortened(name);
        return Err(Error::invalid(
            &name,
            format!("There is no parameter `{name}` here: this request is told by its body alone."),
        ));
    }
    check_content_type(headers)?;
    if holds_nul(body) {
        return Err(Error::InvalidParameter {
            field: String::new(),
            message: "The request must not hold the character U+0000.".to_owned(),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let form = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer);
    let form = form.map_err(|error| {
        if error.inner().is_data() {
            let field = pointer(error.path());
            // Where in the text it is would only repeat the pointer.
            let words = error.inner().to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            Error::InvalidParameter {
                message: match field.as_str() {
                    "" => format!("The request is not as it should be: {words}."),
                    field => format!("`{field}` is not as it should be: {words}."),
                },
                field,
            }
        } else {
            Error::MalformedJson(error.inner().to_string())
        }
    })?;
    deserializer
        .end()
        .map_err(|error| Error::MalformedJson(error.to_string()))?;
    Ok(form.0)
}

/// Whether JSON text holds U+0000, which Postgres can't store in text; it can only be escaped.
fn holds_nul(json: &[u8]) -> bool {
    const ESCAPE: &[u8] = b"\\u0000";
    json.windows(ESCAPE.len()).enumerate().any(|(at, window)| {
        let before = json.get(..at).unwrap_or_default();
        // After an odd number of backslashes it is a backslash and five letters.
        let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
        window == ESCAPE && backslashes.count() % 2 == 0
    })
}

/// A path into JSON as a pointer (RFC 6901).
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

/// Refuses a body that is said to be no JSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<()> {
    if headers.contains_key(CONTENT_TYPE) && !is_of_kind(headers, "application/json") {
        return Err(Error::UnsupportedMediaType);
    }
    Ok(())
}

/// Whether the body is said to be of this media type, whatever its parameters.
pub(super) fn is_of_kind(headers: &HeaderMap, media_type: &str) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media_type))
}

fn read_json(headers: &HeaderMap, body: &[u8]) -> Result<Vec<(String, Value)>> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    check_content_type(headers)?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let members = deserializer
        .deserialize_map(Members)
        .and_then(|members| deserializer.end().map(|()| members));
    // Serde's words name the place and what was expected there, never what was found, but for the kind of value.
    members.map_err(|error| {
        Error::MalformedJson(if error.is_data() {
            "it must be an object".to_owned()
        } else {
            error.to_string()
        })
    })
}

/// The members of an object in order, those of the same name side by side.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str, body: &str) -> Result<Parameters> {
        Parameters::read(
            query,
            &HeaderMap::new(),
            body.as_bytes(),
            &["a", "b", "tags"],
        )
    }

    #[test]
    fn query_and_body_mean_the_same_and_must_agree() {
        let both = read("a=1&b=x+y%21", r#"{"a": 1, "b": null}"#).unwrap();
        assert_eq!(both.integer("a", 0, 9).unwrap(), Some(1));
        assert_eq!(both.text("b").unwrap(), Some("x y!"));
        assert!(
            read("a=1", r#"{"a": 2}"#)
                .unwrap()
                .integer("a", 0, 9)
                .is_err()
        );
        assert!(read("a=1&a=2", "").unwrap().integer("a", 0, 9).is_err());
        assert!(
            read("", r#"{"a": "x", "a": "y"}"#)
                .unwrap()
                .text("a")
                .is_err()
        );
        assert!(
            read("", r#"{"a": "x", "a": "x"}"#)
                .unwrap()
                .text("a")
                .is_ok()
        );
    }

    #[test]
    fn lists_come_in_all_their_spellings() {
        for (query, body) in [
            ("tags=x&tags=y", ""),
            ("tags[]=x&tags[]=y", ""),
            ("tags%5B%5D=x&tags=y", ""),
            ("", r#"{"tags": ["x", "y"]}"#),
            ("tags=x&tags=y", r#"{"tags": ["x", "y"]}"#),
        ] {
            let list = read(query, body).unwrap().list("tags").unwrap();
            assert_eq!(list.unwrap(), ["x", "y"], "{query} {body}");
        }
        let one = read("", r#"{"tags": "x"}"#).unwrap().list("tags").unwrap();
        assert_eq!(one.unwrap(), ["x"]);
        for body in [r#"{"tags": [1]}"#, r#"{"tags": {}}"#, r#"{"tags": 1}"#] {
            assert!(read("", body).unwrap().list("tags").is_err(), "{body}");
        }
    }

    #[test]
    fn an_escaped_nul_is_told_from_an_escaped_backslash() {
        assert!(holds_nul(br#"{"a": "\u0000"}"#));
        assert!(holds_nul(br#"{"a": "\\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "\\u0000"}"#));
        assert!(!holds_nul(br#"{"a": "u0000"}"#));
    }

    #[test]
    fn what_is_not_an_object_of_known_parameters_is_refused() {
        for body in ["[]", "1", "null", "{", "{} {}", "\u{feff}{}", r#"{"z": 1}"#] {
            assert!(read("", body).is_err(), "{body}");
        }
        assert!(read("z=1", "").is_err());
        assert!(read("a=%ff", "").is_err());
    }

    /// Pairs as a form writes them (WHATWG URL, application/x-www-form-urlencoded).
    fn form(pairs: &[(String, String)]) -> String {
        let encode = |text: &str| {
            let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            encoded.replace("%20", "+")
        };
        let pairs = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }

    proptest! {
        #[test]
        fn any_query_and_body_is_read_or_refused_with_a_sentence(
            query in "[ab=&%+\\[\\]0-9a-fA-Fтег ]{0,40}",
            body in prop_oneof![
                any::<Vec<u8>>(),
                "[{}\\[\\]\",:ab0-9eEntrufals\\\\.-]{0,60}".prop_map(String::into_bytes),
            ],
        ) {
            match Parameters::read(&query, &HeaderMap::new(), &body, &["a", "b", "tags"]) {
                Ok(parameters) => {
                    for name in ["a", "b", "tags"] {
                        // Each is what it is asked for, or refused by its name.
                        for refused in [
                            parameters.text(name).err(),
                            parameters.integer(name, 0, 9).err(),
                            parameters.boolean(name).err(),
                            parameters.list(name).err(),
                        ] {
                            prop_assert!(refused.is_none_or(|error| error.code() == "invalid_parameter"));
                        }
                    }
                }
                Err(error) => {
                    prop_assert!(["invalid_parameter", "malformed_json"].contains(&error.code()));
                    prop_assert!(error.to_string().ends_with('.'), "{error}");
                }
            }
        }

        #[test]
        fn a_form_comes_back_as_it_went(
            pairs in vec(("(a|b|tags)", any::<String>()), 0..6),
        ) {
            prop_assert_eq!(read_query(&form(&pairs)).unwrap(), pairs);
        }

        #[test]
        fn json_says_the_same_as_the_query(text in any::<String>(), number in any::<u32>(), flag in any::<bool>()) {
            let query = form(&[("a".to_owned(), text.clone()), ("b".to_owned(), number.to_string())]);
            let body = serde_json::json!({ "a": &text, "b": number, "tags": flag }).to_string();
            let both = read(&query, &body).unwrap();
            prop_assert_eq!(both.text("a").unwrap(), Some(&*text));
            prop_assert_eq!(both.integer("b", 0, u32::MAX).unwrap(), Some(number));
            prop_assert_eq!(both.boolean("tags").unwrap(), Some(flag));
        }
    }
}
