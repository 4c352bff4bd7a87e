//! The rules by which a chain of certificates is judged: a verifier's own choices, which RFC 5280 section 6.1.1 calls inputs.

use serde::{Deserialize, Serialize};

/// The rules by which chains of signers are judged. The default asks for nothing beyond what the certificates themselves demand; by
/// that those who made time stamps are always judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// How much must be known of revocation.
    pub revocation: RevocationRule,
    /// The policies that are acceptable, as object identifiers in dotted form; any if none (RFC 5280's `user-initial-policy-set`).
    /// They are asked for only where a chain must be valid for a policy.
    pub initial_policies: Option<Vec<String>>,
    /// Whether a chain must be valid for an acceptable policy, also if no certificate of it demands that
    /// (`initial-explicit-policy`).
    pub require_explicit_policy: bool,
    /// Whether one policy never stands for another (`initial-policy-mapping-inhibit`).
    pub inhibit_policy_mapping: bool,
    /// Whether `anyPolicy` in a certificate stands for no policy (`initial-any-policy-inhibit`).
    pub inhibit_any_policy: bool,
}

impl Rules {
    /// The default, for those who made time stamps.
    pub(crate) const LENIENT: Self = Self {
        revocation: RevocationRule::IfPresent,
        initial_policies: None,
        require_explicit_policy: false,
        inhibit_policy_mapping: false,
        inhibit_any_policy: false,
    };
}

/// How much must be known of whether the certificates of a chain were revoked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RevocationRule {
    /// A revocation that is told counts; if nothing tells of a certificate, it passes.
    #[default]
    IfPresent,
    /// Something must tell of each certificate of a chain that it was not revoked; otherwise the verdict is `INDETERMINATE` with
    /// `TRY_LATER`.
    Required,
}
