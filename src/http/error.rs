//! Maps the library's errors to the contract's statuses, codes and headers, and logs them once.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use sigpersist_model::error::Error;
use sigpersist_runtime::metrics;
use tracing::{error, warn};
use utoipa::ToSchema;

use super::details::Details;
use super::openapi::Code;
use super::reply::{Response, json_response};

const REALM: &str = "Bearer realm=\"sigpersist\"";

/// The response to any request that failed.
#[derive(Serialize, ToSchema)]
pub(super) struct Failure<'a> {
    /// False.
    #[schema(example = false)]
    status: bool,
    /// A sentence for people.
    #[schema(example = "There is no such signature.")]
    message: String,
    /// Null.
    #[schema(value_type = Option<Object>, example = json!(null))]
    content: Option<()>,
    /// A stable error code for programs.
    #[schema(value_type = Code)]
    code: &'static str,
    /// The request's id, by which you find it in the server's log.
    #[schema(example = "7f0c2f4e9d5a41b7")]
    request_id: &'a str,
    /// Further facts for programs; present for some codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

impl<'a> Failure<'a> {
    /// The client's view of an error.
    pub(super) fn new(error: &Error, request_id: &'a str) -> Self {
        Self {
            status: false,
            message: error.to_string(),
            content: None,
            code: error.code(),
            request_id,
            details: Details::of(error),
        }
    }
}

/// The client's view of an error within an answer: one of several things that were asked for failed.
#[derive(Serialize, ToSchema)]
pub(super) struct FailureOfOne {
    /// A stable error code for programs.
    #[schema(value_type = Code)]
    code: &'static str,
    /// A sentence for people.
    #[schema(example = "There is no such signature.")]
    message: String,
    /// Further facts for programs; present for some codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    /// The seconds after which to try again, as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    retry_after: Option<u64>,
}

/// The status and view of an error within an answer. The log says what the client is not told.
pub(super) fn failure_of_one(error: &Error) -> (StatusCode, FailureOfOne) {
    record(error);
    let retry_after = header(error).filter(|(name, _)| name == RETRY_AFTER);
    let failure = FailureOfOne {
        code: error.code(),
        message: error.to_string(),
        details: Details::of(error),
        retry_after: retry_after.and_then(|(_, value)| value.to_str().ok()?.parse().ok()),
    };
    (status(error), failure)
}

/// Logs and counts an error.
fn record(error: &Error) {
    log(error, status(error));
    metrics::refused(error.code());
}

/// The response to a request that failed. The log says what the client is not told.
pub(super) fn error_response(error: &Error, request_id: &str) -> Response {
    record(error);
    refusal(error, request_id)
}

/// The response to a request of the command line that failed. It carries the error itself, with all its causes, since
/// its caller may know them.
pub(super) fn told(error: Error, request_id: &str) -> Response {
    let mut response = refusal(&error, request_id);
    response.extensions_mut().insert(Arc::new(error));
    response
}

