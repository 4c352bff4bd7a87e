//! The description of a CMS and its signers. Nothing is verified here.

use super::signed_data::SignedData;
use super::signer_info::{Identifier, SignerInfo};
use super::{InspectError, Inspection, Level, Signer, SignerIdentifier, timestamp};
use crate::digest::to_hex;
use crate::pki::ber::hex;
use crate::pki::budget::Budget;
use crate::pki::certificate::read_name;
use crate::pki::oid;

type Result<T> = std::result::Result<T, InspectError>;

/// Most bytes of certificates and issuers that are described, counted again for each signer that uses them. Otherwise,
/// many signers with one huge certificate would fill the memory.
const MAX_DESCRIBED_BYTES: usize = 2 * 1024 * 1024;

/// Cost of describing a signer.
const TELL_NS: u64 = 10_000;

/// Describes a CMS in BER or DER.
///
/// # Errors
///
/// [`InspectError`] if it can't be read. No input causes a panic.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    inspect_within(bytes, &Budget::new())
}

/// Like [`inspect`], with the rest of a budget.
///
/// # Errors
///
/// As [`inspect`].
pub fn inspect_within(bytes: &[u8], budget: &Budget) -> Result<Inspection> {
    tell(&SignedData::read(bytes, budget)?, budget)
}

/// Like [`inspect_within`], for a parsed CMS.
pub(crate) fn tell(read: &SignedData<'_>, budget: &Budget) -> Result<Inspection> {
    let mut described_bytes = 0;
    let signers = read.signers.iter();
    let signers = signers.map(|info| signer(read, info, &mut described_bytes, budget));
    Ok(Inspection {
        detached: read.content.is_none(),
        signers: signers.collect::<Result<_>>()?,
        content_size: read.content.as_ref().map(|content| content.len() as u64),
        certificates: read.certificates.len(),
        revocations: read.count_revocations(budget)?,
        content_type: read.content_type.clone(),
    })
}

fn signer(
    read: &SignedData<'_>,
    info: &SignerInfo<'_>,
    described_bytes: &mut usize,
    budget: &Budget,
) -> Result<Signer> {
    budget.spend(TELL_NS)?;
    let certificate = read.certificate(info, budget);
    *described_bytes += match info.identifier {
        Identifier::IssuerAndSerial { issuer, serial } => issuer.len() + serial.len(),
        Identifier::Key(identifier) => identifier.len(),
    };
    *described_bytes += certificate.map_or(0, |certificate| certificate.der().len());
    if *described_bytes > MAX_DESCRIBED_BYTES {
        return Err(InspectError::Malformed(
            "its signers and their certificates are too large to read",
        ));
    }
    let countersigners = info.countersigners.iter();
    let countersignatures = countersigners.map(|info| signer(read, info, described_bytes, budget));
    Ok(Signer {
        identifier: identifier(info, budget)?,
        countersignatures: countersignatures.collect::<Result<_>>()?,
        certificate: certificate
            .map(|certificate| certificate.describe(budget))
            .transpose()?,
        digest_algorithm: info.digest_algorithm.describe(),
        signature_algorithm: info.signature_algorithm.describe(),
        signing_time_ms: signing_time_ms(info),
        timestamp_ms: timestamp_ms(info),
        level: level(read, info),
    })
}

fn identifier(info: &SignerInfo<'_>, budget: &Budget) -> Result<SignerIdentifier> {
    Ok(match info.identifier {
        Identifier::IssuerAndSerial { issuer, serial } => SignerIdentifier::IssuerAndSerial {
            issuer: read_name(issuer, budget)?,
            serial: hex(serial),
        },
        Identifier::Key(identifier) => SignerIdentifier::SubjectKeyIdentifier(to_hex(identifier)),
    })
}

/// The `signing-time` among the signed attributes. If a broken signer has several, the first one counts.
pub(super) fn signing_time_ms(info: &SignerInfo<'_>) -> Option<i64> {
    let attribute = info.signed_attributes(oid::SIGNING_TIME).next()?;
    attribute.values.first()?.time_ms()
}

/// The time of the signature's first readable time stamp.
fn timestamp_ms(info: &SignerInfo<'_>) -> Option<i64> {
    let mut tokens = info.unsigned_values(oid::SIGNATURE_TIMESTAMP);
    tokens.find_map(|token| Some(timestamp::read(token.raw)?.time_ms))
}

fn level(read: &SignedData<'_>, info: &SignerInfo<'_>) -> Level {
    let has = |oid: &str| info.unsigned_values(oid).next().is_some();
    let signed = [oid::SIGNING_CERTIFICATE, oid::SIGNING_CERTIFICATE_V2];
    if !signed
        .iter()
        .any(|oid| info.signed_attributes(oid).next().is_some())
    {
        Level::Cms
    } else if oid::ARCHIVE_TIMESTAMPS.iter().any(|oid| has(oid)) {
        Level::Lta
    } else if !has(oid::SIGNATURE_TIMESTAMP) {
        Level::B
    } else if read.tells_of_revocations() || has(oid::REVOCATION_VALUES) {
        // Baseline signatures have all revocation information in one place (clause 6.3).
        Level::Lt
    } else {
        Level::T
    }
}
