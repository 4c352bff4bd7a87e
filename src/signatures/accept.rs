//! Checks whether a draft is a signature that its tenant accepts.

use std::sync::Arc;

use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, NotAccepted, RefusedSigner, Result};
use sigpersist_model::policy::{Accept, Detached, Policy};
use sigpersist_model::term::SignerTerm;
use sigpersist_runtime::verification::Verification;
use sigpersist_verify::pki::{Budget, Indication, Outcome};
use sigpersist_verify::{Format, Report, Signer, report_within};

use super::summary::{Summary, shortened};
use crate::app::App;

/// Greatest number of signers that a refusal lists.
const MAX_SIGNERS: usize = 50;

/// Findings about an accepted draft.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The verdict to record with it, as JSON, if one is wanted.
    pub(super) verdict: Option<String>,
    /// The terms of its signers; none if they are not to be indexed, or not now.
    pub(super) signers: Option<Vec<String>>,
}

/// Lets only accepted drafts through.
///
/// A draft that comes with its content is verified with it under every policy, because its verdict keeps the content's
/// digest.
///
/// # Errors
///
/// [`Error::SignatureNotAccepted`], and the errors of waiting for a permit.
pub(super) fn check_draft(
    app: &App,
    tenant: TenantId,
    verification: &Verification,
) -> Result<Findings> {
    let policy = &verification.policy().policy;
    let records = policy.record_verdicts || verification.has_content();
    let verifies = records || verifies(policy);
    let read = || {
        let body = verification.body();
        let look = |budget: &Budget| report_within(&body.as_sent(), None, budget);
        app.examinations.look(tenant, body, look).map(Arc::new)
    };
    if !verifies && policy.accept == Accept::Any && policy.detached == Detached::Accept {
        // Without a permit, the signers are indexed later, as those of versions that were stored before.
        let told = policy.index_signers.then(|| read().ok()).flatten();
        return Ok(Findings {
            verdict: None,
            signers: told.map(|told| signer_terms(&told, policy, false)),
        });
    }
    let told = if verifies {
        verification.report(|body, look| app.examinations.look(tenant, body, look))?
    } else {
        read()?
    };
    let draft = Examined {
        told: &told,
        policy,
        has_content: verification.has_content(),
    };
    draft.check().map_err(|refusal| draft.refused(refusal))?;
    let kept = records.then(|| Summary::new(&told, verification));
    let kept = kept.map(|kept| serde_json::to_string(&kept));
    let terms = || signer_terms(&told, policy, verification.has_content());
    Ok(Findings {
        verdict: kept.transpose().map_err(Error::internal)?,
        signers: policy.index_signers.then(terms),
    })
}

/// Whether a policy verifies the signatures that it accepts.
pub(super) fn verifies(policy: &Policy) -> bool {
    policy.record_verdicts || matches!(policy.accept, Accept::Intact | Accept::Passed)
}

/// The terms of the signers of a signature, countersigners included. If the signature was verified, only signers whose
/// signatures are intact count.
pub(super) fn signer_terms(told: &Report, policy: &Policy, has_content: bool) -> Vec<String> {
    let examined = Examined {
        told,
        policy,
        has_content,
    };
    let signers = told.everybody();
    let signers = signers.iter().map(|(_, signer)| *signer);
    SignerTerm::of_signers(signers.filter(|signer| match examined.found(signer) {
        Some(found) => found.intact == Some(true),
        None => true,
    }))
}

/// An examined draft.
struct Examined<'a> {
    told: &'a Report,
    policy: &'a Policy,
    has_content: bool,
}

const OTHER_CONTENT: &str = "The `content` that you sent is not the signed content.";

/// The reason why a draft is refused.
enum Refusal {
    /// A problem of the whole signature, as a sentence; none if its format is not accepted.
    Of(Option<String>),
    /// The number of signers that are not accepted.
    Signers(usize),
}

