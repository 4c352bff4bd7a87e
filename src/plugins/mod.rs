//! Plugins and hooks: what operators upload and bind, and how a tenant's chain comes together from it.

pub mod model;

use std::sync::Arc;

use crate::app::App;
use crate::context::TenantId;
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::hooks::{Bound, Chain, Plugin, Turn};
use crate::store::NewRevision;
use crate::tenants;
use crate::tenants::model::check_slug;
use model::{Digest, Hook, Mode, OnFailure, Revision};

/// Uploads a component as the newest revision of a plugin, after everything about it was checked. Without an owner it is
/// the platform's.
///
/// # Errors
///
/// [`Error::Refused`] with what is wrong with the component or the name.
pub fn upload(app: &App, owner: Option<&str>, name: &str, component: &[u8]) -> Result<Revision> {
    check_slug("plugin", name)?;
    let owner = owner
        .map(|slug| tenants::find(app, slug))
        .transpose()?
        .map(|tenant| tenant.id);
    let plugin = Plugin::compile(&app.engine, component)?;
    let description = plugin.describe(&app.engine)?;
    accept_settings(app, &plugin, "{}").map_err(|error| {
        Error::refused(format!(
            "The plugin refuses even empty settings, so it could not be bound without any: {error}"
        ))
    })?;
    app.store.plugin_upload(
        owner,
        name,
        component,
        &NewRevision {
            sha256: Digest(sha256(component)),
            exports: plugin.exports(),
            imports: plugin.imports(),
            description: &description.summary,
        },
    )
}

/// What an operator asks of a hook; what is left out has its default.
#[derive(Debug, Clone)]
pub struct HookRequest {
    /// The plugin whose newest revision runs.
    pub plugin: String,
    /// Hooks run from the lowest to the highest.
    pub order: i32,
    /// Wall-clock limit of one call; the server's default where it is left out.
    pub timeout_ms: Option<u32>,
    /// Whether it decides.
    pub mode: Mode,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What it reads as its configuration.
    pub settings: serde_json::Value,
}

/// Binds the newest revision of a plugin to a tenant, as a new hook or in place of the one of this name.
///
/// # Errors
///
/// [`Error::Refused`] with what is wrong: tenant, plugin, limit, or settings, as the plugin sees them.
pub fn set_hook(app: &App, slug: &str, name: &str, request: HookRequest) -> Result<Hook> {
    check_slug("hook", name)?;
    let tenant = tenants::find(app, slug)?;
    let limits = &app.config.hooks;
    let timeout_ms = request.timeout_ms.unwrap_or(limits.timeout_ms);
    if !(1..=limits.max_timeout_ms).contains(&timeout_ms) {
        return Err(Error::refused(format!(
            "A hook's time limit is between 1 and {} ms (hooks.max_timeout_ms).",
            limits.max_timeout_ms
        )));
    }
    if !request.settings.is_object() {
        return Err(Error::refused("A hook's settings are a JSON object."));
    }
    let revision = app.store.plugin_newest(tenant.id, &request.plugin)?.ok_or_else(|| {
        Error::refused(format!(
            "There is no plugin `{0}` that the tenant `{slug}` may bind. Upload one with `sigpersist plugin upload {0} FILE`.",
            request.plugin
        ))
    })?;
    let plugin = load(app, revision.plugin_id, revision.sha256)?;
    accept_settings(app, &plugin, &request.settings.to_string())?;
    let hook = Hook {
        tenant: tenant.id,
        name: name.to_owned(),
        plugin_id: revision.plugin_id,
        sha256: revision.sha256,
        position: request.order,
        mode: request.mode,
        on_failure: request.on_failure,
        timeout_ms,
        settings: request.settings,
    };
    app.store.hook_set(&hook)?;
    Ok(hook)
}

fn accept_settings(app: &App, plugin: &Plugin, settings: &str) -> Result<()> {
    let issues = plugin.validate_settings(&app.engine, settings)?;
    if issues.is_empty() {
        return Ok(());
    }
    let issues: Vec<_> = issues
        .iter()
        .map(|issue| match issue.field.as_str() {
            "" => issue.message.clone(),
            field => format!("{field}: {}", issue.message),
        })
        .collect();
    Err(Error::refused(format!(
        "The plugin refuses these settings: {}.",
        issues.join("; ")
    )))
}

fn load(app: &App, plugin_id: i32, sha256: Digest) -> Result<Arc<Plugin>> {
    app.engine
        .plugin(sha256, || app.store.plugin_component(plugin_id, sha256))
}

/// A tenant's hooks, ready to run; from the database where they are not. Blocks.
///
/// # Errors
///
/// Those of the store, and [`Error::Internal`] for a stored component that no longer compiles.
pub fn chain(app: &App, tenant: TenantId) -> Result<Arc<Chain>> {
    app.chains.get_or_load(&tenant, || {
        let hooks = app.store.hook_list(tenant)?;
        let hooks = hooks
            .into_iter()
            .map(|hook| {
                Ok(Bound {
                    plugin: load(app, hook.plugin_id, hook.sha256)?,
                    name: hook.name,
                    mode: hook.mode,
                    on_failure: hook.on_failure,
                    // The ceiling is this server's, whoever set the hook.
                    timeout_ms: hook.timeout_ms.min(app.config.hooks.max_timeout_ms),
                    settings: hook.settings.to_string().into(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(Chain::new(Arc::clone(&app.engine), hooks)))
    })
}

/// What hooks judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Saving a version.
    Save,
    /// Deleting a thread.
    Delete,
}

/// A tenant's hooks, and the right to run them now where there is anything to run.
#[derive(Debug)]
pub struct Judges {
    /// The hooks as they were when the request began.
    pub chain: Arc<Chain>,
    turn: Option<Turn>,
}

impl Judges {
    /// Gives the turn back, when the hooks have run: others need not wait for the database's answer.
    pub fn done(&mut self) {
        self.turn = None;
    }
}

/// Waits until the tenant's hooks may run.
///
/// # Errors
///
/// Those of [`chain`] and of [`Engine::turn`](crate::hooks::Engine::turn).
pub async fn judges(app: &Arc<App>, tenant: TenantId, operation: Operation) -> Result<Judges> {
    let chain = match app.chains.get(&tenant) {
        Some(chain) => chain,
        None => app.load(move |app| chain(app, tenant)).await?,
    };
    let needed = match operation {
        Operation::Save => chain.judges_saves(),
        Operation::Delete => chain.judges_deletes(),
    };
    let turn = if needed {
        Some(app.engine.turn(tenant).await?)
    } else {
        None
    };
    Ok(Judges { chain, turn })
}
