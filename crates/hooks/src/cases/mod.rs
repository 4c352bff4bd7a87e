//! Test cases of a plugin: a sample and the expected result. They need no server and no database.

mod bench;
mod sample;
mod schema;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sigpersist_model::decision::Decision;
use sigpersist_model::error::{CaseFailure, Error, Result};
use sigpersist_model::plugin::Operation;
use utoipa::ToSchema;

use crate::{Bound, Chain, Engine, Guest, Plugin};

pub use bench::{Bench, Measured, Percentiles};
pub use sample::{Prepared, Sample};
pub use schema::schema;

/// Maximum number of cases in one upload.
const MAX_CASES: usize = 200;
/// Time limit for all cases of one upload.
const MAX_TIME: Duration = Duration::from_secs(30);
/// Results that a case may expect.
const EXPECTED: [&str; 7] = [
    "verdict",
    "tags",
    "rejections",
    "warnings",
    "annotations",
    "issues",
    "failure",
];

/// A test case.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TestCase)]
pub struct Case {
    /// Name of the case: a phrase that tells its purpose.
    #[serde(default)]
    #[schema(example = "two signers")]
    pub name: String,
    /// The save or delete to try.
    #[serde(deserialize_with = "sigpersist_model::json_object::deserialize")]
    pub input: Sample,
    /// Expected results. Only members that you name are compared.
    #[schema(value_type = Object, example = json!({"verdict": "accepted"}))]
    pub expected: Map<String, Value>,
}

/// Result of a test case.
#[derive(Debug)]
pub struct Checked {
    /// Differences from the expected results; empty if the case passed.
    pub differences: Vec<Difference>,
    /// The plugin's failure, rejections or issues, if the verdict is not the expected one.
    pub says: Vec<String>,
    /// The plugin's decision; none if it refused the settings.
    pub decision: Option<Decision>,
}

impl Checked {
    /// The differences and the plugin's own words, one per line.
    pub fn lines(&self) -> Vec<String> {
        let differences = self.differences.iter().map(ToString::to_string);
        let says = self.says.iter();
        differences
            .chain(says.map(|said| format!("the plugin says: {said}")))
            .collect()
    }
}

/// A difference between an expected and an actual result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Path of the result, for example `rejections[0].code`.
    pub path: String,
    /// Expected value.
    pub expected: Value,
    /// Actual value; null if there is none.
    pub got: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            got,
        } = self;
        write!(f, "{path}: expected {expected}, got {got}")
    }
}

/// Runs the cases of an upload.
///
/// # Errors
///
/// [`Error::CasesFailed`] with expected and actual results of each failed case; [`Error::InvalidParameter`] if a case
/// can't be run; [`Error::Refused`] if the cases take too long.
pub fn check_cases(engine: &Arc<Engine>, plugin: &Arc<Plugin>, cases: &[Case]) -> Result<()> {
    if cases.len() > MAX_CASES {
        let message = format!("There are {} cases; the limit is {MAX_CASES}.", cases.len());
        return Err(Error::invalid("cases", message));
    }
    let since = Instant::now();
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        if since.elapsed() > MAX_TIME {
            return Err(Error::refused(format!(
                "The test cases take longer than {} s.",
                MAX_TIME.as_secs()
            )));
        }
        let checked = check_case(engine, plugin, case).map_err(|error| match error {
            Error::InvalidParameter { field, message } => Error::InvalidParameter {
                field: format!("/cases/{number}/input{field}"),
                message,
            },
            error => error,
        })?;
        if !checked.differences.is_empty() {
            failures.push(CaseFailure {
                case: case.name.clone(),
                differences: checked.lines(),
            });
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Error::CasesFailed(failures))
    }
}

/// Runs one case.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if the input breaks a rule for saves, [`Error::Refused`] if the plugin's check of the
/// settings fails.
pub fn check_case(engine: &Arc<Engine>, plugin: &Arc<Plugin>, case: &Case) -> Result<Checked> {
    for name in case.expected.keys() {
        if !EXPECTED.contains(&name.as_str()) {
            let message = format!(
                "A case can't expect `{name}`; it can expect {}.",
                EXPECTED.join(", ")
            );
            return Err(Error::invalid(name, message));
        }
    }
    if !case.expected.contains_key("verdict") {
        return Err(Error::invalid("verdict", "A case must expect a `verdict`."));
    }
    let settings = case.input.settings().to_string();
    let issues = plugin.validate_settings(engine, &settings)?;
    let (actual, decision) = if issues.is_empty() {
        let chain = case_chain(engine, plugin, &settings);
        let circumstances = case.input.circumstances(None);
        let policy = case.input.policy()?;
        let judged = case.input.judge(&chain, &circumstances, &policy)?;
        let decision = judged.decisions.into_iter().next();
        let decision = decision.ok_or_else(|| not_judged(plugin, case.input.operation))?;
        let mut actual = json!({
            "verdict": decision.verdict,
            "tags": judged.tags,
            "rejections": decision.rejections,
            "warnings": decision.warnings,
            "annotations": decision.annotations,
        });
        if let Some(failure) = &decision.failure {
            actual["failure"] = json!(failure);
        }
        (actual, Some(decision))
    } else {
        (
            json!({ "verdict": "settings_refused", "issues": issues }),
            None,
        )
    };
    let mut differences = Vec::new();
    compare(
        "",
        &Value::Object(case.expected.clone()),
        &actual,
        &mut differences,
    );
    // A wrong verdict alone does not tell the reason.
    let mut says = Vec::new();
    if differences
        .iter()
        .any(|difference| difference.path == "verdict")
    {
        for name in ["failure", "rejections", "issues"] {
            match &actual[name] {
                Value::Null => {}
                Value::Array(none) if none.is_empty() => {}
                said => says.push(format!("{name}: {said}")),
            }
        }
        let frames = decision.as_ref().map(|decision| &decision.backtrace);
        if let Some(frames) = frames.filter(|frames| !frames.is_empty()) {
            says.push(format!("it was in {}", frames.join(", called by ")));
        }
    }
    Ok(Checked {
        differences,
        says,
        decision,
    })
}