impl Examined<'_> {
    fn check(&self) -> Result<(), Refusal> {
        let Self { told, policy, .. } = self;
        let of_format = match policy.accept {
            Accept::Cms => told.format == Format::Cms,
            Accept::Xml => told.format == Format::Xml,
            Accept::Any | Accept::Readable | Accept::Intact | Accept::Passed => true,
        };
        match &told.problem {
            None if !of_format => return Err(Refusal::Of(None)),
            None => {}
            Some(_) if policy.accept == Accept::Any => return Ok(()),
            problem => return Err(Refusal::Of(problem.clone())),
        }
        self.check_content()?;
        if self.is_of_other_content() {
            return Err(Refusal::Of(Some(OTHER_CONTENT.to_owned())));
        }
        let signers = self.told.everybody();
        let accepted = signers
            .iter()
            .filter(|(_, signer)| self.is_accepted(signer));
        match signers.len() - accepted.count() {
            0 => Ok(()),
            not_accepted => Err(Refusal::Signers(not_accepted)),
        }
    }

    /// Whether the content was sent along and is not what somebody signed. No policy accepts such a draft.
    fn is_of_other_content(&self) -> bool {
        let is_other = |signer: &Signer| {
            self.found(signer)
                .is_some_and(|it| it.intact == Some(false))
        };
        // The signers are examined only if content was sent along, which is rare.
        self.has_content && self.told.everybody().iter().any(|(_, it)| is_other(it))
    }

    fn check_content(&self) -> Result<(), Refusal> {
        if !self.told.is_detached() {
            return Ok(());
        }
        let sentence = match self.policy.detached {
            Detached::Refuse => "Detached signatures are not accepted.",
            Detached::NeedsContent if !self.has_content => {
                "This signature is detached: send its content, too, as `content`, which is not stored."
            }
            Detached::Accept | Detached::NeedsContent => return Ok(()),
        };
        Err(Refusal::Of(Some(sentence.to_owned())))
    }

    /// Whether the policy accepts this signer.
    fn is_accepted(&self, signer: &Signer) -> bool {
        let Some(found) = self.found(signer) else {
            return !matches!(self.policy.accept, Accept::Intact | Accept::Passed);
        };
        match self.policy.accept {
            _ if self.has_content && found.intact == Some(false) => false,
            Accept::Passed => found.indication == Indication::TotalPassed,
            // Something else may be wrong with an intact signature, for example a content type that is not the signed
            // one.
            Accept::Intact => {
                found.intact == Some(true) && found.indication != Indication::TotalFailed
            }
            // Content that must be sent along must be proven to be what was signed.
            _ if self.policy.detached == Detached::NeedsContent && self.told.is_detached() => {
                found.intact == Some(true)
            }
            _ => true,
        }
    }

    /// The outcome for a signer. If the content is outside of the signature and need not be sent, the outcome apart
    /// from it.
    fn found(&self, signer: &Signer) -> Option<Outcome> {
        let verdict = signer.verdict.as_ref()?;
        let may_lack_content = self.policy.detached == Detached::Accept && !self.has_content;
        let apart = verdict.apart_from_content.filter(|_| may_lack_content);
        Some(apart.unwrap_or_else(|| verdict.outcome()))
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let signers = self.told.everybody();
        let problem = match refusal {
            Refusal::Of(problem) => problem,
            Refusal::Signers(1) if signers.len() == 1 => {
                let found = signers.first().and_then(|(_, signer)| self.found(signer));
                found.map(|found| found.explanation.to_owned())
            }
            Refusal::Signers(number) => {
                let of = signers.len();
                let are = if number == 1 { "is" } else { "are" };
                Some(format!(
                    "{number} of its {of} signers {are} not accepted: `details.signers` says why."
                ))
            }
        };
        let mut told: Vec<_> = signers
            .iter()
            .filter_map(|(place, signer)| {
                let found = self.found(signer)?;
                let certificate = signer.certificate.as_ref();
                Some(RefusedSigner {
                    signer: place.clone(),
                    accepted: self.is_accepted(signer),
                    subject: certificate.map(|it| shortened(&it.subject.rfc4514)),
                    sha256: certificate.map(|it| it.sha256.clone()),
                    indication: found.indication,
                    sub_indication: found.sub_indication,
                    explanation: found.explanation,
                })
            })
            .collect();
        if told.len() > MAX_SIGNERS {
            // If there is no room for all, the refused signers come first.
            told.sort_by_key(|signer| signer.accepted);
            told.truncate(MAX_SIGNERS);
        }
        Error::SignatureNotAccepted(Box::new(NotAccepted {
            accept: self.policy.accept,
            format: self.told.format,
            problem,
            is_of_other_content: self.is_of_other_content(),
            signers: told,
        }))
    }
}

#[cfg(test)]
mod tests {
    use sigpersist_verify::pki::Anchors;
    use sigpersist_verify::{Judging, report};

    use super::*;
    use sigpersist_model::signature::SignatureBody;

    #[test]
    fn who_is_in_the_way_is_told_whatever_number_signed() {
        let of = |text: &str| {
            let body = SignatureBody::from_text(text.trim());
            let anchors = Anchors::new(Vec::new());
            let judging = Judging::new(&anchors, 1_796_000_000_000);
            report(&body.as_sent(), Some(&judging))
        };
        let mut told = of(include_str!("../../tests/data/first.cms.b64"));
        let forged = of(include_str!("../../tests/data/forged.cms.b64"));
        told.signers = vec![told.signers.remove(0); MAX_SIGNERS + 5];
        told.signers.extend(forged.signers);
        let draft = Examined {
            told: &told,
            policy: &Policy {
                accept: Accept::Intact,
                ..Policy::default()
            },
            has_content: false,
        };
        let Error::SignatureNotAccepted(refused) = draft.refused(draft.check().unwrap_err()) else {
            panic!("it is not refused");
        };
        assert_eq!(refused.signers.len(), MAX_SIGNERS);
        let [first, second, ..] = &refused.signers[..] else {
            panic!("{refused:?}");
        };
        assert!(!first.accepted && first.signer == "56" && second.accepted && second.signer == "1");
    }
}
