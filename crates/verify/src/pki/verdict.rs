//! What a verification comes to, in the words of ETSI EN 319 102-1.

use serde::{Deserialize, Serialize};
use strum::Display;

use super::Certificate;
use super::revocation::Revocation;
use crate::time;

/// What a verification comes to (ETSI EN 319 102-1 section 5.1.3, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Indication {
    /// It holds.
    TotalPassed,
    /// It can't be said.
    Indeterminate,
    /// It does not hold.
    TotalFailed,
}

/// Why it is not passed (ETSI EN 319 102-1 section 5.1.3, tables 5 and 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SubIndication {
    /// What is signed is not what is there.
    HashFailure,
    /// The signature is none of what is signed under the signer's key.
    SigCryptoFailure,
    /// It is not made as it must be.
    FormatFailure,
    /// The signer's certificate is not there, or is not the one that was signed along.
    NoSigningCertificateFound,
    /// What is signed is elsewhere.
    SignedDataNotFound,
    /// The algorithms are not known here.
    CryptoConstraintsFailure,
    /// The algorithms are too weak to prove anything today, and nothing proves that the signature is from when they were not.
    CryptoConstraintsFailureNoPoe,
    /// No chain leads to anybody who is trusted.
    NoCertificateChainFound,
    /// The chain breaks a rule that is not about time.
    CertificateChainGeneralFailure,
    /// The signer's certificate is not for signatures.
    ChainConstraintsFailure,
    /// What is signed is not such that it can be told from something else.
    SigConstraintsFailure,
    /// The certificates were not valid then, and nothing proves that the signature is older.
    OutOfBoundsNoPoe,
    /// The signer's certificate was revoked, and nothing proves that the signature is older.
    RevokedNoPoe,
    /// An authority's certificate was revoked, and nothing proves that the signature is older.
    RevokedCaNoPoe,
    /// Nothing at hand tells whether a certificate was revoked, and that is required.
    TryLater,
}

/// Whether a signature holds (ETSI EN 319 102-1 section 5.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureVerdict))]
pub struct Verdict {
    /// What it comes to.
    pub indication: Indication,
    /// Why it did not pass.
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub sub_indication: Option<SubIndication>,
    /// The same in a sentence.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "The signature holds."))]
    pub explanation: &'static str,
    /// Whether what was signed is unchanged, under the key of the signer's certificate; null if that can't be told.
    #[cfg_attr(feature = "openapi", schema(example = true))]
    pub intact: Option<bool>,
    /// When the signer says to have signed.
    #[serde(rename = "claimed_time", serialize_with = "time::serialize_option_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub claimed_time_ms: Option<i64>,
    /// When a trusted time stamp proves that the signature was there.
    #[serde(rename = "proven_time", serialize_with = "time::serialize_option_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub proven_time_ms: Option<i64>,
    /// The time for which certificates were judged.
    #[serde(rename = "judged_time", serialize_with = "time::serialize_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub judged_time_ms: i64,
    /// Where that time comes from.
    pub judged_by: Basis,
    /// SHA-256, in hexadecimal, of each certificate from the signer's to the trusted one; empty if no chain was found.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::digest::Sha256>))]
    pub chain: Vec<String>,
    /// Whether certificates of that chain were revoked.
    #[cfg_attr(feature = "openapi", schema(value_type = super::revocation::Told))]
    pub revocation: Revocation,
    /// Only with `SIGNED_DATA_NOT_FOUND`: what it comes to apart from the content, which is elsewhere. The digest that was signed
    /// along is taken for the content's; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart_from_content: Option<Outcome>,
    /// The certificate that was judged, where it is another one than the first of the signature that could be the signer's.
    #[serde(skip)]
    pub certificate: Option<Certificate>,
    /// Verdicts on signatures of this one, in the order of the file.
    #[serde(skip)]
    pub countersignatures: Vec<Self>,
}

/// What a signature comes to if its content, which is elsewhere, is what was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ApartFromContent))]
pub struct Outcome {
    /// What it comes to.
    pub indication: Indication,
    /// Why it did not pass.
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub sub_indication: Option<SubIndication>,
    /// The same in a sentence.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "The signature holds."))]
    pub explanation: &'static str,
    /// Whether the digests that were signed are unchanged, under the key of the signer's certificate; null if that can't be told.
    #[cfg_attr(feature = "openapi", schema(example = true))]
    pub intact: Option<bool>,
}

/// Where the time comes from for which certificates are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JudgedBy))]
pub enum Basis {
    /// A trusted time stamp proves it.
    Proven,
    /// The signer says so.
    Claimed,
    /// Nothing says when it was signed, or a time that is yet to come: it is the time of the verification.
    Now,
}

