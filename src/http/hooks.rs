//! Handlers for hooks.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_model::error::Result;
use sigpersist_model::plugin::{Digest, Hook, Mode, OnFailure, Operation};
use sigpersist_model::time;
use utoipa::ToSchema;

use super::openapi::{BindingTag, Location, Sha256, Time};
use super::preconditions::preconditions;
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::plugins::{self, HookRequest};

#[derive(Serialize, ToSchema)]
struct HookContent {
    /// The hook's name.
    #[schema(example = "signer-tags")]
    name: String,
    /// The number of the binding in force.
    #[schema(example = 1)]
    number: u32,
    /// The plugin that the hook runs.
    #[schema(example = "signer-tags")]
    plugin: String,
    /// The revision that the hook runs.
    #[schema(value_type = Sha256)]
    revision: Digest,
    /// Position in the chain: hooks run from the lowest to the highest; equal ones by name.
    #[schema(example = 1)]
    order: i32,
    /// Operations on which it runs.
    #[schema(example = json!(["save"]))]
    operations: Vec<Operation>,
    /// Whether its decisions are enforced.
    mode: Mode,
    /// Effect of a failure.
    on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds.
    #[schema(example = 100)]
    timeout_ms: u32,
    /// Limit on the linear memory of one call, in bytes.
    #[schema(example = 33554432)]
    memory_bytes: u64,
    /// Limit on the fuel of one call.
    #[schema(example = 1_000_000_000)]
    fuel: u64,
    /// The settings that the plugin reads.
    #[schema(value_type = Object, example = json!({}))]
    settings: Value,
    /// Whether the hook runs at all.
    #[schema(example = true)]
    enabled: bool,
    /// A revision and settings that run beside the hook without effect.
    #[schema(example = json!(null))]
    shadow: Option<ShadowContent>,
    /// Present if the hook was quarantined because it kept failing.
    #[schema(example = json!(null))]
    quarantine: Option<QuarantineContent>,
    /// The subject of the token that set it.
    #[schema(example = "olga")]
    set_by: Option<String>,
    /// Time at which it was set.
    #[schema(value_type = Time)]
    set_at: String,
}

#[derive(Serialize, ToSchema)]
struct ShadowContent {
    /// The revision.
    #[schema(value_type = Sha256)]
    revision: Digest,
    /// The settings that the plugin reads.
    #[schema(value_type = Object, example = json!({}))]
    settings: Value,
}

#[derive(Serialize, ToSchema)]
struct QuarantineContent {
    /// Start of the quarantine.
    #[schema(value_type = Time)]
    since: String,
    /// The failures that caused it.
    #[schema(example = "It failed 5 times in a row.")]
    reason: String,
}

impl From<Hook> for HookContent {
    fn from(hook: Hook) -> Self {
        let binding = hook.binding;
        Self {
            name: hook.name,
            number: hook.number,
            plugin: binding.plugin,
            revision: binding.sha256,
            order: binding.order,
            operations: binding.operations,
            mode: binding.mode,
            on_failure: binding.on_failure,
            timeout_ms: binding.limits.timeout_ms,
            memory_bytes: binding.limits.memory_bytes,
            fuel: binding.limits.fuel,
            settings: binding.settings,
            enabled: binding.enabled,
            shadow: binding.shadow.map(|shadow| ShadowContent {
                revision: shadow.sha256,
                settings: shadow.settings,
            }),
            quarantine: hook.quarantine.map(|quarantine| QuarantineContent {
                since: time::to_text(quarantine.since),
                reason: quarantine.reason,
            }),
            set_by: hook.set_by,
            set_at: time::to_text(hook.set_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct HooksContent {
    /// The hooks, in the order in which they run.
    hooks: Vec<HookContent>,
}

#[derive(Serialize, ToSchema)]
struct OneHook {
    /// The hook.
    hook: HookContent,
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
        parameters.integer("to", 1, u32::MAX)?,
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
