//! Successful responses, in the contract's envelope.

use std::fmt::{self, Display};
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::Stream;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
    RETRY_AFTER, VARY,
};
use http::{HeaderMap, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::ser::Formatter;
use sigpersist_model::error::{Error, Result};
use utoipa::ToSchema;
use warp::Reply as _;

use super::budget::Held;
use super::file::{CHUNK_BYTES, FilePart, asked};
use super::logged::AwaitsLog;
use super::pieces::Pieces;

/// A response of the server.
pub(super) type Response = warp::reply::Response;

/// A successful response, before the headers that all responses share are added.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Pieces,
    /// The file that is sent instead of the body.
    file: Option<FilePart>,
    /// What is sent instead of the body as it comes, without an end.
    live: Option<Live>,
    /// What is waited for before another reply is made instead of this one.
    awaits: Option<AwaitsLog>,
    /// The bytes of the budget that the body holds until it is sent.
    held: Option<Arc<Held>>,
}

/// A body that is sent as it comes.
pub(super) struct Live(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>>);

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Live")
    }
}

/// A successful response.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope<T> {
    /// True.
    #[schema(example = true)]
    status: bool,
    /// Null.
    #[schema(example = json!(null))]
    message: Option<&'static str>,
    /// The result of the request.
    content: T,
}

