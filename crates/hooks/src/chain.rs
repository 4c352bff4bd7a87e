//! A tenant's hooks in the order in which they run, and their judgement of a save or delete.

use std::sync::Arc;

use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Circumstances, Decision, Outcome, Verdicts};
use sigpersist_model::error::{Error, HookRejection};
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::{Draft, Signature};
use sigpersist_runtime::examinations::Examinations;

use super::bound::{Bound, FailingHook, Origin};
use super::convert::{Version, context, signature, stored};
use super::engine::Engine;
use super::host::{Document, Subject};
use super::seat::Seat;
use super::verdicts::VerdictSource;

/// A tenant's hooks at one moment. A request keeps the chain that it started with, even if the hooks change meanwhile.
#[derive(Debug)]
pub struct Chain {
    engine: Arc<Engine>,
    hooks: Vec<Bound>,
    examinations: Option<(TenantId, Arc<Examinations>)>,
}

/// Judgement of a save or delete by all hooks.
#[derive(Debug)]
pub struct ChainResult {
    /// Tags of the new version, if a save is accepted.
    pub tags: Vec<String>,
    /// Decisions of the hooks in the order in which they ran. A shadow's decision comes before that of its hook.
    pub decisions: Vec<Decision>,
    /// Verification results that hooks read; none if no hook asked.
    pub verdicts: Option<Verdicts>,
    /// Whether a hook asked for verification results that were not recorded, and failed for that reason.
    pub lacks_verdicts: bool,
    /// Hooks that have failed too often.
    pub sick: Vec<FailingHook>,
    /// The hook whose failure refused the save or delete, and the reason.
    failed: Option<(Arc<str>, String)>,
}

impl Chain {
    /// A chain of these hooks, in the order in which they run.
    pub fn new(engine: Arc<Engine>, hooks: Vec<Bound>) -> Self {
        Self {
            engine,
            hooks,
            examinations: None,
        }
    }

    /// Makes the chain wait for one of the tenant's permits before it parses or verifies a signature.
    #[must_use]
    pub fn with_permits(self, tenant: TenantId, examinations: Arc<Examinations>) -> Self {
        Self {
            examinations: Some((tenant, examinations)),
            ..self
        }
    }

    /// The hooks, in the order in which they run.
    pub fn hooks(&self) -> &[Bound] {
        &self.hooks
    }

    /// Whether any hook judges this operation.
    pub fn judges(&self, operation: Operation) -> bool {
        self.hooks.iter().any(|hook| hook.judges(operation))
    }

    /// Whether any hook whose decision has an effect on this operation keeps failing. The tenant's hooks should then
    /// run one request at a time.
    pub fn is_failing(&self, operation: Operation) -> bool {
        self.hooks.iter().any(|hook| hook.is_failing(operation))
    }

    /// Whether any hook that judges saves reads the version that is signed over.
    pub fn wants_previous(&self) -> bool {
        self.hooks
            .iter()
            .any(|hook| hook.judges(Operation::Save) && hook.imports_previous())
    }

    /// Whether any hook that judges this operation may ask for verification results.
    pub fn wants_verdicts(&self, operation: Operation) -> bool {
        self.hooks
            .iter()
            .any(|hook| hook.judges(operation) && hook.imports_verdicts())
    }

    /// Runs the taggers, then the validators, on a draft that would be saved as `version`.
    pub fn judge_save(
        &self,
        circumstances: &Circumstances,
        draft: &Draft,
        version: u32,
        previous: Option<&Signature>,
        judging: &VerdictSource,
    ) -> ChainResult {
        self.judge_save_between(circumstances, draft, version, previous, judging, None)
    }

    /// Like [`Self::judge_save`], for hooks that were taken out of a larger chain. The validators see `tags_after`, the
    /// tags that all taggers of that chain left.
    pub fn judge_save_between(
        &self,
        circumstances: &Circumstances,
        draft: &Draft,
        version: u32,
        previous: Option<&Signature>,
        judging: &VerdictSource,
        tags_after: Option<Vec<String>>,
    ) -> ChainResult {
        let subject = Arc::new(Subject {
            payload: Document::new(draft.body.clone(), judging.of_signature(&draft.body)),
            previous: previous
                .and_then(|previous| stored(previous, |body| judging.of_previous(body))),
            examinations: self.examinations.clone(),
        });
        let mut record = signature(&Version {
            key: &draft.key,
            version,
            stage: draft.stage.as_ref(),
            created_by: draft.created_by.as_ref(),
            comment: draft.comment.as_ref(),
            tags: &draft.tags,
            body: &draft.body,
            saved: None,
        });
        let caller = context(circumstances);
        let mut seats = self.seats(Operation::Save);
        let stopped = seats.iter_mut().any(|seat| {
            seat.tag(&self.engine, &subject, &caller, &mut record);
            seat.stops()
        });
        if let Some(tags) = tags_after {
            record.tags = tags;
        }
        if !stopped {
            for seat in &mut seats {
                seat.validate_save(&self.engine, &subject, &caller, &record);
                if seat.stops() {
                    break;
                }
            }
        }
        let origin = Origin::new(circumstances.subject.as_deref(), &record.document);
        self.conclude(seats, &subject, record.tags, origin)
    }

