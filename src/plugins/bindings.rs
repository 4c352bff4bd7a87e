//! Hooks: what operators bind, re-order, roll back and release. Each change is a new binding, kept for ever.

use serde::Deserialize;
use serde_json::{Value, json};

use super::RESERVED_HOOK_NAMES;
use super::candidate::{Which, bindable, candidate};
use super::model::{Binding, Hook, Limits, Mode, OnFailure, Operation, Shadow};
use crate::app::App;
use crate::audit::{Actor, Event};
use crate::context::TenantId;
use crate::error::{Error, Noun, Result};
use crate::signatures::model::Preconditions;
use crate::tenants::model::check_slug;

/// What the audit trail calls a new order.
const REORDER: &str = "hook.reorder";
/// How often a change is tried again because another operator made one meanwhile.
const ATTEMPTS: usize = 5;

/// What an operator asks of a hook; what is left out has its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    /// The plugin: the tenant's own of this name, or the platform's.
    pub plugin: String,
    /// The revision that runs: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// Hooks run from the lowest to the highest, ties by name.
    #[serde(default)]
    pub order: i32,
    /// What it judges; all that the plugin can where it is left out.
    #[serde(default)]
    pub operations: Option<Vec<Operation>>,
    /// Whether it decides.
    #[serde(default)]
    pub mode: Mode,
    /// What its failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds; the server's default where it is left out.
    #[serde(default)]
    pub timeout_ms: Option<u32>,
    /// Most linear memory of one call; all that the server allows where it is left out.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Fuel of one call; all that the server allows where it is left out.
    #[serde(default)]
    pub fuel: Option<u64>,
    /// What it reads as its configuration.
    #[serde(default = "no_settings")]
    pub settings: Value,
    /// Whether it runs at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What runs beside it.
    #[serde(default)]
    pub shadow: Option<ShadowRequest>,
}

impl HookRequest {
    /// The newest revision of a plugin, with defaults for everything else.
    pub fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.to_owned(),
            revision: Which::Latest,
            order: 0,
            operations: None,
            mode: Mode::Enforce,
            on_failure: OnFailure::Reject,
            timeout_ms: None,
            memory_bytes: None,
            fuel: None,
            settings: no_settings(),
            enabled: true,
            shadow: None,
        }
    }
}

/// What an operator asks of a shadow.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShadowRequest {
    /// The revision, of the hook's plugin: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// What it reads as its configuration; the hook's settings where they are left out.
    #[serde(default)]
    pub settings: Option<Value>,
}

/// No settings at all.
fn no_settings() -> Value {
    json!({})
}

fn yes() -> bool {
    true
}

/// What became of a wish to set a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct SetHook {
    /// The hook as it is now.
    pub hook: Hook,
    /// Whether it is new.
    pub created: bool,
}

/// A tenant's hooks in the order in which they run. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn hooks(app: &App, tenant: TenantId) -> Result<Vec<Hook>> {
    app.store.hook_list(tenant)
}

/// A tenant's hook. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn hook(app: &App, tenant: TenantId, name: &str) -> Result<Hook> {
    app.store
        .hook_get(tenant, name)?
        .ok_or(Error::NotFound(Noun::Hook))
}

/// Binds a revision of a plugin to a tenant, as a new hook or in place of the one of this name. The same request again
/// changes nothing. Blocks.
///
/// # Errors
///
/// [`Error::PreconditionFailed`], [`Error::NotFound`] for plugin or revision, [`Error::SettingsRefused`],
/// [`Error::InvalidParameter`] for what breaks a rule.
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
        let binding = check(app, plugin_id, request)?;
        if let Some(hook) = current.filter(|hook| hook.binding == binding) {
            return Ok(SetHook {
                hook,
                created: false,
            });
        }
        if put(app, tenant, actor, "hook.set", &[(name, number, binding)])? {
            return Ok(SetHook {
                hook: hook(app, tenant, name)?,
                created: number == 0,
            });
        }
    }
    Err(Error::Overloaded)
}

