//! Verification of a CMS, signer by signer.

use std::borrow::Cow;
use std::collections::HashMap;

use asn1_rs::{Class, Tag};

use super::InspectError;
use super::archive::{Archived, Embedded};
use super::content::{Content, MISSING};
use super::inspect::signing_time_ms;
use super::signed_data::SignedData;
use super::signer_info::SignerInfo;
use super::timestamp::{self, Existence, note};
use crate::judging::Judging;
use crate::pki::ber::{Reader, Value, tlv};
use crate::pki::budget::{Budget, Sha256};
use crate::pki::certificate::Parsed;
use crate::pki::chain::{ChainVerdict, Trust};
use crate::pki::hash::Hash;
use crate::pki::public_key::{self, Unsupported};
use crate::pki::signer::is_of_same_key;
use crate::pki::verdict::{NO_CERTIFICATE, Obstacle, Times, UNKNOWN_ALGORITHM, WEAK_SIGNATURE};
use crate::pki::{SubIndication, Verdict, oid};

/// Verifies a CMS. Returns a verdict for each of its signers, in the order of the file. A CMS without signers has no
/// verdict, and never passes.
///
/// If the content is embedded and a document is given too, they must be the same. A signature that neither claims nor
/// proves a time is judged for the time of the verification.
///
/// # Errors
///
/// [`InspectError`] if the CMS can't be read, or needs more work than any honest one.
pub fn verify(bytes: &[u8], judging: &Judging<'_>) -> Result<Vec<Verdict>, InspectError> {
    verify_within(bytes, judging, &Budget::new())
}

/// Like [`verify`], with the rest of a budget.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_within(
    bytes: &[u8],
    judging: &Judging<'_>,
    budget: &Budget,
) -> Result<Vec<Verdict>, InspectError> {
    judge(&SignedData::read(bytes, budget)?, judging, budget)
}

/// Like [`verify_within`], for a parsed CMS.
pub(crate) fn judge(
    read: &SignedData<'_>,
    judging: &Judging<'_>,
    budget: &Budget,
) -> Result<Vec<Verdict>, InspectError> {
    let anchors = judging.anchors.certificates();
    let given = Parsed::of_all(judging.certificates, budget);
    let (evidence, added) = (read.evidence(budget), read.added_certificates(budget));
    let embedded = read.certificates.iter().chain(&added);
    let at_hand = embedded.chain(&given).chain(&anchors);
    let trust = Trust {
        anchors: &anchors,
        certificates: at_hand.collect(),
        evidence: vec![&evidence],
        rules: &judging.rules,
        budget,
    };
    let content = Content::of(read, judging.document, budget);
    let verification = Verification {
        read,
        embedded: Embedded::new(read, budget),
        trust,
        now_ms: judging.now_ms,
    };
    let signers = read.signers.iter();
    let verdicts = signers
        .map(|signer| verification.verdict(signer, &content, None, &HashMap::new()))
        .collect();
    if budget.is_exhausted() {
        return Err(InspectError::Malformed(
            "it is too complex: verifying it takes too long",
        ));
    }
    Ok(verdicts)
}

/// A CMS, and the inputs for judging it.
struct Verification<'a> {
    read: &'a SignedData<'a>,
    embedded: Embedded<'a>,
    trust: Trust<'a>,
    now_ms: i64,
}

