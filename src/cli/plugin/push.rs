//! `sigpersist plugin push`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use semver::Version;
use serde_json::json;
use sigpersist_hooks::{Binary, Engine};
use sigpersist_model::digest::sha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::publisher::{Statement, key_id};
use sigpersist_model::reference::Reference;
use sigpersist_model::tenant::check_slug;

use super::signing::{secret_key, sign, signature_in};
use super::{admit, read};
use crate::cli::output::Output;
use crate::cli::registry::{Facts, RegistryOptions, push};
use crate::publishers::Publishers;

#[derive(Debug, Args)]
pub(in crate::cli) struct Push {
    /// The component.
    file: PathBuf,
    /// The artefact to make, such as ghcr.io/acme/signer-tags:1.2.0.
    reference: Reference,
    /// The plugin's name [default: the last part of the repository].
    #[arg(long)]
    name: Option<String>,
    /// The plugin's version [default: the tag, if it is a version].
    #[arg(long, value_name = "VERSION")]
    plugin_version: Option<Version>,
    /// A sentence about the plugin [default: its own description].
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The URL of the plugin's source.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Sign the plugin with this secret key, a file of `sigpersist plugin keygen` or of minisign.
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    key: Option<PathBuf>,
    /// Push this signature with the plugin: the `.minisig` file of `sigpersist plugin sign` or of minisign.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Push {
    pub(super) fn run(self, engine: &Engine, output: &Output) -> anyhow::Result<()> {
        let reference = &self.reference;
        let name = self.name.as_deref().unwrap_or_else(|| reference.name());
        check_slug("plugin", name).context("Give the plugin's name with --name")?;
        let version = self.plugin_version.or_else(|| reference.version());
        let component = read(&self.file)?;
        let plugin = admit(engine, &component, &self.file)?;
        let description = plugin.describe(engine)?.summary;
        let signature = match (&self.key, &self.signature) {
            (Some(key), _) => {
                let version = version.clone().context(
                    "A signature states the plugin's version: give it with --plugin-version, since the tag is none",
                )?;
                let statement = Statement {
                    plugin: name.to_owned(),
                    version,
                };
                Some(sign(&secret_key(key)?, &component, &statement)?)
            }
            (None, Some(file)) => {
                let text = signature_in(file)?;
                // Without a key, it is only read: that it is one, and for this plugin.
                Publishers::default().judge(name, &component, Some(&text))?;
                Some(text)
            }
            (None, None) => None,
        };
        // With the full names of interfaces.
        let binary = Binary::read(&component);
        let facts = Facts {
            name,
            version: version.map(|version| version.to_string()),
            description: self.description.as_deref().unwrap_or(&description),
            source: self.source.as_deref(),
            signature: signature.as_deref(),
            exports: &binary.exports,
            imports: &binary.imports,
        };
        let digest = push(&self.registry, reference, &component, &facts)?;
        let pinned = reference.pinned(digest);
        let key_id = signature.as_deref().and_then(key_id);
        let signed = match &key_id {
            Some(id) => format!("signed by: {id}"),
            None => "not signed; --key signs it".to_owned(),
        };
        let sha256 = Digest(sha256(&component));
        output.result(
            &format!(
                "Pushed the plugin `{name}` to {reference}.\ndigest: sha256:{digest}\nrevision: {sha256}\n{signed}\nNext: sigpersist plugin upload {name} oci://{pinned}"
            ),
            &json!({
                "name": name,
                "version": facts.version,
                "reference": reference.to_string(),
                "digest": format!("sha256:{digest}"),
                "origin": pinned.to_string(),
                "sha256": sha256,
                "key_id": key_id,
            }),
        )
    }
}
