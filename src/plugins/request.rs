//! What an operator asks of a hook, and the check that it can be.

use serde::Deserialize;
use serde_json::{Value, json};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Binding, Limits, Mode, OnFailure, Operation, Shadow};
use utoipa::ToSchema;

use super::candidate::{Which, candidate};
use crate::app::App;

/// What an operator asks of a hook; what is left out has its default.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    /// The plugin: the tenant's own of this name, or the platform's.
    #[schema(example = "signer-tags")]
    pub plugin: String,
    /// The revision that runs: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// Hooks run from the lowest to the highest, ties by name.
    #[serde(default, deserialize_with = "sigpersist_model::number::deserialize")]
    #[schema(example = 1)]
    pub order: i32,
    /// What it judges; all that the plugin can where it is left out.
    #[serde(default)]
    #[schema(example = json!(["save"]))]
    pub operations: Option<Vec<Operation>>,
    /// Whether it decides.
    #[serde(default)]
    pub mode: Mode,
    /// What its failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds; the server's default where it is left out.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 100)]
    pub timeout_ms: Option<u32>,
    /// Most linear memory of one call; all that the server allows where it is left out.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 33554432)]
    pub memory_bytes: Option<u64>,
    /// Fuel of one call; all that the server allows where it is left out.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 1_000_000_000)]
    pub fuel: Option<u64>,
    /// What it reads as its configuration.
    #[serde(default = "no_settings")]
    #[schema(value_type = Object, example = json!({}))]
    pub settings: Value,
    /// Whether it runs at all.
    #[serde(default = "yes")]
    #[schema(example = true)]
    pub enabled: bool,
    /// What runs beside it.
    #[schema(example = json!(null))]
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize_option"
    )]
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
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowRequest {
    /// The revision, of the hook's plugin: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// What it reads as its configuration; the hook's settings where they are left out.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({}))]
    pub settings: Option<Value>,
}

/// No settings at all.
fn no_settings() -> Value {
    json!({})
}

fn yes() -> bool {
    true
}

/// A binding as one would ask for it, its revisions by their digests.
pub(super) fn to_request(app: &App, binding: Binding) -> HookRequest {
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
pub(super) fn check(
    app: &App,
    tenant: TenantId,
    plugin_id: i32,
    request: &HookRequest,
) -> Result<Binding> {
    let limits = limits(app, request)?;
    let active = candidate(
        app,
        tenant,
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
                tenant,
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
