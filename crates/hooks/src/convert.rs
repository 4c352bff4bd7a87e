//! Converts the server's values to the contract's records.

use chrono::{DateTime, Utc};
use sigpersist_model::decision::Circumstances;
use sigpersist_model::digest::to_hex;
use sigpersist_model::signature::{Signature, SignatureBody, ThreadKey};
use sigpersist_verify::Format;
use sigpersist_verify::cms;
use sigpersist_verify::pki::{self, Budget};
use sigpersist_verify::xmldsig::XmlSignature;

use super::bindings::sigpersist::hooks::{cms as wit, types};
use super::host::Document;
use super::verdicts::Source;

/// Source of a version's record. The body is only read for its size, digest and format.
pub(super) struct Version<'a> {
    pub(super) key: &'a ThreadKey,
    pub(super) version: u32,
    pub(super) stage: Option<&'a String>,
    pub(super) created_by: Option<&'a String>,
    pub(super) comment: Option<&'a String>,
    pub(super) tags: &'a [String],
    pub(super) body: &'a SignatureBody,
    /// Time when the thread's first version was saved, and this one; none for a draft.
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
    attribute(name, &time.timestamp_millis().to_string())
}

/// The record of a stored version, with its bytes; none if it was loaded without them.
pub(super) fn stored(
    stored: &Signature,
    verdicts: impl FnOnce(&SignatureBody) -> Source,
) -> Option<(types::Signature, Document)> {
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
    Some((record, Document::new(body.clone(), verdicts(body))))
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

/// Parses a CMS or XML signature.
pub(super) fn inspect(
    body: &SignatureBody,
    budget: &Budget,
) -> Result<wit::Inspection, wit::InspectError> {
    let sent = body.as_sent();
    if sent.format() != Format::Xml {
        return match cms::inspect_within(&sent.signed_bytes(), budget) {
            Ok(found) => Ok(cms_inspection(found)),
            Err(cms::InspectError::NotCms) => Err(wit::InspectError::NotCms),
            Err(cms::InspectError::Malformed(why)) => {
                Err(wit::InspectError::Malformed(why.to_owned()))
            }
        };
    }
    match sent.xml_signatures(None, budget) {
        // XML without a signature counts as no signature.
        Ok(found) if found.is_empty() => Err(wit::InspectError::NotCms),
        Ok(found) => Ok(xml_inspection(&found, budget)),
        Err(error) => Err(wit::InspectError::Malformed(error.to_string())),
    }
}

fn cms_inspection(found: cms::Inspection) -> wit::Inspection {
    wit::Inspection {
        detached: found.detached,
        content_type: found.content_type,
        content_size: found.content_size,
        signers: found.signers.into_iter().map(signer).collect(),
        certificates: u32::try_from(found.certificates).unwrap_or(u32::MAX),
        extra: Vec::new(),
    }
}

/// An XML signature in the records for CMS. Its signers are those of all signatures in the file.
fn xml_inspection(found: &[XmlSignature], budget: &Budget) -> wit::Inspection {
    let certificates: usize = found.iter().map(|it| it.certificates.len()).sum();
    wit::Inspection {
        detached: found.iter().all(XmlSignature::is_detached),
        content_type: XML_TYPE.to_owned(),
        content_size: None,
        signers: found.iter().map(|it| xml_signer(it, budget)).collect(),
        certificates: u32::try_from(certificates).unwrap_or(u32::MAX),
        extra: Vec::new(),
    }
}

/// Content type of XML, which has no OID.
const XML_TYPE: &str = "xml";

fn xml_signer(signature: &XmlSignature, budget: &Budget) -> wit::Signer {
    let described = signature.certificate();
    let described = described.and_then(|der| pki::describe_certificate_within(der, budget));
    let identifier = match &described {
        Some(certificate) => wit::SignerIdentifier::IssuerAndSerial(wit::IssuerAndSerial {
            issuer: name(certificate.issuer.clone()),
            serial: certificate.serial.clone(),
        }),
        None => wit::SignerIdentifier::SubjectKeyIdentifier(String::new()),
    };
    wit::Signer {
        identifier,
        certificate: described.map(certificate),
        digest_algorithm: algorithm(signature.digest_algorithm()),
        signature_algorithm: algorithm(signature.signature_algorithm()),
        signing_time_ms: signature.signing_time_ms(),
        extra: Vec::new(),
    }
}

fn signer(signer: cms::Signer) -> wit::Signer {
    let mut extra = vec![attribute("level", &signer.level.to_string())];
    if let Some(time_ms) = signer.timestamp_ms {
        extra.push(attribute("timestamp-ms", &time_ms.to_string()));
    }
    let countersigners = signer.countersignatures.len();
    if countersigners > 0 {
        extra.push(attribute("countersignatures", &countersigners.to_string()));
    }
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
        extra,
    }
}

