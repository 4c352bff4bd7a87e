//! Export files of tenants, and changes to them by someone who knows the format.

use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use sigpersist_model::digest::{sha256, to_hex};

use super::TestApp;

/// Starts to import a file, which is whole before anything is imported.
pub(crate) fn arriving(there: &TestApp, arguments: &[&str], file: &Path) -> Child {
    let mut command = there.database.command(&["tenant", "import"]);
    command
        .args(arguments)
        .stdin(std::fs::File::open(file).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The lines of a file.
pub(crate) fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Whether a line belongs to the audit trail.
pub(crate) fn is_of_trail(line: &str) -> bool {
    line.starts_with(r#"{"audit_"#)
}

/// The lines of a file without a log, as version 4 wrote it.
pub(crate) fn without_log(lines: Vec<String>) -> Vec<String> {
    let mut lines = lines;
    lines.retain(|line| !line.starts_with(r#"{"log_"#));
    for line in &mut lines {
        let mut value: Value = serde_json::from_str(line).unwrap();
        if value["version"].is_object() {
            value["version"].as_object_mut().unwrap().remove("salt");
            *line = value.to_string();
        }
        for name in ["header", "end"] {
            if !value[name].is_object() {
                continue;
            }
            let counts = value[name]["counts"].as_object_mut().unwrap();
            counts.retain(|count, _| !count.starts_with("log_"));
            if name == "header" {
                value[name]["format_version"] = json!(4);
            }
            *line = value.to_string();
        }
    }
    sealed(lines)
}

/// The lines of a file without an audit trail, as an older version wrote it.
pub(crate) fn without_trail(lines: Vec<String>) -> Vec<String> {
    let mut lines = lines;
    lines.retain(|line| !is_of_trail(line));
    sealed(lines)
}

/// Corrects counts and digest of changed lines, so that the change cannot be detected.
pub(crate) fn sealed(lines: Vec<String>) -> Vec<String> {
    let mut lines = lines;
    let count = |name: &str| {
        let begins = format!(r#"{{"{name}":"#);
        lines
            .iter()
            .filter(|line| line.starts_with(&begins))
            .count()
    };
    let (chains, events) = (count("audit_chain"), count("audit_event"));
    let count_anew = |line: &mut String, name: &str, digest: Option<String>| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value[name]["counts"]["audit_chains"] = json!(chains);
        value[name]["counts"]["audit_events"] = json!(events);
        if let Some(digest) = digest {
            value[name]["sha256"] = json!(digest);
        }
        *line = value.to_string();
    };
    let last = lines.len() - 1;
    let content: String = lines[1..last]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect();
    count_anew(&mut lines[0], "header", None);
    count_anew(
        &mut lines[last],
        "end",
        Some(to_hex(&sha256(content.as_bytes()))),
    );
    lines
}

/// Imports a file. Returns whether the import is complete, the command's JSON output and its error text.
pub(crate) fn import(app: &TestApp, slug: &str, file: &Path) -> (bool, Value, String) {
    let input = file.to_str().unwrap();
    let arguments = [
        "tenant", "import", slug, "--input", input, "--create", "--json",
    ];
    let output = app.database.command(&arguments).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let error = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said["imported"].clone(), error)
}

/// Imports a whole file. Returns the command's JSON output.
#[track_caller]
pub(crate) fn import_all(app: &TestApp, slug: &str, file: &Path) -> Value {
    let (complete, said, error) = import(app, slug, file);
    assert!(complete, "{said} {error}");
    said
}
