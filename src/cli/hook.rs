//! `sigpersist hook`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::output::Output;
use crate::app::App;
use crate::audit::Actor;
use crate::plugins::model::{Mode, OnFailure};
use crate::plugins::{self, HookRequest};
use crate::signatures::model::Preconditions;
use crate::tenants;

#[derive(Debug, Subcommand)]
pub(super) enum Hook {
    /// Bind the newest revision of a plugin to a tenant, as a new hook or in place of the one of this name. Servers use
    /// it within a second.
    Set {
        /// The tenant's slug.
        tenant: String,
        /// The hook's name: lower-case letters, digits and hyphens.
        name: String,
        /// The plugin: the tenant's own of this name, or the platform's.
        #[arg(long, value_name = "NAME")]
        plugin: String,
        /// Hooks run from the lowest to the highest, ties by name.
        #[arg(long, value_name = "N", default_value_t = 0)]
        order: i32,
        /// Time limit of one call in milliseconds [default: the server's own].
        #[arg(long, value_name = "N")]
        timeout_ms: Option<u32>,
        /// enforce, or monitor: run, but change and reject nothing.
        #[arg(long, default_value = "enforce")]
        mode: Mode,
        /// What a trap, a missed deadline or a broken limit means: reject, or allow.
        #[arg(long, default_value = "reject")]
        on_failure: OnFailure,
        /// What the plugin reads as its configuration.
        #[arg(long, value_name = "JSON", default_value = "{}", value_parser = parse_json)]
        settings: Value,
    },
}

fn parse_json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

impl Hook {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self::Set {
            tenant,
            name,
            plugin,
            order,
            timeout_ms,
            mode,
            on_failure,
            settings,
        } = self;
        let request = HookRequest {
            order,
            timeout_ms,
            mode,
            on_failure,
            settings,
            ..HookRequest::new(&plugin)
        };
        let id = tenants::find(app, &tenant)?.id;
        let preconditions = Preconditions::default();
        let hook = plugins::set_hook(
            app,
            id,
            &Actor::command_line(),
            &name,
            &request,
            &preconditions,
        )?
        .hook
        .binding;
        let sentence = format!(
            "The hook `{name}` of `{tenant}` runs the plugin `{plugin}`, revision {}.",
            hook.sha256
        );
        output.result(
            &sentence,
            &json!({
                "tenant": tenant,
                "name": name,
                "plugin": plugin,
                "sha256": hook.sha256.to_string(),
                "order": hook.order,
                "timeout_ms": hook.limits.timeout_ms,
                "mode": hook.mode,
                "on_failure": hook.on_failure,
                "settings": hook.settings,
            }),
        )
    }
}
