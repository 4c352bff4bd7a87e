//! Policies and trust anchors as answers, tables and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use sigpersist_verify::Time;
use sigpersist_verify::digest::Sha256;
use utoipa::ToSchema;

use crate::plugin::Digest;
use crate::policy::{Digests, InForce, Policy, TrustAnchor};

/// A tenant's policy in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PolicyContent)]
pub struct PolicyView {
    /// The policy.
    pub policy: Policy,
    /// Digests that identify the policy in recorded verdicts.
    #[serde(flatten)]
    pub digests: Digests,
}

impl From<&InForce> for PolicyView {
    fn from(in_force: &InForce) -> Self {
        Self {
            policy: in_force.policy.clone(),
            digests: in_force.digests.clone(),
        }
    }
}

/// A certificate that the tenant trusts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Anchor)]
pub struct AnchorView {
    /// SHA-256 of the certificate.
    #[schema(value_type = Sha256)]
    pub sha256: Digest,
    /// The certificate's subject (RFC 4514).
    #[schema(example = "CN=Test CA")]
    pub subject: Option<String>,
    /// The certificate's issuer.
    #[schema(example = "CN=Test CA")]
    pub issuer: Option<String>,
    /// The certificate's serial number, in hexadecimal.
    #[schema(example = "01")]
    pub serial: Option<String>,
    /// Start of its validity.
    pub not_before: Option<Time>,
    /// End of its validity.
    pub not_after: Option<Time>,
    /// Time since which it is trusted.
    pub created_at: Time,
    /// The certificate in PEM; only if you read a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n")]
    pub pem: Option<String>,
}

impl From<&TrustAnchor> for AnchorView {
    fn from(anchor: &TrustAnchor) -> Self {
        let certificate = anchor.describe();
        let read = certificate.as_ref();
        Self {
            sha256: anchor.sha256,
            subject: read.map(|it| it.subject.rfc4514.clone()),
            issuer: read.map(|it| it.issuer.rfc4514.clone()),
            serial: read.map(|it| it.serial.clone()),
            not_before: read.and_then(|it| Time::from_ms(it.not_before_ms)),
            not_after: read.and_then(|it| Time::from_ms(it.not_after_ms)),
            created_at: anchor.created_at.into(),
            pem: None,
        }
    }
}

impl AnchorView {
    /// The view of a single anchor, with the certificate itself.
    pub fn whole(anchor: &TrustAnchor) -> Self {
        Self {
            pem: Some(anchor.pem()),
            ..Self::from(anchor)
        }
    }
}
