//! Rules for judging a certificate chain: the verifier's own choices, which RFC 5280 section 6.1.1 calls inputs.

use serde::{Deserialize, Serialize};

/// The rules for judging the chains of signers. The default requires only what the certificates themselves demand.
///
/// Chains of time-stamping authorities are always judged by the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether revocation information is required.
    pub revocation: RevocationRule,
    /// The acceptable policies, as object identifiers in dotted form (RFC 5280's `user-initial-policy-set`). `None`
    /// accepts any. They matter only if a chain must be valid for a policy.
    pub initial_policies: Option<Vec<String>>,
    /// Whether a chain must be valid for an acceptable policy even if none of its certificates demands that
    /// (`initial-explicit-policy`).
    pub require_explicit_policy: bool,
    /// Whether policy mapping is inhibited, so that no policy stands for another (`initial-policy-mapping-inhibit`).
    pub inhibit_policy_mapping: bool,
    /// Whether `anyPolicy` in a certificate is ignored (`initial-any-policy-inhibit`).
    pub inhibit_any_policy: bool,
}

impl Rules {
    /// The default, for time-stamping authorities.
    pub(crate) const LENIENT: Self = Self {
        revocation: RevocationRule::IfPresent,
        initial_policies: None,
        require_explicit_policy: false,
        inhibit_policy_mapping: false,
        inhibit_any_policy: false,
    };
}

/// Whether revocation information is required for the certificates of a chain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RevocationRule {
    /// A known revocation counts. A certificate without revocation information passes.
    #[default]
    IfPresent,
    /// Revocation information must show for each certificate of a chain that it was not revoked. Otherwise the verdict
    /// is `INDETERMINATE` with `TRY_LATER`.
    Required,
}
