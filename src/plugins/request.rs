//! An operator's request to set a hook, and its checks.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Binding, CallLimits, Mode, OnFailure, Operation, Shadow};
use utoipa::ToSchema;

use super::candidate::{Which, candidate};
use crate::app::App;

/// Request to set a hook. Everything that you leave out has its default.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HookRequest {
    /// Name of the plugin: the tenant's own plugin, or otherwise the platform's.
    #[schema(example = "signer-tags")]
    pub plugin: String,
    /// The revision that runs: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// Position: hooks run from the lowest to the highest number, and by name if numbers are equal.
    #[serde(default, deserialize_with = "sigpersist_model::number::deserialize")]
    #[schema(example = 1)]
    pub order: i32,
    /// Operations that the hook judges. By default all that the plugin can judge.
    #[serde(default)]
    #[schema(example = json!(["save"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<Operation>>,
    /// Mode: `enforce`, or `monitor`, in which the hook's decisions have no effect.
    #[serde(default)]
    pub mode: Mode,
    /// Effect of a failure of the hook: `reject` the request, or `allow` it.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds. By default the server's setting.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// Limit on linear memory of one call, in bytes. By default the server's maximum.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 33554432)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Limit on fuel of one call. By default the server's maximum.
    #[serde(
        default,
        deserialize_with = "sigpersist_model::number::deserialize_option"
    )]
    #[schema(example = 1_000_000_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Settings that the plugin reads.
    #[serde(default = "no_settings")]
    #[schema(value_type = Object, example = json!({}))]
    pub settings: Value,
    /// Whether the hook runs at all.
    #[serde(default = "yes")]
    #[schema(example = true)]
    pub enabled: bool,
    /// A revision that runs beside the hook on the same input, without effect.
    #[schema(example = json!(null))]
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize_option"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowRequest>,
}

impl HookRequest {
    /// A request for the newest revision of a plugin, with defaults for everything else.
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

/// Request to run a shadow beside a hook.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShadowRequest {
    /// The revision of the hook's plugin: a digest, or `latest`.
    #[serde(default)]
    pub revision: Which,
    /// Settings that the shadow reads. By default those of the hook.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({}))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
}

/// Empty settings.
fn no_settings() -> Value {
    json!({})
}

fn yes() -> bool {
    true
}

/// The request that would set this binding, with digests for its revisions.
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

/// Checks a request, and fills in its defaults.
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
                        "`operations` must be supported by the plugin; it exports {}.",
                        active.revision.exports.join(", ")
                    ),
                ));
            }
            // In the contract's order and without repetition, so that equal requests give equal bindings.
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

/// The requested limits, or their defaults. None may be above the server's maximum.
fn limits(app: &App, request: &HookRequest) -> Result<CallLimits> {
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
    Ok(CallLimits {
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