/// Returns a hook to the binding before its present one, or to the one of the number that is given. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] where there is no such hook or binding, and those of [`set_hook`], since what could once be bound
/// may be bound no more.
pub fn rollback(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    name: &str,
    to: Option<u32>,
    preconditions: &Preconditions,
) -> Result<Hook> {
    for _ in 0..ATTEMPTS {
        let current = hook(app, tenant, name)?;
        if !preconditions.hold(current.number) {
            return Err(Error::PreconditionFailed {
                current_version: current.number,
            });
        }
        let number = to.unwrap_or(current.number.saturating_sub(1));
        let binding = app
            .store
            .hook_binding(tenant, name, number)?
            .ok_or(Error::NotFound(Noun::Binding))?;
        // The same plugin, whatever else has its name by now.
        let binding = check(app, binding.plugin_id, &to_request(app, binding))?;
        let changes = [(name, current.number, binding)];
        if put(app, tenant, actor, "hook.rollback", &changes)? {
            return hook(app, tenant, name);
        }
    }
    Err(Error::Overloaded)
}

/// Puts a tenant's hooks in this order, all of them at once. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] where the list does not name each hook exactly once.
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
                changes.push((name.as_str(), hook.number, binding));
            }
        }
        if changes.is_empty() || put(app, tenant, actor, REORDER, &changes)? {
            return app.store.hook_list(tenant);
        }
    }
    Err(Error::Overloaded)
}

/// Removes a hook; what it decided stays on record. Blocks.
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
        let number = hook(app, tenant, name)?.number;
        if !preconditions.hold(number) {
            return Err(Error::PreconditionFailed {
                current_version: number,
            });
        }
        let event = event(
            tenant,
            actor,
            "hook.delete",
            name,
            json!({ "number": number }),
        );
        if app.store.hook_delete(tenant, name, number, &event)? {
            app.forget_hooks(tenant);
            return Ok(());
        }
    }
    Err(Error::Overloaded)
}

/// Takes a hook back that was set aside because it kept failing. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn release(app: &App, tenant: TenantId, actor: &Actor, name: &str) -> Result<Hook> {
    let event = event(tenant, actor, "hook.release", name, json!({}));
    if app.store.hook_release(tenant, name, &event)? {
        app.forget_hooks(tenant);
    }
    hook(app, tenant, name)
}

/// Stores changes, and lets this server see them at once; the others hear of them.
fn put(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    action: &'static str,
    changes: &[(&str, u32, Binding)],
) -> Result<bool> {
    let events: Vec<_> = changes
        .iter()
        .map(|(name, _, binding)| event(tenant, actor, action, name, details(binding)))
        .collect();
    // A new place mends nothing.
    let keeps_quarantine = action == REORDER;
    let done = app
        .store
        .hook_set(tenant, changes, &events, keeps_quarantine)?;
    app.forget_hooks(tenant);
    Ok(done)
}

fn event(
    tenant: TenantId,
    actor: &Actor,
    action: &'static str,
    name: &str,
    details: Value,
) -> Event {
    Event {
        tenant: Some(tenant),
        actor: actor.clone(),
        action,
        target: name.to_owned(),
        details,
    }
}

/// What the audit trail says of a binding. The settings are in the binding itself.
fn details(binding: &Binding) -> Value {
    json!({
        "plugin": binding.plugin,
        "revision": binding.sha256,
        "order": binding.order,
        "mode": binding.mode,
        "on_failure": binding.on_failure,
        "enabled": binding.enabled,
        "shadow": binding.shadow.as_ref().map(|shadow| shadow.sha256),
    })
}

/// Makes sure that a tenant may have one hook more.
fn check_room(app: &App, tenant: TenantId) -> Result<()> {
    let most = app.config.hooks.max_hooks_per_tenant;
    if app.store.hook_list(tenant)?.len() < most {
        return Ok(());
    }
    Err(Error::refused(format!(
        "The tenant has {most} hooks, the most that it may have (hooks.max_hooks_per_tenant)."
    )))
}

