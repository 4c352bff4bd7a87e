//! Derives tags from who signed: `iin:…`, `bin:…`, `signer:…` and, where it is asked for, the organisation.

use serde::Deserialize;
use sigpersist_plugin::{Certificate, Changes, Plugin, Rejection, Save, Tagger};

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
}

impl Default for Prefixes {
    fn default() -> Self {
        Self {
            iin: "iin:".into(),
            bin: "bin:".into(),
            signer: "signer:".into(),
            organisation: String::new(),
        }
    }
}

/// Longest tag, in characters: the server's own limit.
const MAX_TAG_CHARS: usize = 255;

/// Individual and business identification numbers of Kazakhstan have twelve digits.
const ID_DIGITS: usize = 12;

impl Plugin for SignerTags {
    const SUMMARY: &str =
        "Derives iin:, bin:, signer: and organisation tags from the signers' certificates";
}

impl Tagger for SignerTags {
    fn tag(&self, save: &Save) -> Result<Changes, Rejection> {
        let Prefixes {
            iin,
            bin,
            signer,
            organisation,
        } = &self.prefixes;
        let mut set = Vec::new();
        // What is no CMS has no signers that this plugin can name; whether it may be stored is not its question.
        if let Ok(inspection) = save.cms() {
            for certificate in inspection
                .signers
                .iter()
                .filter_map(|signer| signer.certificate.as_ref())
            {
                add(&mut set, iin, number(certificate, "serialNumber", "IIN"));
                add(&mut set, bin, number(certificate, "OU", "BIN"));
                add(&mut set, signer, certificate.subject.values("CN").next());
                add(
                    &mut set,
                    organisation,
                    certificate.subject.values("O").next(),
                );
            }
        }
        let derived = |tag: &String| {
            let mut prefixes = [iin, bin, signer, organisation].into_iter();
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

/// The twelve digits of the first such attribute of the subject that begins with `label`.
fn number<'a>(certificate: &'a Certificate, name: &'a str, label: &str) -> Option<&'a str> {
    let mut digits = certificate
        .subject
        .values(name)
        .filter_map(|value| value.strip_prefix(label));
    digits.find(|digits| {
        digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

sigpersist_plugin::plugin!(SignerTags: Tagger);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{Inspection, Name, Signature, Signer, configure};

    fn save(tags: &[&str], subject: &[(&str, &str)]) -> Save {
        let subject = Name::new(subject.iter().copied());
        let certificate = Some(Certificate {
            subject,
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

    const SUBJECT: [(&str, &str); 5] = [
        ("serialNumber", "IIN123456789011"),
        ("O", "ТОО \"Тест\""),
        ("OU", "a department"),
        ("OU", "BIN123456789021"),
        ("CN", "АХМЕТОВА\nАЙГЕРІМ"),
    ];

    #[test]
    fn tags_are_derived_once_and_false_claims_go() {
        let changes = SignerTags::default()
            .tag(&save(&["iin:1", "iin:123456789011", "draft"], &SUBJECT))
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
        let prefixes =
            r#"{"prefixes": {"iin": "", "bin": "", "signer": "", "organisation": "by "}}"#;
        let plugin = configure::<SignerTags>(prefixes).unwrap();
        let changes = plugin.tag(&save(&["iin:1", "by me"], &SUBJECT)).unwrap();
        assert_eq!(
            changes,
            Changes {
                set: vec!["by ТОО \"Тест\"".into()],
                remove: vec!["by me".into()]
            }
        );
    }

    #[test]
    fn numbers_have_twelve_digits_and_tags_an_end() {
        let name = "я".repeat(300);
        let subject = [
            ("serialNumber", "IIN12345678901"),
            ("OU", "BIN12345678902x"),
            ("CN", name.as_str()),
        ];
        let set = SignerTags::default().tag(&save(&[], &subject)).unwrap().set;
        assert_eq!(set, [format!("signer:{}", "я".repeat(248))]);
    }

    #[test]
    fn what_is_no_cms_gets_no_tags() {
        let save = Save::new(Signature::default());
        assert_eq!(SignerTags::default().tag(&save), Ok(Changes::default()));
    }
}
