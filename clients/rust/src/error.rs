//! What may go wrong.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::transport::TransportError;
use crate::types::{HookRejection, RefusedSigner};

/// Any failure of a call. Decide by [`Error::code`], show the message to people, and log [`Error::request_id`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused the request.
    #[error("{0}")]
    Refused(#[from] Box<Refusal>),
    /// The server can't be reached, or took too long. Nobody knows whether it has done the request. All requests of this
    /// client that save or delete may be sent again.
    #[error("no answer to the request {request_id}, sent {attempts} times: {source}")]
    NoAnswer {
        /// Identifies the request in the server's log, if it got there.
        request_id: String,
        /// The number of times that it was sent.
        attempts: u32,
        /// Why there was no answer.
        source: TransportError,
    },
    /// The answer is not of the form that the API promises.
    #[error("the answer to the request {request_id} can't be read: {why}")]
    Unreadable {
        /// Identifies the request in the server's log.
        request_id: String,
        /// What is wrong with it.
        why: String,
    },
    /// The client can't be built, or can't send this: the URL, the token or a file is not valid.
    #[error("{0}")]
    Invalid(String),
    /// The source of tokens failed.
    #[error("there is no token: {0}")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Whoever was asked to countersign failed.
    #[error("it was not signed: {0}")]
    Signer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The refusal, if the server refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    /// The stable code of a refusal, such as `version_conflict`; otherwise a word of this client: `no_answer`,
    /// `unreadable_answer`, `invalid`, `no_token` or `not_signed`.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.code,
            Self::NoAnswer { .. } => "no_answer",
            Self::Unreadable { .. } => "unreadable_answer",
            Self::Invalid(_) => "invalid",
            Self::Token(_) => "no_token",
            Self::Signer(_) => "not_signed",
        }
    }

    /// The details of a refusal, by its code.
    pub fn details(&self) -> Option<Details> {
        self.refusal()?.typed_details()
    }

    /// The id that identifies the request in the server's log.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.request_id.as_deref(),
            Self::NoAnswer { request_id, .. } | Self::Unreadable { request_id, .. } => {
                Some(request_id)
            }
            Self::Invalid(_) | Self::Token(_) | Self::Signer(_) => None,
        }
    }
}

/// An error that the server answered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code}: {message} (HTTP {status}, request {})", .request_id.as_deref().unwrap_or("unknown"))]
#[non_exhaustive]
pub struct Refusal {
    /// A stable word; newer servers may have more. `http_502` and the like if something in between answered.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence for people.
    pub message: String,
    /// Facts for programs, as the server told them; null if there are none.
    pub details: Value,
    /// Identifies the request in the server's log.
    pub request_id: Option<String>,
    /// Time after which it helps to send the same request again; none if waiting does not help.
    pub retry_after: Option<Duration>,
}

/// Facts about a refusal, of the kind that its code names.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Details {
    /// Somebody else was faster.
    VersionConflict {
        /// The stored version; 0 if there is none.
        current_version: u32,
    },
    /// The current version is not the expected one.
    PreconditionFailed {
        /// The stored version; 0 if there is none.
        current_version: u32,
    },
    /// A parameter is not valid.
    InvalidParameter {
        /// JSON pointer (RFC 6901) to the parameter.
        field: String,
    },
    /// Hooks rejected the save or delete.
    HookRejected {
        /// The rejections, in the order of the hooks.
        rejections: Vec<HookRejection>,
    },
    /// A hook failed.
    HookFailed {
        /// The hook's name.
        hook: String,
    },
    /// The tenant's policy does not accept the signature.
    SignatureNotAccepted {
        /// A sentence that says why; none if the signature is of another format.
        problem: Option<String>,
        /// The signers and countersigners, if the signature was verified; at most 50.
        signers: Vec<RefusedSigner>,
    },
    /// The request or the signature is too large.
    PayloadTooLarge {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// A quota of the tenant is used up.
    QuotaExceeded {
        /// The quota.
        quota: String,
        /// Its limit.
        limit: u64,
        /// Current usage.
        used: u64,
    },
    /// The token lacks a scope.
    InsufficientScope {
        /// The scope.
        scope: String,
    },
    /// Any other details, as the server told them.
    Other(Value),
}

impl Details {
    fn typed(code: &str, value: &Value) -> Option<Self> {
        fn member<T: DeserializeOwned>(value: &Value, name: &str) -> Option<T> {
            serde_json::from_value(value.get(name).cloned().unwrap_or_default()).ok()
        }
        Some(match code {
            "version_conflict" => Self::VersionConflict {
                current_version: member(value, "current_version")?,
            },
            "precondition_failed" => Self::PreconditionFailed {
                current_version: member(value, "current_version")?,
            },
            "invalid_parameter" => Self::InvalidParameter {
                field: member(value, "field")?,
            },
            "hook_rejected" => Self::HookRejected {
                rejections: member(value, "rejections")?,
            },
            "hook_failed" => Self::HookFailed {
                hook: member(value, "hook")?,
            },
            "signature_not_accepted" => Self::SignatureNotAccepted {
                problem: member(value, "problem")?,
                signers: member(value, "signers")?,
            },
            "payload_too_large" => Self::PayloadTooLarge {
                limit_bytes: member(value, "limit_bytes")?,
            },
            "quota_exceeded" => Self::QuotaExceeded {
                quota: member(value, "quota")?,
                limit: member(value, "limit")?,
                used: member(value, "used")?,
            },
            "insufficient_scope" => Self::InsufficientScope {
                scope: member(value, "scope")?,
            },
            _ => return None,
        })
    }
}

/// The body of an error.
#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(default)]
    details: Value,
    #[serde(default)]
    retry_after: Option<u64>,
}

impl Refusal {
    /// Reads the error that an answer tells.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let retry_after = retry_after(headers);
        let Ok(failure) = serde_json::from_slice::<Failure>(body) else {
            return Self {
                code: format!("http_{}", status.as_u16()),
                status: status.as_u16(),
                message: status.canonical_reason().unwrap_or("An error").to_owned(),
                details: Value::Null,
                request_id: header("x-request-id"),
                retry_after,
            };
        };
        Self {
            details: failure.details,
            code: failure.code,
            status: status.as_u16(),
            message: failure.message,
            request_id: failure.request_id.or_else(|| header("x-request-id")),
            retry_after,
        }
    }

    /// The details as their code says; none if there are none.
    pub fn typed_details(&self) -> Option<Details> {
        if self.details.is_null() {
            return None;
        }
        let typed = Details::typed(&self.code, &self.details);
        Some(typed.unwrap_or_else(|| Details::Other(self.details.clone())))
    }

    /// Whether something else than Sigpersist answered, such as a proxy on the way.
    pub fn is_of_something_else(&self) -> bool {
        self.code.starts_with("http_")
    }

    /// Whether somebody else saved a version first.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code == "version_conflict"
    }

    /// Reads the error of one of many.
    pub(crate) fn of_one(status: u16, error: Value, request_id: &str) -> serde_json::Result<Self> {
        let failure: Failure = serde_json::from_value(error)?;
        Ok(Self {
            details: failure.details,
            code: failure.code,
            status,
            message: failure.message,
            request_id: Some(request_id.to_owned()),
            retry_after: failure.retry_after.map(Duration::from_secs),
        })
    }
}

/// The time that `Retry-After` tells, in seconds or as a date (RFC 9110 section 10.2.3).
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    // A date that has passed means now.
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}
