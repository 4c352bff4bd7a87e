//! Handlers for the audit trail.

use serde::Serialize;
use sigpersist_model::audit::{EventOwner, Filter, Head};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::view::{ChainView, EventView};
use utoipa::ToSchema;

use super::operators::{parsed, time_of};
use super::parameter;
use super::parameters::Parameters;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::audit;

#[derive(Serialize, ToSchema)]
struct EventsContent {
    /// Events, newest first.
    events: Vec<EventView>,
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
    responses(
        (status = 200, description = "A page of events", body = Envelope<EventsContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let filter = Filter {
        whose: whose(&call, &parameters)?,
        actor: parameters.label(&parameter::ACTOR)?,
        action: parameters.label(&parameter::ACTION)?,
        target: parameters.label(&parameter::TARGET)?,
        request_id: parameters.label(&parameter::REQUEST_ID)?,
        since: time_of(&parameters, &parameter::SINCE)?,
        until: time_of(&parameters, &parameter::UNTIL)?,
    };
    let limit = parameters.limit(&parameter::LIMIT_OF_EVENTS)?;
    let after = parsed(&parameters, &parameter::CURSOR_OF_EVENTS)?;
    let page = audit::list(&call.app, &filter, after.as_ref(), limit)?;
    let events = page.items.into_iter().map(TryInto::try_into);
    Reply::content(&EventsContent {
        events: events.collect::<Result<_>>()?,
        next: page.next.map(|next| next.to_string()),
    })
}

/// The events that a request is about.
fn whose(call: &Call, parameters: &Parameters<'_>) -> Result<EventOwner> {
    let named = parameters.label(&parameter::TENANT)?;
    let platforms = parameters.flag(&parameter::PLATFORM)?;
    match (&call.context.tenancy, named, platforms) {
        (None, None, false) => Ok(EventOwner::All),
        (None, None, true) => Ok(EventOwner::Platforms),
        (None, Some(slug), false) => Ok(EventOwner::Named(slug)),
        (Some(own), None, false) => Ok(EventOwner::Tenants(own.clone())),
        (Some(own), Some(slug), false) if *own.slug == slug => Ok(EventOwner::Tenants(own.clone())),
        (_, Some(_), _) => {
            let message = "Only a token of the platform can name another tenant in `tenant`, and then not in the path or with `platform`.";
            Err(Error::invalid("tenant", message))
        }
        (_, None, true) => {
            let message = "Only a token of the platform that names no tenant can use `platform`.";
            Err(Error::invalid("platform", message))
        }
    }
}

#[derive(Serialize, ToSchema)]
struct ChainsContent {
    /// Whether all these chains are intact.
    #[schema(example = true)]
    whole: bool,
    /// The result for each chain.
    chains: Vec<ChainView>,
}

/// Checks that nobody changed, removed or moved events of the audit trail. It reads all of them, so it takes a while.
///
/// A tenant has a chain of its own, and another one for each time that it was imported. Whoever has rights on the
/// database can remove the end of a chain unnoticed: keep its `head` elsewhere, and pass it as `expect`.
#[utoipa::path(
    get,
    path = "/audit/verify",
    operation_id = "verify_audit_trail",
    responses(
        (status = 200, description = "The check was made; `whole` has its result", body = Envelope<ChainsContent>),
        (status = 404, description = "tenant_not_found"),
    )
)]
pub(super) fn verify(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let whose = whose(&call, &parameters)?;
    let expected: Option<Head> = parsed(&parameters, &parameter::EXPECT)?;
    let needs_seals = parameters.flag(&parameter::KEYED)?;
    let mut chains = audit::verify(&call.app, &whose, expected.as_ref(), |_, _| {})?;
    if matches!(whose, EventOwner::Named(_)) && chains.is_empty() {
        return Err(Error::NotFound(Noun::Tenant));
    }
    if needs_seals {
        for chain in &mut chains {
            chain.require_seals();
        }
    }
    Reply::content(&ChainsContent {
        whole: chains.iter().all(|chain| chain.faults.is_empty()),
        chains: chains.into_iter().map(Into::into).collect(),
    })
}
