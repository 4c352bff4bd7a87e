//! `sigpersist plugin upload`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use sigpersist_hooks::cases::read_cases;
use sigpersist_model::audit::Actor;
use sigpersist_model::error::Error;

use super::read;
use crate::app::App;
use crate::cli::output::Output;
use crate::cli::tenancy::owner;
use crate::plugins;

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
    pub(super) fn run(self, app: &App, output: &Output) -> anyhow::Result<()> {
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
        let owner = owner(app, tenant.as_deref())?;
        let actor = Actor::command_line();
        let uploaded = match plugins::upload(app, owner, actor, &name, &component, &cases) {
            Ok(uploaded) => uploaded,
            Err(Error::CasesFailed(failures)) => {
                let failures: String = failures
                    .iter()
                    .map(|failure| {
                        format!("\n{}\n  {}", failure.case, failure.differences.join("\n  "))
                    })
                    .collect();
                bail!(
                    "Test cases did not pass, so nothing was stored; fix the plugin or the cases, and try them with `sigpersist plugin test`.{failures}"
                );
            }
            Err(Error::InvalidParameter { field, message }) => {
                let number = field.strip_prefix("/cases/").and_then(|rest| {
                    let number = rest.split('/').next()?;
                    number.parse::<usize>().ok()
                });
                match number.and_then(|number| cases.get(number)) {
                    Some(case) => bail!("The case {} can't be run: {message}", case.name),
                    None => bail!("{message}"),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let revision = uploaded.revision;
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
                "changed": uploaded.changed,
            }),
        )
    }
}
