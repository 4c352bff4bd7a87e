//! The path of every request: find the route, find out who asks, read the body, wait for a turn, answer, log.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use tracing::{Instrument as _, info, info_span};

use super::auth::authenticate;
use super::body::Body;
use super::error::error_response;
use super::parameters::Parameters;
use super::reply::{Reply, Response};
use super::server::Server;
use super::{ROUTES, Route};
use crate::app::App;
use crate::auth::random_name;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::plugins::{self, Judges};
use crate::{telemetry, turns};

/// Longest request id that is taken from the client, in characters.
const MAX_REQUEST_ID_CHARS: usize = 128;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
}

/// What a handler is given.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) context: Context,
    pub(super) headers: HeaderMap,
    query: String,
    body: Bytes,
    judges: Option<Judges>,
}

impl Call {
    /// The parameters of query and body, of which there are none but `known`.
    pub(super) fn parameters(&self, known: &[&str]) -> Result<Parameters> {
        Parameters::read(&self.query, &self.headers, &self.body, known)
    }

    /// Who judges this request: set on routes that say so.
    pub(super) fn take_judges(&mut self) -> Result<Judges> {
        self.judges
            .take()
            .ok_or_else(|| Error::internal("the route names no judges"))
    }
}

/// Answers a request, whatever happens.
pub(super) async fn respond(server: Arc<Server>, incoming: Incoming, mut body: Body) -> Response {
    let since = Instant::now();
    let request_id = request_id(&incoming.headers);
    let route = find_route(&incoming.method, &incoming.path);
    // Only paths of ours reach the log: others are a stranger's text.
    let path = ROUTES
        .iter()
        .map(|route| route.path)
        .find(|path| *path == incoming.path)
        .unwrap_or("(unknown)");
    let span = info_span!("request", id = %request_id, method = %incoming.method, path);
    async {
        let answer = AssertUnwindSafe(answer(
            server,
            incoming,
            &mut body,
            route,
            Arc::clone(&request_id),
        ));
        let result = answer
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Error::internal("answering the request panicked")));
        let response = match result {
            Ok(reply) => reply.into_response(&request_id),
            Err(error) => {
                // A client that is still sending would not see the answer.
                body.drain().await;
                error_response(&error, &request_id)
            }
        };
        let ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(status = response.status().as_u16(), ms, "Answered");
        response
    }
    .instrument(span)
    .await
}

async fn answer(
    server: Arc<Server>,
    incoming: Incoming,
    body: &mut Body,
    route: Result<&'static Route>,
    request_id: Arc<str>,
) -> Result<Reply> {
    let route = route?;
    let app = Arc::clone(&server.app);
    let caller = authenticate(&app, &incoming.headers).await?;
    if !caller.scopes.contains(&route.scope) {
        return Err(Error::InsufficientScope(route.scope.as_str()));
    }
    let body = body.read().await?;
    // First the turn that a tenant may be waiting for because of its own hooks: meanwhile it keeps nobody else from theirs.
    let judges = match route.judged {
        Some(operation) => Some(plugins::judges(&app, caller.tenant, operation).await?),
        None => None,
    };
    let turn = turns::wait(
        &server.turns,
        app.config.http.queue_timeout_ms,
        Error::Overloaded,
    )
    .await?;
    let call = Call {
        app,
        context: Context { caller, request_id },
        headers: incoming.headers,
        query: incoming.query,
        body,
        judges,
    };
    telemetry::spawn_blocking(move || {
        let _turn = turn;
        (route.handler)(call)
    })
    .await
    .map_err(Error::internal)?
}

fn find_route(method: &Method, path: &str) -> Result<&'static Route> {
    let here = || ROUTES.iter().filter(|route| route.path == path);
    let asked = if method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    if let Some(route) = here().find(|route| route.method == *asked) {
        return Ok(route);
    }
    let mut allowed = Vec::new();
    for route in here() {
        allowed.push(route.method.as_str());
        if route.method == Method::GET {
            allowed.push("HEAD");
        }
    }
    Err(if allowed.is_empty() {
        Error::RouteNotFound
    } else {
        Error::MethodNotAllowed { allowed }
    })
}

/// The client's own request id if it sent a sane one, otherwise a new one.
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
