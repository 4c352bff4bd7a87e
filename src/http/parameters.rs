//! Parameters, read from the query string and from a JSON body alike.
//!
//! The reference says "Parameters (json)", but many clients and proxies drop the body of a GET, so both are read on
//! every route. A parameter that is given twice must have the same value both times. An unknown parameter is an error,
//! since a misspelt filter would silently match everything.
//!
//! Only the position of each value in the body is kept, and each text once. A list is parsed only when a handler asks
//! for a list, and the value of an unknown name is skipped. So a request takes little more memory than its bytes.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::number::{from_json, whole};
use sigpersist_model::signature::check_label;

use super::json_text;

/// Maximum number of times that a parameter may be given, and of elements in a list. Far more than [`MAX_TAGS`], which
/// counts duplicates once.
///
/// [`MAX_TAGS`]: sigpersist_model::signature::MAX_TAGS
const MAX_MENTIONS: usize = 256;
/// Maximum number of unknown names in one error message.
const MAX_UNKNOWN: usize = 5;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    /// In the order in which they were sent, those of the query first.
    given: Vec<(&'static str, Given<'a>)>,
}

/// A value as it was sent.
#[derive(Debug)]
enum Given<'a> {
    /// In the query.
    Query(Cow<'a, str>),
    /// A JSON string, unescaped.
    Text(Cow<'a, str>),
    /// Any other JSON value, except null.
    Json(&'a RawValue),
}

impl<'a> Parameters<'a> {
    /// Reads query and body, and rejects unknown names.
    pub(super) fn read(
        query: &'a str,
        headers: &HeaderMap,
        body: &'a [u8],
        known: &[&'static str],
    ) -> Result<Self> {
        let mut names = Names {
            known,
            unknown: Vec::new(),
        };
        let mut given = read_query(query, &mut names)?;
        given.extend(read_json(headers, body, &mut names)?);
        if let [first, ..] = names.unknown.as_slice() {
            let quoted: Vec<_> = names
                .unknown
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            return Err(Error::invalid(
                first,
                format!(
                    "There is no parameter {} here; the parameters are {}.",
                    quoted.join(", "),
                    known.join(", ")
                ),
            ));
        }
        Ok(Self { given })
    }

    /// An optional text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>> {
        self.one(name, "a string", |given| match given {
            Given::Query(text) | Given::Text(text) => Some(&**text),
            Given::Json(_) => None,
        })
    }

    /// A required text.
    pub(super) fn required_text(&self, name: &str) -> Result<&str> {
        self.text(name)?
            .ok_or_else(|| Error::invalid(name, format!("`{name}` is required.")))
    }

    /// An optional label.
    pub(super) fn label(&self, name: &str) -> Result<Option<String>> {
        let text = self.text(name)?;
        if let Some(text) = text {
            check_label(name, text)?;
        }
        Ok(text.map(str::to_owned))
    }

    /// An optional text, or an integer as its digits.
    pub(super) fn text_or_integer(&self, name: &str) -> Result<Option<Cow<'_, str>>> {
        self.one(name, "a string or an integer", |given| match given {
            Given::Query(text) | Given::Text(text) => Some(Cow::Borrowed(&**text)),
            Given::Json(value) => {
                let digits = value.get();
                if digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok() {
                    return Some(Cow::Borrowed(digits));
                }
                Some(Cow::Owned(whole(digits.parse().ok()?)?.to_string()))
            }
        })
    }

    /// An optional integer between `min` and `max`.
    pub(super) fn integer(&self, name: &str, min: u32, max: u32) -> Result<Option<u32>> {
        let rule = format!("an integer between {min} and {max}");
        self.one(name, &rule, |given| {
            let number = match given {
                Given::Query(text) => text.parse().ok()?,
                Given::Json(value) => u32::try_from(from_json(value.get())?).ok()?,
                Given::Text(_) => return None,
            };
            (min..=max).contains(&number).then_some(number)
        })
    }

    /// An optional boolean.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>> {
        self.one(name, "true or false", |given| match given {
            Given::Query(text) => match &**text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Given::Json(value) => value.get().parse().ok(),
            Given::Text(_) => None,
        })
    }

    /// An optional list of texts: repeated in a query; an array or a single string in JSON.
    pub(super) fn list(&self, name: &str) -> Result<Option<Vec<String>>> {
        let mut in_query = Vec::new();
        let mut found = None;
        for given in self.mentions(name) {
            match given {
                Given::Query(text) => in_query.push(text.clone().into_owned()),
                Given::Text(text) => keep(name, &mut found, vec![text.clone().into_owned()])?,
                Given::Json(value) => keep(name, &mut found, texts(name, value)?)?,
            }
        }
        if !in_query.is_empty() {
            keep(name, &mut found, in_query)?;
        }
        Ok(found)
    }

    /// The single value of a parameter; an error if it was given with different values.
    fn one<'s, T: PartialEq>(
        &'s self,
        name: &str,
        rule: &str,
        read: impl Fn(&'s Given<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut found = None;
        for given in self.mentions(name) {
            let value = read(given)
                .ok_or_else(|| Error::invalid(name, format!("`{name}` must be {rule}.")))?;
            keep(name, &mut found, value)?;
        }
        Ok(found)
    }

    fn mentions<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s Given<'a>> {
        let given = self.given.iter().filter(move |(known, _)| *known == name);
        given.map(|(_, given)| given)
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

pub(super) fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

/// The known names, and a few unknown ones for the error message.
#[derive(Debug)]
struct Names<'k> {
    known: &'k [&'static str],
    unknown: Vec<String>,
}

