//! Lists recorded decisions of hooks.

use std::collections::HashMap;
use std::slice;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{DecisionId, HookVerdict, Listed, MadeBy, Outcome, Recorded};
use sigpersist_model::digest::json_sha256;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::page::Page;
use sigpersist_model::plugin::Digest;
use sigpersist_store::DecisionFilter;

use crate::app::App;

/// Maximum number of decisions on one page.
pub const MAX_LIMIT: u32 = 200;

/// Filter of a list of decisions. Each field that is set narrows the list; without any, the list holds all decisions.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Document that the decision is about.
    pub document: Option<String>,
    /// Thread that the decision is about.
    pub thread: Option<String>,
    /// Name of the hook.
    pub hook: Option<String>,
    /// Number of the binding that ran.
    pub binding: Option<u32>,
    /// Revision of the plugin that ran.
    pub revision: Option<Digest>,
    /// Whether a shadow decided.
    pub shadow: Option<bool>,
    /// Whether the shadow decided differently from its hook.
    pub differs: Option<bool>,
    /// Verdict of the hook.
    pub verdict: Option<HookVerdict>,
    /// Code of one of the rejections.
    pub code: Option<String>,
    /// Outcome of the save or delete.
    pub outcome: Option<Outcome>,
    /// Subject of the caller's token.
    pub subject: Option<String>,
    /// Start of the time range, inclusive.
    pub since: Option<DateTime<Utc>>,
    /// End of the time range, exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// A page of a tenant's decisions, newest first. Blocks.
///
/// A page looks at a limited number of saves and deletes. So it may hold fewer than `limit` decisions, or none, although
/// more follow.
///
/// # Errors
///
/// Errors of the store.
pub fn list(
    app: &App,
    tenant: TenantId,
    filter: &Filter,
    after: Option<DecisionId>,
    limit: u32,
) -> Result<Page<Listed, DecisionId>> {
    let page = app.store.decision_list(
        tenant,
        &DecisionFilter {
            document: filter.document.as_deref(),
            thread: filter.thread.as_deref(),
            hook: filter.hook.as_deref(),
            bindings: filter.binding.as_ref().map(slice::from_ref),
            revision: filter.revision,
            shadow: filter.shadow,
            differs: filter.differs,
            verdict: filter.verdict,
            code: filter.code.as_deref(),
            outcome: filter.outcome,
            subject: filter.subject.as_deref(),
            since: filter.since,
            until: filter.until,
        },
        after,
        usize::try_from(limit).map_err(Error::internal)?,
    )?;
    let mut makers = HashMap::new();
    let mut decisions = Vec::with_capacity(page.items.len());
    for recorded in page.items {
        let decision = &recorded.decision;
        let key = (
            Arc::clone(&decision.hook),
            decision.binding,
            decision.shadow,
        );
        let made_by = match makers.get(&key) {
            Some(known) => Option::clone(known),
            None => {
                let made_by = made_by(app, tenant, &recorded)?;
                makers.insert(key, made_by.clone());
                made_by
            }
        };
        decisions.push(Listed { recorded, made_by });
    }
    Ok(Page {
        items: decisions,
        next: page.next,
    })
}

/// One decision of a tenant, by its id. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if the tenant has no such decision.
pub fn get(app: &App, tenant: TenantId, id: DecisionId) -> Result<Listed> {
    let found = app.store.decision_get(tenant, id)?;
    let (recorded, _) = found.ok_or(Error::NotFound(Noun::Decision))?;
    Ok(Listed {
        made_by: made_by(app, tenant, &recorded)?,
        recorded,
    })
}

/// The revision and settings that made a decision, read from its binding. The binding is kept after the hook is
/// deleted.
pub(super) fn made_by(app: &App, tenant: TenantId, recorded: &Recorded) -> Result<Option<MadeBy>> {
    let decision = &recorded.decision;
    let binding = app
        .store
        .hook_binding(tenant, &decision.hook, decision.binding)?;
    Ok(binding.map(|binding| {
        let (revision, settings) = binding.running(decision.shadow);
        MadeBy {
            settings_sha256: json_sha256(settings),
            settings: Arc::new(settings.clone()),
            sha256: revision,
            plugin: binding.plugin.clone(),
        }
    }))
}
