//! `sigpersist plugin list` and `sigpersist plugin show`.

use clap::Args;
use serde_json::json;
use sigpersist_model::plugin::Digest;
use sigpersist_model::view::{PluginView, RevisionView};

use crate::cli::door::Door;
use crate::cli::holder::of_owner;
use crate::cli::output::Output;
use crate::cli::table::Table;

/// Digits of a digest that tables show.
const SHORT_DIGEST: usize = 12;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// The tenant; its own plugins are listed beside the platform's [default: only the platform's].
    #[arg(long)]
    tenant: Option<String>,
}

impl List {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let path = of_owner(self.tenant.as_deref(), &["plugins"]);
        let plugins: Vec<PluginView> = door.get(&path).member("plugins")?;
        let mut table = Table::new(&[
            "name",
            "owner",
            "revisions",
            "newest",
            "uploaded",
            "bytes",
            "signed by",
            "summary",
        ]);
        for plugin in &plugins {
            table.row([
                plugin.name.clone(),
                plugin.owner.to_string(),
                plugin.revisions.to_string(),
                short(plugin.newest.sha256),
                plugin.newest.uploaded_at.to_string(),
                plugin.newest.size.to_string(),
                signer(&plugin.newest),
                plugin.newest.description.clone(),
            ]);
        }
        let text = match &self.tenant {
            _ if !plugins.is_empty() => table.to_string(),
            Some(slug) => format!(
                "Neither `{slug}` nor the platform has plugins. Next: sigpersist plugin upload NAME FILE --tenant {slug}"
            ),
            None => "The platform has no plugins. Next: sigpersist plugin upload NAME FILE. For a tenant's own: sigpersist plugin list --tenant TENANT".to_owned(),
        };
        output.result(&text, &json!({ "plugins": plugins }))
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
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let path = of_owner(self.tenant.as_deref(), &["plugins", &self.name]);
        let plugin: PluginView = door.get(&path).member("plugin")?;
        let revisions = [&path[..], &["revisions"]].concat();
        let revisions: Vec<RevisionView> = door.get(&revisions).member("revisions")?;
        let mut table = Table::new(&[
            "revision",
            "uploaded",
            "by",
            "bytes",
            "cases",
            "version",
            "signed by",
            "origin",
        ]);
        for revision in &revisions {
            table.row([
                revision.sha256.to_string(),
                revision.uploaded_at.to_string(),
                revision.uploaded_by.clone().unwrap_or_default(),
                revision.size.to_string(),
                revision.cases.to_string(),
                revision
                    .publisher
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |publisher| publisher.version.clone()),
                signer(revision),
                revision.origin.clone().unwrap_or_else(|| "-".to_owned()),
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

/// The key that signed a revision, and whether the server trusts it.
fn signer(revision: &RevisionView) -> String {
    match &revision.publisher {
        Some(publisher) if publisher.trusted => publisher.key_id.clone(),
        Some(publisher) => format!("{} (not trusted)", publisher.key_id),
        None => "-".to_owned(),
    }
}

/// Lines that say where a revision comes from and who signed it, each after a line break.
pub(super) fn provenance(revision: &RevisionView) -> String {
    let mut text = String::new();
    if let Some(origin) = &revision.origin {
        text.push_str(&format!("\norigin: {origin}"));
    }
    if let Some(publisher) = &revision.publisher {
        let version = &publisher.version;
        text.push_str(&format!(
            "\nsigned by: {}, as version {version}",
            signer(revision)
        ));
    }
    text
}
