//! The path of every request: find the route, authenticate, read the body, wait for a permit, answer, log.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use sigpersist_model::context::{Caller, Context, PLATFORM, Tenancy};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_runtime::blocking;
use sigpersist_runtime::fair_semaphore::FairPermit;
use sigpersist_runtime::metrics::{self, InFlight};
use sigpersist_runtime::vault::random_name;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info, info_span};

use super::auth::authenticate;
use super::body::Body;
use super::bound;
use super::budget::{Held, Holder};
use super::cors::{self, Page};
use super::error::{error_response, told};
use super::form::read_form;
use super::head::Fault;
use super::multipart;
use super::parameter::Parameter;
use super::parameters::{Parameters, is_of_kind};
use super::places::Connection;
use super::reply::{Reply, Response};
use super::route::{self, Audience, Handler, Matched, Route, Waits};
use super::server::Server;
use crate::app::App;
use crate::plugins::{self, HeldPermit, ReadyChain};
use crate::telemetry::traces;
use crate::tenants;

/// Maximum length of a request id that a client may choose, in characters.
const MAX_REQUEST_ID_CHARS: usize = 128;

/// Characters that are percent-encoded in our paths. Names contain hyphens, so those are kept.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// A request without its body.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// Reason why the request is refused, if its head breaks a rule of HTTP.
    pub(super) fault: Option<Fault>,
    /// The connection that the request came on.
    pub(super) connection: Option<Arc<Connection>>,
}

/// Input of a handler.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) server: Arc<Server>,
    pub(super) context: Context,
    pub(super) headers: HeaderMap,
    route: &'static Route,
    segments: Vec<String>,
    names_tenant: bool,
    query: String,
    body: Bytes,
    /// The bytes that body and answer take of the budget.
    held: Arc<Held>,
    ready_chain: Option<ReadyChain>,
    /// A body that the handler reads line by line. Behind a lock, since a body can't be shared.
    lines: Mutex<Option<Body>>,
}

impl Call {
    /// The first (or only) segment that the route's path has in braces.
    pub(super) fn name(&self) -> &str {
        self.segment(0)
    }

    /// A segment that the route's path has in braces, by its position.
    pub(super) fn segment(&self, place: usize) -> &str {
        self.segments.get(place).map_or("", String::as_str)
    }

    /// A path of the API; under `/tenants/{tenant}` if this request named its tenant there.
    pub(super) fn location(&self, segments: &[&str]) -> String {
        let mut location = String::new();
        if self.names_tenant
            && let Some(tenancy) = &self.context.tenancy
        {
            location = format!("/tenants/{}", tenancy.slug);
        }
        for segment in segments {
            location.push('/');
            location.push_str(&utf8_percent_encode(segment, PATH).to_string());
        }
        location
    }

    /// Takes the body out of the call, which frees it early: the handler has its own copy of what it needs.
    pub(super) fn take_body(&mut self) -> Bytes {
        std::mem::take(&mut self.body)
    }

