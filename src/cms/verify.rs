//! Whether a CMS holds, signer by signer, in the words of ETSI EN 319 102-1.

use std::borrow::Cow;

use asn1_rs::{Class, Tag};

use super::certificate::Embedded;
use super::chain::{self, Chain};
use super::hash::Hash;
use super::inspect::signing_time_ms;
use super::public_key::{self, Unsupported};
use super::signed_data::{SignedData, SignerInfo};
use super::{Anchors, InspectError, oid, timestamp};

/// Most time stamps of a signature that are verified; each costs what a signature does.
const MAX_TIMESTAMPS: usize = 8;

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

/// Why it is not passed (ETSI EN 319 102-1 section 5.1.3, table 5).
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
    /// No chain leads to anybody who is trusted.
    NoCertificateChainFound,
    /// The certificates were not valid then, and nothing proves that the signature is older.
    OutOfBoundsNoPoe,
}

crate::words!(
    SubIndication,
    HashFailure = "HASH_FAILURE",
    SigCryptoFailure = "SIG_CRYPTO_FAILURE",
    FormatFailure = "FORMAT_FAILURE",
    NoSigningCertificateFound = "NO_SIGNING_CERTIFICATE_FOUND",
    SignedDataNotFound = "SIGNED_DATA_NOT_FOUND",
    CryptoConstraintsFailure = "CRYPTO_CONSTRAINTS_FAILURE",
    NoCertificateChainFound = "NO_CERTIFICATE_CHAIN_FOUND",
    OutOfBoundsNoPoe = "OUT_OF_BOUNDS_NO_POE"
);

/// What is said of one signer.
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
}

/// What stands in the way, and how sure that is.
type Obstacle = (Indication, SubIndication, &'static str);

const fn failed(why: SubIndication, sentence: &'static str) -> Obstacle {
    (Indication::TotalFailed, why, sentence)
}

const fn unsure(why: SubIndication, sentence: &'static str) -> Obstacle {
    (Indication::Indeterminate, why, sentence)
}

/// Verifies a CMS; a verdict for each of its signers, in the order of the file. No signers are no verdict, and never a pass.
///
/// `document` is what a detached one signs; where the content is inside too, it must be the same. `now_ms` judges what claims
/// no time.
///
/// # Errors
///
/// [`InspectError`] where it can't be read.
pub fn verify(
    bytes: &[u8],
    document: Option<&[u8]>,
    anchors: &Anchors,
    now_ms: i64,
) -> Result<Vec<Verdict>, InspectError> {
    let read = SignedData::read(bytes)?;
    let verdicts = read.signers.iter().map(|signer| {
        let claimed_time_ms = signing_time_ms(signer);
        let intact = intact(&read, signer, document);
        let mut verdict = Verdict {
            indication: Indication::TotalPassed,
            sub_indication: None,
            explanation: "The signature is intact, and its certificate leads to a trusted one; whether any was revoked was not judged.",
            intact: match &intact {
                Ok(()) => Some(true),
                Err((Indication::TotalFailed, _, _)) => Some(false),
                Err(_) => None,
            },
            claimed_time_ms,
            proven_time_ms: proven_time_ms(&read, signer, anchors),
        };
        let time_ms = verdict.proven_time_ms.or(claimed_time_ms).unwrap_or(now_ms);
        let judged = intact
            .and_then(|()| well_formed(&read, signer))
            .and_then(|()| trusted(&read, signer, anchors, time_ms));
        if let Err((indication, why, sentence)) = judged {
            verdict.indication = indication;
            verdict.sub_indication = Some(why);
            verdict.explanation = sentence;
        }
        verdict
    });
    Ok(verdicts.collect())
}

/// Whether what is signed is there unchanged, and signed under the key of the signer's certificate.
fn intact(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
    document: Option<&[u8]>,
) -> Result<(), Obstacle> {
    let certificate = read.certificate(signer).ok_or(unsure(
        SubIndication::NoSigningCertificateFound,
        "The signer's certificate is not in the signature.",
    ))?;
    let content: Cow<'_, [u8]> = match (&read.content, document) {
        (Some(content), Some(document)) if **content != *document => {
            return Err(failed(
                SubIndication::HashFailure,
                "The signed content is not the document.",
            ));
        }
        (Some(content), _) => Cow::Borrowed(content),
        (None, Some(document)) => Cow::Borrowed(document),
        (None, None) => {
            return Err(unsure(
                SubIndication::SignedDataNotFound,
                "The signature is detached: give the document that it signs.",
            ));
        }
    };
    let unknown = unsure(
        SubIndication::CryptoConstraintsFailure,
        "The signature uses algorithms that are not known here.",
    );
    let hash = Hash::of(&signer.digest_algorithm.oid);
    let message = match &signer.signed {
        None => content,
        Some((_, inside)) => {
            let mut digests = signer.signed_attributes(oid::MESSAGE_DIGEST);
            let digest = digests
                .next()
                .and_then(|attribute| attribute.values.first());
            let Some(digest) = digest.and_then(|digest| digest.octets().ok()) else {
                return Err(failed(
                    SubIndication::FormatFailure,
                    "The signed attributes lack the digest of what is signed.",
                ));
            };
            if hash.ok_or(unknown)?.digest(&content) != *digest {
                return Err(failed(
                    SubIndication::HashFailure,
                    "What is there is not what was signed: its digest is another one.",
                ));
            }
            Cow::Owned(as_set(inside))
        }
    };
    let held = public_key::verify(
        certificate.x509().public_key(),
        &signer.signature_algorithm,
        hash,
        &message,
        &signer.signature,
    );
    match held {
        Ok(true) => Ok(()),
        Ok(false) => Err(failed(
            SubIndication::SigCryptoFailure,
            "The signature does not hold under the signer's key.",
        )),
        Err(Unsupported) => Err(unknown),
    }
}