impl Names<'_> {
    /// Looks up a known name; remembers a few unknown ones.
    fn find(&mut self, name: &str) -> Option<&'static str> {
        let found = self.known.iter().find(|known| **known == name).copied();
        if found.is_none() && self.unknown.len() < MAX_UNKNOWN {
            let name = shortened(name);
            if !self.unknown.contains(&name) {
                self.unknown.push(name);
            }
        }
        found
    }
}

/// Adds a value, unless its parameter was given too often.
fn mention<V>(given: &mut Vec<(&'static str, V)>, name: &'static str, value: V) -> Result<()> {
    if given.iter().filter(|(known, _)| *known == name).count() == MAX_MENTIONS {
        let message = format!("`{name}` is given more than {MAX_MENTIONS} times.");
        return Err(Error::invalid(name, message));
    }
    given.push((name, value));
    Ok(())
}

/// Parses `application/x-www-form-urlencoded` pairs; `tags[]` means `tags`.
fn read_query<'a>(query: &'a str, names: &mut Names<'_>) -> Result<Vec<(&'static str, Given<'a>)>> {
    let mut given = Vec::new();
    for pair in pairs(query) {
        let (name, value) = pair?;
        let name = name.strip_suffix("[]").unwrap_or(&name);
        if let Some(name) = names.find(name) {
            mention(&mut given, name, Given::Query(value))?;
        }
    }
    Ok(given)
}

/// The name of the first parameter in a query.
pub(super) fn first_in_query(query: &str) -> Result<Option<String>> {
    let first = pairs(query).next().transpose()?;
    Ok(first.map(|(name, _)| shortened(&name)))
}

fn pairs(query: &str) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decode(name)?, decode(value)?))
    })
}

fn decode(text: &str) -> Result<Cow<'_, str>> {
    let decoded = if text.contains('+') {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(|decoded| Cow::Owned(decoded.into_owned()))
    } else {
        percent_decode_str(text).decode_utf8()
    };
    decoded.map_err(|_| Error::InvalidParameter {
        field: String::new(),
        message: "The query string contains bytes that are not UTF-8.".to_owned(),
    })
}

/// Refuses a body that is declared as something other than JSON.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<()> {
    if headers.contains_key(CONTENT_TYPE) && !is_of_kind(headers, "application/json") {
        return Err(Error::UnsupportedMediaType("application/json"));
    }
    Ok(())
}

/// Whether the body is declared as this media type, with any parameters.
pub(super) fn is_of_kind(headers: &HeaderMap, media_type: &str) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media_type))
}

fn read_json<'a>(
    headers: &HeaderMap,
    body: &'a [u8],
    names: &mut Names<'_>,
) -> Result<Vec<(&'static str, Given<'a>)>> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    check_content_type(headers)?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let members = deserializer
        .deserialize_map(Members { names })
        .and_then(|members| deserializer.end().map(|()| members));
    // Serde's messages contain the position, the expected type and the kind of value found, never the value itself.
    let members = members.map_err(|error| {
        Error::MalformedJson(if error.is_data() {
            "it must be an object".to_owned()
        } else {
            error.to_string()
        })
    })?;
    members?
        .into_iter()
        .map(|(name, value)| {
            let Some(string) = json_text::string(value.get()) else {
                return Ok((name, Given::Json(value)));
            };
            let text = json_text::unescaped(string).ok_or_else(|| {
                Error::MalformedJson(format!("`{name}` contains half of a surrogate pair"))
            })?;
            Ok((name, Given::Text(text)))
        })
        .collect()
}

