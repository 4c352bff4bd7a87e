//! `sigpersist hook history` and `sigpersist hook diff`.

use clap::Args;
use serde_json::{Value, json};
use sigpersist_model::json_diff::{JsonChange, JsonOperation};
use sigpersist_model::view::{BindingDiffView, BindingView};

use crate::cli::door::Door;
use crate::cli::output::{Output, shown};
use crate::cli::plugin::short;
use crate::cli::table::Table;

/// Bindings per request.
const PAGE: usize = 50;

#[derive(Debug, Args)]
pub(in crate::cli) struct History {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
    /// Maximum number of bindings.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

impl History {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let request = door.get(&["tenants", &self.tenant, "hooks", &self.name, "bindings"]);
        let most = usize::try_from(self.limit)?;
        let (bindings, next) = request.pages::<BindingView>("bindings", PAGE, most)?;
        let mut table = Table::new(&[
            "number", "plugin", "revision", "order", "mode", "shadow", "settings", "set by",
            "set at", "state",
        ]);
        for binding in &bindings {
            let shadow = binding.shadow.as_ref();
            table.row([
                binding.number.to_string(),
                binding.plugin.clone(),
                short(binding.revision),
                binding.order.to_string(),
                binding.mode.as_str().to_owned(),
                shadow.map_or_else(String::new, |shadow| short(shadow.revision)),
                beginning(&binding.settings),
                binding.set_by.clone().unwrap_or_default(),
                binding.set_at.to_string(),
                state(binding),
            ]);
        }
        let mut text = table.to_string();
        if next.is_some() {
            text.push_str("\nThere are more; see them with a higher --limit.");
        }
        output.result(&text, &json!({ "bindings": bindings, "next": next }))
    }
}

fn state(binding: &BindingView) -> String {
    let mut states = Vec::new();
    if binding.in_force {
        states.push("in force");
    }
    if !binding.enabled {
        states.push("disabled");
    }
    if binding.deleted {
        states.push("plugin deleted");
    }
    states.join(", ")
}

/// The beginning of settings, for a table.
fn beginning(settings: &Value) -> String {
    /// Characters that a cell has room for.
    const CHARS: usize = 40;
    let text = settings.to_string();
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name.
    name: String,
    /// The number of a binding, as shown by `hook history`.
    from: u32,
    /// The number of another one [default: the one in force].
    to: Option<u32>,
}

impl Diff {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let from = self.from.to_string();
        let path = [
            "tenants",
            &self.tenant,
            "hooks",
            &self.name,
            "bindings",
            &from,
            "diff",
        ];
        let request = door.get(&path).with_given("to", self.to);
        let diff: BindingDiffView = request.member("diff")?;
        let BindingDiffView { from, to, .. } = diff;
        let text = if diff.changes.is_empty() {
            format!("The bindings {from} and {to} are the same.")
        } else {
            let lines: Vec<_> = diff.changes.iter().map(line).collect();
            format!("From binding {from} to binding {to}:\n{}", lines.join("\n"))
        };
        output.result(&text, &json!(diff))
    }
}

fn line(change: &JsonChange) -> String {
    let JsonChange {
        op,
        path,
        before,
        after,
    } = change;
    shown(&match op {
        JsonOperation::Add => format!("+ {path}: {after}"),
        JsonOperation::Remove => format!("- {path}: {before}"),
        JsonOperation::Replace => format!("~ {path}: {before} → {after}"),
    })
}
