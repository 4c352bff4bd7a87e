//! A signature that is judged under its tenant's policy at most once: when the report is first asked for. Later callers
//! get that report.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use sigpersist_model::attachments::Attachments;
use sigpersist_model::digest::{sha256, to_hex};
use sigpersist_model::policy::InForce;
use sigpersist_model::signature::SignatureBody;
use sigpersist_verify::pki::Budget;
use sigpersist_verify::{Judging, Report, report_within};

/// A signature and everything that it is judged by.
#[derive(Debug)]
pub struct Verification {
    body: SignatureBody,
    attachments: Attachments,
    policy: Arc<InForce>,
    now: DateTime<Utc>,
    report: OnceLock<Arc<Report>>,
}

impl Verification {
    /// A signature that was not judged yet. `now` is the time of the verification.
    pub fn new(
        body: SignatureBody,
        attachments: Attachments,
        policy: Arc<InForce>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            body,
            attachments,
            policy,
            now,
            report: OnceLock::new(),
        }
    }

    /// Another signature, judged under the same policy at the same time, without content or certificates beside it.
    #[must_use]
    pub fn same_for(&self, body: SignatureBody) -> Self {
        Self::new(
            body,
            Attachments::default(),
            Arc::clone(&self.policy),
            self.now,
        )
    }

    /// The time of the verification.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// The signature.
    pub fn body(&self) -> &SignatureBody {
        &self.body
    }

    /// Whether its content was sent with it.
    pub fn has_content(&self) -> bool {
        self.attachments.content.is_some()
    }

    /// SHA-256 of the content that was sent with it, in hexadecimal.
    pub fn content_sha256(&self) -> Option<String> {
        let content = self.attachments.content.as_ref();
        content.map(|content| to_hex(&sha256(content)))
    }

    /// The policy under which it is judged.
    pub fn policy(&self) -> &Arc<InForce> {
        &self.policy
    }

    /// The report with verdicts. For the first caller, `examine` runs the examination with a permit of the tenant;
    /// later callers need none. Blocks.
    ///
    /// # Errors
    ///
    /// The errors of `examine`.
    pub fn report<E>(
        &self,
        examine: impl FnOnce(&SignatureBody, &dyn Fn(&Budget) -> Report) -> Result<Report, E>,
    ) -> Result<Arc<Report>, E> {
        if let Some(known) = self.report.get() {
            return Ok(Arc::clone(known));
        }
        let policy = &self.policy;
        let judging = Judging {
            document: self.attachments.content.as_deref(),
            certificates: &self.attachments.certificates,
            rules: policy.rules(),
            ..Judging::new(&policy.anchors, self.now.timestamp_millis())
        };
        let look = |budget: &Budget| report_within(&self.body.as_sent(), Some(&judging), budget);
        let found = Arc::new(examine(&self.body, &look)?);
        Ok(Arc::clone(self.report.get_or_init(|| found)))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use sigpersist_model::policy::Policy;

    #[test]
    fn a_signature_is_judged_once_and_in_one_turn() {
        let text = include_str!("../../../tests/data/first.cms.b64");
        let body = SignatureBody::from_text(text.trim());
        let policy = Arc::new(InForce::new(Policy::default(), Vec::new()).unwrap());
        let verification = Verification::new(body, Attachments::default(), policy, Utc::now());
        assert!(verification.report(|_, _| Err("busy")).is_err());
        let first = verification
            .report(|_, look| Ok::<_, Infallible>(look(&Budget::new())))
            .unwrap();
        assert_eq!(
            first.signers[0].verdict.as_ref().unwrap().intact,
            Some(true)
        );
        let again = verification.report(|_, _| Err("busy")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }
}
