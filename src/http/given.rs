//! Parameters as they were given: parses the query string, the JSON body and forms with files.
//!
//! Only the position of each value in the body is kept, and each text once. A list is parsed only when a handler asks
//! for a list, and the value of an unknown name is skipped. So a request takes little more memory than its bytes.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use sigpersist_model::error::{Error, Result};

use super::json_text;
use super::parameter::Parameter;
use super::query::{pairs, shortened};

/// Maximum number of times that a parameter may be given, and of elements in a list. Far more than [`MAX_TAGS`], which
/// counts duplicates once.
///
/// [`MAX_TAGS`]: sigpersist_model::signature::MAX_TAGS
pub(super) const MAX_MENTIONS: usize = 256;
/// Maximum number of unknown names in one error message.
const MAX_UNKNOWN: usize = 5;

/// A value as it was sent.
#[derive(Debug)]
pub(super) enum Given<'a> {
    /// In the query.
    Query(Cow<'a, str>),
    /// A JSON string, unescaped.
    Text(Cow<'a, str>),
    /// Any other JSON value, except null.
    Json(&'a RawValue),
    /// A file.
    File(Bytes),
}

/// The known names, and a few unknown ones for the error message.
#[derive(Debug)]
pub(super) struct Names<'k> {
    known: &'k [&'static Parameter],
    unknown: Vec<String>,
}

impl<'k> Names<'k> {
    pub(super) fn new(known: &'k [&'static Parameter]) -> Self {
        Self {
            known,
            unknown: Vec::new(),
        }
    }

    /// Rejects unknown names.
    pub(super) fn check(&self) -> Result<()> {
        let Self { known, unknown } = self;
        let [first, ..] = unknown.as_slice() else {
            return Ok(());
        };
        let quoted: Vec<_> = unknown.iter().map(|name| format!("`{name}`")).collect();
        let quoted = quoted.join(", ");
        let message = if known.is_empty() {
            format!("There is no parameter {quoted} here: this request has none.")
        } else {
            let names: Vec<_> = known.iter().map(|known| known.name).collect();
            let names = names.join(", ");
            format!("There is no parameter {quoted} here; the parameters are {names}.")
        };
        Err(Error::invalid(first, message))
    }

    /// Looks up a known name; remembers a few unknown ones.
    pub(super) fn find(&mut self, name: &str) -> Option<&'static str> {
        let found = self.known.iter().find(|known| known.name == name);
        let found = found.map(|known| known.name);
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
pub(super) fn mention<V>(
    given: &mut Vec<(&'static str, V)>,
    name: &'static str,
    value: V,
) -> Result<()> {
    if given.iter().filter(|(known, _)| *known == name).count() == MAX_MENTIONS {
        let message = format!("`{name}` is given more than {MAX_MENTIONS} times.");
        return Err(Error::invalid(name, message));
    }
    given.push((name, value));
    Ok(())
}

/// Parses `application/x-www-form-urlencoded` pairs; `tags[]` means `tags`.
pub(super) fn read_query<'a>(
    query: &'a str,
    names: &mut Names<'_>,
) -> Result<Vec<(&'static str, Given<'a>)>> {
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

/// Parses a JSON object.
pub(super) fn read_json<'a>(
    body: &'a [u8],
    names: &mut Names<'_>,
) -> Result<Vec<(&'static str, Given<'a>)>> {
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
pub(super) fn texts(name: &str, value: &RawValue) -> Result<Vec<String>> {
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
