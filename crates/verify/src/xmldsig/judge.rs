//! Judges XML signatures.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime};

use super::verify::is_weak;
use super::{ReferenceIntegrity, Stamped, ValueIntegrity, XmlError, XmlSignature};
use crate::cms::timestamp::{Along, Existence, Stamp, Token, note, prove};
use crate::judging::Judging;
use crate::pki::budget::Budget;
use crate::pki::certificate::Parsed;
use crate::pki::chain::{ChainVerdict, Trust};
use crate::pki::revocation::Evidence;
use crate::pki::verdict::{NO_CERTIFICATE, Obstacle, Times, UNKNOWN_ALGORITHM, WEAK_SIGNATURE};
use crate::pki::{SubIndication, Verdict};

/// Judges each signature of a document. A signature without a claimed or proven time is judged at the time of
/// verification.
///
/// # Errors
///
/// [`XmlError::TooLarge`] if the signatures ask for more work than any honest ones.
pub fn judge(signatures: &[XmlSignature], judging: &Judging<'_>) -> Result<Vec<Verdict>, XmlError> {
    judge_within(signatures, judging, &Budget::new())
}

/// Works like [`judge`], with the rest of a budget.
///
/// # Errors
///
/// As [`judge`].
pub fn judge_within(
    signatures: &[XmlSignature],
    judging: &Judging<'_>,
    budget: &Budget,
) -> Result<Vec<Verdict>, XmlError> {
    let anchors = judging.anchors.certificates();
    let given = Parsed::of_all(judging.certificates, budget);
    let trust = Trust {
        anchors: &anchors,
        certificates: given.iter().chain(&anchors).collect(),
        evidence: Vec::new(),
        rules: &judging.rules,
        budget,
    };
    // By index: the time at which time stamps of enclosing signatures prove that a signature existed.
    let mut proven_ms = HashMap::new();
    let mut verdicts = Vec::new();
    for (place, signature) in signatures.iter().enumerate() {
        let proven = proven_ms.get(&place).copied();
        let countersigned = signature.countersigned.and_then(|it| signatures.get(it));
        let (verdict, others) = verdict(signature, countersigned, &trust, judging.now_ms, proven);
        verdicts.push(verdict);
        for (place, time_ms) in others {
            note(&mut proven_ms, place, time_ms);
        }
    }
    if budget.is_exhausted() {
        return Err(XmlError::TooLarge("certificates and time stamps"));
    }
    Ok(verdicts)
}

