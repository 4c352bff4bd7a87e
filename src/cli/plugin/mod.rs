//! `sigpersist plugin`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::output::Output;
use crate::app::App;
use crate::audit::Actor;
use crate::{plugins, tenants};

#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Upload a WebAssembly component as the newest revision of a plugin.
    Upload {
        /// The plugin's name: lower-case letters, digits and hyphens.
        name: String,
        /// The component.
        file: PathBuf,
        /// The tenant that alone may bind it [default: the platform's, which any tenant may bind].
        #[arg(long)]
        tenant: Option<String>,
    },
}

impl Plugin {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self::Upload { name, file, tenant } = self;
        let component = std::fs::read(&file)
            .with_context(|| format!("The component {} can't be read", file.display()))?;
        let owner = tenant
            .map(|slug| tenants::find(app, &slug))
            .transpose()?
            .map(|tenant| tenant.id);
        let actor = Actor::command_line();
        let revision = plugins::upload(app, owner, actor, &name, &component, &[])?.revision;
        let sentence = format!(
            "Uploaded the plugin `{name}`: {}.\nrevision: {}\nNext: sigpersist hook set TENANT {name} --plugin {name}",
            revision.description, revision.sha256
        );
        output.result(
            &sentence,
            &json!({
                "name": name,
                "sha256": revision.sha256.to_string(),
                "description": revision.description,
                "exports": revision.exports,
                "imports": revision.imports,
            }),
        )
    }
}
