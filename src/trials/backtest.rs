//! Runs a candidate over a tenant's stored versions, to see which decisions would be different.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_hooks::cases::Percentiles;
use sigpersist_hooks::{Bound, Chain, ChainResult, VerdictSource};
use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::decision::{Circumstances, Decision, HookVerdict};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::{Draft, Signature};
use sigpersist_store::{Stored, StoredRange};
use utoipa::ToSchema;

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
const MAX_EXAMPLES: usize = 5;

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

/// Result of a backtest: the candidate's decisions compared with those of the hook that it would replace.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Backtest {
    /// Number of versions or threads that the candidate judged.
    #[schema(example = 1000)]
    pub examined: u32,
    /// Number of versions or threads for which nothing would change.
    #[schema(example = 990)]
    pub unchanged: u32,
    /// The others, grouped by the kind of change.
    pub changes: Vec<BacktestChange>,
    /// Duration of the candidate's runs in microseconds: median, 99th percentile and maximum.
    pub microseconds: Percentiles,
    /// Cursor to continue; null if nothing is left.
    #[schema(example = json!(null))]
    pub next: Option<String>,
}

impl Backtest {
    /// Adds the results of the backtest that continued this one. The percentiles become the higher ones of both.
    pub fn extend(&mut self, further: Self) {
        self.examined += further.examined;
        self.unchanged += further.unchanged;
        self.next = further.next;
        self.microseconds = self.microseconds.higher(further.microseconds);
        for change in further.changes {
            let known = self.changes.iter_mut().find(|known| {
                (known.from, known.to, known.only_tags)
                    == (change.from, change.to, change.only_tags)
            });
            match known {
                Some(known) => {
                    known.count += change.count;
                    known.examples.extend(change.examples);
                    known.examples.truncate(MAX_EXAMPLES);
                }
                None => self.changes.push(change),
            }
        }
    }
}

/// Versions for which the decision would change in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BacktestChange)]
pub struct BacktestChange {
    /// Verdict of the hook that the candidate would replace; `accepted` if it would replace none.
    pub from: HookVerdict,
    /// Verdict of the candidate.
    pub to: HookVerdict,
    /// Whether only tags would change: the verdict and the rejection codes are the same.
    #[schema(example = false)]
    pub only_tags: bool,
    /// Number of such versions.
    #[schema(example = 10)]
    pub count: u32,
    /// Up to five of these versions, newest first.
    pub examples: Vec<Example>,
}

/// A version for which the decision would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BacktestExample)]
pub struct Example {
    /// Document of the version.
    #[schema(example = "doc_12")]
    pub document: String,
    /// Thread of the version.
    #[schema(example = "ticket_42")]
    pub thread: String,
    /// Number of the version.
    #[schema(example = 2)]
    pub version: u32,
    /// Codes and messages of the candidate's rejections, or its failure.
    #[schema(example = json!(["signer-dropped: The new version drops a signer"]))]
    pub reasons: Vec<String>,
    /// Tags that the candidate would add.
    #[schema(example = json!([]))]
    pub tags_added: Vec<String>,
    /// Tags that the candidate would remove.
    #[schema(example = json!([]))]
    pub tags_removed: Vec<String>,
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
) -> Result<Backtest> {
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
        let left = i64::from(limit - tally.examined);
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
            tally.count(signature, before.as_ref(), &decision);
        }
        progress(tally.examined);
        if tally.examined >= limit || started.elapsed() >= MAX_TIME {
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

#[derive(Default)]
struct Tally {
    examined: u32,
    unchanged: u32,
    changes: BTreeMap<(HookVerdict, HookVerdict, bool), BacktestChange>,
    microseconds: Vec<u64>,
}

impl Tally {
    fn count(&mut self, signature: &Signature, before: Option<&Decision>, decision: &Decision) {
        self.examined += 1;
        self.microseconds.push(decision.microseconds);
        let from = before.map_or(HookVerdict::Accepted, |before| before.verdict);
        let agrees = match before {
            Some(before) => before.agrees(decision),
            None => {
                decision.verdict == HookVerdict::Accepted
                    && decision.tags_added.is_empty()
                    && decision.tags_removed.is_empty()
            }
        };
        if agrees {
            self.unchanged += 1;
            return;
        }
        let codes = |decision: &Decision| -> Vec<String> {
            let rejections = decision.rejections.iter();
            rejections.map(|rejection| rejection.code.clone()).collect()
        };
        let only_tags = from == decision.verdict
            && before.is_none_or(|before| codes(before) == codes(decision));
        let change = self
            .changes
            .entry((from, decision.verdict, only_tags))
            .or_insert_with(|| BacktestChange {
                from,
                to: decision.verdict,
                only_tags,
                count: 0,
                examples: Vec::new(),
            });
        change.count += 1;
        if change.examples.len() < MAX_EXAMPLES {
            let rejections = decision.rejections.iter();
            let reasons =
                rejections.map(|rejection| format!("{}: {}", rejection.code, rejection.message));
            change.examples.push(Example {
                document: signature.key.document.clone(),
                thread: signature.key.thread.clone(),
                version: signature.version,
                reasons: reasons.chain(decision.failure.clone()).collect(),
                tags_added: decision.tags_added.clone(),
                tags_removed: decision.tags_removed.clone(),
            });
        }
    }

    fn report(mut self, next: Option<String>) -> Backtest {
        Backtest {
            examined: self.examined,
            unchanged: self.unchanged,
            microseconds: Percentiles::of(&mut self.microseconds),
            changes: self.changes.into_values().collect(),
            next,
        }
    }
}
