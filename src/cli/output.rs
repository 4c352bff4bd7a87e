//! Output of commands.

use std::io::{ErrorKind, Write as _};

use serde_json::{Value, json};

use super::{exit, failure};

/// Prints results as sentences or as JSON.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are printed as JSON.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the result of a command: the sentence for people, or the answer for programs.
    pub(super) fn result(&self, sentence: &str, answer: &Value) -> anyhow::Result<()> {
        if self.json {
            line(&answer.to_string())
        } else {
            line(sentence)
        }
    }

    /// Prints a line to standard output, in both formats.
    pub(super) fn line(&self, text: &str) -> anyhow::Result<()> {
        line(text)
    }

    /// Prints to standard error what people should know beside the result.
    pub(super) fn note(&self, sentence: &str) {
        // Without standard error there is nobody to tell.
        drop(writeln!(std::io::stderr(), "{sentence}"));
    }

    /// Prints to standard error why a command failed.
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

/// The members of the first object, followed by those of the second.
pub(super) fn joined(mut first: Value, second: Value) -> Value {
    if let (Some(first), Value::Object(second)) = (first.as_object_mut(), second) {
        first.extend(second);
    }
    first
}

/// Text that somebody else chose, made safe for a line of a terminal. Control characters, and characters that change the
/// direction of writing, become escapes, so that the text cannot imitate other output.
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
    /// How a process ends that SIGPIPE ends.
    const BY_SIGPIPE: u8 = 128 + 13;
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        // Whoever read it has seen enough: `sigpersist events tail acme | head -1`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit::at_once(BY_SIGPIPE),
        written => Ok(written?),
    }
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
