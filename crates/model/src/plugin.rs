//! Model of plugins, revisions and hooks. Plain values, no I/O.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::context::TenantId;
use crate::digest::{from_hex, to_hex};
use crate::publisher::Publisher;

/// The media type of a component (registered with IANA).
pub const MEDIA_TYPE: &str = "application/wasm";

/// SHA-256 of a component. It identifies a revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A plugin: a name under which revisions are uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Id of the plugin.
    pub id: i32,
    /// The only tenant that may bind the plugin; none for the platform's plugins, which any tenant may bind.
    pub owner: Option<TenantId>,
    /// Name of the plugin, unique within its owner.
    pub name: String,
    /// Number of revisions.
    pub revisions: i64,
    /// The newest revision.
    pub newest: Revision,
}

/// One upload of a plugin, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Id of the plugin.
    pub plugin_id: i32,
    /// Digest of the component.
    pub sha256: Digest,
    /// Size of the component, in bytes.
    pub size: u64,
    /// Interfaces of the contract that the component exports.
    pub exports: Vec<String>,
    /// Interfaces of the contract that the component imports.
    pub imports: Vec<String>,
    /// The component's description of itself.
    pub description: String,
    /// Number of test cases that were uploaded with it.
    pub cases: i64,
    /// Operator who uploaded it last.
    pub uploaded_by: Option<String>,
    /// Time of the last upload of these bytes.
    pub uploaded_at: DateTime<Utc>,
    /// Reference and digest of the artefact that it came from, as its uploader stated them; none if it came from a file.
    pub origin: Option<String>,
    /// Its publisher's signature, if it came with one.
    pub publisher: Option<Publisher>,
}

/// Operation that hooks judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Saving a version.
    #[default]
    Save,
    /// Deleting a thread.
    Delete,
}

/// Whether a hook's decisions have an effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The hook changes tags and rejects.
    #[default]
    Enforce,
    /// The hook runs and its decisions are recorded, but it changes and rejects nothing.
    Monitor,
}

/// Effect of a hook's failure: a trap, a missed deadline or another broken limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing is stored, and the client gets the error that the hook failed.
    #[default]
    Reject,
    /// The request passes, as if the hook were not there.
    Allow,
}

crate::words!(Operation, Mode, OnFailure);

/// Limits of one call of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// Wall-clock time, in milliseconds.
    pub timeout_ms: u32,
    /// Linear memory, in bytes.
    pub memory_bytes: u64,
    /// Fuel: about one unit per WebAssembly instruction.
    pub fuel: u64,
}

/// A revision that runs beside the active one on the same input, without effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// Digest of the revision. It belongs to the hook's plugin.
    pub sha256: Digest,
    /// Settings that it reads.
    pub settings: Value,
}

/// Plugin, settings and options of a hook, as an operator set them.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// Name of the plugin.
    pub plugin: String,
    /// Id of the plugin.
    pub plugin_id: i32,
    /// Digest of the revision that runs.
    pub sha256: Digest,
    /// Position: hooks run from the lowest to the highest number, and by name if numbers are equal.
    pub order: i32,
    /// Operations that the hook judges.
    pub operations: Vec<Operation>,
    /// Whether its decisions have an effect.
    pub mode: Mode,
    /// Effect of a failure.
    pub on_failure: OnFailure,
    /// Limits of one call.
    pub limits: CallLimits,
    /// Settings that the plugin reads.
    pub settings: Value,
    /// Whether the hook runs at all.
    pub enabled: bool,
    /// Revision and settings that run beside it as a shadow.
    pub shadow: Option<Shadow>,
}

impl Binding {
    /// The revision and settings that run. With `shadow`, those of the shadow, if there is one.
    pub fn running(&self, shadow: bool) -> (Digest, &Value) {
        match &self.shadow {
            Some(beside) if shadow => (beside.sha256, &beside.settings),
            _ => (self.sha256, &self.settings),
        }
    }
}

/// A binding in the history of a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptBinding {
    /// Number of the binding.
    pub number: u32,
    /// The binding.
    pub binding: Binding,
    /// Operator who set it.
    pub set_by: Option<String>,
    /// Time when it was set.
    pub set_at: DateTime<Utc>,
    /// Whether the hook runs it now.
    pub is_in_force: bool,
    /// Whether the revisions that it runs are stored. They are gone if their plugin was deleted.
    pub is_stored: bool,
}

/// Quarantine of a hook: it was set aside because it kept failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Start of the quarantine.
    pub since: DateTime<Utc>,
    /// Failures that led to the quarantine, in a sentence.
    pub reason: String,
}

/// A hook: a plugin bound to a tenant to judge its saves and deletes.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Name of the hook, unique within the tenant.
    pub name: String,
    /// Number of the binding in force. It grows with each change.
    pub number: u32,
    /// The binding in force.
    pub binding: Binding,
    /// Operator who made the last change.
    pub set_by: Option<String>,
    /// Time of the last change.
    pub set_at: DateTime<Utc>,
    /// The quarantine, if the hook is set aside.
    pub quarantine: Option<Quarantine>,
}