    /// Takes the body out of the call if it is to be read line by line.
    pub(super) fn take_lines(&self) -> Option<Body> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.take()
    }

    /// The bytes that the call holds of the budget.
    pub(super) fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held)
    }

    /// Reserves bytes of the budget for the answer, before they are loaded into memory.
    ///
    /// # Errors
    ///
    /// The errors of [`Held::grow_to`].
    pub(super) fn reserve(&self, bytes: usize) -> Result<()> {
        self.held.grow_to(bytes)
    }

    /// Gives back what is not needed of the bytes that were reserved.
    pub(super) fn keep_only(&self, bytes: usize) {
        self.held.set(bytes);
    }

    /// An answer of a handler that waits: its bytes are taken from the budget.
    ///
    /// # Errors
    ///
    /// The errors of [`Held::grow_to`].
    pub(super) fn answered(&self, reply: Reply) -> Result<Reply> {
        let bytes = reply.bytes_of_body();
        self.held.grow_to(bytes)?;
        self.held.set(bytes);
        Ok(reply.holding(Arc::clone(&self.held)))
    }

    /// Checks once more that the caller may do this, after a wait: the token may have expired, its key may have been
    /// revoked, and the tenant may have been suspended or deleted.
    ///
    /// # Errors
    ///
    /// As for a new request.
    pub(super) async fn check_again(&self) -> Result<()> {
        let caller = caller(&self.server, self.route, &self.headers, true).await?;
        check_scope(&self.server, self.route, &caller)?;
        let known = self.context.tenancy.as_ref();
        let slug = known.filter(|_| self.names_tenant);
        let slug = slug.map(|tenancy| utf8_percent_encode(&tenancy.slug, PATH).to_string());
        let now = tenancy(&self.app, &caller, slug.as_deref()).await?;
        let id_of = |tenancy: &Tenancy| tenancy.id;
        if now.as_ref().map(id_of) == known.map(id_of) {
            return Ok(());
        }
        Err(Error::NotFound(Noun::Tenant))
    }

    /// Parses the body as JSON of this form; a query is refused.
    pub(super) fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        bound::check_unbound(&self.context.caller)?;
        read_form(&self.query, &self.headers, &self.body)
    }

    /// The parameters of query and body; only the route's own are allowed.
    pub(super) fn parameters(&self) -> Result<Parameters<'_>> {
        let known = [self.route.required, self.route.optional].concat();
        self.parameters_of(&known)
    }

    /// Parameters of query and body that are not in the table of routes.
    pub(super) fn parameters_of(&self, known: &[&'static Parameter]) -> Result<Parameters<'_>> {
        let read = Parameters::read(&self.query, &self.headers, &self.body, known)?;
        self.bound(read, known)
    }

    /// The parameters of an object that is a part of the body.
    pub(super) fn parameters_in<'a>(&self, object: &'a Bytes) -> Result<Parameters<'a>> {
        let known = [self.route.required, self.route.optional].concat();
        let read = Parameters::read("", &HeaderMap::new(), object, &known)?;
        self.bound(read, &known)
    }

    /// Parameters bound to the document that the token may be for.
    fn bound<'a>(
        &self,
        mut parameters: Parameters<'a>,
        known: &[&'static Parameter],
    ) -> Result<Parameters<'a>> {
        bound::bind(&mut parameters, known, self.route, &self.context.caller)?;
        Ok(parameters)
    }

    /// A part of the body.
    pub(super) fn part(&self, of_body: &str) -> Bytes {
        self.body.slice_ref(of_body.as_bytes())
    }

    /// An answer of a handler that waits, to a change that was made: it is given also over budget.
    pub(super) fn done(&self, reply: Reply) -> Reply {
        self.held.set(reply.bytes_of_body());
        reply.holding(Arc::clone(&self.held))
    }

    /// Waits for what any request of the tenant waits for.
    pub(super) async fn permits(&self) -> Result<Permits> {
        Ok(permits(&self.server, Waits::No, &self.context).await?.0)
    }

    /// Waits for what a save of the tenant waits for.
    pub(super) async fn permits_to_save(&self) -> Result<(Permits, ReadyChain)> {
        let waits = Waits::ReadyChain(Operation::Save);
        let (permits, chain) = permits(&self.server, waits, &self.context).await?;
        let chain = chain.ok_or_else(|| Error::internal("a save waits for a chain"))?;
        Ok((permits, chain))
    }

    /// The tenant's chain of hooks; present if the route waits for it.
    pub(super) fn take_chain(&mut self) -> Result<ReadyChain> {
        self.ready_chain
            .take()
            .ok_or_else(|| Error::internal("the route waits for no chain"))
    }
}

/// Answers a request; always returns a response.
pub(super) async fn respond(server: Arc<Server>, incoming: Incoming, mut body: Body) -> Response {
    let since = Instant::now();
    let request_id = request_id(&incoming.headers);
    let found = match incoming.fault {
        Some(fault) => Err(fault.error()),
        None => route::find(&incoming.method, &incoming.path),
    };
    let connection = incoming.connection.clone();
    let mut page = match &found {
        // Nothing may keep the server from saying that it is alive.
        Ok(found) if found.route.waits == Waits::Never => Page::Nobody,
        _ => cors::page_of(&server, &incoming.headers).await,
    };
    let told_whole = server.command_line().is_some();
    // Only paths of our own are logged: others are untrusted text.
    let path = match &found {
        Ok(found) => found.route.path,
        Err(_) => "(unknown)",
    };
    let method = incoming.method.clone();
    let _in_flight = InFlight::new();
    let span =
        info_span!("request", id = %request_id, method = %incoming.method, path, trace_id = Empty);
    traces::follow(&span, &incoming.headers);
    async {
        let result = match page.preflight(&incoming) {
            Some(reply) => Ok(reply),
            None => {
                let request_id = Arc::clone(&request_id);
                let answered = answer(server, incoming, &mut body, found, request_id, &mut page);
                AssertUnwindSafe(answered)
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| Err(Error::internal("answering the request panicked")))
            }
        };
        let mut response = match result {
            Ok(reply) => reply.into_response(&request_id),
            Err(error) => {
                // A client that is still sending would not see the answer. Meanwhile its connection may be closed if
                // others need the place.
                if let Some(connection) = connection {
                    connection.refuse();
                }
                body.drain().await;
                match told_whole {
                    true => told(error, &request_id),
                    false => error_response(&error, &request_id),
                }
            }
        };
        page.let_read(&mut response);
        let took = since.elapsed();
        let status = response.status().as_u16();
        metrics::answered(path, method.as_str(), status, took);
        traces::answered(&Span::current(), method.as_str(), path, status);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        info!(status, ms, "Answered");
        response
    }
    .instrument(span)
    .await
}

