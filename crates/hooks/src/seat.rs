//! One hook's seat in the judgement of a save or delete. It calls the hook's functions and records its decision.

use std::sync::Arc;

use sigpersist_model::decision::{
    Annotation, Decision, HookVerdict, MAX_ENTRIES, Rejection, clean,
};
use sigpersist_model::plugin::{Mode, OnFailure};
use sigpersist_model::signature::{MAX_TAGS, fold_tags};
use tracing::{debug, debug_span, warn};
use wasmtime::Store;
use wasmtime::component::Instance;

use super::bindings::exports::sigpersist::hooks::tagger::Changes;
use super::bindings::sigpersist::hooks::types;
use super::bound::{Bound, FailingHook, Guest, Health, Origin};
use super::call::Call;
use super::engine::Engine;
use super::host::{HostState, Subject};
use crate::HooksConfig;

/// A hook, or its shadow, during one judgement.
pub(super) struct Seat<'a> {
    hook: &'a Bound,
    guest: &'a Guest,
    /// Whether the hook has a decision: it was called, or refuses without a call.
    pub(super) decided: bool,
    /// Whether the hook is skipped this time, because it keeps failing.
    left_out: bool,
    pub(super) decision: Decision,
}

impl<'a> Seat<'a> {
    pub(super) fn new(hook: &'a Bound, guest: &'a Guest, shadow: bool) -> Self {
        let refuses = hook.refuses.as_ref().filter(|_| !shadow);
        Self {
            hook,
            guest,
            decided: refuses.is_some(),
            left_out: false,
            decision: Decision {
                hook: Arc::clone(&hook.name),
                binding: hook.binding,
                shadow,
                differs: None,
                mode: if shadow { Mode::Monitor } else { hook.mode },
                verdict: match refuses {
                    Some(_) => HookVerdict::Failed,
                    None => HookVerdict::Accepted,
                },
                rejections: Vec::new(),
                failure: refuses.cloned(),
                backtrace: Vec::new(),
                tags_added: Vec::new(),
                tags_removed: Vec::new(),
                warnings: Vec::new(),
                annotations: Vec::new(),
                log: Vec::new(),
                fuel: 0,
                microseconds: 0,
                memory_bytes: 0,
            },
        }
    }

    /// Whether the hook's failure refuses the request.
    pub(super) fn stops(&self) -> bool {
        self.decision.decides()
            && self.decision.verdict == HookVerdict::Failed
            && self.hook.on_failure == OnFailure::Reject
    }

    /// Failure counts of the hook, or of its shadow.
    fn health(&self) -> &Health {
        if self.decision.shadow {
            &self.hook.shadow_health
        } else {
            &self.hook.health
        }
    }

    /// Counts the run. Returns the hook if it should be quarantined.
    pub(super) fn sick(&self, origin: Origin, config: &HooksConfig) -> Option<FailingHook> {
        let asked = self.decided && (self.decision.shadow || self.hook.refuses.is_none());
        if !asked {
            return None;
        }
        let failed = self.decision.verdict == HookVerdict::Failed;
        let reason = self.health().count(failed, origin, config)?;
        // A shadow or a hook in monitor mode has no effect, and its runs are reduced anyway: it is not quarantined.
        if self.decision.shadow || !self.decision.decides() {
            return None;
        }
        let last = self.decision.failure.as_deref().unwrap_or("unknown");
        Some(FailingHook {
            hook: Arc::clone(&self.hook.name),
            binding: self.hook.binding,
            reason: format!("{reason} The last failure: {last}."),
        })
    }

    pub(super) fn tag(
        &mut self,
        engine: &Engine,
        subject: &Arc<Subject>,
        caller: &types::Context,
        draft: &mut types::Signature,
    ) {
        let guest = self.guest;
        let Some(tagger) = &guest.plugin.tagger else {
            return;
        };
        let answer = self.call(engine, subject, "tag", |store, instance| {
            tagger
                .load(&mut *store, instance)?
                .call_tag(store, caller, draft)
        });
        match answer {
            None => {}
            Some(Ok(changes)) => self.change_tags(draft, changes),
            Some(Err(rejection)) => self.reject(vec![rejection]),
        }
    }

    pub(super) fn validate_save(
        &mut self,
        engine: &Engine,
        subject: &Arc<Subject>,
        caller: &types::Context,
        draft: &types::Signature,
    ) {
        let guest = self.guest;
        let Some(validator) = &guest.plugin.save_validator else {
            return;
        };
        let answer = self.call(engine, subject, "validate-save", |store, instance| {
            validator
                .load(&mut *store, instance)?
                .call_validate_save(store, caller, draft)
        });
        self.settle(answer);
    }

    pub(super) fn validate_delete(
        &mut self,
        engine: &Engine,
        subject: &Arc<Subject>,
        caller: &types::Context,
        stored: &types::Signature,
    ) {
        let guest = self.guest;
        let Some(validator) = &guest.plugin.delete_validator else {
            return;
        };
        let answer = self.call(engine, subject, "validate-delete", |store, instance| {
            validator
                .load(&mut *store, instance)?
                .call_validate_delete(store, caller, stored)
        });
        self.settle(answer);
    }

