//! `sigpersist tenant create`, `update`, `suspend`, `resume` and `delete`.

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use sigpersist_model::tenant::TenantState;
use sigpersist_model::view::TenantView;

use super::QuotaArgs;
use super::show::sheet;
use crate::cli::door::Door;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Its name in commands and tokens: lower-case letters, digits and hyphens.
    slug: String,
    /// Its name for people [default: the slug].
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    quotas: QuotaArgs,
}

impl Create {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let form = json!({ "slug": self.slug, "name": self.name, "quotas": self.quotas.to_json() });
        let answer = door.post(&["tenants"]).json(&form).send()?;
        let created = answer.created();
        let tenant: TenantView = answer.member("tenant")?;
        let slug = &tenant.slug;
        let sentence = if created {
            format!("Created the tenant `{slug}`. Next: sigpersist key add {slug}")
        } else {
            format!("The tenant `{slug}` already exists; nothing was changed.")
        };
        let mut answer = json!(tenant);
        answer["created"] = created.into();
        output.result(&sentence, &answer)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// The tenant's slug.
    slug: String,
    /// Its name for people.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    quotas: QuotaArgs,
}

impl Update {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let quotas = self.quotas.to_json();
        ensure!(
            self.name.is_some() || quotas != json!({}),
            "Say what to change: --name or a quota. `sigpersist tenant update --help` lists them."
        );
        let form = json!({ "name": self.name, "quotas": quotas });
        let request = door.patch(&["tenants", &self.slug]).json(&form);
        let tenant: TenantView = request.member("tenant")?;
        output.result(&sheet(&tenant), &json!(tenant))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Suspend {
    /// The tenant's slug.
    slug: String,
}

impl Suspend {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door.post(&["tenants", &self.slug, "suspend"]);
        let tenant: TenantView = request.member("tenant")?;
        let slug = &tenant.slug;
        let sentence = format!(
            "The tenant `{slug}` is suspended; its requests are refused within a second. To undo this: sigpersist tenant resume {slug}"
        );
        output.result(&sentence, &json!(tenant))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    /// The tenant's slug.
    slug: String,
    /// Resume the tenant although its import is incomplete: it has not ended, or hooks that refuse forbidden operations
    /// are missing.
    #[arg(long)]
    incomplete: bool,
}

impl Resume {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door
            .post(&["tenants", &self.slug, "resume"])
            .with_given("incomplete", self.incomplete.then_some(true));
        let tenant: TenantView = request.member("tenant")?;
        let sentence = format!(
            "The tenant `{}` is active; its requests are answered within a second.",
            tenant.slug
        );
        output.result(&sentence, &json!(tenant))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// The tenant's slug.
    slug: String,
    /// The slug once more: removes all its data at once and for good, instead of after the grace period.
    #[arg(long, value_name = "SLUG")]
    confirm: Option<String>,
}

impl Delete {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { slug, confirm } = self;
        let request = door.delete(&["tenants", &slug]);
        let request = request.with_given("confirm", confirm.as_deref());
        let tenant: TenantView = request.member("tenant")?;
        let when = tenant.delete_after.map(|when| when.to_string());
        let when = when.unwrap_or_default();
        let sentence = if tenant.state == TenantState::Removing || confirm.is_some() {
            format!(
                "The tenant `{slug}` is suspended, and a running server is removing all its data. `sigpersist tenant show {slug}` shows the tenant until all is removed."
            )
        } else {
            format!(
                "The tenant `{slug}` is suspended, and all its data will be removed after {when} UTC.\nTo undo this: sigpersist tenant resume {slug}\nTo remove it at once: sigpersist tenant delete {slug} --confirm {slug}"
            )
        };
        output.result(&sentence, &json!(tenant))
    }
}