/// Answers a request, step by step; each step may refuse it.
async fn answer(
    server: Arc<Server>,
    incoming: Incoming,
    body: &mut Body,
    found: Result<Matched>,
    request_id: Arc<str>,
    page: &mut Page,
) -> Result<Reply> {
    let found = found?;
    let (route, headers) = (found.route, &incoming.headers);
    if !server.has(route) {
        return Err(Error::RouteNotFound);
    }
    let caller = caller(&server, route, headers, true).await?;
    if !server.is_anonymous(route) {
        page.admit(&server.app, &caller, headers).await?;
    }
    let under_way = server.app.meters.admit(&caller)?;
    check_scope(&server, route, &caller)?;
    let context = Context {
        tenancy: tenancy(&server.app, &caller, found.tenant.as_deref()).await?,
        caller,
        request_id,
    };
    let (whole, held) = read(&server, route, &context, headers, body).await?;
    let (permits, ready_chain) = permits(&server, route.waits, &context).await?;
    // Body and permits may have taken time: a key that was revoked meanwhile, or a tenant that was suspended, is refused.
    // Nobody waits for a provider while this request holds them.
    self::caller(&server, route, headers, false).await?;
    let comes_in_lines = route.body.comes_in_lines(headers);
    let lines = comes_in_lines.then(|| body.take());
    let mut headers = incoming.headers;
    if incoming.method != Method::GET {
        // Ranges are for GET alone (RFC 9110 section 14.2).
        headers.remove(RANGE);
    }
    let call = Call {
        app: Arc::clone(&server.app),
        server,
        context,
        route,
        segments: found
            .segments
            .iter()
            .map(|segment| decoded(segment))
            .collect::<Result<_>>()?,
        names_tenant: found.tenant.is_some(),
        query: incoming.query,
        headers,
        body: whole,
        held: Arc::new(held),
        ready_chain,
        lines: Mutex::new(lines),
    };
    let handler = match route.handler {
        // The handler does not block, and threads may be scarce.
        Handler::Blocking(handler) if route.waits == Waits::Never => return handler(call),
        Handler::Blocking(handler) => handler,
        Handler::Waiting(handler) => {
            drop((permits, under_way));
            return handler(call).await;
        }
    };
    let is_safe = incoming.method.is_safe();
    let (waiting, held) = (Arc::clone(&call.server), Arc::clone(&call.held));
    let work = move || handle(handler, call, is_safe);
    let mut reply = blocking::run((permits, under_way), work).await??;
    if let Some(awaits) = reply.take_awaits() {
        reply = awaits.answered(waiting).await?;
        held.set(reply.bytes_of_body());
        reply = reply.holding(held);
    }
    Ok(reply)
}

/// Finds out who the caller is: the command line, the owner of the token, or nobody if the route needs none. With `may_wait`, it may
/// wait for an identity provider.
async fn caller(
    server: &Server,
    route: &Route,
    headers: &HeaderMap,
    may_wait: bool,
) -> Result<Arc<Caller>> {
    if server.is_anonymous(route) {
        return Ok(Arc::new(Caller::nobody()));
    }
    match server.command_line() {
        Some(caller) => Ok(Arc::clone(caller)),
        None => authenticate(&server.app, headers, may_wait).await,
    }
}

/// Checks that the token allows the route: by its scopes, and by the document that it may be for.
fn check_scope(server: &Server, route: &Route, caller: &Caller) -> Result<()> {
    let is_reserved = route.audience == Audience::Platform && caller.tenant.is_some();
    match route.scope {
        Some(scope)
            if !server.is_anonymous(route) && (is_reserved || !caller.scopes.contains(&scope)) =>
        {
            Err(Error::InsufficientScope(scope.as_str()))
        }
        _ => bound::check_route(route, caller),
    }
}

