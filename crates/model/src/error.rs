//! The one error of the library.
//!
//! It names failures in the words of the API's contract and knows nothing of HTTP: `http::error` chooses statuses,
//! codes and headers, and logs the cause of an unexpected error once. `Display` is the sentence that the client reads,
//! so it never contains a cause, a secret or a part of a signature.

use std::error::Error as StdError;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sigpersist_verify::Format;
use sigpersist_verify::pki::{Indication, SubIndication};
use utoipa::ToSchema;

use crate::policy::Accept;
use crate::publisher::SignatureRefusal;
use crate::quotas::Quota;

/// An error of a use-case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request's head breaks a rule of HTTP.
    #[error("The request is malformed: {0}.")]
    MalformedRequest(&'static str),
    /// The request's body is encoded (`Content-Encoding`).
    #[error("The request body must not be compressed: send it without `Content-Encoding`.")]
    UnsupportedContentEncoding,
    /// The request's body uses a transfer coding other than `chunked` (`Transfer-Encoding`).
    #[error("The only supported `Transfer-Encoding` of a request body is `chunked`.")]
    UnsupportedTransferEncoding,
    /// The request's body is not JSON of the expected form.
    #[error("The request body is not readable JSON: {0}.")]
    MalformedJson(String),
    /// The request's body is not a form of the expected form.
    #[error("The request body is not a readable form: {0}.")]
    MalformedForm(String),
    /// A parameter is missing, unknown, of the wrong type or out of range.
    #[error("{message}")]
    InvalidParameter {
        /// JSON pointer (RFC 6901) to the parameter.
        field: String,
        /// A sentence that names the rule.
        message: String,
    },
    /// The request's body is over the size limit.
    #[error("The request body is larger than the limit of {limit_bytes} bytes.")]
    PayloadTooLarge {
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// A component is over the size limit.
    #[error(
        "The component has {bytes} bytes; the limit is {limit_bytes} (hooks.max_component_bytes)."
    )]
    ComponentTooLarge {
        /// The component's size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit_bytes: usize,
    },
    /// The request's body did not arrive in time.
    #[error("The request body did not arrive within {timeout_ms} ms.")]
    BodyTimeout {
        /// Time that the server waited, in milliseconds.
        timeout_ms: u64,
    },
    /// The request's body is not declared as the media type that the route takes.
    #[error("This request takes no body of that type: send it with `Content-Type: {}`.", .0.join("`, or with `"))]
    UnsupportedMediaType(Vec<&'static str>),
    /// The request accepts only media types that the answer does not have.
    #[error("The signature is not of a type that `Accept` names: this one can be had as {}.", .0.join(", "))]
    NotAcceptable(Vec<&'static str>),
    /// The request asks for a range that begins beyond the end of a file.
    #[error(
        "The range begins beyond the end of the file, which has {size} bytes: ask for an earlier one, or for the whole file."
    )]
    RangeNotSatisfiable {
        /// The file's size, in bytes.
        size: u64,
    },
    /// No route has this path.
    #[error("There is nothing at this path.")]
    RouteNotFound,
    /// The path exists, but not with this method.
    #[error("This path does not support this method; it supports {}.", allowed.join(", "))]
    MethodNotAllowed {
        /// The methods that the path answers.
        allowed: Vec<&'static str>,
    },

    /// The keys of the token's issuer are not known, and can't be fetched now.
    #[error("The keys of the token's issuer can't be fetched; try again in a moment.")]
    IssuerUnavailable,
    /// The request carries no bearer token.
    #[error("This request needs a token: send `Authorization: Bearer <JWT>`.")]
    MissingToken,
    /// The token is not acceptable. The reason contains nothing of the token itself.
    #[error("The token is not valid: {0}.")]
    InvalidToken(&'static str),
    /// The token has expired.
    #[error("The token has expired; ask for a new one.")]
    ExpiredToken,
    /// The caller is authenticated, but its token lacks a scope.
    #[error("This request needs a token with the scope `{0}`.")]
    InsufficientScope(&'static str),
    /// The caller's token is for one document, and the request is about something else.
    #[error("This token is for one document only: {0}.")]
    TokenBound(&'static str),
    /// A page in a browser sent the request, and its origin may not use the API with this token.
    #[error(
        "Pages of this origin may not use the API with this token: the tenant's `cors_origins` and the server's setting `http.cors_origins` do not have it. Nothing was done."
    )]
    OriginNotAllowed,
    /// The caller's tenant is suspended.
    #[error("This tenant is suspended.")]
    TenantSuspended,

    /// A tenant with this slug exists, and differs from the one in the request.
    #[error(
        "The tenant `{slug}` already exists, with another name or other quotas. Change it with `PATCH /tenants/{slug}` or `sigpersist tenant update {slug}`."
    )]
    TenantExists {
        /// The slug.
        slug: String,
    },
    /// A key with this name exists, and differs from the one in the request.
    #[error(
        "The name `{kid}` belongs to another key, to the same key with other times, or to a revoked key. Give the key another name."
    )]
    KeyExists {
        /// The key's name.
        kid: String,
    },
    /// A tenant is being deleted; the sentence says what can be done.
    #[error("{0}")]
    TenantDeleting(String),
    /// The tenant has reached a quota.
    #[error("{}", quota_phrase(*.quota, *.limit, *.used))]
    QuotaExceeded {
        /// The quota.
        quota: Quota,
        /// The quota's limit.
        limit: u64,
        /// Current usage.
        used: u64,
        /// Time after which a retry makes sense; none if time alone changes nothing.
        retry_after: Option<Duration>,
    },

    /// A caller of the platform did not name the tenant that it acts for.
    #[error(
        "A token of the platform belongs to no tenant: name the tenant in the path, as in `/tenants/{{tenant}}/hooks`."
    )]
    TenantRequired,

    /// Something that an operator names does not exist, or belongs to another tenant.
    #[error("There is no such {}.", .0.as_str())]
    NotFound(Noun),
    /// A plugin cannot be deleted while hooks are bound to it.
    #[error("The plugin is in use: first remove or rebind {}.", hooks_phrase(.hooks, "the hook", "the hooks"))]
    PluginBound {
        /// The hooks; `tenant/hook` if the plugin is the platform's.
        hooks: Vec<String>,
    },
    /// A plugin rejects its settings.
    #[error("The plugin refuses these settings: {}.", issues_phrase(.0))]
    SettingsRefused(Vec<SettingsIssue>),
    /// Test cases uploaded with a component do not pass.
    #[error("{} of the test cases sent with the component failed; the component was not stored.", .0.len())]
    CasesFailed(Vec<CaseFailure>),
    /// The signature of a plugin's publisher is missing, or not one that the server trusts.
    #[error("{}", .0.sentence)]
    PluginSignatureRefused(Box<SignatureRefusal>),
    /// The input of a decision is no longer stored, or never was.
    #[error("The input of this decision can't be replayed: {0}.")]
    InputGone(&'static str),

    /// The thread or version does not exist, or belongs to another tenant.
    #[error("There is no such signature.")]
    SignatureNotFound,
    /// The version that the caller signed over is not the current one.
    #[error(
        "The signature's current version is {current_version}, not the one that you signed over. Read it, sign over it and send it again."
    )]
    VersionConflict {
        /// The stored version; 0 if there is none.
        current_version: u32,
    },
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("The request's precondition failed: the current version is {current_version}.")]
    PreconditionFailed {
        /// The stored version; 0 if there is none.
        current_version: u32,
    },

    /// The tenant does not accept this signature.
    #[error("{}", not_accepted_phrase(.0))]
    SignatureNotAccepted(Box<NotAccepted>),

    /// Hooks rejected the save or delete.
    #[error("{} refused this request.", rejections_phrase(.0))]
    HookRejected(Vec<HookRejection>),
    /// A hook trapped, missed its deadline or broke a limit, and is set to reject then.
    #[error("The hook `{hook}` failed, and its settings reject requests in that case.")]
    HookFailed {
        /// The hook's name.
        hook: String,
        /// The cause, for the log.
        reason: String,
    },
    /// An earlier version of the thread, in the same request, was not saved.
    #[error(
        "An earlier signature of this thread in the request was not saved, so this one was not tried. Send both again when you know why."
    )]
    EarlierFailed,
    /// A request of an operator or admin that cannot be fulfilled.
    #[error("{0}")]
    Refused(String),

    /// The tenant has reached its limit of concurrent work.
    #[error("This tenant has too many concurrent requests; try again in a moment.")]
    RateLimited,
    /// As many requests wait for events as may. Others are answered.
    #[error(
        "{limit} requests wait for events already, as many as may ({setting}). Wait on fewer connections, or ask with `wait=0`."
    )]
    TooManyWaiting {
        /// The limit.
        limit: usize,
        /// The setting that limits them.
        setting: &'static str,
    },
    /// The server is not ready, or was told to stop.
    #[error("{}", lacks_phrase(.0))]
    NotReady(Vec<UnreadyReason>),
    /// The server is overloaded. Nothing was stored.
    #[error("The server is overloaded; try again in a moment. Nothing was stored.")]
    Overloaded,
    /// The database can't be reached or did not answer in time.
    #[error("The database is not available; try again in a moment.")]
    DatabaseUnavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// Anything else: a bug, or a broken machine.
    #[error("The server failed to answer this request.")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

