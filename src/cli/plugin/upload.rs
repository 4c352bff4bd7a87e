//! `sigpersist plugin upload`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::json;
use sigpersist_hooks::cases::{Case, read_cases};
use sigpersist_model::error::CaseFailure;
use sigpersist_model::plugin::MEDIA_TYPE;
use sigpersist_model::view::RevisionView;

use super::read;
use crate::cli::door::{Door, Refusal};
use crate::cli::holder::of_owner;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Upload {
    /// The plugin's name: lower-case letters, digits and hyphens.
    name: String,
    /// The component.
    file: PathBuf,
    /// The tenant that owns the plugin, and alone may bind it [default: the platform, whose plugins any tenant may
    /// bind].
    #[arg(long)]
    tenant: Option<String>,
    /// Test cases that must pass, and are kept with the revision.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
}

impl Upload {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self {
            name,
            file,
            tenant,
            cases,
        } = self;
        let component = read(&file)?;
        let cases = match &cases {
            Some(directory) => read_cases(directory)?,
            None => Vec::new(),
        };
        let request = door.put(&of_owner(tenant.as_deref(), &["plugins", &name]));
        let request = if cases.is_empty() {
            request.body(MEDIA_TYPE, component.into()).with_progress()
        } else {
            request.json(&json!({ "component": BASE64.encode(component), "cases": cases }))
        };
        let answer = request.send().map_err(|error| explained(error, &cases))?;
        let changed = answer.created();
        let revision: RevisionView = answer.member("revision")?;
        let sentence = format!(
            "Uploaded the plugin `{name}`: {}.\nrevision: {}\nNext: sigpersist hook set TENANT {name} --plugin {name}",
            revision.description.trim_end_matches('.'),
            revision.sha256
        );
        output.result(
            &sentence,
            &json!({
                "name": name,
                "sha256": revision.sha256.to_string(),
                "description": revision.description,
                "exports": revision.exports,
                "imports": revision.imports,
                "cases": cases.len(),
                "changed": changed,
            }),
        )
    }
}

/// A refusal that names the cases it is about.
fn explained(error: anyhow::Error, cases: &[Case]) -> anyhow::Error {
    match error.downcast::<Refusal>() {
        Ok(refusal) => match sentence(&refusal, cases) {
            Some(sentence) => refusal.saying(sentence).into(),
            None => refusal.into(),
        },
        Err(error) => error,
    }
}

fn sentence(refusal: &Refusal, cases: &[Case]) -> Option<String> {
    match refusal.code.as_deref()? {
        "cases_failed" => {
            let failures = refusal.details["cases"].clone();
            let failures: Vec<CaseFailure> = serde_json::from_value(failures).ok()?;
            let failures: String = failures
                .iter()
                .map(|failure| {
                    format!("\n{}\n  {}", failure.case, failure.differences.join("\n  "))
                })
                .collect();
            Some(format!(
                "Test cases did not pass, so nothing was stored; fix the plugin or the cases, and try them with `sigpersist plugin test`.{failures}"
            ))
        }
        "invalid_parameter" => {
            let field = refusal.details["field"].as_str()?;
            let number = field.strip_prefix("/cases/")?.split('/').next()?;
            let case = cases.get(number.parse::<usize>().ok()?)?;
            Some(format!("The case {} can't be run: {refusal}", case.name))
        }
        _ => None,
    }
}
