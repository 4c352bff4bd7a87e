//! What an event of the audit trail is. Plain values, no I/O.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::context::{Tenancy, TenantId};
use crate::digest::{from_hex, sha256, to_hex};
use crate::time;

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
    /// The `kid` of the key that verified the caller's token; none where there was no token.
    pub key: Option<Arc<str>>,
    /// The request, as the log has it.
    pub request_id: Option<Arc<str>>,
}

impl Actor {
    /// Whoever may run commands on the server's machine.
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

/// The hash that the first event of a chain has before it.
pub const NO_HASH: [u8; 32] = [0; 32];

/// An event as it is stored: the columns as they are, whatever somebody made of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The tenant that was acted for, or [`PLATFORM`](crate::context::PLATFORM): the chain that it belongs to.
    pub chain: TenantId,
    /// Its place in the chain, from 1.
    pub number: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The tenant's slug as it was then; none for the platform itself.
    pub tenant: Option<String>,
    /// What vouches for the actor.
    pub actor_kind: String,
    /// The actor's subject.
    pub actor: Option<String>,
    /// The key that verified the actor's token.
    pub actor_key: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// What was set before: JSON as it was written.
    pub before: Option<String>,
    /// What is set since.
    pub after: Option<String>,
    /// The hash of the event before it.
    pub previous: Vec<u8>,
    /// Its own hash.
    pub hash: Vec<u8>,
}

impl Recorded {
    /// The hash that the event must have at this place of its chain: as the database's `audit_hash`, worked out apart from it.
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

    /// About how many bytes it has.
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
    /// The event, with what its tenant was where it happened.
    pub event: Recorded,
    /// Where it was imported; none where it happened here.
    pub imported: Option<ImportedInto>,
}

/// Where an event was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedInto {
    /// The slug of the tenant here.
    pub tenant: String,
    /// Which of the chains that were imported into it: 1, 2, …
    pub part: i32,
    /// What settles ties of time in place of the hash, which another import of the same event has too.
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

    /// Its place among all events.
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

/// An event's place among all events, of whatever chain: the hash settles ties of time without telling a tenant's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Its hash.
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
        parsed.ok_or_else(|| "this is no cursor of the audit trail".to_owned())
    }
}

/// The end of a chain; in JSON as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Head {
    /// The number of its last event; 0 where it has none.
    pub number: i64,
    /// The hash of its last event.
    pub hash: Vec<u8>,
}

impl Head {
    /// That of a chain without events.
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

/// Whose events are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// All tenants' and the platform's.
    Everybodys,
    /// Those of the platform itself.
    Platforms,
    /// Those of a tenant.
    Tenants(Tenancy),
    /// Those of whoever had this slug: a tenant that is there or was deleted.
    Named(String),
}

/// Which events are asked for.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Whose.
    pub whose: Whose,
    /// Only of actors of this subject.
    pub actor: Option<String>,
    /// Only of this action, or those that begin so where it ends with a dot: `hook.`.
    pub action: Option<String>,
    /// Only to this target.
    pub target: Option<String>,
    /// Only of this request.
    pub request_id: Option<String>,
    /// Only at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only before this time.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// All events of theirs.
    pub fn new(whose: Whose) -> Self {
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