impl Verification<'_> {
    /// The verdict on a signer. `proven_ms` is the time at which something else proves its signature to have existed,
    /// if anything does; `certificates` has such times of certificates.
    fn verdict(
        &self,
        signer: &SignerInfo<'_>,
        content: &Result<Content<'_>, Obstacle>,
        proven_ms: Option<i64>,
        certificates: &HashMap<Sha256, i64>,
    ) -> Verdict {
        let Self { read, trust, .. } = self;
        let candidates = candidates(signer, &trust.certificates, trust.budget);
        // Without the content, the signed attributes still show whose signature it is.
        let missing = content.as_ref().err().copied();
        let missing = missing.filter(|obstacle| {
            obstacle.why == SubIndication::SignedDataNotFound
                && !candidates.is_empty()
                && signer.signed.is_some()
        });
        let (certificate, intact) = match (content, candidates.first()) {
            (Ok(content), _) => find_signer(signer, &candidates, Some(content), trust.budget),
            (Err(_), _) if missing.is_some() => {
                find_signer(signer, &candidates, None, trust.budget)
            }
            (Err(obstacle), Some(first)) => (Ok(*first), Err(*obstacle)),
            (Err(_), None) => (Err(NO_CERTIFICATE), Err(NO_CERTIFICATE)),
        };
        let archived = Archived::new(&self.embedded, signer, content.as_ref().ok());
        let existence = Existence::new(self.now_ms, proven_ms);
        let mut proven = timestamp::prove(&archived.stamps(trust), trust, existence);
        for (certificate, time_ms) in certificates {
            note(&mut proven.certificates, *certificate, *time_ms);
        }
        let times = Times {
            claimed_ms: signing_time_ms(signer),
            proven_ms: proven.time_ms,
            now_ms: self.now_ms,
        };
        let mut judged_certificate = certificate.ok();
        let mut verdict = Verdict::new(intact, times, |time_ms, basis| {
            let well_formed = certificate.and_then(|certificate| {
                well_formed(read, signer, certificate, trust.budget).map(|()| certificate)
            });
            match well_formed {
                Ok(certificate) => {
                    let others = candidates.iter().copied();
                    let others = others.filter(|other| is_named(other, signer, trust.budget));
                    let chosen = trust.judge_signer(certificate, others, time_ms, basis);
                    judged_certificate = Some(chosen.certificate);
                    let judged = chosen.judged.where_proven(|sha256| {
                        // A certificate that the signed attributes name is as old as the signature.
                        let is_named = chosen.certificate.sha256() == sha256
                            && names_certificate(chosen.certificate, signer, trust.budget)
                                == Some(true);
                        let signed = is_named.then_some(time_ms);
                        let stamped = proven.certificates.get(sha256).copied();
                        signed.into_iter().chain(stamped).min()
                    });
                    judged.and(|| check_strength(signer, certificate))
                }
                Err(obstacle) => ChainVerdict::from(obstacle),
            }
        });
        if let Some(missing) = missing {
            verdict = verdict.without_content(missing);
        }
        let embedded = read.certificate(signer, trust.budget);
        let other = judged_certificate
            .filter(|judged| embedded.is_none_or(|embedded| embedded.der() != judged.der()));
        verdict.certificate = other.and_then(|other| other.describe(trust.budget).ok());
        // The content of a countersignature is the value of the signature (RFC 5652 section 11.4).
        let value = Ok(Content::new(&signer.signature, trust.budget));
        let countersigners = signer.countersigners.iter().enumerate();
        verdict.countersignatures = countersigners
            .map(|(place, countersigner)| {
                // The proof is a stamp of this signature that covers the countersignature, or a stamp that covers this
                // signature.
                let stamped = proven.countersignatures.get(&place).copied();
                let proven_ms = stamped.into_iter().chain(proven_ms).min();
                self.verdict(countersigner, &value, proven_ms, &proven.certificates)
            })
            .collect();
        verdict
    }
}

const OTHER_CERTIFICATE: Obstacle = Obstacle::unsure(
    SubIndication::NoSigningCertificateFound,
    "The signature names another signing certificate.",
);

const OTHER_TYPE: Obstacle = Obstacle::failed(
    SubIndication::FormatFailure,
    "The content type differs from the signed one, or is not signed.",
);

/// The certificates at hand that a signer's identifier names. If there are several, those that the signed attributes
/// name come first.
pub(super) fn candidates<'c>(
    signer: &SignerInfo<'_>,
    at_hand: &[&'c Parsed<'c>],
    budget: &Budget,
) -> Vec<&'c Parsed<'c>> {
    let at_hand = at_hand.iter().copied();
    let mut found: Vec<_> = at_hand
        .filter(|certificate| signer.identifier.names(certificate, budget))
        .collect();
    if found.len() > 1 {
        found.sort_by_cached_key(|certificate| !is_named(certificate, signer, budget));
    }
    found
}

