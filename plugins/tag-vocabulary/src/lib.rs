//! Refuses versions with a tag that no regular expression of a vocabulary matches, or without a required tag.

use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use sigpersist_plugin::{Acceptance, Plugin, Rejection, Save, SaveValidator};

/// The settings. With no patterns for allowed tags, all tags are allowed.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TagVocabulary {
    /// Patterns for allowed tags: each tag must match one.
    allowed: Vec<Pattern>,
    /// Patterns for required tags: each must match a tag.
    required: Vec<Pattern>,
}

/// A regular expression that must match a whole tag.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Pattern {
    text: String,
    regex: Regex,
}

/// Maximum size of one compiled pattern, in bytes. It counts against the memory limit of the call.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

impl TryFrom<String> for Pattern {
    type Error = regex_lite::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let compile = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(MAX_PATTERN_BYTES)
                .build()
        };
        // Compile the pattern alone first: `a)|(?:b` is a mistake, although it is valid with the text added below.
        compile(&text)?;
        let regex = compile(&format!("^(?:{text})$"))?;
        Ok(Self { text, regex })
    }
}

impl Plugin for TagVocabulary {
    const SUMMARY: &str =
        "Refuses tags that are not in the vocabulary, and versions that lack a required one";
}

impl SaveValidator for TagVocabulary {
    fn validate_save(&self, save: &Save) -> Result<Acceptance, Vec<Rejection>> {
        let tags = &save.draft.tags;
        let matches = |pattern: &Pattern, tag: &String| pattern.regex.is_match(tag);
        let foreign = tags
            .iter()
            .filter(|tag| {
                !self.allowed.is_empty()
                    && !self.allowed.iter().any(|pattern| matches(pattern, tag))
            })
            .map(|tag| {
                (
                    "tag-not-allowed",
                    format!("The tag {tag} is not in the vocabulary."),
                )
            });
        let missing = self
            .required
            .iter()
            .filter(|pattern| !tags.iter().any(|tag| matches(pattern, tag)))
            .map(|pattern| ("tag-missing", format!("No tag matches {}.", pattern.text)));
        let rejections: Vec<_> = foreign
            .chain(missing)
            .map(|(code, message)| Rejection::new(code, message).at("/tags"))
            .collect();
        if rejections.is_empty() {
            Ok(Acceptance::default())
        } else {
            Err(rejections)
        }
    }
}

sigpersist_plugin::plugin!(TagVocabulary: SaveValidator);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{Signature, configure};

    /// Codes and messages of the rejections.
    fn judge(settings: &str, tags: &[&str]) -> Vec<String> {
        let tags = tags.iter().map(|&tag| tag.into()).collect();
        let save = Save::new(Signature {
            tags,
            ..Signature::default()
        });
        let judged = configure::<TagVocabulary>(settings)
            .unwrap()
            .validate_save(&save);
        judged
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|refused| refused.code + ": " + &refused.message)
            .collect()
    }

    #[test]
    fn a_pattern_is_about_the_whole_tag() {
        let settings = r#"{"allowed": ["draft|drafted", "customer_[0-9]+"]}"#;
        assert!(judge(settings, &["draft", "drafted", "customer_12"]).is_empty());
        assert_eq!(
            judge(settings, &["drafty", "customer_12", "customer_", "draft\n"]),
            ["drafty", "customer_", "draft\n"]
                .map(|tag| format!("tag-not-allowed: The tag {tag} is not in the vocabulary."))
        );
        assert!(judge("{}", &["anything"]).is_empty());
    }

    #[test]
    fn a_required_tag_must_be_there() {
        let settings = r#"{"required": ["customer_[0-9]+", "draft|signed"]}"#;
        assert!(judge(settings, &["other", "signed", "customer_1"]).is_empty());
        assert_eq!(
            judge(settings, &["draft"]),
            ["tag-missing: No tag matches customer_[0-9]+."]
        );
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_place() {
        let refused = |settings: &str| configure::<TagVocabulary>(settings).err().unwrap().field;
        assert_eq!(refused(r#"{"allowed": ["a", "("]}"#), "/allowed/1");
        assert_eq!(refused(r#"{"required": ["a)|(?:b"]}"#), "/required/0");
        assert_eq!(
            refused(r#"{"required": ["(a{1000}){1000}"]}"#),
            "/required/0"
        );
    }
}
