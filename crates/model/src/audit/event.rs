//! The events of the audit trail. Plain values, no I/O.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::context::{Tenancy, TenantId};
use crate::digest::{from_hex, sha256, to_hex};
use crate::time;

/// The source of an actor's identity. A subject alone proves nothing: a tenant's tokens may name any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A token of a tenant.
    Tenant,
    /// A token of the platform.
    Platform,
    /// Anybody who may run commands on the server's machine.
    CommandLine,
    /// The server itself.
    Server,
}

crate::words!(ActorKind);

/// The person or program that makes a change.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The source of its identity.
    pub kind: ActorKind,
    /// The `sub` claim of the caller's token, or `command line`; none for the server itself.
    pub subject: Option<String>,
    /// The `kid` of the key that verified the caller's token; none without a token.
    pub key: Option<Arc<str>>,
    /// The request's id, as in the log.
    pub request_id: Option<Arc<str>>,
}

impl Actor {
    /// Anybody who may run commands on the server's machine.
    pub fn command_line() -> Self {
        Self {
            kind: ActorKind::CommandLine,
            subject: Some("command line".to_owned()),
            key: None,
            request_id: None,
        }
    }

    /// The server itself.
    pub fn server() -> Self {
        Self {
            kind: ActorKind::Server,
            subject: None,
            key: None,
            request_id: None,
        }
    }
}

/// A change, as the audit trail records it.
#[derive(Debug, Clone)]
pub struct Event {
    /// The tenant for which the actor acted; none for the platform itself.
    pub tenant: Option<TenantId>,
    /// The actor.
    pub actor: Actor,
    /// The action, for example `hook.set`.
    pub action: &'static str,
    /// The name of the changed object.
    pub target: String,
    /// The value before; null if the object is new, or nothing is set. Never a secret.
    pub before: Value,
    /// The value after; null if the object is gone. Never a secret.
    pub after: Value,
}

impl Event {
    /// An event that records an action without values.
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

    /// Adds the value before the change.
    #[must_use]
    pub fn before(mut self, before: Value) -> Self {
        self.before = before;
        self
    }

    /// Adds the value after the change.
    #[must_use]
    pub fn after(mut self, after: Value) -> Self {
        self.after = after;
        self
    }
}

/// The `previous` hash of a chain's first event.
pub const NO_HASH: [u8; 32] = [0; 32];

/// An event as it is stored. Nothing in it is checked: somebody may have changed the columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The tenant for which the actor acted, or [`PLATFORM`](crate::context::PLATFORM): this is the event's chain.
    pub chain: TenantId,
    /// Its number in the chain, from 1.
    pub number: i64,
    /// The time of the event.
    pub at: DateTime<Utc>,
    /// The tenant's slug at that time; none for the platform itself.
    pub tenant: Option<String>,
    /// The source of the actor's identity.
    pub actor_kind: String,
    /// The actor's subject.
    pub actor: Option<String>,
    /// The key that verified the actor's token.
    pub actor_key: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// The action.
    pub action: String,
    /// The name of the changed object.
    pub target: String,
    /// The value before the change, as its JSON text was written.
    pub before: Option<String>,
    /// The value after the change, likewise.
    pub after: Option<String>,
    /// The hash of the event before it.
    pub previous: Vec<u8>,
    /// Its own hash.
    pub hash: Vec<u8>,
}

impl Recorded {
    /// The hash that the event must have at this place of its chain. Computes the database function `audit_hash`
    /// independently.
    pub fn hash_at(&self, number: i64) -> [u8; 32] {
        let mut text = self.previous.clone();
        let mut add = |part: Option<&str>| match part {
            Some(part) => {
                text.extend(part.len().to_string().bytes());
                text.push(b':');
                text.extend(part.bytes());
                text.push(b',');
            }
            None => text.push(b'-'),
        };
        add(Some(&number.to_string()));
        add(Some(&self.at.timestamp_micros().to_string()));
        add(Some(&self.chain.to_string()));
        add(self.tenant.as_deref());
        add(Some(&self.actor_kind));
        add(self.actor.as_deref());
        add(self.actor_key.as_deref());
        add(self.request_id.as_deref());
        add(Some(&self.action));
        add(Some(&self.target));
        add(self.before.as_deref());
        add(self.after.as_deref());
        sha256(&text)
    }

