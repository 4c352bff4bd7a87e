//! Tags versions that have a comment.

use serde::Deserialize;
use sigpersist_plugin::{Changes, Plugin, Rejection, Save, Tagger};

/// The settings of a hook. If serde refuses them, the answer has the JSON pointer of the mistake.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Hook {
    /// The tag of a version that has a comment.
    tag: String,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            tag: "commented".to_owned(),
        }
    }
}

impl Plugin for Hook {
    const SUMMARY: &str = "Tags versions that have a comment";
}

impl Tagger for Hook {
    fn tag(&self, save: &Save) -> Result<Changes, Rejection> {
        let tag = vec![self.tag.clone()];
        Ok(match save.draft.comment {
            Some(_) => Changes {
                set: tag,
                remove: Vec::new(),
            },
            // A client can't claim it.
            None => Changes {
                set: Vec::new(),
                remove: tag,
            },
        })
    }
}

sigpersist_plugin::plugin!(Hook: Tagger);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{Signature, configure};

    #[test]
    fn the_tag_tells_whether_there_is_a_comment() {
        let plugin: Hook = configure("{}").unwrap();
        let mut draft = Signature::default();
        let changes = plugin.tag(&Save::new(draft.clone())).unwrap();
        assert_eq!(
            (changes.set.len(), changes.remove),
            (0, vec!["commented".to_owned()])
        );
        draft.comment = Some("The first signature".to_owned());
        let changes = plugin.tag(&Save::new(draft)).unwrap();
        assert_eq!(
            (changes.set, changes.remove.len()),
            (vec!["commented".to_owned()], 0)
        );
    }

    #[test]
    fn a_setting_must_be_a_text() {
        assert_eq!(
            configure::<Hook>(r#"{"tag": 7}"#).err().unwrap().field,
            "/tag"
        );
    }
}
