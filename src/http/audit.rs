//! Handler for the audit trail.

use serde::Serialize;
use serde_json::Value;
use sigpersist_model::audit::{EventOwner, Filter, Listed};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::time;
use utoipa::ToSchema;

use super::openapi::{ActorKind, Sha256, Time};
use super::operators::{parsed, time_of};
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::audit::{self, MAX_LIMIT};

const DEFAULT_LIMIT: u32 = 50;

#[derive(Serialize, ToSchema)]
struct EventContent {
    /// The tenant; null for the platform itself.
    #[schema(example = "acme")]
    tenant: Option<String>,
    /// Origin of the event, if it happened before the tenant was imported here; left out otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginContent>,
    /// Its number in the chain of its tenant, or of the platform, on the server where it happened.
    #[schema(example = 7)]
    number: i64,
    /// Time of the event.
    #[schema(value_type = Time)]
    at: String,
    /// Evidence of who the actor is: a tenant's or the platform's token, the command line, or the server itself.
    #[schema(value_type = ActorKind)]
    actor_kind: String,
    /// The subject of the token, or the user who ran the command.
    #[schema(example = "olga")]
    actor: Option<String>,
    /// The key that verified the token.
    #[schema(example = "acme-1")]
    key: Option<String>,
    /// The id of the request.
    #[schema(example = "7f0c2f4e9d5a41b7")]
    request_id: Option<String>,
    /// The action.
    #[schema(example = "hook.set")]
    action: String,
    /// The object of the action.
    #[schema(example = "signer-tags")]
    target: String,
    /// The value before.
    #[schema(value_type = Option<Object>, example = json!(null))]
    before: Option<Value>,
    /// The value after.
    #[schema(value_type = Option<Object>, example = json!({"enabled": true}))]
    after: Option<Value>,
    /// Its hash, which covers the hash of the event before it.
    #[schema(value_type = Sha256)]
    hash: String,
}

#[derive(Serialize, ToSchema)]
struct OriginContent {
    /// The tenant's slug on that server, at that time.
    #[schema(example = "acme")]
    tenant: String,
    /// Position of its trail among those that were imported into the tenant, oldest first.
    #[schema(example = 1, minimum = 1)]
    part: i32,
}

impl TryFrom<Listed> for EventContent {
    type Error = Error;

    fn try_from(listed: Listed) -> Result<Self> {
        let tenant = listed.tenant().map(ToOwned::to_owned);
        let Listed { event, imported } = listed;
        let origin = imported.map(|imported| OriginContent {
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

#[derive(Serialize, ToSchema)]
struct EventsContent {
    /// Events, newest first.
    events: Vec<EventContent>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(
        example = "1613610000000000-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )]
    next: Option<String>,
}

/// Lists changes and who made them, newest first.
///
/// For signatures, the events are deletes (`signature.delete`), and saves under a name that was deleted before
/// (`signature.recreate`). Their `target` is `document/thread`, with `/` and `%` in either part written as `%2F` and
/// `%25`.
///
/// For an imported tenant, the list includes the events from the server that it comes from; these have an `origin`.
///
/// A token of the platform that names no tenant sees all events; narrow them with `tenant` or `platform`.
#[utoipa::path(
    get,
    path = "/audit",
    operation_id = "list_events",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, example = 20),
        (
            "cursor" = Option<String>,
            Query,
            pattern = "^[0-9]{1,18}-[0-9a-f]{64}$",
            example = "1613610000000000-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ),
    responses(
        (status = 200, description = "A page of events", body = Envelope<EventsContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let named = parameters.label("tenant")?;
    let platforms = parameters.boolean("platform")?.unwrap_or(false);
    let whose = match (&call.context.tenancy, named, platforms) {
        (None, None, false) => EventOwner::All,
        (None, None, true) => EventOwner::Platforms,
        (None, Some(slug), false) => EventOwner::Named(slug),
        (Some(own), None, false) => EventOwner::Tenants(own.clone()),
        (_, Some(_), _) => {
            let message =
                "Only a token of the platform that names no other tenant can use `tenant`.";
            return Err(Error::invalid("tenant", message));
        }
        (_, None, true) => {
            let message = "Only a token of the platform that names no tenant can use `platform`.";
            return Err(Error::invalid("platform", message));
        }
    };
    let filter = Filter {
        whose,
        actor: parameters.label("actor")?,
        action: parameters.label("action")?,
        target: parameters.label("target")?,
        request_id: parameters.label("request_id")?,
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
