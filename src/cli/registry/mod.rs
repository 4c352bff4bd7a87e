//! Plugins in registries of containers: pushing and pulling them as artefacts (OCI distribution specification 1.1).
//!
//! Only this machine talks to a registry, never a server: so the server needs no way out, no credentials for registries, and
//! can't be sent to addresses that others chose.
//!
//! - `artefact` is the layout of a plugin as an artefact, and reads no other one. `client` asks a registry, within limits.
//! - `credentials` finds name and password, and `token` exchanges them for a token.

mod artefact;
mod client;
mod credentials;
mod token;

use anyhow::{Context as _, bail, ensure};
use sigpersist_model::digest::sha256;
use sigpersist_model::plugin::Digest;
use sigpersist_model::reference::Reference;

pub(super) use artefact::Facts;
pub(super) use credentials::RegistryOptions;

use artefact::{Artefact, Manifest};
use client::Client;

/// Beginning of the URL of an artefact, in place of a file.
const SCHEME: &str = "oci://";

/// Right that a token must give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Pull,
    Push,
}

/// A pulled plugin, whose bytes have the digests that the registry named.
#[derive(Debug)]
pub(super) struct Pulled {
    /// Its reference, with the digest of its manifest.
    pub(super) reference: Reference,
    /// SHA-256 of its manifest.
    pub(super) digest: Digest,
    /// Its component.
    pub(super) component: Vec<u8>,
    /// Its publisher's signature, not verified.
    pub(super) signature: Option<String>,
}

/// The artefact that a text names in place of a file.
pub(super) fn reference_of(file: &str) -> Option<anyhow::Result<Reference>> {
    let reference = file.strip_prefix(SCHEME)?;
    Some(reference.parse().map_err(|error: String| {
        anyhow::Error::msg(error).context(format!("{file} names no artefact"))
    }))
}

/// Pulls a plugin whose component has at most this many bytes.
pub(super) fn pull(
    options: &RegistryOptions,
    reference: &Reference,
    max_bytes: usize,
) -> anyhow::Result<Pulled> {
    let client = Client::new(options, reference, Right::Pull)?;
    let (text, kind) = client.manifest()?;
    // The tag is looked up once: everything else is asked for by the digests that are in this text.
    let digest = Digest(sha256(&text));
    if let Some(named) = reference.digest {
        ensure!(
            named == digest,
            "The registry sent another artefact than {reference} names: its digest is sha256:{digest}. Nothing was pulled."
        );
    }
    let manifest = Manifest::read(&text, kind.as_deref())
        .with_context(|| format!("{reference} is not a plugin"))?;
    let component = client.blob(&manifest.component, max_bytes)?;
    Ok(Pulled {
        reference: reference.pinned(digest),
        digest,
        component,
        signature: manifest.signature,
    })
}

/// Pushes a plugin, and returns the digest of its manifest.
pub(super) fn push(
    options: &RegistryOptions,
    reference: &Reference,
    component: &[u8],
    facts: &Facts<'_>,
) -> anyhow::Result<Digest> {
    let Some(tag) = &reference.tag else {
        bail!("Give the artefact a tag, as in {reference}:1.0.0.");
    };
    ensure!(
        reference.digest.is_none(),
        "The digest follows from the artefact: push to {}/{}:{tag}.",
        reference.registry,
        reference.repository
    );
    let client = Client::new(options, reference, Right::Push)?;
    let artefact = Artefact::new(component, facts)?;
    client.push_blob(&artefact.config)?;
    client.push_blob(component)?;
    client.push_manifest(tag, &artefact.manifest)?;
    Ok(Digest(sha256(&artefact.manifest)))
}
