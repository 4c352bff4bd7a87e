//! Parameters, read from the query string and from a JSON body alike.
//!
//! The reference says "Parameters (json)", but many clients and proxies drop the body of a GET, so both are read on
//! every route. A parameter that is given twice must have the same value both times. An unknown parameter is an error,
//! since a misspelt filter would silently match everything.
//!
//! A route that takes a signature also takes it as a file: alone, with the other parameters in the query, or with them in a
//! form (`multipart/form-data`).
//!
//! `given` and `multipart` parse them. Here, handlers ask for values by their kinds.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use sigpersist_model::attachments::Sent;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::number::{from_json, whole};
use sigpersist_model::signature::check_label;

use super::given::{Given, Names, read_json, read_query, texts};
use super::multipart;
use super::parameter::{CMS, DEFAULT_LIMIT, Kind, Parameter};

/// Media type of JSON (RFC 8259 section 11).
pub(super) const JSON: &str = "application/json";
/// Media types of signatures as files: CMS (RFC 8551 section 3.2), XML, and either.
pub(super) const FILE_TYPES: [&str; 5] = [
    "application/pkcs7-signature",
    "application/pkcs7-mime",
    "application/xml",
    "text/xml",
    "application/octet-stream",
];

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    /// In the order in which they were sent, those of the query first.
    given: Vec<(&'static str, Given<'a>)>,
}

impl<'a> Parameters<'a> {
    /// Reads query and body, and rejects unknown names.
    pub(super) fn read(
        query: &'a str,
        headers: &HeaderMap,
        body: &'a Bytes,
        known: &[&'static Parameter],
    ) -> Result<Self> {
        let mut names = Names::new(known);
        let mut given = read_query(query, &mut names)?;
        let takes_file = known.iter().any(|one| one.name == CMS.name);
        if body.is_empty() {
            // Some clients declare a kind of body whether they have one or not.
        } else if is_of_kind(headers, multipart::MEDIA_TYPE) {
            given.extend(multipart::read(body, headers, &mut names)?);
        } else if takes_file && is_file(headers) {
            given.push((CMS.name, Given::File(body.clone())));
        } else {
            check_content_type(headers, vec![JSON])?;
            given.extend(read_json(body, &mut names)?);
        }
        names.check()?;
        Ok(Self { given })
    }

    /// Gives a value to a parameter that was left out.
    pub(super) fn fill(&mut self, parameter: &Parameter, value: &str) {
        self.given
            .push((parameter.name, Given::Text(value.to_owned().into())));
    }

    /// An optional text.
    pub(super) fn text(&self, parameter: &Parameter) -> Result<Option<&str>> {
        self.one(parameter, "a string", |given| match given {
            Given::Query(text) | Given::Text(text) => Some(&**text),
            Given::Json(_) | Given::File(_) => None,
        })
    }

    /// An optional text or file.
    pub(super) fn sent(&self, parameter: &Parameter) -> Result<Option<Sent<'_>>> {
        self.one(parameter, "a string or a file", |given| match given {
            Given::Query(text) | Given::Text(text) => Some(Sent::Text(text)),
            Given::File(file) => Some(Sent::File(file.clone())),
            Given::Json(_) => None,
        })
    }

    /// A required text.
    pub(super) fn required_text(&self, parameter: &Parameter) -> Result<&str> {
        let name = parameter.name;
        self.text(parameter)?
            .ok_or_else(|| Error::invalid(name, format!("`{name}` is required.")))
    }

