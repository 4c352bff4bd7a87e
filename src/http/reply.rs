//! Successful answers in the envelope of the contract.

use std::fmt::Display;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
};
use serde::Serialize;
use serde_json::ser::Formatter;
use utoipa::ToSchema;

use crate::error::{Error, Result};

/// An answer of the server.
pub(super) type Response = http::Response<Vec<u8>>;

/// A successful answer, before it is dressed with what all answers carry.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
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
        Ok(Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: to_json(&envelope)?,
        })
    }

    /// 200 without content, as the reference answers a delete.
    pub(super) fn done() -> Result<Self> {
        Ok(Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: to_json(&BareEnvelope { status: true })?,
        })
    }

    /// 200 with bytes of another kind than JSON, without an envelope.
    pub(super) fn bytes(kind: &str, body: Vec<u8>) -> Self {
        let reply = Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body,
        };
        reply.with_header(CONTENT_TYPE, kind)
    }

    /// 304: the client has this already.
    pub(super) fn not_modified() -> Self {
        Self {
            status: StatusCode::NOT_MODIFIED,
            headers: Vec::new(),
            body: Vec::new(),
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

    /// The answer, with what all answers carry.
    pub(super) fn into_response(self, request_id: &str) -> Response {
        let mut response = json_response(self.status, self.body, request_id);
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// JSON in which bytes are base64.
fn to_json(content: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = Vec::with_capacity(512);
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
    let mut response = Response::new(body);
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
