//! Forms with files (`multipart/form-data`, RFC 7578): each part is a parameter. A part with a filename is a file, any other
//! one is text, as in a query.

use std::borrow::Cow;

use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use multer::{Field, Multipart};
use sigpersist_model::error::{Error, Result};

use super::given::{Given, Names, mention};

/// The media type of forms with files.
pub(super) const MEDIA_TYPE: &str = "multipart/form-data";
/// The most parts of a form with unknown names. A name that is known is limited by itself.
const MAX_UNKNOWN: usize = 64;

/// The parameters in a form that was read as a whole.
///
/// # Errors
///
/// [`Error::MalformedForm`] for anything that is no form, and [`Error::InvalidParameter`].
pub(super) fn read<'a>(
    body: &Bytes,
    headers: &HeaderMap,
    names: &mut Names<'_>,
) -> Result<Vec<(&'static str, Given<'a>)>> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let boundary = multer::parse_boundary(kind.unwrap_or_default()).map_err(malformed)?;
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(body.clone())]);
    let mut form = Multipart::new(whole, boundary);
    let (mut given, mut unknown) = (Vec::new(), 0);
    while let Some(field) = ready(form.next_field())? {
        let name = field
            .name()
            .map(|name| name.strip_suffix("[]").unwrap_or(name));
        let Some(name) = name.and_then(|name| names.find(name)) else {
            unknown += 1;
            if unknown > MAX_UNKNOWN {
                return Err(Error::MalformedForm(
                    "it has many parts with unknown names".to_owned(),
                ));
            }
            continue;
        };
        // A browser sends this for a choice of files that was left empty.
        let may_be_none = field.file_name() == Some("");
        match value(name, field)? {
            Given::File(file) if may_be_none && file.is_empty() => {}
            value => mention(&mut given, name, value)?,
        }
    }
    if unknown > 0 {
        // A part without a name would go unnoticed otherwise.
        names.check()?;
        return Err(Error::MalformedForm("a part has no name".to_owned()));
    }
    Ok(given)
}

fn value<'a>(name: &str, field: Field<'_>) -> Result<Given<'a>> {
    let is_file = field.file_name().is_some();
    let bytes = ready(field.bytes())?;
    if is_file {
        return Ok(Given::File(bytes));
    }
    match String::from_utf8(bytes.into()) {
        Ok(text) => Ok(Given::Query(Cow::Owned(text))),
        Err(_) => Err(Error::invalid(
            name,
            format!("`{name}` is not UTF-8. Send a file with a filename."),
        )),
    }
}

/// The result of reading from a body that is there already.
fn ready<T>(reading: impl Future<Output = multer::Result<T>>) -> Result<T> {
    let read = reading.now_or_never();
    read.ok_or_else(|| Error::internal("a form that was read is not complete"))?
        .map_err(malformed)
}

fn malformed(error: multer::Error) -> Error {
    Error::MalformedForm(match error {
        multer::Error::NoBoundary | multer::Error::NoMultipart => {
            "its `Content-Type` has no boundary".to_owned()
        }
        multer::Error::IncompleteStream
        | multer::Error::IncompleteFieldData { .. }
        | multer::Error::IncompleteHeaders => "it was cut off before its end".to_owned(),
        _ => "the head of a part is not that of a form".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::parameter::{CMS, DOCUMENT, TAGS};

    fn read_form(body: &[u8]) -> Result<Vec<(&'static str, Given<'static>)>> {
        let kind = "multipart/form-data; boundary=b".parse().unwrap();
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let known = [&DOCUMENT, &CMS, &TAGS];
        read(
            &Bytes::copy_from_slice(body),
            &headers,
            &mut Names::new(&known),
        )
    }

    fn part(head: &str, body: &str) -> String {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    }

    #[test]
    fn parts_with_a_filename_are_files_and_others_text() {
        let body = part("name=\"document\"", "d")
            + &part("name=\"tags[]\"", "a")
            + &part("name=tags", "b")
            + &part("name=\"cms\"; filename=\"a.p7s\"", "0\u{0}")
            + "--b--\r\n";
        let read = read_form(body.as_bytes());
        // A list may be spelled as in a query.
        let read = read.unwrap();
        let names: Vec<_> = read.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["document", "tags", "tags", "cms"]);
        assert!(matches!(&read[0].1, Given::Query(text) if text == "d"));
        assert!(matches!(&read[3].1, Given::File(file) if **file == *b"0\0"));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let whole = part("name=\"document\"", "d") + "--b--\r\n";
        for broken in [
            "",
            "x",
            "--b",
            "--b\r\n",
            whole.get(..whole.len() - 9).unwrap(),
            &part("name=\"document\"", "d"),
            &(part("filename=\"x\"", "d") + "--b--\r\n"),
            "--b\r\nX: y\r\n\r\nd\r\n--b--\r\n",
        ] {
            let refused = read_form(broken.as_bytes()).unwrap_err();
            assert_eq!(refused.code(), "malformed_form", "{broken:?}");
        }
        let other = part("name=\"nonsense\"", "d") + "--b--\r\n";
        let refused = read_form(other.as_bytes()).unwrap_err();
        assert_eq!(refused.code(), "invalid_parameter");
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in any::<Vec<u8>>(), text in "[-b\r\nA-Za-z:;=\" /]{0,80}") {
            for body in [body.as_slice(), text.as_bytes(), format!("--b\r\n{text}\r\n--b--").as_bytes()] {
                if let Err(error) = read_form(body) {
                    prop_assert!(["invalid_parameter", "malformed_form"].contains(&error.code()));
                }
            }
        }
    }
}
