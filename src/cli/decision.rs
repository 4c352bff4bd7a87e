//! `sigpersist decision`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Decision as Decided, DecisionId, HookVerdict, Listed};
use sigpersist_model::digest::to_hex;
use sigpersist_model::time;
use sigpersist_model::view::{RecordedDecisionView, ReplayView};

use super::output::Output;
use super::table::Table;
use super::tenancy::advise;
use super::verdicts;
use crate::app::App;
use crate::decisions::{self, Filter, MAX_LIMIT};
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Decision {
    /// List decisions of a tenant's hooks, newest first.
    List(Box<List>),
    /// Show a decision in full.
    Show(One),
    /// Repeat a decision with the same revision, settings and input, and compare the results.
    Replay(One),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The tenant's slug.
    tenant: String,
    /// Only decisions about this document.
    #[arg(long)]
    document: Option<String>,
    /// Only decisions about this thread.
    #[arg(long)]
    thread: Option<String>,
    /// Only decisions of this hook.
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// Only decisions with this verdict: accepted, rejected or failed.
    #[arg(long)]
    verdict: Option<HookVerdict>,
    /// Only at this time or later: "YYYY-MM-DD HH:MM:SS" in UTC, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    since: Option<DateTime<Utc>>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    until: Option<DateTime<Utc>>,
    /// Maximum number of decisions.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// The tenant's slug.
    tenant: String,
    /// The decision's id, as shown by `decision list`.
    id: DecisionId,
}

impl Decision {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(app, output),
            Self::Show(command) => command.show(app, output),
            Self::Replay(command) => command.replay(app, output),
        }
    }
}

impl List {
    fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::find(app, &self.tenant)?.id;
        let filter = Filter {
            document: self.document,
            thread: self.thread,
            hook: self.hook,
            verdict: self.verdict,
            since: self.since,
            until: self.until,
        };
        let limit = usize::try_from(self.limit)?;
        let (listed, next) = collect(app, tenant, &filter, limit)?;
        let mut table = Table::new(&[
            "id",
            "at",
            "operation",
            "document",
            "thread",
            "version",
            "hook",
            "verdict",
            "outcome",
            "why",
        ]);
        for Listed { recorded, .. } in &listed {
            let decision = &recorded.decision;
            table.row([
                recorded.id.to_string(),
                time::to_text(recorded.id.at),
                recorded.operation.as_str().to_owned(),
                recorded.key.document.clone(),
                recorded.key.thread.clone(),
                recorded.version.to_string(),
                verdicts::name(decision),
                decision.verdict.as_str().to_owned(),
                recorded.outcome.as_str().to_owned(),
                why(decision),
            ]);
        }
        let mut text = if listed.is_empty() {
            "There are no such decisions.".to_owned()
        } else {
            table.to_string()
        };
        if next.is_some() {
            text.push_str("\nThere are more; see them with a higher --limit, or --until.");
        }
        let decisions = listed.into_iter().map(RecordedDecisionView::from);
        let decisions: Vec<_> = decisions.collect();
        let next = next.map(|next| next.to_string());
        output.result(&text, &json!({ "decisions": decisions, "next": next }))
    }
}

/// Collects pages of decisions up to a limit.
fn collect(
    app: &App,
    tenant: TenantId,
    filter: &Filter,
    limit: usize,
) -> anyhow::Result<(Vec<Listed>, Option<DecisionId>)> {
    let mut listed = Vec::new();
    let mut next = None;
    loop {
        let left = limit - listed.len();
        let page = decisions::list(app, tenant, filter, next, left.min(MAX_LIMIT))?;
        listed.extend(page.decisions);
        next = page.next;
        if next.is_none() || listed.len() >= limit {
            return Ok((listed, next));
        }
    }
}

impl One {
    fn show(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::find(app, &self.tenant)?.id;
        let listed = decisions::get(app, tenant, self.id)
            .map_err(|error| advise(error, Some(&self.tenant)))?;
        let made_by = match &listed.made_by {
            Some(made_by) => format!(
                "plugin:    {}, revision {}\nsettings:  SHA-256 {}",
                made_by.plugin,
                made_by.sha256,
                to_hex(&made_by.settings_sha256)
            ),
            None => "plugin:    unknown, its record is gone".to_owned(),
        };
        let text = format!(
            "{}\n{made_by}\n\n{}",
            heading(&listed),
            verdicts::table(std::slice::from_ref(&listed.recorded.decision))
        );
        output.result(&text, &json!(RecordedDecisionView::from(listed)))
    }

    fn replay(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::find(app, &self.tenant)?.id;
        let replay = decisions::replay(app, tenant, self.id)
            .map_err(|error| advise(error, Some(&self.tenant)))?;
        let sentence = if replay.same {
            "The result is the same: verdict, codes and tags."
        } else {
            "The result is different now."
        };
        let text = format!(
            "{}\n\n{sentence}\n\nas recorded\n{}\n\nnow\n{}",
            heading(&replay.listed),
            verdicts::table(std::slice::from_ref(&replay.listed.recorded.decision)),
            verdicts::table(std::slice::from_ref(&replay.replayed)),
        );
        let view = ReplayView {
            same: replay.same,
            recorded: replay.listed.into(),
            replayed: replay.replayed.into(),
        };
        output.result(&text, &json!(view))
    }
}

fn heading(Listed { recorded, .. }: &Listed) -> String {
    let circumstances = &recorded.input.circumstances;
    format!(
        "{} of {}/{}, version {}, at {}: {}\nby:        {}, request {}",
        recorded.operation.as_str(),
        recorded.key.document,
        recorded.key.thread,
        recorded.version,
        time::to_text(recorded.id.at),
        recorded.outcome.as_str(),
        circumstances
            .subject
            .as_deref()
            .unwrap_or("nobody (no subject)"),
        circumstances.request_id,
    )
}

/// The first reason for a rejection, or the failure.
fn why(decision: &Decided) -> String {
    let first = decision.rejections.first();
    first
        .map(|rejection| format!("{}: {}", rejection.code, rejection.message))
        .or(decision.failure.clone())
        .unwrap_or_default()
}
