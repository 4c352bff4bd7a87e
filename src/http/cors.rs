//! Pages of other origins that may use the API (Fetch standard, section 3.3): those in `http.cors_origins`. Browsers let no
//! other page read an answer.
//!
//! Answers carry no cookies and allow none, so a page acts with the token that it has, and with nothing else.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
use std::sync::Arc;

    VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use super::reply::{Reply, Response};
use super::respond::Incoming;
use sigpersist_model::context::Caller;
use sigpersist_model::error::{Error, Result};
use tracing::info;
use super::route;
use crate::config::entries;

/// Headers that requests of pages may have, beside those that all may.
use super::server::Server;
use crate::app::App;
const ALLOWED_HEADERS: &str = "authorization, content-type, if-match, if-none-match, if-range, last-event-id, prefer, range, traceparent, tracestate, x-request-id";
use crate::policy;
/// Headers of answers that pages may read, beside those that all may.
const EXPOSED_HEADERS: &str = "accept-ranges, allow, content-disposition, content-range, etag, location, preference-applied, retry-after, www-authenticate, x-request-id";
/// Seconds for which a browser need not ask again. No browser keeps it for longer than a day.
const MAX_AGE_S: &str = "7200";

/// Origins whose pages may use the API.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    /// As browsers write them; `*` for all.
    allowed: Vec<HeaderValue>,
}

impl Origins {
    /// Reads the setting `http.cors_origins`, which was checked before.
    pub(super) fn new(setting: &str) -> Self {
        let allowed = entries(setting).filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self {
            allowed: allowed.collect(),
    /// Whether tenants may name further ones.
    has_tenants: bool,
        }
    }

    /// Decides about the page that sent a request.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Page {
        if self.allowed.is_empty() {
            return Page::Nobody;
        }
        let origin = headers.get(ORIGIN);
        let found = self
            .allowed
            .iter()
            .find(|allowed| *allowed == "*" || Some(*allowed) == origin);
        match (origin, found) {
            (Some(_), Some(allowed)) => Page::Allowed(allowed.clone()),
            _ => Page::Other,
        }
    }
}

/// A page that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// No pages are allowed, so nothing is said about them.
    Nobody,
    /// Not an allowed page, or none at all.
    Other,
    /// A page of this origin, or of any (`*`), is allowed.
    Allowed(HeaderValue),
}

impl Page {
    /// The answer to the question whether the page may send a request (a preflight); none if this is no such question.
    pub(super) fn preflight(&self, incoming: &Incoming) -> Option<Reply> {
        if incoming.method != Method::OPTIONS || incoming.fault.is_some() {
            return None;
        }
        let asked = incoming.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        let asked = Method::from_bytes(asked.as_bytes()).ok()?;
        route::find(&asked, &incoming.path).ok()?;
        let reply = Reply::no_content()
            .with_header(ACCESS_CONTROL_ALLOW_METHODS, asked.as_str())
            .with_header(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS)
            .with_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        Some(reply)
    }

    /// Lets the page read an answer.
    pub(super) fn let_read(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if *self == Self::Nobody || headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Self::Allowed(origin) = self {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(EXPOSED_HEADERS),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_origin_counts() {
        let origins = Origins::new("https://a.example, http://b.example:8080");
        let judge = |origin: &'static str| {
            origins.judge(&HeaderMap::from_iter([(
                ORIGIN,
                HeaderValue::from_static(origin),
            )]))
        };
        let allowed = |origin| Page::Allowed(HeaderValue::from_static(origin));
        assert_eq!(judge("https://a.example"), allowed("https://a.example"));
        assert_eq!(
            judge("http://b.example:8080"),
            allowed("http://b.example:8080")
        );
        for other in [
            "http://a.example",
            "https://a.example.evil",
            "https://xa.example",
            "null",
            "",
        ] {
            assert_eq!(judge(other), Page::Other, "{other}");
        }
        assert_eq!(origins.judge(&HeaderMap::new()), Page::Other);
        assert_eq!(Origins::new("").judge(&HeaderMap::new()), Page::Nobody);
    }
}
