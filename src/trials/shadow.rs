//! Sums up what a shadow would have done: its recorded decisions, compared with those of its hook.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::DecisionId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::view::ShadowView;
use sigpersist_store::DecisionFilter;
use sigpersist_verify::Time;
use utoipa::ToSchema;

use super::comparison::{Comparison, Judged, Tally};
use crate::app::App;
use crate::plugins;

/// Decisions loaded from the database at once.
const BATCH: u32 = 200;
/// Time limit of one request. The next request continues with the remaining decisions.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Decisions of a shadow to sum up.
#[derive(Debug, Clone, Default)]
pub struct ShadowRange {
    /// Number of the binding that has the shadow; by default the one in force.
    pub binding: Option<u32>,
    /// Start of the time range, inclusive.
    pub since: Option<DateTime<Utc>>,
    /// End of the time range, exclusive.
    pub until: Option<DateTime<Utc>>,
    /// The last decision that an earlier summary counted.
    pub after: Option<DecisionId>,
    /// Maximum number of decisions.
    pub limit: u32,
}

/// Summary of a shadow's decisions.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ShadowSummary {
    /// The shadow. Decisions of all bindings with the same shadow count.
    pub shadow: ShadowView,
    /// Start of the time range: the time when the shadow was first set, or your `since` if that is later.
    pub since: Time,
    /// The shadow's decisions on saves and deletes, newest first, compared with those of the hook itself. If there is a
    /// `next`, older decisions are left to count.
    pub comparison: Comparison,
}

/// Sums up what the shadow of a hook would have done, newest decisions first. Blocks, for some five seconds at most.
///
/// # Errors
///
/// [`Error::NotFound`] for the hook or binding, [`Error::Refused`] if the binding has no shadow.
pub fn shadow(
    app: &App,
    tenant: TenantId,
    name: &str,
    range: &ShadowRange,
) -> Result<ShadowSummary> {
    let kept = plugins::binding(app, tenant, name, range.binding)?;
    let Some(shadow) = kept.binding.shadow else {
        return Err(Error::refused(format!(
            "Binding {} of the hook `{name}` has no shadow. Name an earlier binding that has one as `binding`, or set the hook with a `shadow`.",
            kept.number
        )));
    };
    let with_shadow = app.store.bindings_with_shadow(tenant, name, &shadow)?;
    let first = with_shadow.iter().map(|(_, set_at)| *set_at).min();
    let first = first.unwrap_or(kept.set_at);
    let since = range.since.map_or(first, |since| since.max(first));
    let bindings: Vec<_> = with_shadow.iter().map(|(number, _)| *number).collect();
    let filter = DecisionFilter {
        hook: Some(name),
        bindings: Some(&bindings),
        shadow: Some(true),
        since: Some(since),
        until: range.until,
        ..DecisionFilter::default()
    };
    let started = Instant::now();
    let mut tally = Tally::default();
    let mut after = range.after;
    loop {
        let left = BATCH.min(range.limit.saturating_sub(tally.examined()));
        let batch = usize::try_from(left).map_err(Error::internal)?;
        let page = app.store.decision_pairs(tenant, &filter, after, batch)?;
        for (recorded, own) in &page.items {
            let judged = Judged {
                key: &recorded.key,
                version: recorded.version,
                id: Some(recorded.id),
            };
            tally.count(judged, own.as_ref(), &recorded.decision);
        }
        after = page.next;
        if after.is_none() || tally.examined() >= range.limit || started.elapsed() >= MAX_TIME {
            break;
        }
    }
    Ok(ShadowSummary {
        shadow: shadow.into(),
        since: since.into(),
        comparison: tally.report(after.map(|after| after.to_string())),
    })
}