/// Reasons why a tenant does not accept a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAccepted {
    /// Signatures that the tenant accepts.
    pub accept: Accept,
    /// The detected format of the signature.
    pub format: Format,
    /// A sentence that says why it is not accepted; none if it is of another format.
    pub problem: Option<String>,
    /// Whether content was sent, but is not the content that was signed.
    pub is_of_other_content: bool,
    /// All signers, if the signature was verified. If there are too many to list, those who are not accepted come
    /// first.
    pub signers: Vec<RefusedSigner>,
}

/// A signer of a signature that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusedSigner {
    /// Position in the file: `1` is the first signer, `1.2` the second who countersigned the first one's signature.
    #[schema(example = "1")]
    pub signer: String,
    /// Whether this signer would be accepted.
    #[schema(example = false)]
    pub accepted: bool,
    /// Subject of the signer's certificate (RFC 4514).
    #[schema(example = "CN=АХМЕТОВА АЙГЕРІМ,serialNumber=IIN123456789011")]
    pub subject: Option<String>,
    /// SHA-256 of the certificate.
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    pub sha256: Option<String>,
    /// Result of the verification. Does not depend on the content if the content is stored elsewhere and need not be
    /// sent.
    pub indication: Indication,
    /// Reason why it did not pass.
    pub sub_indication: Option<SubIndication>,
    /// An explanation in one sentence.
    #[schema(value_type = String, example = "The signature does not verify under the signer's key.")]
    pub explanation: &'static str,
}

