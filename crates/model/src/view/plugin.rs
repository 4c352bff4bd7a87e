//! Plugins and hooks as answers, tables and the OpenAPI document show them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_verify::Time;
use sigpersist_verify::digest::Sha256;
use utoipa::ToSchema;

use crate::plugin::{Digest, Hook, Mode, OnFailure, Operation, Plugin, Revision, Shadow};
use crate::publisher::Publisher;

/// A plugin, with its newest revision.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PluginContent)]
pub struct PluginView {
    /// The plugin's name.
    #[schema(example = "signer-tags")]
    pub name: String,
    /// `platform` or `tenant`. Any tenant may bind a plugin of the platform.
    #[schema(value_type = String, example = "tenant")]
    pub owner: Cow<'static, str>,
    /// Number of revisions.
    #[schema(example = 1)]
    pub revisions: i64,
    /// The newest revision.
    pub newest: RevisionView,
}

impl From<Plugin> for PluginView {
    fn from(plugin: Plugin) -> Self {
        Self {
            name: plugin.name,
            owner: match plugin.owner {
                Some(_) => "tenant",
                None => "platform",
            }
            .into(),
            revisions: plugin.revisions,
            newest: plugin.newest.into(),
        }
    }
}

/// A revision of a plugin.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = RevisionContent)]
pub struct RevisionView {
    /// SHA-256 of the component.
    #[schema(value_type = Sha256)]
    pub sha256: Digest,
    /// Size of the component, in bytes.
    #[schema(example = 81920)]
    pub size: u64,
    /// The component's description of itself.
    #[schema(example = "Derives tags from signers")]
    pub description: String,
    /// Interfaces of the contract that the component exports.
    #[schema(example = json!(["sigpersist:hooks/tagger@1.1.0"]))]
    pub exports: Vec<String>,
    /// Interfaces of the contract that the component imports.
    #[schema(example = json!(["sigpersist:hooks/host@1.1.0"]))]
    pub imports: Vec<String>,
    /// Number of test cases that were uploaded with it.
    #[schema(example = 0)]
    pub cases: i64,
    /// The subject of the token that uploaded it.
    #[schema(example = "olga")]
    pub uploaded_by: Option<String>,
    /// Time of the upload.
    pub uploaded_at: Time,
    /// The artefact in a registry that it came from, with its tag and digest, as the uploader stated them.
    #[schema(example = json!(null))]
    pub origin: Option<String>,
    /// The publisher's signature, if it came with one.
    #[schema(example = json!(null))]
    pub publisher: Option<PublisherView>,
}

/// The signature of a plugin's publisher.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = PublisherContent)]
pub struct PublisherView {
    /// The id of the key that signed it, as minisign shows it.
    #[schema(example = "E7620F1842B4E81F")]
    pub key_id: String,
    /// The version that the signature states.
    #[schema(example = "1.2.0")]
    pub version: String,
    /// Whether the signature was verified at the upload, with a key that the server trusts now (`plugins.require_signature`).
    #[schema(example = true)]
    pub trusted: bool,
    /// The signature, as a `.minisig` file.
    #[schema(example = "untrusted comment: …")]
    pub signature: String,
}

impl From<Publisher> for PublisherView {
    fn from(publisher: Publisher) -> Self {
        Self {
            key_id: publisher.key_id,
            version: publisher.version.to_string(),
            trusted: publisher.is_trusted,
            signature: publisher.signature,
        }
    }
}

impl From<Revision> for RevisionView {
    fn from(revision: Revision) -> Self {
        Self {
            sha256: revision.sha256,
            size: revision.size,
            description: revision.description,
            exports: revision.exports,
            imports: revision.imports,
            cases: revision.cases,
            uploaded_by: revision.uploaded_by,
            uploaded_at: revision.uploaded_at.into(),
            origin: revision.origin,
            publisher: revision.publisher.map(Into::into),
        }
    }
}

/// A hook, with its binding in force.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = HookContent)]
pub struct HookView {
    /// The hook's name.
    #[schema(example = "signer-tags")]
    pub name: String,
    /// The number of the binding in force.
    #[schema(example = 1)]
    pub number: u32,
    /// The plugin that the hook runs.
    #[schema(example = "signer-tags")]
    pub plugin: String,
    /// The revision that the hook runs.
    #[schema(value_type = Sha256)]
    pub revision: Digest,
    /// Position in the chain: hooks run from the lowest to the highest; equal ones by name.
    #[schema(example = 1)]
    pub order: i32,
    /// Operations on which it runs.
    #[schema(example = json!(["save"]))]
    pub operations: Vec<Operation>,
    /// Whether its decisions are enforced.
    pub mode: Mode,
    /// Effect of a failure.
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds.
    #[schema(example = 100)]
    pub timeout_ms: u32,
    /// Limit on the linear memory of one call, in bytes.
    #[schema(example = 33554432)]
    pub memory_bytes: u64,
    /// Limit on the fuel of one call.
    #[schema(example = 1_000_000_000)]
    pub fuel: u64,
    /// The settings that the plugin reads.
    #[schema(value_type = Object, example = json!({}))]
    pub settings: Value,
    /// Whether the hook runs at all.
    #[schema(example = true)]
    pub enabled: bool,
    /// A revision and settings that run beside the hook without effect.
    #[schema(example = json!(null))]
    pub shadow: Option<ShadowView>,
    /// Present if the hook was quarantined because it kept failing.
    #[schema(example = json!(null))]
    pub quarantine: Option<QuarantineView>,
    /// The subject of the token that set it.
    #[schema(example = "olga")]
    pub set_by: Option<String>,
    /// Time at which it was set.
    pub set_at: Time,
}

/// The shadow of a hook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ShadowContent)]
pub struct ShadowView {
    /// The revision.
    #[schema(value_type = Sha256)]
    pub revision: Digest,
    /// The settings that the plugin reads.
    #[schema(value_type = Object, example = json!({}))]
    pub settings: Value,
}

impl From<Shadow> for ShadowView {
    fn from(shadow: Shadow) -> Self {
        Self {
            revision: shadow.sha256,
            settings: shadow.settings,
        }
    }
}

/// The quarantine of a hook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = QuarantineContent)]
pub struct QuarantineView {
    /// Start of the quarantine.
    pub since: Time,
    /// The failures that caused it.
    #[schema(example = "It failed 5 times in a row.")]
    pub reason: String,
}

impl From<Hook> for HookView {
    fn from(hook: Hook) -> Self {
        let binding = hook.binding;
        Self {
            name: hook.name,
            number: hook.number,
            plugin: binding.plugin,
            revision: binding.sha256,
            order: binding.order,
            operations: binding.operations,
            mode: binding.mode,
            on_failure: binding.on_failure,
            timeout_ms: binding.limits.timeout_ms,
            memory_bytes: binding.limits.memory_bytes,
            fuel: binding.limits.fuel,
            settings: binding.settings,
            enabled: binding.enabled,
            shadow: binding.shadow.map(Into::into),
            quarantine: hook.quarantine.map(|quarantine| QuarantineView {
                since: quarantine.since.into(),
                reason: quarantine.reason,
            }),
            set_by: hook.set_by,
            set_at: hook.set_at.into(),
        }
    }
}