/// The first candidate under whose key the signature is intact, otherwise the first one, with the result for it.
fn find_signer<'c>(
    signer: &SignerInfo<'_>,
    candidates: &[&'c Parsed<'c>],
    content: Option<&Content<'_>>,
    budget: &Budget,
) -> (Result<&'c Parsed<'c>, Obstacle>, Result<(), Obstacle>) {
    let mut first = (Err(NO_CERTIFICATE), Err(NO_CERTIFICATE));
    let mut tried: Vec<&Parsed<'_>> = Vec::new();
    for &candidate in candidates {
        let is_known = |other: &&Parsed<'_>| is_of_same_key(other, candidate, budget);
        if tried.iter().any(is_known) {
            continue;
        }
        let intact = is_intact(signer, candidate, content, budget);
        if intact.is_ok() {
            return (Ok(candidate), intact);
        }
        if tried.is_empty() {
            first = match intact {
                // A signature that does not verify under somebody else's certificate is not disproved by that (ETSI EN
                // 319 102-1 clause 5.2.3.4).
                Err(obstacle)
                    if obstacle.why == SubIndication::SigCryptoFailure
                        && !is_named(candidate, signer, budget) =>
                {
                    (Err(OTHER_CERTIFICATE), Err(OTHER_CERTIFICATE))
                }
                _ => (Ok(candidate), intact),
            };
        }
        tried.push(candidate);
    }
    first
}

/// Whether a time stamp's token is intact, well formed, and strong enough to prove something today.
pub(super) fn is_intact_token(
    token: &SignedData<'_>,
    stamper: &SignerInfo<'_>,
    certificate: &Parsed<'_>,
    budget: &Budget,
) -> bool {
    let intact = Content::of(token, None, budget)
        .and_then(|content| is_intact(stamper, certificate, Some(&content), budget))
        .and_then(|()| well_formed(token, stamper, certificate, budget))
        .and_then(|()| check_strength(stamper, certificate));
    intact.is_ok() && names_certificate(certificate, stamper, budget) == Some(true)
}

/// Checks that the signed content is unchanged, and that the signature verifies under the key of the certificate.
/// Without content, the signed digest is taken as its digest.
fn is_intact(
    signer: &SignerInfo<'_>,
    certificate: &Parsed<'_>,
    content: Option<&Content<'_>>,
    budget: &Budget,
) -> Result<(), Obstacle> {
    let hash = signer.digest_algorithm.hash();
    let verifies = |message: &[u8]| {
        public_key::verify(
            certificate.x509().public_key(),
            &signer.signature_algorithm,
            hash,
            message,
            &signer.signature,
            budget,
        )
    };
    let held = match (&signer.signed, content) {
        (None, None) => return Err(MISSING),
        (None, Some(content)) if content.is_signed_attributes() => {
            return Err(Obstacle::failed(
                SubIndication::FormatFailure,
                "The content has the form of signed attributes: the signature may be of other content.",
            ));
        }
        (None, Some(content)) => verifies(content.bytes()),
        (Some((_, encoding)), content) => {
            let Some(digest) = signer.message_digest() else {
                return Err(Obstacle::failed(
                    SubIndication::FormatFailure,
                    "The signed attributes lack the digest of the content.",
                ));
            };
            let hash = hash.ok_or(UNKNOWN_ALGORITHM)?;
            if let Some(content) = content
                && content.digest(hash)? != *digest
            {
                return Err(Obstacle::failed(
                    SubIndication::HashFailure,
                    "The content was changed: its digest is not the signed one.",
                ));
            }
            // The signature is over their encoding as a SET OF in DER (RFC 5652 section 5.4). Many signers sign the
            // stored encoding.
            let stored = tlv(SET, encoding.content());
            match verifies(&stored) {
                Ok(false) => {
                    let der = in_der(&stored, budget).filter(|der| *der != stored);
                    der.map_or(Ok(false), |der| verifies(&der))
                }
                held => held,
            }
        }
    };
    match held {
        Ok(true) => Ok(()),
        Ok(false) => Err(Obstacle::failed(
            SubIndication::SigCryptoFailure,
            "The signature does not verify under the signer's key.",
        )),
        Err(Unsupported) => Err(UNKNOWN_ALGORITHM),
    }
}

/// Cost of encoding a byte anew.
const ENCODE_NS: u64 = 100;

/// The value in DER; none if it can't be encoded so, or the budget is exhausted.
pub(super) fn in_der(ber: &[u8], budget: &Budget) -> Option<Vec<u8>> {
    budget.spend_each(ber.len(), ENCODE_NS).ok()?;
    Reader::new(ber).next().ok()??.to_der().ok()
}

const SET: u8 = 0x31;

