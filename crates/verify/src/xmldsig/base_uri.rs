//! Joins `xml:base` for Canonical XML 1.1 (its section 2.4): an element takes over the bases of ancestors that are left
//! out.

/// Joins the base of an omitted ancestor with the one below it ("join-URI-References").
///
/// Follows RFC 3986 section 5.2, except that the base need not have a scheme, and that leading ".." segments of
/// relative paths stay.
pub(super) fn join(base: &str, reference: &str) -> String {
    let (base, reference) = (Parts::of(base), Parts::of(reference));
    let mut joined = reference;
    let path = if reference.scheme.is_some() || reference.authority.is_some() {
        remove_dots(reference.path)
    } else {
        joined.authority = base.authority;
        if reference.path.is_empty() {
            joined.query = reference.query.or(base.query);
            remove_dots(base.path)
        } else if reference.path.starts_with('/') {
            remove_dots(reference.path)
        } else {
            remove_dots(&merge(base, reference.path))
        }
    };
    joined.scheme = reference.scheme.or(base.scheme);
    let part = |before: &str, part: Option<&str>, after: &str| {
        part.map_or(String::new(), |part| format!("{before}{part}{after}"))
    };
    [
        part("", joined.scheme, ":"),
        part("//", joined.authority, ""),
        path,
        part("?", joined.query, ""),
        part("#", joined.fragment, ""),
    ]
    .concat()
}

/// The parts of a reference (RFC 3986 appendix B).
#[derive(Clone, Copy)]
struct Parts<'u> {
    scheme: Option<&'u str>,
    authority: Option<&'u str>,
    path: &'u str,
    query: Option<&'u str>,
    fragment: Option<&'u str>,
}

impl<'u> Parts<'u> {
    fn of(uri: &'u str) -> Self {
        let (uri, fragment) = split(uri, '#');
        let (uri, query) = split(uri, '?');
        let parts = uri.split_once(':');
        let parts = parts.filter(|(scheme, _)| !scheme.is_empty() && !scheme.contains('/'));
        let scheme = parts.map(|(scheme, _)| scheme);
        let rest = parts.map_or(uri, |(_, rest)| rest);
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Self {
            scheme,
            authority,
            path,
            query,
            fragment,
        }
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

/// Merges paths (RFC 3986 section 5.2.3). A base that ends with ".." is a folder.
fn merge(base: Parts<'_>, path: &str) -> String {
    if base.authority.is_some() && base.path.is_empty() {
        return format!("/{path}");
    }
    let is_up = base.path == ".." || base.path.ends_with("/..");
    let folder = match base.path.rsplit_once('/') {
        _ if is_up => format!("{}/", base.path),
        Some((folder, _)) => format!("{folder}/"),
        None => String::new(),
    };
    folder + path
}

/// Removes dot segments (RFC 3986 section 5.2.4), except that ".." above the start of a relative path stays, that
/// several slashes become one, and that a trailing ".." is a folder.
fn remove_dots(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/') {
        is_folder = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if is_absolute => {}
            segment => kept.push(segment),
        }
    }
    let start = if is_absolute { "/" } else { "" };
    let end = if is_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("{start}{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_joined_as_canonical_xml_says() {
        for (base, reference, expected) in [
            (
                "http://www.example.com/something/else",
                "../bar/",
                "http://www.example.com/bar/",
            ),
            ("../bar/", "foo", "../bar/foo"),
            ("..", "x", "../x"),
            ("..", "../x", "../../x"),
            ("..", "..", "../../"),
            ("foo/bar", "..", ""),
            ("foo/bar", "../..", "../"),
            ("a/b/", "c", "a/b/c"),
            ("", "c", "c"),
            ("c", "", "c"),
            ("/xmlbase1/", "/xmlbase11/", "/xmlbase11/"),
            ("http://a/b/c", "//d/e", "http://d/e"),
            ("http://a", "b", "http://a/b"),
            ("http://a/b//c", "d", "http://a/b/d"),
            ("http://a/b?q#f", "", "http://a/b?q"),
            ("http://a/b", "?r", "http://a/b?r"),
            ("http://a/b", "urn:x:y", "urn:x:y"),
            ("http://a/../../b", "./c/.", "http://a/c/"),
        ] {
            assert_eq!(join(base, reference), expected, "{base} {reference}");
        }
    }
}
