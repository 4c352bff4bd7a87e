//! `sigpersist tenant list`, `show` and `usage`.

use clap::Args;
use serde_json::json;
use sigpersist_model::size;
use sigpersist_model::tenant::TenantState;
use sigpersist_model::view::{TenantView, UsageView};

use crate::cli::door::Door;
use crate::cli::output::Output;
use crate::cli::table::Table;

/// Tenants per request.
const PAGE: usize = 1_000;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only tenants in this state: active, suspended, deleting or removing.
    #[arg(long)]
    state: Option<TenantState>,
}

impl List {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door
            .get(&["tenants"])
            .with_given("state", self.state.map(TenantState::as_str));
        let (found, _) = request.pages::<TenantView>("tenants", PAGE, usize::MAX)?;
        let mut table = Table::new(&["slug", "name", "state", "created", "removed after"]);
        for tenant in &found {
            table.row([
                tenant.slug.clone(),
                tenant.name.clone(),
                tenant.state.as_str().to_owned(),
                tenant.created_at.to_string(),
                tenant
                    .delete_after
                    .map(|when| when.to_string())
                    .unwrap_or_default(),
            ]);
        }
        let text = match (found.is_empty(), self.state) {
            (false, _) => table.to_string(),
            (true, Some(state)) => format!("There is no tenant in the state {}.", state.as_str()),
            (true, None) => "There are no tenants. Next: sigpersist tenant create SLUG".to_owned(),
        };
        output.result(&text, &json!({ "tenants": found }))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The tenant's slug.
    slug: String,
}

impl Show {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let tenant: TenantView = door.get(&["tenants", &self.slug]).member("tenant")?;
        output.result(&sheet(&tenant), &json!(tenant))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Usage {
    /// The tenant's slug.
    slug: String,
}

impl Usage {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let answer = door.get(&["tenants", &self.slug, "usage"]).send()?;
        let UsageView {
            usage,
            quotas_in_force: in_force,
            ..
        } = answer.parsed()?;
        let mut table = Table::new(&["", "used", "quota"]);
        table.row([
            "stored".to_owned(),
            size::in_words(usage.bytes.unsigned_abs()),
            limit(in_force.max_bytes, size::in_words),
        ]);
        for (name, used, quota) in [
            (
                "threads",
                usage.threads,
                limit(in_force.max_threads, number),
            ),
            ("versions", usage.versions, String::new()),
        ] {
            table.row([name.to_owned(), used.to_string(), quota]);
        }
        output.result(
            &table.to_string(),
            &json!({ "slug": self.slug, "usage": usage, "quotas_in_force": in_force }),
        )
    }
}

/// A tenant for people.
pub(super) fn sheet(tenant: &TenantView) -> String {
    let mut text = format!(
        "slug:      {}\nname:      {}\nstate:     {}\ncreated:   {}",
        tenant.slug,
        tenant.name,
        tenant.state.as_str(),
        tenant.created_at,
    );
    if let Some(since) = tenant.suspended_at {
        line(&mut text, "suspended", &since.to_string());
    }
    if let Some(when) = tenant.delete_after {
        line(&mut text, "removed", &format!("after {when}"));
    }
    if let Some(missing) = &tenant.incomplete {
        line(&mut text, "lacks", missing);
    }
    let (in_force, own) = (json!(tenant.quotas_in_force), json!(tenant.quotas));
    let mut table = Table::new(&["quota", "in force", "set"]);
    for (name, in_force) in in_force.as_object().into_iter().flatten() {
        let show = if name.ends_with("_bytes") {
            size::in_words
        } else {
            number
        };
        let own = own[name].as_u64();
        table.row([
            name.clone(),
            limit(in_force.as_u64().unwrap_or_default(), show),
            own.map_or("default".to_owned(), show),
        ]);
    }
    format!("{text}\n\n{table}")
}

fn line(text: &mut String, name: &str, value: &str) {
    let name = format!("{name}:");
    text.push_str(&format!("\n{name:10} {value}"));
}

fn limit(limit: u64, show: fn(u64) -> String) -> String {
    match limit {
        0 => "no limit".to_owned(),
        limit => show(limit),
    }
}

fn number(number: u64) -> String {
    number.to_string()
}