/// Signed attributes as they are signed: as a SET OF in DER (RFC 5652 section 5.4).
fn as_set(inside: &[u8]) -> Vec<u8> {
    let length = inside.len().to_be_bytes();
    let length: Vec<_> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut set = vec![0x31];
    match (length.as_slice(), u8::try_from(length.len())) {
        ([], _) => set.push(0),
        ([short], _) if *short < 0x80 => set.push(*short),
        (long, Ok(bytes)) => {
            set.push(0x80 | bytes);
            set.extend_from_slice(long);
        }
        // There is no such length.
        (_, Err(_)) => {}
    }
    set.extend_from_slice(inside);
    set
}

/// Whether the signed attributes are as they must be (RFC 5652 section 11, RFC 5035).
fn well_formed(read: &SignedData<'_>, signer: &SignerInfo<'_>) -> Result<(), Obstacle> {
    let Some((attributes, _)) = &signer.signed else {
        return Ok(());
    };
    let mut seen = std::collections::HashSet::new();
    if attributes
        .iter()
        .any(|attribute| !seen.insert(&attribute.oid))
    {
        return Err(failed(
            SubIndication::FormatFailure,
            "A signed attribute is there twice.",
        ));
    }
    let single = [oid::MESSAGE_DIGEST, oid::CONTENT_TYPE, oid::SIGNING_TIME];
    if single.iter().any(|oid| {
        let mut attributes = signer.signed_attributes(oid);
        attributes.any(|attribute| attribute.values.len() != 1)
    }) {
        return Err(failed(
            SubIndication::FormatFailure,
            "A signed attribute that must have one value has another number.",
        ));
    }
    let content_type = signer.signed_attributes(oid::CONTENT_TYPE).next();
    let content_type = content_type.and_then(|attribute| attribute.values.first());
    if content_type.and_then(|value| value.oid().ok()).as_ref() != Some(&read.content_type) {
        return Err(failed(
            SubIndication::FormatFailure,
            "The type of the content is not the one that was signed along.",
        ));
    }
    match names_certificate(read, signer) {
        Some(false) => Err(unsure(
            SubIndication::NoSigningCertificateFound,
            "The certificate that was signed along is another one.",
        )),
        _ => Ok(()),
    }
}

