//! The result of a verification, in the terms of ETSI EN 319 102-1.

use serde::{Deserialize, Serialize};
use strum::Display;

use super::Certificate;
use super::revocation::Revocation;
use crate::time;

/// The result of a verification (ETSI EN 319 102-1 section 5.1.3, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Indication {
    /// The signature holds.
    TotalPassed,
    /// The available information is not enough to decide.
    Indeterminate,
    /// The signature does not hold.
    TotalFailed,
}

/// The reason why a signature did not pass (ETSI EN 319 102-1 section 5.1.3, tables 5 and 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SubIndication {
    /// The digest of the signed data is not the one that was signed.
    HashFailure,
    /// The signature does not verify under the signer's key.
    SigCryptoFailure,
    /// The signature breaks the rules of its format.
    FormatFailure,
    /// The signer's certificate is missing, or it is not the one that the signature refers to in its signed part.
    NoSigningCertificateFound,
    /// The signed data is not available here.
    SignedDataNotFound,
    /// The algorithms are not supported here.
    CryptoConstraintsFailure,
    /// The algorithms are too weak to prove anything today, and nothing proves that the signature was made before they
    /// were.
    CryptoConstraintsFailureNoPoe,
    /// No chain leads to a trusted certificate.
    NoCertificateChainFound,
    /// The chain breaks a rule that is not about time.
    CertificateChainGeneralFailure,
    /// The signer's certificate is not meant for this kind of signature, or the chain is valid for no acceptable
    /// policy.
    ChainConstraintsFailure,
    /// It is not certain what is signed: an unsigned part of the document could be mistaken for the signed part.
    SigConstraintsFailure,
    /// The certificates were not valid at the judged time, and nothing proves that the signature is older.
    OutOfBoundsNoPoe,
    /// The signer's certificate was revoked, and nothing proves that the signature is older.
    RevokedNoPoe,
    /// An authority's certificate was revoked, and nothing proves that the signature is older.
    RevokedCaNoPoe,
    /// Nothing available says whether a certificate was revoked, and the rules require that.
    TryLater,
}

/// The verdict on a signature (ETSI EN 319 102-1 section 5.1.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SignatureVerdict))]
pub struct Verdict {
    /// The result.
    pub indication: Indication,
    /// The reason why it did not pass.
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub sub_indication: Option<SubIndication>,
    /// The result in a sentence.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "The signature is intact, and its certificate leads to a trust anchor; revocation was not judged, since the signature lacks revocation data for some certificates."))]
    pub explanation: &'static str,
    /// Whether the signed data is unchanged and the signature verifies under the key of the signer's certificate; null
    /// if that is unknown.
    #[cfg_attr(feature = "openapi", schema(example = true))]
    pub intact: Option<bool>,
    /// The time of signing that the signer claims.
    #[serde(rename = "claimed_time", serialize_with = "time::serialize_option_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub claimed_time_ms: Option<i64>,
    /// The time at which the signature existed, as a trusted time stamp proves.
    #[serde(rename = "proven_time", serialize_with = "time::serialize_option_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub proven_time_ms: Option<i64>,
    /// The time for which certificates were judged.
    #[serde(rename = "judged_time", serialize_with = "time::serialize_ms")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<time::Time>))]
    pub judged_time_ms: i64,
    /// The source of that time.
    pub judged_by: Basis,
    /// SHA-256, in hexadecimal, of each certificate from the signer's to the trusted one; empty if no chain was found.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<crate::digest::Sha256>))]
    pub chain: Vec<String>,
    /// Whether certificates of that chain were revoked.
    #[cfg_attr(feature = "openapi", schema(value_type = super::revocation::RevocationReport))]
    pub revocation: Revocation,
    /// Only with `SIGNED_DATA_NOT_FOUND`: the result apart from the content, which is not available. The signed digest
    /// is taken as the digest of the content. Absent if no digest was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apart_from_content: Option<Outcome>,
    /// The certificate that was judged, if it is not the first one of the signature that could be the signer's.
    #[serde(skip)]
    pub certificate: Option<Certificate>,
    /// Verdicts on the countersignatures of this signature, in the order of the file.
    #[serde(skip)]
    pub countersignatures: Vec<Self>,
}

