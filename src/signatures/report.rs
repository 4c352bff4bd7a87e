//! What is said of a signature's bytes, to tenants and in a terminal: who signed, and whether it holds. Nothing is stored.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::model::{Encoding, Format, SignatureBody};
use crate::cms::{self, Signer, SignerIdentifier};
use crate::digest::{sha256, to_hex};
use crate::pki::{self, Algorithm, Anchors, Certificate, Revocation, SubIndication, Verdict};
use crate::time;
use crate::xmldsig::{self, Coverage, ValueIntegrity, XmlSignature};

/// Base64 as people send it, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const PEM_BEGIN: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// How a signature is to be judged.
#[derive(Debug, Clone)]
pub struct Judging<'a> {
    /// The document that a detached signature signs.
    pub document: Option<&'a [u8]>,
    /// Who is trusted.
    pub anchors: &'a Anchors,
    /// When it is judged.
    pub now: DateTime<Utc>,
}

/// What a signature says of itself and its signers; with `judging` also whether it holds.
pub fn report(body: &SignatureBody, judging: Option<&Judging<'_>>) -> Value {
    // What was proper base64 is decoded already, and is not guessed at any further.
    let bytes = match body.encoding {
        Encoding::Base64 => Cow::Borrowed(&body.bytes[..]),
        Encoding::Text if body.format() == Format::Xml => Cow::Borrowed(&body.bytes[..]),
        Encoding::Text => unwrapped(&body.bytes),
    };
    let mut report = json!({
        "format": body.format().as_str(),
        "size": bytes.len(),
        "sha256": to_hex(&sha256(&bytes)),
        "problem": null,
        "signers": [],
    });
    if body.format() == Format::Xml {
        let found = match (body.encoding, std::str::from_utf8(&bytes)) {
            (Encoding::Text, Ok(text)) => xmldsig::inspect_text(text),
            _ => xmldsig::inspect(&bytes),
        };
        match found {
            Ok(found) => xml_json(&mut report, &found, judging),
            Err(error) => report["problem"] = format!("It can't be read: {error}.").into(),
        }
        return report;
    }
    let inspection = match cms::inspect(&bytes) {
        Ok(inspection) => inspection,
        Err(error) => {
            report["problem"] = problem(&bytes, &error).into();
            return report;
        }
    };
    // In armour or with line breaks it did not look like one.
    report["format"] = "cms".into();
    report["detached"] = inspection.detached.into();
    report["content_type"] = inspection.content_type.as_str().into();
    report["content_size"] = inspection.content_size.into();
    report["certificates"] = inspection.certificates.into();
    report["revocations"] = inspection.revocations.into();
    let verdicts = judging.map_or(Ok(Vec::new()), |judging| {
        let now_ms = judging.now.timestamp_millis();
        cms::verify(&bytes, judging.document, judging.anchors, now_ms)
    });
    match verdicts {
        Ok(verdicts) => report["signers"] = signers_json(&inspection.signers, &verdicts),
        Err(error) => {
            report["signers"] = signers_json(&inspection.signers, &[]);
            report["problem"] = format!("It can't be verified: {error}.").into();
        }
    }
    if inspection.signers.is_empty() {
        report["problem"] = "Nobody has signed it.".into();
    }
    report
}

/// What is worth keeping of a report with verdicts: who signed, and what was found of each.
pub fn summary(report: &Value) -> Value {
    json!({
        "format": report["format"],
        "problem": report["problem"],
        "signers": summaries(&report["signers"]),
    })
}

fn summaries(signers: &Value) -> Value {
    let signers = signers.as_array().into_iter().flatten();
    let kept = signers.map(|signer| {
        let certificate = &signer["certificate"];
        let mut kept = json!({
            "subject": certificate["subject"]["rfc4514"],
            "sha256": certificate["sha256"],
            "iin": certificate["iin"],
            "bin": certificate["bin"],
            "verdict": signer["verdict"],
        });
        if let Some(references) = signer["references"].as_array() {
            kept["covers"] = references.iter().map(|it| it["covers"].clone()).collect();
        }
        if signer["countersignatures"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            kept["countersignatures"] = summaries(&signer["countersignatures"]);
        }
        kept
    });
    kept.collect()
}

/// The DER or BER in what was sent: without PEM armour, line breaks and missing padding.
fn unwrapped(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Cow::Borrowed(bytes);
    };
    let inside = text.trim_start().strip_prefix(PEM_BEGIN).and_then(|rest| {
        let (_, rest) = rest.split_once("-----")?;
        Some(rest.split_once(PEM_END)?.0)
    });
    let base64: String = inside
        .unwrap_or(text)
        .chars()
        .filter(|character| !character.is_ascii_whitespace())
        .collect();
    match LENIENT.decode(&base64) {
        Ok(decoded) if !decoded.is_empty() => Cow::Owned(decoded),
        _ => Cow::Borrowed(bytes),
    }
}

/// The DER of the certificates in a file: PEM, in which there may be several, or DER.
pub fn certificates(file: &[u8]) -> Vec<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(file) else {
        return vec![file.to_vec()];
    };
    let armoured = text.split(PEM_BEGIN).skip(1);
    armoured
        .filter(|rest| rest.starts_with("CERTIFICATE"))
        .map(|rest| unwrapped(format!("{PEM_BEGIN}{rest}").as_bytes()).into_owned())
        .collect()
}

/// Why nothing is said, in a sentence.
fn problem(bytes: &[u8], error: &cms::InspectError) -> String {
    let twice = unwrapped(bytes);
    if *twice != *bytes && cms::inspect(&twice).is_ok() {
        "It is base64 of base64: send it encoded once.".to_owned()
    } else {
        format!("It can't be read: {error}.")
    }
}

