//! `sigpersist hook list` and `sigpersist hook show`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;
use sigpersist_model::view::HookView;

use crate::cli::door::Door;
use crate::cli::output::Output;
use crate::cli::plugin::short;
use crate::cli::table::Table;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// The tenant's slug.
    tenant: String,
}

impl List {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door.get(&["tenants", &self.tenant, "hooks"]);
        let hooks = request.member("hooks")?;
        all(&self.tenant, hooks, output)
    }
}

/// Prints a tenant's hooks.
pub(super) fn all(tenant: &str, hooks: Vec<HookView>, output: &Output) -> anyhow::Result<()> {
    let answer = json!({ "tenant": tenant, "hooks": hooks });
    output.result(&table(tenant, &hooks), &answer)
}

fn table(tenant: &str, hooks: &[HookView]) -> String {
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
        let mut state = state(hook).to_owned();
        if hook.shadow.is_some() {
            state.push_str(", with a shadow");
        }
        table.row([
            hook.order.to_string(),
            hook.name.clone(),
            hook.number.to_string(),
            hook.plugin.clone(),
            short(hook.revision),
            operations(hook),
            hook.mode.as_str().to_owned(),
            hook.on_failure.as_str().to_owned(),
            state,
        ]);
    }
    table.to_string()
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
}

impl Show {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door.get(&["tenants", &self.tenant, "hooks", &self.name]);
        let hook: HookView = request.member("hook")?;
        output.result(&text(&self.tenant, &hook)?, &json!(hook))
    }
}

fn text(tenant: &str, hook: &HookView) -> anyhow::Result<String> {
    let mut text = format!(
        "The hook `{}` of `{tenant}`: {}.\nnumber:      {}, set by {} at {}\nplugin:      {}, revision {}\norder:       {}\noperations:  {}\nmode:        {}\non failure:  {}\nlimits:      {} ms, {} bytes of memory, {} fuel\nsettings:    {}",
        hook.name,
        state(hook),
        hook.number,
        hook.set_by.as_deref().unwrap_or("the server"),
        hook.set_at,
        hook.plugin,
        hook.revision,
        hook.order,
        operations(hook),
        hook.mode.as_str(),
        hook.on_failure.as_str(),
        hook.timeout_ms,
        hook.memory_bytes,
        hook.fuel,
        hook.settings,
    );
    if let Some(shadow) = &hook.shadow {
        write!(
            text,
            "\nshadow:      revision {}, settings {}",
            shadow.revision, shadow.settings
        )?;
    }
    if let Some(quarantine) = &hook.quarantine {
        write!(
            text,
            "\nquarantined: at {}. {}\nNext: fix the plugin or roll back the hook, or run: sigpersist hook release {tenant} {}",
            quarantine.since, quarantine.reason, hook.name
        )?;
    }
    Ok(text)
}

fn state(hook: &HookView) -> &'static str {
    if !hook.enabled {
        "disabled"
    } else if hook.quarantine.is_some() {
        "quarantined"
    } else {
        "enabled"
    }
}

fn operations(hook: &HookView) -> String {
    let words = hook.operations.iter().map(|judged| judged.as_str());
    words.collect::<Vec<_>>().join(", ")
}
