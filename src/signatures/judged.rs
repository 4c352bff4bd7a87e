//! One signature, judged under its tenant's policy at most once: when somebody first asks, and for all who ask later.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use sigpersist_verify::{Judging, Report, report};

use super::model::SignatureBody;
use crate::digest::{sha256, to_hex};
use crate::policy::model::InForce;

/// A signature, and everything that it is judged by.
#[derive(Debug)]
pub struct Judged {
    body: SignatureBody,
    content: Option<Bytes>,
    certificates: Vec<Vec<u8>>,
    policy: Arc<InForce>,
    now: DateTime<Utc>,
    report: OnceLock<Arc<Report>>,
}

impl Judged {
    /// A signature that nobody has looked at. `content` is what it signs if that is elsewhere, `now` the time of the verification.
    pub fn new(
        body: SignatureBody,
        content: Option<Bytes>,
        policy: Arc<InForce>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            body,
            content,
            certificates: Vec::new(),
            policy,
            now,
            report: OnceLock::new(),
        }
    }

    /// The same with certificates, in DER, that are at hand beside it and not trusted.
    #[must_use]
    pub fn with_certificates(self, certificates: Vec<Vec<u8>>) -> Self {
        Self {
            certificates,
            ..self
        }
    }

    /// Another signature, judged under the same policy for the same time, without content.
    #[must_use]
    pub fn same_for(&self, body: SignatureBody) -> Self {
        Self::new(body, None, Arc::clone(&self.policy), self.now)
    }

    /// The time of the verification.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The signature.
    pub fn body(&self) -> &SignatureBody {
        &self.body
    }

    /// Whether what it signs was given beside it.
    pub fn has_content(&self) -> bool {
        self.content.is_some()
    }

    /// SHA-256 of what was given beside it, in hexadecimal.
    pub fn content_sha256(&self) -> Option<String> {
        let content = self.content.as_ref();
        content.map(|content| to_hex(&sha256(content)))
    }

    /// The policy that it is judged under.
    pub fn policy(&self) -> &Arc<InForce> {
        &self.policy
    }

    /// The verdicts on its signers. Whoever asks first waits for a turn and keeps it meanwhile; nobody after that needs one. Blocks.
    ///
    /// # Errors
    ///
    /// Those of `turn`.
    pub fn report<T, E>(&self, turn: impl FnOnce() -> Result<T, E>) -> Result<Arc<Report>, E> {
        if let Some(known) = self.report.get() {
            return Ok(Arc::clone(known));
        }
        let _turn = turn()?;
        let found = self.report.get_or_init(|| {
            let policy = &self.policy;
            let judging = Judging {
                document: self.content.as_deref(),
                certificates: &self.certificates,
                rules: policy.rules(),
                ..Judging::new(&policy.anchors, self.now.timestamp_millis())
            };
            Arc::new(report(&self.body.as_sent(), Some(&judging)))
        });
        Ok(Arc::clone(found))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::policy::model::Policy;

    #[test]
    fn a_signature_is_judged_once_and_in_one_turn() {
        let text = include_str!("../../tests/data/first.cms.b64");
        let body = SignatureBody::from_text(text.trim());
        let policy = Arc::new(InForce::new(Policy::default(), Vec::new()).unwrap());
        let judged = Judged::new(body, None, policy, Utc::now());
        assert!(judged.report(|| Err::<(), _>("busy")).is_err());
        let first = judged.report(|| Ok::<_, Infallible>(())).unwrap();
        assert_eq!(
            first.signers[0].verdict.as_ref().unwrap().intact,
            Some(true)
        );
        let again = judged.report(|| Err::<(), _>("busy")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }
}
