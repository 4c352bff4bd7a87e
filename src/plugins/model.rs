//! What plugins, revisions and hooks are.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::context::TenantId;

/// SHA-256 of a component: the name of a revision.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::digest::to_hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One upload of a plugin, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// The plugin's number.
    pub plugin_id: i32,
    /// The revision's digest.
    pub sha256: Digest,
    /// Interfaces of the contract that it exports.
    pub exports: Vec<String>,
    /// Interfaces of the contract that it imports.
    pub imports: Vec<String>,
    /// What it says of itself.
    pub description: String,
    /// When these bytes were last uploaded.
    pub uploaded_at: DateTime<Utc>,
}

/// Whether a hook decides, or only watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Changes tags and rejects.
    #[default]
    Enforce,
    /// Runs and is logged, but changes and rejects nothing.
    Monitor,
}

/// What it means when a hook traps, misses its deadline or breaks a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing is stored, and the client is told that the hook failed.
    #[default]
    Reject,
    /// As if the hook were not there.
    Allow,
}

/// An enum whose values are words in commands and in the database.
macro_rules! words {
    ($type:ident, $($value:ident = $word:literal),+) => {
        impl $type {
            /// The value's word.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word),+ }
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$value),)+
                    _ => Err(format!("`{word}` is none of {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}

words!(Mode, Enforce = "enforce", Monitor = "monitor");
words!(OnFailure, Reject = "reject", Allow = "allow");

/// A binding of one plugin revision to one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// The tenant whose saves and deletes it judges.
    pub tenant: TenantId,
    /// Its name, unique within the tenant.
    pub name: String,
    /// The plugin's number.
    pub plugin_id: i32,
    /// The revision that runs.
    pub sha256: Digest,
    /// Hooks run from the lowest to the highest position, ties by name.
    pub position: i32,
    /// Whether it decides.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds.
    pub timeout_ms: u32,
    /// What it reads as its configuration.
    pub settings: serde_json::Value,
}
