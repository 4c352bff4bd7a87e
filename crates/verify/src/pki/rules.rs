//! The rules by which a chain of certificates is judged: a verifier's own choices, which RFC 5280 section 6.1.1 calls inputs.

use serde::{Deserialize, Serialize};

/// The rules by which chains of signers are judged. The default asks for nothing beyond what the certificates themselves demand; by
/// that those who made time stamps are always judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// How much must be known of revocation.
    pub revocation: RevocationRule,
}

impl Rules {
    /// The default, for those who made time stamps.
    pub(crate) const LENIENT: Self = Self {
        revocation: RevocationRule::IfPresent,
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
