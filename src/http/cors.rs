//! Pages of other origins that may use the API (Fetch standard, section 3.3): those in `http.cors_origins`, and with tokens of
//! a tenant those in `cors_origins` of its policy. Browsers let no other page read an answer.
//!
//! The question before a request (the preflight) has no token, so it is answered for the origins of all tenants. The request
//! itself is refused before it acts if the caller's own tenant does not have the origin.
//!
//! Answers carry no cookies and allow none, so a page acts with the token that it has, and with nothing else.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HOST,
    HeaderName, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use sigpersist_model::context::Caller;
use sigpersist_model::error::{Error, Result};
use tracing::info;

use super::reply::{Reply, Response};
use super::respond::Incoming;
use super::route;
use super::server::Server;
use crate::app::App;
use crate::config::entries;
use crate::policy;

/// Headers that requests of pages may have, beside those that all may.
const ALLOWED_HEADERS: &str = "authorization, content-type, if-match, if-none-match, if-range, last-event-id, prefer, range, traceparent, tracestate, x-request-id";
/// Headers of answers that pages may read, beside those that all may.
const EXPOSED_HEADERS: &str = "accept-ranges, allow, content-disposition, content-range, etag, location, preference-applied, retry-after, www-authenticate, x-request-id";
/// Seconds for which a browser need not ask again. No browser keeps it for longer than a day.
const MAX_AGE_S: &str = "7200";

/// Header in which browsers say how a page is related to the server (Fetch Metadata, section 2.3). Pages can't set it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Longest part of an origin in the log, in characters.
const MAX_LOGGED_CHARS: usize = 100;

/// Origins whose pages may use the API.
#[derive(Debug, Clone)]
pub(super) struct Origins {
    /// As browsers write them; `*` for all.
    allowed: Vec<HeaderValue>,
    /// Whether tenants may name further ones.
    has_tenants: bool,
}

impl Origins {
    /// Reads the setting `http.cors_origins`, which was checked before.
    pub(super) fn new(setting: &str) -> Self {
        let allowed = entries(setting).filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self {
            allowed: allowed.collect(),
            has_tenants: true,
        }
    }

    /// No origins, whatever tenants name.
    pub(super) fn none() -> Self {
        Self {
            allowed: Vec::new(),
            has_tenants: false,
        }
    }

    /// Decides about the page that sent a request by the setting alone.
    fn judge(&self, headers: &HeaderMap) -> Page {
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

/// Decides about the page that sent a request, as far as that is known without its token.
pub(super) async fn page_of(server: &Server, headers: &HeaderMap) -> Page {
    let page = server.origins.judge(headers);
    if !server.origins.has_tenants || matches!(page, Page::Allowed(_)) {
        return page;
    }
    let app = &server.app;
    let Some(origin) = headers.get(ORIGIN) else {
        // Answers to pages and to others differ, which caches must know.
        let named = app.caches.page_origins.get(&());
        return match named.is_none_or(|named| !named.is_empty()) {
            true => Page::Other,
            false => page,
        };
    };
    let named = match app.caches.page_origins.get(&()) {
        Some(named) => Ok(named),
        None => app.load(policy::page_origins).await,
    };
    match named {
        Ok(named) if origin.to_str().is_ok_and(|origin| named.contains(origin)) => {
            Page::OfSomeTenant(origin.clone())
        }
        Ok(named) if named.is_empty() => page,
        Ok(_) => Page::Other,
        // Whatever keeps the server from reading them keeps it from answering, too.
        Err(_) => Page::Other,
    }
}

/// Whether a browser sent the request for a page of another origin than the server's.
fn is_from_elsewhere(headers: &HeaderMap, is_of_some_tenant: bool) -> bool {
    match headers.get(SEC_FETCH_SITE) {
        Some(site) => site != "same-origin",
        // Only browsers of before 2023 leave it out, and others for an address without TLS. So does what is no browser, and may
        // say any origin.
        None => is_of_some_tenant && !is_own_host(headers),
    }
}

/// Whether the origin has the host that the request is for, whatever its scheme: a proxy may have ended TLS.
fn is_own_host(headers: &HeaderMap) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok());
    let of_origin = origin.and_then(|origin| origin.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    matches!((of_origin, host), (Some((_, of_origin)), Some(host)) if of_origin.eq_ignore_ascii_case(host))
}

/// A page that sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// No pages are allowed, so nothing is said about them.
    Nobody,
    /// Not an allowed page, or none at all.
    Other,
    /// A page of this origin is allowed with tokens of some tenant. Before the caller is known, it is told why it is refused.
    OfSomeTenant(HeaderValue),
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
        if !matches!(self, Self::Allowed(_) | Self::OfSomeTenant(_)) {
            let origin = incoming.headers.get(ORIGIN)?.to_str().ok()?;
            let origin: String = origin.chars().take(MAX_LOGGED_CHARS).collect();
            info!(
                origin,
                "Refused the preflight of a page: neither the setting `http.cors_origins` nor `cors_origins` of a tenant's policy has its origin"
            );
            return None;
        }
        let asked = Method::from_bytes(asked.as_bytes()).ok()?;
        route::find(&asked, &incoming.path).ok()?;
        let reply = Reply::no_content()
            .with_header(ACCESS_CONTROL_ALLOW_METHODS, asked.as_str())
            .with_header(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS)
            .with_header(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        Some(reply)
    }

    /// Decides about the page once the caller is known.
    ///
    /// # Errors
    ///
    /// [`Error::OriginNotAllowed`] if neither the setting nor the caller's tenant has the origin of the page: its browser
    /// would not let it read the answer, but a save would have been made. The errors of reading the tenant's policy.
    pub(super) async fn admit(
        &mut self,
        app: &Arc<App>,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<()> {
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let is_of_some_tenant = match self {
            Self::Allowed(_) => return Ok(()),
            Self::OfSomeTenant(_) => true,
            Self::Nobody | Self::Other => false,
        };
        if let Some(tenancy) = caller.tenant.as_ref().filter(|_| is_of_some_tenant) {
            let id = tenancy.id;
            let in_force = match app.caches.policies.get(&id) {
                Some(in_force) => in_force,
                None => app.load(move |app| policy::in_force(app, id)).await?,
            };
            if in_force.policy.cors_origins.iter().any(|own| origin == own) {
                *self = Self::Allowed(origin.clone());
                return Ok(());
            }
        }
        if is_of_some_tenant {
            *self = Self::Other;
        }
        match is_from_elsewhere(headers, is_of_some_tenant) {
            true => Err(Error::OriginNotAllowed),
            false => Ok(()),
        }
    }

    /// Lets the page read an answer.
    pub(super) fn let_read(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if *self == Self::Nobody || headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Self::Allowed(origin) | Self::OfSomeTenant(origin) = self {
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
