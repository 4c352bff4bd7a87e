//! Derives tags from who signed: `iin:…`, `bin:…`, `signer:…` and, where it is asked for, the organisation and roles.

use serde::Deserialize;
use sigpersist_plugin::{Changes, Plugin, Rejection, Save, Tagger};

/// The settings.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignerTags {
    prefixes: Prefixes,
}

/// What each kind of tag begins with; empty where that kind is not wanted.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Prefixes {
    iin: String,
    bin: String,
    signer: String,
    organisation: String,
    role: String,
}

impl Default for Prefixes {
    fn default() -> Self {
        Self {
            iin: "iin:".into(),
            bin: "bin:".into(),
            signer: "signer:".into(),
            organisation: String::new(),
            role: String::new(),
        }
    }
}

/// Longest tag, in characters: the server's own limit.
const MAX_TAG_CHARS: usize = 255;

impl Plugin for SignerTags {
    const SUMMARY: &str =
        "Derives iin:, bin:, signer:, organisation and role tags from the signers' certificates";
}

impl Tagger for SignerTags {
    fn tag(&self, save: &Save) -> Result<Changes, Rejection> {
        let Prefixes {
            iin,
            bin,
            signer,
            organisation,
            role,
        } = &self.prefixes;
        let mut set = Vec::new();
        // What is no signature has no signers that this plugin can name; whether it may be stored is not its question.
        if let Ok(inspection) = save.cms() {
            for certificate in inspection
                .signers
                .iter()
                .filter_map(|signer| signer.certificate.as_ref())
            {
                add(&mut set, iin, certificate.iin());
                add(&mut set, bin, certificate.bin());
                add(&mut set, signer, certificate.subject.values("CN").next());
                add(
                    &mut set,
                    organisation,
                    certificate.subject.values("O").next(),
                );
                for held in certificate.roles() {
                    add(&mut set, role, Some(held));
                }
            }
        }
        let derived = |tag: &String| {
            let mut prefixes = [iin, bin, signer, organisation, role].into_iter();
            prefixes.any(|prefix| !prefix.is_empty() && tag.starts_with(prefix.as_str()))
        };
        let claimed = save
            .draft
            .tags
            .iter()
            .filter(|tag| derived(tag) && !set.contains(tag));
        Ok(Changes {
            remove: claimed.cloned().collect(),
            set,
        })
    }
}

fn add(tags: &mut Vec<String>, prefix: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    if prefix.is_empty() || value.is_empty() {
        return;
    }
    let text = prefix.chars().chain(value.chars());
    let tag: String = text
        .filter(|c| !c.is_control())
        .take(MAX_TAG_CHARS)
        .collect();
    if !tags.contains(&tag) {
        tags.push(tag);
    }
}

sigpersist_plugin::plugin!(SignerTags: Tagger);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{
        Attribute, Certificate, Inspection, Name, Signature, Signer, configure,
    };

    fn save(tags: &[&str], subject: &[(&str, &str)], extra: &[(&str, &str)]) -> Save {
        let subject = Name::new(subject.iter().copied());
        let extra = extra
            .iter()
            .map(|&(name, value)| Attribute::new(name, value));
        let certificate = Some(Certificate {
            subject,
            extra: extra.collect(),
            ..Certificate::default()
        });
        let signer = Signer {
            certificate,
            ..Signer::default()
        };
        let tags = tags.iter().map(|&tag| tag.into()).collect();
        Save::new(Signature {
            tags,
            ..Signature::default()
        })
        .with_cms(Ok(Inspection {
            signers: vec![signer.clone(), signer],
            ..Inspection::default()
        }))
    }

    const SUBJECT: [(&str, &str); 2] = [("O", "ТОО \"Тест\""), ("CN", "АХМЕТОВА\nАЙГЕРІМ")];
    const EXTRA: [(&str, &str); 4] = [
        ("iin", "123456789011"),
        ("bin", "123456789021"),
        ("role", "organisation"),
        ("role", "chief executive"),
    ];

    #[test]
    fn tags_are_derived_once_and_false_claims_go() {
        let changes = SignerTags::default()
            .tag(&save(
                &["iin:1", "iin:123456789011", "draft"],
                &SUBJECT,
                &EXTRA,
            ))
            .unwrap();
        assert_eq!(
            changes.set,
            [
                "iin:123456789011",
                "bin:123456789021",
                "signer:АХМЕТОВААЙГЕРІМ"
            ]
        );
        assert_eq!(changes.remove, ["iin:1"]);
    }

    #[test]
    fn prefixes_can_be_changed_and_left_out() {
        let prefixes = r#"{"prefixes": {"iin": "", "bin": "", "signer": "", "organisation": "by ", "role": "as "}}"#;
        let plugin = configure::<SignerTags>(prefixes).unwrap();
        let tags = ["iin:1", "by me", "as clerk"];
        let changes = plugin.tag(&save(&tags, &SUBJECT, &EXTRA)).unwrap();
        assert_eq!(
            changes,
            Changes {
                set: vec![
                    "by ТОО \"Тест\"".into(),
                    "as organisation".into(),
                    "as chief executive".into(),
                ],
                remove: vec!["by me".into(), "as clerk".into()]
            }
        );
    }

    #[test]
    fn tags_have_an_end() {
        let name = "я".repeat(300);
        let subject = [("CN", name.as_str())];
        let changes = SignerTags::default().tag(&save(&[], &subject, &[]));
        assert_eq!(
            changes.unwrap().set,
            [format!("signer:{}", "я".repeat(248))]
        );
    }

    #[test]
    fn what_is_no_cms_gets_no_tags() {
        let save = Save::new(Signature::default());
        assert_eq!(SignerTags::default().tag(&save), Ok(Changes::default()));
    }
}