fn check_name(name: &str) -> Result<()> {
    check_slug("hook", name)?;
    if RESERVED_HOOK_NAMES.contains(&name) {
        return Err(Error::refused(format!(
            "A hook can't be called `{name}`, since paths of the API mean something else by it."
        )));
    }
    Ok(())
}

/// A binding as one would ask for it, its revisions by their digests.
fn to_request(app: &App, binding: Binding) -> HookRequest {
    let limits = app.config.hooks.within_ceiling(binding.limits);
    HookRequest {
        plugin: binding.plugin,
        revision: Which::This(binding.sha256),
        order: binding.order,
        operations: Some(binding.operations),
        mode: binding.mode,
        on_failure: binding.on_failure,
        timeout_ms: Some(limits.timeout_ms),
        memory_bytes: Some(limits.memory_bytes),
        fuel: Some(limits.fuel),
        settings: binding.settings,
        enabled: binding.enabled,
        shadow: binding.shadow.map(|shadow| ShadowRequest {
            revision: Which::This(shadow.sha256),
            settings: Some(shadow.settings),
        }),
    }
}

/// Checks a request as a whole, and settles what it leaves open.
fn check(app: &App, plugin_id: i32, request: &HookRequest) -> Result<Binding> {
    let limits = limits(app, request)?;
    let active = candidate(
        app,
        plugin_id,
        request.revision,
        &request.settings,
        "/settings",
    )?;
    let can = |operation: &Operation| active.guest.plugin.judges(*operation);
    let operations = match &request.operations {
        None => [Operation::Save, Operation::Delete]
            .into_iter()
            .filter(can)
            .collect(),
        Some(asked) => {
            if asked.is_empty() || !asked.iter().all(can) {
                return Err(Error::invalid(
                    "operations",
                    format!(
                        "`operations` must be what the plugin judges; it exports {}.",
                        active.revision.exports.join(", ")
                    ),
                ));
            }
            // In the order of the contract, each once, so that the same wish is the same binding.
            [Operation::Save, Operation::Delete]
                .into_iter()
                .filter(|operation| asked.contains(operation))
                .collect()
        }
    };
    let shadow = match &request.shadow {
        None => None,
        Some(shadow) => {
            let settings = shadow.settings.as_ref().unwrap_or(&request.settings);
            let candidate = candidate(
                app,
                plugin_id,
                shadow.revision,
                settings,
                "/shadow/settings",
            )?;
            Some(Shadow {
                sha256: candidate.revision.sha256,
                settings: settings.clone(),
            })
        }
    };
    Ok(Binding {
        plugin: request.plugin.clone(),
        plugin_id,
        sha256: active.revision.sha256,
        order: request.order,
        operations,
        mode: request.mode,
        on_failure: request.on_failure,
        limits,
        settings: request.settings.clone(),
        enabled: request.enabled,
        shadow,
    })
}

/// The limits that are asked for, where they are below the server's own.
fn limits(app: &App, request: &HookRequest) -> Result<Limits> {
    let config = &app.config.hooks;
    let ceiling = config.ceiling();
    let check = |name: &str, asked: u64, ceiling: u64, setting: &str| {
        if (1..=ceiling).contains(&asked) {
            return Ok(asked);
        }
        let message =
            format!("`{name}` is {asked}; it must be between 1 and {ceiling} ({setting}).");
        Err(Error::invalid(name, message))
    };
    let timeout_ms = request.timeout_ms.unwrap_or(config.timeout_ms);
    check(
        "timeout_ms",
        timeout_ms.into(),
        ceiling.timeout_ms.into(),
        "hooks.max_timeout_ms",
    )?;
    Ok(Limits {
        timeout_ms,
        memory_bytes: check(
            "memory_bytes",
            request.memory_bytes.unwrap_or(ceiling.memory_bytes),
            ceiling.memory_bytes,
            "hooks.max_memory_bytes",
        )?,
        fuel: check(
            "fuel",
            request.fuel.unwrap_or(ceiling.fuel),
            ceiling.fuel,
            "hooks.fuel",
        )?,
    })
}
