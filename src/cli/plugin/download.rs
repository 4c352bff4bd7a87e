//! `sigpersist plugin download`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use sigpersist_model::plugin::Digest;

use crate::app::App;
use crate::cli::output::Output;
use crate::cli::tenancy::{advise, owner};
use crate::plugins;

#[derive(Debug, Args)]
pub(in crate::cli) struct Download {
    /// The plugin.
    name: String,
    /// The revision [default: the newest].
    #[arg(value_name = "SHA256")]
    revision: Option<Digest>,
    /// File to write the component to [default: NAME.wasm].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The tenant: its own plugin with this name, otherwise the platform's [default: the platform's].
    #[arg(long)]
    tenant: Option<String>,
}

impl Download {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let Self {
            name,
            revision,
            output: file,
            tenant,
        } = self;
        let owner = owner(app, tenant.as_deref())?;
        let advise = |error| advise(error, tenant.as_deref());
        let sha256 = match revision {
            Some(sha256) => sha256,
            None => {
                let plugin = plugins::plugin(app, owner, &name).map_err(advise)?;
                plugin.newest.sha256
            }
        };
        let component = plugins::component(app, owner, &name, sha256).map_err(advise)?;
        let file = file.unwrap_or_else(|| format!("{name}.wasm").into());
        std::fs::write(&file, &component)
            .with_context(|| format!("{} can't be written", file.display()))?;
        output.result(
            &format!(
                "Wrote the revision {sha256} of `{name}` to {}, {} bytes.",
                file.display(),
                component.len()
            ),
            &json!({ "name": name, "sha256": sha256, "file": file, "size": component.len() }),
        )
    }
}
