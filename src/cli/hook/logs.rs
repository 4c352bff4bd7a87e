//! `sigpersist hook logs`.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::{Value, json};
use sigpersist_model::decision::DecisionId;
use sigpersist_model::view::{HookView, RecordedDecisionView};

use crate::cli::door::{Door, Unreachable};
use crate::cli::output::{Output, shown};
use crate::cli::verdicts::sentences;

/// Decisions per request.
const PAGE: usize = 200;
/// Maximum number of decisions that are read at once while following.
const MOST: usize = 10_000;
/// Pause between requests for new decisions.
const PAUSE: Duration = Duration::from_secs(1);
/// Decisions become visible when their transactions end, so one may come after others that were made later.
const LATE: TimeDelta = TimeDelta::seconds(30);

#[derive(Debug, Args)]
pub(in crate::cli) struct Logs {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
    /// Wait for further decisions, until interrupted. With --json, print one object in a line for each.
    #[arg(long, short)]
    follow: bool,
    /// Number of past decisions to show [default: 20, or none with --follow].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    limit: Option<u16>,
}

impl Logs {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        // A misspelt name is an error, and not an empty log.
        let _: HookView = door
            .get(&["tenants", &self.tenant, "hooks", &self.name])
            .member("hook")?;
        let limit = match self.limit {
            None if self.follow => 0,
            limit => usize::from(limit.unwrap_or(20)),
        };
        let begin = Utc::now();
        let past = match limit {
            0 => Vec::new(),
            limit => self.decisions(door, None, limit)?,
        };
        if self.follow {
            return self.follow(door, past, begin, output);
        }
        let lines: Vec<_> = past.iter().flat_map(lines).collect();
        let text = match lines.as_slice() {
            [] => format!(
                "The last {} decisions of `{}` say nothing. See all of a decision with: sigpersist decision show {} ID",
                past.len(),
                self.name,
                self.tenant
            ),
            lines => lines.join("\n"),
        };
        let decisions: Vec<_> = past.iter().map(facts).collect();
        output.result(&text, &json!({ "decisions": decisions }))
    }

    fn follow(
        &self,
        door: &Door,
        past: Vec<RecordedDecisionView>,
        begin: DateTime<Utc>,
        output: &Output,
    ) -> anyhow::Result<()> {
        let mut told: BTreeMap<String, DateTime<Utc>> = BTreeMap::new();
        let mut newest = begin;
        let mut found = past;
        // With clocks of server and machine apart, what was there before is known by its id.
        for old in self.decisions(door, Some(begin - LATE), MOST)? {
            if found.iter().all(|one| one.id != old.id) {
                told.insert(old.id.clone(), at(&old, begin));
            }
        }
        loop {
            for decision in &found {
                let time = at(decision, newest);
                if told.insert(decision.id.clone(), time).is_none() {
                    newest = newest.max(time);
                    if output.is_json() {
                        output.line(&facts(decision).to_string())?;
                    }
                    for line in lines(decision).iter().filter(|_| !output.is_json()) {
                        output.line(line)?;
                    }
                }
            }
            thread::sleep(PAUSE);
            let since = newest - LATE;
            told.retain(|_, at| *at >= since);
            found = match self.decisions(door, Some(since), MOST) {
                Ok(found) => found,
                // The next answer goes on where the last one ended.
                Err(error) if error.is::<Unreachable>() => Vec::new(),
                Err(error) => return Err(error),
            };
        }
    }

    /// The newest decisions, oldest first.
    fn decisions(
        &self,
        door: &Door,
        since: Option<DateTime<Utc>>,
        most: usize,
    ) -> anyhow::Result<Vec<RecordedDecisionView>> {
        let request = door
            .get(&["tenants", &self.tenant, "hooks", "decisions"])
            .with("hook", &self.name)
            .with_given("since", since.map(|since| since.to_rfc3339()));
        let (mut found, _) = request.pages::<RecordedDecisionView>("decisions", PAGE, most)?;
        found.reverse();
        Ok(found)
    }
}

/// Time of a decision, which is a part of its id.
fn at(decision: &RecordedDecisionView, otherwise: DateTime<Utc>) -> DateTime<Utc> {
    let id: Result<DecisionId, _> = decision.id.parse();
    id.map_or(otherwise, |id| id.at)
}

/// A line for each thing that the hook said.
fn lines(decision: &RecordedDecisionView) -> Vec<String> {
    let (at, document, thread) = (&decision.at, &decision.document, &decision.thread);
    let said = sentences(&decision.decision);
    let said = said
        .iter()
        .map(|said| shown(&format!("{at} {document}/{thread} {said}")));
    said.collect()
}

fn facts(decision: &RecordedDecisionView) -> Value {
    let RecordedDecisionView {
        id,
        at,
        document,
        thread,
        decision,
        ..
    } = decision;
    json!({
        "id": id,
        "at": at,
        "document": document,
        "thread": thread,
        "mode": decision.mode,
        "shadow": decision.shadow,
        "verdict": decision.verdict,
        "rejections": decision.rejections,
        "failure": decision.failure,
        "warnings": decision.warnings,
        "log": decision.log,
    })
}
