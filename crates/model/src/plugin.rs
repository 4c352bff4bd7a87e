//! What plugins, revisions and hooks are. Plain values, no I/O.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::context::TenantId;
use crate::digest::{from_hex, to_hex};

/// SHA-256 of a component: the name of a revision.
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
    /// Its number.
    pub id: i32,
    /// The tenant that alone may bind it; none for the platform's, which any tenant may.
    pub owner: Option<TenantId>,
    /// Its name, unique within its owner.
    pub name: String,
    /// How many revisions there are.
    pub revisions: i64,
    /// The newest one.
    pub newest: Revision,
}

/// One upload of a plugin, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The plugin's number.
    pub plugin_id: i32,
    /// The revision's digest.
    pub sha256: Digest,
    /// The component's size, in bytes.
    pub size: u64,
    /// Interfaces of the contract that it exports.
    pub exports: Vec<String>,
    /// Interfaces of the contract that it imports.
    pub imports: Vec<String>,
    /// What it says of itself.
    pub description: String,
    /// How many test cases came with it.
    pub cases: i64,
    /// Who uploaded it last.
    pub uploaded_by: Option<String>,
    /// When these bytes were last uploaded.
    pub uploaded_at: DateTime<Utc>,
}

/// What hooks judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Saving a version.
    #[default]
    Save,
    /// Deleting a thread.
    Delete,
}

/// Whether a hook decides, or only watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Changes tags and rejects.
    #[default]
    Enforce,
    /// Runs and is recorded, but changes and rejects nothing.
    Monitor,
}

/// What it means when a hook traps, misses its deadline or breaks a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing is stored, and the client is told that the hook failed.
    #[default]
    Reject,
    /// As if the hook were not there.
    Allow,
}

crate::words!(Operation, Save = "save", Delete = "delete");
crate::words!(Mode, Enforce = "enforce", Monitor = "monitor");
crate::words!(OnFailure, Reject = "reject", Allow = "allow");

/// What one call of a hook may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time, in milliseconds.
    pub timeout_ms: u32,
    /// Linear memory, in bytes.
    pub memory_bytes: u64,
    /// Fuel: about one unit for each WebAssembly instruction.
    pub fuel: u64,
}

/// A revision that runs beside the active one on the same input, and decides nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadow {
    /// The revision, of the same plugin.
    pub sha256: Digest,
    /// What it reads as its configuration.
    pub settings: Value,
}

/// What a hook is set to.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's number.
    pub plugin_id: i32,
    /// The revision that runs.
    pub sha256: Digest,
    /// Hooks run from the lowest to the highest, ties by name.
    pub order: i32,
    /// What it judges.
    pub operations: Vec<Operation>,
    /// Whether it decides.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What one call may take.
    pub limits: Limits,
    /// What it reads as its configuration.
    pub settings: Value,
    /// Whether it runs at all.
    pub enabled: bool,
    /// What runs beside it.
    pub shadow: Option<Shadow>,
}

impl Binding {
    /// The revision and settings that run: of the shadow, if that is asked for and there is one.
    pub fn running(&self, shadow: bool) -> (Digest, &Value) {
        match &self.shadow {
            Some(beside) if shadow => (beside.sha256, &beside.settings),
            _ => (self.sha256, &self.settings),
        }
    }
}

/// That a hook was set aside because it kept failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Since when.
    pub since: DateTime<Utc>,
    /// How it kept failing.
    pub reason: String,
}

/// What judges the saves and deletes of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its name, unique within the tenant.
    pub name: String,
    /// Which of its bindings is in force; grows with each change.
    pub number: u32,
    /// That binding.
    pub binding: Binding,
    /// Who set it.
    pub set_by: Option<String>,
    /// When.
    pub set_at: DateTime<Utc>,
    /// Whether it is set aside.
    pub quarantine: Option<Quarantine>,
}
