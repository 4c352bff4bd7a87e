//! Runs a candidate over a tenant's stored versions, to see which decisions would be different.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_hooks::{Bound, Chain, ChainResult, VerdictSource};
use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::decision::Circumstances;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::{Draft, Signature};
use sigpersist_store::{Stored, StoredRange};
use utoipa::ToSchema;

use super::comparison::{Comparison, Judged, Tally};
use super::evaluate::{CandidateRequest, candidate};
use crate::app::App;
use crate::plugins;
use crate::signatures;

/// Maximum number of versions in one backtest.
pub const MAX_BACKTEST: u32 = 10_000;
const DEFAULT_BACKTEST: u32 = 1_000;
/// Versions loaded from the database at once.
const BATCH: i64 = 20;
/// Time limit of one request. The next request continues with the remaining versions.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Pause after each batch, as a multiple of the time that the batch took. So a backtest takes no more than a quarter of
/// one processor from saves.
const REST: u32 = 3;

/// Request for a backtest: the candidate, and the versions to run it over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestRequest {
    /// The candidate: a revision and its settings.
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize")]
    pub candidate: CandidateRequest,
    /// Operation to try: saving each version, or deleting each thread in its current version.
    #[serde(default)]
    pub operation: Operation,
    /// Document to which the backtest is limited.
    #[serde(default)]
    #[schema(example = "doc_12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// Start of the time range, inclusive, in which threads were created.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::time::deserialize_option"
    )]
    #[schema(value_type = Option<String>, example = "2021-02-18 01:00:00")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// End of the time range, exclusive, in which threads were created.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::time::deserialize_option"
    )]
    #[schema(value_type = Option<String>, example = "2031-02-18 01:00:00")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Maximum number of versions. By default 1000.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(minimum = 1, maximum = 10_000, example = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The `next` of an earlier backtest, to continue it.
    #[serde(default)]
    #[schema(example = json!(null))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Runs a candidate over stored versions, newest threads first. Stores nothing. Blocks, for 20 seconds at most.
///
/// It rests between batches, so that the server keeps serving requests. It calls `progress` with the number of versions
/// examined.
///
/// # Errors
///
/// See [`evaluate`](super::evaluate()).
pub fn backtest(
    app: &App,
    context: &Context,
    request: &BacktestRequest,
    mut progress: impl FnMut(u32),
) -> Result<Comparison> {
    let limit = request.limit.unwrap_or(DEFAULT_BACKTEST);
    if !(1..=MAX_BACKTEST).contains(&limit) {
        let message = format!("`limit` must be between 1 and {MAX_BACKTEST}.");
        return Err(Error::invalid("limit", message));
    }
    let tenant = context.tenant()?;
    let circumstances = Circumstances::now(context)?;
    let bound = candidate(app, context, &request.candidate)?;
    let baseline = plugins::chain(app, tenant)?
        .hooks()
        .iter()
        .find(|hook| request.candidate.hook.is_some() && hook.name == bound.name)
        .map(|hook| alone(app, hook.for_trial()));
    let candidate = alone(app, bound);
    if !candidate.judges(request.operation) {
        let message = format!(
            "The candidate does not run on a {}.",
            request.operation.as_str()
        );
        return Err(Error::invalid("operation", message));
    }
    let wants_previous = candidate.wants_previous()
        || baseline
            .as_ref()
            .is_some_and(|baseline| baseline.wants_previous());
    let mut chains = [Some(&candidate), baseline.as_ref()].into_iter().flatten();
    let wants_verdicts = chains.any(|chain| chain.wants_verdicts(request.operation));
    let mut range = StoredRange {
        document: request.document.clone(),
        since: request.since,
        until: request.until,
        current_only: request.operation == Operation::Delete,
        after: request
            .cursor
            .as_deref()
            .map(|cursor| cursor.parse().map_err(|()| invalid_cursor()))
            .transpose()?,
    };
    let started = Instant::now();
    let mut tally = Tally::default();
    loop {
        let left = i64::from(limit - tally.examined());
        let worked = Instant::now();
        let batch: Vec<Stored> = app.store.signature_range(tenant, &range, BATCH.min(left))?;
        if batch.is_empty() {
            range.after = None;
            break;
        }
        for Stored { signature, place } in &batch {
            if started.elapsed() >= MAX_TIME {
                break;
            }
            range.after = Some(*place);
            let previous = match signature.parent() {
                Some(parent) if wants_previous && request.operation == Operation::Save => app
                    .store
                    .signature_get(tenant, &signature.key, Some(parent))?,
                _ => None,
            };
            let judging = if wants_verdicts {
                judging(app, tenant, request.operation, signature)?
            } else {
                VerdictSource::default()
            };
            let judge = |chain: &Chain| {
                let judged = judge(
                    chain,
                    request.operation,
                    &circumstances,
                    signature,
                    previous.as_ref(),
                    &judging,
                );
                judged.and_then(|judged| judged.decisions.into_iter().next())
            };
            let Some(decision) = judge(&candidate) else {
                continue;
            };
            let before = baseline.as_ref().and_then(judge);
            let judged = Judged {
                key: &signature.key,
                version: signature.version,
                id: None,
            };
            tally.count(judged, before.as_ref(), &decision);
        }
        progress(tally.examined());
        if tally.examined() >= limit || started.elapsed() >= MAX_TIME {
            break;
        }
        std::thread::sleep(worked.elapsed() * REST);
    }
    Ok(tally.report(range.after.map(|place| place.to_string())))
}

fn alone(app: &App, hook: Bound) -> Chain {
    Chain::new(Arc::clone(&app.engine), vec![hook])
}

fn invalid_cursor() -> Error {
    Error::invalid(
        "cursor",
        "`cursor` must be the `next` of an earlier answer.",
    )
}

/// Verification results for the hooks.
///
/// For a save, these are the results that hooks read when it was saved. If there are none on record, the signature is
/// verified at the time of the save, with the certificates that the tenant trusts today.
fn judging(
    app: &App,
    tenant: TenantId,
    operation: Operation,
    signature: &Signature,
) -> Result<VerdictSource> {
    if operation == Operation::Delete {
        return signatures::judging(app, tenant, signature, Utc::now());
    }
    let judging = signatures::judging(app, tenant, signature, signature.version_created_at)?;
    let body = signature.body.as_ref();
    let told = match body {
        Some(body) => {
            app.store
                .verdicts_told(tenant, &signature.key, signature.version, &body.sha256)?
        }
        None => None,
    };
    Ok(judging.told(told))
}

fn judge(
    chain: &Chain,
    operation: Operation,
    circumstances: &Circumstances,
    signature: &Signature,
    previous: Option<&Signature>,
    judging: &VerdictSource,
) -> Option<ChainResult> {
    match operation {
        Operation::Save => {
            let draft = Draft {
                key: signature.key.clone(),
                signed_over: signature.parent(),
                body: signature.body.clone()?,
                stage: signature.stage.clone(),
                created_by: signature.created_by.clone(),
                comment: signature.comment.clone(),
                tags: signature.tags.clone(),
            };
            let version = signature.version;
            Some(chain.judge_save(circumstances, &draft, version, previous, judging))
        }
        Operation::Delete => Some(chain.judge_delete(circumstances, signature, judging)),
    }
}