/// Checks that the signature is strong enough to prove something today.
fn check_strength(signer: &SignerInfo<'_>, certificate: &Parsed<'_>) -> Result<(), Obstacle> {
    let hash = signer.digest_algorithm.hash();
    let key = certificate.x509().public_key();
    if public_key::is_weak(key, &signer.signature_algorithm, hash) {
        return Err(WEAK_SIGNATURE);
    }
    Ok(())
}

/// Checks the rules for signed attributes (RFC 5652 section 11, RFC 5035).
fn well_formed(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
    certificate: &Parsed<'_>,
    budget: &Budget,
) -> Result<(), Obstacle> {
    if signer.signed.is_none() {
        // Without signed attributes, nothing states the content type that was signed (RFC 5652 section 5.3).
        return if signer.depth > 0 || read.content_type == oid::DATA {
            Ok(())
        } else {
            Err(OTHER_TYPE)
        };
    }
    // Only these must not be repeated (RFC 5652 sections 11.1, 11.2 and 11.3).
    let single = [oid::MESSAGE_DIGEST, oid::CONTENT_TYPE, oid::SIGNING_TIME];
    for oid in single {
        let attributes: Vec<_> = signer.signed_attributes(oid).collect();
        if attributes.len() > 1 {
            return Err(Obstacle::failed(
                SubIndication::FormatFailure,
                "A signed attribute that must occur only once occurs more often.",
            ));
        }
        if attributes
            .iter()
            .any(|attribute| attribute.values.len() != 1)
        {
            return Err(Obstacle::failed(
                SubIndication::FormatFailure,
                "A signed attribute that must have one value has none or several.",
            ));
        }
    }
    let content_type = signer.signed_attributes(oid::CONTENT_TYPE).next();
    let content_type = content_type.and_then(|attribute| attribute.values.first());
    let content_type = content_type.and_then(|value| value.oid().ok());
    // A countersignature has no content type (RFC 5652 section 11.4).
    if signer.depth == 0 && content_type.as_ref() != Some(&read.content_type) {
        return Err(OTHER_TYPE);
    }
    match names_certificate(certificate, signer, budget) {
        Some(false) => Err(OTHER_CERTIFICATE),
        _ => Ok(()),
    }
}

/// Whether the signed attributes name this certificate, or no certificate.
fn is_named(certificate: &Parsed<'_>, signer: &SignerInfo<'_>, budget: &Budget) -> bool {
    names_certificate(certificate, signer, budget) != Some(false)
}

/// Whether the signed attributes name this certificate as the signer's (RFC 5035 sections 3 and 4). If they name one in
/// both versions, both must fit. None if they name no certificate.
fn names_certificate(
    certificate: &Parsed<'_>,
    signer: &SignerInfo<'_>,
    budget: &Budget,
) -> Option<bool> {
    let versions = [
        (oid::SIGNING_CERTIFICATE_V2, true),
        (oid::SIGNING_CERTIFICATE, false),
    ];
    let named = versions.into_iter().flat_map(|(oid, is_v2)| {
        let attributes = signer.signed_attributes(oid);
        attributes.map(move |attribute| {
            let [value] = attribute.values.as_slice() else {
                return false;
            };
            let named = named_digest(value, is_v2);
            let der = certificate.der();
            named.is_some_and(|(hash, digest)| {
                budget.spend_hash(hash, der.len()).is_ok() && hash.digest(der) == *digest
            })
        })
    });
    named.reduce(|one, other| one && other)
}

/// The digest of the first certificate of a `SigningCertificate`, which is the signer's.
fn named_digest<'a>(value: &Value<'a>, is_v2: bool) -> Option<(Hash, Cow<'a, [u8]>)> {
    // SigningCertificate { certs SEQUENCE OF ESSCertID, … }
    let mut certificates = value.inside().next().ok()??.inside();
    let mut fields = certificates.next().ok()??.inside();
    let mut hash = if is_v2 { Hash::Sha256 } else { Hash::Sha1 };
    let mut field = fields.next().ok()??;
    if is_v2 && field.is_sequence() {
        let algorithm = field.inside().expect(Tag::Oid, "").ok()?.oid().ok()?;
        hash = Hash::of(&algorithm)?;
        field = fields.next().ok()??;
    }
    let is_digest = field.is(Class::Universal, Tag::OctetString.0);
    is_digest.then(|| Some((hash, field.octets().ok()?)))?
}
