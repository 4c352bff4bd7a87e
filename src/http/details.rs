//! Machine-readable details of errors: one type for each code that has any.
//!
//! The responses and the OpenAPI document use the same types, named after their codes.

use serde::Serialize;
use sigpersist_model::error::{
    CaseFailure, Error, HookRejection, NotAccepted, RefusedSigner, SettingsIssue,
};
use sigpersist_model::policy::Accept;
use sigpersist_model::publisher::SignatureFault;
use sigpersist_model::quotas::Quota;
use sigpersist_verify::Format;
use utoipa::ToSchema;

/// Machine-readable details. The code tells which of these types it is: each type is named after its code.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Details {
    SignatureNotAccepted(SignatureNotAcceptedDetails),
    InvalidParameter(InvalidParameterDetails),
    PayloadTooLarge(PayloadTooLargeDetails),
    BodyTimeout(BodyTimeoutDetails),
    MethodNotAllowed(MethodNotAllowedDetails),
    InsufficientScope(InsufficientScopeDetails),
    VersionConflict(VersionConflictDetails),
    PreconditionFailed(PreconditionFailedDetails),
    HookRejected(HookRejectedDetails),
    HookFailed(HookFailedDetails),
    PluginBound(PluginBoundDetails),
    SettingsRefused(SettingsRefusedDetails),
    CasesFailed(CasesFailedDetails),
    PluginSignatureRefused(PluginSignatureRefusedDetails),
    QuotaExceeded(QuotaExceededDetails),
    NotReady(NotReadyDetails),
}

/// Details of `invalid_parameter`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvalidParameterDetails {
    /// JSON pointer (RFC 6901) to the parameter.
    #[schema(example = "/document")]
    field: String,
}

/// Details of `payload_too_large`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PayloadTooLargeDetails {
    /// The limit, in bytes.
    #[schema(example = 10_485_760)]
    limit_bytes: usize,
}

/// Details of `body_timeout`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BodyTimeoutDetails {
    /// Time that the server waited, in milliseconds.
    #[schema(example = 30_000)]
    timeout_ms: u64,
}

/// Details of `method_not_allowed`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MethodNotAllowedDetails {
    /// The methods that the path answers.
    #[schema(example = json!(["GET", "HEAD"]))]
    allowed: Vec<&'static str>,
}

/// Details of `insufficient_scope`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InsufficientScopeDetails {
    /// The scope that the token lacks.
    #[schema(example = "signatures:read")]
    scope: &'static str,
}

/// Details of `version_conflict`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VersionConflictDetails {
    /// The stored version; 0 if there is none.
    #[schema(example = 3)]
    current_version: u32,
}

/// Details of `precondition_failed`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreconditionFailedDetails {
    /// The stored version; 0 if there is none.
    #[schema(example = 3)]
    current_version: u32,
}

/// Details of `signature_not_accepted`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignatureNotAcceptedDetails {
    /// JSON pointer to the signature.
    #[schema(example = "/cms")]
    field: &'static str,
    /// Signatures that the tenant accepts.
    accept: Accept,
    /// The detected format of the signature.
    format: Format,
    /// A sentence that says why it is not accepted; null if it is of another format.
    #[schema(example = "The signature does not verify under the signer's key.")]
    problem: Option<String>,
    /// The signers and countersigners, if the signature was verified; at most 50.
    signers: Vec<RefusedSigner>,
}

/// Details of `hook_rejected`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HookRejectedDetails {
    /// The rejections, in the order of the hooks.
    rejections: Vec<HookRejection>,
}

/// Details of `hook_failed`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HookFailedDetails {
    /// The hook's name.
    #[schema(example = "signer-tags")]
    hook: String,
}

/// Details of `plugin_bound`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginBoundDetails {
    /// The hooks that run it; `tenant/hook` if the plugin is the platform's.
    #[schema(example = json!(["signer-tags"]))]
    hooks: Vec<String>,
}

/// Details of `settings_refused`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SettingsRefusedDetails {
    /// The mistakes.
    issues: Vec<SettingsIssue>,
}

