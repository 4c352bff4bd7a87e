//! `sigpersist plugin list` and `sigpersist plugin show`.

use clap::Args;
use serde_json::json;
use sigpersist_model::plugin::Digest;
use sigpersist_model::view::{PluginView, RevisionView};

use crate::app::App;
use crate::cli::output::Output;
use crate::cli::table::Table;
use crate::cli::tenancy::{advise, owner};
use crate::plugins;

/// Digits of a digest that tables show.
const SHORT_DIGEST: usize = 12;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// The tenant; its own plugins are listed beside the platform's [default: only the platform's].
    #[arg(long)]
    tenant: Option<String>,
}

impl List {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let plugins = plugins::plugins(app, owner(app, self.tenant.as_deref())?)?;
        let plugins: Vec<PluginView> = plugins.into_iter().map(Into::into).collect();
        let mut table = Table::new(&[
            "name",
            "owner",
            "revisions",
            "newest",
            "uploaded",
            "bytes",
            "summary",
        ]);
        for plugin in &plugins {
            table.row([
                plugin.name.clone(),
                plugin.owner.to_owned(),
                plugin.revisions.to_string(),
                short(plugin.newest.sha256),
                plugin.newest.uploaded_at.to_string(),
                plugin.newest.size.to_string(),
                plugin.newest.description.clone(),
            ]);
        }
        let text = match &self.tenant {
            _ if !plugins.is_empty() => table.to_string(),
            Some(slug) => format!(
                "Neither `{slug}` nor the platform has plugins. Next: sigpersist plugin upload NAME FILE --tenant {slug}"
            ),
            None => none_of_platforms(&plugins::owners(app)?),
        };
        output.result(&text, &json!({ "plugins": plugins }))
    }
}

/// The sentence for a platform without plugins; these tenants have some.
fn none_of_platforms(owners: &[String]) -> String {
    match owners {
        [] => "There are no plugins. Next: sigpersist plugin upload NAME FILE".to_owned(),
        [first, others @ ..] => format!(
            "The platform has no plugins. Tenants have their own ({}): sigpersist plugin list --tenant {first}",
            match others.len() {
                0 => format!("`{first}`"),
                more => format!("`{first}` and {more} more"),
            }
        ),
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    /// The plugin.
    name: String,
    /// The tenant: its own plugin with this name, otherwise the platform's [default: the platform's].
    #[arg(long)]
    tenant: Option<String>,
}

impl Show {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let owner = owner(app, self.tenant.as_deref())?;
        let advise = |error| advise(error, self.tenant.as_deref());
        let plugin = plugins::plugin(app, owner, &self.name).map_err(advise)?;
        let plugin = PluginView::from(plugin);
        let revisions = plugins::revisions(app, owner, &self.name).map_err(advise)?;
        let revisions: Vec<RevisionView> = revisions.into_iter().map(Into::into).collect();
        let mut table = Table::new(&["revision", "uploaded", "by", "bytes", "cases"]);
        for revision in &revisions {
            table.row([
                revision.sha256.to_string(),
                revision.uploaded_at.to_string(),
                revision.uploaded_by.clone().unwrap_or_default(),
                revision.size.to_string(),
                revision.cases.to_string(),
            ]);
        }
        let newest = &plugin.newest;
        let text = format!(
            "The plugin `{}` of the {}: {}.\nexports: {}\nimports: {}\n\n{table}",
            plugin.name,
            plugin.owner,
            newest.description.trim_end_matches('.'),
            newest.exports.join(", "),
            newest.imports.join(", "),
        );
        let mut answer = json!(plugin);
        answer["revisions"] = json!(revisions);
        output.result(&text, &answer)
    }
}

/// The beginning of a digest: enough to tell revisions apart.
pub(in crate::cli) fn short(digest: Digest) -> String {
    digest.to_string().chars().take(SHORT_DIGEST).collect()
}