/// Whether the certificate that was signed along is the signer's (RFC 5035 sections 3 and 4); none where none was.
fn names_certificate(read: &SignedData<'_>, signer: &SignerInfo<'_>) -> Option<bool> {
    let certificate = read.certificate(signer)?;
    for (oid, is_v2) in [
        (oid::SIGNING_CERTIFICATE_V2, true),
        (oid::SIGNING_CERTIFICATE, false),
    ] {
        let Some(attribute) = signer.signed_attributes(oid).next() else {
            continue;
        };
        let first = || -> Option<(Hash, Vec<u8>)> {
            // SigningCertificate { certs SEQUENCE OF ESSCertID }, of which the first is the signer's.
            let mut certificates = attribute.values.first()?.inside().next().ok()??.inside();
            let mut fields = certificates.next().ok()??.inside();
            let mut hash = if is_v2 { Hash::Sha256 } else { Hash::Sha1 };
            let mut field = fields.next().ok()??;
            if is_v2 && field.is_sequence() {
                let algorithm = field.inside().expect(Tag::Oid, "").ok()?.oid().ok()?;
                hash = Hash::of(&algorithm)?;
                field = fields.next().ok()??;
            }
            let is_digest = field.is(Class::Universal, Tag::OctetString.0);
            is_digest.then(|| Some((hash, field.octets().ok()?.into_owned())))?
        };
        return Some(
            first().is_some_and(|(hash, digest)| hash.digest(certificate.der()) == digest),
        );
    }
    None
}

/// Whether the signer's certificate leads to a trusted one, and was valid then.
fn trusted(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
    anchors: &Anchors,
    time_ms: i64,
) -> Result<(), Obstacle> {
    let embedded: Vec<_> = read.certificates.iter().collect();
    let chain = read
        .certificate(signer)
        .map(|certificate| chain::find(certificate, &embedded, anchors));
    match chain {
        Some(Chain::Trusted(begin, end)) if (begin..=end).contains(&time_ms) => Ok(()),
        Some(Chain::Trusted(..)) => Err(unsure(
            SubIndication::OutOfBoundsNoPoe,
            "A certificate was not valid at the time of the signature.",
        )),
        Some(Chain::NotJudged) => Err(unsure(
            SubIndication::NoCertificateChainFound,
            "The signature is intact; whose it is was not judged, since no certificates are trusted here.",
        )),
        _ => Err(unsure(
            SubIndication::NoCertificateChainFound,
            "The signature is intact; no chain leads from its certificate to a trusted one.",
        )),
    }
}

/// The earliest time that a time stamp of the signature proves: intact, of this signature's value, by somebody trusted
/// (RFC 3161 section 2.4.2).
fn proven_time_ms(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
    anchors: &Anchors,
) -> Option<i64> {
    if anchors.is_empty() {
        return None;
    }
    let tokens = signer
        .unsigned_values(oid::SIGNATURE_TIMESTAMP)
        .take(MAX_TIMESTAMPS);
    let times = tokens.filter_map(|token| {
        let stamp = timestamp::read(token.raw)?;
        if Hash::of(&stamp.hash_oid)?.digest(&signer.signature) != stamp.digest {
            return None;
        }
        let token = SignedData::read(token.raw).ok()?;
        let stamper = token.signers.first()?;
        intact(&token, stamper, None)
            .and_then(|()| well_formed(&token, stamper))
            .ok()?;
        let certificate = token.certificate(stamper)?;
        let embedded: Vec<&Embedded<'_>> = token
            .certificates
            .iter()
            .chain(&read.certificates)
            .collect();
        match chain::find(certificate, &embedded, anchors) {
            Chain::Trusted(begin, end) if (begin..=end).contains(&stamp.time_ms) => {
                Some(stamp.time_ms)
            }
            _ => None,
        }
    });
    times.min()
}