/// One hook's refusal of a save or delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HookRejection {
    /// The hook's name.
    #[schema(example = "require-countersignature")]
    pub hook: String,
    /// The plugin's stable code.
    #[schema(example = "signer-dropped")]
    pub code: String,
    /// A sentence for people.
    #[schema(example = "The new version drops a signer")]
    pub message: String,
    /// JSON pointer to the offending parameter, if the plugin named one.
    #[schema(example = "/cms")]
    pub field: Option<String>,
}

/// A missing condition: a stable name and a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnreadyReason {
    /// `database`, `schema`, `plugins` or `stopping`.
    pub name: &'static str,
    /// An explanation for people.
    pub sentence: &'static str,
}

/// Kinds of things that operators name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Noun {
    /// A tenant.
    Tenant,
    /// A plugin.
    Plugin,
    /// A revision of a plugin.
    Revision,
    /// A hook.
    Hook,
    /// A binding that a hook had.
    Binding,
    /// A decision of a hook.
    Decision,
    /// A key.
    Key,
    /// An identity provider that a tenant trusts.
    Issuer,
    /// A trusted certificate.
    #[serde(rename = "trust anchor")]
    TrustAnchor,
    /// An export of a tenant.
    Export,
    /// An import of a tenant's file.
    Import,
    /// A tree of a tenant's log.
    Log,
    /// A tile of a log.
    Tile,
    /// A webhook.
    Webhook,
    /// A witness of a log.
    Witness,
}

crate::words!(Noun);

impl Noun {
    /// The error code if there is none.
    fn not_found(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_not_found",
            Self::Plugin => "plugin_not_found",
            Self::Revision => "revision_not_found",
            Self::Hook => "hook_not_found",
            Self::Binding => "binding_not_found",
            Self::Decision => "decision_not_found",
            Self::Key => "key_not_found",
            Self::Issuer => "issuer_not_found",
            Self::TrustAnchor => "trust_anchor_not_found",
            Self::Export => "export_not_found",
            Self::Import => "import_not_found",
            Self::Log => "log_not_found",
            Self::Tile => "tile_not_found",
            Self::Webhook => "webhook_not_found",
            Self::Witness => "witness_not_found",
        }
    }
}

/// A mistake in settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SettingsIssue {
    /// JSON pointer to the mistake; empty for the settings as a whole.
    #[schema(example = "/prefixes")]
    pub field: String,
    /// A sentence for the operator.
    #[schema(example = "must be an object")]
    pub message: String,
}

/// A test case that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CaseFailure {
    /// The case's name.
    #[schema(example = "two signers")]
    pub case: String,
    /// The expected and the actual results, line by line.
    #[schema(example = json!(["tags: expected [\"iin:1\"], got []"]))]
    pub differences: Vec<String>,
}

fn lacks_phrase(lacks: &[UnreadyReason]) -> String {
    let sentences: Vec<_> = lacks.iter().map(|lack| lack.sentence).collect();
    sentences.join(" ")
}

