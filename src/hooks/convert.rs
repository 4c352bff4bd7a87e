//! From our values to the records of the contract.

use chrono::{DateTime, Utc};

use super::bindings::sigpersist::hooks::{cms as wit, types};
use super::host::Document;
use crate::cms;
use crate::decisions::model::Circumstances;
use crate::digest::to_hex;
use crate::pki;
use crate::signatures::model::{Format, Signature, SignatureBody, ThreadKey};

/// What a record of a version is made of; the body stays behind.
pub(super) struct Version<'a> {
    pub(super) key: &'a ThreadKey,
    pub(super) version: u32,
    pub(super) stage: Option<&'a String>,
    pub(super) created_by: Option<&'a String>,
    pub(super) comment: Option<&'a String>,
    pub(super) tags: &'a [String],
    pub(super) body: &'a SignatureBody,
    /// When the thread's first version and this one were saved; a draft was not.
    pub(super) saved: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

pub(super) fn signature(version: &Version<'_>) -> types::Signature {
    types::Signature {
        document: version.key.document.clone(),
        thread: version.key.thread.clone(),
        version: version.version,
        stage: version.stage.cloned(),
        created_by: version.created_by.cloned(),
        comment: version.comment.cloned(),
        tags: version.tags.to_vec(),
        size: version.body.bytes.len() as u64,
        sha256: to_hex(&version.body.sha256),
        format: match version.body.format() {
            Format::Cms => types::Format::Cms,
            Format::Xml => types::Format::Xml,
            Format::Unknown => types::Format::Unknown,
        },
        extra: match version.saved {
            Some((thread, version)) => vec![
                milliseconds("created-at-ms", thread),
                milliseconds("version-created-at-ms", version),
            ],
            None => Vec::new(),
        },
    }
}

fn milliseconds(name: &str, time: DateTime<Utc>) -> types::Attribute {
    types::Attribute {
        name: name.to_owned(),
        value: time.timestamp_millis().to_string(),
    }
}

/// The record of a version that is stored, with its bytes; nothing where it came without them.
pub(super) fn stored(stored: &Signature) -> Option<(types::Signature, Document)> {
    let body = stored.body.as_ref()?;
    let record = signature(&Version {
        key: &stored.key,
        version: stored.version,
        stage: stored.stage.as_ref(),
        created_by: stored.created_by.as_ref(),
        comment: stored.comment.as_ref(),
        tags: &stored.tags,
        body,
        saved: Some((stored.created_at, stored.version_created_at)),
    });
    Some((record, Document::new(body.bytes.clone())))
}

pub(super) fn context(circumstances: &Circumstances) -> types::Context {
    types::Context {
        tenant: circumstances.tenant.clone(),
        request_id: circumstances.request_id.clone(),
        subject: circumstances.subject.clone(),
        scopes: circumstances.scopes.clone(),
        now_ms: circumstances.now_ms,
        extra: Vec::new(),
    }
}

pub(super) fn inspection(found: cms::Inspection) -> wit::Inspection {
    wit::Inspection {
        detached: found.detached,
        content_type: found.content_type,
        content_size: found.content_size,
        signers: found.signers.into_iter().map(signer).collect(),
        certificates: u32::try_from(found.certificates).unwrap_or(u32::MAX),
        extra: Vec::new(),
    }
}

pub(super) fn inspect_error(error: cms::InspectError) -> wit::InspectError {
    match error {
        cms::InspectError::NotCms => wit::InspectError::NotCms,
        cms::InspectError::Malformed(why) => wit::InspectError::Malformed(why.to_owned()),
    }
}

fn signer(signer: cms::Signer) -> wit::Signer {
    wit::Signer {
        identifier: match signer.identifier {
            cms::SignerIdentifier::IssuerAndSerial { issuer, serial } => {
                wit::SignerIdentifier::IssuerAndSerial(wit::IssuerAndSerial {
                    issuer: name(issuer),
                    serial,
                })
            }
            cms::SignerIdentifier::SubjectKeyIdentifier(id) => {
                wit::SignerIdentifier::SubjectKeyIdentifier(id)
            }
        },
        certificate: signer.certificate.map(certificate),
        digest_algorithm: algorithm(signer.digest_algorithm),
        signature_algorithm: algorithm(signer.signature_algorithm),
        signing_time_ms: signer.signing_time_ms,
        extra: Vec::new(),
    }
}

/// What the contract's records have no place for: whom the certificate names, and in which roles.
fn person(certificate: &pki::Certificate) -> Vec<types::Attribute> {
    let pki::Person { iin, bin } = &certificate.person;
    let numbers = [("iin", iin.as_deref()), ("bin", bin.as_deref())];
    let usages = certificate.extended_key_usages.iter();
    let roles = usages.map(|usage| ("role", pki::role(usage)));
    numbers
        .into_iter()
        .chain(roles)
        .filter_map(|(name, value)| {
            Some(types::Attribute {
                name: name.to_owned(),
                value: value?.to_owned(),
            })
        })
        .collect()
}

fn certificate(certificate: pki::Certificate) -> wit::Certificate {
    wit::Certificate {
        extra: person(&certificate),
        subject: name(certificate.subject),
        issuer: name(certificate.issuer),
        serial: certificate.serial,
        not_before_ms: certificate.not_before_ms,
        not_after_ms: certificate.not_after_ms,
        sha256: certificate.sha256,
        public_key_algorithm: algorithm(certificate.public_key_algorithm),
    }
}

fn name(name: pki::Name) -> wit::Name {
    wit::Name {
        rfc4514: name.rfc4514,
        attributes: name
            .attributes
            .into_iter()
            .map(|attribute| wit::NameAttribute {
                oid: attribute.oid,
                name: attribute.name.map(str::to_owned),
                value: attribute.value,
            })
            .collect(),
    }
}

fn algorithm(algorithm: pki::Algorithm) -> wit::Algorithm {
    wit::Algorithm {
        oid: algorithm.oid,
        name: algorithm.name.map(str::to_owned),
    }
}
