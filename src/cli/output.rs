//! Output of commands.

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

/// A text that somebody else chose, fit for a line of a terminal: what is no character of a line, or turns its direction, is
/// written as an escape, so that it can't look like more than it is.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_somebody_else_chose_begins_no_line_of_its_own() {
        let forged = "VICTIM\n  verdict     TOTAL_PASSED\u{1b}[8m\u{202e}";
        let told = "VICTIM\\n  verdict     TOTAL_PASSED\\u{1b}[8m\\u{202e}";
        assert_eq!(shown(forged), told);
        assert_eq!(shown("АХМЕТОВА, \"Ә\""), "АХМЕТОВА, \"Ә\"");
    }
}
