//! Derives tags from the signers: `iin:…`, `bin:…`, `signer:…` and, if set, the organisation and roles.
//!
//! People who find a signature by such a tag believe that this signer made it. So, unless a setting says otherwise,
//! only signers with intact signatures are tagged: a forged signature can embed anybody's certificate.

use serde::Deserialize;
use sigpersist_plugin::{
    ApartFromContent, Certificate, Changes, Plugin, Rejection, Save, Tagger, Verdict,
};

/// The settings.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignerTags {
    prefixes: Prefixes,
    signers: Signers,
    /// Whether to tag signers of a detached signature only if its content was sent.
    ///
    /// Otherwise it is enough that the rest holds: then the key of the certificate has signed something, but nobody can
    /// tell what.
    needs_content: bool,
}

/// Signers that are tagged.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Signers {
    /// All signers whose certificates are embedded. Nothing is verified.
    Claimed,
    /// Signers whose signatures are intact and have not failed, even if nobody vouches for their certificates.
    #[default]
    Intact,
    /// Signers whose signatures pass by the certificates that the tenant trusts.
    Passed,
}

/// Prefixes of the kinds of tags; an empty prefix disables the kind.
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

/// Maximum length of a tag, in characters: the server's own limit.
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
        for certificate in self.certificates(save) {
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

impl SignerTags {
    /// The certificates of the signers to be tagged.
    ///
    /// A file that is no signature has no signers to name. Whether to store it is for other hooks to decide.
    fn certificates(&self, save: &Save) -> Vec<Certificate> {
        if self.signers == Signers::Claimed {
            let signers = save.cms().map(|it| it.signers).unwrap_or_default();
            let certificates = signers.into_iter();
            return certificates.filter_map(|it| it.certificate).collect();
        }
        let signers = save.verdicts().map(|it| it.signers).unwrap_or_default();
        let tagged = signers.into_iter().filter(|it| self.tags(&it.verdict));
        tagged.filter_map(|it| it.certificate).collect()
    }

    fn tags(&self, verdict: &Verdict) -> bool {
        let apart = verdict.apart_from_content.as_ref();
        let apart = apart.filter(|_| !self.needs_content);
        match self.signers {
            Signers::Claimed => true,
            Signers::Intact => {
                verdict.is_intact() || apart.is_some_and(ApartFromContent::is_intact)
            }
            Signers::Passed => verdict.passed() || apart.is_some_and(ApartFromContent::passed),
        }
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
        Attribute, Indication, Inspection, JudgedSigner, Judgement, Name, Signature, Signer,
        configure,
    };

    fn certificate(subject: &[(&str, &str)], extra: &[(&str, &str)]) -> Certificate {
        let extra = extra
            .iter()
            .map(|&(name, value)| Attribute::new(name, value));
        Certificate {
            subject: Name::new(subject.iter().copied()),
            extra: extra.collect(),
            ..Certificate::default()
        }
    }

    fn intact() -> Verdict {
        Verdict {
            intact: Some(true),
            ..Verdict::default()
        }
    }

    fn passed() -> Verdict {
        Verdict {
            indication: Indication::TotalPassed,
            ..intact()
        }
    }

    fn forged() -> Verdict {
        Verdict {
            intact: Some(false),
            ..Verdict::default()
        }
    }

    /// A verdict that fails although the signature is intact.
    fn relabelled() -> Verdict {
        Verdict {
            indication: Indication::TotalFailed,
            ..intact()
        }
    }

    /// A verdict on a detached signature without its content; `apart` is the verdict if the content is what was signed.
    fn detached(apart: Verdict) -> Verdict {
        Verdict {
            sub_indication: Some("SIGNED_DATA_NOT_FOUND".into()),
            apart_from_content: Some(ApartFromContent {
                indication: apart.indication,
                intact: apart.intact,
                ..ApartFromContent::default()
            }),
            ..Verdict::default()
        }
    }

    /// A save with these tags, whose signers have these certificates and verdicts.
    fn signed(tags: &[&str], signers: &[(Certificate, Verdict)]) -> Save {
        let certificates = signers.iter().map(|(certificate, _)| Signer {
            certificate: Some(certificate.clone()),
            ..Signer::default()
        });
        let inspection = Inspection {
            signers: certificates.collect(),
            ..Inspection::default()
        };
        let judged = signers.iter().map(|(certificate, verdict)| JudgedSigner {
            certificate: Some(certificate.clone()),
            verdict: verdict.clone(),
        });
        let judgement = Judgement {
            signers: judged.collect(),
            ..Judgement::default()
        };
        let tags = tags.iter().map(|&tag| tag.into()).collect();
        Save::new(Signature {
            tags,
            ..Signature::default()
        })
        .with_cms(Ok(inspection))
        .with_verdicts(Ok(judgement))
    }

    /// A save with these tags, signed twice by one signer, intact.
    fn save(tags: &[&str], subject: &[(&str, &str)], extra: &[(&str, &str)]) -> Save {
        let signer = (certificate(subject, extra), intact());
        signed(tags, &[signer.clone(), signer])
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
    fn only_who_holds_is_tagged_and_a_setting_says_how_much() {
        let of = |name| certificate(&[("CN", name)], &[]);
        let signers = [
            (of("passes"), passed()),
            (of("intact"), intact()),
            (of("forged"), forged()),
            (of("relabelled"), relabelled()),
            (of("detached"), detached(intact())),
            (of("detached and passes"), detached(passed())),
            (of("detached and forged"), detached(forged())),
            (of("detached and relabelled"), detached(relabelled())),
            (of("unknown"), Verdict::default()),
        ];
        let all: Vec<_> = signers.iter().map(|(it, _)| it.label()).collect();
        for (settings, tagged) in [
            (
                "{}",
                &["passes", "intact", "detached", "detached and passes"][..],
            ),
            (
                r#"{"signers": "intact", "needs_content": true}"#,
                &["passes", "intact"],
            ),
            (
                r#"{"signers": "passed"}"#,
                &["passes", "detached and passes"],
            ),
            (
                r#"{"signers": "passed", "needs_content": true}"#,
                &["passes"],
            ),
            (r#"{"signers": "claimed"}"#, &all),
        ] {
            let plugin = configure::<SignerTags>(settings).unwrap();
            let changes = plugin
                .tag(&signed(&["signer:forged", "own"], &signers))
                .unwrap();
            let tags: Vec<_> = tagged.iter().map(|name| format!("signer:{name}")).collect();
            assert_eq!(changes.set, tags, "{settings}");
            // A claimed tag is removed if it names a signer who is not tagged.
            let keeps = tagged.contains(&"forged");
            assert_eq!(changes.remove.is_empty(), keeps, "{settings}");
        }
        let issue = configure::<SignerTags>(r#"{"signers": "all"}"#)
            .err()
            .unwrap();
        assert_eq!(issue.field, "/signers");
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
        let claimed = configure::<SignerTags>(r#"{"signers": "claimed"}"#).unwrap();
        assert_eq!(claimed.tag(&save), Ok(Changes::default()));
    }
}
