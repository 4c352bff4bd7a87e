//! The result of an import, and its messages about parts that it left out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audit::Fault;
use crate::signature::ThreadKey;

/// The most messages that are kept.
const MAX_TOLD: usize = 100;

/// What an import did with the log in its file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArrivedLog {
    /// The file has no log.
    #[default]
    None,
    /// The tenant goes on with it.
    Taken,
    /// The tenant has it already.
    Same,
    /// It was not taken, and the imported versions get new entries.
    Kept,
}

/// The result of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Threads that were added.
    #[schema(example = 0)]
    pub new_threads: u64,
    /// Versions that were added, including those of new threads.
    #[schema(example = 0)]
    pub new_versions: u64,
    /// Versions that were stored already.
    #[schema(example = 0)]
    pub same_versions: u64,
    /// Events of the audit trail that were added.
    #[schema(example = 0)]
    pub new_events: u64,
    /// Events of the audit trail that were stored already.
    #[schema(example = 0)]
    pub same_events: u64,
    /// Entries of the log that were added.
    #[schema(example = 0)]
    pub new_entries: u64,
    /// What happened to the log in the file.
    pub log: ArrivedLog,
    /// Keys that were added.
    #[schema(example = 0)]
    pub new_keys: u64,
    /// Issuers that were added.
    #[serde(default)]
    #[schema(example = 0)]
    pub new_issuers: u64,
    /// Policies and trust anchors that were added.
    #[schema(example = 0)]
    pub new_policies: u64,
    /// Revisions of plugins that were added.
    #[schema(example = 0)]
    pub new_revisions: u64,
    /// Hooks that were set, or set to a later binding.
    #[schema(example = 0)]
    pub new_hooks: u64,
    /// Judgements that were added.
    #[schema(example = 0)]
    pub new_judgements: u64,
    /// Refused signatures that were added.
    #[schema(example = 0)]
    pub new_inputs: u64,
    /// Threads that got another id, since another thread here has or had theirs.
    #[schema(example = 0)]
    pub new_ids: u64,
    /// Hooks that enforce and are missing here.
    #[schema(example = json!([]))]
    pub missing_hooks: Vec<String>,
    /// Whether the tenant is suspended because something is missing.
    #[schema(example = false)]
    pub suspended: bool,
    /// Threads that were left as they are, since they have another history here.
    #[schema(example = 0)]
    pub conflicts: u64,
    /// Parts of the file that were left out, for example keys, plugins and hooks.
    #[schema(example = 0)]
    pub left_out: u64,
    /// The first hundred messages about conflicts, omissions and faults.
    #[schema(example = json!([]))]
    pub told: Vec<String>,
}

impl Imported {
    /// Whether the tenant has everything that is in the file.
    pub fn is_complete(&self) -> bool {
        self.conflicts == 0 && self.left_out == 0
    }

    /// Adds a message.
    fn tell(&mut self, sentence: String) {
        if self.told.len() < MAX_TOLD {
            self.told.push(sentence);
        }
    }

    /// Counts and reports a thread that has another history here.
    pub fn conflict(&mut self, key: &ThreadKey, why: &str) {
        self.conflicts += 1;
        self.tell(format!("{}/{}: {why}.", key.document, key.thread));
    }

    /// Reports the faults that a chain of the audit trail had when it was exported. They are imported with it.
    pub fn tell_faults(&mut self, tenant: &str, faults: &[Fault]) {
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            self.tell(format!(
                "The audit trail of `{tenant}` was not intact when it was exported: {}.",
                faults.join("; ")
            ));
        }
    }

    /// Reports that the log in the file was not taken. This is no omission, since all versions get entries here.
    pub fn keep_log(&mut self, why: &str) {
        self.log = ArrivedLog::Kept;
        self.tell(format!(
            "The log in the file was not taken: {why}. The imported versions get entries of their own; proofs from the other server stay valid, so keep them."
        ));
    }

    /// Counts and reports a part of the file that is left out.
    pub fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out += 1;
        self.tell(format!("{what} is left out: {why}."));
    }
}