/// A successful response without content.
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

    /// 200 with a body that is not JSON, without an envelope.
    pub(super) fn bytes(kind: &str, body: impl Into<Bytes>) -> Self {
        Self::ok(body.into().into()).with_header(CONTENT_TYPE, kind)
    }

    fn ok(body: Pieces) -> Self {
        Self {
            status: StatusCode::OK,
            headers: Vec::new(),
            body,
            file: None,
            live: None,
            awaits: None,
            held: None,
        }
    }

    /// 200 with a file, or 206 with a part of it. It is read as it is sent.
    pub(super) fn file(kind: &str, part: FilePart) -> Self {
        let mut reply = Self::ok(Pieces::default()).ranged(kind, (part.from, part.to), part.size);
        reply.file = Some(part);
        reply
    }

    /// 200 with bytes that are in memory, or 206 with the part of them that the headers ask for.
    ///
    /// # Errors
    ///
    /// [`Error::RangeNotSatisfiable`] for a range that begins beyond the end.
    pub(super) fn part(kind: &str, bytes: Bytes, tag: &str, headers: &HeaderMap) -> Result<Self> {
        let size = bytes.len();
        let (from, to) = asked(size as u64, &format!("\"{tag}\""), headers)?;
        let within = |place| usize::try_from(place).unwrap_or(size);
        let part = bytes.slice(within(from)..within(to));
        let reply = Self::ok(part.into()).ranged(kind, (from, to), size as u64);
        Ok(reply.with_etag(tag))
    }

    /// Says which bytes of how many are sent: the first, and the one after the last.
    fn ranged(mut self, kind: &str, (from, to): (u64, u64), size: u64) -> Self {
        if (from, to) != (0, size) {
            self.status = StatusCode::PARTIAL_CONTENT;
            self = self.with_header(CONTENT_RANGE, &format!("bytes {from}-{}/{size}", to - 1));
        }
        self.with_header(CONTENT_TYPE, kind)
            .with_header(ACCEPT_RANGES, "bytes")
    }

    /// 200 with a body that is sent as it comes.
    pub(super) fn live(
        kind: &str,
        body: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>>,
    ) -> Self {
        let mut reply = Self::ok(Pieces::default()).with_header(CONTENT_TYPE, kind);
        reply.live = Some(Live(body));
        reply
    }

    /// A reply that is made once a version is in the log.
    pub(super) fn once_logged(awaits: AwaitsLog) -> Self {
        let mut reply = Self::ok(Pieces::default());
        reply.awaits = Some(awaits);
        reply
    }

    /// Takes out what is waited for.
    pub(super) fn take_awaits(&mut self) -> Option<AwaitsLog> {
        self.awaits.take()
    }

    /// Says that it waited for as long as the client preferred (RFC 7240 section 3).
    pub(super) fn having_waited(self, seconds: u64) -> Self {
        let name = HeaderName::from_static("preference-applied");
        self.with_header(name, &format!("wait={seconds}"))
    }

    /// 304: the client's copy is current.
    pub(super) fn not_modified() -> Self {
        Self {
            status: StatusCode::NOT_MODIFIED,
            ..Self::ok(Pieces::default())
        }
    }

    /// 308: the same is at another address, relative to this one.
    pub(super) fn moved_to(location: &str) -> Self {
        let reply = Self {
            status: StatusCode::PERMANENT_REDIRECT,
            ..Self::ok(Pieces::default())
        };
        reply.with_header(LOCATION, location)
    }

    /// 204, without a body.
    pub(super) fn no_content() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            ..Self::ok(Pieces::default())
        }
    }

    /// Changes the status to 202: the request will be carried out later.
    pub(super) fn accepted(mut self) -> Self {
        self.status = StatusCode::ACCEPTED;
        self
    }

    /// Changes the status to 201, for something created that has no URL of its own.
    pub(super) fn with_status_created(mut self) -> Self {
        self.status = StatusCode::CREATED;
        self
    }

    /// Forbids every cache to store the response, since it contains a secret.
    pub(super) fn never_stored(self) -> Self {
        self.with_header(CACHE_CONTROL, "no-store")
    }

    /// Lets every cache keep the response for this many seconds.
    pub(super) fn cached_by_anybody(self, seconds: u32) -> Self {
        self.with_header(CACHE_CONTROL, &format!("public, max-age={seconds}"))
    }

    /// Lets any page of the web read the response (Fetch standard, section 3.3).
    pub(super) fn for_any_page(self) -> Self {
        self.with_header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
    }

    /// Limits what a browser loads and runs on this page (Content Security Policy Level 3).
    pub(super) fn with_content_policy(self, policy: &str) -> Self {
        self.with_header(CONTENT_SECURITY_POLICY, policy)
    }

    /// Changes the status to 201, with the URL of the new resource.
    pub(super) fn created_at(mut self, location: &str) -> Self {
        self.status = StatusCode::CREATED;
        self.with_header(LOCATION, location)
    }

    /// Says after how many seconds to ask again.
    pub(super) fn with_retry_after(self, seconds: u32) -> Self {
        self.with_header(RETRY_AFTER, &seconds.to_string())
    }

    /// Adds an entity tag: the number or digest of the content.
    pub(super) fn with_etag(self, tag: impl Display) -> Self {
        self.with_header(ETAG, &format!("\"{tag}\""))
    }

    /// Says that `Accept` decides about the form of the answer.
    pub(super) fn varying_by_accept(self) -> Self {
        self.with_header(VARY, "accept")
    }

    /// Names the file as which the body is saved, with ASCII alone and with all characters (RFC 6266 section 4.3, RFC 8187).
    pub(super) fn named(self, name: &str) -> Self {
        let is_plain = |character: char| {
            character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_')
        };
        let plain: String = name
            .chars()
            .map(|character| if is_plain(character) { character } else { '_' })
            .collect();
        let whole = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let value = match name.chars().all(is_plain) {
            true => format!("attachment; filename=\"{plain}\""),
            false => format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}"),
        };
        self.with_header(CONTENT_DISPOSITION, &value)
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        // Percent-encoded text and digits are always valid here.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Bytes of the body that are in memory at once.
    pub(super) fn bytes_of_body(&self) -> usize {
        match &self.file {
            Some(_) => usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX),
            None => self.body.len(),
        }
    }

    /// Makes the response hold bytes of the budget until it is sent.
    pub(super) fn holding(mut self, held: Arc<Held>) -> Self {
        self.held = Some(held);
        self
    }

    /// The response, with the headers that all responses share.
    pub(super) fn into_response(self, request_id: &str) -> Response {
        let (length, body) = match (self.file, self.live) {
            (Some(part), _) => {
                let length = part.to - part.from;
                let body = warp::reply::stream(part.stream(self.held));
                (Some(length), body.into_response())
            }
            (None, Some(Live(body))) => (None, warp::reply::stream(body).into_response()),
            (None, None) => {
                let length = self.body.len() as u64;
                let body = warp::reply::stream(self.body.sent(self.held));
                (Some(length), body.into_response())
            }
        };
        let mut response = dressed(self.status, body, request_id);
        if let Some(length) = length.filter(|_| !is_bare(self.status)) {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Serializes to JSON, with bytes as base64.
fn to_json(content: &impl Serialize) -> Result<Pieces> {
    let mut json = Pieces::default();
    let mut serializer = serde_json::Serializer::with_formatter(&mut json, BytesAsBase64);
    content
        .serialize(&mut serializer)
        .map_err(Error::internal)?;
    Ok(json)
}

/// Writes bytes as a string of padded base64 (RFC 4648 section 4), which needs no JSON escapes.
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

/// A JSON response with the request's id.
pub(super) fn json_response(status: StatusCode, body: Vec<u8>, request_id: &str) -> Response {
    dressed(status, body.into_response(), request_id)
}

/// Whether responses of this status have no content (RFC 9110 section 6.4.1).
fn is_bare(status: StatusCode) -> bool {
    [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}

fn dressed(status: StatusCode, body: Response, request_id: &str) -> Response {
    let mut response = Response::new(body.into_body());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !is_bare(status) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    // Signatures belong to a tenant: no shared cache may keep them.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", id);
    }
    response
}
