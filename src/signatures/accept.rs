//! Whether a draft is a signature that its tenant accepts.

use std::sync::Arc;

use sigpersist_verify::pki::{Indication, Outcome, Work};
use sigpersist_verify::{Format, Report, Signer, report_within};

use super::Judged;
use super::summary::{Summary, shortened};
use crate::app::App;
use crate::context::TenantId;
use crate::error::{Error, NotAccepted, RefusedSigner, Result};
use crate::policy::model::{Accept, Detached, Policy};

/// Most signers that a refusal tells of.
const MAX_SIGNERS: usize = 50;

/// Lets only through what the policy accepts; gives the verdict to record with it, as JSON, where that is wanted.
///
/// A draft that comes with its content is verified by it, whatever the policy is: the verdict keeps the content's digest.
///
/// # Errors
///
/// [`Error::SignatureNotAccepted`], and those of waiting for a turn.
pub(super) fn check_draft(app: &App, tenant: TenantId, judged: &Judged) -> Result<Option<String>> {
    let policy = judged.policy().policy;
    let records = policy.record_verdicts || judged.has_content();
    let verifies = records || matches!(policy.accept, Accept::Intact | Accept::Passed);
    if !verifies && policy.accept == Accept::Any && policy.detached == Detached::Accept {
        return Ok(None);
    }
    let told = if verifies {
        judged.report(|body, look| app.examinations.look(tenant, body, look))?
    } else {
        let body = judged.body();
        let look = |work: &Work| report_within(&body.as_sent(), None, work);
        Arc::new(app.examinations.look(tenant, body, look)?)
    };
    let draft = Examined {
        told: &told,
        policy,
        has_content: judged.has_content(),
    };
    draft.check().map_err(|refusal| draft.refused(refusal))?;
    let kept = records.then(|| Summary::new(&told, judged));
    let kept = kept.map(|kept| serde_json::to_string(&kept));
    kept.transpose().map_err(Error::internal)
}

/// A draft that was looked at.
struct Examined<'a> {
    told: &'a Report,
    policy: Policy,
    has_content: bool,
}

/// What stands in the way of a draft.
enum Refusal {
    /// A sentence says it; none where the format is another one.
    Of(Option<String>),
    /// So many of those who signed.
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
        let signers = self.signers();
        let accepted = signers
            .iter()
            .filter(|(_, signer)| self.is_accepted(signer));
        match signers.len() - accepted.count() {
            0 => Ok(()),
            not_accepted => Err(Refusal::Signers(not_accepted)),
        }
    }

    fn check_content(&self) -> Result<(), Refusal> {
        if !self.told.is_detached() {
            return Ok(());
        }
        let sentence = match self.policy.detached {
            Detached::Refuse => "It accepts none whose content is elsewhere.",
            Detached::NeedsContent if !self.has_content => {
                "The content of this one is elsewhere: send it along as `content`, which is not stored."
            }
            Detached::Accept | Detached::NeedsContent => return Ok(()),
        };
        Err(Refusal::Of(Some(sentence.to_owned())))
    }

    /// Whether the policy has nothing against one who signed.
    fn is_accepted(&self, signer: &Signer) -> bool {
        let Some(found) = self.found(signer) else {
            return !matches!(self.policy.accept, Accept::Intact | Accept::Passed);
        };
        match self.policy.accept {
            Accept::Passed => found.indication == Indication::TotalPassed,
            // Of what is intact, something may be wrong all the same: a type that is not the one that was signed.
            Accept::Intact => {
                found.intact == Some(true) && found.indication != Indication::TotalFailed
            }
            // Content that must come along is what was signed.
            _ if self.policy.detached == Detached::NeedsContent && self.told.is_detached() => {
                found.intact != Some(false)
            }
            _ => true,
        }
    }

    /// What was found of one who signed, apart from the content where that is elsewhere and need not be here.
    fn found(&self, signer: &Signer) -> Option<Outcome> {
        let verdict = signer.verdict.as_ref()?;
        let may_lack_content = self.policy.detached == Detached::Accept && !self.has_content;
        let apart = verdict.apart_from_content.filter(|_| may_lack_content);
        Some(apart.unwrap_or_else(|| verdict.outcome()))
    }

    /// Everybody who signed, and after each those who signed that signature, by their places: 1, 1.1, 1.2, 2.
    fn signers(&self) -> Vec<(String, &Signer)> {
        fn add<'s>(all: &mut Vec<(String, &'s Signer)>, before: &str, signers: &'s [Signer]) {
            for (signer, number) in signers.iter().zip(1..) {
                let place = format!("{before}{number}");
                let below = format!("{place}.");
                all.push((place, signer));
                add(all, &below, signer.countersigners());
            }
        }
        let mut all = Vec::new();
        add(&mut all, "", &self.told.signers);
        all
    }

    fn refused(&self, refusal: Refusal) -> Error {
        let signers = self.signers();
        let problem = match refusal {
            Refusal::Of(problem) => problem,
            Refusal::Signers(1) if signers.len() == 1 => {
                let found = signers.first().and_then(|(_, signer)| self.found(signer));
                found.map(|found| found.explanation.to_owned())
            }
            Refusal::Signers(number) => {
                let of = signers.len();
                Some(format!(
                    "Of the {of} who signed this one, {number} are not accepted: `details.signers` says why."
                ))
            }
        };
        let told = signers.iter().filter_map(|(place, signer)| {
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
        });
        Error::SignatureNotAccepted(Box::new(NotAccepted {
            accept: self.policy.accept,
            format: self.told.format,
            problem,
            signers: told.take(MAX_SIGNERS).collect(),
        }))
    }
}
