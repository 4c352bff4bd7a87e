//! `If-Match` and `If-None-Match` (RFC 9110 section 13.1). Entity tags are version numbers here.

use http::HeaderMap;
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{Preconditions, Versions};

/// Reads both headers.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if a header is not a list of entity tags.
pub(super) fn preconditions(headers: &HeaderMap) -> Result<Preconditions> {
    Ok(Preconditions {
        if_match: versions(headers, &IF_MATCH, Comparison::Strong)?,
        if_none_match: versions(headers, &IF_NONE_MATCH, Comparison::Weak)?,
    })
}

/// Comparison of weak tags (`W/"3"`): they never match, or match as strong ones do (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, PartialEq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether `If-None-Match` names this tag, which is not that of a version.
///
/// # Errors
///
/// As [`preconditions`].
pub(super) fn has_copy(headers: &HeaderMap, tag: &str) -> Result<bool> {
    Ok(match tags(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::These(tags)) => tags.iter().any(|(opaque, _)| *opaque == tag),
    })
}

fn versions(
    headers: &HeaderMap,
    name: &HeaderName,
    comparison: Comparison,
) -> Result<Option<Versions>> {
    Ok(tags(headers, name)?.map(|tags| match tags {
        Tags::Any => Versions::Any,
        Tags::These(tags) => Versions::These(
            tags.into_iter()
                .filter(|(_, is_weak)| !is_weak || comparison == Comparison::Weak)
                // A tag that is not one of our versions is legal, but matches nothing.
                .filter_map(|(opaque, _)| opaque.parse().ok())
                .collect(),
        ),
    }))
}

/// The tags that a header names.
enum Tags<'h> {
    /// Those of anything that exists.
    Any,
    /// These, without quotes, and whether each is weak.
    These(Vec<(&'h str, bool)>),
}

fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<Tags<'h>>> {
    let mut found: Option<Vec<(&str, bool)>> = None;
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| unreadable(name))?.trim();
        if text == "*" {
            return Ok(Some(Tags::Any));
        }
        let tags = found.get_or_insert_default();
        // Elements of a list may be empty (RFC 9110 section 5.6.1.2), but not all of them.
        let mut elements = text
            .split(',')
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .peekable();
        if elements.peek().is_none() {
            return Err(unreadable(name));
        }
        for tag in elements {
            let (is_weak, tag) = match tag.strip_prefix("W/") {
                Some(tag) => (true, tag),
                None => (false, tag),
            };
            let opaque = tag
                .strip_prefix('"')
                .and_then(|tag| tag.strip_suffix('"'))
                .filter(|tag| !tag.contains('"'))
                .ok_or_else(|| unreadable(name))?;
            tags.push((opaque, is_weak));
        }
    }
    Ok(found.map(Tags::These))
}

fn unreadable(name: &HeaderName) -> Error {
    Error::InvalidParameter {
        field: String::new(),
        message: format!(
            "The header `{name}` must be `*` or a list of versions in quotes, such as \"3\"."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(value: &'static str) -> Result<Option<Versions>> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, value.parse().unwrap());
        preconditions(&headers).map(|preconditions| preconditions.if_match)
    }

    #[test]
    fn tags_are_read_as_versions() {
        assert_eq!(if_match("*").unwrap(), Some(Versions::Any));
        assert_eq!(if_match("\"3\"").unwrap(), Some(Versions::These(vec![3])));
        assert_eq!(
            if_match("\"3\", \"x\", W/\"4\" ,\"5\"").unwrap(),
            Some(Versions::These(vec![3, 5]))
        );
        for bad in ["3", "\"3", "\"3\"\"4\"", "W/3"] {
            assert!(if_match(bad).is_err(), "{bad}");
        }
        assert_eq!(
            preconditions(&HeaderMap::new()).unwrap(),
            Preconditions::default()
        );
    }
}
