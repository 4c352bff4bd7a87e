//! Summaries of reports with verdicts, to record them: who signed, and the verdict on each.

use serde::Serialize;
use sigpersist_runtime::verification::Verification;
use sigpersist_verify::pki::Verdict;
use sigpersist_verify::{Format, Report, Signer};
use utoipa::ToSchema;

/// Greatest size of a recorded summary, in bytes of JSON.
pub const MAX_BYTES: usize = 64 * 1024;
/// Room for everything except the signers, in bytes.
const MARGIN: usize = 4 * 1024;
/// Greatest length of a name, or of the description of a reference, in characters.
const MAX_TEXT: usize = 500;
/// Greatest number of references, and of countersignatures, of a signer.
const MAX_ENTRIES: usize = 20;

/// A summary of a verification.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Summary)]
pub struct Summary<'a> {
    /// The format of the signature.
    format: Format,
    /// Why it can't be read or verified; null if it can.
    #[schema(value_type = Option<String>, example = json!(null))]
    problem: Option<&'a str>,
    /// SHA-256 of the content that was sent with the signature; null if none was.
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    content_sha256: Option<String>,
    /// SHA-256 of the policy that the signature was judged under, as in `GET /policy`; null in older summaries.
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    policy_sha256: &'a str,
    /// SHA-256 of the trust anchors that the signature was judged under, as in `GET /policy`; null in older summaries.
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    anchors_sha256: &'a str,
    /// Number of signers that there was no room for, including countersigners.
    #[schema(example = 0)]
    left_out: u64,
    /// The signers.
    signers: Vec<SignerSummary<'a>>,
}

/// A summary of a signer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignerSummary)]
struct SignerSummary<'a> {
    /// Subject of the signer's certificate (RFC 4514).
    #[schema(example = "CN=АХМЕТОВА АЙГЕРІМ,serialNumber=IIN123456789011")]
    subject: Option<String>,
    /// SHA-256 of the signer's certificate.
    #[schema(value_type = Option<sigpersist_verify::digest::Sha256>)]
    sha256: Option<&'a str>,
    /// The individual's number (IIN).
    #[schema(value_type = Option<String>, example = "123456789011")]
    iin: Option<&'a str>,
    /// The organisation's number (BIN).
    #[schema(value_type = Option<String>, example = "123456789021")]
    bin: Option<&'a str>,
    /// The verdict on the signature.
    #[schema(value_type = Option<Verdict>)]
    verdict: Option<&'a Verdict>,
    /// XML: the parts that the references cover, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(["the whole document"]))]
    covers: Option<Vec<String>>,
    /// CMS: the countersigners of this signature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion, value_type = Option<Vec<SignerSummary<'_>>>, example = json!([]))]
    countersignatures: Vec<Self>,
}

impl<'a> Summary<'a> {
    /// Members that were added later: null in older summaries.
    pub const LATER: [&'static str; 3] = ["content_sha256", "policy_sha256", "anchors_sha256"];
    /// All members.
    pub const MEMBERS: [&'static str; 7] = [
        "format",
        "problem",
        "content_sha256",
        "policy_sha256",
        "anchors_sha256",
        "left_out",
        "signers",
    ];

    /// Summarises a report. If there is no room for all signers, `left_out` is the number of the others.
    pub fn new(report: &'a Report, verification: &'a Verification) -> Self {
        let digests = &verification.policy().digests;
        let mut bytes = report.problem.as_deref().map_or(0, str::len);
        let signers = report.signers.iter();
        let kept: Vec<_> = signers
            .map(SignerSummary::new)
            .take_while(|kept| {
                bytes += serde_json::to_vec(kept).map_or(MAX_BYTES, |json| json.len());
                bytes < MAX_BYTES - MARGIN
            })
            .collect();
        Self {
            format: report.format,
            problem: report.problem.as_deref(),
            content_sha256: verification.content_sha256(),
            policy_sha256: &digests.policy_sha256,
            anchors_sha256: &digests.anchors_sha256,
            left_out: report.everybody().len() as u64
                - kept.iter().map(SignerSummary::count).sum::<u64>(),
            signers: kept,
        }
    }
}

impl<'a> SignerSummary<'a> {
    /// The number of signers in this summary: the signer and its countersigners.
    fn count(&self) -> u64 {
        1 + self.countersignatures.iter().map(Self::count).sum::<u64>()
    }

    fn new(signer: &'a Signer) -> Self {
        let certificate = signer.certificate.as_ref();
        let covers = signer.references.as_ref().map(|references| {
            let some = references.iter().take(MAX_ENTRIES);
            some.map(|reference| shortened(&reference.covers)).collect()
        });
        let countersigners = signer.countersigners().iter().take(MAX_ENTRIES);
        Self {
            subject: certificate.map(|certificate| shortened(&certificate.subject.rfc4514)),
            sha256: certificate.map(|certificate| &*certificate.sha256),
            iin: certificate.and_then(|certificate| certificate.iin.as_deref()),
            bin: certificate.and_then(|certificate| certificate.bin.as_deref()),
            verdict: signer.verdict.as_ref(),
            covers,
            countersignatures: countersigners.map(Self::new).collect(),
        }
    }
}

/// Shortens a text that is too long.
pub(super) fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_TEXT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use sigpersist_verify::{Body, Reference, report};

    use std::sync::Arc;

    use chrono::Utc;

    use super::*;
    use sigpersist_model::attachments::Attachments;
    use sigpersist_model::policy::{InForce, Policy};
    use sigpersist_model::signature::SignatureBody;

    #[test]
    fn a_summary_never_grows_beyond_its_room() {
        let signature = include_str!("../../tests/data/first.cms.b64");
        let policy = Arc::new(InForce::new(Policy::default(), Vec::new()).unwrap());
        let body = SignatureBody::from_text(signature.trim());
        let attachments = Attachments {
            content: Some("content".into()),
            ..Attachments::default()
        };
        let verification = Verification::new(body, attachments, policy, Utc::now());
        let summary =
            |report: &Report| serde_json::to_value(Summary::new(report, &verification)).unwrap();
        let mut signed = report(&Body::from_file(signature.trim().as_bytes()), None);
        let mut signer = signed.signers.remove(0);
        signer.certificate.as_mut().unwrap().subject.rfc4514 = "я".repeat(1_000);
        let reference = Reference {
            uri: None,
            covers: "x".repeat(1_000),
            transforms: Vec::new(),
            digest_method: String::new(),
        };
        signer.references = Some(vec![reference; 50]);
        let mut nested = signer.clone();
        nested.countersignatures = Some(vec![signer.clone(); 100]);
        signed.signers = vec![signer.clone(), nested];
        assert_eq!(summary(&signed)["left_out"], 101);
        let mut few = signer.clone();
        few.references = None;
        few.countersignatures = Some(vec![few.clone(); MAX_ENTRIES + 3]);
        signed.signers = vec![few];
        assert_eq!(summary(&signed)["left_out"], 3);
        signed.signers = vec![signer; 500];
        let kept = summary(&signed);
        assert!(kept.to_string().len() <= MAX_BYTES);
        let told = kept["signers"].as_array().unwrap().len() as u64;
        assert_eq!(kept["left_out"].as_u64().unwrap() + told, 500);
        let subject = kept["signers"][0]["subject"].as_str().unwrap();
        assert_eq!(subject.chars().count(), MAX_TEXT + 1);
        let members: Vec<_> = kept.as_object().unwrap().keys().collect();
        assert_eq!(members, Summary::MEMBERS);
        assert!(Summary::LATER.iter().all(|later| kept[later].is_string()));
    }
}
