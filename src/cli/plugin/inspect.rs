//! `sigpersist plugin inspect`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use sigpersist_hooks::HooksConfig;
use sigpersist_hooks::{Binary, Description, Engine, Kind};
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Result, SettingsIssue};
use sigpersist_model::plugin::{Digest, Operation};

use super::read;
use crate::cli::output::Output;

/// From how much of a limit on a warning is due, in percent.
const NEAR_PERCENT: u64 = 80;
/// A server compiles a plugin when it is first needed; somebody waits meanwhile.
const LONG_COMPILE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The component.
    file: PathBuf,
}

/// Details of a component that a server would admit.
struct Admitted {
    judges: Vec<Operation>,
    compile: Duration,
    description: Description,
    issues: Vec<SettingsIssue>,
}

impl Inspect {
    pub(super) fn run(
        self,
        config: &HooksConfig,
        engine: &Engine,
        output: &Output,
    ) -> anyhow::Result<()> {
        let bytes = read(&self.file)?;
        let digest = Digest(sha256(&bytes));
        let binary = Binary::read(&bytes);
        let admitted = admit(engine, &bytes);
        let warnings = admitted
            .as_ref()
            .map(|admitted| warnings(config, bytes.len(), admitted))
            .unwrap_or_default();
        let mut text = format!(
            "{}: {}, {} bytes\nsha256:    {digest}\nexports:   {}\nimports:   {}",
            self.file.display(),
            binary.kind.as_str(),
            bytes.len(),
            list(&binary.exports),
            list(&binary.imports),
        );
        let mut facts = json!({
            "file": self.file,
            "kind": binary.kind.as_str(),
            "size": bytes.len(),
            "sha256": digest,
            "exports": binary.exports,
            "imports": binary.imports,
            "admitted": admitted.is_ok(),
        });
        match &admitted {
            Ok(admitted) => admitted.tell(&mut text, &mut facts)?,
            Err(refusal) => {
                write!(text, "\nadmitted:  no. {refusal}")?;
                facts["refusal"] = json!(refusal.to_string());
            }
        }
        for warning in &warnings {
            write!(text, "\nwarning:   {warning}")?;
        }
        facts["warnings"] = json!(warnings);
        output.result(&text, &facts)?;
        if admitted.is_err() {
            bail!(match binary.kind {
                Kind::CoreModule =>
                    "A server would not admit this file; make a component of it with `sigpersist plugin pack`.",
                _ => "A server would not admit this file; fix this and build it again.",
            });
        }
        Ok(())
    }
}

fn admit(engine: &Engine, bytes: &[u8]) -> Result<Admitted> {
    let since = Instant::now();
    let plugin = engine.admit(bytes)?;
    let compile = since.elapsed();
    Ok(Admitted {
        judges: [Operation::Save, Operation::Delete]
            .into_iter()
            .filter(|operation| plugin.judges(*operation))
            .collect(),
        compile,
        description: plugin.describe(engine)?,
        issues: plugin.validate_settings(engine, "{}")?,
    })
}

impl Admitted {
    fn tell(&self, text: &mut String, facts: &mut Value) -> anyhow::Result<()> {
        let Self {
            judges,
            compile,
            description,
            issues,
        } = self;
        let cost = description.cost;
        let operations: Vec<_> = judges.iter().map(|judged| judged.as_str()).collect();
        let settings = if issues.is_empty() {
            "not required".to_owned()
        } else {
            let issues = issues.iter().map(|issue| {
                let field = match issue.field.as_str() {
                    "" => "the settings",
                    field => field,
                };
                format!("{field}: {}", issue.message.trim_end_matches('.'))
            });
            let issues: Vec<_> = issues.collect();
            format!(
                "required; without any, it says: {}.\n           Give them with `sigpersist hook set … --settings`.",
                issues.join("; ")
            )
        };
        write!(
            text,
            "\nsummary:   {}\nruns on:   {}\nsettings:  {settings}\ncompiled:  in {} ms\ndescribe:  {} µs, {} fuel, {} KiB of memory\nadmitted:  yes",
            description.summary,
            operations.join(", "),
            compile.as_millis(),
            cost.microseconds,
            cost.fuel,
            cost.memory_bytes.div_ceil(1024),
        )?;
        facts["description"] = json!(description.summary);
        facts["judges"] = json!(judges);
        facts["settings_required"] = json!(!issues.is_empty());
        facts["issues"] = json!(issues);
        facts["compile_ms"] = json!(u64::try_from(compile.as_millis())?);
        facts["describe"] = json!({
            "microseconds": cost.microseconds,
            "fuel": cost.fuel,
            "memory_bytes": cost.memory_bytes,
        });
        Ok(())
    }
}

/// Warnings about limits that are nearly reached.
fn warnings(config: &HooksConfig, size: usize, admitted: &Admitted) -> Vec<String> {
    let limits = config.default_limits();
    let cost = admitted.description.cost;
    let near = |what: &str, taken: u64, limit: u64, unit: &str, setting: &str| {
        let is_near = u128::from(taken) * 100 > u128::from(limit) * u128::from(NEAR_PERCENT);
        is_near.then(|| {
            format!("{what} {taken} {unit}; the limit is {limit} {unit} ({setting} of this configuration).")
        })
    };
    let mut warnings = Vec::new();
    warnings.extend(near(
        "The component has",
        size as u64,
        config.max_component_bytes as u64,
        "bytes",
        "hooks.max_component_bytes",
    ));
    warnings.extend(near(
        "`describe` alone held",
        cost.memory_bytes,
        limits.memory_bytes,
        "bytes of memory",
        "hooks.max_memory_bytes",
    ));
    warnings.extend(near(
        "`describe` alone used",
        cost.fuel,
        limits.fuel,
        "fuel",
        "hooks.fuel",
    ));
    warnings.extend(near(
        "`describe` alone took",
        cost.microseconds / 1000,
        limits.timeout_ms.into(),
        "ms",
        "hooks.timeout_ms",
    ));
    if admitted.compile > LONG_COMPILE {
        warnings.push(format!(
            "It took {} ms to compile; each server compiles the plugin when it first needs it. A smaller component, built for release and stripped, takes less.",
            admitted.compile.as_millis()
        ));
    }
    if admitted.description.summary.trim().is_empty() {
        warnings.push(
            "`describe` says nothing; operators read its summary in lists of plugins.".to_owned(),
        );
    }
    warnings
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        names => names.join("\n           "),
    }
}
