//! Imports the plugins and hooks of a tenant's file. A plugin is uploaded as anybody would upload it. A hook is
//! imported only if it can run here. It keeps its bindings, so that recorded decisions still name the binding that
//! made them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sigpersist_hooks::cases::Case;
use sigpersist_model::audit::Actor;
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Digest, Mode};
use sigpersist_model::transfer::{Hook, HookBinding, Revision};

use crate::app::App;
use crate::plugins::{self, Upload};

/// Stands for the number of a plugin that does not exist here: bindings to it can be shown, but not run.
const NO_PLUGIN: i32 = 0;

/// The result of importing a part of the file.
pub(super) enum Taken {
    New,
    Same,
    /// Left out for this reason.
    LeftOut(String),
}

/// Turns an error about this part of the file into a reason to leave it out. Other errors end the import.
fn left_out(error: Error) -> Result<Taken> {
    match error {
        Error::DatabaseUnavailable(_) | Error::Internal(_) | Error::Overloaded => Err(error),
        refused => Ok(Taken::LeftOut(
            refused.to_string().trim_end_matches('.').to_owned(),
        )),
    }
}

/// Uploads a revision of one of the tenant's own plugins, unless it is stored already.
pub(super) fn take_revision(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    revision: &Revision,
) -> Result<Taken> {
    let Ok(component) = BASE64.decode(&revision.component) else {
        return Ok(Taken::LeftOut("its component is not base64".to_owned()));
    };
    let cases: Vec<Case> = match serde_json::from_value(revision.cases.clone()) {
        Ok(cases) => cases,
        Err(error) => return Ok(Taken::LeftOut(format!("its test cases: {error}"))),
    };
    let sha256 = Digest(sha256(&component));
    let plugins = app.store.plugin_list(Some(tenant))?;
    let own = plugins
        .iter()
        .find(|plugin| plugin.owner == Some(tenant) && plugin.name == revision.plugin);
    if let Some(own) = own
        && has(app, tenant, own.id, sha256)?
    {
        return Ok(Taken::Same);
    }
    let name = &revision.plugin;
    let upload = Upload {
        component: &component,
        cases: &cases,
        signature: revision.signature.as_deref(),
        origin: revision.origin.as_deref(),
    };
    match plugins::upload(app, Some(tenant), actor.clone(), name, &upload) {
        Ok(_) => Ok(Taken::New),
        Err(error) => left_out(error),
    }
}

/// Whether a hook, as the file has it, is enabled and in mode `enforce`.
pub(super) fn enforces(hook: &Hook, bindings: &[HookBinding]) -> bool {
    let Some(wanted) = &hook.in_force else {
        return false;
    };
    let mut bindings = bindings.iter();
    let line = bindings.find(|line| line.number == wanted.binding);
    // If its binding is not in the file, it might be.
    line.is_none_or(|line| line.enabled && line.mode == Mode::Enforce)
}

/// Adds the bindings of a hook, and puts into force the one that the file names. Leaves the hook out if it can't run
/// here, or if a binding with the same number differs here.
pub(super) fn take_hook(
    app: &App,
    tenant: TenantId,
    actor: &Actor,
    hook: &Hook,
    bindings: &[HookBinding],
) -> Result<Taken> {
    let mut numbers = Vec::with_capacity(bindings.len());
    for line in bindings {
        numbers.push(find_plugin(app, tenant, line)?);
    }
    let mut in_force = None;
    if let Some(wanted) = &hook.in_force {
        let line = bindings.iter().zip(&numbers);
        let mut line = line.filter(|(line, _)| line.number == wanted.binding);
        let Some((line, plugin_id)) = line.next() else {
            return Ok(Taken::LeftOut("its binding is not in the file".to_owned()));
        };
        let Some(plugin_id) = plugin_id else {
            return Ok(Taken::LeftOut(format!(
                "the plugin `{}`, revision {}{}, does not exist here; upload it, then import again",
                line.plugin,
                line.revision,
                match &line.shadow {
                    Some(shadow) => format!(" with the shadow {}", shadow.revision),
                    None => String::new(),
                }
            )));
        };
        let binding = line.to_binding(*plugin_id);
        if let Err(error) = plugins::check_binding(app, tenant, &hook.name, &binding) {
            return left_out(error);
        }
        in_force = Some((wanted, binding));
    }
    let mut missing = Vec::new();
    for (line, plugin_id) in bindings.iter().zip(numbers) {
        match app.store.hook_binding(tenant, &hook.name, line.number)? {
            Some(stored) if stored == line.to_binding(stored.plugin_id) => {}
            Some(_) => return Ok(another(line.number)),
            None => missing.push((line, plugin_id.unwrap_or(NO_PLUGIN))),
        }
    }
    for (line, plugin_id) in missing {
        if !app
            .store
            .import_binding(tenant, &hook.name, line, plugin_id)?
        {
            return Ok(another(line.number));
        }
    }
    let Some((wanted, binding)) = in_force else {
        return Ok(Taken::Same);
    };
    let current = app.store.hook_get(tenant, &hook.name)?;
    let over = current.as_ref().map_or(0, |hook| hook.number);
    if over >= wanted.binding {
        return Ok(Taken::Same);
    }
    let set_to = (wanted.binding, &binding);
    let event = plugins::import_event(tenant, actor, &hook.name, current.as_ref(), set_to);
    let set = app
        .store
        .import_hook(tenant, &hook.name, over, &binding, wanted, &event)?;
    Ok(if set {
        Taken::New
    } else {
        Taken::LeftOut("it was changed meanwhile; import again".to_owned())
    })
}

fn another(number: u32) -> Taken {
    Taken::LeftOut(format!("its binding {number} is different here"))
}

/// The plugin that has the revisions which a binding runs: the tenant's own, otherwise the platform's.
fn find_plugin(app: &App, tenant: TenantId, line: &HookBinding) -> Result<Option<i32>> {
    let own = app.store.plugin_find(Some(tenant), &line.plugin)?;
    let platforms = app.store.plugin_find(None, &line.plugin)?;
    for plugin_id in [own, platforms].into_iter().flatten() {
        let shadow = line.shadow.as_ref();
        let has_shadow = shadow.map(|shadow| has(app, tenant, plugin_id, shadow.revision));
        if has(app, tenant, plugin_id, line.revision)? && has_shadow.unwrap_or(Ok(true))? {
            return Ok(Some(plugin_id));
        }
    }
    Ok(None)
}

fn has(app: &App, tenant: TenantId, plugin_id: i32, sha256: Digest) -> Result<bool> {
    let revision = app
        .store
        .plugin_revision(Some(tenant), plugin_id, Some(sha256))?;
    Ok(revision.is_some())
}
