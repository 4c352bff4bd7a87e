//! A tenant's hooks in order, and what they make of a save or delete.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::{debug, info, warn};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::bindings::sigpersist::hooks::types;
use super::call::{Call, Failure};
use super::convert::{Version, signature};
use super::engine::Engine;
use super::host::{Document, HostState, Subject, loggable};
use super::plugin::Plugin;
use crate::context::Context;
use crate::error::{Error, HookRejection, Result};
use crate::plugins::model::{Mode, OnFailure};
use crate::signatures::model::{Draft, MAX_TAGS, Signature, fold_tags};

/// Most warnings of one call that reach the log.
const MAX_LOGGED_WARNINGS: usize = 10;

/// A plugin bound to a tenant.
#[derive(Debug)]
pub struct Bound {
    /// The hook's name.
    pub name: String,
    /// What runs.
    pub plugin: Arc<Plugin>,
    /// Whether it decides.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds.
    pub timeout_ms: u32,
    /// What it reads as its configuration, as JSON text.
    pub settings: Arc<str>,
}

/// A tenant's hooks as they were at one moment. A request keeps the one that it began with.
#[derive(Debug)]
pub struct Chain {
    engine: Arc<Engine>,
    hooks: Vec<Bound>,
}

/// What taggers and validators made of a draft that nobody rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The thread's tags from now on.
    pub tags: Vec<String>,
}

impl Chain {
    /// Hooks in the order in which they run.
    pub fn new(engine: Arc<Engine>, hooks: Vec<Bound>) -> Self {
        Self { engine, hooks }
    }

    /// Whether any hook judges saves.
    pub fn judges_saves(&self) -> bool {
        self.hooks
            .iter()
            .any(|hook| hook.plugin.tagger.is_some() || hook.plugin.save_validator.is_some())
    }

    /// Whether any hook judges deletes.
    pub fn judges_deletes(&self) -> bool {
        self.hooks
            .iter()
            .any(|hook| hook.plugin.delete_validator.is_some())
    }

    /// Whether any hook that judges saves looks at the version that is signed over.
    pub fn wants_previous(&self) -> bool {
        self.hooks.iter().any(|hook| hook.plugin.imports_previous())
    }

    /// Runs the taggers, then the validators, on a draft that would become `version`.
    ///
    /// # Errors
    ///
    /// [`Error::HookRejected`] with all rejections together, or [`Error::HookFailed`].
    pub fn judge_save(
        &self,
        context: &Context,
        draft: &Draft,
        version: u32,
        previous: Option<&Signature>,
    ) -> Result<Judged> {
        let subject = Arc::new(Subject {
            payload: Document::new(draft.body.bytes.clone()),
            previous: previous.and_then(stored),
        });
        let mut draft = signature(&Version {
            key: &draft.key,
            version,
            stage: draft.stage.as_ref(),
            created_by: draft.created_by.as_ref(),
            comment: draft.comment.as_ref(),
            tags: &draft.tags,
            body: &draft.body,
        });
        let caller = caller(context);
        let mut rejections = Vec::new();
        for hook in &self.hooks {
            let Some(tagger) = &hook.plugin.tagger else {
                continue;
            };
            let verdict = self.run(hook, "tag", &subject, |store, instance| {
                tagger
                    .load(&mut *store, instance)?
                    .call_tag(store, &caller, &draft)
            })?;
            match verdict {
                None => {}
                Some(Ok(changes)) => {
                    let tags = changed_tags(&draft.tags, changes.set, &changes.remove);
                    if tags.len() > MAX_TAGS {
                        // What the client sent and what the signers bring are too many together, which is nobody's failure.
                        hook.rejected(vec![too_many_tags()], &mut rejections);
                        continue;
                    }
                    let tags = match fold_tags("tags", tags) {
                        Ok(tags) => tags,
                        Err(error) => {
                            hook.failed("tag", &format!("its tags break the rules: {error}"))?;
                            continue;
                        }
                    };
                    if hook.mode == Mode::Enforce {
                        draft.tags = tags;
                    } else {
                        info!(
                            hook = hook.name,
                            changes = (tags != draft.tags),
                            "A monitored hook would have tagged"
                        );
                    }
                }
                Some(Err(rejection)) => hook.rejected(vec![rejection], &mut rejections),
            }
        }
        for hook in &self.hooks {
            let Some(validator) = &hook.plugin.save_validator else {
                continue;
            };
            let verdict = self.run(hook, "validate-save", &subject, |store, instance| {
                validator
                    .load(&mut *store, instance)?
                    .call_validate_save(store, &caller, &draft)
            })?;
            hook.settle(verdict, &mut rejections);
        }
        if rejections.is_empty() {
            Ok(Judged { tags: draft.tags })
        } else {
            Err(Error::HookRejected(rejections))
        }
    }

    /// Runs the validators of deletes on the current version of a thread, which comes with its body.
    ///
    /// # Errors
    ///
    /// As [`Self::judge_save`].
    pub fn judge_delete(&self, context: &Context, current: &Signature) -> Result<()> {
        let Some((stored, payload)) = stored(current) else {
            return Err(Error::internal("a delete is judged without its signature"));
        };
        let subject = Arc::new(Subject {
            payload,
            previous: None,
        });
        let caller = caller(context);
        let mut rejections = Vec::new();
        for hook in &self.hooks {
            let Some(validator) = &hook.plugin.delete_validator else {
                continue;
            };
            let verdict = self.run(hook, "validate-delete", &subject, |store, instance| {
                validator
                    .load(&mut *store, instance)?
                    .call_validate_delete(store, &caller, &stored)
            })?;
            hook.settle(verdict, &mut rejections);
        }
        if rejections.is_empty() {
            Ok(())
        } else {
            Err(Error::HookRejected(rejections))
        }
    }