fn not_accepted_phrase(not_accepted: &NotAccepted) -> String {
    let what = not_accepted.accept.phrase();
    let problem = not_accepted.problem.as_deref();
    let problem = problem.unwrap_or("This signature has another format.");
    match not_accepted.accept {
        Accept::Any => format!("This tenant does not accept this signature. {problem}"),
        _ => format!("This tenant accepts only {what}. {problem}"),
    }
}

fn rejections_phrase(rejections: &[HookRejection]) -> String {
    let mut names: Vec<_> = rejections
        .iter()
        .map(|rejection| rejection.hook.clone())
        .collect();
    names.dedup();
    hooks_phrase(&names, "The hook", "The hooks")
}

/// The noun of a media type.
fn hooks_phrase(names: &[String], one: &str, many: &str) -> String {
    match names {
        [name] => format!("{one} `{name}`"),
        names => format!("{many} `{}`", names.join("`, `")),
    }
}

fn quota_phrase(quota: Quota, limit: u64, used: u64) -> String {
    match quota {
        Quota::Bytes => format!(
            "This tenant may store {limit} bytes of signatures and has stored {used}: delete some, or ask for a higher quota."
        ),
        Quota::Threads => format!(
            "This tenant may have {limit} signatures and has {used}: delete some, or ask for a higher quota."
        ),
        Quota::Requests => {
            format!("This tenant may make {limit} requests a second; try again in a moment.")
        }
        Quota::ConcurrentRequests => {
            format!("This tenant may have {limit} concurrent requests; try again in a moment.")
        }
        Quota::HookTime => format!(
            "This tenant's hooks may run for {limit} ms a second, and are {used} ms over that limit; try again later."
        ),
    }
}

fn issues_phrase(issues: &[SettingsIssue]) -> String {
    let issues: Vec<_> = issues
        .iter()
        .map(|issue| format!("{}: {}", issue.field, issue.message.trim_end_matches('.')))
        .collect();
    issues.join("; ")
}

impl Error {
    /// A parameter that breaks its rule. `name` is the parameter's name, not yet a pointer.
    pub fn invalid(name: &str, message: impl Into<String>) -> Self {
        Self::InvalidParameter {
            field: json_pointer(name),
            message: message.into(),
        }
    }

    /// A stable error code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MalformedRequest(_) => "malformed_request",
            Self::UnsupportedContentEncoding => "unsupported_content_encoding",
            Self::UnsupportedTransferEncoding => "unsupported_transfer_encoding",
            Self::MalformedJson(_) => "malformed_json",
            Self::MalformedForm(_) => "malformed_form",
            Self::InvalidParameter { .. } => "invalid_parameter",
            Self::MissingToken => "missing_token",
            Self::InvalidToken(_) => "invalid_token",
            Self::ExpiredToken => "expired_token",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::TokenBound(_) => "token_bound",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::TenantRequired => "tenant_required",
            Self::NotFound(noun) => noun.not_found(),
            Self::PluginBound { .. } => "plugin_bound",
            Self::SettingsRefused(_) => "settings_refused",
            Self::CasesFailed(_) => "cases_failed",
            Self::PluginSignatureRefused(_) => "plugin_signature_refused",
            Self::InputGone(_) => "input_gone",
            Self::TenantSuspended => "tenant_suspended",
            Self::TenantExists { .. } => "tenant_exists",
            Self::KeyExists { .. } => "key_exists",
            Self::TenantDeleting(_) => "tenant_deleting",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::SignatureNotFound => "signature_not_found",
            Self::RouteNotFound => "route_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::VersionConflict { .. } => "version_conflict",
            Self::PreconditionFailed { .. } => "precondition_failed",
            Self::PayloadTooLarge { .. } | Self::ComponentTooLarge { .. } => "payload_too_large",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::NotAcceptable(_) => "not_acceptable",
            Self::RangeNotSatisfiable { .. } => "range_not_satisfiable",
            Self::SignatureNotAccepted(_) => "signature_not_accepted",
            Self::HookRejected(_) => "hook_rejected",
            Self::Refused(_) => "refused",
            Self::EarlierFailed => "earlier_failed",
            Self::RateLimited | Self::TooManyWaiting { .. } => "rate_limited",
            Self::NotReady(_) => "not_ready",
            Self::Overloaded => "overloaded",
            Self::DatabaseUnavailable(_) => "database_unavailable",
            Self::HookFailed { .. } => "hook_failed",
            Self::Internal(_) => "internal",
        }
    }

    /// A failure that cannot happen unless the server or its machine is broken.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(cause.into())
    }

    /// A request of an operator or admin that cannot be fulfilled, with a sentence that says why and what to do.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }
}

/// The JSON pointer (RFC 6901) to a member of the top-level object.
fn json_pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// Result type of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;
