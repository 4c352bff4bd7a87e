//! Answers requests of the command line in this process, without a socket.
//!
//! They go the same way as all others, from the search for the route to the bytes of the answer. Only the caller
//! differs: it is the command line, which needs no token.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::BodyExt as _;

use super::body::Body;
use super::respond::{Incoming, respond};
use super::server::Server;

/// Answers a request of the command line. If it fails, the response has the [`Error`](sigpersist_model::error::Error)
/// among its extensions, in an [`Arc`].
pub async fn answer(
    server: Arc<Server>,
    request: Request<Bytes>,
) -> Response<impl Stream<Item = std::io::Result<Bytes>>> {
    let (head, body) = request.into_parts();
    let stream = stream::once(std::future::ready(Ok(body)));
    let body = Body::new(stream, &head.headers, &server.app.config.http);
    let incoming = Incoming {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        fault: None,
        connection: None,
    };
    let response = respond(server, incoming, body).await;
    response.map(|body| {
        body.into_data_stream()
            .map(|piece| piece.map_err(std::io::Error::other))
    })
}
