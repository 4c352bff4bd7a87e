//! Whether a CMS holds, signer by signer.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;

use asn1_rs::{Class, Tag};

use super::inspect::signing_time_ms;
use super::signed_data::{SignedData, SignerInfo};
use super::{InspectError, timestamp};
use crate::pki::certificate::Parsed;
use crate::pki::chain::{Judged, Purpose, Trust};
use crate::pki::hash::Hash;
use crate::pki::public_key::{self, Unsupported};
use crate::pki::verdict::{Obstacle, Times};
use crate::pki::work::{BYTES_A_UNIT, Work};
use crate::pki::{Anchors, SubIndication, Verdict, oid};

/// Verifies a CMS; a verdict for each of its signers, in the order of the file. No signers are no verdict, and never a pass.
///
/// `document` is what a detached one signs; where the content is inside too, it must be the same. `now_ms` judges what neither
/// claims nor proves a time.
///
/// # Errors
///
/// [`InspectError`] where it can't be read, or asks for more work than any honest one.
pub fn verify(
    bytes: &[u8],
    document: Option<&[u8]>,
    anchors: &Anchors,
    now_ms: i64,
) -> Result<Vec<Verdict>, InspectError> {
    let read = SignedData::read(bytes)?;
    let work = Work::new();
    let anchors = anchors.certificates();
    let evidence = read.evidence();
    let trust = Trust {
        anchors: &anchors,
        certificates: read.certificates.iter().collect(),
        evidence: vec![&evidence],
        work: &work,
    };
    let content = Content::of(&read, document, &work);
    let verification = Verification {
        read: &read,
        trust,
        now_ms,
    };
    let signers = read.signers.iter();
    let verdicts = signers
        .map(|signer| verification.verdict(signer, &content))
        .collect();
    if work.is_exhausted() {
        return Err(InspectError::Malformed(
            "it would take too long to verify all that it asks for",
        ));
    }
    Ok(verdicts)
}

/// One CMS, and what it is judged with.
struct Verification<'a> {
    read: &'a SignedData<'a>,
    trust: Trust<'a>,
    now_ms: i64,
}

impl Verification<'_> {
    fn verdict(&self, signer: &SignerInfo<'_>, content: &Result<Content<'_>, Obstacle>) -> Verdict {
        let Self { read, trust, .. } = self;
        let content = content.as_ref().map_err(|obstacle| *obstacle);
        let intact = content.and_then(|content| is_intact(read, signer, content, trust.work));
        let tokens = signer.unsigned_values(oid::SIGNATURE_TIMESTAMP);
        let tokens = tokens.map(|token| token.raw);
        let times = Times {
            claimed_ms: signing_time_ms(signer),
            proven_ms: timestamp::proven_time_ms(tokens, &signer.signature, trust),
            now_ms: self.now_ms,
        };
        let mut verdict = Verdict::new(intact, times, |time_ms, basis| {
            match (well_formed(read, signer), read.certificate(signer)) {
                (Ok(()), Some(certificate)) => {
                    let judged = trust.judge(certificate, Purpose::Signing, time_ms, basis);
                    judged.and(|| check_strength(read, signer))
                }
                (Ok(()), None) => Judged::from(NO_CERTIFICATE),
                (Err(obstacle), _) => Judged::from(obstacle),
            }
        });
        // A countersignature's content is the signature's value (RFC 5652 section 11.4).
        let value = Content::new(&signer.signature, trust.work);
        verdict.countersignatures = signer
            .countersigners()
            .iter()
            .map(|countersigner| self.verdict(countersigner, &Ok(value.clone())))
            .collect();
        verdict
    }
}

const NO_CERTIFICATE: Obstacle = Obstacle::unsure(
    SubIndication::NoSigningCertificateFound,
    "The signer's certificate is not in the signature.",
);
const UNKNOWN_ALGORITHM: Obstacle = Obstacle::unsure(
    SubIndication::CryptoConstraintsFailure,
    "The signature uses algorithms that are not known here.",
);

/// What is signed, hashed at most once with each algorithm.
#[derive(Clone)]
struct Content<'a> {
    bytes: &'a [u8],
    digests: RefCell<Vec<(Hash, Vec<u8>)>>,
    work: &'a Work,
}

impl<'a> Content<'a> {
    fn new(bytes: &'a [u8], work: &'a Work) -> Self {
        Self {
            bytes,
            digests: RefCell::default(),
            work,
        }
    }

    /// What a CMS signs.
    fn of(
        read: &'a SignedData<'_>,
        document: Option<&'a [u8]>,
        work: &'a Work,
    ) -> Result<Self, Obstacle> {
        match (&read.content, document) {
            (Some(content), Some(document)) if **content != *document => Err(Obstacle::failed(
                SubIndication::HashFailure,
                "The signed content is not the document.",
            )),
            (Some(content), _) => Ok(Self::new(content, work)),
            (None, Some(document)) => Ok(Self::new(document, work)),
            (None, None) => Err(Obstacle::unsure(
                SubIndication::SignedDataNotFound,
                "The signature is detached: give the document that it signs.",
            )),
        }
    }