/// Judges one signature. Also returns the times at which its time stamps prove that other signatures existed, by index.
///
/// `countersigned` is the signature that it countersigns, `trust` has the certificates at hand, and `proven_ms` is the
/// time at which other time stamps prove that it existed.
fn verdict(
    signature: &XmlSignature,
    countersigned: Option<&XmlSignature>,
    trust: &Trust<'_>,
    now_ms: i64,
    proven_ms: Option<i64>,
) -> (Verdict, HashMap<usize, i64>) {
    let budget = trust.budget;
    let embedded = &signature.evidence;
    let mut evidence = Evidence::default();
    for list in &embedded.revocation_lists {
        evidence.add_list(list, budget);
    }
    for answer in &embedded.revocation_answers {
        evidence.add_answer(answer, budget);
    }
    let certificates = signature.certificates.iter().chain(&embedded.certificates);
    let certificates: Vec<_> = certificates
        .filter_map(|der| Parsed::from_der_within(der, budget))
        .collect();
    let mut trust = trust.clone();
    trust.certificates.extend(&certificates);
    trust.evidence.push(&evidence);
    let existence = Existence::new(now_ms, proven_ms);
    let proven = prove(&stamps(signature, &trust), &trust, existence);
    let times = Times {
        claimed_ms: signature.signing_time_ms(),
        proven_ms: proven.time_ms,
        now_ms,
    };
    // If only content outside of the document is missing, the signed digests still show who signed.
    let intact = check_intact(signature);
    let missing = intact.err().filter(|obstacle| {
        obstacle.why == SubIndication::SignedDataNotFound && is_elsewhere(signature)
    });
    let intact = missing.map_or(intact, |_| Ok(()));
    let mut renewed = None;
    let mut verdict = Verdict::new(intact, times, |time_ms, basis| {
        let certificate = match signature.value {
            ValueIntegrity::Intact(place) => signature.certificates.get(place),
            _ => None,
        };
        let certificate = certificate.and_then(|der| Parsed::from_der_within(der, budget));
        match certificate {
            None => ChainVerdict::from(NO_CERTIFICATE),
            Some(_) if signature.signing_certificate_matches == Some(false) => {
                ChainVerdict::from(OTHER_CERTIFICATE)
            }
            Some(certificate) => {
                // If no certificate is named, any certificate of the same key and holder may be the signer's.
                let is_named = signature.signing_certificate_matches == Some(true);
                let others = trust.certificates.iter().copied();
                let others = others
                    .filter(|other| !is_named && other.subject().is(certificate.subject(), budget));
                let chosen = trust.judge_signer(&certificate, others, time_ms, basis);
                if chosen.certificate.der() != certificate.der() {
                    renewed = chosen.certificate.describe(budget).ok();
                }
                let judged = chosen.judged.where_proven(|sha256| {
                    // A certificate that the signature covers is as old as the signature.
                    let is_signed = is_named && chosen.certificate.sha256() == sha256;
                    let signed = is_signed.then_some(time_ms);
                    let stamped = proven.certificates.get(sha256).copied();
                    signed.into_iter().chain(stamped).min()
                });
                judged
                    .and(|| check_strength(signature, &certificate))
                    .and(|| check_coverage(signature, countersigned, missing.is_some()))
            }
        }
    });
    verdict.certificate = renewed;
    let verdict = match missing {
        Some(missing) => verdict.without_content(missing),
        None => verdict,
    };
    (verdict, proven.countersignatures)
}

/// Whether every unresolved reference points outside of the document.
fn is_elsewhere(signature: &XmlSignature) -> bool {
    let mut references = signature.references.iter();
    references.all(|reference| {
        reference.integrity != ReferenceIntegrity::Unresolved || reference.leads_elsewhere()
    })
}

/// The time stamps of a signature. A time stamp of everything also covers the ones before it.
///
/// Empty without trust anchors, because then no time stamp can be trusted.
fn stamps<'s>(signature: &'s XmlSignature, trust: &Trust<'_>) -> Vec<Stamp<'s>> {
    let mut stamps: Vec<Stamp<'_>> = Vec::new();
    if trust.anchors.is_empty() {
        return stamps;
    }
    for timestamp in &signature.timestamps {
        let before = match timestamp.stamped {
            Stamped::Value => 0,
            Stamped::Everything => stamps.len(),
        };
        let tokens = timestamp.tokens.iter().filter_map(|token| {
            let along = token.fits.then(|| Along {
                stamps: (0..before).collect(),
                countersignatures: timestamp.along.clone(),
                certificates: timestamp.certificates.clone(),
            });
            let token = Token::read(&token.der, trust.budget)?;
            Some(Stamp { token, along })
        });
        stamps.extend(tokens);
    }
    stamps
}

const OTHER_CERTIFICATE: Obstacle = Obstacle::unsure(
    SubIndication::NoSigningCertificateFound,
    "The signature names another signing certificate.",
);