fn attribute(name: &str, value: &str) -> types::Attribute {
    types::Attribute {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// Attributes that the contract's records have no field for: the numbers and roles that the certificate names, and its
/// key usages.
fn more(certificate: &pki::Certificate) -> Vec<types::Attribute> {
    let numbers = [
        ("iin", certificate.iin.as_deref()),
        ("bin", certificate.bin.as_deref()),
    ];
    let numbers = numbers.into_iter();
    let numbers = numbers.filter_map(|(name, value)| Some(attribute(name, value?)));
    let roles = certificate.roles.iter();
    let mut all: Vec<_> = numbers
        .chain(roles.map(|role| attribute("role", role)))
        .collect();
    let key_usages = certificate.key_usages.iter();
    let key_usages: Vec<_> = key_usages.map(ToString::to_string).collect();
    for (name, list) in [
        ("key-usages", key_usages.join(",")),
        (
            "extended-key-usages",
            certificate.extended_key_usages.join(","),
        ),
    ] {
        if !list.is_empty() {
            all.push(attribute(name, &list));
        }
    }
    all
}

pub(super) fn certificate(certificate: pki::Certificate) -> wit::Certificate {
    wit::Certificate {
        extra: more(&certificate),
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const FIRST: &str = include_str!("../../../tests/data/first.cms.b64");

    proptest! {
        #[test]
        fn a_record_says_what_the_version_is(
            texts in vec(any::<String>(), 5),
            tags in vec(any::<String>(), 0..5),
            number in any::<u32>(),
        ) {
            let [document, thread, stage, author, text] = &texts[..] else { unreachable!() };
            let key = ThreadKey { document: document.clone(), thread: thread.clone() };
            let body = SignatureBody::from_text(text);
            let record = signature(&Version {
                key: &key,
                version: number,
                stage: Some(stage),
                created_by: Some(author),
                comment: None,
                tags: &tags,
                body: &body,
                saved: None,
            });
            prop_assert_eq!((&record.document, &record.thread), (document, thread));
            prop_assert_eq!((record.stage.as_ref(), record.created_by.as_ref()), (Some(stage), Some(author)));
            prop_assert_eq!((record.comment, record.version), (None, number));
            prop_assert_eq!(record.tags, tags);
            prop_assert_eq!(record.size, body.bytes.len() as u64);
            prop_assert_eq!(record.sha256, to_hex(&body.sha256));
        }

        /// If one byte of a signature is changed, the guest's reader and the server's own agree: both read it, or both
        /// refuse.
        #[test]
        fn what_guests_read_is_what_the_server_reads(place in 0_usize..10_000, byte in any::<u8>()) {
            let mut bytes = SignatureBody::from_text(FIRST.trim()).bytes.to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes);
            let body = SignatureBody::from_text(&text);
            match (inspect(&body, &Budget::new()), cms::inspect(&bytes)) {
                (Ok(told), Ok(found)) => {
                    prop_assert_eq!(told.signers.len(), found.signers.len());
                    prop_assert_eq!(told.detached, found.detached);
                    let subjects = |found: &cms::Inspection| {
                        let certificates = found.signers.iter().filter_map(|it| it.certificate.clone());
                        certificates.map(|it| it.subject.rfc4514).collect::<Vec<_>>()
                    };
                    let told = told.signers.iter().filter_map(|it| it.certificate.as_ref());
                    let told: Vec<_> = told.map(|it| it.subject.rfc4514.clone()).collect();
                    prop_assert_eq!(told, subjects(&found));
                }
                (Err(_), Err(_)) => {}
                (told, found) => prop_assert!(body.format() != Format::Cms, "{told:?} {found:?}"),
            }
        }
    }
}
