//! The handlers of plugins and their revisions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use super::operators::digest;
use super::reply::Reply;
use super::respond::Call;
use crate::error::{Error, Result};
use crate::plugins;
use crate::plugins::model::{Digest, Plugin, Revision};
use crate::time;
use crate::trials::Case;

/// The media type of components (WebAssembly Web API, section 2).
const WASM: &str = "application/wasm";

#[derive(Serialize)]
struct PluginContent {
    name: String,
    /// `platform`, whose plugins any tenant may bind, or `tenant`.
    owner: &'static str,
    revisions: i64,
    newest: RevisionContent,
}

impl From<Plugin> for PluginContent {
    fn from(plugin: Plugin) -> Self {
        Self {
            name: plugin.name,
            owner: match plugin.owner {
                Some(_) => "tenant",
                None => "platform",
            },
            revisions: plugin.revisions,
            newest: plugin.newest.into(),
        }
    }
}

#[derive(Serialize)]
struct RevisionContent {
    sha256: Digest,
    size: u64,
    description: String,
    exports: Vec<String>,
    imports: Vec<String>,
    cases: i64,
    uploaded_by: Option<String>,
    uploaded_at: String,
}

impl From<Revision> for RevisionContent {
    fn from(revision: Revision) -> Self {
        Self {
            sha256: revision.sha256,
            size: revision.size,
            description: revision.description,
            exports: revision.exports,
            imports: revision.imports,
            cases: revision.cases,
            uploaded_by: revision.uploaded_by,
            uploaded_at: time::to_text(revision.uploaded_at),
        }
    }
}

#[derive(Serialize)]
struct PluginsContent {
    plugins: Vec<PluginContent>,
}

#[derive(Serialize)]
struct OnePlugin {
    plugin: PluginContent,
}

#[derive(Serialize)]
struct RevisionsContent {
    revisions: Vec<RevisionContent>,
}

#[derive(Serialize)]
struct OneRevision {
    revision: RevisionContent,
}

/// `GET /plugins`.
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let plugins = plugins::plugins(&call.app, call.context.owner())?;
    Reply::content(&PluginsContent {
        plugins: plugins.into_iter().map(Into::into).collect(),
    })
}

/// `GET /plugins/{name}`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let plugin = plugins::plugin(&call.app, call.context.owner(), call.name())?;
    let etag = plugin.newest.sha256;
    Ok(Reply::content(&OnePlugin {
        plugin: plugin.into(),
    })?
    .with_etag(etag))
}

/// A component with its test cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upload {
    /// In base64.
    component: String,
    #[serde(default)]
    cases: Vec<Case>,
}

/// `PUT /plugins/{name}`.
pub(super) fn put(call: Call) -> Result<Reply> {
    let kind = call.headers.get(CONTENT_TYPE);
    let is_wasm = kind
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(WASM));
    let (component, cases) = if is_wasm {
        (call.body().to_vec(), Vec::new())
    } else {
        let upload: Upload = call.json()?;
        let component = BASE64
            .decode(&upload.component)
            .map_err(|_| Error::invalid("component", "`component` must be base64."))?;
        (component, upload.cases)
    };
    let uploaded = plugins::upload(
        &call.app,
        call.context.owner(),
        call.context.actor(),
        call.name(),
        &component,
        &cases,
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

/// `GET /plugins/{name}/revisions`.
pub(super) fn revisions(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let revisions = plugins::revisions(&call.app, call.context.owner(), call.name())?;
    Reply::content(&RevisionsContent {
        revisions: revisions.into_iter().map(Into::into).collect(),
    })
}

/// `GET /plugins/{name}/revisions/{sha256}`.
pub(super) fn revision(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let sha256 = digest(call.segment(1))?;
    let (owner, name) = (call.context.owner(), call.name());
    let accepts = call.headers.get(ACCEPT);
    if accepts
        .and_then(|accepts| accepts.to_str().ok())
        .is_some_and(|accepts| accepts.contains(WASM))
    {
        let component = plugins::component(&call.app, owner, name, sha256)?;
        return Ok(Reply::bytes(WASM, component).with_etag(sha256));
    }
    let revision = plugins::revision(&call.app, owner, name, sha256)?;
    Ok(Reply::content(&OneRevision {
        revision: revision.into(),
    })?
    .with_etag(sha256))
}

/// `DELETE /plugins/{name}`.
pub(super) fn delete(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let actor = call.context.actor();
    plugins::delete_plugin(&call.app, call.context.owner(), actor, call.name())?;
    Reply::done()
}
