//! Successful answers in the envelope of the contract.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::signatures::model::Signature;

/// An answer of the server.
pub(super) type Response = http::Response<Vec<u8>>;

/// A successful answer, before it is dressed with what all answers carry.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

#[derive(Serialize)]
struct Envelope<T> {
    status: bool,
    message: Option<&'static str>,
    content: T,
}

#[derive(Serialize)]
struct BareEnvelope {
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
            body: serde_json::to_vec(&envelope).map_err(Error::internal)?,
        })
    }

    /// 200 without content, as the reference answers a delete.
    pub(super) fn done() -> Result<Self> {
        Ok(Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: serde_json::to_vec(&BareEnvelope { status: true }).map_err(Error::internal)?,
        })
    }

    /// 304: the client has this version already.
    pub(super) fn not_modified(signature: &Signature) -> Self {
        let reply = Self {
            status: StatusCode::NOT_MODIFIED,
            headers: Vec::new(),
            body: Vec::new(),
        };
        reply.with_etag(signature)
    }

    /// The same as 201, with where to find what was made.
    pub(super) fn created(mut self, signature: &Signature) -> Self {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let location = format!(
            "/signature?document={}&thread={}&version={}",
            encode(&signature.key.document),
            encode(&signature.key.thread),
            signature.version
        );
        self.status = StatusCode::CREATED;
        self.with_header(LOCATION, &location)
    }

    /// The same with the version as its entity tag.
    pub(super) fn with_etag(self, signature: &Signature) -> Self {
        self.with_header(ETAG, &format!("\"{}\"", signature.version))
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
        response.headers_mut().extend(self.headers);
        response
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