/// The result for a signature whose content is not available, assuming that the content matches the signed digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ApartFromContent))]
pub struct Outcome {
    /// The result.
    pub indication: Indication,
    /// The reason why it did not pass.
    #[cfg_attr(feature = "openapi", schema(example = json!(null)))]
    pub sub_indication: Option<SubIndication>,
    /// The result in a sentence.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "The signature is intact, and its certificate leads to a trust anchor; revocation was not judged, since the signature lacks revocation data for some certificates."))]
    pub explanation: &'static str,
    /// Whether the signed digests are unchanged and the signature verifies under the key of the signer's certificate;
    /// null if that is unknown.
    #[cfg_attr(feature = "openapi", schema(example = true))]
    pub intact: Option<bool>,
}

/// The source of the time for which certificates are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = JudgedBy))]
pub enum Basis {
    /// A trusted time stamp proves the time.
    Proven,
    /// The signer claims the time.
    Claimed,
    /// The time of the verification, since the signature claims no time, or one in the future.
    Now,
}

/// A reason why a signature does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) indication: Indication,
    pub(crate) why: SubIndication,
    pub(crate) sentence: &'static str,
}

impl Obstacle {
    /// An obstacle that makes the result `TOTAL_FAILED`.
    pub(crate) const fn failed(why: SubIndication, sentence: &'static str) -> Self {
        Self {
            indication: Indication::TotalFailed,
            why,
            sentence,
        }
    }

    /// An obstacle that makes the result `INDETERMINATE`.
    pub(crate) const fn unsure(why: SubIndication, sentence: &'static str) -> Self {
        Self {
            indication: Indication::Indeterminate,
            why,
            sentence,
        }
    }
}

/// Obstacles that occur in every signature format.
pub(crate) const NO_CERTIFICATE: Obstacle = Obstacle::unsure(
    SubIndication::NoSigningCertificateFound,
    "The signer's certificate is not in the signature.",
);
pub(crate) const UNKNOWN_ALGORITHM: Obstacle = Obstacle::unsure(
    SubIndication::CryptoConstraintsFailure,
    "The signature uses an algorithm that is not supported.",
);
pub(crate) const WEAK_SIGNATURE: Obstacle = Obstacle::unsure(
    SubIndication::CryptoConstraintsFailureNoPoe,
    "The signature is intact, but made with SHA-1 or a short RSA key, which can be forged.",
);

/// Most that a signer's clock may be ahead of ours.
pub(crate) const MAX_SKEW_MS: i64 = 5 * 60 * 1000;

/// The times that are known for a signature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) claimed_ms: Option<i64>,
    pub(crate) proven_ms: Option<i64>,
    /// The time of the verification.
    pub(crate) now_ms: i64,
}

impl Times {
    /// The time for which certificates are judged.
    pub(crate) fn judged(self) -> (i64, Basis) {
        match (self.proven_ms, self.claimed_ms) {
            (Some(proven), _) => (proven, Basis::Proven),
            // A claimed time in the future does not count.
            (None, Some(claimed)) if claimed <= self.now_ms.saturating_add(MAX_SKEW_MS) => {
                (claimed, Basis::Claimed)
            }
            (None, _) => (self.now_ms, Basis::Now),
        }
    }
}

impl Verdict {
    /// Combines `intact` with, if the signature is intact, the result of `judge`.
    pub(crate) fn new(
        intact: Result<(), Obstacle>,
        times: Times,
        judge: impl FnOnce(i64, Basis) -> super::chain::ChainVerdict,
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
                        "The signature is intact, and its certificate leads to a trust anchor; revocation was not judged, since the signature lacks revocation data for some certificates."
                    }
                    Revocation::Revoked { .. } => {
                        "The signature is intact, and its certificate leads to a trust anchor; a certificate was revoked, but a time stamp proves that the signature is older."
                    }
                    Revocation::Good { .. } => {
                        "The signature is intact, and its certificate leads to a trust anchor; according to the embedded revocation data, no certificate was revoked."
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

    /// The result, without the details.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            indication: self.indication,
            sub_indication: self.sub_indication,
            explanation: self.explanation,
            intact: self.intact,
        }
    }

    /// The verdict if the content is not available; `self` took the signed digest as the digest of the content.
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
