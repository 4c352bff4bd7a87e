//! Replays a decision: runs the recorded revision with the recorded settings on the recorded input.

use std::sync::Arc;

use sigpersist_hooks::{Bound, Chain, Guest, VerdictSource};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Decision, DecisionId, Listed, Outcome, Recorded};
use sigpersist_model::digest::{from_hex, to_hex};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Binding, Mode, OnFailure, Operation};
use sigpersist_model::signature::{Draft, Signature, SignatureBody};

use super::list::made_by;
use crate::app::App;

/// A recorded decision, and the decision of its replay.
#[derive(Debug)]
pub struct Replay {
    /// The decision as recorded.
    pub listed: Listed,
    /// The decision of the replay.
    pub replayed: Decision,
    /// Whether verdict, rejection codes and tags are the same.
    pub same: bool,
}

/// Runs the revision that made a decision again, on the same input. Stores nothing. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such decision. [`Error::InputGone`] if the revision, its binding or the input is
/// not stored any more, or if the hook did not run.
pub fn replay(app: &App, tenant: TenantId, id: DecisionId) -> Result<Replay> {
    let (recorded, all) = app
        .store
        .decision_get(tenant, id)?
        .ok_or(Error::NotFound(Noun::Decision))?;
    let decision = &recorded.decision;
    if decision.microseconds == 0 {
        return Err(Error::InputGone(
            "the hook was quarantined then and did not run",
        ));
    }
    let binding = app
        .store
        .hook_binding(tenant, &decision.hook, decision.binding)?
        .ok_or(Error::InputGone("the hook's binding is gone"))?;
    let chain = Chain::new(
        Arc::clone(&app.engine),
        vec![bound(app, tenant, decision, &binding)?],
    );
    let circumstances = &recorded.input.circumstances;
    let told = recorded.input.verdicts.clone();
    let left_out = told.as_ref().is_some_and(|told| told.left_out);
    let judging = VerdictSource::default().told(told);
    let judged = match recorded.operation {
        Operation::Save => {
            let body = body(app, tenant, &recorded)?;
            let previous = previous(app, tenant, &recorded)?;
            let place = usize::try_from(id.place).unwrap_or(usize::MAX);
            let draft = Draft {
                key: recorded.key.clone(),
                signed_over: None,
                body,
                stage: recorded.input.stage.clone(),
                created_by: recorded.input.created_by.clone(),
                comment: recorded.input.comment.clone(),
                tags: tags_before(&recorded.input.tags, &all, place),
            };
            let after = tags_before(&recorded.input.tags, &all, all.len());
            chain.judge_save_between(
                circumstances,
                &draft,
                recorded.version,
                previous.as_ref(),
                &judging,
                Some(after),
            )
        }
        Operation::Delete => {
            let stored = stored(app, tenant, &recorded, recorded.version)?
                .filter(|stored| has_sha256(stored, &recorded.input.sha256))
                .ok_or(Error::InputGone("the thread was deleted"))?;
            chain.judge_delete(circumstances, &stored, &judging)
        }
    };
    if judged.lacks_verdicts {
        return Err(Error::InputGone(if left_out {
            "the verdicts on signatures that its hooks were given were too large to be recorded"
        } else {
            "the hook asks now whether signatures are valid, but did not ask then"
        }));
    }
    let mut replayed = judged
        .decisions
        .into_iter()
        .next()
        .ok_or_else(|| Error::internal("the replayed hook did not run"))?;
    (replayed.mode, replayed.shadow) = (decision.mode, decision.shadow);
    Ok(Replay {
        same: decision.agrees(&replayed),
        listed: Listed {
            made_by: made_by(app, tenant, &recorded)?,
            recorded,
        },
        replayed,
    })
}

/// The hook with the revision and settings of the decision.
fn bound(app: &App, tenant: TenantId, decision: &Decision, binding: &Binding) -> Result<Bound> {
    let gone = || Error::InputGone("the plugin's revision was deleted");
    let (sha256, settings) = binding.running(decision.shadow);
    let plugin = app.engine.plugin(sha256, || {
        app.store
            .plugin_component(Some(tenant), binding.plugin_id, sha256)?
            .ok_or_else(gone)
    })?;
    let guest = Guest {
        plugin,
        settings: settings.to_string().into(),
    };
    Ok(Bound {
        binding: decision.binding,
        operations: binding.operations.clone(),
        // Taggers are not to change the tags: the recorded ones are passed in, so that the validator sees the tags of
        // that time.
        mode: Mode::Monitor,
        on_failure: OnFailure::Allow,
        ..Bound::unbound(
            &decision.hook,
            guest,
            app.config.hooks.within_ceiling(binding.limits),
        )
    })
}

/// Tags before the decision at index `place`: the input's tags, after the changes of the taggers that ran before it.
fn tags_before(tags: &[String], decisions: &[Decision], place: usize) -> Vec<String> {
    let mut tags = tags.to_vec();
    let before = decisions.iter().take(place);
    for decision in before.filter(|decision| decision.decides()) {
        tags.retain(|tag| !decision.tags_removed.contains(tag));
        tags.extend(decision.tags_added.iter().cloned());
    }
    tags
}

/// The signature that was judged: from the stored version, or, if it was refused, from the kept inputs.
fn body(app: &App, tenant: TenantId, recorded: &Recorded) -> Result<SignatureBody> {
    let stored = stored(app, tenant, recorded, recorded.version)?;
    let same = stored
        .and_then(|stored| stored.body)
        .filter(|body| to_hex(&body.sha256) == recorded.input.sha256);
    if let Some(body) = same {
        return Ok(body);
    }
    if recorded.outcome == Outcome::Accepted {
        return Err(Error::InputGone("the thread was deleted"));
    }
    let sha256 = from_hex(&recorded.input.sha256).unwrap_or_default();
    app.store
        .input_get(tenant, &sha256)?
        .ok_or(Error::InputGone(
            "its signature was not stored, and is not kept (hooks.max_kept_input_bytes)",
        ))
}

/// The version that was signed over, if the hooks read it for this decision.
fn previous(app: &App, tenant: TenantId, recorded: &Recorded) -> Result<Option<Signature>> {
    let Some(sha256) = &recorded.input.previous_sha256 else {
        return Ok(None);
    };
    let previous = recorded.version.saturating_sub(1);
    stored(app, tenant, recorded, previous)?
        .filter(|stored| has_sha256(stored, sha256))
        .map(Some)
        .ok_or(Error::InputGone("the thread was deleted"))
}

fn stored(
    app: &App,
    tenant: TenantId,
    recorded: &Recorded,
    version: u32,
) -> Result<Option<Signature>> {
    app.store
        .signature_get(tenant, &recorded.key, Some(version))
}

fn has_sha256(stored: &Signature, sha256: &str) -> bool {
    let body = stored.body.as_ref();
    body.is_some_and(|body| to_hex(&body.sha256) == sha256)
}