/// Checks that the signed data is there and unchanged, and that a certificate's key verifies the value.
fn check_intact(signature: &XmlSignature) -> Result<(), Obstacle> {
    let any = |integrity| {
        let mut references = signature.references.iter();
        references.any(|reference| reference.integrity == integrity)
    };
    match &signature.value {
        // The named certificate is not at hand, and no other one can decide.
        ValueIntegrity::Broken
            if signature.signing_certificate_matches == Some(false)
                && !any(ReferenceIntegrity::Broken) =>
        {
            Err(NO_CERTIFICATE)
        }
        ValueIntegrity::Broken => Err(Obstacle::failed(
            SubIndication::SigCryptoFailure,
            "The signature does not verify under any certificate at hand.",
        )),
        _ if any(ReferenceIntegrity::Broken) || signature.references.is_empty() => {
            Err(Obstacle::failed(
                SubIndication::HashFailure,
                "The signed content was changed, or a reference to it is ambiguous.",
            ))
        }
        _ if signature.ignores_given => Err(Obstacle::failed(
            SubIndication::HashFailure,
            "The given content is not the signed content: no reference has its digest.",
        )),
        ValueIntegrity::NoCertificate => Err(NO_CERTIFICATE),
        ValueIntegrity::UnsupportedAlgorithm(_) => Err(UNKNOWN_ALGORITHM),
        ValueIntegrity::Intact(_) if any(ReferenceIntegrity::Unresolved) => Err(Obstacle::unsure(
            SubIndication::SignedDataNotFound,
            "Some signed content is outside the document, was not found, or needs a transform or digest that is not supported.",
        )),
        ValueIntegrity::Intact(_) => Ok(()),
    }
}

/// Checks that no algorithm of the signature is too weak today.
fn check_strength(signature: &XmlSignature, certificate: &Parsed<'_>) -> Result<(), Obstacle> {
    let mut references = signature.references.iter();
    let weak = is_weak(signature.method.as_ref(), certificate)
        || references.any(|reference| {
            super::elements::digest(&reference.digest_method).is_none_or(|hash| hash.is_weak())
        });
    if weak {
        return Err(WEAK_SIGNATURE);
    }
    Ok(())
}

/// Checks that nothing else can be mistaken for signed content: the signature must sign all that applications read of
/// the document, except parts of signatures (`coverage`).
///
/// So one of these must hold: it covers the document or its root element; or the document is nothing but the signature
/// or a list of signatures, and the signed content is inside of the signature or outside of the document; or it
/// countersigns an intact signature around it.
fn check_coverage(
    signature: &XmlSignature,
    countersigned: Option<&XmlSignature>,
    is_elsewhere: bool,
) -> Result<(), Obstacle> {
    let ambiguous = |sentence| {
        Err(Obstacle::unsure(
            SubIndication::SigConstraintsFailure,
            sentence,
        ))
    };
    let is_external = signature.covers_external || is_elsewhere;
    let covers_document =
        signature.covers_root || signature.is_apart && (signature.envelops || is_external);
    if !covers_document && !signature.countersigns() {
        return ambiguous(if signature.encloses {
            "The signature is intact, but it signs only a part of the document. Check what it covers: the rest is not signed."
        } else if is_external {
            "The signature is intact, but it signs only content outside the document; the document itself is not signed."
        } else {
            "The signature is intact, but it signs only an element beside it, which readers may confuse with another one. Check what it covers."
        });
    }
    let is_countersigned_broken = || {
        let intact = countersigned.map(check_intact);
        intact.is_some_and(|intact| {
            intact.is_err_and(|it| it.why != SubIndication::SignedDataNotFound)
        })
    };
    if !covers_document && is_countersigned_broken() {
        return ambiguous(
            "The signature is intact, but the signature that it countersigns is not, or can't be verified.",
        );
    }
    if signature.has_unsigned {
        return ambiguous(
            "The signature is intact, but it or a signature beside it contains unsigned content that does not belong in a signature. Readers may take that content for signed.",
        );
    }
    if signature.splits_text {
        return ambiguous(
            "The signature is intact, but a comment or a signature interrupts the signed text, and readers may see only the text before or after it.",
        );
    }
    if signature.duplicate_ids && !signature.covers_root {
        return ambiguous(
            "The signature is intact, but an identifier occurs more than once in the document.",
        );
    }
    Ok(())
}

/// Converts an `xs:dateTime` (XML Schema 2 section 3.2.7) to milliseconds since 1970. Without a time zone it counts as
/// UTC.
pub(super) fn time_ms(text: &str) -> Option<i64> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis());
    let local = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f");
    zoned
        .or_else(|_| local().map(|time| time.and_utc().timestamp_millis()))
        .ok()
}