    /// The objects of a list that is given once, in JSON.
    pub(super) fn objects(&self, parameter: &Parameter) -> Result<Vec<&'a RawValue>> {
        let name = parameter.name;
        let mut mentions = self.mentions(name);
        if let (Some(Given::Json(value)), None) = (mentions.next(), mentions.next())
            && let Ok(objects) = serde_json::from_str(value.get())
        {
            return Ok(objects);
        }
        let message = format!("`{name}` must be given once, as an array of objects.");
        Err(Error::invalid(name, message))
    }

    /// An optional label.
    pub(super) fn label(&self, parameter: &Parameter) -> Result<Option<String>> {
        let text = self.text(parameter)?;
        if let Some(text) = text {
            check_label(parameter.name, text)?;
        }
        Ok(text.map(str::to_owned))
    }

    /// An optional text, or an integer as its digits.
    pub(super) fn text_or_integer(&self, parameter: &Parameter) -> Result<Option<Cow<'_, str>>> {
        self.one(parameter, "a string or an integer", |given| match given {
            Given::Query(text) | Given::Text(text) => Some(Cow::Borrowed(&**text)),
            Given::Json(value) => {
                let digits = value.get();
                if digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok() {
                    return Some(Cow::Borrowed(digits));
                }
                Some(Cow::Owned(whole(digits.parse().ok()?)?.to_string()))
            }
            Given::File(_) => None,
        })
    }

    /// An optional integer within its bounds; its default if it is left out and has one.
    pub(super) fn integer(&self, parameter: &Parameter) -> Result<Option<u32>> {
        let Kind::Integer { min, max, default } = parameter.kind else {
            return Err(Error::internal("the parameter is not an integer"));
        };
        let rule = format!("an integer between {min} and {max}");
        let given = self.one(parameter, &rule, |given| {
            let number = match given {
                Given::Query(text) => text.parse().ok()?,
                Given::Json(value) => u32::try_from(from_json(value.get())?).ok()?,
                Given::Text(_) | Given::File(_) => return None,
            };
            (min..=max).contains(&number).then_some(number)
        })?;
        Ok(given.or(default))
    }

    /// The number of results on a page.
    pub(super) fn limit(&self, parameter: &Parameter) -> Result<u32> {
        Ok(self.integer(parameter)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// A boolean; false if it is left out.
    pub(super) fn flag(&self, parameter: &Parameter) -> Result<bool> {
        Ok(self.either(parameter)?.unwrap_or(false))
    }

    /// An optional boolean.
    pub(super) fn either(&self, parameter: &Parameter) -> Result<Option<bool>> {
        self.one(parameter, "true or false", |given| match given {
            Given::Query(text) => match &**text {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Given::Json(value) => value.get().parse().ok(),
            Given::Text(_) | Given::File(_) => None,
        })
    }

    /// An optional list of texts: repeated in a query; an array or a single string in JSON.
    pub(super) fn list(&self, parameter: &Parameter) -> Result<Option<Vec<String>>> {
        let name = parameter.name;
        let mut in_query = Vec::new();
        let mut found = None;
        for given in self.mentions(name) {
            match given {
                Given::Query(text) => in_query.push(text.clone().into_owned()),
                Given::Text(text) => keep(name, &mut found, vec![text.clone().into_owned()])?,
                Given::Json(value) => keep(name, &mut found, texts(name, value)?)?,
                Given::File(_) => {
                    let message = format!("`{name}` must be text: leave its filename out.");
                    return Err(Error::invalid(name, message));
                }
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
        parameter: &Parameter,
        rule: &str,
        read: impl Fn(&'s Given<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let name = parameter.name;
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

/// Refuses a body that is declared as something other than JSON; the error names the media types that the route takes.
pub(super) fn check_content_type(headers: &HeaderMap, taken: Vec<&'static str>) -> Result<()> {
    if headers.contains_key(CONTENT_TYPE) && !is_of_kind(headers, JSON) {
        return Err(Error::UnsupportedMediaType(taken));
    }
    Ok(())
}

/// Whether the body is declared as the file of a signature.
pub(super) fn is_file(headers: &HeaderMap) -> bool {
    FILE_TYPES.iter().any(|kind| is_of_kind(headers, kind))
}

/// Whether the body is declared as this media type, with any parameters.
pub(super) fn is_of_kind(headers: &HeaderMap, media_type: &str) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(media_type))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::given::MAX_MENTIONS;
    use crate::http::parameter::TAGS;
    use crate::http::query::tests::form;

    static A: Parameter = integer("a", 9);
    static B: Parameter = integer("b", u32::MAX);

    const fn integer(name: &'static str, max: u32) -> Parameter {
        Parameter {
            name,
            kind: Kind::Integer {
                min: 0,
                max,
                default: None,
            },
            description: "",
            example: || serde_json::Value::Null,
        }
    }

    fn read<'a>(query: &'a str, body: &'a str) -> Result<Parameters<'a>> {
        let body = Box::leak(Box::new(Bytes::from_static(
            body.to_owned().leak().as_bytes(),
        )));
        Parameters::read(query, &HeaderMap::new(), body, &[&A, &B, &TAGS])
    }

    #[test]
    fn query_and_body_mean_the_same_and_must_agree() {
        let both = read("a=1&b=x+y%21", r#"{"a": 1, "b": null}"#).unwrap();
        assert_eq!(both.integer(&A).unwrap(), Some(1));
        assert_eq!(both.text(&B).unwrap(), Some("x y!"));
        assert!(read("a=1", r#"{"a": 2}"#).unwrap().integer(&A).is_err());
        assert!(read("a=1&a=2", "").unwrap().integer(&A).is_err());
        assert!(
            read("", r#"{"a": "x", "a": "y"}"#)
                .unwrap()
                .text(&A)
                .is_err()
        );
        assert!(
            read("", r#"{"a": "x", "a": "x"}"#)
                .unwrap()
                .text(&A)
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
            let list = read(query, body).unwrap().list(&TAGS).unwrap();
            assert_eq!(list.unwrap(), ["x", "y"], "{query} {body}");
        }
        let one = read("", r#"{"tags": "x"}"#).unwrap().list(&TAGS).unwrap();
        assert_eq!(one.unwrap(), ["x"]);
        for body in [r#"{"tags": [1]}"#, r#"{"tags": {}}"#, r#"{"tags": 1}"#] {
            assert!(read("", body).unwrap().list(&TAGS).is_err(), "{body}");
        }
    }

    #[test]
    fn what_is_given_too_often_or_by_no_known_name_is_refused_in_a_few_words() {
        let refused = |query: &str, body: &str| {
            let refused = read(query, body).and_then(|read| read.list(&TAGS).map(drop));
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), "invalid_parameter");
            let words = refused.to_string();
            assert!(words.len() < 400, "{words}");
            words
        };
        let tags = |count: usize| format!(r#"{{"tags": [{}""]}}"#, "\"\",".repeat(count - 1));
        let list = tags(MAX_MENTIONS);
        let list = read("", &list).unwrap().list(&TAGS).unwrap();
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

    proptest! {
        #[test]
        fn any_query_and_body_is_read_or_refused_with_a_sentence(
            query in "[ab=&%+\\[\\]0-9a-fA-Fтег ]{0,40}",
            body in prop_oneof![
                any::<Vec<u8>>(),
                "[{}\\[\\]\",:ab0-9eEntrufals\\\\.-]{0,60}".prop_map(String::into_bytes),
            ],
        ) {
            match Parameters::read(&query, &HeaderMap::new(), &body.into(), &[&A, &B, &TAGS]) {
                Ok(parameters) => {
                    for parameter in [&A, &B, &TAGS] {
                        // Each call returns the value, or an error that names the parameter.
                        for refused in [
                            parameters.text(parameter).err(),
                            parameters.flag(parameter).err(),
                            parameters.list(parameter).err(),
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
        fn json_says_the_same_as_the_query(text in any::<String>(), number in any::<u32>(), flag in any::<bool>()) {
            let query = form(&[("a".to_owned(), text.clone()), ("b".to_owned(), number.to_string())]);
            let body = serde_json::json!({ "a": &text, "b": number, "tags": flag }).to_string();
            let both = read(&query, &body).unwrap();
            prop_assert_eq!(both.text(&A).unwrap(), Some(&*text));
            prop_assert_eq!(both.integer(&B).unwrap(), Some(number));
            prop_assert_eq!(both.flag(&TAGS).unwrap(), flag);
        }
    }
}
