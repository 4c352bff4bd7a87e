//! Derives tags from who signed: `iin:…`, `bin:…` and `signer:…`.
//!
//! Settings, all optional: `{"prefixes": {"iin": "iin:", "bin": "bin:", "signer": "signer:"}}`; an empty prefix leaves that kind
//! of tag out. Tags with these prefixes that are not derived from the signature are taken away, so that a client can't
//! claim a signer who did not sign.

wit_bindgen::generate!({
    inline: "
        package sigpersist:signer-tags;
        world signer-tags {
            include sigpersist:hooks/host@1.0.0;
            export sigpersist:hooks/lifecycle@1.0.0;
            export sigpersist:hooks/tagger@1.0.0;
        }
    ",
    path: "../wit",
    generate_all,
});

use exports::sigpersist::hooks::lifecycle::{Description, Guest as Lifecycle, Issue};
use exports::sigpersist::hooks::tagger::{Changes, Context, Guest as Tagger, Rejection, Signature};
use serde::Deserialize;
use sigpersist::hooks::cms::{Certificate, inspect};
use sigpersist::hooks::config;

#[global_allocator]
static ALLOCATOR: sigpersist_plugin::Arena = sigpersist_plugin::Arena::new();

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    prefixes: Prefixes,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Prefixes {
    iin: String,
    bin: String,
    signer: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { prefixes: Prefixes::default() }
    }
}

impl Default for Prefixes {
    fn default() -> Self {
        Self { iin: "iin:".into(), bin: "bin:".into(), signer: "signer:".into() }
    }
}

/// Longest tag, in characters: the server's own limit.
const MAX_TAG_CHARS: usize = 255;

/// Individual and business identification numbers of Kazakhstan have twelve digits.
const ID_DIGITS: usize = 12;

struct SignerTags;

impl Lifecycle for SignerTags {
    fn describe() -> Description {
        Description { summary: "Derives iin:, bin: and signer: tags from the signers' certificates".into() }
    }

    fn validate_config(json: String) -> Vec<Issue> {
        match serde_json::from_str::<Settings>(&json) {
            Ok(_) => Vec::new(),
            Err(error) => vec![Issue { field: "/prefixes".into(), message: error.to_string() }],
        }
    }
}

impl Tagger for SignerTags {
    fn tag(_context: Context, draft: Signature) -> Result<Changes, Rejection> {
        let Prefixes { iin, bin, signer } =
            serde_json::from_str::<Settings>(&config::json()).unwrap_or_default().prefixes;
        let mut set = Vec::new();
        // What is no CMS has no signers that this plugin can name; whether it may be stored is not its question.
        if let Ok(inspection) = inspect() {
            for certificate in inspection.signers.iter().filter_map(|signer| signer.certificate.as_ref()) {
                add(&mut set, &iin, number(certificate, "serialNumber", "IIN"));
                add(&mut set, &bin, number(certificate, "OU", "BIN"));
                add(&mut set, &signer, attribute(certificate, "CN"));
            }
        }
        let derived = |tag: &String| {
            [&iin, &bin, &signer].iter().any(|prefix| !prefix.is_empty() && tag.starts_with(prefix.as_str()))
        };
        let remove = draft.tags.into_iter().filter(|tag| derived(tag) && !set.contains(tag)).collect();
        Ok(Changes { set, remove })
    }
}

fn add(tags: &mut Vec<String>, prefix: &str, value: Option<&str>) {
    let Some(value) = value else { return };
    if prefix.is_empty() || value.is_empty() {
        return;
    }
    let tag: String = prefix.chars().chain(value.chars()).filter(|c| !c.is_control()).take(MAX_TAG_CHARS).collect();
    if !tags.contains(&tag) {
        tags.push(tag);
    }
}

/// The first attribute of this name in the subject.
fn attribute<'a>(certificate: &'a Certificate, name: &str) -> Option<&'a str> {
    attributes(certificate, name).next()
}

/// The twelve digits of the first such attribute that begins with `label`.
fn number<'a>(certificate: &'a Certificate, name: &str, label: &str) -> Option<&'a str> {
    attributes(certificate, name)
        .filter_map(|value| value.strip_prefix(label))
        .find(|digits| digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn attributes<'a>(certificate: &'a Certificate, name: &str) -> impl Iterator<Item = &'a str> {
    let attributes = certificate.subject.attributes.iter();
    attributes.filter(move |attribute| attribute.name.as_deref() == Some(name)).map(|attribute| attribute.value.as_str())
}

export!(SignerTags);
