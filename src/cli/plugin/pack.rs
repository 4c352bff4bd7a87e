//! `sigpersist plugin pack`.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use sigpersist_hooks::{Engine, World, pack};
use sigpersist_model::digest::sha256;
use sigpersist_model::plugin::Digest;

use super::read;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Pack {
    /// The core module that a compiler made, without WASI.
    #[arg(value_name = "CORE.wasm")]
    core: PathBuf,
    /// File to write the component to [default: CORE.component.wasm, beside the module].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// WIT of the module's world, as a file or a directory; it need not contain the contract itself. Not needed if the
    /// module was built with wit-bindgen, or names its exports as the contract does.
    #[arg(long, value_name = "PATH")]
    wit: Option<PathBuf>,
    /// The world of that WIT [default: its only one].
    #[arg(long, value_name = "NAME", requires = "wit")]
    world: Option<String>,
}

impl Pack {
    pub(super) fn run(self, engine: &Engine, output: &Output) -> anyhow::Result<()> {
        let module = read(&self.core)?;
        let target = self
            .output
            .unwrap_or_else(|| self.core.with_extension("component.wasm"));
        ensure!(
            target != self.core,
            "The component would overwrite the module that it is made from; give another file with --output."
        );
        let world = self.wit.as_deref().map(|wit| World {
            wit,
            name: self.world.as_deref(),
        });
        let component = pack(&module, world)?;
        let digest = Digest(sha256(&component));
        let admitted = engine
            .admit(&component)
            .and_then(|plugin| {
                let description = plugin.describe(engine)?;
                Ok((plugin, description))
            })
            .context("A server would not admit the component, so it was not written")?;
        let (plugin, description) = admitted;
        std::fs::write(&target, &component)
            .with_context(|| format!("{} can't be written", target.display()))?;
        let shown = target.display();
        output.result(
            &format!(
                "Made the component {shown}, {} bytes: {}.\nsha256: {digest}\nNext: sigpersist plugin upload NAME {shown}",
                component.len(),
                description.summary.trim_end_matches('.'),
            ),
            &json!({
                "file": target,
                "size": component.len(),
                "sha256": digest,
                "description": description.summary,
                "exports": plugin.exports(),
                "imports": plugin.imports(),
            }),
        )
    }
}
