//! Refuses to delete threads that have a tag.

use serde::Deserialize;
use sigpersist_plugin::{Acceptance, Delete, DeleteValidator, Plugin, Rejection};

/// The settings of a hook. If serde refuses them, the answer has the JSON pointer of the mistake.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Hook {
    /// The tag of threads that nobody may delete.
    tag: String,
}

impl Default for Hook {
    fn default() -> Self {
        Self {
            tag: "keep".to_owned(),
        }
    }
}

impl Plugin for Hook {
    const SUMMARY: &str = "Refuses to delete threads that have a tag";
}

impl DeleteValidator for Hook {
    fn validate_delete(&self, delete: &Delete) -> Result<Acceptance, Vec<Rejection>> {
        if delete.stored.tags.contains(&self.tag) {
            let message = format!("Remove the tag {} first.", self.tag);
            return Err(vec![Rejection::new("kept", message).at("/thread")]);
        }
        Ok(Acceptance::default())
    }
}

sigpersist_plugin::plugin!(Hook: DeleteValidator);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{Signature, configure};

    #[test]
    fn a_thread_with_the_tag_is_kept() {
        let plugin: Hook = configure("{}").unwrap();
        let mut stored = Signature::default();
        assert!(plugin.validate_delete(&Delete::new(stored.clone())).is_ok());
        stored.tags.push("keep".to_owned());
        assert_eq!(
            plugin.validate_delete(&Delete::new(stored)).unwrap_err()[0].code,
            "kept"
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
