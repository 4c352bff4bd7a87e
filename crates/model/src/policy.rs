//! The policy of a tenant and its trust anchors. Plain values, no I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_verify::certificates;
use sigpersist_verify::pki::{
    Anchors, Certificate, RevocationRule, Rules, describe_certificate, to_pem,
};
use utoipa::ToSchema;

use crate::digest::{sha256, to_hex};
use crate::error::{Error, Result};
use crate::plugin::Digest;

/// Greatest number of certificates that a tenant may trust. Each is examined for each signature that is verified.
pub const MAX_ANCHORS: usize = 100;

/// The policy of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The signatures that are accepted.
    pub accept: Accept,
    /// The handling of a detached signature, whose content is not in it.
    // Exports that are older than this member lack it.
    #[serde(default)]
    pub detached: Detached,
    /// The revocation information that certificates need.
    #[serde(default)]
    pub revocation: Revocation,
    /// Whether a verdict is recorded with each saved version.
    #[schema(example = false)]
    pub record_verdicts: bool,
    /// Whether signatures can be found by who signed them.
    #[serde(default = "indexes_signers")]
    #[schema(example = true)]
    pub index_signers: bool,
    /// Origins whose pages may use the API with tokens of the tenant, beside those of the server's settings. Left out if
    /// there are none, so that the digest of a policy from before this member stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20, example = json!(["https://app.example.com"]))]
    pub cors_origins: Vec<String>,
}

fn indexes_signers() -> bool {
    Policy::default().index_signers
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            accept: Accept::default(),
            detached: Detached::default(),
            revocation: Revocation::default(),
            record_verdicts: false,
            index_signers: true,
            cors_origins: Vec::new(),
        }
    }
}

impl Policy {
    /// SHA-256, in hexadecimal, of the policy as JSON without spaces, its members sorted by name.
    pub fn sha256(&self) -> Result<String> {
        let members = serde_json::to_value(self).map_err(Error::internal)?;
        let members: BTreeMap<String, Value> =
            serde_json::from_value(members).map_err(Error::internal)?;
        let text = serde_json::to_vec(&members).map_err(Error::internal)?;
        Ok(to_hex(&sha256(&text)))
    }
}

/// Changes of a policy. A member that is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of a policy")]
pub struct PolicyPatch {
    pub accept: Option<Accept>,
    pub detached: Option<Detached>,
    pub revocation: Option<Revocation>,
    pub record_verdicts: Option<bool>,
    pub index_signers: Option<bool>,
    pub cors_origins: Option<Vec<String>>,
}

impl PolicyPatch {
    /// Applies the changes to a policy.
    pub fn of(&self, before: Policy) -> Policy {
        Policy {
            accept: self.accept.unwrap_or(before.accept),
            detached: self.detached.unwrap_or(before.detached),
            revocation: self.revocation.unwrap_or(before.revocation),
            record_verdicts: self.record_verdicts.unwrap_or(before.record_verdicts),
            index_signers: self.index_signers.unwrap_or(before.index_signers),
            cors_origins: self.cors_origins.clone().unwrap_or(before.cors_origins),
        }
    }
}

impl From<Policy> for PolicyPatch {
    fn from(policy: Policy) -> Self {
        Self {
            accept: Some(policy.accept),
            detached: Some(policy.detached),
            revocation: Some(policy.revocation),
            record_verdicts: Some(policy.record_verdicts),
            index_signers: Some(policy.index_signers),
            cors_origins: Some(policy.cors_origins),
        }
    }
}

/// The signatures that are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accept {
    /// Any text.
    #[default]
    Any,
    /// CMS that can be read and has a signer.
    Cms,
    /// XML that can be read and has a signer.
    Xml,
    /// CMS or XML that can be read and has a signer.
    Readable,
    /// CMS or XML in which the value and the digests of every signer are intact.
    Intact,
    /// CMS or XML in which every signer passes under the tenant's trust anchors.
    Passed,
}

impl Accept {
    /// The accepted signatures, in words.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Any => "any text",
            Self::Cms => "CMS signatures that can be read",
            Self::Xml => "XML signatures that can be read",
            Self::Readable => "CMS and XML signatures that can be read",
            Self::Intact => "signatures that are intact",
            Self::Passed => "signatures that pass under its trust anchors",
        }
    }
}

crate::words!(Accept);

/// The handling of a detached signature, whose content is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detached {
    /// It is judged without its content, or with it if you send it along.
    #[default]
    Accept,
    /// It is not saved.
    Refuse,
    /// It is saved only if you send its signed content along.
    NeedsContent,
}

crate::words!(Detached);

/// The revocation information that the certificates of a chain need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RevocationSetting)]
pub enum Revocation {
    /// Embedded information counts. A certificate without any passes.
    #[default]
    IfPresent,
    /// Nothing passes without information that each certificate was not revoked.
    Required,
}

crate::words!(Revocation);

impl Revocation {
    /// The verifier's rule for this setting.
    pub fn rule(self) -> RevocationRule {
        match self {
            Self::IfPresent => RevocationRule::IfPresent,
            Self::Required => RevocationRule::Required,
        }
    }
}

/// A certificate that a tenant trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustAnchor {
    /// SHA-256 of the certificate.
    pub sha256: Digest,
    /// Time since which the certificate is trusted.
    pub created_at: DateTime<Utc>,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
}

