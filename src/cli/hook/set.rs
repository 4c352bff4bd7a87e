//! `sigpersist hook set`.

use clap::Args;
use serde_json::{Value, json};
use sigpersist_model::audit::Actor;
use sigpersist_model::plugin::{Mode, OnFailure, Operation};
use sigpersist_model::signature::{Preconditions, Versions};

use super::Settings;
use super::parse_json;
use super::show::facts;
use crate::app::App;
use crate::cli::output::Output;
use crate::cli::tenancy::advise;
use crate::plugins::{self, HookRequest, ShadowRequest, Which};
use crate::tenants;

#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name: lower-case letters, digits and hyphens.
    name: String,
    /// The plugin: the tenant's own of this name, or the platform's.
    #[arg(long, value_name = "NAME")]
    plugin: String,
    /// The revision: latest, which means the newest at this moment, or a SHA-256.
    #[arg(long, value_name = "REVISION", default_value = "latest")]
    revision: Which,
    /// Hooks run from the lowest to the highest, ties by name.
    #[arg(long, value_name = "N", default_value_t = 0)]
    order: i32,
    /// What it judges: save or delete; repeat for both [default: all that the plugin can].
    #[arg(long = "operation", value_name = "OPERATION")]
    operations: Vec<Operation>,
    /// enforce, or monitor: run, but change and reject nothing.
    #[arg(long, default_value = "enforce")]
    mode: Mode,
    /// What a trap, a missed deadline or a broken limit means: reject, or allow.
    #[arg(long, default_value = "reject")]
    on_failure: OnFailure,
    /// Time limit of one call in milliseconds [default: the server's own].
    #[arg(long, value_name = "N")]
    timeout_ms: Option<u32>,
    /// Most linear memory of one call [default: the server's own].
    #[arg(long, value_name = "N")]
    memory_bytes: Option<u64>,
    /// Fuel of one call, about one unit for each instruction [default: the server's own].
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,
    #[command(flatten)]
    settings: Settings,
    /// Bind it without letting it run.
    #[arg(long)]
    disabled: bool,
    /// A revision to run beside it that decides nothing: latest, or a SHA-256.
    #[arg(long, value_name = "REVISION")]
    shadow: Option<Which>,
    /// What the shadow reads as its configuration [default: the hook's settings].
    #[arg(long, value_name = "JSON", requires = "shadow", value_parser = parse_json)]
    shadow_settings: Option<Value>,
    /// Change it only if this is its number, as `hook show` tells it; 0 if there is no such hook.
    #[arg(long, value_name = "NUMBER")]
    if_match: Option<u32>,
}

impl Set {
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
        let (tenant, name) = (self.tenant, self.name);
        let request = HookRequest {
            revision: self.revision,
            order: self.order,
            operations: (!self.operations.is_empty()).then_some(self.operations),
            mode: self.mode,
            on_failure: self.on_failure,
            timeout_ms: self.timeout_ms,
            memory_bytes: self.memory_bytes,
            fuel: self.fuel,
            settings: self.settings.read()?.unwrap_or_else(|| json!({})),
            enabled: !self.disabled,
            shadow: self.shadow.map(|revision| ShadowRequest {
                revision,
                settings: self.shadow_settings,
            }),
            ..HookRequest::new(&self.plugin)
        };
        let preconditions = Preconditions {
            if_match: self.if_match.map(|number| Versions::These(vec![number])),
            if_none_match: None,
        };
        let id = tenants::find(app, &tenant)?.id;
        let actor = Actor::command_line();
        let set = plugins::set_hook(app, id, &actor, &name, &request, &preconditions)
            .map_err(|error| advise(error, Some(&tenant)))?;
        let binding = &set.hook.binding;
        let mut sentence = format!(
            "The hook `{name}` of `{tenant}` runs the plugin `{}`, revision {}.",
            binding.plugin, binding.sha256
        );
        if let Some(shadow) = &binding.shadow {
            sentence.push_str(&format!(
                " The revision {} runs beside it and decides nothing.",
                shadow.sha256
            ));
        }
        if !binding.enabled {
            sentence = format!(
                "The hook `{name}` of `{tenant}` is bound to the plugin `{}`, revision {}, and does not run: set it again without --disabled.",
                binding.plugin, binding.sha256
            );
        }
        let mut answer =
            json!({ "tenant": tenant, "sha256": binding.sha256, "created": set.created });
        if let (Some(answer), Value::Object(facts)) = (answer.as_object_mut(), facts(&set.hook)) {
            answer.extend(facts);
        }
        output.result(&sentence, &answer)
    }
}
