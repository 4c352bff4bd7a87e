//! The handler of the audit trail.

use serde::Serialize;
use serde_json::Value;

use super::operators::{label_of, parsed, time_of};
use super::reply::Reply;
use super::respond::Call;
use crate::audit::{self, Filter, MAX_LIMIT, Recorded, Whose};
use crate::digest::to_hex;
use crate::error::{Error, Result};
use crate::time;

const DEFAULT_LIMIT: u32 = 50;

#[derive(Serialize)]
struct EventContent {
    /// The tenant; null for the platform itself.
    tenant: Option<String>,
    number: i64,
    at: String,
    actor_kind: String,
    actor: Option<String>,
    key: Option<String>,
    request_id: Option<String>,
    action: String,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
    hash: String,
}

impl TryFrom<Recorded> for EventContent {
    type Error = Error;

    fn try_from(event: Recorded) -> Result<Self> {
        let json = |text: Option<String>| {
            let value = text.map(|text| serde_json::from_str(&text));
            value.transpose().map_err(Error::internal)
        };
        Ok(Self {
            tenant: event.tenant,
            number: event.number,
            at: time::to_text(event.at),
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

#[derive(Serialize)]
struct EventsContent {
    events: Vec<EventContent>,
    next: Option<String>,
}

/// `GET /audit`.
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters(&[
        "tenant",
        "platform",
        "actor",
        "action",
        "target",
        "request_id",
        "since",
        "until",
        "cursor",
        "limit",
    ])?;
    let named = label_of(&parameters, "tenant")?;
    let platforms = parameters.boolean("platform")?.unwrap_or(false);
    let whose = match (&call.context.tenancy, named, platforms) {
        (None, None, false) => Whose::Everybodys,
        (None, None, true) => Whose::Platforms,
        (None, Some(slug), false) => Whose::Named(slug),
        (Some(own), None, false) => Whose::Tenants(own.clone()),
        (_, Some(_), _) => {
            let message = "`tenant` is for tokens of the platform that name no tenant otherwise.";
            return Err(Error::invalid("tenant", message));
        }
        (_, None, true) => {
            let message = "`platform` is for tokens of the platform that name no tenant.";
            return Err(Error::invalid("platform", message));
        }
    };
    let filter = Filter {
        whose,
        actor: label_of(&parameters, "actor")?,
        action: label_of(&parameters, "action")?,
        target: label_of(&parameters, "target")?,
        request_id: label_of(&parameters, "request_id")?,
        since: time_of(&parameters, "since")?,
        until: time_of(&parameters, "until")?,
    };
    let most = u32::try_from(MAX_LIMIT).map_err(Error::internal)?;
    let limit = parameters.integer("limit", 1, most)?;
    let limit = usize::try_from(limit.unwrap_or(DEFAULT_LIMIT)).map_err(Error::internal)?;
    let after = parsed(&parameters, "cursor")?;
    let page = audit::list(&call.app, &filter, after.as_ref(), limit)?;
    let events = page.events.into_iter().map(TryInto::try_into);
    Reply::content(&EventsContent {
        events: events.collect::<Result<_>>()?,
        next: page.next.map(|next| next.to_string()),
    })
}
