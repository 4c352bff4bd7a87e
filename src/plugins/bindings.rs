//! Sets, reorders, releases and deletes a tenant's hooks. Each change of a hook is a new binding, which is
//! kept for ever: see `history`.

use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::{json_sha256, to_hex};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Binding, Hook};
use sigpersist_model::signature::Preconditions;
use sigpersist_model::tenant::check_slug;

use super::RESERVED_HOOK_NAMES;
use super::candidate::bindable;
use super::request::{HookRequest, check, to_request};
use crate::app::App;

/// Action in the audit trail for a change of the hooks' order.
const REORDER: &str = "hook.reorder";
/// Number of attempts at a change, in case other operators change the hook at the same time.
pub(super) const ATTEMPTS: usize = 5;

/// Result of setting a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct SetHook {
    /// The hook after the change.
    pub hook: Hook,
    /// Whether the hook is new.
    pub created: bool,
}

/// A tenant's hooks in the order in which they run. Blocks.
///
/// # Errors
///
/// Errors of the store.
pub fn hooks(app: &App, tenant: TenantId) -> Result<Vec<Hook>> {
    app.store.hook_list(tenant)
}

/// A tenant's hook. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if the tenant has no such hook.
pub fn hook(app: &App, tenant: TenantId, name: &str) -> Result<Hook> {
    app.store
        .hook_get(tenant, name)?
        .ok_or(Error::NotFound(Noun::Hook))
}

/// Binds a revision of a plugin to a tenant, as a new hook or in place of the hook with this name. Repeating a request
/// changes nothing. Blocks.
///
/// # Errors
///
/// [`Error::PreconditionFailed`], [`Error::NotFound`] for the plugin or revision, [`Error::SettingsRefused`],
/// [`Error::InvalidParameter`] for an invalid parameter.
pub fn set_hook(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    name: &str,
    request: &HookRequest,
    preconditions: &Preconditions,
) -> Result<SetHook> {
    check_name(name)?;
    for _ in 0..ATTEMPTS {
        let current = app.store.hook_get(tenant, name)?;
        let number = current.as_ref().map_or(0, |hook| hook.number);
        if !preconditions.hold(number) {
            return Err(Error::PreconditionFailed {
                current_version: number,
            });
        }
        if number == 0 {
            check_room(app, tenant)?;
        }
        let plugin_id = bindable(app, tenant, &request.plugin)?;
        let binding = check(app, tenant, plugin_id, request)?;
        if current.as_ref().map(|hook| &hook.binding) == Some(&binding)
            && let Some(hook) = current
        {
            return Ok(SetHook {
                hook,
                created: false,
            });
        }
        let changes = [(name, current.as_ref(), binding)];
        if put(app, tenant, actor, "hook.set", &changes)? {
            return Ok(SetHook {
                hook: hook(app, tenant, name)?,
                created: number == 0,
            });
        }
    }
    Err(Error::Overloaded)
}

/// Puts all hooks of a tenant into this order, in one transaction. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if the list does not name each hook exactly once.
pub fn reorder(app: &App, tenant: TenantId, actor: &Actor, order: &[String]) -> Result<Vec<Hook>> {
    for _ in 0..ATTEMPTS {
        let hooks = app.store.hook_list(tenant)?;
        let mut names: Vec<_> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        let mut wanted: Vec<_> = order.iter().map(String::as_str).collect();
        names.sort_unstable();
        wanted.sort_unstable();
        if names != wanted {
            return Err(Error::invalid(
                "order",
                format!(
                    "`order` must name each of the tenant's hooks once: {}.",
                    names.join(", ")
                ),
            ));
        }
        let mut changes = Vec::new();
        for (place, name) in (1..).zip(order) {
            if let Some(hook) = hooks.iter().find(|hook| hook.name == *name)
                && hook.binding.order != place
            {
                let binding = Binding {
                    order: place,
                    ..hook.binding.clone()
                };
                changes.push((name.as_str(), Some(hook), binding));
            }
        }
        if changes.is_empty() || put(app, tenant, actor, REORDER, &changes)? {
            return app.store.hook_list(tenant);
        }
    }
    Err(Error::Overloaded)
}

/// Deletes a hook. Its decisions stay on record. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::PreconditionFailed`].
pub fn delete_hook(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    name: &str,
    preconditions: &Preconditions,
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let current = hook(app, tenant, name)?;
        let number = current.number;
        if !preconditions.hold(number) {
            return Err(Error::PreconditionFailed {
                current_version: number,
            });
        }
        let event =
            Event::new(Some(tenant), actor.clone(), "hook.delete", name).before(audited(&current));
        if app.store.hook_delete(tenant, name, number, &event)? {
            return Ok(());
        }
    }
    Err(Error::Overloaded)
}

