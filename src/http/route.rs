//! What a route is, and how a request finds its own.

use http::{HeaderMap, Method};
use sigpersist_model::context::Scope;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;

use super::ROUTES;
use super::parameters::{check_content_type, is_of_kind};
use super::plugins::WASM;
use super::reply::Reply;
use super::respond::Call;
use crate::config::Config;

/// Where callers of the platform name the tenant that they act for.
const TENANTS: &str = "tenants";
/// What JSON needs for a component in base64, beside its test cases.
const MAX_CASES_BYTES: usize = 4 * 1024 * 1024;

/// A route: what it answers, to whom, and who judges it first.
#[derive(Debug)]
pub struct Route {
    /// The method; HEAD is answered wherever GET is.
    pub method: Method,
    /// The path; a segment in braces stands for any text, which the handler is given.
    pub path: &'static str,
    /// What the caller's token must allow; none where nobody needs one.
    pub scope: Option<Scope>,
    /// Who it is for.
    pub audience: Audience,
    /// Whether its path may name a tenant.
    pub names_tenant: NamesTenant,
    /// Whether it is found on the port of those who watch the server, too.
    pub(super) watches: bool,
    /// Whether `If-Match` and `If-None-Match` guard it.
    pub(super) is_conditional: bool,
    /// Parameters that must be given, in the query or a JSON body.
    pub(super) required: &'static [&'static str],
    /// Parameters that may be given beside them.
    pub(super) optional: &'static [&'static str],
    pub(super) waits: Waits,
    pub(super) body: BodyKind,
    /// Runs on a thread that may block.
    pub(super) handler: fn(Call) -> Result<Reply>,
}

/// Who a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Callers of a tenant.
    Tenant,
    /// Operators of a tenant, or of the platform under `/tenants/{tenant}`.
    Operators,
    /// Callers of the platform alone, whatever scopes a tenant gives its own.
    Platform,
    /// Whoever asks, without a token.
    Anybody,
}

/// Whether a route is also found under `/tenants/{tenant}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesTenant {
    /// Nowhere else.
    Never,
    /// There it is about that tenant.
    Maybe,
    /// There alone.
    Always,
}

/// What a request waits for before it is answered, beside the turn that all wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Nothing at all: it is answered at once, however much else there is to do.
    Never,
    /// Nothing more.
    No,
    /// That strangers may be shown something.
    Publication,
    /// That the tenant's hooks may judge it.
    Judges(Operation),
    /// That hooks may be tried out.
    Trial,
    /// That plugins may be compiled, and asked about their settings.
    SetUp,
}

/// What its body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// JSON of the size of a signature.
    Json,
    /// JSON of the size of settings.
    SmallJson,
    /// A component, by itself or in JSON.
    Component,
}

impl BodyKind {
    /// The largest body, in bytes.
    pub(super) fn max_bytes(self, config: &Config) -> usize {
        match self {
            Self::Json => config.http.max_body_bytes(),
            Self::SmallJson => config
                .hooks
                .max_settings_bytes
                .saturating_mul(6)
                .saturating_add(64 * 1024),
            Self::Component => {
                let base64 = config
                    .hooks
                    .max_component_bytes
                    .div_ceil(3)
                    .saturating_mul(4);
                base64.saturating_add(MAX_CASES_BYTES)
            }
        }
    }
}

impl BodyKind {
    /// Refuses a body of another kind before it is read.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedMediaType`].
    pub(super) fn check_kind(self, headers: &HeaderMap) -> Result<()> {
        match self {
            Self::Component if is_of_kind(headers, WASM) => Ok(()),
            _ => check_content_type(headers),
        }
    }
}

impl Route {
    /// The largest body that it takes, in bytes.
    pub fn max_body_bytes(&self, config: &Config) -> usize {
        self.body.max_bytes(config)
    }

    pub(super) const fn of_tenant(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: fn(Call) -> Result<Reply>,
    ) -> Self {
        Self {
            method,
            path,
            scope: Some(scope),
            audience: Audience::Tenant,
            names_tenant: NamesTenant::Never,
            watches: false,
            is_conditional: false,
            required: &[],
            optional: &[],
            waits: Waits::No,
            body: BodyKind::Json,
            handler,
        }
    }

    pub(super) const fn of_operators(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: fn(Call) -> Result<Reply>,
    ) -> Self {
        let mut route = Self::of_tenant(method, path, scope, handler);
        route.audience = Audience::Operators;
        route.names_tenant = NamesTenant::Maybe;
        route.body = BodyKind::SmallJson;
        route
    }

    pub(super) const fn of_platform(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: fn(Call) -> Result<Reply>,
    ) -> Self {
        let mut route = Self::of_tenant(method, path, scope, handler);
        route.audience = Audience::Platform;
        route.body = BodyKind::SmallJson;
        route
    }

    pub(super) const fn of_anybody(
        method: Method,
        path: &'static str,
        handler: fn(Call) -> Result<Reply>,
    ) -> Self {
        Self {
            method,
            path,
            scope: None,
            audience: Audience::Anybody,
            names_tenant: NamesTenant::Never,
            watches: false,
            is_conditional: false,
            required: &[],
            optional: &[],
            waits: Waits::Publication,
            body: BodyKind::SmallJson,
            handler,
        }
    }

