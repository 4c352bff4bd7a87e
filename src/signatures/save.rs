//! Saves a version: asks the hooks, then the store, which saves it or reports that the thread has moved on.

use std::sync::Arc;

use chrono::Utc;
use sigpersist_hooks::VerdictSource;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::context::Context;
use sigpersist_model::decision::{Circumstances, Input, Judgement, Outcome};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_model::quotas::Quota;
use sigpersist_model::signature::{Draft, Preconditions, Signature, are_same_tags};
use sigpersist_runtime::meters::Room;
use sigpersist_runtime::verification::Verification;
use sigpersist_store::Found;

use super::accept::{Findings, check_draft};
use super::audited::recreated;
use crate::app::App;
use crate::decisions;
use crate::plugins::ReadyChain;
use crate::policy;
use crate::tenants;

/// The result of saving a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// The draft is a new version.
    New(Signature),
    /// An identical request saved the draft before.
    Before(Signature),
}

/// The state of the thread that the caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// No thread: `version` is 0 or absent.
    Nothing,
    /// No thread, or version 1: the reference's first example, `"version": 1`, can mean either.
    NothingOrFirst,
    /// This version.
    Version(u32),
}

impl Expected {
    /// Reads the caller's `version`. Without one, a single `If-Match` means the same.
    fn new(draft: &Draft, preconditions: &Preconditions) -> Self {
        match draft.signed_over.or_else(|| preconditions.only_match()) {
            None | Some(0) => Self::Nothing,
            Some(1) => Self::NothingOrFirst,
            Some(version) => Self::Version(version),
        }
    }

    /// Narrows the expectation to what the preconditions allow; none if they allow nothing of it.
    fn narrow(self, preconditions: &Preconditions) -> Option<Self> {
        let holds = |version| preconditions.hold(version);
        match self {
            Self::Nothing => holds(0).then_some(self),
            Self::Version(version) => holds(version).then_some(self),
            Self::NothingOrFirst => match (holds(0), holds(1)) {
                (true, true) => Some(self),
                (true, false) => Some(Self::Nothing),
                (false, true) => Some(Self::Version(1)),
                (false, false) => None,
            },
        }
    }

    /// The version that the draft was signed over; 0 if the draft may be the first version.
    fn over(self) -> u32 {
        match self {
            Self::Version(version) => version,
            Self::Nothing | Self::NothingOrFirst => 0,
        }
    }
}

/// Saves a draft as the next version of its thread. The data in `beside` is used to verify it and not kept. Blocks.
///
/// # Errors
///
/// [`Error::VersionConflict`] or [`Error::PreconditionFailed`] if the thread is not as the caller expects it,
/// [`Error::SignatureNotAccepted`] by the tenant's policy, [`Error::InvalidParameter`] if the thread exists and no
/// version was named, [`Error::QuotaExceeded`] if the tenant has no room for the draft, and the errors of the hooks and
/// the store.
pub fn save(
    app: &App,
    context: &Context,
    ready_chain: ReadyChain,
    draft: &Draft,
    attachments: Attachments,
    preconditions: &Preconditions,
) -> Result<Saved> {
    let saved = attempt(app, context, ready_chain, draft, attachments, preconditions);
    if let Err(error) = &saved {
        decisions::tell(app, context, Operation::Save, &draft.key, error);
    }
    saved
}

fn attempt(
    app: &App,
    context: &Context,
    mut ready_chain: ReadyChain,
    draft: &Draft,
    attachments: Attachments,
    preconditions: &Preconditions,
) -> Result<Saved> {
    let tenant = context.tenant()?;
    let policy = policy::in_force(app, tenant)?;
    let verification = Arc::new(Verification::new(
        draft.body.clone(),
        attachments,
        policy,
        Utc::now(),
    ));
    let mut save = Save {
        app,
        context,
        draft,
        preconditions,
        findings: Findings::default(),
        verification: Arc::clone(&verification),
        room: None,
        refusal: None,
    };
    let expected = Expected::new(draft, preconditions).narrow(preconditions);
    match check_draft(app, tenant, &verification) {
        Ok(findings) => save.findings = findings,
        // A request with content that is not what was signed was never accepted, so it repeats no earlier one.
        Err(Error::SignatureNotAccepted(refusal)) if refusal.is_of_other_content => {
            return Err(Error::SignatureNotAccepted(refusal));
        }
        Err(refusal @ Error::SignatureNotAccepted(_)) => save.refuse(expected, refusal)?,
        Err(error) => return Err(error),
    }
    let Some(expected) = expected else {
        return Err(save.conflict()?);
    };
    if save.refusal.is_none() {
        save.make_room(expected)?;
    }
    if !ready_chain.chain.judges(Operation::Save) {
        return save.store(&draft.tags, expected, None);
    }
    // Hooks are told which version the draft would become, so the meaning of `"version": 1` must be settled first.
    if expected == Expected::NothingOrFirst {
        let first = app.store.signature_get(tenant, &draft.key, Some(1))?;
        match first {
            None => return save.judged(&mut ready_chain, Expected::Nothing),
            Some(first) if is_repeated(draft, &first) => {
                let (tags, judgement) = save.ask(&mut ready_chain, 1, None)?;
                // The draft is not stored here: it was stored before, or is judged again as another version.
                app.store
                    .judgement_insert(tenant, &judgement, Outcome::NotStored, None)?;
                if are_same_tags(&tags, &first.tags) {
                    return Ok(Saved::Before(first));
                }
            }
            Some(_) => {}
        }
        return save.judged(&mut ready_chain, Expected::Version(1));
    }
    save.judged(&mut ready_chain, expected)
}