/// Reads the known members of an object, in order.
struct Members<'n, 'k> {
    names: &'n mut Names<'k>,
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    /// The outer error is malformed JSON, which has precedence; the inner one is about the members.
    type Value = Result<Vec<(&'static str, &'de RawValue)>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Ok(Vec::new());
        while let Some(name) = map.next_key_seed(Name(self.names))? {
            let Some(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&RawValue>()?;
            // Many clients send null for "not given".
            if value.get() == "null" {
                continue;
            }
            if let Ok(all) = &mut members
                && let Err(error) = mention(all, name, value)
            {
                members = Err(error);
            }
        }
        Ok(members)
    }
}

/// A member's name. Unknown names are not copied, however long they are.
struct Name<'n, 'k>(&'n mut Names<'k>);

impl<'de> DeserializeSeed<'de> for Name<'_, '_> {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_, '_> {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(name))
    }
}

/// Parses an array of strings.
fn texts(name: &str, value: &RawValue) -> Result<Vec<String>> {
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    let mut texts = Vec::new();
    let read = deserializer.deserialize_seq(Texts(&mut texts));
    read.map_err(|error| {
        if !error.is_data() {
            return Error::MalformedJson(error.to_string());
        }
        Error::invalid(
            name,
            if texts.len() == MAX_MENTIONS {
                format!("`{name}` has more than {MAX_MENTIONS} elements.")
            } else {
                format!("`{name}` must be an array of strings.")
            },
        )
    })?;
    Ok(texts)
}

struct Texts<'t>(&'t mut Vec<String>);

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<(), A::Error> {
        while self.0.len() < MAX_MENTIONS {
            match texts.next_element()? {
                Some(text) => self.0.push(text),
                None => return Ok(()),
            }
        }
        match texts.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom("there are more")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(query: &'a str, body: &'a str) -> Result<Parameters<'a>> {
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
    fn what_is_given_too_often_or_by_no_known_name_is_refused_in_a_few_words() {
        let refused = |query: &str, body: &str| {
            let refused = read(query, body).and_then(|read| read.list("tags").map(drop));
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), "invalid_parameter");
            let words = refused.to_string();
            assert!(words.len() < 400, "{words}");
            words
        };
        let tags = |count: usize| format!(r#"{{"tags": [{}""]}}"#, "\"\",".repeat(count - 1));
        let list = tags(MAX_MENTIONS);
        let list = read("", &list).unwrap().list("tags").unwrap();
        assert_eq!(list.unwrap().len(), MAX_MENTIONS);
        assert!(refused("", &tags(MAX_MENTIONS + 1)).contains("more than 256 elements"));
        let many = "tags=x&".repeat(MAX_MENTIONS + 1);
        assert!(refused(&many, "").contains("more than 256 times"));
        let many = format!("{{{}\"tags\": []}}", "\"tags\": 0,".repeat(MAX_MENTIONS));
        assert!(refused("", &many).contains("more than 256 times"));
        let unknown: Vec<_> = (0..1000)
            .map(|number| format!("\"x{number}\": 0"))
            .collect();
        let words = refused("", &format!("{{{}}}", unknown.join(",")));
        assert!(
            words.starts_with("There is no parameter `x0`, `x1`, `x2`, `x3`, `x4` here"),
            "{words}"
        );
        refused("", &format!("{{\"{}\": 1}}", "x".repeat(1_000_000)));
        refused(&"x".repeat(100_000), "");
    }

    #[test]
    fn what_is_not_an_object_of_known_parameters_is_refused() {
        for body in [
            "[]",
            "1",
            "null",
            "{",
            "{} {}",
            "\u{feff}{}",
            r#"{"z": 1}"#,
            r#"{"a": "\ud800"}"#,
            r#"{"a": [[}"#,
        ] {
            assert!(read("", body).is_err(), "{body}");
        }
        assert!(read("z=1", "").is_err());
        assert!(read("a=%ff", "").is_err());
    }

    /// Encodes pairs as an HTML form does (WHATWG URL, application/x-www-form-urlencoded).
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
                        // Each call returns the value, or an error that names the parameter.
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
            sent in vec(("(a|b|tags)", any::<String>()), 0..6),
        ) {
            let query = form(&sent);
            let came: Vec<_> = pairs(&query).map(Result::unwrap).collect();
            prop_assert_eq!(came.len(), sent.len());
            for ((name, value), (sent_name, sent_value)) in came.iter().zip(&sent) {
                prop_assert_eq!((&**name, &**value), (&**sent_name, &**sent_value));
            }
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
