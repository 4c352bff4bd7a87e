//! The lines of a tenant's file. Plain values, no I/O.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_tlog::Salt;
use utoipa::ToSchema;

mod imported;
mod log;
mod trail;

use crate::digest::to_hex;
use crate::issuer::IssuerRules;
use crate::plugin::{Binding, CallLimits, Digest, Mode, OnFailure, Operation, Shadow};
use crate::policy;
use crate::quotas::Quotas;
use crate::signature::{Encoding, SignatureBody, ThreadKey};
pub use imported::{ArrivedLog, Imported};
pub use log::{ImportedKey, LogEntry, LogEpoch, LogKey, LogQueued, MAX_THREAD_ID};
pub use trail::{AuditChain, AuditEvent};

/// The media type of a file (<https://github.com/ndjson/ndjson-spec>).
pub const MEDIA_TYPE: &str = "application/x-ndjson";
/// The name of the format in the header.
pub const FORMAT: &str = "sigpersist tenant";
/// The version of the format that is written. Earlier versions can be read.
pub const FORMAT_VERSION: u32 = 6;

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Header(Header),
    /// The tenant's name and quotas.
    Tenant(TenantFacts),
    /// A key that verifies tokens.
    Key(Key),
    /// An identity provider that the tenant trusts. It comes along only with the keys.
    Issuer(Issuer),
    /// A chain of the tenant's audit trail, whose events follow. Imported chains come first, its own chain last.
    AuditChain(AuditChain),
    /// The next event of the chain.
    AuditEvent(AuditEvent),
    /// A tree of the tenant's log, whose entries follow. All trees come before the threads.
    LogEpoch(LogEpoch),
    /// The next entry of the tree.
    LogEntry(LogEntry),
    /// A change that had no number in the log yet. These follow the last tree.
    LogQueued(LogQueued),
    /// A thread, whose versions follow.
    Thread(Thread),
    /// The next version of the thread.
    Version(Version),
    /// The tenant's policy and trust anchors.
    Policy(Policy),
    /// A revision of one of the tenant's own plugins. The oldest revision of a plugin comes first.
    Revision(Revision),
    /// A hook, there or deleted, whose bindings follow.
    Hook(Hook),
    /// The next binding of the hook.
    Binding(HookBinding),
    /// The decisions of hooks about one save or delete.
    Judgement(Judgement),
    /// A signature that hooks refused. It is kept for replays.
    Input(Input),
    /// The last line.
    End(End),
}

/// The header of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The tenant's slug where it was exported.
    pub tenant: String,
    /// The time of the snapshot that the file holds.
    pub exported_at: DateTime<Utc>,
    /// The number of lines of each kind.
    pub counts: Counts,
    /// The envelope of its keys, if they were exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Envelope>,
}

/// Describes what encrypts the keys of a file; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The origin of the key.
    pub under: Under,
    /// The salt of the derivation, in base64.
    pub salt: String,
    /// A sealed text that detects a wrong key.
    pub check: String,
}

/// The origin of an envelope's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Under {
    /// A passphrase, by PBKDF2 with HMAC-SHA256 and this many iterations.
    Passphrase(u32),
    /// A master key, by HKDF with SHA-256.
    MasterKey,
}

/// The number of lines of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LineCounts)]
#[expect(missing_docs, reason = "the names of the lines say it")]
pub struct Counts {
    #[schema(example = 1)]
    pub threads: u64,
    #[schema(example = 1)]
    pub versions: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub keys: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub issuers: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub audit_chains: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub audit_events: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub policies: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub log_epochs: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub log_entries: u64,
    #[serde(default)]
    #[schema(example = 1)]
    pub log_queued: u64,
    #[schema(example = 1)]
    pub revisions: u64,
    #[schema(example = 1)]
    pub hooks: u64,
    #[schema(example = 1)]
    pub bindings: u64,
    #[schema(example = 1)]
    pub judgements: u64,
    #[schema(example = 1)]
    pub inputs: u64,
}

impl Counts {
    /// The number of steps for progress: versions, events of the audit trail, and entries of the log.
    pub fn steps(&self) -> u64 {
        let steps = self.versions.saturating_add(self.audit_events);
        steps.saturating_add(self.log_entries)
    }

