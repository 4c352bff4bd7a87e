//! What a time stamp of a signature says: the `TSTInfo` in its token (RFC 3161 section 2.4.2).

use asn1_rs::{FromDer as _, Tag};
use x509_parser::time::ASN1Time;

use super::ber::Reader;
use super::oid;
use super::signed_data::read_content_alone;

/// What was stamped, and when.
#[derive(Debug)]
pub(super) struct Stamp {
    /// OID of what was hashed with.
    pub(super) hash_oid: String,
    /// The digest of what was stamped.
    pub(super) digest: Vec<u8>,
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
    let time = fields.expect(Tag::GeneralizedTime, "").ok()?;
    let (_, time) = ASN1Time::from_der(time.raw).ok()?;
    Some(Stamp {
        hash_oid,
        digest: digest.into_owned(),
        time_ms: time.timestamp().saturating_mul(1000),
    })
}