/// Reads the body, within the budget of bytes.
async fn read(
    server: &Server,
    route: &Route,
    context: &Context,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<(Bytes, Held)> {
    if server.is_anonymous(route) {
        // Requests without a token wait for nothing here, since their bodies are never read.
        let holder = match route.waits {
            Waits::PublicLog => Holder::Monitors,
            _ => Holder::Strangers,
        };
        return Ok((Bytes::new(), server.budget.nothing(holder)));
    }
    let holder = match &context.caller.tenant {
        Some(tenancy) => Holder::Tenant(tenancy.id),
        None => Holder::Platform,
    };
    let config = &server.app.config;
    let patience_ms = config.http.queue_timeout_ms;
    if route.body.comes_in_lines(headers) {
        return Ok((Bytes::new(), server.budget.nothing(holder)));
    }
    let max_bytes = route.max_body_bytes(config);
    body.check_declared(max_bytes)?;
    if has_body(headers) {
        route.body.check_kind(headers)?;
    }
    // Parts of forms are copied when they are read.
    let copies = match is_of_kind(headers, multipart::MEDIA_TYPE) {
        true => 2,
        false => 1,
    };
    let declared = body.declared_bytes().saturating_mul(copies);
    let held = server.budget.take(holder, declared, patience_ms).await?;
    Ok((body.read(max_bytes, copies, &held).await?, held))
}

/// The permits of a request: those that its kind of work shares, the chain's, and its own.
pub(super) type Permits = (Option<FairPermit>, Option<HeldPermit>, Option<FairPermit>);

/// Waits for what limits the route.
///
/// Permits that a tenant's own hooks may delay come first, so that a request does not hold a shared permit meanwhile.
async fn permits(
    server: &Server,
    waits: Waits,
    context: &Context,
) -> Result<(Permits, Option<ReadyChain>)> {
    let (mut ready_chain, mut shared) = (None, None);
    match waits {
        Waits::Never => return Ok((Permits::default(), None)),
        Waits::No => {}
        Waits::Publication => shared = Some(server.publications.acquire(None).await?),
        Waits::PublicLog => shared = Some(server.public_logs.acquire(None).await?),
        Waits::ReadyChain(operation) => {
            ready_chain = Some(plugins::ready_chain(&server.app, context, operation).await?);
        }
        Waits::SetUp => {
            let owner = context.owner().unwrap_or(PLATFORM);
            shared = Some(server.set_ups.acquire(Some(owner)).await?);
        }
        Waits::Check => {
            let owner = context.owner().unwrap_or(PLATFORM);
            shared = Some(server.checks.acquire(Some(owner)).await?);
        }
        Waits::List => shared = Some(server.lists.acquire(Some(context.tenant()?)).await?),
        Waits::Trial => shared = Some(server.trials.acquire(Some(context.tenant()?)).await?),
    }
    let tenant = context.tenancy.as_ref().map(|tenancy| tenancy.id);
    let own = server.requests.acquire(tenant).await?;
    let of_chain = ready_chain.as_ref().map(ReadyChain::held);
    Ok(((Some(own), of_chain, shared), ready_chain))
}

/// Runs the handler, and takes the bytes of its answer from the budget. Blocks.
fn handle(handler: fn(Call) -> Result<Reply>, call: Call, is_safe: bool) -> Result<Reply> {
    let held = Arc::clone(&call.held);
    let reply = handler(call)?;
    let bytes = reply.bytes_of_body();
    if is_safe {
        held.grow_to(bytes)?;
    }
    // A change that was made must be answered even over budget. An answer with a smaller body, or none, gives bytes
    // back.
    held.set(bytes);
    Ok(reply.holding(held))
}

/// Whether the request has a body, according to its head.
fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers
            .get(CONTENT_LENGTH)
            .is_some_and(|value| value.as_bytes() != b"0")
}

/// The tenant that a request is for: the one that its path names, or the caller's own.
///
/// A tenant's caller may name only its own; any other tenant is "not found".
async fn tenancy(app: &Arc<App>, caller: &Caller, named: Option<&str>) -> Result<Option<Tenancy>> {
    let Some(slug) = named.map(decoded).transpose()? else {
        return Ok(caller.tenant.clone());
    };
    match &caller.tenant {
        Some(own) if *own.slug == slug => Ok(Some(own.clone())),
        Some(_) => Err(Error::NotFound(Noun::Tenant)),
        None => {
            let find = move |app: &App| tenants::acted_for(app, &slug);
            app.load(find).await.map(Some)
        }
    }
}

fn decoded(segment: &str) -> Result<String> {
    match percent_decode_str(segment).decode_utf8() {
        // Postgres rejects text that contains U+0000.
        Ok(text) if !text.contains('\0') => Ok(text.into()),
        _ => Err(Error::RouteNotFound),
    }
}

/// The client's own request id if it is acceptable, otherwise a new one.
fn request_id(headers: &HeaderMap) -> Arc<str> {
    let sent = headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok());
    match sent {
        Some(id)
            if (1..=MAX_REQUEST_ID_CHARS).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)) =>
        {
            id.into()
        }
        _ => random_name()
            .unwrap_or_else(|_| "unknown".to_owned())
            .into(),
    }
}
