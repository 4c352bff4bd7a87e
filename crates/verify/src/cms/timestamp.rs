//! Time stamps (RFC 3161 section 2.4.2): what they say, and what they prove.
//!
//! A time stamp proves that something was there while it holds itself: as long as the certificates of whoever made it are good, or
//! from when on a later one proves that it was there when they were (ETSI EN 319 102-1 clause 5.6).

use asn1_rs::Tag;

use super::signed_data::{SignedData, read_content_alone};
use super::verify;
use crate::pki::ber::Reader;
use crate::pki::chain::{Purpose, Trust};
use crate::pki::hash::Hash;
use crate::pki::oid;
use crate::pki::verdict::{Basis, MAX_SKEW_MS};
use crate::pki::work::Work;

/// Most time stamps of a signature that are verified; each costs what a signature does.
pub(crate) const MAX_TIMESTAMPS: usize = 32;
/// What it costs to read a token's inside, and a byte of it.
const READ_NS: u64 = 2_000;
const BYTE_NS: u64 = 1;

/// What was stamped, and when: a `TSTInfo`.
#[derive(Debug)]
pub(crate) struct Imprint {
    /// OID of what was hashed with.
    hash_oid: String,
    /// The digest of what was stamped.
    digest: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub(crate) time_ms: i64,
}

/// Reads a token, without those who signed it; none where it is no time stamp.
pub(super) fn read(token: &[u8]) -> Option<Imprint> {
    let (content_type, content) = read_content_alone(token).ok()?;
    if content_type != oid::TST_INFO {
        return None;
    }
    let content = content?;
    let mut fields = Reader::new(&content).next().ok()??.inside();
    // Version and policy come before the imprint, the serial number after it.
    fields.expect(Tag::Integer, "").ok()?;
    fields.expect(Tag::Oid, "").ok()?;
    let mut imprint = fields.expect(Tag::Sequence, "").ok()?.inside();
    let algorithm = imprint.expect(Tag::Sequence, "").ok()?;
    let hash_oid = algorithm.inside().expect(Tag::Oid, "").ok()?.oid().ok()?;
    let digest = imprint.expect(Tag::OctetString, "").ok()?.octets().ok()?;
    fields.expect(Tag::Integer, "").ok()?;
    let time_ms = fields.expect(Tag::GeneralizedTime, "").ok()?.time_ms()?;
    Some(Imprint {
        hash_oid,
        digest: digest.into_owned(),
        time_ms,
    })
}

impl Imprint {
    /// Reads a token within a budget.
    pub(crate) fn read(token: &[u8], work: &Work) -> Option<Self> {
        work.spend(READ_NS).ok()?;
        work.spend_each(token.len(), BYTE_NS).ok()?;
        read(token)
    }

    /// What it was hashed with, where that still proves something.
    pub(crate) fn hash(&self) -> Option<Hash> {
        Hash::of(&self.hash_oid).filter(|hash| !hash.is_weak())
    }

    /// Whether what was stamped has this digest.
    pub(crate) fn is(&self, digest: &[u8]) -> bool {
        self.digest == digest
    }

    /// Whether these bytes were stamped.
    pub(crate) fn is_of(&self, bytes: &[u8], work: &Work) -> bool {
        self.hash().is_some_and(|hash| {
            work.spend_hash(hash, bytes.len()).is_ok() && self.is(&hash.digest(bytes))
        })
    }
}

/// A time stamp of a signature.
#[derive(Debug)]
pub(crate) struct Stamp<'t> {
    /// Its token, in BER.
    pub(crate) token: &'t [u8],
    /// When it was made, as it says.
    pub(crate) time_ms: i64,
    /// Whether what it stamps is what it must be of.
    pub(crate) fits: bool,
    /// Places of others among all stamps of the signature that it stamps along.
    pub(crate) covers: Vec<usize>,
}

/// The earliest time that the stamps of a signature prove, in milliseconds since 1970: each is of it, intact, and by somebody who is
/// trusted to stamp, today or when a later one that holds proves this one to have been there.
pub(crate) fn proven_time_ms(stamps: &[Stamp<'_>], trust: &Trust<'_>, now_ms: i64) -> Option<i64> {
    if trust.anchors.is_empty() {
        return None;
    }
    let mut existed: Vec<_> = stamps.iter().map(|_| (now_ms, Basis::Now)).collect();
    // Who stamps another one is later than that; of two at the same time, the one that stamps more is.
    let mut order: Vec<_> = stamps.iter().enumerate().collect();
    order.sort_by_key(|(_, stamp)| std::cmp::Reverse((stamp.time_ms, stamp.covers.len())));
    let mut proven = None;
    for (place, stamp) in order.into_iter().take(MAX_TIMESTAMPS) {
        let Some(&(time_ms, basis)) = existed.get(place) else {
            continue;
        };
        if !stamp.fits || !holds(stamp, trust, time_ms, basis) {
            continue;
        }
        proven = proven.into_iter().chain([stamp.time_ms]).min();
        for covered in &stamp.covers {
            if let Some(known) = existed.get_mut(*covered).filter(|it| it.0 > stamp.time_ms) {
                *known = (stamp.time_ms, Basis::Proven);
            }
        }
    }
    proven
}

/// Whether a stamp is intact, by somebody who is trusted to stamp, and was good when it is proven to have been there.
fn holds(stamp: &Stamp<'_>, trust: &Trust<'_>, existed_ms: i64, basis: Basis) -> bool {
    let work = trust.work;
    let Ok(token) = SignedData::read(stamp.token, work) else {
        return false;
    };
    // One, who signs its certificate along (RFC 3161 section 2.4.2).
    let [stamper] = token.signers.as_slice() else {
        return false;
    };
    let (evidence, added) = (token.evidence(work), token.added_certificates(work));
    if work.spend_each(trust.certificates.len(), 1).is_err() {
        return false;
    }
    let mut all = trust.clone();
    all.certificates.extend(&token.certificates);
    all.certificates.extend(&added);
    all.evidence.push(&evidence);
    // Its certificate may be left out of it (RFC 3161 section 2.4.1, `certReq`).
    let candidates = verify::candidates(stamper, &all.certificates, work);
    let Some(&certificate) = candidates.first() else {
        return false;
    };
    if stamp.time_ms > existed_ms.saturating_add(MAX_SKEW_MS)
        || !certificate.is_valid(stamp.time_ms)
        || !verify::is_intact_token(&token, stamper, certificate, work)
    {
        return false;
    }
    let judged = all.judge(certificate, Purpose::TimeStamping, existed_ms, basis);
    judged.outcome.is_ok()
}
