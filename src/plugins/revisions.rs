//! Uploads, shows and deletes plugins and their revisions.

use semver::Version;
use sigpersist_hooks::cases::{Case, check_cases};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Digest, Plugin, Revision};
use sigpersist_model::publisher::{Publisher, SignatureFault, SignatureRefusal};
use sigpersist_model::reference::Reference;
use sigpersist_model::tenant::check_slug;
use sigpersist_store::{NewRevision, PluginDeletion, PluginUpload};

use crate::app::App;

/// Result of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The revision.
    pub revision: Revision,
    /// Whether the upload changed which revision is the newest.
    pub changed: bool,
}

/// A component to upload, with all that comes with it.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    /// Its bytes.
    pub component: &'a [u8],
    /// Test cases that must pass.
    pub cases: &'a [Case],
    /// Its publisher's signature, as a `.minisig` file.
    pub signature: Option<&'a str>,
    /// The artefact that it came from, as its uploader states it: a reference with a digest.
    pub origin: Option<&'a str>,
}

impl<'a> Upload<'a> {
    /// A component by itself.
    pub fn of(component: &'a [u8]) -> Self {
        Self {
            component,
            cases: &[],
            signature: None,
            origin: None,
        }
    }
}

/// Uploads a component as the newest revision of a plugin, after checking it and running its test cases. Without an
/// owner the plugin is the platform's. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] for a bad component or name, [`Error::CasesFailed`] for failed test cases, and
/// [`Error::PluginSignatureRefused`] if its publisher's signature is missing or not one that the server trusts.
pub fn upload(
    app: &App,
    owner: Option<TenantId>,
    actor: Actor,
    name: &str,
    upload: &Upload<'_>,
) -> Result<Uploaded> {
    let &Upload {
        component,
        cases,
        signature,
        origin,
    } = upload;
    check_slug("plugin", name)?;
    let origin = origin.map(pinned).transpose()?;
    // First, since only a publisher that is trusted may have its component compiled.
    let publisher = app.publishers.judge(name, component, signature)?;
    let sha256 = Digest(sha256(component));
    let plugin = app.engine.admit(component)?;
    let description = plugin.describe(&app.engine)?;
    // The plugin need not accept empty settings: binding it without settings checks that. Here the call must only
    // succeed.
    plugin.validate_settings(&app.engine, "{}")?;
    check_cases(&app.engine, &plugin, cases)?;
    let event = Event::new(owner, actor, "plugin.upload", name);
    let uploaded = app.store.plugin_upload(
        owner,
        name,
        &NewRevision {
            sha256,
            component,
            exports: plugin.exports(),
            imports: plugin.imports(),
            description: &description.summary,
            cases: serde_json::to_value(cases).map_err(Error::internal)?,
            origin: origin.as_deref(),
            publisher: publisher.as_ref(),
        },
        &event,
    )?;
    match uploaded {
        PluginUpload::Done(revision, changed) => Ok(Uploaded {
            revision: app.publishers.trusting(*revision),
            changed,
        }),
        PluginUpload::Older(newer) => Err(version_refused(
            publisher,
            SignatureFault::OlderVersion,
            |version| {
                format!(
                    "Version {version} is older than {newer}, which was uploaded before. To run an earlier revision, bind that one (`sigpersist hook set --revision`); to go back for good, sign its bytes under a new version."
                )
            },
        )),
        PluginUpload::Taken(sha256) => Err(version_refused(
            publisher,
            SignatureFault::VersionTaken,
            |version| {
                format!(
                    "Version {version} is another revision already: {sha256}. Sign the changed plugin under a new version."
                )
            },
        )),
    }
}

/// An origin, which must be a reference with a digest.
fn pinned(origin: &str) -> Result<String> {
    let reference: Reference = origin
        .parse()
        .map_err(|error| Error::invalid("origin", format!("`origin` can't be used: {error}.")))?;
    if reference.digest.is_none() {
        return Err(Error::invalid(
            "origin",
            "`origin` must have the digest of its manifest: add `@sha256:DIGEST`.",
        ));
    }
    Ok(reference.to_string())
}

fn version_refused(
    publisher: Option<Publisher>,
    fault: SignatureFault,
    sentence: impl FnOnce(&Version) -> String,
) -> Error {
    match publisher {
        Some(publisher) => Error::PluginSignatureRefused(Box::new(SignatureRefusal {
            fault,
            sentence: sentence(&publisher.version),
            key_id: Some(publisher.key_id),
        })),
        None => Error::internal("a version was refused that nobody signed"),
    }
}

/// An owner's plugins. A tenant's list includes the platform's, which it may bind. Blocks.
///
/// # Errors
///
/// Errors of the store.
pub fn plugins(app: &App, owner: Option<TenantId>) -> Result<Vec<Plugin>> {
    let mut plugins = app.store.plugin_list(owner)?;
    for plugin in &mut plugins {
        app.publishers.trust(&mut plugin.newest);
    }
    Ok(plugins)
}

/// The plugin with this name. The owner's own plugin takes precedence over the platform's. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such plugin.
pub fn plugin(app: &App, owner: Option<TenantId>, name: &str) -> Result<Plugin> {
    let id = find(app, owner, name)?;
    plugins(app, owner)?
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
    let revisions = app.store.plugin_revisions(owner, find(app, owner, name)?)?;
    let revisions = revisions.into_iter();
    Ok(revisions
        .map(|revision| app.publishers.trusting(revision))
        .collect())
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
        .map(|revision| app.publishers.trusting(revision))
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
