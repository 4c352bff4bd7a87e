//! Verification results as hooks read them. Plain values, no I/O.
//!
//! They are recorded with the decisions, so that a replay gives hooks the same results although trust anchors, policies
//! and clocks have changed since.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sigpersist_verify::pki::{
    Certificate, Indication, Outcome, Revocation, Verdict, describe_certificate,
};
use sigpersist_verify::{Report, Signer};

/// Maximum size of the results recorded with one judgement, in bytes of JSON: enough for more than a hundred signers.
const MAX_BYTES: usize = 64 * 1024;

/// Verification results that the hooks of one save or delete read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// Results for the signature that was saved or deleted, if a hook asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<RecordedReport>,
    /// Results for the version that was signed over, if a hook asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<RecordedReport>,
    /// Whether the results were too large to be recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left_out: bool,
}

/// Verification result for one signature. Certificates that can be read again from the signature's bytes are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedReport {
    /// Reason why the signature could be read, but not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Result for each signer, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<RecordedVerdict>,
}

/// Verdict of the verifier on one signer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of a verdict")]
pub struct RecordedVerdict {
    pub indication: Indication,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_indication: Option<String>,
    pub explanation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intact: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_time_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_time_ms: Option<i64>,
    pub judged_time_ms: i64,
    pub judged_by: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    pub revocation: Revoked,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart_from_content: Option<WithoutContent>,
    /// The certificate that the signature was verified with, in base64 of DER. Only set if a reader of the signature
    /// alone would take another certificate for the signer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Verdicts on the countersigners of this signature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub countersigners: Vec<Self>,
}

/// Verdict on a detached signature, assuming that its absent content is the content that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of a verdict")]
pub struct WithoutContent {
    pub indication: Indication,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_indication: Option<String>,
    pub explanation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intact: Option<bool>,
}

/// Revocation status of the certificates of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// Unknown for at least one certificate.
    NotJudged,
    /// No certificate was revoked at this time, in milliseconds since 1970.
    Good(i64),
    /// A certificate was revoked, at this time in milliseconds since 1970, if it is known.
    Revoked(Option<i64>),
}

impl Verdicts {
    /// Whether the results are small enough to be recorded.
    pub fn fits(&self) -> bool {
        serde_json::to_vec(self).is_ok_and(|json| json.len() <= MAX_BYTES)
    }

    /// The results, or only the mark `left_out` if they are too large to be recorded.
    #[must_use]
    pub fn bounded(self) -> Self {
        if self.fits() {
            return self;
        }
        Self {
            left_out: true,
            ..Self::default()
        }
    }
}

impl RecordedReport {
    /// The result from the report of a verified signature.
    pub fn new(report: &Report) -> Self {
        let mut signers = report.signers.iter();
        // A report without signers holds no verdict.
        let verified = !report.signers.is_empty() && signers.all(|it| it.verdict.is_some());
        Self {
            problem: report.problem.as_deref().filter(|_| !verified).map(why),
            signers: report
                .signers
                .iter()
                .filter_map(RecordedVerdict::new)
                .collect(),
        }
    }
}

/// The sentence without its start "It can't be read: " or "It can't be verified: ", to be put after such words.
fn why(sentence: &str) -> String {
    let why = ["It can't be read: ", "It can't be verified: "]
        .iter()
        .find_map(|before| sentence.strip_prefix(before));
    let why = why.unwrap_or(sentence).trim_end_matches('.');
    let mut characters = why.chars();
    let first = characters.next().map(char::to_lowercase);
    first.into_iter().flatten().chain(characters).collect()
}

impl RecordedVerdict {
    /// The certificate that the signature was verified with: the recorded one, or otherwise `read`, which was read from
    /// the signature.
    pub fn judged_certificate(&self, read: Option<Certificate>) -> Option<Certificate> {
        let Some(recorded) = &self.certificate else {
            return read;
        };
        describe_certificate(&STANDARD.decode(recorded).ok()?)
    }

    fn new(signer: &Signer) -> Option<Self> {
        let verdict = signer.verdict.as_ref()?;
        let outcome = WithoutContent::from(verdict.outcome());
        let Verdict {
            claimed_time_ms,
            proven_time_ms,
            judged_time_ms,
            judged_by,
            chain,
            revocation,
            apart_from_content,
            ..
        } = verdict;
        let countersigners = signer.countersigners().iter();
        Some(Self {
            indication: outcome.indication,
            sub_indication: outcome.sub_indication,
            explanation: outcome.explanation,
            intact: outcome.intact,
            claimed_time_ms: *claimed_time_ms,
            proven_time_ms: *proven_time_ms,
            judged_time_ms: *judged_time_ms,
            judged_by: judged_by.to_string(),
            chain: chain.clone(),
            revocation: match *revocation {
                Revocation::NotJudged => Revoked::NotJudged,
                Revocation::Good { as_of_ms } => Revoked::Good(as_of_ms),
                Revocation::Revoked { since_ms: i64::MIN } => Revoked::Revoked(None),
                Revocation::Revoked { since_ms } => Revoked::Revoked(Some(since_ms)),
            },
            apart_from_content: apart_from_content.map(WithoutContent::from),
            certificate: signer
                .certificate
                .as_ref()
                .filter(|_| signer.was_found)
                .map(|it| STANDARD.encode(&it.der)),
            countersigners: countersigners.filter_map(Self::new).collect(),
        })
    }
}

impl From<Outcome> for WithoutContent {
    fn from(outcome: Outcome) -> Self {
        Self {
            indication: outcome.indication,
            sub_indication: outcome.sub_indication.map(|it| it.to_string()),
            explanation: outcome.explanation.to_owned(),
            intact: outcome.intact,
        }
    }
}

#[cfg(test)]
mod tests {
    use sigpersist_verify::pki::Anchors;
    use sigpersist_verify::{Body, Judging, report};

    use super::*;

    #[test]
    fn what_is_too_much_is_left_out_and_the_rest_is_read_again() {
        let signature = include_str!("../../../../tests/data/first.cms.b64");
        let anchors = Anchors::new(Vec::new());
        let judging = Judging::new(&anchors, 1_796_000_000_000);
        let body = Body::from_file(signature.trim().as_bytes());
        let told = RecordedReport::new(&report(&body, Some(&judging)));
        assert_eq!(told.signers[0].intact, Some(true));
        let verdicts = Verdicts {
            signature: Some(told.clone()),
            ..Verdicts::default()
        };
        let json = serde_json::to_string(&verdicts).unwrap();
        assert!(json.len() < 500, "{json}");
        assert_eq!(serde_json::from_str::<Verdicts>(&json).unwrap(), verdicts);
        assert_eq!(verdicts.clone().bounded(), verdicts);
        let many = RecordedReport {
            signers: vec![told.signers[0].clone(); 1_000],
            ..told
        };
        let many = Verdicts {
            previous: Some(many),
            ..verdicts
        };
        let bounded = many.bounded();
        assert!(bounded.left_out && bounded.signature.is_none() && bounded.previous.is_none());
    }
}
