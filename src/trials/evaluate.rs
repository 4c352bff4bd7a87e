//! Running a save or delete through a tenant's chain without storing anything.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use sigpersist_model::context::Context;
use sigpersist_model::decision::{Circumstances, Decision, Outcome};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::plugin::Operation;
use utoipa::ToSchema;

use super::sample::{Prepared, Sample};
use crate::app::App;
use crate::hooks::{Bound, Chain};
use crate::plugins::{self, Which};
use crate::policy;

/// What is to be tried.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateRequest {
    /// The save or delete. What is stored of its thread need not be told.
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize")]
    pub input: Sample,
    /// A revision to be tried in place of a hook's, or as another hook.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize_option"
    )]
    pub candidate: Option<CandidateRequest>,
}

/// A revision and settings that an operator thinks of binding.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateRequest {
    /// The hook whose place it takes; without one it comes last.
    #[serde(default)]
    #[schema(example = "signer-tags")]
    pub hook: Option<String>,
    /// The plugin; that of the hook where it is left out.
    #[serde(default)]
    #[schema(example = "signer-tags")]
    pub plugin: Option<String>,
    /// The revision: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// What it would read as its configuration; that of the hook where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({}))]
    pub settings: Option<Value>,
}

/// What the hooks made of a sample.
#[derive(Debug)]
pub struct Evaluation {
    /// What would have become of it.
    pub outcome: Outcome,
    /// The tags that it would have had.
    pub tags: Vec<String>,
    /// What each hook decided.
    pub decisions: Vec<Decision>,
}

/// The name of a candidate that takes no hook's place.
const CANDIDATE: &str = "candidate";

/// Runs a sample through the tenant's chain, or what it would be with a candidate. Nothing is stored, and no hook's health
/// is touched. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] for plugin, revision or hook, [`Error::SettingsRefused`], [`Error::SignatureNotFound`] for a delete
/// of what is not stored, [`Error::InvalidParameter`].
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
                beside: input.beside()?,
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

/// A candidate as the hook that it would be. It decides, so that one sees what it would do.
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
                message: "`candidate` must name a `plugin`, or the `hook` whose plugin it is."
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
