//! Bindings in the history of a hook, as answers, tables and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sigpersist_verify::Time;
use sigpersist_verify::digest::Sha256;
use utoipa::ToSchema;

use super::plugin::ShadowView;
use crate::json_diff::{JsonChange, json_diff};
use crate::plugin::{Digest, KeptBinding, Mode, OnFailure, Operation};

/// A binding that a hook has, or had.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = BindingContent)]
pub struct BindingView {
    /// The number of the binding. It counts the changes of the hook.
    #[schema(example = 1)]
    pub number: u32,
    /// Whether the hook runs this binding now.
    #[schema(example = true)]
    pub in_force: bool,
    /// Whether its plugin was deleted. The binding can't be restored then.
    #[schema(example = false)]
    pub deleted: bool,
    /// The plugin.
    #[schema(example = "signer-tags")]
    pub plugin: String,
    /// The revision.
    #[schema(value_type = Sha256)]
    pub revision: Digest,
    /// Position in the chain: hooks run from the lowest to the highest; equal ones by name.
    #[schema(example = 1)]
    pub order: i32,
    /// Operations on which it runs.
    #[schema(example = json!(["save"]))]
    pub operations: Vec<Operation>,
    /// Whether its decisions are enforced.
    pub mode: Mode,
    /// Effect of a failure.
    pub on_failure: OnFailure,
    /// Wall-clock limit of one call, in milliseconds.
    #[schema(example = 100)]
    pub timeout_ms: u32,
    /// Limit on the linear memory of one call, in bytes.
    #[schema(example = 33554432)]
    pub memory_bytes: u64,
    /// Limit on the fuel of one call.
    #[schema(example = 1_000_000_000)]
    pub fuel: u64,
    /// The settings that the plugin reads.
    #[schema(value_type = Object, example = json!({}))]
    pub settings: Value,
    /// Whether the hook runs at all.
    #[schema(example = true)]
    pub enabled: bool,
    /// A revision and settings that run beside the hook without effect.
    #[schema(example = json!(null))]
    pub shadow: Option<ShadowView>,
    /// The subject of the token that set it.
    #[schema(example = "olga")]
    pub set_by: Option<String>,
    /// Time at which it was set.
    pub set_at: Time,
}

impl From<KeptBinding> for BindingView {
    fn from(kept: KeptBinding) -> Self {
        let binding = kept.binding;
        Self {
            number: kept.number,
            in_force: kept.is_in_force,
            deleted: !kept.is_stored,
            plugin: binding.plugin,
            revision: binding.sha256,
            order: binding.order,
            operations: binding.operations,
            mode: binding.mode,
            on_failure: binding.on_failure,
            timeout_ms: binding.limits.timeout_ms,
            memory_bytes: binding.limits.memory_bytes,
            fuel: binding.limits.fuel,
            settings: binding.settings,
            enabled: binding.enabled,
            shadow: binding.shadow.map(Into::into),
            set_by: kept.set_by,
            set_at: kept.set_at.into(),
        }
    }
}

impl BindingView {
    /// The members that an operator sets.
    fn as_set(&self) -> Value {
        json!({
            "plugin": self.plugin,
            "revision": self.revision,
            "order": self.order,
            "operations": self.operations,
            "mode": self.mode,
            "on_failure": self.on_failure,
            "timeout_ms": self.timeout_ms,
            "memory_bytes": self.memory_bytes,
            "fuel": self.fuel,
            "settings": self.settings,
            "enabled": self.enabled,
            "shadow": self.shadow,
        })
    }
}

/// Differences of two bindings of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = BindingDiff)]
pub struct BindingDiffView {
    /// The number of the one binding.
    #[schema(example = 1)]
    pub from: u32,
    /// The number of the other binding.
    #[schema(example = 2)]
    pub to: u32,
    /// Members of the binding that differ, such as `revision`, `mode` or `settings`; none if both are the same.
    #[schema(example = json!(["settings"]))]
    pub changed: Vec<String>,
    /// What differs, down to single settings.
    pub changes: Vec<JsonChange>,
}

impl BindingDiffView {
    /// The differences between two bindings.
    pub fn new(from: &BindingView, to: &BindingView) -> Self {
        let changes = json_diff(&from.as_set(), &to.as_set());
        let names = changes
            .iter()
            .filter_map(|change| change.path.split('/').nth(1));
        let mut changed: Vec<_> = names.map(str::to_owned).collect();
        changed.dedup();
        Self {
            from: from.number,
            to: to.number,
            changed,
            changes,
        }
    }
}