    /// Counts one line.
    pub fn add(&mut self, line: &Line) {
        match line {
            Line::Thread(_) => self.threads += 1,
            Line::Version(_) => self.versions += 1,
            Line::Key(_) => self.keys += 1,
            Line::Issuer(_) => self.issuers += 1,
            Line::AuditChain(_) => self.audit_chains += 1,
            Line::AuditEvent(_) => self.audit_events += 1,
            Line::Policy(_) => self.policies += 1,
            Line::LogEpoch(_) => self.log_epochs += 1,
            Line::LogEntry(_) => self.log_entries += 1,
            Line::LogQueued(_) => self.log_queued += 1,
            Line::Revision(_) => self.revisions += 1,
            Line::Hook(_) => self.hooks += 1,
            Line::Binding(_) => self.bindings += 1,
            Line::Judgement(_) => self.judgements += 1,
            Line::Input(_) => self.inputs += 1,
            Line::Header(_) | Line::Tenant(_) | Line::End(_) => {}
        }
    }
}

/// The result of an export.
#[derive(Debug)]
pub struct Written {
    /// The number of lines of each kind.
    pub counts: Counts,
    /// Faults of chains of the audit trail, which are in the file as they are; and why the log is not in the file, if it is
    /// faulty or not signed.
    pub faults: Vec<String>,
}

/// The last line, which shows whether lines are missing or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The number of lines of each kind between header and end.
    pub counts: Counts,
    /// The SHA-256 of those lines, with their line feeds.
    pub sha256: Digest,
}

/// The tenant's name and quotas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantFacts {
    /// Its display name; none if that is its slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its own quotas; null stands for the server's default.
    pub quotas: Quotas<Option<u64>>,
}

/// A key that verifies tokens, and is not revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a stored key")]
pub struct Key {
    pub kid: String,
    pub algorithm: String,
    pub created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The shared secret or the private key, encrypted under the envelope of the header. If only the public part of
    /// the key is known, the secret is empty: it is still authenticated, so that nobody can add a key of their own to
    /// a file.
    pub secret: String,
}

impl Key {
    /// All fields except the secret, which is bound to them: a line that was changed does not open.
    pub fn binding(&self) -> String {
        serde_json::json!([
            self.kid,
            self.algorithm,
            self.created_at,
            self.not_before,
            self.expires_at,
            self.public_key,
        ])
        .to_string()
    }
}

/// An identity provider that the tenant trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a stored issuer")]
pub struct Issuer {
    pub name: String,
    pub issuer: String,
    pub created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    pub rules: IssuerRules,
    /// An empty text, encrypted under the envelope of the header, so that nobody can add an issuer of their own to a file.
    pub seal: String,
}

impl Issuer {
    /// All fields except the seal, which is bound to them: a line that was changed does not open.
    pub fn binding(&self) -> String {
        serde_json::json!([
            "issuer",
            self.name,
            self.issuer,
            self.created_at,
            self.jwks_url,
            self.jwks,
            self.rules,
        ])
        .to_string()
    }
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thread {
    /// Its id; none in files of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The document's name.
    pub document: String,
    /// The thread's name.
    pub thread: String,
    /// The number of its versions.
    pub versions: u32,
    /// The time when the first version was saved.
    pub created_at: DateTime<Utc>,
    /// The time when the last version was saved.
    pub updated_at: DateTime<Utc>,
}

/// A version of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a signature")]
pub struct Version {
    pub version: u32,
    pub created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub tags: Vec<String>,
    /// SHA-256 of the signature's bytes.
    pub sha256: Digest,
    /// The text that the client sent.
    pub signature: String,
    /// The salt in the seal of its entry in the log, in hexadecimal; none if the file does not have the entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The verdicts of its verifications, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<VerdictLine>,
}

/// The verdict of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a stored verdict")]
pub struct VerdictLine {
    pub at: DateTime<Utc>,
    pub verdict: Value,
}

/// The tenant's policy and trust anchors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The policy.
    pub policy: policy::Policy,
    /// The trust anchors, the oldest first.
    pub trust_anchors: Vec<Anchor>,
}

/// A trust anchor: a certificate that the tenant trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The time when it was added.
    pub created_at: DateTime<Utc>,
    /// The certificate in PEM.
    pub pem: String,
}

/// A version as it is stored: like its line, but with the body that is made of the signature's text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of a signature")]
pub struct StoredVersion<Body = SignatureBody> {
    pub version: u32,
    pub created_at: DateTime<Utc>,
    pub stage: Option<String>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
    pub tags: Vec<String>,
    pub body: Body,
    /// The salt in the seal of its entry in the log; none if it has none. It is not compared, and not read from the database to
    /// compare.
    pub salt: Option<Salt>,
    /// Its verdicts. They are not compared, and not read from the database.
    pub verdicts: Vec<VerdictLine>,
}

