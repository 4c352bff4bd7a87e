//! `sigpersist plugin delete`.

use clap::Args;
use serde_json::json;
use sigpersist_model::audit::Actor;

use crate::app::App;
use crate::cli::output::Output;
use crate::cli::tenancy::{advise, owner};
use crate::plugins;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// The plugin.
    name: String,
    /// The tenant that owns the plugin [default: the platform's].
    #[arg(long)]
    tenant: Option<String>,
}

impl Delete {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self { name, tenant } = self;
        let owner = owner(app, tenant.as_deref())?;
        plugins::delete_plugin(app, owner, Actor::command_line(), &name)
            .map_err(|error| advise(error, tenant.as_deref()))?;
        output.result(
            &format!("Deleted the plugin `{name}` with all its revisions."),
            &json!({ "name": name, "deleted": true }),
        )
    }
}
