//! What is written down of each change that an operator makes, in the transaction that makes it.

use std::sync::Arc;

use serde_json::Value;

use crate::context::TenantId;

/// What vouches for an actor: subjects alone are whatever a tenant's tokens say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// A token of a tenant.
    Tenant,
    /// A token of the platform.
    Platform,
    /// Whoever may run commands on the server's machine.
    CommandLine,
    /// The server itself.
    Server,
}

crate::words!(
    ActorKind,
    Tenant = "tenant",
    Platform = "platform",
    CommandLine = "command_line",
    Server = "server"
);

/// Who changes something.
#[derive(Debug, Clone)]
pub struct Actor {
    /// What vouches for it.
    pub kind: ActorKind,
    /// The `sub` claim of the caller's token, or `command line`; none for the server itself.
    pub subject: Option<String>,
    /// The request, as the log has it.
    pub request_id: Option<Arc<str>>,
}

impl Actor {
    /// Whoever may run commands on the server's machine.
    pub fn command_line() -> Self {
        Self {
            kind: ActorKind::CommandLine,
            subject: Some("command line".to_owned()),
            request_id: None,
        }
    }

    /// The server itself.
    pub fn server() -> Self {
        Self {
            kind: ActorKind::Server,
            subject: None,
            request_id: None,
        }
    }
}

/// A change, as the audit trail keeps it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The tenant that was acted for; none for the platform itself.
    pub tenant: Option<TenantId>,
    /// Who did it.
    pub actor: Actor,
    /// What was done: `hook.set`.
    pub action: &'static str,
    /// To what: a name.
    pub target: String,
    /// What it was before; null where it is new, or nothing is set. Never a secret.
    pub before: Value,
    /// What it became; null where it is gone. Never a secret.
    pub after: Value,
}

impl Event {
    /// Something that was done, and set nothing.
    pub fn new(
        tenant: Option<TenantId>,
        actor: Actor,
        action: &'static str,
        target: impl Into<String>,
    ) -> Self {
        Self {
            tenant,
            actor,
            action,
            target: target.into(),
            before: Value::Null,
            after: Value::Null,
        }
    }

    /// The same with what was set before.
    #[must_use]
    pub fn before(mut self, before: Value) -> Self {
        self.before = before;
        self
    }

    /// The same with what is set now.
    #[must_use]
    pub fn after(mut self, after: Value) -> Self {
        self.after = after;
        self
    }
}