fn refusal(error: &Error, request_id: &str) -> Response {
    let status = status(error);
    let body = serde_json::to_vec(&Failure::new(error, request_id)).unwrap_or_default();
    let mut response = json_response(status, body, request_id);
    if let Some((name, value)) = header(error) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The status of the response.
pub(super) fn status(error: &Error) -> StatusCode {
    match error {
        Error::MalformedRequest(_)
        | Error::MalformedJson(_)
        | Error::MalformedForm(_)
        | Error::InvalidParameter { .. } => StatusCode::BAD_REQUEST,
        Error::MissingToken | Error::InvalidToken(_) | Error::ExpiredToken => {
            StatusCode::UNAUTHORIZED
        }
        Error::InsufficientScope(_)
        | Error::TokenBound(_)
        | Error::OriginNotAllowed
        | Error::TenantRequired
        | Error::TenantSuspended => StatusCode::FORBIDDEN,
        Error::NotFound(_) | Error::SignatureNotFound | Error::RouteNotFound => {
            StatusCode::NOT_FOUND
        }
        Error::PluginBound { .. }
        | Error::TenantExists { .. }
        | Error::KeyExists { .. }
        | Error::TenantDeleting(_)
        | Error::VersionConflict { .. } => StatusCode::CONFLICT,
        Error::SettingsRefused(_)
        | Error::CasesFailed(_)
        | Error::PluginSignatureRefused(_)
        | Error::SignatureNotAccepted(_)
        | Error::HookRejected(_)
        | Error::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::InputGone(_) => StatusCode::GONE,
        Error::QuotaExceeded { .. } | Error::RateLimited | Error::TooManyWaiting { .. } => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Error::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
        Error::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
        Error::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
        Error::PayloadTooLarge { .. } | Error::ComponentTooLarge { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Error::UnsupportedMediaType(_) | Error::UnsupportedContentEncoding => {
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        }
        Error::EarlierFailed => StatusCode::FAILED_DEPENDENCY,
        Error::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
        Error::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        Error::UnsupportedTransferEncoding => StatusCode::NOT_IMPLEMENTED,
        Error::NotReady(_)
        | Error::Overloaded
        | Error::IssuerUnavailable
        | Error::DatabaseUnavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::HookFailed { .. } | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The header that the status requires (RFC 6750 section 3, RFC 9110 sections 10.2.1, 10.2.3, 15.5.16 and
/// 15.5.17).
pub(super) fn header(error: &Error) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = match error {
        Error::MissingToken => (WWW_AUTHENTICATE, REALM.to_owned()),
        Error::InvalidToken(reason) => {
            let value = format!(
                "{REALM}, error=\"invalid_token\", error_description=\"{}\"",
                reason.replace('"', "'")
            );
            (WWW_AUTHENTICATE, value)
        }
        Error::ExpiredToken => {
            let value =
                format!("{REALM}, error=\"invalid_token\", error_description=\"it has expired\"");
            (WWW_AUTHENTICATE, value)
        }
        Error::InsufficientScope(scope) => {
            let value = format!("{REALM}, error=\"insufficient_scope\", scope=\"{scope}\"");
            (WWW_AUTHENTICATE, value)
        }
        Error::MethodNotAllowed { allowed } => (ALLOW, allowed.join(", ")),
        Error::UnsupportedContentEncoding => (ACCEPT_ENCODING, "identity".to_owned()),
        Error::RangeNotSatisfiable { size } => (CONTENT_RANGE, format!("bytes */{size}")),
        Error::NotReady(_)
        | Error::RateLimited
        | Error::TooManyWaiting { .. }
        | Error::Overloaded
        | Error::IssuerUnavailable
        | Error::DatabaseUnavailable(_) => (RETRY_AFTER, "1".to_owned()),
        Error::QuotaExceeded {
            retry_after: Some(wait),
            ..
        } => (RETRY_AFTER, seconds_rounded_up(*wait).to_string()),
        _ => return None,
    };
    HeaderValue::from_str(&value)
        .ok()
        .map(|value| (name, value))
}

/// Rounds up, so that a client that obeys `Retry-After` is never too early.
fn seconds_rounded_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// Logs failures of the server with their whole chain of causes; the client gets a fixed sentence.
fn log(error: &Error, status: StatusCode) {
    if let Error::HookFailed { hook, reason } = error {
        error!(hook, reason, "A hook failed");
    } else if status.is_server_error()
        && !matches!(
            error,
            Error::Overloaded | Error::IssuerUnavailable | Error::UnsupportedTransferEncoding
        )
    {
        // An overloaded server needs no extra line for each refusal; the line "Answered" is enough. Failures to fetch keys
        // have lines of their own.
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let cause = causes.join(": ").replace('\n', " ");
        if matches!(error, Error::Internal(_)) {
            error!(cause, "{error}");
        } else {
            warn!(cause, "{error}");
        }
    }
}
