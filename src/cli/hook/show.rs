//! `sigpersist hook list` and `sigpersist hook show`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};
use sigpersist_model::plugin::{Binding, Hook};
use sigpersist_model::time;

use crate::app::App;
use crate::cli::output::Output;
use crate::cli::plugin::short;
use crate::cli::table::Table;
use crate::cli::tenancy::advise;
use crate::plugins;
use crate::tenants;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// The tenant's slug.
    tenant: String,
}

impl List {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let hooks = plugins::hooks(app, tenants::find(app, &self.tenant)?.id)?;
        output.result(&table(&self.tenant, &hooks), &all(&self.tenant, &hooks))
    }
}

/// A tenant's hooks for people.
pub(super) fn table(tenant: &str, hooks: &[Hook]) -> String {
    if hooks.is_empty() {
        return format!(
            "`{tenant}` has no hooks. Next: sigpersist hook set {tenant} NAME --plugin PLUGIN"
        );
    }
    let mut table = Table::new(&[
        "order",
        "name",
        "number",
        "plugin",
        "revision",
        "operations",
        "mode",
        "on failure",
        "state",
    ]);
    for hook in hooks {
        let binding = &hook.binding;
        let mut state = state(hook).to_owned();
        if binding.shadow.is_some() {
            state.push_str(", with a shadow");
        }
        table.row([
            binding.order.to_string(),
            hook.name.clone(),
            hook.number.to_string(),
            binding.plugin.clone(),
            short(binding.sha256),
            operations(binding),
            binding.mode.as_str().to_owned(),
            binding.on_failure.as_str().to_owned(),
            state,
        ]);
    }
    table.to_string()
}

/// A tenant's hooks for programs.
pub(super) fn all(tenant: &str, hooks: &[Hook]) -> Value {
    let facts: Vec<_> = hooks.iter().map(facts).collect();
    json!({ "tenant": tenant, "hooks": facts })
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
}

impl Show {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let tenant = tenants::find(app, &self.tenant)?.id;
        let hook = plugins::hook(app, tenant, &self.name)
            .map_err(|error| advise(error, Some(&self.tenant)))?;
        output.result(&text(&self.tenant, &hook)?, &facts(&hook))
    }
}

fn text(tenant: &str, hook: &Hook) -> anyhow::Result<String> {
    let binding = &hook.binding;
    let mut text = format!(
        "The hook `{}` of `{tenant}`: {}.\nnumber:      {}, set by {} at {}\nplugin:      {}, revision {}\norder:       {}\noperations:  {}\nmode:        {}\non failure:  {}\nlimits:      {} ms, {} bytes of memory, {} fuel\nsettings:    {}",
        hook.name,
        state(hook),
        hook.number,
        hook.set_by.as_deref().unwrap_or("the server"),
        time::to_text(hook.set_at),
        binding.plugin,
        binding.sha256,
        binding.order,
        operations(binding),
        binding.mode.as_str(),
        binding.on_failure.as_str(),
        binding.limits.timeout_ms,
        binding.limits.memory_bytes,
        binding.limits.fuel,
        binding.settings,
    );
    if let Some(shadow) = &binding.shadow {
        write!(
            text,
            "\nshadow:      revision {}, settings {}",
            shadow.sha256, shadow.settings
        )?;
    }
    if let Some(quarantine) = &hook.quarantine {
        write!(
            text,
            "\nquarantined: at {}. {}\nNext: fix the plugin or roll back the hook, or run: sigpersist hook release {tenant} {}",
            time::to_text(quarantine.since),
            quarantine.reason,
            hook.name
        )?;
    }
    Ok(text)
}

fn state(hook: &Hook) -> &'static str {
    if !hook.binding.enabled {
        "disabled"
    } else if hook.quarantine.is_some() {
        "quarantined"
    } else {
        "enabled"
    }
}

fn operations(binding: &Binding) -> String {
    let words = binding.operations.iter().map(|judged| judged.as_str());
    words.collect::<Vec<_>>().join(", ")
}

/// A hook for programs, with the names of the API.
pub(super) fn facts(hook: &Hook) -> Value {
    let binding = &hook.binding;
    json!({
        "name": hook.name,
        "number": hook.number,
        "plugin": binding.plugin,
        "revision": binding.sha256,
        "order": binding.order,
        "operations": binding.operations,
        "mode": binding.mode,
        "on_failure": binding.on_failure,
        "timeout_ms": binding.limits.timeout_ms,
        "memory_bytes": binding.limits.memory_bytes,
        "fuel": binding.limits.fuel,
        "settings": binding.settings,
        "enabled": binding.enabled,
        "shadow": binding.shadow.as_ref().map(|shadow| json!({
            "revision": shadow.sha256,
            "settings": shadow.settings,
        })),
        "quarantine": hook.quarantine.as_ref().map(|quarantine| json!({
            "since": time::to_text(quarantine.since),
            "reason": quarantine.reason,
        })),
        "set_by": hook.set_by,
        "set_at": time::to_text(hook.set_at),
    })
}
