//! `sigpersist hook delete`, `rollback`, `release` and `order`.

use clap::Args;
use serde_json::json;
use sigpersist_model::audit::Actor;
use sigpersist_model::signature::Preconditions;
use sigpersist_model::view::HookView;

use super::show::all;
use crate::app::App;
use crate::cli::output::Output;
use crate::cli::tenancy::advise;
use crate::plugins;
use crate::tenants;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
}

impl Delete {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, name } = self;
        let id = tenants::find(app, &tenant)?.id;
        let actor = Actor::command_line();
        plugins::delete_hook(app, id, &actor, &name, &Preconditions::default())
            .map_err(|error| advise(error, Some(&tenant)))?;
        output.result(
            &format!("Removed the hook `{name}` of `{tenant}`; its decisions stay on record."),
            &json!({ "tenant": tenant, "name": name, "deleted": true }),
        )
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Rollback {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
    /// The number of the binding to restore [default: the previous one].
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
}

impl Rollback {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, name, to } = self;
        let id = tenants::find(app, &tenant)?.id;
        let actor = Actor::command_line();
        let hook = plugins::rollback(app, id, &actor, &name, to, &Preconditions::default())
            .map_err(|error| advise(error, Some(&tenant)))?;
        let sentence = format!(
            "The hook `{name}` of `{tenant}` runs the plugin `{}`, revision {}, again. This is its binding {}.",
            hook.binding.plugin, hook.binding.sha256, hook.number
        );
        output.result(&sentence, &json!(HookView::from(hook)))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Release {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
}

impl Release {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, name } = self;
        let id = tenants::find(app, &tenant)?.id;
        let advise = |error| advise(error, Some(&tenant));
        let before = plugins::hook(app, id, &name).map_err(advise)?;
        let hook = plugins::release(app, id, &Actor::command_line(), &name).map_err(advise)?;
        let sentence = if before.quarantine.is_some() {
            format!("Released the hook `{name}` of `{tenant}`; it runs again.")
        } else {
            format!("The hook `{name}` of `{tenant}` was not quarantined; nothing was changed.")
        };
        output.result(&sentence, &json!(HookView::from(hook)))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Order {
    /// The tenant's slug.
    tenant: String,
    /// All hooks of the tenant, in the order in which they are to run.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Order {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, names } = self;
        let id = tenants::find(app, &tenant)?.id;
        let hooks = plugins::reorder(app, id, &Actor::command_line(), &names)
            .map_err(|error| advise(error, Some(&tenant)))?;
        all(&tenant, hooks, output)
    }
}
