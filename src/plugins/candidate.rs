//! Checks that a revision can run with given settings, before it is bound or tried.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_hooks::{Guest, Plugin};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::{Digest, Revision};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;

/// A revision with settings that it accepts.
#[derive(Debug)]
pub struct Candidate {
    /// The revision.
    pub revision: Revision,
    /// The plugin and settings that would run.
    pub guest: Guest,
}

/// A revision: a digest, or `latest` for the newest revision at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Which {
    /// The newest revision.
    #[default]
    Latest,
    /// The revision with this digest.
    This(Digest),
}

impl PartialSchema for Which {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^(latest|[0-9a-fA-F]{64})$"))
            .description(Some("A digest, or `latest`."))
            .examples(["latest"])
            .into()
    }
}

impl ToSchema for Which {}

impl TryFrom<String> for Which {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Which> for String {
    fn from(which: Which) -> Self {
        match which {
            Which::Latest => "latest".to_owned(),
            Which::This(digest) => digest.to_string(),
        }
    }
}

impl std::str::FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            digest => digest
                .parse()
                .map(Self::This)
                .map_err(|error| format!("{error}, or `latest`")),
        }
    }
}

/// Id of the plugin that a tenant may bind under this name. The tenant's own plugin takes precedence over the
/// platform's. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such plugin.
pub fn bindable(app: &App, tenant: TenantId, plugin: &str) -> Result<i32> {
    app.store
        .plugin_find(Some(tenant), plugin)?
        .ok_or(Error::NotFound(Noun::Plugin))
}

/// Finds a revision of a plugin that a tenant may bind, and lets the plugin validate the settings. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] for the revision, [`Error::InvalidParameter`] for settings that are no object or too long, and
/// [`Error::SettingsRefused`] with the plugin's issues. Their JSON pointers get the prefix `pointer`.
pub fn candidate(
    app: &App,
    tenant: TenantId,
    plugin_id: i32,
    which: Which,
    settings: &Value,
    pointer: &str,
) -> Result<Candidate> {
    let sha256 = match which {
        Which::Latest => None,
        Which::This(sha256) => Some(sha256),
    };
    let revision = app
        .store
        .plugin_revision(Some(tenant), plugin_id, sha256)?
        .ok_or(Error::NotFound(Noun::Revision))?;
    if !settings.is_object() {
        return Err(Error::InvalidParameter {
            field: pointer.to_owned(),
            message: "A hook's settings must be a JSON object.".to_owned(),
        });
    }
    let text = settings.to_string();
    let limit = app.config.hooks.max_settings_bytes;
    if text.len() > limit {
        return Err(Error::InvalidParameter {
            field: pointer.to_owned(),
            message: format!(
                "The settings have {} bytes; the limit is {limit} (hooks.max_settings_bytes).",
                text.len()
            ),
        });
    }
    let guest = Guest {
        plugin: load(app, Some(tenant), plugin_id, revision.sha256)?,
        settings: text.into(),
    };
    accept_settings(app, &guest, pointer)?;
    Ok(Candidate { revision, guest })
}

/// Lets a plugin validate its settings.
fn accept_settings(app: &App, guest: &Guest, pointer: &str) -> Result<()> {
    let mut issues = guest
        .plugin
        .validate_settings(&app.engine, &guest.settings)?;
    if issues.is_empty() {
        return Ok(());
    }
    for issue in &mut issues {
        issue.field.insert_str(0, pointer);
    }
    Err(Error::SettingsRefused(issues))
}

/// The compiled plugin: from the engine's cache, or otherwise from the stored component.
pub(super) fn load(
    app: &App,
    owner: Option<TenantId>,
    plugin_id: i32,
    sha256: Digest,
) -> Result<Arc<Plugin>> {
    app.engine.plugin(sha256, || {
        app.store
            .plugin_component(owner, plugin_id, sha256)?
            .ok_or(Error::NotFound(Noun::Revision))
    })
}
