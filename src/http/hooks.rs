//! Handlers for hooks.

use serde::{Deserialize, Serialize};
use sigpersist_model::error::Result;
use sigpersist_model::plugin::Hook;
use sigpersist_model::view::HookView;
use utoipa::ToSchema;

use super::openapi::{BindingTag, Location};
use super::parameter;
use super::preconditions::preconditions;
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::plugins::{self, HookRequest};

#[derive(Serialize, ToSchema)]
struct HooksContent {
    /// The hooks, in the order in which they run.
    hooks: Vec<HookView>,
}

#[derive(Serialize, ToSchema)]
struct OneHook {
    /// The hook.
    hook: HookView,
}

fn one(hook: Hook) -> Result<Reply> {
    let etag = hook.number;
    Ok(Reply::content(&OneHook { hook: hook.into() })?.with_etag(etag))
}

fn all(hooks: Vec<Hook>) -> Result<Reply> {
    Reply::content(&HooksContent {
        hooks: hooks.into_iter().map(Into::into).collect(),
    })
}

/// Lists the tenant's hooks in the order in which they run.
#[utoipa::path(
    get,
    path = "/hooks",
    operation_id = "list_hooks",
    responses(
        (status = 200, description = "The tenant's hooks", body = Envelope<HooksContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters()?;
    all(plugins::hooks(&call.app, call.context.tenant()?)?)
}

/// Reads the settings of a hook.
#[utoipa::path(
    get,
    path = "/hooks/{name}",
    operation_id = "get_hook",
    responses(
        (status = 200, description = "The hook", body = Envelope<OneHook>, headers(("etag" = BindingTag))),
        (status = 404, description = "hook_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    one(plugins::hook(
        &call.app,
        call.context.tenant()?,
        call.name(),
    )?)
}

/// Creates a hook or replaces all its settings; an identical request changes nothing.
///
/// The next save or delete runs it.
#[utoipa::path(
    put,
    path = "/hooks/{name}",
    operation_id = "set_hook",
    request_body = HookRequest,
    responses(
        (
            status = 201,
            description = "The hook was created",
            body = Envelope<OneHook>,
            headers(("etag" = BindingTag), ("location" = Location)),
        ),
        (
            status = 200,
            description = "The hook was changed, or was like this already",
            body = Envelope<OneHook>,
            headers(("etag" = BindingTag)),
        ),
        (status = 404, description = "plugin_not_found, revision_not_found"),
        (status = 422, description = "refused, settings_refused"),
    )
)]
pub(super) fn put(call: Call) -> Result<Reply> {
    let tenant = call.context.tenant()?;
    let request: HookRequest = call.json()?;
    let set = plugins::set_hook(
        &call.app,
        tenant,
        &call.context.actor(),
        call.name(),
        &request,
        &preconditions(&call.headers)?,
    )?;
    let reply = one(set.hook)?;
    Ok(if set.created {
        reply.created_at(&call.location(&["hooks", call.name()]))
    } else {
        reply
    })
}

/// Removes a hook; its past decisions stay on record.
#[utoipa::path(
    delete,
    path = "/hooks/{name}",
    operation_id = "delete_hook",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "hook_not_found"),
    )
)]
pub(super) fn delete(call: Call) -> Result<Reply> {
    call.parameters()?;
    plugins::delete_hook(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        call.name(),
        &preconditions(&call.headers)?,
    )?;
    Reply::done()
}

/// Restores a hook's previous binding, or an earlier one. It is checked like a new one.
#[utoipa::path(
    post,
    path = "/hooks/{name}/rollback",
    operation_id = "roll_back_hook",
    responses(
        (status = 200, description = "The hook", body = Envelope<OneHook>, headers(("etag" = BindingTag))),
        (status = 404, description = "hook_not_found, binding_not_found"),
        (status = 422, description = "refused, settings_refused"),
    )
)]
pub(super) fn rollback(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    one(plugins::rollback(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        call.name(),
        parameters.integer(&parameter::TO)?,
        &preconditions(&call.headers)?,
    )?)
}

/// Ends the quarantine of a hook that kept failing.
#[utoipa::path(
    post,
    path = "/hooks/{name}/release",
    operation_id = "release_hook",
    responses(
        (status = 200, description = "The hook", body = Envelope<OneHook>, headers(("etag" = BindingTag))),
        (status = 404, description = "hook_not_found"),
    )
)]
pub(super) fn release(call: Call) -> Result<Reply> {
    call.parameters()?;
    one(plugins::release(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        call.name(),
    )?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HookOrder)]
struct Order {
    /// The names of all hooks, in the new order.
    #[schema(example = json!(["signer-tags", "require-countersignature"]))]
    order: Vec<String>,
}

/// Changes the order in which hooks run. You must name all of them, each once.
#[utoipa::path(
    put,
    path = "/hooks/order",
    operation_id = "reorder_hooks",
    request_body = Order,
    responses(
        (status = 200, description = "All hooks in their new order", body = Envelope<HooksContent>),
        (status = 404, description = "hook_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn reorder(call: Call) -> Result<Reply> {
    let tenant = call.context.tenant()?;
    let Order { order } = call.json()?;
    all(plugins::reorder(
        &call.app,
        tenant,
        &call.context.actor(),
        &order,
    )?)
}
