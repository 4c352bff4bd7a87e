//! Runs a save or delete through a tenant's chain without storing anything.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sigpersist_hooks::cases::{Prepared, Sample};
use sigpersist_hooks::{Bound, Chain};
use sigpersist_model::context::Context;
use sigpersist_model::decision::{Circumstances, Decision, Outcome};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Operation;
use utoipa::ToSchema;

use crate::app::App;
use crate::plugins::{self, Which};
use crate::policy;

/// Request to try a save or delete.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRequest {
    /// The save or delete to try. By default it is tried on the stored version of its thread: a save if you leave out
    /// `previous` and `version`, a delete if you leave out `cms`.
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize")]
    pub input: Sample,
    /// A revision to try in place of a hook's, or as an additional hook.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize_option"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateRequest>,
}

/// A revision and settings to try before binding them.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateRequest {
    /// Name of the hook that the candidate replaces. Without it, the candidate runs after all hooks.
    #[serde(default)]
    #[schema(example = "signer-tags")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Name of the plugin. By default that of the hook.
    #[serde(default)]
    #[schema(example = "signer-tags")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The revision: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// Settings of the candidate. By default those of the hook.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({}))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
}

/// Judgement of a sample by the hooks.
#[derive(Debug)]
pub struct Evaluation {
    /// Outcome that the save or delete would have.
    pub outcome: Outcome,
    /// Tags that the version would have.
    pub tags: Vec<String>,
    /// Decisions of the hooks.
    pub decisions: Vec<Decision>,
}

/// Name of a candidate that replaces no hook.
const CANDIDATE: &str = "candidate";

/// Runs a sample through the tenant's chain, with or without a candidate in it. Stores nothing, and counts no failures
/// of hooks. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] for plugin, revision or hook, [`Error::SettingsRefused`], [`Error::SignatureNotFound`] for a
/// delete of a thread that is not stored, [`Error::InvalidParameter`].
pub fn evaluate(app: &App, context: &Context, request: &EvaluateRequest) -> Result<Evaluation> {
    let tenant = context.tenant()?;
    let input = &request.input;
    let files = [&input.cms_file, &input.content_file];
    if input.settings.is_some() || input.is_of_tenant() || files.into_iter().any(Option::is_some) {
        return Err(Error::invalid(
            "input",
            "`settings`, `anchors`, `revocation` and files are for test cases: hooks and candidates have their own settings, the tenant its own anchors and policy, and a signature is sent as `cms`.",
        ));
    }
    let active = plugins::chain(app, tenant)?;
    let mut hooks: Vec<_> = active.hooks().iter().map(Bound::for_trial).collect();
    if let Some(request) = &request.candidate {
        let candidate = candidate(app, context, request)?;
        match hooks.iter_mut().find(|hook| hook.name == candidate.name) {
            Some(hook) => *hook = candidate,
            None => hooks.push(candidate),
        }
    }
    let chain = Chain::new(Arc::clone(&app.engine), hooks);
    let circumstances = input.circumstances(Some(Circumstances::now(context)?));
    let policy = policy::in_force(app, tenant)?;
    let prepared = match input.operation {
        Operation::Save if input.previous.is_some() || input.version.is_some() => {
            input.prepare()?
        }
        Operation::Save => {
            let draft = input.draft()?;
            let previous = app.store.signature_get(tenant, &draft.key, None)?;
            let version = previous
                .as_ref()
                .map_or(1, |previous| previous.version.saturating_add(1));
            Prepared::Save {
                draft: Box::new(draft),
                version,
                previous: previous.map(Box::new),
                attachments: input.attachments()?,
            }
        }
        Operation::Delete if input.cms.is_some() => input.prepare()?,
        Operation::Delete => {
            let stored = app.store.signature_get(tenant, &input.key(), None)?;
            Prepared::Delete(Box::new(stored.ok_or(Error::SignatureNotFound)?))
        }
    };
    let judged = prepared.judge(&chain, &circumstances, &policy);
    Ok(Evaluation {
        outcome: judged.outcome(),
        tags: judged.tags,
        decisions: judged.decisions,
    })
}

/// The candidate as a hook. It enforces, so that its effect is visible.
pub(super) fn candidate(app: &App, context: &Context, request: &CandidateRequest) -> Result<Bound> {
    let tenant = context.tenant()?;
    let hook = match &request.hook {
        None => None,
        Some(name) => Some(
            app.store
                .hook_get(tenant, name)?
                .ok_or(Error::NotFound(Noun::Hook))?,
        ),
    };
    let binding = hook.as_ref().map(|hook| &hook.binding);
    let plugin_id = match (&request.plugin, binding) {
        (Some(plugin), _) => plugins::bindable(app, tenant, plugin)?,
        (None, Some(binding)) => binding.plugin_id,
        (None, None) => {
            return Err(Error::InvalidParameter {
                field: "/candidate/plugin".to_owned(),
                message: "`candidate` must name a `plugin`, or the `hook` that it replaces."
                    .to_owned(),
            });
        }
    };
    let settings = request
        .settings
        .clone()
        .or(binding.map(|binding| binding.settings.clone()))
        .unwrap_or_else(|| serde_json::json!({}));
    let candidate = plugins::candidate(
        app,
        context.tenant()?,
        plugin_id,
        request.revision,
        &settings,
        "/candidate/settings",
    )?;
    let name = hook.as_ref().map_or(CANDIDATE, |hook| &hook.name);
    let config = &app.config.hooks;
    let limits = binding.map_or(config.default_limits(), |binding| {
        config.within_ceiling(binding.limits)
    });
    Ok(Bound {
        binding: hook.as_ref().map_or(0, |hook| hook.number),
        ..Bound::unbound(name, candidate.guest, limits)
    })
}
