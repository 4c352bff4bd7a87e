//! The layout of a plugin as an artefact: that of the CNCF's Wasm working group
//! (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>), which `wkg` writes and reads, too. A config says
//! what the component is, and the only layer is the component.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sigpersist_model::digest::sha256;
use sigpersist_model::plugin::{Digest, MEDIA_TYPE};
use sigpersist_model::publisher::MAX_SIGNATURE_BYTES;

use crate::cli::output::shown;

/// Media type of a manifest (OCI image specification 1.1).
pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media types of lists of manifests, which name no single artefact.
pub(super) const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Media type of Docker's own manifests, which hold images.
pub(super) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Media type of the config of a component or module.
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
/// Annotation with the publisher's signature: the text of a `.minisig` file.
const SIGNATURE: &str = "sigpersist.plugin.minisig";

/// Facts about a plugin that annotations tell.
#[derive(Debug)]
pub(in crate::cli) struct Facts<'a> {
    /// The plugin's name.
    pub(in crate::cli) name: &'a str,
    /// Its version.
    pub(in crate::cli) version: Option<String>,
    /// Its description.
    pub(in crate::cli) description: &'a str,
    /// The URL of its source.
    pub(in crate::cli) source: Option<&'a str>,
    /// Its publisher's signature.
    pub(in crate::cli) signature: Option<&'a str>,
    /// Interfaces that it exports.
    pub(in crate::cli) exports: &'a [String],
    /// Interfaces that it imports.
    pub(in crate::cli) imports: &'a [String],
}

/// An artefact that is to be pushed, except for its component.
pub(super) struct Artefact {
    pub(super) config: Vec<u8>,
    pub(super) manifest: Vec<u8>,
}

impl Artefact {
    pub(super) fn new(component: &[u8], facts: &Facts<'_>) -> anyhow::Result<Self> {
        let created = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let digest = digest_of(component);
        // A component's `os` is always `wasip2`, whatever it imports.
        let config = serde_json::to_vec(&json!({
            "created": created,
            "author": null,
            "architecture": "wasm",
            "os": "wasip2",
            "layerDigests": [digest],
            "component": { "exports": facts.exports, "imports": facts.imports, "target": null },
        }))?;
        let mut annotations = BTreeMap::from([
            ("org.opencontainers.image.created", created.as_str()),
            ("org.opencontainers.image.title", facts.name),
            ("org.opencontainers.image.description", facts.description),
        ]);
        let optional = [
            ("org.opencontainers.image.version", facts.version.as_deref()),
            ("org.opencontainers.image.source", facts.source),
            (SIGNATURE, facts.signature),
        ];
        annotations.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest_of(&config), "size": config.len() },
            "layers": [{
                "mediaType": MEDIA_TYPE,
                "digest": digest,
                "size": component.len(),
                // With it, other clients write the file under this name.
                "annotations": { "org.opencontainers.image.title": format!("{}.wasm", facts.name) },
            }],
            "annotations": annotations,
        }))?;
        Ok(Self { config, manifest })
    }
}

/// A digest as registries write it.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest(sha256(bytes)))
}

/// Bytes that a manifest describes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    /// Size, in bytes.
    pub(super) size: u64,
}

impl Descriptor {
    /// The digest of the bytes.
    pub(super) fn sha256(&self) -> anyhow::Result<Digest> {
        let hex = self.digest.strip_prefix("sha256:");
        hex.and_then(|hex| hex.parse().ok()).with_context(|| {
            format!(
                "The manifest names its component by {}, which is not a SHA-256",
                shown(&self.digest)
            )
        })
    }
}

/// A manifest of a plugin.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) component: Descriptor,
    pub(super) signature: Option<String>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads a manifest. `kind` is the media type as the registry tells it.
    pub(super) fn read(text: &[u8], kind: Option<&str>) -> anyhow::Result<Self> {
        let written: Written =
            serde_json::from_slice(text).context("Its manifest can't be read")?;
        // A text that can be read in two ways may be shown to one program and run by another (CVE-2021-41190).
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
        let kind = match (written.media_type.as_deref(), kind) {
            (Some(inner), Some(outer)) if inner != outer => bail!(
                "The registry calls its manifest {}, and the manifest calls itself {}",
                shown(outer),
                shown(inner)
            ),
            (Some(kind), _) | (None, Some(kind)) => kind,
            (None, None) => bail!("The registry does not say what it is"),
        };
        if INDEXES.contains(&kind) || written.manifests.is_some() {
            bail!("It is an index of several artefacts: give the digest of one of them");
        }
        ensure!(
            kind == MANIFEST,
            "Its manifest has the media type {}, not {MANIFEST}: it is an image of a container, or something else",
            shown(kind)
        );
        let config = written.config.context("It has no config")?;
        ensure!(
            config.media_type == CONFIG,
            "Its config has the media type {}, not {CONFIG}: it holds no WebAssembly, or in another layout",
            shown(&config.media_type)
        );
        let mut layers = written.layers.unwrap_or_default().into_iter();
        let (Some(component), None) = (layers.next(), layers.next()) else {
            bail!("It must have exactly one layer, the component");
        };
        ensure!(
            component.media_type == MEDIA_TYPE,
            "Its layer has the media type {}, not {MEDIA_TYPE}",
            shown(&component.media_type)
        );
        let mut annotations = written.annotations.unwrap_or_default();
        let signature = annotations.remove(SIGNATURE);
        ensure!(
            signature
                .as_ref()
                .is_none_or(|it| it.len() <= MAX_SIGNATURE_BYTES),
            "Its signature is longer than {MAX_SIGNATURE_BYTES} bytes"
        );
        Ok(Self {
            component,
            signature,
        })
    }
}
