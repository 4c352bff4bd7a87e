//! `sigpersist plugin upload`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use serde_json::json;
use sigpersist_hooks::HooksConfig;
use sigpersist_hooks::cases::{Case, read_cases};
use sigpersist_model::error::CaseFailure;
use sigpersist_model::plugin::MEDIA_TYPE;
use sigpersist_model::view::RevisionView;

use super::pull::Trust;
use super::read;
use super::show::provenance;
use super::signing::signature_in;
use crate::cli::door::{Door, Refusal};
use crate::cli::holder::of_owner;
use crate::cli::output::Output;
use crate::cli::registry::{RegistryOptions, pull, reference_of};

#[derive(Debug, Args)]
pub(in crate::cli) struct Upload {
    /// The plugin's name: lower-case letters, digits and hyphens.
    name: String,
    /// The component: a file, or `oci://REFERENCE` for an artefact in a registry, which this machine pulls.
    file: String,
    /// The tenant that owns the plugin, and alone may bind it [default: the platform, whose plugins any tenant may
    /// bind].
    #[arg(long)]
    tenant: Option<String>,
    /// Test cases that must pass, and are kept with the revision.
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
    /// The publisher's signature: a `.minisig` file [default: none for a file, and that of the artefact in a registry].
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    registry: RegistryOptions,
}

impl Upload {
    pub(super) fn run(self, door: &Door, output: &Output) -> anyhow::Result<()> {
        let Self {
            name,
            file,
            tenant,
            cases,
            signature,
            trust,
            registry,
        } = self;
        let asked = reference_of(&file).transpose()?;
        let (component, pulled, origin) = match &asked {
            Some(reference) => {
                // A server may take more: then pull to a file first.
                let most = HooksConfig::default().max_component_bytes;
                let pulled = pull(&registry, reference, most)?;
                let origin = pulled.reference.to_string();
                (pulled.component, pulled.signature, Some(origin))
            }
            None => (read(file.as_ref())?, None, None),
        };
        let signature = match &signature {
            Some(file) => Some(signature_in(file)?),
            None => pulled,
        };
        trust.judge(asked.as_ref(), &name, &component, signature.as_deref())?;
        let cases = match &cases {
            Some(directory) => read_cases(directory)?,
            None => Vec::new(),
        };
        let request = door.put(&of_owner(tenant.as_deref(), &["plugins", &name]));
        let is_alone = cases.is_empty() && signature.is_none() && origin.is_none();
        let request = if is_alone {
            request.body(MEDIA_TYPE, component.into()).with_progress()
        } else {
            let mut body = json!({ "component": BASE64.encode(component), "cases": cases });
            if let Some(signature) = signature {
                body["signature"] = signature.into();
            }
            if let Some(origin) = origin {
                body["origin"] = origin.into();
            }
            request.json(&body).with_progress()
        };
        let answer = request.send().map_err(|error| explained(error, &cases))?;
        let changed = answer.created();
        let revision: RevisionView = answer.member("revision")?;
        let sentence = format!(
            "Uploaded the plugin `{name}`: {}.\nrevision: {}{}\nNext: sigpersist hook set TENANT {name} --plugin {name}",
            revision.description.trim_end_matches('.'),
            revision.sha256,
            provenance(&revision)
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
                "origin": revision.origin,
                "publisher": revision.publisher,
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
