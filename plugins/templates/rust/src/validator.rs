//! Refuses a version without a comment.

use serde::Deserialize;
use sigpersist_plugin::{Acceptance, Plugin, Rejection, Save, SaveValidator};

/// The settings of a hook. If serde refuses them, the answer has the JSON pointer of the mistake.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Hook {
    /// Number of characters that a comment must have.
    min_chars: usize,
}

impl Default for Hook {
    fn default() -> Self {
        Self { min_chars: 1 }
    }
}

impl Plugin for Hook {
    const SUMMARY: &str = "Refuses a version without a comment";
}

impl SaveValidator for Hook {
    fn validate_save(&self, save: &Save) -> Result<Acceptance, Vec<Rejection>> {
        let comment = save.draft.comment.as_deref().unwrap_or_default();
        if comment.chars().count() < self.min_chars {
            let message = format!(
                "Say what this version changes, in {} or more characters.",
                self.min_chars
            );
            return Err(vec![
                Rejection::new("no-comment", message).at("/version_comment"),
            ]);
        }
        Ok(Acceptance::default())
    }
}

sigpersist_plugin::plugin!(Hook: SaveValidator);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{Signature, configure};

    #[test]
    fn a_comment_must_be_long_enough() {
        let plugin: Hook = configure(r#"{"min_chars": 3}"#).unwrap();
        let refusal = |comment: Option<&str>| {
            let draft = Signature {
                comment: comment.map(str::to_owned),
                ..Signature::default()
            };
            plugin
                .validate_save(&Save::new(draft))
                .err()
                .map(|refused| refused[0].code.clone())
        };
        assert_eq!(refusal(None).as_deref(), Some("no-comment"));
        assert_eq!(refusal(Some("ab")).as_deref(), Some("no-comment"));
        assert_eq!(refusal(Some("әәә")), None);
    }

    #[test]
    fn a_setting_must_be_a_number() {
        assert_eq!(
            configure::<Hook>(r#"{"min_chars": "3"}"#)
                .err()
                .unwrap()
                .field,
            "/min_chars"
        );
    }
}
