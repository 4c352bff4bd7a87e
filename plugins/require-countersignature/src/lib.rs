//! Refuses a new version that drops an earlier signer: countersigning may add signers, never take one away.
//!
//! A signer is known by its certificate, or where that is not embedded, by the issuer and serial number (or key
//! identifier) that name it. Settings, all optional: `{"min_signers": 1}`, how many signers each version must have.

wit_bindgen::generate!({
    inline: "
        package sigpersist:require-countersignature;
        world require-countersignature {
            include sigpersist:hooks/host@1.0.0;
            export sigpersist:hooks/lifecycle@1.0.0;
            export sigpersist:hooks/save-validator@1.0.0;
        }
    ",
    path: "../wit",
    generate_all,
});

use exports::sigpersist::hooks::lifecycle::{Description, Guest as Lifecycle, Issue};
use exports::sigpersist::hooks::save_validator::{Acceptance, Context, Guest as SaveValidator, Rejection, Signature};
use serde::Deserialize;
use sigpersist::hooks::cms::{self, InspectError, Inspection, Signer, SignerIdentifier};
use sigpersist::hooks::{config, previous};

#[global_allocator]
static ALLOCATOR: sigpersist_plugin::Arena = sigpersist_plugin::Arena::new();

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    min_signers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { min_signers: 1 }
    }
}

struct RequireCountersignature;

impl Lifecycle for RequireCountersignature {
    fn describe() -> Description {
        Description { summary: "Refuses a new version that drops an earlier signer".into() }
    }

    fn validate_config(json: String) -> Vec<Issue> {
        match serde_json::from_str::<Settings>(&json) {
            Ok(_) => Vec::new(),
            Err(error) => vec![Issue { field: "/min_signers".into(), message: error.to_string() }],
        }
    }
}

impl SaveValidator for RequireCountersignature {
    fn validate_save(_context: Context, _draft: Signature) -> Result<Acceptance, Vec<Rejection>> {
        let settings: Settings = serde_json::from_str(&config::json()).unwrap_or_default();
        let new = cms::inspect().map_err(|error| vec![unreadable(&error)])?;
        if new.signers.len() < settings.min_signers {
            let message = format!("The signature has {} signers; at least {} are required.", new.signers.len(), settings.min_signers);
            return Err(vec![rejection("too-few-signers", message)]);
        }
        let mut warnings = Vec::new();
        if let Some(over) = previous::metadata() {
            match previous::inspect() {
                Ok(old) => check(&old, &new)?,
                // What was stored before this hook was set may be no CMS: then there is no signer to keep.
                Err(_) => warnings.push(format!("Version {} is no readable CMS; its signers are not known.", over.version)),
            }
        }
        Ok(Acceptance { warnings, annotations: Vec::new() })
    }
}

fn check(old: &Inspection, new: &Inspection) -> Result<(), Vec<Rejection>> {
    let dropped: Vec<_> = old
        .signers
        .iter()
        .filter(|signer| !new.signers.iter().any(|other| is_same(other, signer)))
        .map(|signer| rejection("signer-dropped", format!("The new version drops the signer {}.", label(signer))))
        .collect();
    if dropped.is_empty() { Ok(()) } else { Err(dropped) }
}

/// Two signatures of one signer: with the same certificate, or where one of them does not embed it, naming the same.
fn is_same(one: &Signer, other: &Signer) -> bool {
    match (&one.certificate, &other.certificate) {
        (Some(one), Some(other)) => one.sha256 == other.sha256,
        _ => identity(one) == identity(other),
    }
}

/// What names a signer's certificate: the same for each signature that it makes.
fn identity(signer: &Signer) -> (&str, &str) {
    match &signer.identifier {
        SignerIdentifier::IssuerAndSerial(id) => (&id.issuer.rfc4514, &id.serial),
        SignerIdentifier::SubjectKeyIdentifier(id) => ("", id),
    }
}

/// What a person knows the signer by.
fn label(signer: &Signer) -> &str {
    match &signer.certificate {
        Some(certificate) => certificate
            .subject
            .attributes
            .iter()
            .find(|attribute| attribute.name.as_deref() == Some("CN"))
            .map_or(&certificate.subject.rfc4514, |attribute| &attribute.value),
        None => identity(signer).1,
    }
}

fn unreadable(error: &InspectError) -> Rejection {
    match error {
        InspectError::NotCms => rejection("not-cms", "The signature is no CMS.".into()),
        InspectError::Malformed(why) => rejection("malformed-cms", format!("The signature is a CMS that can't be read: {why}.")),
    }
}

fn rejection(code: &str, message: String) -> Rejection {
    Rejection { code: code.into(), message, field: Some("/cms".into()) }
}

export!(RequireCountersignature);
