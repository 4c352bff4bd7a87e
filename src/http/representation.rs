//! Chooses the form in which a stored signature is given: as JSON, which is what the reference shows, or as the file itself if
//! `Accept` prefers that (RFC 9110 section 12.5.1).

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::SignatureBody;
use sigpersist_verify::{Body, Format};

use super::parameters::FILE_TYPES;

const JSON: &str = "application/json";
const ANY_FILE: &str = "application/octet-stream";

/// The signature as the file that the client wants, with its media type; none if it takes JSON.
///
/// A client that names no type of ours gets JSON, as it always did.
///
/// # Errors
///
/// [`Error::NotAcceptable`] if all types that it names are those of other signatures.
pub(super) fn file_asked(
    headers: &HeaderMap,
    body: &SignatureBody,
) -> Result<Option<(&'static str, Bytes)>> {
    let texts = headers.get_all(ACCEPT).iter();
    let texts: Vec<_> = texts.filter_map(|text| text.to_str().ok()).collect();
    let ranges: Vec<_> = texts
        .iter()
        .flat_map(|text| text.split(','))
        .map(Range::read)
        .collect();
    let names_file = ranges
        .iter()
        .any(|range| range.weight > 0 && FILE_TYPES.contains(&&*range.kind));
    if !names_file {
        return Ok(None);
    }
    let file = body.to_file();
    // Without armour, which hides the format.
    let format = Body::Bytes(Cow::Borrowed(&file)).format();
    let of_format = FILE_TYPES
        .into_iter()
        .filter(|kind| is_of_format(kind, format));
    let kinds: Vec<_> = of_format.chain([JSON]).collect();
    // JSON comes last, so it is chosen if a range with an asterisk admits all of them.
    let wanted = kinds
        .iter()
        .filter_map(|kind| Some((wish(&ranges, kind)?, *kind)));
    match wanted.max_by_key(|(wish, _)| *wish) {
        Some((_, JSON)) => Ok(None),
        Some((_, kind)) => Ok(Some((kind, file))),
        None => Err(Error::NotAcceptable(kinds)),
    }
}

/// The usual ending of a file's name.
pub(super) fn extension(kind: &str) -> &'static str {
    match kind {
        "application/pkcs7-signature" => "p7s",
        "application/pkcs7-mime" => "p7m",
        ANY_FILE => "bin",
        _ => "xml",
    }
}

fn is_of_format(kind: &str, format: Format) -> bool {
    match format {
        _ if kind == ANY_FILE => true,
        Format::Cms => kind.starts_with("application/pkcs7"),
        Format::Xml => kind.ends_with("xml"),
        Format::Unknown => false,
    }
}

/// The weight of a type in thousandths, whether it is named in full, and how early; none if it is not accepted.
///
/// The most specific range decides about the weight.
fn wish(ranges: &[Range], kind: &str) -> Option<(u16, bool, usize)> {
    let group = kind.split('/').next().unwrap_or_default();
    let group = format!("{group}/*");
    let place = [kind, &group, "*/*"].into_iter().find_map(|wanted| {
        let place = ranges.iter().position(|range| range.kind == wanted)?;
        Some((place, wanted == kind))
    });
    let (place, is_named) = place?;
    let weight = ranges.get(place)?.weight;
    (weight > 0).then_some((weight, is_named, ranges.len() - place))
}

/// A media range of `Accept`, without its parameters.
#[derive(Debug)]
struct Range {
    /// In lower case.
    kind: String,
    /// In thousandths; 0 if it is not wanted.
    weight: u16,
}

impl Range {
    fn read(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, weight)| thousandths(weight.trim()));
        Self { kind, weight }
    }
}

/// A weight between 0 and 1 with at most three decimals (RFC 9110 section 12.4.2); 0 for anything else.
fn thousandths(weight: &str) -> u16 {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    let are_digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" => 1000,
        "0" if are_digits => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str, format: Format) -> Result<Option<&'static str>> {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        let body = SignatureBody::from_text(match format {
            Format::Cms => "-----BEGIN CMS-----\nMAA=\n-----END CMS-----",
            Format::Xml => "<a/>",
            Format::Unknown => "a",
        });
        Ok(file_asked(&headers, &body)?.map(|(kind, _)| kind))
    }

    #[test]
    fn the_form_is_what_the_client_wants_most() {
        const P7S: Option<&str> = Some("application/pkcs7-signature");
        for (accept, format, expected) in [
            ("", Format::Cms, None),
            ("*/*", Format::Cms, None),
            ("application/*", Format::Cms, None),
            ("text/html", Format::Cms, None),
            ("application/json", Format::Xml, None),
            ("application/pkcs7-signature", Format::Cms, P7S),
            ("Application/PKCS7-Signature", Format::Cms, P7S),
            ("application/pkcs7-signature, */*", Format::Cms, P7S),
            ("*/*, application/pkcs7-signature", Format::Cms, P7S),
            (
                "application/pkcs7-signature;q=0.5, application/json",
                Format::Cms,
                None,
            ),
            (
                "application/pkcs7-signature;q=0.9, */*;q=0.1",
                Format::Cms,
                P7S,
            ),
            ("application/pkcs7-signature, */*;q=0.1", Format::Xml, None),
            ("application/pkcs7-signature;q=0, */*", Format::Cms, None),
            (
                "application/xml, application/pkcs7-mime",
                Format::Cms,
                Some("application/pkcs7-mime"),
            ),
            ("text/xml", Format::Xml, Some("text/xml")),
            (
                "application/octet-stream",
                Format::Unknown,
                Some("application/octet-stream"),
            ),
        ] {
            assert_eq!(asked(accept, format).unwrap(), expected, "{accept}");
        }
    }

    #[test]
    fn a_type_of_other_signatures_alone_is_refused_with_what_there_is() {
        for (accept, format, named) in [
            ("application/xml", Format::Cms, "application/pkcs7-mime"),
            ("application/pkcs7-signature", Format::Xml, "text/xml"),
            ("text/xml", Format::Unknown, "application/octet-stream"),
        ] {
            let refused = asked(accept, format).unwrap_err();
            assert!(refused.to_string().contains(named), "{refused}");
        }
    }

    #[test]
    fn weights_are_read_as_http_writes_them() {
        for (text, expected) in [
            ("1", 1000),
            ("1.000", 1000),
            ("0", 0),
            ("0.5", 500),
            ("0.05", 50),
            ("0.0005", 0),
            ("2", 0),
            ("x", 0),
        ] {
            assert_eq!(thousandths(text), expected, "{text}");
        }
    }
}
