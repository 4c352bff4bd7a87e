//! Making a decision again: the recorded revision and settings on the recorded input.

use std::sync::Arc;

use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Decision, DecisionId, Outcome, Recorded};
use sigpersist_model::digest::{from_hex, to_hex};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Binding, Mode, OnFailure, Operation};
use sigpersist_model::signature::{Draft, Signature, SignatureBody};

use super::list::{Listed, made_by};
use crate::app::App;
use crate::hooks::{Bound, Chain, Guest, Judging};

/// A decision, and what the same revision makes of the same input now.
#[derive(Debug)]
pub struct Replay {
    /// As it was recorded.
    pub listed: Listed,
    /// As it is now.
    pub replayed: Decision,
    /// Whether verdict, codes and tags are the same.
    pub same: bool,
}

/// Runs what decided once more. Nothing is stored. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] where there is no such decision, [`Error::InputGone`] where what it was made by or on is not
/// stored any more.
pub fn replay(app: &App, tenant: TenantId, id: DecisionId) -> Result<Replay> {
    let (recorded, all) = app
        .store
        .decision_get(tenant, id)?
        .ok_or(Error::NotFound(Noun::Decision))?;
    let decision = &recorded.decision;
    if decision.microseconds == 0 {
        return Err(Error::InputGone(
            "the hook was set aside then, and did not run",
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
    let judging = Judging::default().told(told);
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
            "what its hooks were told of whether signatures hold was too much to be recorded"
        } else {
            "the hook asks whether signatures hold, which it had not asked then"
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

/// What decided, as it was bound then.
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
        // The tags are told from outside, so that the validator sees those of then.
        mode: Mode::Monitor,
        on_failure: OnFailure::Allow,
        ..Bound::unbound(
            &decision.hook,
            guest,
            app.config.hooks.within_ceiling(binding.limits),
        )
    })
}

/// The tags that the decision of this place found: those of the input, changed by the taggers before it.
fn tags_before(tags: &[String], decisions: &[Decision], place: usize) -> Vec<String> {
    let mut tags = tags.to_vec();
    let before = decisions.iter().take(place);
    for decision in before.filter(|decision| decision.decides()) {
        tags.retain(|tag| !decision.tags_removed.contains(tag));
        tags.extend(decision.tags_added.iter().cloned());
    }
    tags
}

/// The signature that was judged: stored where it was accepted, kept where it was refused.
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

/// The version that was signed over, where the decision was made in sight of it.
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
