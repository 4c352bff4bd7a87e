//! Running a candidate over what a tenant has stored, to see what it would have decided differently.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sigpersist_model::context::{Context, TenantId};
use sigpersist_model::decision::{Circumstances, Decision, Verdict};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::{Draft, Signature};
use utoipa::ToSchema;

use super::evaluate::{CandidateRequest, candidate};
use crate::app::App;
use crate::hooks::{Bound, Chain, Judged, Judging};
use crate::plugins;
use crate::signatures;
use crate::store::{Stored, StoredRange};

/// Most versions of one backtest.
pub const MAX_BACKTEST: u32 = 10_000;
const DEFAULT_BACKTEST: u32 = 1_000;
/// Versions that are read at once.
const BATCH: i64 = 20;
/// Most time that one request takes; what is left is for the next one.
const MAX_TIME: Duration = Duration::from_secs(20);
/// For each moment of work, so many of rest: it takes no more than a quarter of one processor from those who save.
const REST: u32 = 3;
const MAX_EXAMPLES: usize = 5;

/// What is to be tried, on what.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BacktestRequest {
    /// The revision and settings.
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize")]
    pub candidate: CandidateRequest,
    /// Saving each version, or deleting each thread as it is now.
    #[serde(default)]
    pub operation: Operation,
    /// Only this document.
    #[serde(default)]
    #[schema(example = "doc_12")]
    pub document: Option<String>,
    /// Only threads created at this time or later.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::time::deserialize_option"
    )]
    #[schema(value_type = Option<String>, example = "2021-02-18 01:00:00")]
    pub since: Option<DateTime<Utc>>,
    /// Only threads created before this time.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::time::deserialize_option"
    )]
    #[schema(value_type = Option<String>, example = "2031-02-18 01:00:00")]
    pub until: Option<DateTime<Utc>>,
    /// Most versions.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(minimum = 1, maximum = 10_000, example = 1000)]
    pub limit: Option<u32>,
    /// Where an earlier backtest ended.
    #[serde(default)]
    #[schema(example = json!(null))]
    pub cursor: Option<String>,
}

/// What a candidate would have decided.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Backtest {
    /// How many versions or threads were looked at.
    #[schema(example = 1000)]
    pub examined: u32,
    /// How many would have come out as before.
    #[schema(example = 990)]
    pub unchanged: u32,
    /// The others, grouped by what changes.
    pub changes: Vec<Change>,
    /// Microseconds that the candidate took: the median, the 99th percentile and the most.
    pub microseconds: Percentiles,
    /// Where to go on; none where all was looked at.
    #[schema(example = json!(null))]
    pub next: Option<String>,
    /// Microseconds of each run.
    #[serde(skip)]
    runs: Vec<u64>,
}

impl Backtest {
    /// Adds the backtest that goes on where this one ended.
    pub fn extend(&mut self, further: Self) {
        self.examined += further.examined;
        self.unchanged += further.unchanged;
        self.next = further.next;
        self.runs.extend(further.runs);
        self.microseconds = Percentiles::of(&mut self.runs);
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

/// Costs of many runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestCosts)]
pub struct Percentiles {
    /// The median.
    #[schema(example = 300)]
    pub p50: u64,
    /// The 99th percentile.
    #[schema(example = 900)]
    pub p99: u64,
    /// The most.
    #[schema(example = 1500)]
    pub max: u64,
}

impl Percentiles {
    /// Those of some runs, which are put in order; zeros where there are none.
    pub fn of(runs: &mut [u64]) -> Self {
        runs.sort_unstable();
        let at = |share: usize| {
            let place = (runs.len() * share / 100).min(runs.len().saturating_sub(1));
            runs.get(place).copied().unwrap_or_default()
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

/// Versions that would come out otherwise, in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestChange)]
pub struct Change {
    /// The verdict of the hook that the candidate would replace; `accepted` where it replaces none.
    pub from: Verdict,
    /// The candidate's.
    pub to: Verdict,
    /// Whether verdict and codes are the same, and only tags change.
    #[schema(example = false)]
    pub only_tags: bool,
    /// How many.
    #[schema(example = 10)]
    pub count: u32,
    /// Some of them, newest first.
    pub examples: Vec<Example>,
}

/// A version that would come out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BacktestExample)]
pub struct Example {
    /// Its document.
    #[schema(example = "doc_12")]
    pub document: String,
    /// Its thread.
    #[schema(example = "ticket_42")]
    pub thread: String,
    /// Its number.
    #[schema(example = 2)]
    pub version: u32,
    /// Codes and messages of the rejections, or the failure.
    #[schema(example = json!(["signer-dropped: The new version drops a signer"]))]
    pub reasons: Vec<String>,
    /// Tags that it would have added.
    #[schema(example = json!([]))]
    pub tags_added: Vec<String>,
    /// Tags that it would have taken away.
    #[schema(example = json!([]))]
    pub tags_removed: Vec<String>,
}

/// Runs a candidate over stored versions, newest threads first, beside the serving of requests. Nothing is stored. Calls
/// `progress` with the number of versions looked at. Blocks, for 20 seconds at most.
///
/// # Errors
///
/// As [`evaluate`](super::evaluate()).
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
            "The candidate does not judge a {}.",
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
                Judging::default()
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
    Error::invalid("cursor", "`cursor` must be a `next` of an earlier answer.")
}

/// What hooks are told of whether its signatures hold: of a save, what they were told when it was saved, or else what they would
/// have been told then by those whom the tenant trusts today.
fn judging(
    app: &App,
    tenant: TenantId,
    operation: Operation,
    signature: &Signature,
) -> Result<Judging> {
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
    judging: &Judging,
) -> Option<Judged> {
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
    changes: BTreeMap<(Verdict, Verdict, bool), Change>,
    microseconds: Vec<u64>,
}

impl Tally {
    fn count(&mut self, signature: &Signature, before: Option<&Decision>, decision: &Decision) {
        self.examined += 1;
        self.microseconds.push(decision.microseconds);
        let from = before.map_or(Verdict::Accepted, |before| before.verdict);
        let agrees = match before {
            Some(before) => before.agrees(decision),
            None => {
                decision.verdict == Verdict::Accepted
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
            .or_insert_with(|| Change {
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
            runs: self.microseconds,
        }
    }
}
