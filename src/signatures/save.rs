//! Saving a version: asks the hooks, then the store, which saves it or says that the thread has moved on.

use super::model::{Draft, Preconditions, Signature};
use crate::app::App;
use crate::context::Context;
use crate::decisions;
use crate::decisions::model::{Circumstances, Input, Judgement, Outcome};
use crate::error::{Error, Result};
use crate::plugins::Judges;
use crate::plugins::model::Operation;

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// It is a new version.
    New(Signature),
    /// It was saved before, by an identical request.
    Before(Signature),
}

/// What the caller expects to find stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// No thread: version 0, or none named.
    Nothing,
    /// No thread, or version 1: what the reference's first example, `"version": 1`, can mean.
    NothingOrFirst,
    /// This version.
    Version(u32),
}

impl Expected {
    /// Reads the caller's `version`; without one, a single `If-Match` says the same.
    fn new(draft: &Draft, preconditions: &Preconditions) -> Self {
        match draft.signed_over.or_else(|| preconditions.only_match()) {
            None | Some(0) => Self::Nothing,
            Some(1) => Self::NothingOrFirst,
            Some(version) => Self::Version(version),
        }
    }

    /// Narrows what is expected to what the preconditions allow; nothing where they allow none of it.
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

    /// The versions that the draft can have become, had the same request been made before.
    fn outcomes(self) -> &'static [u32] {
        match self {
            Self::Nothing => &[1],
            Self::NothingOrFirst => &[1, 2],
            Self::Version(_) => &[],
        }
    }
}

/// Saves a draft as the next version of its thread. Blocks.
///
/// # Errors
///
/// [`Error::VersionConflict`] or [`Error::PreconditionFailed`] where the thread is not as the caller expects it,
/// [`Error::InvalidParameter`] where it exists and no version was named, and those of the hooks and the store.
pub fn save(
    app: &App,
    context: &Context,
    mut judges: Judges,
    draft: &Draft,
    preconditions: &Preconditions,
) -> Result<Saved> {
    let tenant = context.tenant()?;
    let Some(expected) = Expected::new(draft, preconditions).narrow(preconditions) else {
        return Err(conflict(app, context, draft, preconditions)?);
    };
    if !judges.chain.judges(Operation::Save) {
        return store(
            app,
            context,
            draft,
            &draft.tags,
            expected,
            preconditions,
            None,
        );
    }
    // Hooks are told which version the draft would become, so what `"version": 1` means must be settled first.
    if expected == Expected::NothingOrFirst {
        let first = app.store.signature_get(tenant, &draft.key, Some(1))?;
        match first {
            None => {
                return judged(
                    app,
                    context,
                    &mut judges,
                    draft,
                    Expected::Nothing,
                    preconditions,
                );
            }
            Some(first) if is_repeated(draft, &first) => {
                let (tags, judgement) = ask(app, context, &mut judges, draft, 1, None)?;
                // Nothing is stored of it: it was stored before, or is judged anew as another version.
                app.store
                    .judgement_insert(tenant, &judgement, Outcome::NotStored, None)?;
                if tags == first.tags {
                    return Ok(Saved::Before(first));
                }
            }
            Some(_) => {}
        }
        return judged(
            app,
            context,
            &mut judges,
            draft,
            Expected::Version(1),
            preconditions,
        );
    }
    judged(app, context, &mut judges, draft, expected, preconditions)
}

/// Lets the hooks judge the draft, and stores it with the tags that they leave.
fn judged(
    app: &App,
    context: &Context,
    judges: &mut Judges,
    draft: &Draft,
    expected: Expected,
    preconditions: &Preconditions,
) -> Result<Saved> {
    let over = match expected {
        Expected::Version(version) => version,
        Expected::Nothing | Expected::NothingOrFirst => 0,
    };
    let previous = if over > 0 && judges.chain.wants_previous() {
        let previous = app
            .store
            .signature_get(context.tenant()?, &draft.key, Some(over))?;
        if previous.is_none() {
            return Err(conflict(app, context, draft, preconditions)?);
        }
        previous
    } else {
        None
    };
    let version = over.saturating_add(1);
    let (tags, judgement) = ask(app, context, judges, draft, version, previous.as_ref())?;
    judges.done();
    store(
        app,
        context,
        draft,
        &tags,
        expected,
        preconditions,
        Some(&judgement),
    )
}

/// Asks the hooks about the draft as this version; gives the tags that they leave, and what is to be recorded with it. What
/// they refuse is recorded here.
fn ask(
    app: &App,
    context: &Context,
    judges: &mut Judges,
    draft: &Draft,
    version: u32,
    previous: Option<&Signature>,
) -> Result<(Vec<String>, Judgement)> {
    let circumstances = Circumstances::now(context)?;
    let judged = judges
        .chain
        .judge_save(&circumstances, draft, version, previous);
    let judgement = Judgement::new(
        Operation::Save,
        &draft.key,
        version,
        &Input::of_save(&circumstances, draft, previous),
        &judged.decisions,
    )?;
    if judged.refusal().is_some() {
        judges.done();
    }
    match decisions::settle(app, context, &judged, &judgement, Some(&draft.body))? {
        None => Ok((judged.tags, judgement)),
        Some(refusal) => Err(refusal),
    }
}

fn store(
    app: &App,
    context: &Context,
    draft: &Draft,
    tags: &[String],
    expected: Expected,
    preconditions: &Preconditions,
    judgement: Option<&Judgement>,
) -> Result<Saved> {
    let tenant = context.tenant()?;
    let (over, or_first) = match expected {
        Expected::Nothing => (0, false),
        Expected::NothingOrFirst => (0, true),
        Expected::Version(version) => (version, false),
    };
    if let Some(saved) = app
        .store
        .signature_save(tenant, draft, tags, over, or_first, judgement)?
    {
        return Ok(Saved::New(saved));
    }
    // The thread is not as expected: because this very request was made before, or because somebody else was first.
    let next = [over.saturating_add(1)];
    let outcomes = match expected.outcomes() {
        [] => &next[..],
        outcomes => outcomes,
    };
    for version in outcomes {
        if let Some(stored) = app
            .store
            .signature_get(tenant, &draft.key, Some(*version))?
            && is_repeated(draft, &stored)
            && stored.tags == tags
        {
            return Ok(Saved::Before(stored));
        }
    }
    Err(conflict(app, context, draft, preconditions)?)
}

/// Whether a stored version has the draft's content, tags aside.
fn is_repeated(draft: &Draft, stored: &Signature) -> bool {
    stored.body.as_ref() == Some(&draft.body)
        && stored.stage == draft.stage
        && stored.created_by == draft.created_by
        && stored.comment == draft.comment
}

/// The error that tells the caller what is there instead.
fn conflict(
    app: &App,
    context: &Context,
    draft: &Draft,
    preconditions: &Preconditions,
) -> Result<Error> {
    let current_version = app
        .store
        .signature_current_version(context.tenant()?, &draft.key)?;
    Ok(if !preconditions.hold(current_version) {
        Error::PreconditionFailed { current_version }
    } else if draft.signed_over.is_none() && current_version > 0 {
        Error::invalid(
            "version",
            format!(
                "`version` is required, since version {current_version} of this signature is stored: name the version that you signed over."
            ),
        )
    } else {
        Error::VersionConflict { current_version }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signatures::model::{SignatureBody, ThreadKey, Versions};

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
            body: SignatureBody::from_text("x".to_owned()),
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
