//! What a policy is. Plain values, no I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::plugins::model::Digest;
use crate::time;
use sigpersist_verify::pki::{Anchors, Certificate, describe_certificate, to_pem};

/// What a tenant has set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What is saved.
    pub accept: Accept,
    /// Whether a verdict is recorded with each version that is saved.
    #[schema(example = false)]
    pub record_verdicts: bool,
}

/// What is saved as a signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accept {
    /// Any text.
    #[default]
    Any,
    /// A CMS that can be read, and that somebody has signed.
    Cms,
    /// XML that can be read, and that somebody has signed.
    Xml,
    /// Either of them.
    Readable,
}

crate::words!(
    Accept,
    Any = "any",
    Cms = "cms",
    Xml = "xml",
    Readable = "readable"
);

/// A certificate that a tenant trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    /// SHA-256 of the certificate.
    pub sha256: Digest,
    /// Since when it is trusted.
    pub created_at: DateTime<Utc>,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
}

impl TrustAnchor {
    /// The certificate in PEM (RFC 7468 section 5).
    pub fn pem(&self) -> String {
        to_pem("CERTIFICATE", &self.certificate)
    }

    /// What the certificate says; none where it is none.
    pub fn describe(&self) -> Option<Certificate> {
        describe_certificate(&self.certificate)
    }

    /// The anchor for people, programs and the audit trail, with the names of the API.
    pub fn facts(&self) -> Value {
        let certificate = self.describe();
        let told = certificate.as_ref();
        let time = |ms: i64| DateTime::from_timestamp_millis(ms).map(time::to_text);
        json!({
            "sha256": self.sha256.to_string(),
            "subject": told.map(|it| &it.subject.rfc4514),
            "issuer": told.map(|it| &it.issuer.rfc4514),
            "serial": told.map(|it| &it.serial),
            "not_before": told.and_then(|it| time(it.not_before_ms)),
            "not_after": told.and_then(|it| time(it.not_after_ms)),
            "created_at": time::to_text(self.created_at),
        })
    }
}

/// A tenant's policy and whom it trusts, ready to judge with.
#[derive(Debug)]
pub struct InForce {
    /// What is set.
    pub policy: Policy,
    /// Who is trusted.
    pub anchors: Anchors,
}

impl InForce {
    /// The policy with these anchors.
    pub fn new(policy: Policy, anchors: Vec<TrustAnchor>) -> Self {
        let certificates = anchors.into_iter().map(|anchor| anchor.certificate);
        Self {
            policy,
            anchors: Anchors::new(certificates),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_has_lines_of_64_characters() {
        let anchor = TrustAnchor {
            sha256: Digest([0; 32]),
            created_at: DateTime::UNIX_EPOCH,
            certificate: vec![0; 50],
        };
        let pem = anchor.pem();
        let lines: Vec<_> = pem.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[1].len(), lines[2].len()), (64, 4));
        assert_eq!(anchor.facts()["subject"], Value::Null);
    }
}