/// Releases a hook from quarantine. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if the tenant has no such hook.
pub fn release(app: &App, tenant: TenantId, actor: &Actor, name: &str) -> Result<Hook> {
    let current = hook(app, tenant, name)?;
    let Some(quarantine) = &current.quarantine else {
        return Ok(current);
    };
    let number = current.number;
    let event = Event::new(Some(tenant), actor.clone(), "hook.release", name)
        .before(json!({ "number": number, "quarantine": quarantine.reason }))
        .after(json!({ "number": number, "quarantine": null }));
    app.store.hook_release(tenant, name, &event)?;
    hook(app, tenant, name)
}

/// Checks that a tenant may have this binding under this name, and that the binding can run here. Blocks.
///
/// # Errors
///
/// Errors of [`set_hook`].
pub fn check_binding(app: &App, tenant: TenantId, name: &str, binding: &Binding) -> Result<()> {
    check_name(name)?;
    if app.store.hook_get(tenant, name)?.is_none() {
        check_room(app, tenant)?;
    }
    let request = to_request(app, binding.clone());
    check(app, tenant, binding.plugin_id, &request).map(drop)
}

/// Stores changes. This server applies them at once; the others are notified.
pub(super) fn put(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    action: &'static str,
    changes: &[(&str, Option<&Hook>, Binding)],
) -> Result<bool> {
    let events: Vec<_> = changes
        .iter()
        .map(|(name, before, binding)| {
            Event::new(Some(tenant), actor.clone(), action, *name)
                .before(before.map_or(Value::Null, audited))
                .after(details(binding))
        })
        .collect();
    let changes: Vec<_> = changes
        .iter()
        .map(|(name, before, binding)| {
            let number = before.map_or(0, |hook| hook.number);
            (*name, number, binding.clone())
        })
        .collect();
    // A new order does not fix a failing hook, so it stays quarantined.
    let keeps_quarantine = action == REORDER;
    app.store
        .hook_set(tenant, &changes, &events, keeps_quarantine)
}

/// A hook as the audit trail shows it.
fn audited(hook: &Hook) -> Value {
    let mut details = details(&hook.binding);
    details["number"] = hook.number.into();
    details
}

/// Audit event for a hook that an import set to a binding of its history.
pub(crate) fn import_event(
    tenant: TenantId,
    actor: &Actor,
    name: &str,
    before: Option<&Hook>,
    (number, binding): (u32, &Binding),
) -> Event {
    let mut after = details(binding);
    after["number"] = number.into();
    let event = Event::new(Some(tenant), actor.clone(), "hook.set", name).after(after);
    match before {
        Some(hook) => event.before(audited(hook)),
        None => event,
    }
}

/// A binding as the audit trail shows it.
///
/// Settings may be secret and are in the binding itself. The event has only their digest, as decisions do, so that a
/// change of settings is visible.
fn details(binding: &Binding) -> Value {
    let digest = |settings: &Value| to_hex(&json_sha256(settings));
    json!({
        "plugin": binding.plugin,
        "revision": binding.sha256,
        "order": binding.order,
        "operations": binding.operations,
        "mode": binding.mode,
        "on_failure": binding.on_failure,
        "timeout_ms": binding.limits.timeout_ms,
        "memory_bytes": binding.limits.memory_bytes,
        "fuel": binding.limits.fuel,
        "settings_sha256": digest(&binding.settings),
        "enabled": binding.enabled,
        "shadow": binding.shadow.as_ref().map(|shadow| json!({
            "revision": shadow.sha256,
            "settings_sha256": digest(&shadow.settings),
        })),
    })
}

/// Checks that a tenant may have one more hook.
pub(super) fn check_room(app: &App, tenant: TenantId) -> Result<()> {
    let most = app.config.hooks.max_hooks_per_tenant;
    if app.store.hook_list(tenant)?.len() < most {
        return Ok(());
    }
    Err(Error::refused(format!(
        "The tenant has {most} hooks already, the maximum (hooks.max_hooks_per_tenant)."
    )))
}

fn check_name(name: &str) -> Result<()> {
    check_slug("hook", name)?;
    if RESERVED_HOOK_NAMES.contains(&name) {
        return Err(Error::refused(format!(
            "`{name}` is reserved by the API; choose another name for the hook."
        )));
    }
    Ok(())
}
