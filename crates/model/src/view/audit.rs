//! Events of the audit trail as answers, tables and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_verify::Time;
use sigpersist_verify::digest::Sha256;
use utoipa::ToSchema;

use crate::audit::{ActorKind, Listed};
use crate::digest::to_hex;
use crate::error::{Error, Result};

/// An event of the audit trail.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = EventContent)]
pub struct EventView {
    /// The tenant; null for the platform itself.
    #[schema(example = "acme")]
    pub tenant: Option<String>,
    /// Origin of the event, if it happened before the tenant was imported here; left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginView>,
    /// Its number in the chain of its tenant, or of the platform, on the server where it happened.
    #[schema(example = 7)]
    pub number: i64,
    /// Time of the event.
    pub at: Time,
    /// Evidence of who the actor is: a tenant's or the platform's token, the command line, or the server itself.
    #[schema(value_type = ActorKind)]
    pub actor_kind: String,
    /// The subject of the token, or the user who ran the command.
    #[schema(example = "olga")]
    pub actor: Option<String>,
    /// The key that verified the token.
    #[schema(example = "acme-1")]
    pub key: Option<String>,
    /// The id of the request.
    #[schema(example = "7f0c2f4e9d5a41b7")]
    pub request_id: Option<String>,
    /// The action.
    #[schema(example = "hook.set")]
    pub action: String,
    /// The object of the action.
    #[schema(example = "signer-tags")]
    pub target: String,
    /// The value before.
    #[schema(value_type = Option<Object>, example = json!(null))]
    pub before: Option<Value>,
    /// The value after.
    #[schema(value_type = Option<Object>, example = json!({"enabled": true}))]
    pub after: Option<Value>,
    /// Its hash, which covers the hash of the event before it.
    #[schema(value_type = Sha256)]
    pub hash: String,
}

/// The origin of an imported event.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = OriginContent)]
pub struct OriginView {
    /// The tenant's slug on that server, at that time.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Position of its trail among those that were imported into the tenant, oldest first.
    #[schema(example = 1, minimum = 1)]
    pub part: i32,
}

impl TryFrom<Listed> for EventView {
    type Error = Error;

    fn try_from(listed: Listed) -> Result<Self> {
        let tenant = listed.tenant().map(ToOwned::to_owned);
        let Listed { event, imported } = listed;
        let origin = imported.map(|imported| OriginView {
            tenant: event.tenant.unwrap_or_default(),
            part: imported.part,
        });
        let json = |text: Option<String>| {
            let value = text.map(|text| serde_json::from_str(&text));
            value.transpose().map_err(Error::internal)
        };
        Ok(Self {
            tenant,
            origin,
            number: event.number,
            at: event.at.into(),
            actor_kind: event.actor_kind,
            actor: event.actor,
            key: event.actor_key,
            request_id: event.request_id,
            action: event.action,
            target: event.target,
            before: json(event.before)?,
            after: json(event.after)?,
            hash: to_hex(&event.hash),
        })
    }
}

/// The result of checking a chain of the audit trail.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = ChainContent)]
pub struct ChainView {
    /// The tenant; null for the platform itself.
    #[schema(example = "acme")]
    pub tenant: Option<String>,
    /// Number of events.
    #[schema(example = 12)]
    pub events: u64,
    /// Number of events whose seal is valid; null if seals could not be checked without a master key.
    #[schema(example = 12)]
    pub keyed: Option<u64>,
    /// The first event whose seal is valid. It and the sealed events after it vouch for all events before them.
    #[schema(example = 1)]
    pub keyed_since: Option<i64>,
    /// The end of the chain: the number of its last event, a colon and its hash. Keep it elsewhere, and pass it as
    /// `expect` later.
    #[schema(example = "12:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub head: String,
    /// The first hundred faults, as sentences; empty if the chain is intact.
    #[schema(example = json!([]))]
    pub faults: Vec<String>,
    /// Origin of the chain, if it was imported with its tenant; left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<OriginView>,
    /// The number of the event in the tenant's own chain that states where an imported chain ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub stated_by: Option<i64>,
}
