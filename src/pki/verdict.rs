//! What a verification comes to, in the words of ETSI EN 319 102-1.

use super::revocation::Revocation;

/// What a verification comes to (ETSI EN 319 102-1 section 5.1.3, table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Indication {
    /// It holds.
    TotalPassed,
    /// It can't be said.
    Indeterminate,
    /// It does not hold.
    TotalFailed,
}

crate::words!(
    Indication,
    TotalPassed = "TOTAL_PASSED",
    Indeterminate = "INDETERMINATE",
    TotalFailed = "TOTAL_FAILED"
);

/// Why it is not passed (ETSI EN 319 102-1 section 5.1.3, tables 5 and 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

crate::words!(
    SubIndication,
    HashFailure = "HASH_FAILURE",
    SigCryptoFailure = "SIG_CRYPTO_FAILURE",
    FormatFailure = "FORMAT_FAILURE",
    NoSigningCertificateFound = "NO_SIGNING_CERTIFICATE_FOUND",
    SignedDataNotFound = "SIGNED_DATA_NOT_FOUND",
    CryptoConstraintsFailure = "CRYPTO_CONSTRAINTS_FAILURE",
    CryptoConstraintsFailureNoPoe = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE",
    NoCertificateChainFound = "NO_CERTIFICATE_CHAIN_FOUND",
    CertificateChainGeneralFailure = "CERTIFICATE_CHAIN_GENERAL_FAILURE",
    ChainConstraintsFailure = "CHAIN_CONSTRAINTS_FAILURE",
    SigConstraintsFailure = "SIG_CONSTRAINTS_FAILURE",
    OutOfBoundsNoPoe = "OUT_OF_BOUNDS_NO_POE",
    RevokedNoPoe = "REVOKED_NO_POE",
    RevokedCaNoPoe = "REVOKED_CA_NO_POE"
);

/// What is said of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What it comes to.
    pub indication: Indication,
    /// Why it is not passed.
    pub sub_indication: Option<SubIndication>,
    /// The same in a sentence.
    pub explanation: &'static str,
    /// Whether the cryptography is right: what is signed is there unchanged, under the key of the signer's certificate. None
    /// where that can't be said.
    pub intact: Option<bool>,
    /// When the signer says that it signed, in milliseconds since 1970.
    pub claimed_time_ms: Option<i64>,
    /// When a trusted time stamp proves that the signature was there, in milliseconds since 1970.
    pub proven_time_ms: Option<i64>,
    /// The time for which the certificates were judged, in milliseconds since 1970.
    pub judged_time_ms: i64,
    /// Where that time comes from.
    pub judged_by: Basis,
    /// SHA-256, in hexadecimal, of each certificate from the signer's to the trusted one. Empty where none was found.
    pub chain: Vec<String>,
    /// Whether certificates of that chain were revoked.
    pub revocation: Revocation,
    /// What is said of signatures of this one, in the order of the file.
    pub countersignatures: Vec<Self>,
}

/// Where the time comes from for which certificates are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A trusted time stamp proves it.
    Proven,
    /// The signer says so.
    Claimed,
    /// Nothing says when it was signed, or a time that is yet to come: it is the time of the verification.
    Now,
}

crate::words!(Basis, Proven = "proven", Claimed = "claimed", Now = "now");

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
const MAX_SKEW_MS: i64 = 5 * 60 * 1000;

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
}
