//! Reading what hooks decided.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{DecisionId, Recorded, Verdict};
use sigpersist_model::digest::json_sha256;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Digest;

use crate::app::App;
use crate::store::DecisionFilter;

/// Most decisions of one page.
pub const MAX_LIMIT: usize = 200;

/// Which decisions are asked for; all of them where nothing is.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this document.
    pub document: Option<String>,
    /// Only of this thread.
    pub thread: Option<String>,
    /// Only of this hook.
    pub hook: Option<String>,
    /// Only with this verdict.
    pub verdict: Option<Verdict>,
    /// Only recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only recorded before this time.
    pub until: Option<DateTime<Utc>>,
}

/// What made a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeBy {
    /// The plugin's name.
    pub plugin: String,
    /// The revision.
    pub sha256: Digest,
    /// SHA-256 of the settings, as the plugin read them.
    pub settings_sha256: [u8; 32],
}

/// A recorded decision, and what made it.
#[derive(Debug)]
pub struct Listed {
    /// The decision.
    pub recorded: Recorded,
    /// What made it.
    pub made_by: Option<MadeBy>,
}

/// A page of decisions.
#[derive(Debug)]
pub struct Page {
    /// The decisions, newest first.
    pub decisions: Vec<Listed>,
    /// Where to go on; none at the end.
    pub next: Option<DecisionId>,
}

/// A page of a tenant's decisions, newest first. A page may hold fewer than `limit`, or none, although more follow: one
/// page looks at so many at most. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn list(
    app: &App,
    tenant: TenantId,
    filter: &Filter,
    after: Option<DecisionId>,
    limit: usize,
) -> Result<Page> {
    let page = app.store.decision_list(
        tenant,
        &DecisionFilter {
            document: filter.document.as_deref(),
            thread: filter.thread.as_deref(),
            hook: filter.hook.as_deref(),
            verdict: filter.verdict.map(Verdict::as_str),
            since: filter.since,
            until: filter.until,
        },
        after,
        limit,
    )?;
    let mut makers = HashMap::new();
    let mut decisions = Vec::with_capacity(page.decisions.len());
    for recorded in page.decisions {
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
        decisions,
        next: page.next,
    })
}

/// One decision of a tenant. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn get(app: &App, tenant: TenantId, id: DecisionId) -> Result<Listed> {
    let found = app.store.decision_get(tenant, id)?;
    let (recorded, _) = found.ok_or(Error::NotFound(Noun::Decision))?;
    Ok(Listed {
        made_by: made_by(app, tenant, &recorded)?,
        recorded,
    })
}

/// The binding that made a decision, which outlives the hook.
pub(super) fn made_by(app: &App, tenant: TenantId, recorded: &Recorded) -> Result<Option<MadeBy>> {
    let decision = &recorded.decision;
    let binding = app
        .store
        .hook_binding(tenant, &decision.hook, decision.binding)?;
    Ok(binding.map(|binding| {
        let (revision, settings) = binding.running(decision.shadow);
        MadeBy {
            settings_sha256: json_sha256(settings),
            sha256: revision,
            plugin: binding.plugin.clone(),
        }
    }))
}