    /// The approximate size in bytes.
    pub fn size(&self) -> i64 {
        let optional = [
            &self.tenant,
            &self.actor,
            &self.actor_key,
            &self.request_id,
            &self.before,
            &self.after,
        ];
        let optional = optional.into_iter().flatten();
        let texts = optional.chain([&self.actor_kind, &self.action, &self.target]);
        let bytes = texts.map(String::len).sum::<usize>() + 100;
        i64::try_from(bytes).unwrap_or(i64::MAX)
    }
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The event. Its `tenant` is the slug that the tenant had where the event happened.
    pub event: Recorded,
    /// The tenant that it was imported into; none if the event happened here.
    pub imported: Option<ImportedInto>,
}

/// The place that an event was imported into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedInto {
    /// The slug of the tenant here.
    pub tenant: String,
    /// The number of the imported chain within the tenant: 1, 2, …
    pub part: i32,
    /// Breaks ties of time. The hash can't: another import of the same event has the same hash.
    pub place: Vec<u8>,
}

impl Listed {
    /// The slug of the tenant here; none for the platform itself.
    pub fn tenant(&self) -> Option<&str> {
        match &self.imported {
            Some(imported) => Some(&imported.tenant),
            None => self.event.tenant.as_deref(),
        }
    }

    /// The event's place among all events.
    pub fn place(&self) -> Place {
        let imported = self.imported.as_ref();
        Place {
            at: self.event.at,
            hash: imported
                .map_or(&self.event.hash, |imported| &imported.place)
                .clone(),
        }
    }
}

/// An event's place among the events of all chains. The hash breaks ties of time without revealing a tenant's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The time of the event.
    pub at: DateTime<Utc>,
    /// Its hash, or the place of an imported event.
    pub hash: Vec<u8>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.timestamp_micros(), to_hex(&self.hash))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(at, hash)| {
            Some(Self {
                at: time::from_micros(at.parse().ok()?)?,
                hash: from_hex(hash)?,
            })
        });
        parsed.ok_or_else(|| "this is not a cursor of the audit trail".to_owned())
    }
}

/// The end of a chain. Its JSON is the text that is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Head {
    /// The number of its last event; 0 if it has none.
    pub number: i64,
    /// The hash of its last event.
    pub hash: Vec<u8>,
}

impl Head {
    /// The head of a chain without events.
    pub fn empty() -> Self {
        Self {
            number: 0,
            hash: NO_HASH.to_vec(),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, to_hex(&self.hash))
    }
}

impl From<Head> for String {
    fn from(head: Head) -> Self {
        head.to_string()
    }
}

impl TryFrom<String> for Head {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(number, hash)| {
            let number = number.parse().ok().filter(|number| *number >= 0)?;
            let hash = from_hex(hash).filter(|hash| hash.len() == NO_HASH.len())?;
            Some(Self { number, hash })
        });
        parsed.ok_or_else(|| {
            "the head of a chain is NUMBER:HASH, as `sigpersist audit verify` prints it".to_owned()
        })
    }
}

/// The owner of the events that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventOwner {
    /// All tenants and the platform.
    All,
    /// The platform itself.
    Platforms,
    /// A tenant.
    Tenants(Tenancy),
    /// Every tenant that had this slug, whether it exists or was deleted.
    Named(String),
}

/// A filter of events.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The owner of the events.
    pub whose: EventOwner,
    /// Only events by actors with this subject.
    pub actor: Option<String>,
    /// Only events with this action; if it ends with a dot, as `hook.` does, with any action that begins so.
    pub action: Option<String>,
    /// Only events whose target has this name.
    pub target: Option<String>,
    /// Only events of this request.
    pub request_id: Option<String>,
    /// Only at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only before this time.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// A filter that accepts all events of this owner.
    pub fn new(whose: EventOwner) -> Self {
        Self {
            whose,
            actor: None,
            action: None,
            target: None,
            request_id: None,
            since: None,
            until: None,
        }
    }
}
