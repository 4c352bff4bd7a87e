//! `sigpersist tenant create`, `update`, `suspend`, `resume` and `delete`.

use anyhow::ensure;
use clap::Args;
use serde_json::json;
use sigpersist_model::audit::Actor;
use sigpersist_model::quotas::{QuotaPatch, Quotas};
use sigpersist_model::tenant::TenantState;
use sigpersist_model::time;

use super::QuotaArgs;
use super::show::{sheet, view};
use crate::app::App;
use crate::cli::output::Output;
use crate::cli::tenancy::advise;
use crate::tenants::{self, NewTenant};

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
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let new = NewTenant {
            slug: self.slug,
            name: self.name,
            quotas: Quotas::default().changed(self.quotas.into()),
            incomplete: None,
        };
        let (tenant, created) = tenants::create(app, &Actor::command_line(), &new)?;
        let slug = &tenant.slug;
        let sentence = if created {
            format!("Created the tenant `{slug}`. Next: sigpersist key add {slug}")
        } else {
            format!("The tenant `{slug}` already exists; nothing was changed.")
        };
        let mut answer = json!(view(app, tenant));
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
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let quotas = Quotas::<QuotaPatch>::from(self.quotas);
        ensure!(
            self.name.is_some() || quotas != Quotas::default(),
            "Say what to change: --name or a quota. `sigpersist tenant update --help` lists them."
        );
        let actor = Actor::command_line();
        let tenant = tenants::update(app, &actor, &self.slug, self.name.as_deref(), quotas)
            .map_err(|error| advise(error, Some(&self.slug)))?;
        let view = view(app, tenant);
        output.result(&sheet(&view), &json!(view))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Suspend {
    /// The tenant's slug.
    slug: String,
}

impl Suspend {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::suspend(app, &Actor::command_line(), &self.slug)
            .map_err(|error| advise(error, Some(&self.slug)))?;
        let slug = &tenant.slug;
        let sentence = format!(
            "The tenant `{slug}` is suspended; its requests are refused within a second. To undo this: sigpersist tenant resume {slug}"
        );
        output.result(&sentence, &json!(view(app, tenant)))
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
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::resume(app, &Actor::command_line(), &self.slug, self.incomplete)
            .map_err(|error| advise(error, Some(&self.slug)))?;
        let sentence = format!(
            "The tenant `{}` is active; its requests are answered within a second.",
            tenant.slug
        );
        output.result(&sentence, &json!(view(app, tenant)))
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
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { slug, confirm } = self;
        let tenant = tenants::delete(app, &Actor::command_line(), &slug, confirm.as_deref())
            .map_err(|error| advise(error, Some(&slug)))?;
        let when = tenant.delete_after.map(time::to_text).unwrap_or_default();
        let sentence = if tenant.state() == TenantState::Removing || confirm.is_some() {
            format!(
                "The tenant `{slug}` is suspended, and a running server is removing all its data. `sigpersist tenant show {slug}` shows the tenant until all is removed."
            )
        } else {
            format!(
                "The tenant `{slug}` is suspended, and all its data will be removed after {when} UTC.\nTo undo this: sigpersist tenant resume {slug}\nTo remove it at once: sigpersist tenant delete {slug} --confirm {slug}"
            )
        };
        output.result(&sentence, &json!(view(app, tenant)))
    }
}
