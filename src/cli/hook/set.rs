//! `sigpersist hook set`.

use clap::Args;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};
use sigpersist_model::plugin::{Mode, OnFailure, Operation};
use sigpersist_model::view::HookView;

use super::{Settings, of_mode, parse_json};
use crate::cli::door::Door;
use crate::cli::output::{Output, joined};
use crate::plugins::{HookRequest, ShadowRequest, Which};

#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// The tenant's slug.
    tenant: String,
    /// The hook's name: lower-case letters, digits and hyphens.
    name: String,
    /// The plugin: the tenant's own with this name, otherwise the platform's.
    #[arg(long, value_name = "NAME")]
    plugin: String,
    /// The revision: a SHA-256, or latest, which means the newest one at this moment.
    #[arg(long, value_name = "REVISION", default_value = "latest")]
    revision: Which,
    /// Position in the order: hooks run from the lowest number to the highest, equal ones by name.
    #[arg(long, value_name = "N", default_value_t = 0)]
    order: i32,
    /// Operation on which the hook runs: save or delete; repeat for both [default: all that the plugin supports].
    #[arg(long = "operation", value_name = "OPERATION")]
    operations: Vec<Operation>,
    /// enforce, or monitor, which runs the hook but changes and rejects nothing.
    #[arg(long, default_value = "enforce")]
    mode: Mode,
    /// Effect of a trap, a missed deadline or an exceeded limit: reject, or allow.
    #[arg(long, default_value = "reject")]
    on_failure: OnFailure,
    /// Time limit of one call in milliseconds [default: the server's own].
    #[arg(long, value_name = "N")]
    timeout_ms: Option<u32>,
    /// Limit on the linear memory of one call, in bytes [default: the server's own].
    #[arg(long, value_name = "N")]
    memory_bytes: Option<u64>,
    /// Limit on the fuel of one call; about one unit per instruction [default: the server's own].
    #[arg(long, value_name = "N")]
    fuel: Option<u64>,
    #[command(flatten)]
    settings: Settings,
    /// Bind the plugin, but do not run the hook.
    #[arg(long)]
    disabled: bool,
    /// A revision that runs beside the hook and decides nothing: latest, or a SHA-256.
    #[arg(long, value_name = "REVISION")]
    shadow: Option<Which>,
    /// The shadow's settings [default: the hook's settings].
    #[arg(long, value_name = "JSON", requires = "shadow", value_parser = parse_json)]
    shadow_settings: Option<Value>,
    /// Change the hook only if its number is this one, as shown by `hook show`; 0 if there must be no such hook yet.
    #[arg(long, value_name = "NUMBER")]
    if_match: Option<u32>,
}

impl Set {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
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
        let put = door.put(&["tenants", &tenant, "hooks", &name]);
        let put = match self.if_match {
            Some(0) => put.with_header(IF_NONE_MATCH, "*"),
            Some(number) => put.with_header(IF_MATCH, &format!("\"{number}\"")),
            None => put,
        };
        let answer = put.json(&json!(request)).send()?;
        let created = answer.created();
        let hook: HookView = answer.member("hook")?;
        let mut sentence = format!(
            "The hook `{name}` of `{tenant}` runs the plugin `{}`, revision {}.",
            hook.plugin, hook.revision
        );
        sentence.push_str(of_mode(&hook));
        if let Some(shadow) = &hook.shadow {
            sentence.push_str(&format!(
                " The revision {} runs as its shadow, without effect.",
                shadow.revision
            ));
        }
        if !hook.enabled {
            sentence = format!(
                "The hook `{name}` of `{tenant}` is bound to the plugin `{}`, revision {}, but does not run. To run it, set it again without --disabled.",
                hook.plugin, hook.revision
            );
        }
        let answer = json!({ "tenant": tenant, "sha256": hook.revision, "created": created });
        let answer = joined(answer, json!(hook));
        output.result(&sentence, &answer)
    }
}