/// What the signatures in an XML document say of themselves, and with `judging` whether they hold.
fn xml_json(report: &mut Value, found: &[XmlSignature], judging: Option<&Judging<'_>>) {
    let signers = found.iter().map(|signature| {
        let place = match signature.value {
            ValueIntegrity::Intact(place) => Some(place),
            _ => signature.signing_certificate,
        };
        let der = place
            .or(Some(0))
            .and_then(|place| signature.certificates.get(place));
        let certificate = der.and_then(|der| pki::describe_certificate(der));
        let references = signature.references.iter().map(|reference| {
            json!({
                "uri": reference.uri,
                "covers": covers(&reference.covers),
                "transforms": reference.transforms,
                "digest_method": reference.digest_method,
            })
        });
        let mut told = json!({
            "identifier": { "id": signature.id },
            "certificate": certificate.as_ref().map(certificate_json),
            "signature_method": signature.signature_method,
            "signing_time": signature.signing_time,
            "encloses": signature.encloses,
            "references": references.collect::<Value>(),
        });
        if let Some(judging) = judging {
            let now_ms = judging.now.timestamp_millis();
            told["verdict"] = verdict_json(&xmldsig::judge(signature, judging.anchors, now_ms));
        }
        told
    });
    report["signers"] = signers.collect();
    if found.is_empty() {
        report["problem"] = "Nobody has signed it.".into();
    }
}

fn covers(coverage: &Coverage) -> String {
    match coverage {
        Coverage::WholeDocument => "the whole document".to_owned(),
        Coverage::Element { name, id } => format!("the element {name} with the id {id}"),
        Coverage::SignedProperties => "the signed properties".to_owned(),
        Coverage::External => "something outside of the document".to_owned(),
    }
}

/// Signers, each with what is said of it, where anything is.
fn signers_json(signers: &[Signer], verdicts: &[Verdict]) -> Value {
    let told = signers.iter().enumerate().map(|(place, signer)| {
        let verdict = verdicts.get(place);
        let mut told = signer_json(signer);
        let others = verdict.map_or(&[][..], |verdict| &verdict.countersignatures);
        told["countersignatures"] = signers_json(&signer.countersignatures, others);
        if let Some(verdict) = verdict {
            told["verdict"] = verdict_json(verdict);
        }
        told
    });
    told.collect()
}

fn signer_json(signer: &Signer) -> Value {
    let identifier = match &signer.identifier {
        SignerIdentifier::IssuerAndSerial { issuer, serial } => {
            json!({ "issuer": issuer.rfc4514, "serial": serial })
        }
        SignerIdentifier::SubjectKeyIdentifier(key) => json!({ "key": key }),
    };
    json!({
        "identifier": identifier,
        "certificate": signer.certificate.as_ref().map(certificate_json),
        "digest_algorithm": algorithm_json(&signer.digest_algorithm),
        "signature_algorithm": algorithm_json(&signer.signature_algorithm),
        "signing_time": signer.signing_time_ms.and_then(time_text),
        "timestamp": signer.timestamp_ms.and_then(time_text),
        "level": signer.level.as_str(),
    })
}

fn certificate_json(certificate: &Certificate) -> Value {
    let name = |name: &pki::Name| {
        let attributes = name.attributes.iter().map(|attribute| {
            json!({ "oid": attribute.oid, "name": attribute.name, "value": attribute.value })
        });
        json!({ "rfc4514": name.rfc4514, "attributes": attributes.collect::<Value>() })
    };
    let usages = certificate.extended_key_usages.iter();
    let roles: Vec<_> = usages.filter_map(|usage| pki::role(usage)).collect();
    json!({
        "subject": name(&certificate.subject),
        "issuer": name(&certificate.issuer),
        "serial": certificate.serial,
        "not_before": time_text(certificate.not_before_ms),
        "not_after": time_text(certificate.not_after_ms),
        "sha256": certificate.sha256,
        "public_key_algorithm": algorithm_json(&certificate.public_key_algorithm),
        "key_usages": certificate.key_usages,
        "extended_key_usages": certificate.extended_key_usages,
        "iin": certificate.person.iin,
        "bin": certificate.person.bin,
        "roles": roles,
    })
}

fn algorithm_json(algorithm: &Algorithm) -> Value {
    json!({ "oid": algorithm.oid, "name": algorithm.name })
}

fn verdict_json(verdict: &Verdict) -> Value {
    let revocation = match verdict.revocation {
        Revocation::NotJudged => json!({ "status": "not_judged" }),
        Revocation::Good { as_of_ms } => json!({ "status": "good", "as_of": time_text(as_of_ms) }),
        Revocation::Revoked { since_ms } => {
            json!({ "status": "revoked", "since": time_text(since_ms) })
        }
    };
    json!({
        "indication": verdict.indication.as_str(),
        "sub_indication": verdict.sub_indication.map(SubIndication::as_str),
        "explanation": verdict.explanation,
        "intact": verdict.intact,
        "claimed_time": verdict.claimed_time_ms.and_then(time_text),
        "proven_time": verdict.proven_time_ms.and_then(time_text),
        "judged_time": time_text(verdict.judged_time_ms),
        "judged_by": verdict.judged_by.as_str(),
        "chain": verdict.chain,
        "revocation": revocation,
    })
}

fn time_text(ms: i64) -> Option<String> {
    DateTime::from_timestamp_millis(ms).map(time::to_text)
}
