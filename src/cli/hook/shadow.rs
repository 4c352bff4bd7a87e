//! `sigpersist hook shadow`.

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use sigpersist_model::time;

use super::backtest::groups;
use crate::cli::door::Door;
use crate::cli::output::Output;
use crate::cli::progress::progress;
use crate::trials::{Comparison, MAX_BACKTEST, ShadowSummary};

#[derive(Debug, Args)]
pub(in crate::cli) struct Shadow {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
    /// The number of the binding that has the shadow [default: the one in force].
    #[arg(long, value_name = "NUMBER")]
    binding: Option<u32>,
    /// Only at this time or later: "YYYY-MM-DD HH:MM:SS" in UTC, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    since: Option<DateTime<Utc>>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = time::from_text)]
    until: Option<DateTime<Utc>>,
    /// Maximum number of saves and deletes, newest first.
    #[arg(long, value_name = "N", default_value_t = MAX_BACKTEST, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl Shadow {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door
            .get(&["tenants", &self.tenant, "hooks", &self.name, "shadow"])
            .with_given("binding", self.binding)
            .with_given("since", self.since.map(|since| since.to_rfc3339()))
            .with_given("until", self.until.map(|until| until.to_rfc3339()));
        let bar = progress(self.limit.into(), "decisions");
        let mut whole: Option<ShadowSummary> = None;
        // One call of it counts so many decisions and takes so long at most.
        loop {
            let counted = whole.as_ref().map(|whole| &whole.comparison);
            let left = self.limit - counted.map_or(0, |counted| counted.examined);
            let request = request.clone().with("limit", left.min(MAX_BACKTEST));
            let cursor = counted.and_then(|counted| counted.next.clone());
            let summary: ShadowSummary = request.with_given("cursor", cursor).send()?.parsed()?;
            let whole = match &mut whole {
                Some(whole) => {
                    whole.comparison.extend(summary.comparison);
                    whole
                }
                None => whole.insert(summary),
            };
            let counted = &whole.comparison;
            bar.set_position(counted.examined.into());
            if counted.next.is_none() || counted.examined >= self.limit {
                bar.finish_and_clear();
                return output.result(&text(whole)?, &json!(whole));
            }
        }
    }
}

fn text(summary: &ShadowSummary) -> anyhow::Result<String> {
    let ShadowSummary {
        shadow,
        since,
        comparison,
    } = summary;
    let mut text = format!(
        "The shadow: revision {}, settings {}.",
        shadow.revision, shadow.settings
    );
    let Comparison {
        examined,
        unchanged,
        rejected,
        failed,
        next,
        ..
    } = comparison;
    if *examined == 0 && next.is_none() {
        text.push_str(&format!("\nIt has judged nothing since {since}."));
        return Ok(text);
    }
    text.push_str(&format!(
        "\nOf {examined} saves and deletes since {since} it would have rejected {rejected}, and failed on {failed}.\nIts decision is that of the hook on {unchanged}, another one on {}.{}",
        examined - unchanged,
        groups(&comparison.changes)?
    ));
    if next.is_some() {
        text.push_str("\n\nOlder ones are not counted; raise --limit to count them.");
    }
    Ok(text)
}
