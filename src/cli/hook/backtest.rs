//! `sigpersist hook backtest`.

use std::fmt::Write as _;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use sigpersist_model::plugin::Operation;
use sigpersist_model::time;

use super::Candidate;
use crate::cli::door::Door;
use crate::cli::output::{Output, shown};
use crate::cli::progress::progress;
use crate::cli::verdicts::tag_changes;
use crate::trials::{BacktestRequest, Change, Comparison, MAX_BACKTEST};

#[derive(Debug, Args)]
pub(in crate::cli) struct Backtest {
    /// The tenant's slug.
    tenant: String,
    #[command(flatten)]
    candidate: Candidate,
    /// Operation to try: save, with each version as it was saved; or delete, with each thread as it is now.
    #[arg(long, default_value = "save")]
    operation: Operation,
    /// Only this document.
    #[arg(long)]
    document: Option<String>,
    /// Only threads created at this time or later: "YYYY-MM-DD HH:MM:SS" in UTC, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    since: Option<DateTime<Utc>>,
    /// Only threads created before this time.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    until: Option<DateTime<Utc>>,
    /// Maximum number of versions, newest threads first.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Backtest {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let candidate = self.candidate.into_request()?.context(
            "Say what to try: a hook with --hook, and its new --revision or --settings; or a plugin with --plugin.",
        )?;
        let mut request = BacktestRequest {
            candidate,
            operation: self.operation,
            document: self.document,
            since: self.since,
            until: self.until,
            limit: None,
            cursor: None,
        };
        let bar = progress(self.limit.into(), "versions");
        let mut report = Comparison::default();
        // One call of it takes so many versions and so long at most.
        loop {
            let before = report.examined;
            request.limit = Some((self.limit - before).min(MAX_BACKTEST));
            let post = door.post(&["tenants", &self.tenant, "hooks", "backtest"]);
            report.extend(post.json(&json!(request)).member("backtest")?);
            bar.set_position(report.examined.into());
            request.cursor.clone_from(&report.next);
            if report.next.is_none() || report.examined >= self.limit {
                break;
            }
        }
        bar.finish_and_clear();
        output.result(&text(&report)?, &json!(report))
    }
}

fn text(report: &Comparison) -> anyhow::Result<String> {
    let Comparison {
        examined,
        unchanged,
        microseconds,
        next,
        ..
    } = report;
    if *examined == 0 {
        return Ok("No stored version matches, so nothing was tried.".to_owned());
    }
    let mut text = format!(
        "Examined {examined}: {unchanged} with the same result, {} with another.\nThe candidate took {} µs (median), {} µs (99th percentile), {} µs at most.{}",
        examined - unchanged,
        microseconds.p50,
        microseconds.p99,
        microseconds.max,
        groups(&report.changes)?
    );
    if next.is_some() {
        write!(text, "\n\nThere are more; raise --limit to examine them.")?;
    }
    Ok(text)
}

/// The groups of changes, each after an empty line.
pub(super) fn groups(changes: &[Change]) -> anyhow::Result<String> {
    let mut text = String::new();
    for change in changes {
        let (from, to) = (change.from.as_str(), change.to.as_str());
        let how = match (change.only_tags, change.from == change.to) {
            (true, _) => format!("{from} with other tags"),
            (false, true) => format!("{from} for other reasons"),
            (false, false) => format!("{from} → {to}"),
        };
        let code = change.code.as_ref();
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        write!(text, "\n\n{how}{}: {}", shown(&code), change.count)?;
        for example in &change.examples {
            let version = format!(
                "{}/{}, version {}",
                example.document, example.thread, example.version
            );
            write!(text, "\n  {}", shown(&version))?;
            if let Some(decision) = &example.decision {
                write!(text, ", decision {decision}")?;
            }
            let tags = tag_changes(&example.tags_added, &example.tags_removed);
            for said in example
                .reasons
                .iter()
                .chain(Some(&tags).filter(|tags| !tags.is_empty()))
            {
                write!(text, "\n    {}", shown(said))?;
            }
        }
        let others = usize::try_from(change.count)?.saturating_sub(change.examples.len());
        if others > 0 {
            write!(text, "\n  … and {others} more")?;
        }
    }
    Ok(text)
}
