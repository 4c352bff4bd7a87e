//! Verification results for hooks that ask. They are computed under the tenant's policy when a hook first asks, or
//! taken from the record of a decision.

use std::convert::Infallible;
use std::sync::Arc;

use sigpersist_model::decision::{RecordedReport, RecordedVerdict, Revoked, Verdicts};
use sigpersist_model::signature::SignatureBody;
use sigpersist_runtime::verification::Verification;
use sigpersist_verify::pki::{Budget, Indication};
use sigpersist_verify::{Report, Signer, report_within};

use super::bindings::sigpersist::hooks::cms;
use super::bindings::sigpersist::hooks::verdicts as wit;
use super::convert;

/// Source of the verification results that hooks ask for. Recorded results take precedence.
#[derive(Debug, Clone, Default)]
pub struct VerdictSource {
    /// The signature that is saved or deleted. It is verified when somebody first asks.
    verification: Option<Arc<Verification>>,
    /// Recorded results of an earlier judgement.
    told: Option<Verdicts>,
}

/// Source of the results of one signature.
#[derive(Debug)]
pub(super) enum Source {
    Now(Arc<Verification>),
    Recorded(SignatureBody, RecordedReport),
    /// No hook had asked, or the results were too large to be recorded.
    Unrecorded,
}

impl VerdictSource {
    /// Verifies this signature, if no results were recorded.
    pub fn now(verification: Arc<Verification>) -> Self {
        Self {
            verification: Some(verification),
            told: None,
        }
    }

    /// Uses the recorded results.
    #[must_use]
    pub fn told(self, told: Option<Verdicts>) -> Self {
        Self { told, ..self }
    }

    /// Source of the results of the signature that is saved or deleted.
    pub(super) fn of_signature(&self, body: &SignatureBody) -> Source {
        let told = self.told.as_ref().and_then(|it| it.signature.clone());
        Source::new(told, body, || self.verification.clone())
    }

    /// Source of the results of the version that is signed over.
    ///
    /// They ignore content that the caller sends. Hooks may allow to drop a signer whose signature does not hold, and
    /// with wrong content a caller could make any signature fail.
    pub(super) fn of_previous(&self, body: &SignatureBody) -> Source {
        let told = self.told.as_ref().and_then(|it| it.previous.clone());
        Source::new(told, body, || {
            let verification = self.verification.as_ref()?;
            Some(Arc::new(verification.same_for(body.clone())))
        })
    }
}

impl Source {
    fn new(
        told: Option<RecordedReport>,
        body: &SignatureBody,
        verification: impl FnOnce() -> Option<Arc<Verification>>,
    ) -> Self {
        match told {
            Some(told) => Self::Recorded(body.clone(), told),
            None => verification().map_or(Self::Unrecorded, Self::Now),
        }
    }

    /// The results of the signature, which `examine` parses; none if they were not recorded.
    pub(super) fn tell(
        &self,
        examine: impl FnOnce(&SignatureBody, &dyn Fn(&Budget) -> Report) -> Report,
    ) -> Option<(RecordedReport, wit::Judgement)> {
        match self {
            Self::Now(verification) => {
                let Ok(read) =
                    verification.report(|body, look| Ok::<_, Infallible>(examine(body, look)));
                let told = RecordedReport::new(&read);
                let judgement = judgement(&told, &read.signers);
                Some((told, judgement))
            }
            Self::Recorded(body, told) => {
                let read = examine(body, &|budget| report_within(&body.as_sent(), None, budget));
                Some((told.clone(), judgement(told, &read.signers)))
            }
            Self::Unrecorded => None,
        }
    }
}

fn judgement(told: &RecordedReport, signers: &[Signer]) -> wit::Judgement {
    let mut judged = Vec::with_capacity(told.signers.len());
    let mut countersigners = Vec::new();
    for (number, holds) in told.signers.iter().enumerate() {
        let signer = signers.get(number);
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        add_countersigners(index, holds, signer, &mut countersigners);
        judged.push(wit::JudgedSigner {
            certificate: certificate(holds, signer),
            verdict: verdict(holds),
        });
    }
    wit::Judgement {
        signers: judged,
        countersigners,
        extra: Vec::new(),
    }
}

/// The depth of recursion is bounded, since the parser bounds the nesting of countersignatures.
fn add_countersigners(
    index: u32,
    holds: &RecordedVerdict,
    signer: Option<&Signer>,
    all: &mut Vec<wit::Countersigner>,
) {
    let others = signer.map(Signer::countersigners).unwrap_or_default();
    for (number, holds) in holds.countersigners.iter().enumerate() {
        let signer = others.get(number);
        all.push(wit::Countersigner {
            signer: index,
            certificate: certificate(holds, signer),
            verdict: verdict(holds),
        });
        add_countersigners(index, holds, signer, all);
    }
}

fn certificate(holds: &RecordedVerdict, signer: Option<&Signer>) -> Option<cms::Certificate> {
    let read = signer.and_then(|signer| signer.certificate.clone());
    holds.judged_certificate(read).map(convert::certificate)
}

fn verdict(holds: &RecordedVerdict) -> wit::Verdict {
    let apart = holds.apart_from_content.as_ref();
    wit::Verdict {
        indication: indication(holds.indication),
        sub_indication: holds.sub_indication.clone(),
        explanation: holds.explanation.clone(),
        intact: holds.intact,
        claimed_time_ms: holds.claimed_time_ms,
        proven_time_ms: holds.proven_time_ms,
        judged_time_ms: holds.judged_time_ms,
        judged_by: holds.judged_by.clone(),
        chain: holds.chain.clone(),
        revocation: match holds.revocation {
            Revoked::NotJudged => wit::Revocation::NotJudged,
            Revoked::Good(as_of_ms) => wit::Revocation::Good(as_of_ms),
            Revoked::Revoked(since_ms) => wit::Revocation::Revoked(since_ms),
        },
        apart_from_content: apart.map(|apart| wit::ApartFromContent {
            indication: indication(apart.indication),
            sub_indication: apart.sub_indication.clone(),
            explanation: apart.explanation.clone(),
            intact: apart.intact,
        }),
        extra: Vec::new(),
    }
}

fn indication(indication: Indication) -> wit::Indication {
    match indication {
        Indication::TotalPassed => wit::Indication::TotalPassed,
        Indication::Indeterminate => wit::Indication::Indeterminate,
        Indication::TotalFailed => wit::Indication::TotalFailed,
    }
}
