//! The lines of an audit trail. Plain values, no I/O.

use crate::context::TenantId;
use crate::digest::{from_hex, to_hex};
use crate::tenant::check_slug;
use crate::time;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audit::{Fault, Head, MAX_FAULTS, NO_HASH, Recorded};

/// The most bytes of an event's texts: a page of a list has up to 200 events.
const MAX_EVENT_BYTES: usize = 128 * 1024;

/// A chain of the audit trail, whose events follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditChain {
    /// The slug of the tenant where the events happened.
    pub tenant: String,
    /// The number of the tenant there, which the hashes cover.
    pub tenant_id: i32,
    /// The number of events that follow.
    pub events: u64,
    /// The end of the chain; none if the exporting server did not know.
    pub head: Option<Head>,
    /// The number of events whose seal the exporting server found valid; none if it did not check seals.
    pub keyed: Option<u64>,
    /// The faults that the chain had when it was exported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl AuditChain {
    /// Checks that the line is within the bounds of an export.
    pub fn check(&self) -> Result<(), String> {
        check_slug("tenant", &self.tenant)
            .map_err(|error| error.to_string().trim_end_matches('.').to_owned())?;
        if self.faults.len() > MAX_FAULTS {
            return Err(format!("it lists more than {MAX_FAULTS} faults"));
        }
        Ok(())
    }
}

/// The next event of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "they are those of a recorded event")]
pub struct AuditEvent {
    pub number: i64,
    pub at: DateTime<Utc>,
    pub tenant: String,
    pub actor_kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    pub action: String,
    pub target: String,
    /// The value before the change, as its JSON text was written: the hash covers this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The value after the change, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The hash of the event before it, in hexadecimal.
    pub previous: String,
    /// Its own hash, in hexadecimal.
    pub hash: String,
}

impl From<Recorded> for AuditEvent {
    fn from(event: Recorded) -> Self {
        Self {
            number: event.number,
            at: event.at,
            tenant: event.tenant.unwrap_or_default(),
            actor_kind: event.actor_kind,
            actor: event.actor,
            actor_key: event.actor_key,
            request_id: event.request_id,
            action: event.action,
            target: event.target,
            before: event.before,
            after: event.after,
            previous: to_hex(&event.previous),
            hash: to_hex(&event.hash),
        }
    }
}

impl AuditEvent {
    /// Checks that the event can be stored and listed. `chain` is the number of its tenant where it happened.
    pub fn into_recorded(self, chain: TenantId) -> Result<Recorded, String> {
        let hash = |name: &str, text: &str| {
            let hash = from_hex(text).filter(|hash| hash.len() <= NO_HASH.len());
            hash.ok_or_else(|| format!("its `{name}` is not SHA-256 in hexadecimal"))
        };
        let event = Recorded {
            chain,
            number: self.number,
            at: self.at,
            tenant: Some(self.tenant),
            actor_kind: self.actor_kind,
            actor: self.actor,
            actor_key: self.actor_key,
            request_id: self.request_id,
            action: self.action,
            target: self.target,
            before: self.before,
            after: self.after,
            previous: hash("previous", &self.previous)?,
            hash: hash("hash", &self.hash)?,
        };
        if event.size() > i64::try_from(MAX_EVENT_BYTES).unwrap_or(i64::MAX) {
            return Err(format!("the event has more than {MAX_EVENT_BYTES} bytes"));
        }
        if time::from_micros(event.at.timestamp_micros()).is_none() {
            return Err("its `at` is not from 1970 to 9999".to_owned());
        }
        let texts = [
            event.tenant.as_deref(),
            Some(&event.actor_kind),
            event.actor.as_deref(),
            event.actor_key.as_deref(),
            event.request_id.as_deref(),
            Some(&event.action),
            Some(&event.target),
        ];
        if texts.into_iter().flatten().any(|text| text.contains('\0')) {
            return Err("it has the character U+0000".to_owned());
        }
        for text in [&event.before, &event.after].into_iter().flatten() {
            serde_json::from_str::<Value>(text)
                .map_err(|error| format!("its `before` or `after` is not JSON: {error}"))?;
        }
        Ok(event)
    }
}