    /// Runs the delete validators on the current version of a thread. The version must come with its body.
    pub fn judge_delete(
        &self,
        circumstances: &Circumstances,
        current: &Signature,
        judging: &VerdictSource,
    ) -> ChainResult {
        let Some((record, payload)) = stored(current, |body| judging.of_signature(body)) else {
            return ChainResult::empty(current.tags.clone());
        };
        let subject = Arc::new(Subject {
            payload,
            previous: None,
            examinations: self.examinations.clone(),
        });
        let caller = context(circumstances);
        let mut seats = self.seats(Operation::Delete);
        for seat in &mut seats {
            seat.validate_delete(&self.engine, &subject, &caller, &record);
            if seat.stops() {
                break;
            }
        }
        let origin = Origin::new(circumstances.subject.as_deref(), &record.document);
        self.conclude(seats, &subject, record.tags, origin)
    }

    /// One seat for each hook that judges this operation. A shadow sits before its hook, so that it sees the tags as
    /// its hook does.
    fn seats(&self, operation: Operation) -> Vec<Seat<'_>> {
        let mut seats = Vec::with_capacity(self.hooks.len());
        for hook in &self.hooks {
            if !hook.operations.contains(&operation) {
                continue;
            }
            if let Some(shadow) = &hook.shadow
                && shadow.plugin.judges(operation)
            {
                seats.push(Seat::new(hook, shadow, true));
            }
            if hook.guest.plugin.judges(operation) {
                seats.push(Seat::new(hook, &hook.guest, false));
            }
        }
        seats
    }

    fn conclude(
        &self,
        seats: Vec<Seat<'_>>,
        subject: &Subject,
        tags: Vec<String>,
        origin: Origin,
    ) -> ChainResult {
        let mut judged = ChainResult::empty(tags);
        judged.verdicts = subject.told();
        judged.lacks_verdicts = subject.lacks_verdicts();
        // After a failure that refuses the request, the remaining hooks are not asked. They have no decision.
        for seat in seats.into_iter().filter(|seat| seat.decided) {
            if seat.stops() {
                let reason = seat.decision.failure.clone().unwrap_or_default();
                judged.failed = Some((Arc::clone(&seat.decision.hook), reason));
            }
            judged.sick.extend(seat.sick(origin, &self.engine.config));
            let decision = seat.decision;
            if !decision.shadow
                && let Some(shadow) = judged.decisions.last_mut()
                && shadow.shadow
                && shadow.hook == decision.hook
            {
                shadow.differs = Some(!shadow.agrees(&decision));
            }
            judged.decisions.push(decision);
        }
        judged
    }
}

impl ChainResult {
    fn empty(tags: Vec<String>) -> Self {
        Self {
            tags,
            decisions: Vec::new(),
            verdicts: None,
            lacks_verdicts: false,
            sick: Vec::new(),
            failed: None,
        }
    }

    /// Outcome of the save or delete.
    pub fn outcome(&self) -> Outcome {
        if self.failed.is_some() {
            Outcome::Failed
        } else if self.rejections().next().is_some() {
            Outcome::Rejected
        } else {
            Outcome::Accepted
        }
    }

    /// The error for a refused save or delete: all rejections together, or the hook that failed.
    pub fn refusal(&self) -> Option<Error> {
        if let Some((hook, reason)) = &self.failed {
            return Some(Error::HookFailed {
                hook: hook.to_string(),
                reason: reason.clone(),
            });
        }
        let rejections: Vec<_> = self.rejections().collect();
        (!rejections.is_empty()).then_some(Error::HookRejected(rejections))
    }

    fn rejections(&self) -> impl Iterator<Item = HookRejection> {
        let deciding = self.decisions.iter().filter(|decision| decision.decides());
        deciding.flat_map(|decision| {
            decision.rejections.iter().map(|rejection| HookRejection {
                hook: decision.hook.to_string(),
                code: rejection.code.clone(),
                message: rejection.message.clone(),
                field: rejection.field.clone(),
            })
        })
    }
}