/// The encoding and digest that identify a body without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of a body")]
pub struct BodyMark {
    pub encoding: Encoding,
    pub sha256: [u8; 32],
}

impl StoredVersion {
    /// Turns the version into a line.
    pub fn into_line(self) -> Line {
        Line::Version(Version {
            version: self.version,
            created_at: self.created_at,
            stage: self.stage,
            created_by: self.created_by,
            comment: self.comment,
            tags: self.tags,
            sha256: Digest(self.body.sha256),
            signature: self.body.to_text(),
            salt: self.salt.map(|salt| to_hex(&salt)),
            verdicts: self.verdicts,
        })
    }

    /// Whether a stored version is identical to this one.
    pub fn is(&self, stored: &StoredVersion<BodyMark>) -> bool {
        self.version == stored.version
            && self.created_at == stored.created_at
            && self.stage == stored.stage
            && self.created_by == stored.created_by
            && self.comment == stored.comment
            && self.tags == stored.tags
            && self.body.encoding == stored.body.encoding
            && self.body.sha256 == stored.body.sha256
    }
}

/// Consecutive versions of one thread, which are written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The thread's id, if it is known.
    pub id: Option<i64>,
    /// The thread.
    pub key: ThreadKey,
    /// The time when its first version was saved.
    pub created_at: DateTime<Utc>,
    /// The time when the last of these versions was saved.
    pub updated_at: DateTime<Utc>,
    /// The versions, at least one.
    pub versions: Vec<StoredVersion>,
}

/// A revision of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// The plugin's name.
    pub plugin: String,
    /// The test cases that came with it.
    pub cases: Value,
    /// Artefact that it came from. Since version 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The publisher's signature, as a `.minisig` file. Since version 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The component, in base64.
    pub component: String,
}

/// A hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// The number of bindings that it has had.
    pub bindings: u32,
    /// Its present state; none if it was deleted.
    pub in_force: Option<InForce>,
}

/// The present state of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InForce {
    /// The number of the binding in force.
    pub binding: u32,
    /// The time when it was first set.
    pub created_at: DateTime<Utc>,
    /// The time and reason of its quarantine; none if it is not quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
}

/// The quarantine of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a hook")]
pub struct Quarantine {
    pub since: DateTime<Utc>,
    pub reason: String,
}

/// A binding of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a binding")]
pub struct HookBinding {
    pub number: u32,
    pub plugin: String,
    pub revision: Digest,
    pub order: i32,
    pub operations: Vec<Operation>,
    pub mode: Mode,
    pub on_failure: OnFailure,
    pub timeout_ms: u32,
    pub memory_bytes: u64,
    pub fuel: u64,
    pub settings: Value,
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<HookShadow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
    pub set_at: DateTime<Utc>,
}

/// The shadow that runs beside a binding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a shadow")]
pub struct HookShadow {
    pub revision: Digest,
    pub settings: Value,
}

impl HookBinding {
    /// Makes the line of a binding.
    pub fn new(
        number: u32,
        binding: Binding,
        set_by: Option<String>,
        set_at: DateTime<Utc>,
    ) -> Self {
        Self {
            number,
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
            shadow: binding.shadow.map(|shadow| HookShadow {
                revision: shadow.sha256,
                settings: shadow.settings,
            }),
            set_by,
            set_at,
        }
    }

    /// The binding. `plugin_id` is the number of its plugin here.
    pub fn to_binding(&self, plugin_id: i32) -> Binding {
        Binding {
            plugin: self.plugin.clone(),
            plugin_id,
            sha256: self.revision,
            order: self.order,
            operations: self.operations.clone(),
            mode: self.mode,
            on_failure: self.on_failure,
            limits: CallLimits {
                timeout_ms: self.timeout_ms,
                memory_bytes: self.memory_bytes,
                fuel: self.fuel,
            },
            settings: self.settings.clone(),
            enabled: self.enabled,
            shadow: self.shadow.as_ref().map(|shadow| Shadow {
                sha256: shadow.revision,
                settings: shadow.settings.clone(),
            }),
        }
    }
}

/// The decisions of hooks about one save or delete, as they are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a decision")]
pub struct Judgement {
    pub at: DateTime<Utc>,
    pub id: i64,
    pub version: u32,
    pub operation: String,
    pub outcome: String,
    pub document: String,
    pub thread: String,
    pub input_sha256: Digest,
    pub input: Value,
    pub decisions: Value,
}

/// A signature that hooks refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The time when it was last refused.
    pub at: DateTime<Utc>,
    /// The text that the client sent.
    pub signature: String,
}
