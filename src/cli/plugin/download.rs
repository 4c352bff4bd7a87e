//! `sigpersist plugin download`.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use http::header::ACCEPT;
use serde_json::json;
use sigpersist_model::digest;
use sigpersist_model::plugin::{Digest, MEDIA_TYPE};
use sigpersist_model::view::{PluginView, RevisionView};

use super::signing::{beside, write};
use crate::cli::door::Door;
use crate::cli::holder::of_owner;
use crate::cli::output::Output;

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
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self {
            name,
            revision,
            output: file,
            tenant,
        } = self;
        let plugin = of_owner(tenant.as_deref(), &["plugins", &name]);
        let facts: RevisionView = match revision {
            Some(sha256) => {
                let digest = sha256.to_string();
                let revision = [&plugin[..], &["revisions", &digest]].concat();
                door.get(&revision).member("revision")?
            }
            None => {
                let plugin: PluginView = door.get(&plugin).member("plugin")?;
                plugin.newest
            }
        };
        let sha256 = facts.sha256;
        let digest = sha256.to_string();
        let revision = [&plugin[..], &["revisions", &digest]].concat();
        let request = door.get(&revision).with_header(ACCEPT, MEDIA_TYPE);
        let mut component = Vec::new();
        let mut answer = request.send()?.into_reader();
        answer
            .read_to_end(&mut component)
            .context("The component broke off on the way")?;
        ensure!(
            Digest(digest::sha256(&component)) == sha256,
            "The component was changed on the way; nothing was written."
        );
        let file = file.unwrap_or_else(|| format!("{name}.wasm").into());
        std::fs::write(&file, &component)
            .with_context(|| format!("{} can't be written", file.display()))?;
        let signature_file = match &facts.publisher {
            Some(publisher) => {
                let beside = beside(&file);
                write(&beside, &publisher.signature)?;
                Some(beside)
            }
            None => None,
        };
        output.result(
            &format!(
                "Wrote the revision {sha256} of `{name}` to {}, {} bytes.",
                file.display(),
                component.len()
            ),
            &json!({ "name": name, "sha256": sha256, "file": file, "size": component.len(), "signature_file": signature_file }),
        )
    }
}
