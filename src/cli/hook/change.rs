//! `sigpersist hook delete`, `rollback`, `release` and `order`.

use clap::Args;
use serde_json::json;
use sigpersist_model::view::HookView;

use super::of_mode;
use super::show::all;
use crate::cli::door::Door;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
}

impl Delete {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, name } = self;
        door.delete(&["tenants", &tenant, "hooks", &name]).send()?;
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
    /// The number of the binding to restore, as shown by `hook history` [default: the previous one].
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
}

impl Rollback {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, name, to } = self;
        let request = door
            .post(&["tenants", &tenant, "hooks", &name, "rollback"])
            .with_given("to", to);
        let hook: HookView = request.member("hook")?;
        let sentence = format!(
            "The hook `{name}` of `{tenant}` runs the plugin `{}`, revision {}, again. This is its binding {}.{}",
            hook.plugin,
            hook.revision,
            hook.number,
            of_mode(&hook)
        );
        output.result(&sentence, &json!(hook))
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
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, name } = self;
        let path = ["tenants", &tenant, "hooks", &name];
        let before: HookView = door.get(&path).member("hook")?;
        let release = [&path[..], &["release"]].concat();
        let hook: HookView = door.post(&release).member("hook")?;
        let sentence = if before.quarantine.is_some() {
            format!("Released the hook `{name}` of `{tenant}`; it runs again.")
        } else {
            format!("The hook `{name}` of `{tenant}` was not quarantined; nothing was changed.")
        };
        output.result(&sentence, &json!(hook))
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
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self { tenant, names } = self;
        let request = door.put(&["tenants", &tenant, "hooks", "order"]);
        let hooks = request.json(&json!({ "order": names })).member("hooks")?;
        all(&tenant, hooks, output)
    }
}