/// What stands in the way of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) indication: Indication,
    pub(crate) why: SubIndication,
    pub(crate) sentence: &'static str,
}

impl Obstacle {
    /// It does not hold.
    pub(crate) const fn failed(why: SubIndication, sentence: &'static str) -> Self {
        Self {
            indication: Indication::TotalFailed,
            why,
            sentence,
        }
    }

    /// It can't be said.
    pub(crate) const fn unsure(why: SubIndication, sentence: &'static str) -> Self {
        Self {
            indication: Indication::Indeterminate,
            why,
            sentence,
        }
    }
}

/// What every format of signatures may lack.
pub(crate) const NO_CERTIFICATE: Obstacle = Obstacle::unsure(
    SubIndication::NoSigningCertificateFound,
    "The signer's certificate is not in the signature.",
);
pub(crate) const UNKNOWN_ALGORITHM: Obstacle = Obstacle::unsure(
    SubIndication::CryptoConstraintsFailure,
    "The signature uses algorithms that are not known here.",
);
pub(crate) const WEAK_SIGNATURE: Obstacle = Obstacle::unsure(
    SubIndication::CryptoConstraintsFailureNoPoe,
    "The signature is intact, but made with SHA-1 or a short RSA key, which can be forged.",
);

/// How far a signer's clock may be ahead of ours.
pub(crate) const MAX_SKEW_MS: i64 = 5 * 60 * 1000;

/// What a signature says of its time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) claimed_ms: Option<i64>,
    pub(crate) proven_ms: Option<i64>,
    /// When it is verified.
    pub(crate) now_ms: i64,
}

impl Times {
    /// The time for which certificates are judged.
    pub(crate) fn judged(self) -> (i64, Basis) {
        match (self.proven_ms, self.claimed_ms) {
            (Some(proven), _) => (proven, Basis::Proven),
            // Nobody has signed in the future.
            (None, Some(claimed)) if claimed <= self.now_ms.saturating_add(MAX_SKEW_MS) => {
                (claimed, Basis::Claimed)
            }
            (None, _) => (self.now_ms, Basis::Now),
        }
    }
}

impl Verdict {
    /// Says what `intact` and, where that holds, `judge` come to.
    pub(crate) fn new(
        intact: Result<(), Obstacle>,
        times: Times,
        judge: impl FnOnce(i64, Basis) -> super::chain::Judged,
    ) -> Self {
        let (judged_time_ms, judged_by) = times.judged();
        let mut verdict = Self {
            indication: Indication::TotalPassed,
            sub_indication: None,
            explanation: "",
            intact: match intact {
                Ok(()) => Some(true),
                Err(obstacle) if obstacle.indication == Indication::TotalFailed => Some(false),
                Err(_) => None,
            },
            claimed_time_ms: times.claimed_ms,
            proven_time_ms: times.proven_ms,
            judged_time_ms,
            judged_by,
            chain: Vec::new(),
            revocation: Revocation::NotJudged,
            apart_from_content: None,
            certificate: None,
            countersignatures: Vec::new(),
        };
        let outcome = intact.and_then(|()| {
            let judged = judge(judged_time_ms, judged_by);
            verdict.chain = judged.chain;
            verdict.revocation = judged.revocation;
            judged.outcome
        });
        match outcome {
            Ok(()) => {
                verdict.explanation = match verdict.revocation {
                    Revocation::NotJudged => {
                        "The signature is intact, and its certificate leads to a trusted one; whether any was revoked was not judged, since nothing embedded tells of all of them."
                    }
                    Revocation::Revoked { .. } => {
                        "The signature is intact, and its certificate leads to a trusted one; one was revoked later than a time stamp proves the signature to be."
                    }
                    Revocation::Good { .. } => {
                        "The signature is intact, and its certificate leads to a trusted one; by what is embedded, none was revoked."
                    }
                };
            }
            Err(obstacle) => {
                verdict.indication = obstacle.indication;
                verdict.sub_indication = Some(obstacle.why);
                verdict.explanation = obstacle.sentence;
            }
        }
        verdict
    }

    /// What it comes to, and nothing else of it.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            indication: self.indication,
            sub_indication: self.sub_indication,
            explanation: self.explanation,
            intact: self.intact,
        }
    }

    /// The verdict while the content is elsewhere; this one took the digest that was signed along for the content's.
    pub(crate) fn without_content(self, missing: Obstacle) -> Self {
        Self {
            indication: missing.indication,
            sub_indication: Some(missing.why),
            explanation: missing.sentence,
            intact: None,
            apart_from_content: Some(self.outcome()),
            ..self
        }
    }
}
