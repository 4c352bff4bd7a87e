//! The type of a route, and the search for a request's route.

use http::{HeaderMap, Method};
use sigpersist_model::context::Scope;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{self, Operation};
use sigpersist_model::transfer;

use super::ROUTES;
use super::events::Waiting;
use super::multipart;
use super::parameter::Parameter;
use super::parameters::{FILE_TYPES, JSON, check_content_type, is_file, is_of_kind};
use super::reply::Reply;
use super::respond::Call;
use crate::config::Config;

/// Path segment before the tenant that a caller of the platform acts for.
const TENANTS: &str = "tenants";
/// Bytes allowed for test cases and other JSON beside a component in base64.
const MAX_CASES_BYTES: usize = 4 * 1024 * 1024;

/// Maximum size of a piece of a tenant's file, in bytes.
pub const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// A route: method, path, audience, limits and handler.
#[derive(Debug)]
pub struct Route {
    /// The method. Routes for GET also answer HEAD.
    pub method: Method,
    /// The path. A segment in braces matches any text, which the handler receives.
    pub path: &'static str,
    /// The scope that the caller's token needs; none if it needs none, or no token is needed.
    pub scope: Option<Scope>,
    /// The callers that the route is for.
    pub audience: Audience,
    /// Whether its path may name a tenant.
    pub names_tenant: NamesTenant,
    /// Whether the route exists on the watch port too.
    pub(super) watches: bool,
    /// Whether the last segment in braces may contain slashes.
    pub(super) has_tail: bool,
    /// Whether the route obeys `If-Match` and `If-None-Match`.
    pub(super) is_conditional: bool,
    /// Required parameters, in the query or a JSON body.
    pub(super) required: &'static [&'static Parameter],
    /// Optional parameters.
    pub(super) optional: &'static [&'static Parameter],
    /// How tokens for one document apply to the route.
    pub document_tokens: DocumentTokens,
    pub(super) waits: Waits,
    pub(super) body: BodyKind,
    pub(super) handler: Handler,
}

/// How tokens for one document apply to a route. `http::bound` obeys it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentTokens {
    /// They are refused: the default.
    Refused,
    /// They are taken for their document: the route's parameters, or those of each element of its body, name one.
    Bound,
    /// They are taken: the route shows nothing that is stored.
    Free,
}

/// What answers the requests of a route.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handler {
    /// Runs on a thread that may block.
    Blocking(fn(Call) -> Result<Reply>),
    /// Waits without a thread, and holds no permit.
    Waiting(fn(Call) -> Waiting),
}

/// Callers that a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Callers of a tenant.
    Tenant,
    /// Operators of a tenant, or of the platform under `/tenants/{tenant}`.
    Operators,
    /// Any caller with a token, whatever it allows.
    Callers,
    /// Only callers of the platform, whatever scopes a tenant's token has.
    Platform,
    /// Anybody, without a token.
    Anybody,
}

/// Whether a route exists under `/tenants/{tenant}` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesTenant {
    /// Not under `/tenants/{tenant}`.
    Never,
    /// At both paths; under `/tenants/{tenant}` it is about that tenant.
    Maybe,
    /// Only under `/tenants/{tenant}`.
    Always,
}

/// The permit that a request waits for, beside the one that all requests wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// No permit at all, not even the common one: answered at once, under any load.
    Never,
    /// No further permit.
    No,
    /// A permit for unauthenticated requests.
    Publication,
    /// A permit to read public logs without a token.
    PublicLog,
    /// A permit to run the tenant's hooks.
    ReadyChain(Operation),
    /// A permit to walk through what the tenant has stored.
    List,
    /// A permit to try hooks.
    Trial,
    /// A permit to compile plugins and check their settings.
    SetUp,
    /// A permit to check audit trails.
    Check,
}

/// Kind and size of a route's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyKind {
    /// JSON, large enough for a signature.
    Json,
    /// JSON, large enough for settings.
    SmallJson,
    /// A component, as it is or in JSON.
    Component,
    /// JSON, or a signature as a file, alone or in a form.
    Signature,
    /// JSON: `signatures`, a list of objects with the route's parameters. Or a stream of such objects, one on each line.
    Many,
    /// A piece of a tenant's file.
    Piece,
}