    /// Calls the guest; none if it failed or is skipped.
    fn call<T>(
        &mut self,
        engine: &Engine,
        subject: &Arc<Subject>,
        function: &'static str,
        call: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<T>,
    ) -> Option<T> {
        // After a failure, the guest is not called again for this request.
        if self.decision.verdict == HookVerdict::Failed || self.left_out {
            return None;
        }
        if !self.decided && !self.decision.decides() && self.health().leaves_out() {
            self.left_out = true;
            return None;
        }
        self.decided = true;
        let state = HostState::new(
            &engine.config,
            &self.hook.name,
            &self.guest.settings,
            self.hook.limits.memory_bytes,
            Some(Arc::clone(subject)),
        );
        let _span = debug_span!("hook", name = &*self.hook.name, function).entered();
        let ended = Call {
            engine,
            plugin: &self.guest.plugin,
            state,
            limits: self.hook.limits,
            gives_way: self.health().gives_way(),
        }
        .run(call);
        let decision = &mut self.decision;
        decision.fuel += ended.fuel;
        decision.microseconds += ended.microseconds;
        decision.memory_bytes = decision.memory_bytes.max(ended.memory_bytes);
        decision.log.extend(ended.log);
        debug!(
            hook = &*self.hook.name,
            function,
            us = ended.microseconds,
            "A hook ran"
        );
        match ended.result {
            Ok(answer) => Some(answer),
            Err(failure) => {
                self.fail(function, &failure.to_string());
                self.decision.backtrace = failure.frames();
                None
            }
        }
    }

    fn fail(&mut self, function: &str, reason: &str) {
        let reason = format!("{function}: {}", clean(reason));
        let stops = self.decision.decides() && self.hook.on_failure == OnFailure::Reject;
        if !stops {
            warn!(
                hook = &*self.hook.name,
                shadow = self.decision.shadow,
                reason,
                "A hook failed; its settings let the request pass"
            );
        }
        self.decision.verdict = HookVerdict::Failed;
        self.decision.failure.get_or_insert(reason);
    }

    fn change_tags(&mut self, draft: &mut types::Signature, changes: Changes) {
        let tags = changed_tags(&draft.tags, changes.set, &changes.remove);
        if tags.len() > MAX_TAGS {
            // The client's tags and the derived ones together exceed the limit: nobody failed, so it is a rejection.
            return self.reject(vec![too_many_tags()]);
        }
        let tags = match fold_tags("tags", tags) {
            Ok(tags) => tags,
            Err(error) => {
                return self.fail("tag", &format!("its tags break the rules: {error}"));
            }
        };
        let missing = |from: &[String], among: &[String]| {
            let missing = from.iter().filter(|tag| !among.contains(tag));
            missing.cloned().collect::<Vec<_>>()
        };
        self.decision.tags_added = missing(&tags, &draft.tags);
        self.decision.tags_removed = missing(&draft.tags, &tags);
        if self.decision.decides() {
            draft.tags = tags;
        }
    }

    fn settle(&mut self, answer: Option<Result<types::Acceptance, Vec<types::Rejection>>>) {
        match answer {
            None => {}
            Some(Ok(acceptance)) => {
                let warnings = acceptance.warnings.iter().take(MAX_ENTRIES);
                self.decision
                    .warnings
                    .extend(warnings.map(|warning| clean(warning)));
                let annotations = acceptance.annotations.iter().take(MAX_ENTRIES);
                self.decision
                    .annotations
                    .extend(annotations.map(|annotation| Annotation {
                        name: clean(&annotation.name),
                        value: clean(&annotation.value),
                    }));
            }
            Some(Err(rejections)) => self.reject(rejections),
        }
    }

    fn reject(&mut self, mut rejections: Vec<types::Rejection>) {
        // A rejection without reasons still counts as a rejection.
        if rejections.is_empty() {
            rejections.push(types::Rejection {
                code: "rejected".to_owned(),
                message: "The hook gave no reason.".to_owned(),
                field: None,
            });
        }
        let decision = &mut self.decision;
        decision.verdict = decision.verdict.max(HookVerdict::Rejected);
        for rejection in rejections.iter().take(MAX_ENTRIES) {
            let rejection = Rejection {
                code: clean(&rejection.code),
                message: clean(&rejection.message),
                field: rejection.field.as_deref().map(clean),
            };
            // A tagger and a validator of one plugin often refuse for the same reason. It is listed once.
            if !decision.rejections.contains(&rejection) {
                decision.rejections.push(rejection);
            }
        }
    }
}

/// Tags after a tagger's changes: remaining tags keep their order, new ones follow.
///
/// It stops when the tags exceed the maximum, since a guest may send very many.
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
        message: format!("With the tags of this hook there are more than {MAX_TAGS} tags."),
        field: Some("/tags".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::MAX_TAGS;
    use super::changed_tags;

    #[test]
    fn tags_that_stay_keep_their_places_and_new_ones_follow() {
        let tags = |tags: &[&str]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            changed_tags(&tags(&["a", "b", "c"]), tags(&["d", "a"]), &tags(&["b"])),
            tags(&["a", "c", "d"])
        );
        // A tag that is removed and set again stays, at the end.
        assert_eq!(
            changed_tags(&tags(&["a", "b"]), tags(&["a"]), &tags(&["a"])),
            tags(&["b", "a"])
        );
        let very_many = (0..1_000_000).map(|number| number.to_string()).collect();
        assert_eq!(changed_tags(&[], very_many, &[]).len(), MAX_TAGS + 1);
    }
}
