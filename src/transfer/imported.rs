//! What an import did, and what it says of what it left out.

use serde::Serialize;
use sigpersist_model::audit::Fault;
use sigpersist_model::signature::ThreadKey;

/// Most things that are told of those which were not imported.
const MAX_TOLD: usize = 100;

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Threads that were not there.
    pub new_threads: u64,
    /// Versions that were not there, those of new threads among them.
    pub new_versions: u64,
    /// Versions that were there already.
    pub same_versions: u64,
    /// Events of the audit trail that were not there.
    pub new_events: u64,
    /// Events of the audit trail that were there already.
    pub same_events: u64,
    /// Keys that were not there.
    pub new_keys: u64,
    /// Policies and certificates to trust that were not there.
    pub new_policies: u64,
    /// Revisions of plugins that were not there.
    pub new_revisions: u64,
    /// Hooks that were set, or moved on.
    pub new_hooks: u64,
    /// Judgements that were not there.
    pub new_judgements: u64,
    /// Refused signatures that were not there.
    pub new_inputs: u64,
    /// Threads that got another id, since theirs is that of another thread here.
    pub new_ids: u64,
    /// Hooks that refuse what is not allowed, and are missing here.
    pub missing_hooks: Vec<String>,
    /// Whether the tenant is suspended for what is missing.
    pub suspended: bool,
    /// Threads that were left as they are, since here they have another history.
    pub conflicts: u64,
    /// Plugins and hooks that were left out.
    pub left_out: u64,
    /// Sentences about conflicts and what was left out, the first hundred.
    pub told: Vec<String>,
}

impl Imported {
    /// Whether the tenant has all of the file.
    pub fn is_complete(&self) -> bool {
        self.conflicts == 0 && self.left_out == 0
    }

    fn tell(&mut self, sentence: String) {
        if self.told.len() < MAX_TOLD {
            self.told.push(sentence);
        }
    }

    pub(super) fn conflict(&mut self, key: &ThreadKey, why: &str) {
        self.conflicts += 1;
        self.tell(format!("{}/{}: {why}.", key.document, key.thread));
    }

    /// What its server found wrong with a chain of the audit trail, which came along as it is.
    pub(super) fn tell_faults(&mut self, tenant: &str, faults: &[Fault]) {
        if !faults.is_empty() {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            self.tell(format!(
                "The audit trail of `{tenant}` was not whole when it was exported: {}.",
                faults.join("; ")
            ));
        }
    }

    pub(super) fn leave_out(&mut self, what: &str, why: &str) {
        self.left_out += 1;
        self.tell(format!("{what} is left out: {why}."));
    }
}