impl BodyKind {
    /// The largest body, in bytes.
    pub(super) fn max_bytes(self, config: &Config) -> usize {
        match self {
            Self::Json | Self::Signature | Self::Many => config.http.max_body_bytes(),
            Self::SmallJson => config
                .hooks
                .max_settings_bytes
                .saturating_mul(6)
                .saturating_add(64 * 1024),
            Self::Piece => PIECE_BYTES,
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
    /// Refuses a body of the wrong media type before it is read.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedMediaType`] if it is of the wrong media type.
    pub(super) fn check_kind(self, headers: &HeaderMap) -> Result<()> {
        match self {
            Self::Component if is_of_kind(headers, plugin::MEDIA_TYPE) => Ok(()),
            Self::Signature if is_file(headers) || is_of_kind(headers, multipart::MEDIA_TYPE) => {
                Ok(())
            }
            Self::Many if self.comes_in_lines(headers) => Ok(()),
            Self::Piece if is_of_kind(headers, transfer::MEDIA_TYPE) => Ok(()),
            Self::Piece => Err(Error::UnsupportedMediaType(self.media_types())),
            _ => check_content_type(headers, self.media_types()),
        }
    }

    /// Whether the body is a stream of lines, which its handler reads.
    pub(super) fn comes_in_lines(self, headers: &HeaderMap) -> bool {
        self == Self::Many && is_of_kind(headers, transfer::MEDIA_TYPE)
    }

    /// The media types of bodies that the route takes.
    fn media_types(self) -> Vec<&'static str> {
        match self {
            Self::Json | Self::SmallJson => vec![JSON],
            Self::Many => vec![JSON, transfer::MEDIA_TYPE],
            Self::Component => vec![plugin::MEDIA_TYPE, JSON],
            Self::Signature => [&[JSON, multipart::MEDIA_TYPE], &FILE_TYPES[..]].concat(),
            Self::Piece => vec![transfer::MEDIA_TYPE],
        }
    }
}

impl Route {
    /// Maximum size of the body, in bytes.
    pub fn max_body_bytes(&self, config: &Config) -> usize {
        self.body.max_bytes(config)
    }

    pub(super) const fn of_tenant(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: fn(Call) -> Result<Reply>,
    ) -> Self {
        Self::for_tenant(method, path, scope, Handler::Blocking(handler))
    }

    /// A route of tenants whose handler waits without a thread.
    pub(super) const fn of_tenant_waiting(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: fn(Call) -> Waiting,
    ) -> Self {
        Self::for_tenant(method, path, scope, Handler::Waiting(handler))
    }

    const fn for_tenant(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path,
            scope: Some(scope),
            audience: Audience::Tenant,
            names_tenant: NamesTenant::Never,
            watches: false,
            has_tail: false,
            is_conditional: false,
            required: &[],
            optional: &[],
            document_tokens: DocumentTokens::Refused,
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
        Self::for_operators(method, path, scope, Handler::Blocking(handler))
    }

    const fn for_operators(
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: Handler,
    ) -> Self {
        let mut route = Self::for_tenant(method, path, scope, handler);
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

    pub(super) const fn of_callers(
        method: Method,
        path: &'static str,
        handler: fn(Call) -> Result<Reply>,
    ) -> Self {
        let mut route = Self::of_anybody(method, path, handler);
        route.audience = Audience::Callers;
        route.waits = Waits::No;
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
            has_tail: false,
            is_conditional: false,
            required: &[],
            optional: &[],
            document_tokens: DocumentTokens::Refused,
            waits: Waits::Publication,
            body: BodyKind::SmallJson,
            handler: Handler::Blocking(handler),
        }
    }

    /// A route of operators whose handler waits without a thread.
    pub(super) const fn of_followers(
        path: &'static str,
        scope: Scope,
        handler: fn(Call) -> Waiting,
    ) -> Self {
        Self::for_operators(Method::GET, path, scope, Handler::Waiting(handler))
    }

    /// Makes the route exist under `/tenants/{tenant}` too, or only there.
    pub(super) const fn names_tenant(mut self, names_tenant: NamesTenant) -> Self {
        self.names_tenant = names_tenant;
        self
    }

    /// Lets the last segment, which is in braces, contain slashes.
    pub(super) const fn with_tail(mut self) -> Self {
        self.has_tail = true;
        self
    }

    /// Says how tokens for one document apply to the route; they are refused otherwise.
    pub(super) const fn document_tokens(mut self, document_tokens: DocumentTokens) -> Self {
        self.document_tokens = document_tokens;
        self
    }

    pub(super) const fn conditional(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    pub(super) const fn requires(mut self, parameters: &'static [&'static Parameter]) -> Self {
        self.required = parameters;
        self
    }

    pub(super) const fn allows(mut self, parameters: &'static [&'static Parameter]) -> Self {
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

/// A matching route, with the variable parts of the path.
#[derive(Debug, Clone)]
pub(super) struct Matched {
    pub(super) route: &'static Route,
    /// The tenant that the path names, still percent-encoded.
    pub(super) tenant: Option<String>,
    /// The segments that the route has in braces, in order, still percent-encoded.
    pub(super) segments: Vec<String>,
}

/// Finds the route of a request.
pub(super) fn find(method: &Method, path: &str) -> Result<Matched> {
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
    let mut found: Vec<Matched> = Vec::new();
    for route in ROUTES {
        let segments = match (route.names_tenant, tenant) {
            (NamesTenant::Never, _) => matched(route, &segments),
            (NamesTenant::Always, None) => None,
            (NamesTenant::Maybe | NamesTenant::Always, _) => matched(route, rest),
        };
        if let Some(segments) = segments {
            let names = route.names_tenant != NamesTenant::Never;
            found.push(Matched {
                route,
                tenant: tenant.filter(|_| names).map(ToOwned::to_owned),
                segments,
            });
        }
    }
    // A literal segment has precedence over one in braces, whatever the methods.
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

/// The text of the segments in braces, if the path matches the route's template.
fn matched(route: &Route, segments: &[&str]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut expected = route.path.split('/').skip(1).peekable();
    for (place, segment) in segments.iter().enumerate() {
        let template = expected.next()?;
        if route.has_tail && expected.peek().is_none() {
            found.push(segments.get(place..)?.join("/"));
            return Some(found);
        }
        match template {
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
