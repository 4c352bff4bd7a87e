//! Successful answers in the envelope of the contract.

use std::fmt::Display;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LOCATION,
};
use serde::Serialize;
use serde_json::ser::Formatter;
use sigpersist_model::error::{Error, Result};
use utoipa::ToSchema;
use warp::Reply as _;

use super::budget::Held;
use super::pieces::Pieces;

/// An answer of the server.
pub(super) type Response = warp::reply::Response;

/// A successful answer, before it is dressed with what all answers carry.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Pieces,
    /// The bytes of the budget that it takes until it is sent.
    held: Option<Arc<Held>>,
}

/// A successful answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope<T> {
    /// True.
    #[schema(example = true)]
    status: bool,
    /// Null.
    #[schema(example = json!(null))]
    message: Option<&'static str>,
    /// What was asked for.
    content: T,
}

/// A successful answer without content.
#[derive(Serialize, ToSchema)]
pub(super) struct BareEnvelope {
    /// True.
    #[schema(example = true)]
    status: bool,
}

impl Reply {
    /// 200 with content.
    pub(super) fn content(content: &impl Serialize) -> Result<Self> {
        let envelope = Envelope {
            status: true,
            message: None,
            content,
        };
        Ok(Self::ok(to_json(&envelope)?))
    }

    /// 200 without content, as the reference answers a delete.
    pub(super) fn done() -> Result<Self> {
        Ok(Self::ok(to_json(&BareEnvelope { status: true })?))
    }

    /// 200 with bytes of another kind than JSON, without an envelope.
    pub(super) fn bytes(kind: &str, body: Vec<u8>) -> Self {
        Self::ok(Bytes::from(body).into()).with_header(CONTENT_TYPE, kind)
    }

    fn ok(body: Pieces) -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body,
            held: None,
        }
    }

    /// 304: the client has this already.
    pub(super) fn not_modified() -> Self {
        Self {
            status: StatusCode::NOT_MODIFIED,
            ..Self::ok(Pieces::default())
        }
    }

    /// The same as 202: what is asked for happens later.
    pub(super) fn accepted(mut self) -> Self {
        self.status = StatusCode::ACCEPTED;
        self
    }

    /// The same as 201: something was made that has no place of its own.
    pub(super) fn with_status_created(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// The same, with a secret in it that nothing on the way may keep.
    pub(super) fn never_stored(self) -> Self {
        self.with_header(CACHE_CONTROL, "no-store")
    }

    /// The same, which anybody may keep for so many seconds.
    pub(super) fn cached_by_anybody(self, seconds: u32) -> Self {
        self.with_header(CACHE_CONTROL, &format!("public, max-age={seconds}"))
    }

    /// The same, of which a browser loads and runs no more than this policy allows (Content Security Policy Level 3).
    pub(super) fn with_content_policy(self, policy: &str) -> Self {
        self.with_header(CONTENT_SECURITY_POLICY, policy)
    }

    /// The same as 201, with where to find what was made.
    pub(super) fn created_at(mut self, location: &str) -> Self {
        self.status = StatusCode::CREATED;
        self.with_header(LOCATION, location)
    }

    /// The same with its entity tag: the number or digest of what is shown.
    pub(super) fn with_etag(self, tag: impl Display) -> Self {
        self.with_header(ETAG, &format!("\"{tag}\""))
    }

    fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        // Percent-encoded text and digits always fit.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// How many bytes its body has.
    pub(super) fn bytes_of_body(&self) -> usize {
        self.body.len()
    }

    /// The same, which takes these bytes of the budget until it is sent.
    pub(super) fn holding(mut self, held: Arc<Held>) -> Self {
        self.held = Some(held);
        self
    }

    /// The answer, with what all answers carry.
    pub(super) fn into_response(self, request_id: &str) -> Response {
        let length = self.body.len();
        let body = warp::reply::stream(self.body.sent(self.held)).into_response();
        let mut response = dressed(self.status, body, request_id);
        if self.status != StatusCode::NOT_MODIFIED {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// JSON in which bytes are base64.
fn to_json(content: &impl Serialize) -> Result<Pieces> {
    let mut json = Pieces::default();
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, BytesAsBase64);
    content
        .serialize(&mut serializer)
        .map_err(Error::internal)?;
    Ok(json)
}

/// Writes bytes as a string of their padded base64 (RFC 4648 section 4), in which nothing needs an escape.
struct BytesAsBase64;

impl Formatter for BytesAsBase64 {
    fn write_byte_array<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        /// A multiple of three, so that only the last part is padded.
        const PART: usize = 3 * 1024;
        let mut text = [0; PART / 3 * 4];
        writer.write_all(b"\"")?;
        for part in bytes.chunks(PART) {
            let length = BASE64
                .encode_slice(part, &mut text)
                .map_err(io::Error::other)?;
            writer.write_all(text.get(..length).unwrap_or_default())?;
        }
        writer.write_all(b"\"")
    }
}

/// A JSON answer under the request's id.
pub(super) fn json_response(status: StatusCode, body: Vec<u8>, request_id: &str) -> Response {
    dressed(status, body.into_response(), request_id)
}

fn dressed(status: StatusCode, body: Response, request_id: &str) -> Response {
    let mut response = Response::new(body.into_body());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // Signatures are a tenant's own: no cache between us may keep them.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}