/// A save in progress.
struct Save<'a> {
    app: &'a App,
    context: &'a Context,
    draft: &'a Draft,
    preconditions: &'a Preconditions,
    /// The draft's signature, judged when the policy or a hook asks.
    verification: Arc<Verification>,
    /// Findings to record with the draft.
    findings: Findings,
    /// Reserved room in the tenant's quotas.
    room: Option<Room>,
    /// The reason why the draft can't be saved now. Then the save succeeds only if the draft was saved before.
    refusal: Option<Error>,
}

impl Save<'_> {
    /// Returns the refusal, unless the draft may have been saved before: a later change of the policy does not fail a
    /// repeated request.
    fn refuse(&mut self, expected: Option<Expected>, refusal: Error) -> Result<()> {
        // The tags that the hooks would leave are not known yet.
        if let Some(expected) = expected
            && self.repeated(expected, |_| true)?.is_some()
        {
            self.refusal = Some(refusal);
            return Ok(());
        }
        Err(refusal)
    }

    /// Reserves room for the draft. If there is none, returns that error, unless the draft may have been saved before.
    fn make_room(&mut self, expected: Expected) -> Result<()> {
        let Self {
            app,
            context,
            draft,
            ..
        } = *self;
        let tenant = context.tenant()?;
        let bytes = draft.body.bytes.len() + self.findings.verdict.as_ref().map_or(0, String::len);
        let creates = !matches!(expected, Expected::Version(_));
        let mut room = tenants::room(app, context, bytes, creates);
        if let Err(Error::QuotaExceeded {
            quota: Quota::Threads,
            ..
        }) = room
            && app.store.signature_current_version(tenant, &draft.key)? > 0
        {
            // The thread exists already, so none is created.
            room = tenants::room(app, context, bytes, false);
        }
        match room {
            Ok(room) => self.room = Some(room),
            Err(full @ Error::QuotaExceeded { .. }) => self.refuse(Some(expected), full)?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Lets the hooks judge the draft, then stores it with the tags that they leave.
    fn judged(self, ready_chain: &mut ReadyChain, expected: Expected) -> Result<Saved> {
        let over = expected.over();
        let previous = if over > 0 && ready_chain.chain.wants_previous() {
            let previous = self.app.store.signature_get(
                self.context.tenant()?,
                &self.draft.key,
                Some(over),
            )?;
            if previous.is_none() {
                return Err(self.conflict()?);
            }
            previous
        } else {
            None
        };
        let version = over.saturating_add(1);
        let (tags, judgement) = self.ask(ready_chain, version, previous.as_ref())?;
        ready_chain.done();
        self.store(&tags, expected, Some(&judgement))
    }

    /// Asks the hooks about the draft as this version. Returns the tags that they leave, and the judgement to record
    /// with the draft; a refusal is recorded here.
    fn ask(
        &self,
        ready_chain: &mut ReadyChain,
        version: u32,
        previous: Option<&Signature>,
    ) -> Result<(Vec<String>, Judgement)> {
        let Self {
            app,
            context,
            draft,
            ..
        } = *self;
        let circumstances = Circumstances::at(self.verification.now(), context)?;
        let judging = VerdictSource::now(Arc::clone(&self.verification));
        let judged =
            ready_chain
                .chain
                .judge_save(&circumstances, draft, version, previous, &judging);
        let judgement = Judgement::new(
            Operation::Save,
            &draft.key,
            version,
            &Input::of_save(&circumstances, draft, previous).with_verdicts(judged.verdicts.clone()),
            &judged.decisions,
        )?;
        if judged.refusal().is_some() {
            ready_chain.done();
        }
        match decisions::settle(app, context, &judged, &judgement, Some(&draft.body))? {
            None => Ok((judged.tags, judgement)),
            Some(refusal) => Err(refusal),
        }
    }

    /// Stores the draft with these tags, or finds the reason why that is not possible.
    fn store(
        mut self,
        tags: &[String],
        expected: Expected,
        judgement: Option<&Judgement>,
    ) -> Result<Saved> {
        let Self {
            app,
            context,
            draft,
            ..
        } = self;
        let tenant = context.tenant()?;
        let (over, or_first) = (expected.over(), expected == Expected::NothingOrFirst);
        if let Some(room) = self.room.take() {
            let event = || recreated(context.actor(), tenant, &draft.key, 1, &draft.body.sha256);
            let found = Found {
                recreated: &event,
                judgement,
                verdict: self.findings.verdict.as_deref(),
                signers: self.findings.signers.as_deref(),
            };
            let saved = app
                .store
                .signature_save(tenant, draft, tags, over, or_first, &found)?;
            if let Some(saved) = saved {
                room.used(saved.version == 1);
                return Ok(Saved::New(saved));
            }
        } else if let Some(judgement) = judgement {
            app.store
                .judgement_insert(tenant, judgement, Outcome::NotStored, None)?;
        }
        // The thread is not as expected: this request was made before, or another writer was first.
        let before = self.repeated(expected, |stored| are_same_tags(&stored.tags, tags))?;
        if let Some(before) = before {
            return Ok(Saved::Before(before));
        }
        match self.refusal {
            Some(refusal) => Err(refusal),
            None => Err(self.conflict()?),
        }
    }

    /// The stored version that the draft has become already, if an identical request was made before.
    fn repeated(
        &self,
        expected: Expected,
        has_tags: impl Fn(&Signature) -> bool,
    ) -> Result<Option<Signature>> {
        let tenant = self.context.tenant()?;
        let next = [expected.over().saturating_add(1)];
        let versions = match expected {
            Expected::NothingOrFirst => &[1, 2][..],
            Expected::Nothing | Expected::Version(_) => &next,
        };
        for version in versions {
            let stored = &self.app.store;
            if let Some(stored) = stored.signature_get(tenant, &self.draft.key, Some(*version))?
                && is_repeated(self.draft, &stored)
                && has_tags(&stored)
            {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    /// The error that tells the caller the current state of the thread.
    fn conflict(&self) -> Result<Error> {
        let current_version = self
            .app
            .store
            .signature_current_version(self.context.tenant()?, &self.draft.key)?;
        Ok(if !self.preconditions.hold(current_version) {
            Error::PreconditionFailed { current_version }
        } else if self.draft.signed_over.is_none() && current_version > 0 {
            Error::invalid(
                "version",
                format!(
                    "`version` is required, because version {current_version} of this signature is stored: give the version that you signed over."
                ),
            )
        } else {
            Error::VersionConflict { current_version }
        })
    }
}

/// Whether a stored version has the draft's content, apart from tags.
fn is_repeated(draft: &Draft, stored: &Signature) -> bool {
    stored.body.as_ref() == Some(&draft.body)
        && stored.stage == draft.stage
        && stored.created_by == draft.created_by
        && stored.comment == draft.comment
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_model::signature::{SignatureBody, ThreadKey, Versions};

    fn expected(
        signed_over: Option<u32>,
        if_match: Option<Versions>,
        if_none_match: Option<Versions>,
    ) -> Option<Expected> {
        let draft = Draft {
            key: ThreadKey {
                document: "d".to_owned(),
                thread: "t".to_owned(),
            },
            signed_over,
            body: SignatureBody::from_text("x"),
            stage: None,
            created_by: None,
            comment: None,
            tags: Vec::new(),
        };
        let preconditions = Preconditions {
            if_match,
            if_none_match,
        };
        Expected::new(&draft, &preconditions).narrow(&preconditions)
    }

    #[test]
    fn preconditions_settle_what_version_1_means() {
        let these = |versions: &[u32]| Some(Versions::These(versions.to_vec()));
        let any = || Some(Versions::Any);
        assert_eq!(
            expected(Some(1), None, None),
            Some(Expected::NothingOrFirst)
        );
        assert_eq!(
            expected(Some(1), these(&[1]), None),
            Some(Expected::Version(1))
        );
        assert_eq!(expected(Some(1), any(), None), Some(Expected::Version(1)));
        assert_eq!(expected(Some(1), None, any()), Some(Expected::Nothing));
        assert_eq!(expected(None, None, any()), Some(Expected::Nothing));
        assert_eq!(
            expected(None, these(&[3]), None),
            Some(Expected::Version(3))
        );
        assert_eq!(
            expected(Some(3), these(&[2, 3]), None),
            Some(Expected::Version(3))
        );
        assert_eq!(expected(Some(3), these(&[2]), None), None);
        assert_eq!(expected(Some(3), None, any()), None);
        assert_eq!(expected(Some(0), any(), None), None);
        assert_eq!(expected(None, these(&[]), None), None);
    }
}
