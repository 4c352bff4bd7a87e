//! Handlers for plugins and their revisions.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::ACCEPT;
use serde::{Deserialize, Serialize};
use sigpersist_hooks::cases::Case;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::MEDIA_TYPE;
use sigpersist_model::view::{PluginView, RevisionView};
use utoipa::ToSchema;

use super::openapi::{Component, Location, RevisionTag};
use super::operators::digest;
use super::parameters::is_of_kind;
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::plugins;

#[derive(Serialize, ToSchema)]
struct PluginsContent {
    /// The plugins.
    plugins: Vec<PluginView>,
}

#[derive(Serialize, ToSchema)]
struct OnePlugin {
    /// The plugin.
    plugin: PluginView,
}

#[derive(Serialize, ToSchema)]
struct RevisionsContent {
    /// The revisions.
    revisions: Vec<RevisionView>,
}

#[derive(Serialize, ToSchema)]
struct OneRevision {
    /// The revision.
    revision: RevisionView,
}

/// Lists plugins, each with its newest revision.
#[utoipa::path(
    get,
    path = "/plugins",
    operation_id = "list_plugins",
    responses(
        (status = 200, description = "The plugins", body = Envelope<PluginsContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters()?;
    let plugins = plugins::plugins(&call.app, call.context.owner())?;
    Reply::content(&PluginsContent {
        plugins: plugins.into_iter().map(Into::into).collect(),
    })
}

/// Reads a plugin's details.
#[utoipa::path(
    get,
    path = "/plugins/{name}",
    operation_id = "get_plugin",
    responses(
        (
            status = 200,
            description = "The plugin with its newest revision",
            body = Envelope<OnePlugin>,
            headers(("etag" = RevisionTag)),
        ),
        (status = 404, description = "plugin_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let plugin = plugins::plugin(&call.app, call.context.owner(), call.name())?;
    let etag = plugin.newest.sha256;
    Ok(Reply::content(&OnePlugin {
        plugin: plugin.into(),
    })?
    .with_etag(etag))
}

/// A component with its test cases.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PluginUpload)]
struct Upload<'a> {
    /// The component, in base64.
    #[schema(value_type = String)]
    #[serde(borrow)]
    component: Cow<'a, str>,
    /// Test cases that must pass.
    #[schema(example = json!([]))]
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize_list"
    )]
    cases: Vec<Case>,
    /// The publisher's signature of the component: the text of a `.minisig` file. Its trusted comment states
    /// `plugin:NAME version:VERSION`.
    #[serde(default)]
    #[schema(example = json!(null))]
    signature: Option<String>,
    /// The artefact in a registry that the component came from: its reference with the digest of its manifest. The server
    /// records it, and does not look there.
    #[serde(default)]
    #[schema(example = json!(null))]
    origin: Option<String>,
}

/// Uploads a revision of a plugin.
///
/// Send the component by itself, or in JSON with test cases, all of which must pass, and with its publisher's signature. If
/// the server trusts only certain publishers (`plugins.require_signature`), the signature is required. No hook runs it until
/// you bind it.
#[utoipa::path(
    put,
    path = "/plugins/{name}",
    operation_id = "upload_plugin",
    request_body(content((Upload<'_> = "application/json"), (Component = "application/wasm"))),
    responses(
        (
            status = 201,
            description = "The component is the newest revision now",
            body = Envelope<OneRevision>,
            headers(("etag" = RevisionTag), ("location" = Location)),
        ),
        (
            status = 200,
            description = "The component was the newest revision already",
            body = Envelope<OneRevision>,
            headers(("etag" = RevisionTag)),
        ),
        (status = 422, description = "refused, cases_failed, plugin_signature_refused"),
    )
)]
pub(super) fn put(mut call: Call) -> Result<Reply> {
    let (component, cases, signature, origin) = if is_of_kind(&call.headers, MEDIA_TYPE) {
        (call.take_body(), Vec::new(), None, None)
    } else {
        let upload: Upload<'_> = call.json()?;
        let component = BASE64
            .decode(&*upload.component)
            .map_err(|_| Error::invalid("component", "`component` must be base64."))?;
        let (cases, signature, origin) = (upload.cases, upload.signature, upload.origin);
        drop(call.take_body());
        (component.into(), cases, signature, origin)
    };
    let uploaded = plugins::upload(
        &call.app,
        call.context.owner(),
        call.context.actor(),
        call.name(),
        &plugins::Upload {
            component: &component,
            cases: &cases,
            signature: signature.as_deref(),
            origin: origin.as_deref(),
        },
    )?;
    let sha256 = uploaded.revision.sha256;
    let reply = Reply::content(&OneRevision {
        revision: uploaded.revision.into(),
    })?
    .with_etag(sha256);
    Ok(if uploaded.changed {
        let location = call.location(&["plugins", call.name(), "revisions", &sha256.to_string()]);
        reply.created_at(&location)
    } else {
        reply
    })
}

/// Lists the revisions of a plugin, newest first.
#[utoipa::path(
    get,
    path = "/plugins/{name}/revisions",
    operation_id = "list_revisions",
    responses(
        (status = 200, description = "The revisions, newest first", body = Envelope<RevisionsContent>),
        (status = 404, description = "plugin_not_found"),
    )
)]
pub(super) fn revisions(call: Call) -> Result<Reply> {
    call.parameters()?;
    let revisions = plugins::revisions(&call.app, call.context.owner(), call.name())?;
    Reply::content(&RevisionsContent {
        revisions: revisions.into_iter().map(Into::into).collect(),
    })
}

/// Reads a revision's details, or with `Accept: application/wasm` the component itself.
#[utoipa::path(
    get,
    path = "/plugins/{name}/revisions/{sha256}",
    operation_id = "get_revision",
    responses(
        (
            status = 200,
            description = "The revision",
            content((Envelope<OneRevision> = "application/json"), (Component = "application/wasm")),
            headers(("etag" = RevisionTag)),
        ),
        (status = 404, description = "plugin_not_found, revision_not_found"),
    )
)]
pub(super) fn revision(call: Call) -> Result<Reply> {
    call.parameters()?;
    let sha256 = digest(call.segment(1))?;
    let (owner, name) = (call.context.owner(), call.name());
    let accepts = call.headers.get(ACCEPT);
    if accepts
        .and_then(|accepts| accepts.to_str().ok())
        .is_some_and(|accepts| accepts.contains(MEDIA_TYPE))
    {
        let component = plugins::component(&call.app, owner, name, sha256)?;
        return Ok(Reply::bytes(MEDIA_TYPE, component).with_etag(sha256));
    }
    let revision = plugins::revision(&call.app, owner, name, sha256)?;
    Ok(Reply::content(&OneRevision {
        revision: revision.into(),
    })?
    .with_etag(sha256))
}

/// Deletes a plugin with all its revisions, unless a hook runs it.
#[utoipa::path(
    delete,
    path = "/plugins/{name}",
    operation_id = "delete_plugin",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "plugin_not_found"),
        (status = 409, description = "plugin_bound"),
    )
)]
pub(super) fn delete(call: Call) -> Result<Reply> {
    call.parameters()?;
    let actor = call.context.actor();
    plugins::delete_plugin(&call.app, call.context.owner(), actor, call.name())?;
    Reply::done()
}
