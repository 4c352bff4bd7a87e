//! Uploads, shows and deletes plugins and their revisions.

use sigpersist_hooks::cases::{Case, check_cases};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Digest, Plugin, Revision};
use sigpersist_model::tenant::check_slug;
use sigpersist_store::{NewRevision, PluginDeletion};

use crate::app::App;

/// Result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The revision.
    pub revision: Revision,
    /// Whether the upload changed which revision is the newest.
    pub changed: bool,
}

/// Uploads a component as the newest revision of a plugin, after checking it and running its test cases. Without an
/// owner the plugin is the platform's. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] for a bad component or name, [`Error::CasesFailed`] for failed test cases.
pub fn upload(
    app: &App,
    owner: Option<TenantId>,
    actor: Actor,
    name: &str,
    component: &[u8],
    cases: &[Case],
) -> Result<Uploaded> {
    check_slug("plugin", name)?;
    let sha256 = Digest(sha256(component));
    let plugin = app.engine.admit(component)?;
    let description = plugin.describe(&app.engine)?;
    // The plugin need not accept empty settings: binding it without settings checks that. Here the call must only
    // succeed.
    plugin.validate_settings(&app.engine, "{}")?;
    check_cases(&app.engine, &plugin, cases)?;
    let event = Event::new(owner, actor, "plugin.upload", name);
    let (revision, changed) = app.store.plugin_upload(
        owner,
        name,
        &NewRevision {
            sha256,
            component,
            exports: plugin.exports(),
            imports: plugin.imports(),
            description: &description.summary,
            cases: serde_json::to_value(cases).map_err(Error::internal)?,
        },
        &event,
    )?;
    Ok(Uploaded { revision, changed })
}

/// An owner's plugins. A tenant's list includes the platform's, which it may bind. Blocks.
///
/// # Errors
///
/// Errors of the store.
pub fn plugins(app: &App, owner: Option<TenantId>) -> Result<Vec<Plugin>> {
    app.store.plugin_list(owner)
}

/// The plugin with this name. The owner's own plugin takes precedence over the platform's. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such plugin.
pub fn plugin(app: &App, owner: Option<TenantId>, name: &str) -> Result<Plugin> {
    let id = find(app, owner, name)?;
    let plugins = app.store.plugin_list(owner)?;
    plugins
        .into_iter()
        .find(|plugin| plugin.id == id)
        .ok_or(Error::NotFound(Noun::Plugin))
}

/// A plugin's revisions, newest first. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such plugin.
pub fn revisions(app: &App, owner: Option<TenantId>, name: &str) -> Result<Vec<Revision>> {
    app.store.plugin_revisions(owner, find(app, owner, name)?)
}

/// One revision of a plugin. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such plugin or revision.
pub fn revision(
    app: &App,
    owner: Option<TenantId>,
    name: &str,
    sha256: Digest,
) -> Result<Revision> {
    app.store
        .plugin_revision(owner, find(app, owner, name)?, Some(sha256))?
        .ok_or(Error::NotFound(Noun::Revision))
}

/// The component of a revision. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such plugin or revision.
pub fn component(
    app: &App,
    owner: Option<TenantId>,
    name: &str,
    sha256: Digest,
) -> Result<Vec<u8>> {
    app.store
        .plugin_component(owner, find(app, owner, name)?, sha256)?
        .ok_or(Error::NotFound(Noun::Revision))
}

/// Deletes an owner's plugin with all its revisions. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], and [`Error::PluginBound`] as long as a hook uses it.
pub fn delete_plugin(app: &App, owner: Option<TenantId>, actor: Actor, name: &str) -> Result<()> {
    let event = Event::new(owner, actor, "plugin.delete", name);
    match app.store.plugin_delete(owner, name, &event)? {
        PluginDeletion::Done => Ok(()),
        PluginDeletion::NotFound => Err(Error::NotFound(Noun::Plugin)),
        PluginDeletion::Bound(by) => {
            // Only hooks of one tenant can use its own plugin. The platform's can be used by many tenants, so name
            // those too.
            let hook = |bound: sigpersist_store::BoundBy| match owner {
                Some(_) => bound.hook,
                None => format!("{}/{}", bound.tenant, bound.hook),
            };
            Err(Error::PluginBound {
                hooks: by.into_iter().map(hook).collect(),
            })
        }
    }
}

fn find(app: &App, owner: Option<TenantId>, name: &str) -> Result<i32> {
    app.store
        .plugin_find(owner, name)?
        .ok_or(Error::NotFound(Noun::Plugin))
}
