//! Time stamps (RFC 3161 section 2.4.2): what they say, and whether that is proven.

use asn1_rs::Tag;

use super::signed_data::{SignedData, read_content_alone};
use super::verify;
use crate::pki::ber::Reader;
use crate::pki::chain::{Purpose, Trust};
use crate::pki::hash::Hash;
use crate::pki::oid;
use crate::pki::verdict::Basis;

/// Most time stamps of a signature that are verified; each costs what a signature does.
const MAX_TIMESTAMPS: usize = 8;

/// What was stamped, and when: a `TSTInfo`.
#[derive(Debug)]
pub(super) struct Stamp {
    /// OID of what was hashed with.
    hash_oid: String,
    /// The digest of what was stamped.
    digest: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub(super) time_ms: i64,
}

/// Reads a token, without those who signed it; none where it is no time stamp.
pub(super) fn read(token: &[u8]) -> Option<Stamp> {
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
    Some(Stamp {
        hash_oid,
        digest: digest.into_owned(),
        time_ms,
    })
}

/// The earliest time that time stamps of some bytes prove, in milliseconds since 1970: each intact, of these bytes, and by
/// somebody who is trusted to stamp.
pub(crate) fn proven_time_ms<'t>(
    tokens: impl Iterator<Item = &'t [u8]>,
    stamped: &[u8],
    trust: &Trust<'_>,
) -> Option<i64> {
    if trust.anchors.is_empty() {
        return None;
    }
    let times = tokens
        .take(MAX_TIMESTAMPS)
        .filter_map(|token| proven_by(token, stamped, trust));
    times.min()
}

fn proven_by(token: &[u8], stamped: &[u8], trust: &Trust<'_>) -> Option<i64> {
    let work = trust.work;
    let stamp = read(token)?;
    let hash = Hash::of(&stamp.hash_oid).filter(|hash| !hash.is_weak())?;
    work.spend_hash(hash, stamped.len()).ok()?;
    if hash.digest(stamped) != stamp.digest {
        return None;
    }
    let token = SignedData::read(token, work).ok()?;
    // One, who signs its certificate along (RFC 3161 section 2.4.2).
    let [stamper] = token.signers.as_slice() else {
        return None;
    };
    let certificate = token.certificate(stamper, work)?;
    if !verify::is_intact_token(&token, stamper, certificate, work) {
        return None;
    }
    let evidence = token.evidence(work);
    work.spend_each(trust.certificates.len(), 1).ok()?;
    let mut all = trust.clone();
    all.certificates.extend(&token.certificates);
    all.evidence.push(&evidence);
    // The stamp's own time proves nothing of itself.
    let judged = all.judge(
        certificate,
        Purpose::TimeStamping,
        stamp.time_ms,
        Basis::Claimed,
    );
    judged.outcome.is_ok().then_some(stamp.time_ms)
}
