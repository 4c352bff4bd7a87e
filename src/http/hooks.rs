//! The handlers of hooks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::preconditions::preconditions;
use super::reply::Reply;
use super::respond::Call;
use crate::error::Result;
use crate::plugins::model::{Digest, Hook, Mode, OnFailure, Operation};
use crate::plugins::{self, HookRequest};
use crate::time;

#[derive(Serialize)]
struct HookContent {
    name: String,
    number: u32,
    plugin: String,
    revision: Digest,
    order: i32,
    operations: Vec<Operation>,
    mode: Mode,
    on_failure: OnFailure,
    timeout_ms: u32,
    memory_bytes: u64,
    fuel: u64,
    settings: Value,
    enabled: bool,
    shadow: Option<ShadowContent>,
    quarantine: Option<QuarantineContent>,
    set_by: Option<String>,
    set_at: String,
}

#[derive(Serialize)]
struct ShadowContent {
    revision: Digest,
    settings: Value,
}

#[derive(Serialize)]
struct QuarantineContent {
    since: String,
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

#[derive(Serialize)]
struct HooksContent {
    hooks: Vec<HookContent>,
}

#[derive(Serialize)]
struct OneHook {
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

/// `GET /hooks`.
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    all(plugins::hooks(&call.app, call.context.tenant()?)?)
}

/// `GET /hooks/{name}`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    one(plugins::hook(
        &call.app,
        call.context.tenant()?,
        call.name(),
    )?)
}

/// `PUT /hooks/{name}`.
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

/// `DELETE /hooks/{name}`.
pub(super) fn delete(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    plugins::delete_hook(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        call.name(),
        &preconditions(&call.headers)?,
    )?;
    Reply::done()
}

/// `POST /hooks/{name}/rollback`.
pub(super) fn rollback(call: Call) -> Result<Reply> {
    let parameters = call.parameters(&["to"])?;
    one(plugins::rollback(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        call.name(),
        parameters.integer("to", 1, u32::MAX)?,
        &preconditions(&call.headers)?,
    )?)
}

/// `POST /hooks/{name}/release`.
pub(super) fn release(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    one(plugins::release(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        call.name(),
    )?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    order: Vec<String>,
}

/// `PUT /hooks/order`.
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