/// A chain of the plugin alone, with the highest limits that the server allows.
pub(super) fn case_chain(engine: &Arc<Engine>, plugin: &Arc<Plugin>, settings: &str) -> Chain {
    let guest = Guest {
        plugin: Arc::clone(plugin),
        settings: settings.into(),
    };
    let hook = Bound::unbound("case", guest, engine.ceiling());
    Chain::new(Arc::clone(engine), vec![hook])
}

pub(super) fn not_judged(plugin: &Plugin, operation: Operation) -> Error {
    let message = format!(
        "The plugin does not judge a {}; it exports {}.",
        operation.as_str(),
        plugin.exports().join(", ")
    );
    Error::invalid("operation", message)
}

/// Compares objects by their expected members, and lists element by element. Lists must have the same length.
fn compare(path: &str, expected: &Value, actual: &Value, differences: &mut Vec<Difference>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, expected) in expected {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                let actual = actual.get(name).unwrap_or(&Value::Null);
                compare(&path, expected, actual, differences);
            }
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (number, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{path}[{number}]"), expected, actual, differences);
            }
        }
        _ if expected == actual => {}
        _ => differences.push(Difference {
            path: path.to_owned(),
            expected: expected.clone(),
            got: actual.clone(),
        }),
    }
}

/// Reads the cases of a directory: all files that end in `.json`, sorted by name. Also reads the files that they name.
///
/// # Errors
///
/// An error that names the file.
pub fn read_cases(directory: &Path) -> anyhow::Result<Vec<Case>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("The directory {} can't be read", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        bail!(
            "The directory {} contains no case: a .json file with `input` and `expected`",
            directory.display()
        );
    }
    paths
        .iter()
        .map(|path| {
            read_case(directory, path)
                .with_context(|| format!("The case {} can't be used", path.display()))
        })
        .collect()
}

fn read_case(directory: &Path, path: &Path) -> anyhow::Result<Case> {
    let mut case: Case = serde_json::from_str(&fs::read_to_string(path)?)?;
    case.name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    read_signatures(directory, &mut case.input)?;
    Ok(case)
}

/// Reads the files that a sample names: signature, content and trust anchors.
fn read_signatures(directory: &Path, sample: &mut Sample) -> anyhow::Result<()> {
    let mut sample = Some(sample);
    while let Some(this) = sample {
        if let Some(file) = beside(directory, "cms", &this.cms, &mut this.cms_file)? {
            this.cms = Some(match String::from_utf8(file) {
                // A text editor ends the file with newlines, which base64 does not allow.
                Ok(text) => text.trim_end_matches('\n').to_owned(),
                Err(der) => STANDARD.encode(der.as_bytes()),
            });
        }
        if let Some(file) = beside(directory, "content", &this.content, &mut this.content_file)? {
            this.content = Some(STANDARD.encode(file));
        }
        if let Some(file) = beside(directory, "anchors", &this.anchors, &mut this.anchors_file)? {
            let text = String::from_utf8(file).context("its anchors are not PEM")?;
            this.anchors = Some(text);
        }
        sample = this.previous.as_deref_mut();
    }
    Ok(())
}

/// Reads the file that a sample names in place of a member, and clears the file's name.
fn beside(
    directory: &Path,
    name: &str,
    member: &Option<String>,
    file: &mut Option<String>,
) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(file) = file.take() else {
        return Ok(None);
    };
    if member.is_some() {
        bail!("it has both `{name}` and `{name}_file`");
    }
    let read = fs::read(directory.join(&file));
    let read = read.with_context(|| format!("its file {file} can't be read"))?;
    Ok(Some(read))
}

/// Reads a sample from a file, and the files that it names.
///
/// # Errors
///
/// An error that names the file.
pub fn read_sample(path: &Path) -> anyhow::Result<Sample> {
    let read = || {
        let mut sample = serde_json::from_str(&fs::read_to_string(path)?)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        read_signatures(directory, &mut sample)?;
        anyhow::Ok(sample)
    };
    read().with_context(|| format!("The input {} can't be used", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_expected_is_compared_and_lists_as_a_whole() {
        let actual = json!({"verdict": "rejected", "tags": ["a", "b"], "rejections": [{"code": "x", "message": "m"}]});
        let differences = |expected: Value| {
            let mut found = Vec::new();
            compare("", &expected, &actual, &mut found);
            let lines = found.iter().map(ToString::to_string);
            lines.collect::<Vec<_>>()
        };
        assert!(
            differences(json!({"verdict": "rejected", "rejections": [{"code": "x"}]})).is_empty()
        );
        assert_eq!(
            differences(
                json!({"verdict": "accepted", "tags": ["a"], "rejections": [{"code": "y"}]})
            ),
            [
                r#"verdict: expected "accepted", got "rejected""#,
                r#"tags: expected ["a"], got ["a","b"]"#,
                r#"rejections[0].code: expected "y", got "x""#,
            ]
        );
        assert_eq!(
            differences(json!({"warnings": []})),
            ["warnings: expected [], got null"]
        );
    }
}