    /// Calls a hook; nothing where it failed and may.
    fn run<T>(
        &self,
        hook: &Bound,
        function: &'static str,
        subject: &Arc<Subject>,
        call: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<T>,
    ) -> Result<Option<T>> {
        let since = Instant::now();
        let state = HostState::new(
            &self.engine.config,
            &hook.name,
            Arc::clone(&hook.settings),
            Some(Arc::clone(subject)),
        );
        let result = Call {
            engine: &self.engine,
            plugin: &hook.plugin,
            state,
            timeout_ms: hook.timeout_ms,
        }
        .run(call);
        let us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        debug!(hook = hook.name, function, us, "A hook has run");
        match result {
            Ok(answer) => Ok(Some(answer)),
            Err(failure) => hook.fails(function, &failure),
        }
    }
}

impl Bound {
    fn fails<T>(&self, function: &str, failure: &Failure) -> Result<Option<T>> {
        self.failed(function, &loggable(&failure.to_string()))
            .map(|()| None)
    }

    /// A failure counts only where the hook decides, and is set to reject then.
    fn failed(&self, function: &str, reason: &str) -> Result<()> {
        if self.mode == Mode::Enforce && self.on_failure == OnFailure::Reject {
            return Err(Error::HookFailed {
                hook: self.name.clone(),
                reason: format!("{function}: {reason}"),
            });
        }
        warn!(
            hook = self.name,
            function, reason, "A hook failed; its settings let the request pass"
        );
        Ok(())
    }

    fn settle(
        &self,
        verdict: Option<Result<types::Acceptance, Vec<types::Rejection>>>,
        rejections: &mut Vec<HookRejection>,
    ) {
        match verdict {
            None => {}
            Some(Ok(acceptance)) => {
                for warning in acceptance.warnings.iter().take(MAX_LOGGED_WARNINGS) {
                    let warning = loggable(warning);
                    info!(hook = self.name, warning, "A hook accepted with a warning");
                }
            }
            Some(Err(refusals)) => self.rejected(refusals, rejections),
        }
    }

    fn rejected(&self, refusals: Vec<types::Rejection>, rejections: &mut Vec<HookRejection>) {
        if self.mode == Mode::Monitor {
            info!(
                hook = self.name,
                refusals = refusals.len(),
                "A monitored hook would have rejected"
            );
            return;
        }
        // A rejection without a reason is one all the same.
        let refusals = if refusals.is_empty() {
            vec![types::Rejection {
                code: "rejected".to_owned(),
                message: "The hook gave no reason.".to_owned(),
                field: None,
            }]
        } else {
            refusals
        };
        rejections.extend(refusals.into_iter().map(|refusal| HookRejection {
            hook: self.name.clone(),
            code: refusal.code,
            message: refusal.message,
            field: refusal.field,
        }));
    }
}

/// Tags as a tagger wants them: those that stay keep their places, new ones follow. Once there are more than fit, the rest
/// is not looked at: a guest may send very many.
fn changed_tags(tags: &[String], set: Vec<String>, remove: &[String]) -> Vec<String> {
    let mut changed: Vec<_> = tags
        .iter()
        .filter(|tag| !remove.contains(tag))
        .cloned()
        .collect();
    for tag in set {
        if changed.len() > MAX_TAGS {
            break;
        }
        if !changed.contains(&tag) {
            changed.push(tag);
        }
    }
    changed
}

fn too_many_tags() -> types::Rejection {
    types::Rejection {
        code: "too-many-tags".to_owned(),
        message: format!("With the tags that this hook derives there are more than {MAX_TAGS}."),
        field: Some("/tags".to_owned()),
    }
}

fn caller(context: &Context) -> types::Context {
    types::Context {
        tenant: context.caller.tenant_slug.to_string(),
        request_id: context.request_id.to_string(),
        subject: context.caller.subject.clone(),
        scopes: context
            .caller
            .scopes
            .iter()
            .map(|scope| scope.as_str().to_owned())
            .collect(),
        now_ms: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or_default(),
        extra: Vec::new(),
    }
}

fn stored(stored: &Signature) -> Option<(types::Signature, Document)> {
    let body = stored.body.as_ref()?;
    let record = signature(&Version {
        key: &stored.key,
        version: stored.version,
        stage: stored.stage.as_ref(),
        created_by: stored.created_by.as_ref(),
        comment: stored.comment.as_ref(),
        tags: &stored.tags,
        body,
    });
    Some((record, Document::new(body.bytes.clone())))
}

#[cfg(test)]
mod tests {
    use super::{MAX_TAGS, changed_tags};

    #[test]
    fn tags_that_stay_keep_their_places_and_new_ones_follow() {
        let tags = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            changed_tags(&tags(&["a", "b", "c"]), tags(&["d", "a"]), &tags(&["b"])),
            tags(&["a", "c", "d"])
        );
        // Taken away and set again: it stays, at the end.
        assert_eq!(
            changed_tags(&tags(&["a", "b"]), tags(&["a"]), &tags(&["a"])),
            tags(&["b", "a"])
        );
        let very_many = (0..1_000_000).map(|number| number.to_string()).collect();
        assert_eq!(changed_tags(&[], very_many, &[]).len(), MAX_TAGS + 1);
    }
}