/// Details of `cases_failed`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CasesFailedDetails {
    /// The test cases that did not pass.
    cases: Vec<CaseFailure>,
}

/// Details of `plugin_signature_refused`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PluginSignatureRefusedDetails {
    /// The reason.
    reason: SignatureFault,
    /// The id of the key that made the signature, as minisign shows it; null if there is no signature.
    #[schema(example = "E7620F1842B4E81F")]
    key_id: Option<String>,
}

/// Details of `quota_exceeded`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QuotaExceededDetails {
    /// The quota.
    quota: Quota,
    /// The quota's limit.
    #[schema(example = 100)]
    limit: u64,
    /// Current usage.
    #[schema(example = 100)]
    used: u64,
}

/// Details of `not_ready`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotReadyDetails {
    /// Missing conditions, by stable names.
    #[schema(example = json!(["database"]))]
    lacks: Vec<&'static str>,
}

impl Details {
    /// The details of an error; none if its code has none.
    pub(super) fn of(error: &Error) -> Option<Self> {
        Some(match error {
            Error::InvalidParameter { field, .. } if field.is_empty() => return None,
            Error::InvalidParameter { field, .. } => {
                let field = field.clone();
                Self::InvalidParameter(InvalidParameterDetails { field })
            }
            &(Error::PayloadTooLarge { limit_bytes }
            | Error::ComponentTooLarge { limit_bytes, .. }) => {
                Self::PayloadTooLarge(PayloadTooLargeDetails { limit_bytes })
            }
            Error::NotReady(lacks) => {
                let lacks = lacks.iter().map(|lack| lack.name).collect();
                Self::NotReady(NotReadyDetails { lacks })
            }
            Error::SignatureNotAccepted(not_accepted) => {
                let NotAccepted {
                    accept,
                    format,
                    problem,
                    signers,
                    ..
                } = (**not_accepted).clone();
                Self::SignatureNotAccepted(SignatureNotAcceptedDetails {
                    field: "/cms",
                    accept,
                    format,
                    problem,
                    signers,
                })
            }
            &Error::BodyTimeout { timeout_ms } => {
                Self::BodyTimeout(BodyTimeoutDetails { timeout_ms })
            }
            Error::MethodNotAllowed { allowed } => {
                let allowed = allowed.clone();
                Self::MethodNotAllowed(MethodNotAllowedDetails { allowed })
            }
            Error::InsufficientScope(scope) => {
                Self::InsufficientScope(InsufficientScopeDetails { scope })
            }
            &Error::VersionConflict { current_version } => {
                Self::VersionConflict(VersionConflictDetails { current_version })
            }
            &Error::PreconditionFailed { current_version } => {
                Self::PreconditionFailed(PreconditionFailedDetails { current_version })
            }
            Error::HookRejected(rejections) => {
                let rejections = rejections.clone();
                Self::HookRejected(HookRejectedDetails { rejections })
            }
            Error::HookFailed { hook, .. } => {
                let hook = hook.clone();
                Self::HookFailed(HookFailedDetails { hook })
            }
            Error::PluginBound { hooks } => {
                let hooks = hooks.clone();
                Self::PluginBound(PluginBoundDetails { hooks })
            }
            Error::SettingsRefused(issues) => {
                let issues = issues.clone();
                Self::SettingsRefused(SettingsRefusedDetails { issues })
            }
            Error::CasesFailed(cases) => {
                let cases = cases.clone();
                Self::CasesFailed(CasesFailedDetails { cases })
            }
            Error::PluginSignatureRefused(refusal) => {
                Self::PluginSignatureRefused(PluginSignatureRefusedDetails {
                    reason: refusal.fault,
                    key_id: refusal.key_id.clone(),
                })
            }
            Error::QuotaExceeded {
                quota, limit, used, ..
            } => Self::QuotaExceeded(QuotaExceededDetails {
                quota: *quota,
                limit: *limit,
                used: *used,
            }),
            _ => return None,
        })
    }
}
