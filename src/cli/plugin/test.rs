//! `sigpersist plugin test`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use sigpersist_hooks::Engine;
use sigpersist_hooks::cases::{Case, Checked, check_case, read_cases, schema};
use sigpersist_model::error::Error;

use super::author_log::AuthorLog;
use super::load;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The component.
    #[arg(required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Directory of the cases: JSON files with `input` and `expected`, and the signatures that they name beside them.
    #[arg(required_unless_present = "schema")]
    cases: Option<PathBuf>,
    /// Print the JSON Schema of a case, and run nothing.
    #[arg(long, conflicts_with = "file")]
    schema: bool,
}

impl Test {
    pub(super) fn run(
        self,
        engine: &Arc<Engine>,
        log: &AuthorLog,
        output: &Output,
    ) -> anyhow::Result<()> {
        let (Some(file), Some(cases)) = (&self.file, &self.cases) else {
            let schema = schema();
            return output.result(&serde_json::to_string_pretty(&schema)?, &schema);
        };
        let plugin = load(engine, file)?;
        let cases = read_cases(cases)?;
        let mut results = Vec::with_capacity(cases.len());
        for case in &cases {
            log.begin(&case.name);
            let result = check_case(engine, &plugin, case);
            if !output.is_json() {
                output.line(&told(case, &result)?)?;
            }
            results.push((case, result));
        }
        let failed = results.iter().filter(|(_, result)| !passed(result)).count();
        let all = cases.len();
        let text = if failed == 0 {
            counted(all, "case passed.", "cases passed.")
        } else {
            format!(
                "{failed} of {}",
                counted(all, "case failed.", "cases failed.")
            )
        };
        output.result(
            &text,
            &json!({
                "passed": all - failed,
                "failed": failed,
                "cases": results.iter().map(|(case, result)| facts(case, result)).collect::<Vec<_>>(),
            }),
        )?;
        if failed > 0 {
            bail!("Not all cases passed; fix the plugin, or what the cases expect.");
        }
        Ok(())
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn passed(result: &Result<Checked, Error>) -> bool {
    matches!(result, Ok(checked) if checked.differences.is_empty())
}

fn told(case: &Case, result: &Result<Checked, Error>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    match result {
        Ok(checked) if checked.differences.is_empty() => write!(text, "ok {}", case.name)?,
        Err(error) => write!(text, "FAILED {}\n    it can't be run: {error}", case.name)?,
        Ok(checked) => {
            write!(text, "FAILED {}", case.name)?;
            for difference in &checked.differences {
                write!(text, "\n    {}", difference.path)?;
                write!(text, "\n      - expected {}", difference.expected)?;
                write!(text, "\n      + got      {}", difference.got)?;
            }
            for said in &checked.says {
                write!(text, "\n    the plugin says: {said}")?;
            }
        }
    }
    Ok(text)
}

fn facts(case: &Case, result: &Result<Checked, Error>) -> Value {
    let mut facts = json!({ "name": case.name, "passed": passed(result) });
    match result {
        Err(error) => facts["error"] = json!(error.to_string()),
        Ok(checked) => {
            facts["differences"] = json!(checked.differences);
            facts["says"] = json!(checked.says);
            if let Some(decision) = &checked.decision {
                facts["microseconds"] = json!(decision.microseconds);
                facts["fuel"] = json!(decision.fuel);
                facts["memory_bytes"] = json!(decision.memory_bytes);
                facts["log"] = json!(decision.log);
            }
        }
    }
    facts
}
