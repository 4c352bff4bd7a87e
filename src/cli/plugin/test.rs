//! `sigpersist plugin test`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use sigpersist_hooks::Engine;
use sigpersist_hooks::cases::{Case, Checked, check_case, read_cases};
use sigpersist_model::error::Result;

use super::load;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The component.
    file: PathBuf,
    /// Directory of the cases: JSON files with `input` and `expected`, and the signatures that they name beside them.
    cases: PathBuf,
}

impl Test {
    pub(super) fn run(self, engine: &Arc<Engine>, output: &Output) -> anyhow::Result<()> {
        let plugin = load(engine, &self.file)?;
        let cases = read_cases(&self.cases)?;
        let results: Vec<_> = cases
            .iter()
            .map(|case| (case, check_case(engine, &plugin, case)))
            .collect();
        let failed = results.iter().filter(|(_, result)| !passed(result)).count();
        let mut text = String::new();
        for (case, result) in &results {
            tell(&mut text, case, result)?;
        }
        let all = cases.len();
        if failed == 0 {
            write!(text, "{}", counted(all, "case passed.", "cases passed."))?;
        } else {
            write!(
                text,
                "{} of {}",
                failed,
                counted(all, "case failed.", "cases failed.")
            )?;
        }
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

fn passed(result: &Result<Checked>) -> bool {
    matches!(result, Ok(checked) if checked.differences.is_empty())
}

fn tell(text: &mut String, case: &Case, result: &Result<Checked>) -> std::fmt::Result {
    if passed(result) {
        return writeln!(text, "ok {}", case.name);
    }
    writeln!(text, "FAILED {}", case.name)?;
    match result {
        Err(error) => writeln!(text, "    it can't be run: {error}"),
        Ok(checked) => {
            for difference in &checked.differences {
                writeln!(text, "    {}", difference.path)?;
                writeln!(text, "      - expected {}", difference.expected)?;
                writeln!(text, "      + got      {}", difference.got)?;
            }
            for said in &checked.says {
                writeln!(text, "    the plugin says: {said}")?;
            }
            Ok(())
        }
    }
}

fn facts(case: &Case, result: &Result<Checked>) -> Value {
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
