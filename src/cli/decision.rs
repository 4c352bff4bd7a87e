//! `sigpersist decision`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};
use sigpersist_model::decision::{DecisionId, HookVerdict, Outcome};
use sigpersist_model::plugin::Digest;
use sigpersist_model::time;
use sigpersist_model::view::{DecisionView, RecordedDecisionView, ReplayView};

use super::door::Door;
use super::output::{Output, joined};
use super::table::Table;
use super::verdicts;

/// Decisions per request.
const PAGE: usize = 200;

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
    /// Only decisions by this binding of the hook, as shown by `hook history`.
    #[arg(long, value_name = "NUMBER", requires = "hook")]
    binding: Option<u32>,
    /// Only decisions by this revision: a SHA-256.
    #[arg(long, value_name = "SHA-256")]
    revision: Option<Digest>,
    /// Only decisions of shadows (true), or only those of the hooks themselves (false).
    #[arg(long)]
    shadow: Option<bool>,
    /// Only decisions of shadows that differ from their hook's (true), or only those that agree (false).
    #[arg(long)]
    differs: Option<bool>,
    /// Only decisions with this verdict: accepted, rejected or failed.
    #[arg(long)]
    verdict: Option<HookVerdict>,
    /// Only decisions with a rejection of this code.
    #[arg(long)]
    code: Option<String>,
    /// Only decisions about saves and deletes with this outcome: accepted, rejected, failed or `not_stored`.
    #[arg(long)]
    outcome: Option<Outcome>,
    /// Only decisions about requests of this caller: the subject of the token.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
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
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        match self {
            Self::List(command) => command.run(door, output),
            Self::Show(command) => command.show(door, output),
            Self::Replay(command) => command.replay(door, output),
        }
    }
}

impl List {
    fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door
            .get(&["tenants", &self.tenant, "hooks", "decisions"])
            .with_given("document", self.document)
            .with_given("thread", self.thread)
            .with_given("hook", self.hook)
            .with_given("binding", self.binding)
            .with_given("revision", self.revision)
            .with_given("shadow", self.shadow)
            .with_given("differs", self.differs)
            .with_given("verdict", self.verdict.map(HookVerdict::as_str))
            .with_given("code", self.code)
            .with_given("outcome", self.outcome.map(Outcome::as_str))
            .with_given("subject", self.subject)
            .with_given("since", self.since.map(|since| since.to_rfc3339()))
            .with_given("until", self.until.map(|until| until.to_rfc3339()));
        let most = usize::try_from(self.limit)?;
        let (listed, next) = request.pages::<RecordedDecisionView>("decisions", PAGE, most)?;
        let mut table = Table::new(&[
            "id",
            "at",
            "operation",
            "document",
            "thread",
            "version",
            "hook",
            "binding",
            "verdict",
            "outcome",
            "why",
        ]);
        for recorded in &listed {
            let decision = &recorded.decision;
            table.row([
                recorded.id.clone(),
                recorded.at.to_string(),
                recorded.operation.as_str().to_owned(),
                recorded.document.clone(),
                recorded.thread.clone(),
                recorded.version.to_string(),
                verdicts::name(decision),
                decision.binding.to_string(),
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
        output.result(&text, &json!({ "decisions": listed, "next": next }))
    }
}

/// A decision with the settings that made it.
#[derive(Deserialize)]
struct Shown {
    decision: RecordedDecisionView,
    settings: Option<Value>,
}

impl One {
    fn show(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let id = self.id.to_string();
        let path = ["tenants", &self.tenant, "hooks", "decisions", &id];
        let Shown {
            decision: recorded,
            settings,
        } = door.get(&path).send()?.parsed()?;
        let made_by = match (&recorded.plugin, &recorded.revision, &settings) {
            (Some(plugin), Some(revision), Some(settings)) => {
                let binding = recorded.decision.binding;
                format!(
                    "plugin:    {plugin}, revision {revision}, binding {binding}\nsettings:  {settings}"
                )
            }
            _ => "plugin:    unknown, its record is gone".to_owned(),
        };
        let text = format!(
            "{}\n{made_by}\n\n{}",
            heading(&recorded),
            verdicts::table(std::slice::from_ref(&recorded.decision))
        );
        let answer = joined(json!(recorded), json!({ "settings": settings }));
        output.result(&text, &answer)
    }

    fn replay(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let id = self.id.to_string();
        let path = ["tenants", &self.tenant, "hooks", "decisions", &id, "replay"];
        let replay: ReplayView = door.post(&path).send()?.parsed()?;
        let sentence = if replay.same {
            "The result is the same: verdict, codes and tags."
        } else {
            "The result is different now."
        };
        let text = format!(
            "{}\n\n{sentence}\n\nas recorded\n{}\n\nnow\n{}",
            heading(&replay.recorded),
            verdicts::table(std::slice::from_ref(&replay.recorded.decision)),
            verdicts::table(std::slice::from_ref(&replay.replayed)),
        );
        output.result(&text, &json!(replay))
    }
}

fn heading(recorded: &RecordedDecisionView) -> String {
    format!(
        "{} of {}/{}, version {}, at {}: {}\nby:        {}, request {}",
        recorded.operation.as_str(),
        recorded.document,
        recorded.thread,
        recorded.version,
        recorded.at,
        recorded.outcome.as_str(),
        recorded.subject.as_deref().unwrap_or("nobody (no subject)"),
        recorded.request_id,
    )
}

/// The first reason for a rejection, or the failure.
fn why(decision: &DecisionView) -> String {
    let first = decision.rejections.first();
    first
        .map(|rejection| format!("{}: {}", rejection.code, rejection.message))
        .or(decision.failure.clone())
        .unwrap_or_default()
}
