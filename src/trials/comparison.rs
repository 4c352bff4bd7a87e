//! Decisions of a candidate or shadow, compared with those of the hook beside it, counted and grouped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sigpersist_hooks::cases::Percentiles;
use sigpersist_model::decision::{Decision, DecisionId, HookVerdict};
use sigpersist_model::signature::ThreadKey;
use utoipa::ToSchema;

const MAX_EXAMPLES: usize = 5;
/// Maximum number of groups with a code of their own: a plugin may make up a code for each version.
const MAX_GROUPS: usize = 100;

/// Decisions of a candidate or shadow, compared with those of the hook that it would replace.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Comparison {
    /// Number of saves or deletes that the candidate judged.
    #[schema(example = 1000)]
    pub examined: u32,
    /// Number for which nothing would change.
    #[schema(example = 990)]
    pub unchanged: u32,
    /// Number that the candidate rejects, whether that changes anything or not.
    #[schema(example = 10)]
    pub rejected: u32,
    /// Number on which the candidate fails, whether that changes anything or not.
    #[schema(example = 0)]
    pub failed: u32,
    /// The changes, grouped by kind and code.
    pub changes: Vec<Change>,
    /// Duration of the candidate's runs in microseconds: median, 99th percentile and maximum.
    pub microseconds: Percentiles,
    /// Cursor to continue; null if nothing is left.
    #[schema(example = json!(null))]
    pub next: Option<String>,
}

impl Comparison {
    /// Adds the results of the comparison that continued this one. The percentiles become the higher ones of both.
    pub fn extend(&mut self, further: Self) {
        self.examined += further.examined;
        self.unchanged += further.unchanged;
        self.rejected += further.rejected;
        self.failed += further.failed;
        self.next = further.next;
        self.microseconds = self.microseconds.higher(further.microseconds);
        for change in further.changes {
            let known = self.changes.iter_mut().find(|known| {
                (known.from, known.to, known.only_tags, &known.code)
                    == (change.from, change.to, change.only_tags, &change.code)
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

/// Saves or deletes for which the decision would change in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparisonChange)]
pub struct Change {
    /// Verdict of the hook that the candidate would replace; `accepted` if it would replace none.
    pub from: HookVerdict,
    /// Verdict of the candidate.
    pub to: HookVerdict,
    /// Whether only tags would change: the verdict and the rejection codes are the same.
    #[schema(example = false)]
    pub only_tags: bool,
    /// Code of the first rejection: the candidate's, otherwise the hook's. Null if neither rejects, and for codes beyond
    /// the first 100 groups.
    #[schema(example = "signer-dropped")]
    pub code: Option<String>,
    /// Number of such saves or deletes.
    #[schema(example = 10)]
    pub count: u32,
    /// Up to five of them, newest first.
    pub examples: Vec<Example>,
}

/// A save or delete for which the decision would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ComparisonExample)]
pub struct Example {
    /// Id of the shadow's decision; null in a backtest, which records none.
    #[schema(example = json!(null))]
    pub decision: Option<String>,
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

/// A save or delete that was judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) key: &'a ThreadKey,
    pub(super) version: u32,
    /// The candidate's decision, if it is on record.
    pub(super) id: Option<DecisionId>,
}

/// Counts of a comparison in progress.
#[derive(Default)]
pub(super) struct Tally {
    comparison: Comparison,
    groups: BTreeMap<(HookVerdict, HookVerdict, bool, Option<String>), Change>,
    microseconds: Vec<u64>,
}

impl Tally {
    pub(super) fn examined(&self) -> u32 {
        self.comparison.examined
    }

    /// Counts a decision of the candidate, beside that of the hook that it would replace.
    pub(super) fn count(
        &mut self,
        judged: Judged<'_>,
        before: Option<&Decision>,
        decision: &Decision,
    ) {
        let counts = &mut self.comparison;
        counts.examined += 1;
        counts.rejected += u32::from(decision.verdict == HookVerdict::Rejected);
        counts.failed += u32::from(decision.verdict == HookVerdict::Failed);
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
            counts.unchanged += 1;
            return;
        }
        let only_tags = from == decision.verdict
            && before.is_none_or(|before| before.codes().eq(decision.codes()));
        let own_codes = before.into_iter().flat_map(Decision::codes);
        let code = decision.codes().chain(own_codes).next().map(str::to_owned);
        let mut key = (from, decision.verdict, only_tags, code);
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            key.3 = None;
        }
        let change = self.groups.entry(key).or_insert_with_key(|key| Change {
            from,
            to: decision.verdict,
            only_tags,
            code: key.3.clone(),
            count: 0,
            examples: Vec::new(),
        });
        change.count += 1;
        if change.examples.len() < MAX_EXAMPLES {
            let rejections = decision.rejections.iter();
            let reasons =
                rejections.map(|rejection| format!("{}: {}", rejection.code, rejection.message));
            change.examples.push(Example {
                decision: judged.id.map(|id| id.to_string()),
                document: judged.key.document.clone(),
                thread: judged.key.thread.clone(),
                version: judged.version,
                reasons: reasons.chain(decision.failure.clone()).collect(),
                tags_added: decision.tags_added.clone(),
                tags_removed: decision.tags_removed.clone(),
            });
        }
    }

    pub(super) fn report(mut self, next: Option<String>) -> Comparison {
        Comparison {
            changes: self.groups.into_values().collect(),
            microseconds: Percentiles::of(&mut self.microseconds),
            next,
            ..self.comparison
        }
    }
}