    fn digest(&self, hash: Hash) -> Result<Vec<u8>, Obstacle> {
        let mut digests = self.digests.borrow_mut();
        if let Some((_, known)) = digests.iter().find(|(other, _)| *other == hash) {
            return Ok(known.clone());
        }
        if !self.work.spend(self.bytes.len() / BYTES_A_UNIT) {
            return Err(UNKNOWN_ALGORITHM);
        }
        let digest = hash.digest(self.bytes);
        digests.push((hash, digest.clone()));
        Ok(digest)
    }
}

/// Whether the content of a CMS is there unchanged, and signed as it must be under the key of the signer's certificate.
pub(super) fn check_intact(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
    work: &Work,
) -> Result<(), Obstacle> {
    let content = Content::of(read, None, work)?;
    is_intact(read, signer, &content, work).and_then(|()| well_formed(read, signer))
}

/// Whether what is signed is there unchanged, and signed under the key of the signer's certificate.
fn is_intact(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
    content: &Content<'_>,
    work: &Work,
) -> Result<(), Obstacle> {
    let certificate = read.certificate(signer).ok_or(NO_CERTIFICATE)?;
    let hash = Hash::of(&signer.digest_algorithm.oid);
    let message = match &signer.signed {
        None => Cow::Borrowed(content.bytes),
        Some((_, inside)) => {
            let mut digests = signer.signed_attributes(oid::MESSAGE_DIGEST);
            let digest = digests
                .next()
                .and_then(|attribute| attribute.values.first());
            let Some(digest) = digest.and_then(|digest| digest.octets().ok()) else {
                return Err(Obstacle::failed(
                    SubIndication::FormatFailure,
                    "The signed attributes lack the digest of what is signed.",
                ));
            };
            if content.digest(hash.ok_or(UNKNOWN_ALGORITHM)?)? != *digest {
                return Err(Obstacle::failed(
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
        work,
    );
    match held {
        Ok(true) => Ok(()),
        Ok(false) => Err(Obstacle::failed(
            SubIndication::SigCryptoFailure,
            "The signature does not hold under the signer's key.",
        )),
        Err(Unsupported) => Err(UNKNOWN_ALGORITHM),
    }
}

/// Whether the signature is made with what still proves something today.
pub(super) fn check_strength(
    read: &SignedData<'_>,
    signer: &SignerInfo<'_>,
) -> Result<(), Obstacle> {
    let hash = Hash::of(&signer.digest_algorithm.oid);
    let weak = read.certificate(signer).is_none_or(|certificate| {
        let key = certificate.x509().public_key();
        public_key::is_weak(key, &signer.signature_algorithm, hash)
    });
    if weak {
        return Err(Obstacle::unsure(
            SubIndication::CryptoConstraintsFailureNoPoe,
            "The signature is intact, but made with SHA-1 or a short RSA key, which can be forged.",
        ));
    }
    Ok(())
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
    let mut seen = HashSet::new();
    if attributes
        .iter()
        .any(|attribute| !seen.insert(&attribute.oid))
    {
        return Err(Obstacle::failed(
            SubIndication::FormatFailure,
            "A signed attribute is there twice.",
        ));
    }
    let single = [oid::MESSAGE_DIGEST, oid::CONTENT_TYPE, oid::SIGNING_TIME];
    if single.iter().any(|oid| {
        let mut attributes = signer.signed_attributes(oid);
        attributes.any(|attribute| attribute.values.len() != 1)
    }) {
        return Err(Obstacle::failed(
            SubIndication::FormatFailure,
            "A signed attribute that must have one value has another number.",
        ));
    }
    let content_type = signer.signed_attributes(oid::CONTENT_TYPE).next();
    let content_type = content_type.and_then(|attribute| attribute.values.first());
    let content_type = content_type.and_then(|value| value.oid().ok());
    // A countersignature has none (RFC 5652 section 11.4).
    if signer.depth == 0 && content_type.as_ref() != Some(&read.content_type) {
        return Err(Obstacle::failed(
            SubIndication::FormatFailure,
            "The type of the content is not the one that was signed along.",
        ));
    }
    match read
        .certificate(signer)
        .and_then(|certificate| names_certificate(certificate, signer))
    {
        Some(false) => Err(Obstacle::unsure(
            SubIndication::NoSigningCertificateFound,
            "The certificate that was signed along is another one.",
        )),
        _ => Ok(()),
    }
}

/// Whether the certificate that was signed along is the signer's (RFC 5035 sections 3 and 4); none where none was.
fn names_certificate(certificate: &Parsed<'_>, signer: &SignerInfo<'_>) -> Option<bool> {
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