    /// The same, found under `/tenants/{tenant}` too, or there alone.
    pub(super) const fn names_tenant(mut self, names_tenant: NamesTenant) -> Self {
        self.names_tenant = names_tenant;
        self
    }

    pub(super) const fn conditional(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    pub(super) const fn requires(mut self, parameters: &'static [&'static str]) -> Self {
        self.required = parameters;
        self
    }

    pub(super) const fn allows(mut self, parameters: &'static [&'static str]) -> Self {
        self.optional = parameters;
        self
    }

    pub(super) const fn waits(mut self, waits: Waits) -> Self {
        self.waits = waits;
        self
    }

    pub(super) const fn watches(mut self) -> Self {
        self.watches = true;
        self
    }

    pub(super) const fn takes(mut self, body: BodyKind) -> Self {
        self.body = body;
        self
    }
}

/// A route that a request has found, and what the path says beside it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) route: &'static Route,
    /// The tenant that the path names, undecoded.
    pub(super) tenant: Option<String>,
    /// What stands for the segments in braces, in order, undecoded.
    pub(super) segments: Vec<String>,
}

/// Finds the route of a request.
pub(super) fn find(method: &Method, path: &str) -> Result<Found> {
    let asked = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let segments: Vec<_> = path.split('/').skip(1).collect();
    let (tenant, rest) = match segments.as_slice() {
        [first, tenant, rest @ ..] if *first == TENANTS && !rest.is_empty() => {
            (Some(*tenant), rest)
        }
        all => (None, all),
    };
    let mut found: Vec<Found> = Vec::new();
    for route in ROUTES {
        let segments = match (route.names_tenant, tenant) {
            (NamesTenant::Never, _) => matched(route.path, &segments),
            (NamesTenant::Always, None) => None,
            (NamesTenant::Maybe | NamesTenant::Always, _) => matched(route.path, rest),
        };
        if let Some(segments) = segments {
            let names = route.names_tenant != NamesTenant::Never;
            found.push(Found {
                route,
                tenant: tenant.filter(|_| names).map(ToOwned::to_owned),
                segments,
            });
        }
    }
    // What is named literally comes before what stands for any text, whatever its methods.
    let fewest = found.iter().map(|found| found.segments.len()).min();
    found.retain(|found| Some(found.segments.len()) == fewest);
    let Some(place) = found.iter().position(|found| found.route.method == *asked) else {
        let mut allowed = Vec::new();
        for found in &found {
            allowed.push(found.route.method.as_str());
            if found.route.method == Method::GET {
                allowed.push("HEAD");
            }
        }
        return Err(match allowed.as_slice() {
            [] => Error::RouteNotFound,
            _ => Error::MethodNotAllowed { allowed },
        });
    };
    Ok(found.swap_remove(place))
}

/// What stands for the segments in braces, where the path is this route's.
fn matched(template: &str, segments: &[&str]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut expected = template.split('/').skip(1);
    for segment in segments {
        match expected.next()? {
            any if any.starts_with('{') && !segment.is_empty() => found.push((*segment).to_owned()),
            literal if literal == *segment => {}
            _ => return None,
        }
    }
    expected.next().is_none().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(method: Method, path: &str) -> Option<(&'static str, Option<String>, Vec<String>)> {
        let found = find(&method, path).ok()?;
        Some((found.route.path, found.tenant, found.segments))
    }

    #[test]
    fn what_is_literal_comes_before_what_stands_for_any_text() {
        let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            path(Method::PUT, "/hooks/order"),
            Some(("/hooks/order", None, vec![]))
        );
        assert_eq!(
            path(Method::PUT, "/hooks/tags"),
            Some(("/hooks/{name}", None, strings(&["tags"])))
        );
        assert_eq!(
            path(Method::GET, "/tenants/acme/hooks/decisions"),
            Some(("/hooks/decisions", Some("acme".to_owned()), vec![]))
        );
        assert_eq!(
            path(Method::GET, "/tenants/acme/plugins/p/revisions/00"),
            Some((
                "/plugins/{name}/revisions/{sha256}",
                Some("acme".to_owned()),
                strings(&["p", "00"])
            ))
        );
        assert_eq!(
            path(Method::GET, "/tenants/acme"),
            Some(("/tenants/{name}", None, strings(&["acme"])))
        );
        assert_eq!(
            path(Method::POST, "/tenants/acme/suspend"),
            Some(("/suspend", Some("acme".to_owned()), vec![]))
        );
        assert_eq!(path(Method::POST, "/suspend"), None);
        assert_eq!(
            path(Method::GET, "/tenants/acme/.well-known/jwks.json"),
            Some((
                "/tenants/{name}/.well-known/jwks.json",
                None,
                strings(&["acme"])
            ))
        );
        for nothing in [
            "/hooks/",
            "/hooks/a/b",
            "/tenants/",
            "/tenants/acme/",
            "/tenants/acme/signature",
            "/tenants/acme/suspend",
            "/.well-known/",
            "/tenants/.well-known/jwks.json",
        ] {
            assert_eq!(path(Method::GET, nothing), None, "{nothing}");
        }
    }
}