impl TrustAnchor {
    /// The certificate in PEM (RFC 7468 section 5).
    pub fn pem(&self) -> String {
        to_pem("CERTIFICATE", &self.certificate)
    }

    /// The contents of the certificate; none if it can't be read.
    pub fn describe(&self) -> Option<Certificate> {
        describe_certificate(&self.certificate)
    }
}

/// A tenant's policy and trust anchors, ready for judging.
#[derive(Debug)]
pub struct InForce {
    /// The policy.
    pub policy: Policy,
    /// The trust anchors.
    pub anchors: Anchors,
    /// The digests of both.
    pub digests: Digests,
}

/// Digests that identify a policy and a set of trust anchors. You can compute them from what the API shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Digests {
    /// SHA-256 of the policy as JSON without spaces, its members sorted by name.
    #[schema(value_type = sigpersist_verify::digest::Sha256)]
    pub policy_sha256: String,
    /// SHA-256 over the hexadecimal SHA-256s of all trust anchors, sorted, each followed by a line feed.
    #[schema(value_type = sigpersist_verify::digest::Sha256)]
    pub anchors_sha256: String,
}

impl InForce {
    /// Combines a policy with trust anchors.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] if the policy can't be written as JSON.
    pub fn new(policy: Policy, anchors: Vec<TrustAnchor>) -> Result<Self> {
        let mut lines: Vec<_> = anchors
            .iter()
            .map(|anchor| format!("{}\n", anchor.sha256))
            .collect();
        lines.sort_unstable();
        let digests = Digests {
            policy_sha256: policy.sha256()?,
            anchors_sha256: to_hex(&sha256(lines.concat().as_bytes())),
        };
        let certificates = anchors.into_iter().map(|anchor| anchor.certificate);
        Ok(Self {
            policy,
            anchors: Anchors::new(certificates),
            digests,
        })
    }

    /// The rules by which chains are judged.
    pub fn rules(&self) -> Rules {
        Rules {
            revocation: self.policy.revocation.rule(),
            ..Rules::default()
        }
    }
}

/// Reads the certificates of a PEM or DER file; none if there are none, or one can't be read.
pub fn read_anchors(file: &[u8], created_at: DateTime<Utc>) -> Option<Vec<TrustAnchor>> {
    let mut given: Vec<TrustAnchor> = Vec::new();
    for certificate in certificates(file) {
        let anchor = TrustAnchor {
            sha256: Digest(sha256(&certificate)),
            created_at,
            certificate,
        };
        // The certificate must be complete, with nothing after it.
        anchor
            .describe()
            .filter(|described| described.sha256 == anchor.sha256.to_string())?;
        // A file of megabytes may repeat a certificate a million times.
        if given.iter().all(|given| given.sha256 != anchor.sha256) {
            given.push(anchor);
        }
        if given.len() > MAX_ANCHORS {
            // They are too many already.
            break;
        }
    }
    (!given.is_empty()).then_some(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf … | sha256sum` prints them.
    #[test]
    fn digests_are_those_that_anybody_computes() {
        let anchor = |byte| TrustAnchor {
            sha256: Digest([byte; 32]),
            created_at: DateTime::UNIX_EPOCH,
            certificate: Vec::new(),
        };
        let policy = Policy {
            accept: Accept::Passed,
            detached: Detached::NeedsContent,
            revocation: Revocation::Required,
            record_verdicts: true,
            index_signers: true,
            cors_origins: Vec::new(),
        };
        let text = r#"{"accept":"passed","detached":"needs_content","index_signers":true,"record_verdicts":true,"revocation":"required"}"#;
        let lines = format!("{}\n{}\n", "01".repeat(32), "f0".repeat(32));
        let in_force = InForce::new(policy.clone(), vec![anchor(0xf0), anchor(1)]).unwrap();
        let of = |text: &str| to_hex(&sha256(text.as_bytes()));
        assert_eq!(in_force.digests.policy_sha256, of(text));
        assert_eq!(in_force.digests.anchors_sha256, of(&lines));
        let nobody = InForce::new(policy.clone(), Vec::new()).unwrap();
        assert_eq!(nobody.digests.anchors_sha256, of(""));
        let open = Policy {
            cors_origins: vec!["https://a.example".to_owned()],
            ..policy
        };
        let text = text.replace(
            r#","detached""#,
            r#","cors_origins":["https://a.example"],"detached""#,
        );
        assert_eq!(open.sha256().unwrap(), of(&text));
    }

    #[test]
    fn a_policy_from_before_there_was_more_to_set_is_read() {
        let before = r#"{"accept":"cms","record_verdicts":true}"#;
        let policy: Policy = serde_json::from_str(before).unwrap();
        assert_eq!(policy.detached, Detached::Accept);
        assert_eq!(policy.revocation, Revocation::IfPresent);
        assert!(policy.index_signers);
        assert!(policy.cors_origins.is_empty());
        assert!(
            serde_json::from_str::<Policy>(r#"{"accept":"cms","record_verdicts":true,"x":1}"#)
                .is_err()
        );
    }

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
        assert_eq!(crate::view::AnchorView::from(&anchor).subject, None);
    }
}
