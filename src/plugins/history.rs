//! Shows the bindings that a hook had, and restores one. Bindings are kept for ever, also if the hook is deleted.

use sigpersist_model::audit::Actor;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::page::Page;
use sigpersist_model::plugin::{Hook, KeptBinding};
use sigpersist_model::signature::Preconditions;

use super::bindings::{ATTEMPTS, check_room, hook, put};
use super::request::{check, to_request};
use crate::app::App;

/// Maximum number of bindings on one page: each has its settings.
pub const MAX_LIMIT: u32 = 50;

/// A page of a hook's bindings after the one with the number `after`, newest first. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if the tenant never had such a hook.
pub fn history(
    app: &App,
    tenant: TenantId,
    name: &str,
    after: Option<u32>,
    limit: u32,
) -> Result<Page<KeptBinding, u32>> {
    let limit = usize::try_from(limit).map_err(Error::internal)?;
    let bindings = app.store.binding_list(tenant, name, after, limit + 1)?;
    if bindings.is_empty() && (after.is_none() || never_was(app, tenant, name)?) {
        return Err(Error::NotFound(Noun::Hook));
    }
    Ok(Page::cut(bindings, limit, |last| last.number))
}

/// A binding of a hook: the one in force if `number` is none. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if the tenant has no such hook, or the hook never had such a binding.
pub fn binding(
    app: &App,
    tenant: TenantId,
    name: &str,
    number: Option<u32>,
) -> Result<KeptBinding> {
    let number = match number {
        Some(number) => number,
        None => hook(app, tenant, name)?.number,
    };
    match app.store.binding_get(tenant, name, number)? {
        Some(binding) => Ok(binding),
        None => Err(no_binding(app, tenant, name)?),
    }
}

/// Restores the binding before the current one, or the one with the given number, as a new binding. Blocks.
///
/// A deleted hook is back then, if the number is given. If the hook is like this already, nothing changes.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such hook or binding. [`Error::Refused`] if its revision was deleted, or if it is in
/// force and quarantined. Also errors of [`set_hook`](super::set_hook), since an old binding may not be allowed any more.
pub fn rollback(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    name: &str,
    to: Option<u32>,
    preconditions: &Preconditions,
) -> Result<Hook> {
    for _ in 0..ATTEMPTS {
        let current = app.store.hook_get(tenant, name)?;
        let in_force = current.as_ref().map_or(0, |hook| hook.number);
        let number = match to {
            Some(to) => to,
            None if in_force == 0 => return Err(Error::NotFound(Noun::Hook)),
            None => in_force - 1,
        };
        let Some(kept) = app.store.binding_get(tenant, name, number)? else {
            return Err(no_binding(app, tenant, name)?);
        };
        if !preconditions.hold(in_force) {
            return Err(Error::PreconditionFailed {
                current_version: in_force,
            });
        }
        if !kept.is_stored {
            return Err(Error::refused(format!(
                "Binding {number} of the hook `{name}` can't be restored: its plugin `{}` was deleted, with the revision {}. Restore another binding, or upload the component again and set the hook.",
                kept.binding.plugin, kept.binding.sha256
            )));
        }
        // By the plugin's id: another plugin may have the name by now.
        let plugin_id = kept.binding.plugin_id;
        let binding = check(app, tenant, plugin_id, &to_request(app, kept.binding))?;
        match &current {
            Some(hook) if hook.binding == binding => {
                let Some(quarantine) = &hook.quarantine else {
                    return Ok(hook.clone());
                };
                return Err(Error::refused(format!(
                    "The hook `{name}` runs binding {number} already, and is quarantined: {} Restore another binding, or release the hook when it is fixed.",
                    quarantine.reason
                )));
            }
            Some(_) => {}
            None => check_room(app, tenant)?,
        }
        let changes = [(name, current.as_ref(), binding)];
        if put(app, tenant, actor, "hook.rollback", &changes)? {
            return hook(app, tenant, name);
        }
    }
    Err(Error::Overloaded)
}

/// The error that a hook never had a binding with some number; or that there never was such a hook.
fn no_binding(app: &App, tenant: TenantId, name: &str) -> Result<Error> {
    Ok(Error::NotFound(match never_was(app, tenant, name)? {
        true => Noun::Hook,
        false => Noun::Binding,
    }))
}

/// Whether the tenant never had such a hook.
fn never_was(app: &App, tenant: TenantId, name: &str) -> Result<bool> {
    Ok(app.store.binding_list(tenant, name, None, 1)?.is_empty())
}
