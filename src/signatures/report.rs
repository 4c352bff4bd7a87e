//! What is said of a signature's bytes, to tenants and in a terminal: who signed, and whether it holds. Nothing is stored.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::model::{Format, SignatureBody};
use super::read::{signed_bytes, unwrapped, xml_signatures};
use crate::cms::{self, Signer, SignerIdentifier};
use crate::digest::{sha256, to_hex};
use crate::pki::{self, Algorithm, Anchors, Certificate, Revocation, SubIndication, Verdict, Work};
use crate::time;
use crate::xmldsig::{self, Coverage, Reference, XmlSignature};

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
    let work = Work::new();
    let bytes = signed_bytes(body);
    let mut report = json!({
        "format": body.format().as_str(),
        "size": bytes.len(),
        "sha256": to_hex(&sha256(&bytes)),
        "problem": null,
        "signers": [],
    });
    if body.format() == Format::Xml {
        match xml_signatures(body, judging.and_then(|judging| judging.document), &work) {
            Ok(found) => xml_json(&mut report, &found, judging, &work),
            Err(error) => report["problem"] = format!("It can't be read: {error}.").into(),
        }
        return report;
    }
    let inspection = match cms::inspect_within(&bytes, &work) {
        Ok(inspection) => inspection,
        Err(error) => {
            report["problem"] = problem(&bytes, &error, &work).into();
            return report;
        }
    };
    // In armour or with line breaks it did not look like one.
    report["format"] = "cms".into();
    report["detached"] = inspection.detached.into();
    report["content_type"] = inspection.content_type.as_str().into();
    report["content_size"] = inspection.content_size.into();
    report["content_sha256"] = cms::content_sha256(&bytes).map(|it| to_hex(&it)).into();
    report["certificates"] = inspection.certificates.into();
    report["revocations"] = inspection.revocations.into();
    let verdicts = judging.map_or(Ok(Vec::new()), |judging| {
        let now_ms = judging.now.timestamp_millis();
        cms::verify_within(&bytes, judging.document, judging.anchors, now_ms, &work)
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

/// Why nothing is said, in a sentence.
fn problem(bytes: &[u8], error: &cms::InspectError, work: &Work) -> String {
    let twice = unwrapped(bytes);
    if *twice != *bytes && cms::inspect_within(&twice, work).is_ok() {
        "It is base64 of base64: send it encoded once.".to_owned()
    } else {
        format!("It can't be read: {error}.")
    }
}

/// What the signatures in an XML document say of themselves, and with `judging` whether they hold.
fn xml_json(
    report: &mut Value,
    found: &[XmlSignature],
    judging: Option<&Judging<'_>>,
    work: &Work,
) {
    let verdicts = judging.map_or(Ok(Vec::new()), |judging| {
        let now_ms = judging.now.timestamp_millis();
        xmldsig::judge_within(found, judging.anchors, now_ms, work)
    });
    let verdicts = verdicts.unwrap_or_else(|error| {
        report["problem"] = format!("It can't be verified: {error}.").into();
        Vec::new()
    });
    let signers = found.iter().enumerate().map(|(place, signature)| {
        let certificate = signature.certificate();
        let certificate = certificate.and_then(|der| pki::describe_certificate_within(der, work));
        let references = signature.references.iter().map(|reference| {
            json!({
                "uri": reference.uri,
                "covers": covers(reference),
                "transforms": reference.transforms,
                "digest_method": reference.digest_method,
            })
        });
        let mut told = json!({
            "identifier": { "id": signature.id },
            "certificate": certificate.as_ref().map(certificate_json),
            "digest_algorithm": algorithm_json(&signature.digest_algorithm()),
            "signature_algorithm": algorithm_json(&signature.signature_algorithm()),
            "signature_method": signature.signature_method,
            "signing_time": signature.signing_time_ms().and_then(time_text),
            "detached": signature.is_detached(),
            "encloses": signature.encloses,
            "duplicate_ids": signature.duplicate_ids,
            "timestamps": signature.timestamps.len(),
            "references": references.collect::<Value>(),
        });
        if let Some(verdict) = verdicts.get(place) {
            told["verdict"] = verdict_json(verdict);
        }
        told
    });
    report["signers"] = signers.collect();
    let count = |of: fn(&XmlSignature) -> usize| found.iter().map(of).sum::<usize>();
    report["certificates"] =
        count(|it| it.certificates.len() + it.evidence.certificates.len()).into();
    report["revocations"] =
        count(|it| it.evidence.revocation_lists.len() + it.evidence.revocation_answers.len())
            .into();
    if found.is_empty() {
        report["problem"] = "Nobody has signed it.".into();
    }
}

/// What a reference covers, after its transforms.
fn covers(reference: &Reference) -> String {
    let what = match &reference.covers {
        Coverage::WholeDocument => "the whole document".to_owned(),
        Coverage::Element { name, id } => format!("the element {name} with the id {id}"),
        Coverage::SignedProperties => "the signed properties".to_owned(),
        Coverage::External => "something outside of the document".to_owned(),
    };
    if reference.covers_text_alone() {
        format!("the text of {what}")
    } else if reference.leaves_signatures_out() {
        format!("{what} but for all signatures in it")
    } else {
        what
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
    let mut revocation = json!({ "status": verdict.revocation.as_str() });
    match verdict.revocation {
        Revocation::NotJudged => {}
        Revocation::Good { as_of_ms } => revocation["as_of"] = time_text(as_of_ms).into(),
        Revocation::Revoked { since_ms } => revocation["since"] = time_text(since_ms).into(),
    }
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
