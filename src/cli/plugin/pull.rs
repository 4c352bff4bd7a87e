//! `sigpersist plugin pull`, and how an upload pulls.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use sigpersist_hooks::HooksConfig;
use sigpersist_model::digest::sha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::reference::Reference;

use super::signing::{beside, public_keys, write};
use crate::cli::output::{Output, shown};
use crate::cli::registry::{Pulled, RegistryOptions, pull};

#[derive(Debug, Args)]
pub(in crate::cli) struct Pull {
    /// The artefact, such as ghcr.io/acme/signer-tags:1.2.0 or ghcr.io/acme/signer-tags@sha256:….
    reference: Reference,
    /// File to write the component to; its signature is written beside it [default: the last part of the repository, with
    /// `.wasm`].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The plugin's name, which its publisher signed [default: the last part of the repository].
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    registry: RegistryOptions,
}

/// Publishers that somebody who pulls trusts.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// Public key of a publisher whom you trust, or its file: what others signed, or nobody, is refused. You can repeat it.
    #[arg(long, value_name = "KEY")]
    publisher_key: Vec<String>,
}

impl Trust {
    /// Verifies a component that was pulled, if keys were given. Says who signed it.
    ///
    /// What a trusted publisher signed must be the plugin and the version that the reference asked for, if it says so: a registry
    /// could give another plugin of the same publisher, or an older version. A digest says all.
    pub(super) fn judge(
        &self,
        asked: Option<&Reference>,
        name: &str,
        component: &[u8],
        signature: Option<&str>,
    ) -> anyhow::Result<Judged> {
        let trusted = public_keys(&self.publisher_key)?;
        let Some(signature) = signature else {
            ensure!(
                trusted.is_empty(),
                "Nobody signed it, and you ask for a signature (--publisher-key). Nothing was kept."
            );
            return Ok(Judged::default());
        };
        // A signature that can't be read is of no use to anybody, so it is not passed on either.
        let (publisher, statement) = trusted.verify(component, signature)?;
        if let Some(asked) = asked.filter(|asked| publisher.is_trusted && asked.digest.is_none()) {
            let signed = format!("{} {}", shown(&statement.plugin), statement.version);
            let is_asked = statement.plugin == name
                && asked.version().is_none_or(|it| it == statement.version);
            ensure!(
                is_asked,
                "{asked} is signed as {signed}, which is another plugin or version. Nothing was kept. If that is what you want, name it by its digest (@sha256:…)."
            );
        }
        Ok(Judged {
            key_id: Some(publisher.key_id),
            name: Some(statement.plugin),
            version: Some(statement.version.to_string()),
            is_verified: publisher.is_trusted,
        })
    }
}

/// The result of judging a signature.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) key_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) is_verified: bool,
}

impl Judged {
    /// A line about it.
    pub(super) fn line(&self) -> String {
        let (Some(key_id), Some(name), Some(version)) = (&self.key_id, &self.name, &self.version)
        else {
            return "not signed".to_owned();
        };
        let verified = if self.is_verified {
            "verified"
        } else {
            "not verified; --publisher-key does that"
        };
        let name = shown(name);
        format!("signed by: {key_id} as version {version} of `{name}` ({verified})")
    }
}

impl Pull {
    pub(super) fn run(self, config: &HooksConfig, output: &Output) -> anyhow::Result<()> {
        let Pulled {
            reference,
            digest,
            component,
            signature,
        } = pull(&self.registry, &self.reference, config.max_component_bytes)?;
        let name = self
            .name
            .as_deref()
            .unwrap_or_else(|| self.reference.name());
        let judged = self.trust.judge(
            Some(&self.reference),
            name,
            &component,
            signature.as_deref(),
        )?;
        let file = self
            .output
            .unwrap_or_else(|| format!("{}.wasm", reference.name()).into());
        std::fs::write(&file, &component)
            .with_context(|| format!("{} can't be written", file.display()))?;
        let signature_file = match &signature {
            Some(signature) => {
                let beside = beside(&file);
                write(&beside, signature)?;
                Some(beside)
            }
            None => None,
        };
        let sha256 = Digest(sha256(&component));
        output.result(
            &format!(
                "Pulled {} to {}, {} bytes.\ndigest: sha256:{digest}\nrevision: {sha256}\n{}",
                self.reference,
                file.display(),
                component.len(),
                judged.line()
            ),
            &json!({
                "reference": self.reference.to_string(),
                "digest": format!("sha256:{digest}"),
                "origin": reference.to_string(),
                "file": file,
                "signature_file": signature_file,
                "size": component.len(),
                "sha256": sha256,
                "key_id": judged.key_id,
                "name": judged.name,
                "version": judged.version,
                "verified": judged.is_verified,
            }),
        )
    }
}
