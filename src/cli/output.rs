//! What commands print.

use std::io::Write as _;

use serde_json::{Value, json};

use super::failure;

/// Prints results as sentences or as JSON.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether it prints for programs.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// The result of a command: its sentence, or its facts.
    pub(super) fn result(&self, sentence: &str, facts: &Value) -> anyhow::Result<()> {
        if self.json {
            line(&facts.to_string())
        } else {
            line(sentence)
        }
    }

    /// A line of standard output, whatever the form of results.
    pub(super) fn line(&self, text: &str) -> anyhow::Result<()> {
        line(text)
    }

    /// Why a command failed, on standard error.
    pub(super) fn error(&self, error: &anyhow::Error) {
        let text = if self.json {
            json!({ "error": format!("{error:#}"), "code": failure::code(error) }).to_string()
        } else {
            format!("error: {error:#}")
        };
        // Without standard error there is nobody to tell.
        drop(writeln!(std::io::stderr(), "{text}"));
    }
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}
