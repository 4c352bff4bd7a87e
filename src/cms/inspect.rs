//! What a CMS says of itself and its signers. Nothing is verified here.

use asn1_rs::FromDer as _;
use x509_parser::time::ASN1Time;

use super::ber::hex;
use super::certificate::read_name;
use super::signed_data::{AlgorithmIdentifier, Identifier, SignedData, SignerInfo};
use super::{Algorithm, InspectError, Inspection, Level, Signer, SignerIdentifier, oid, timestamp};
use crate::digest::to_hex;

type Result<T> = std::result::Result<T, InspectError>;

/// Most bytes of certificates and issuers that are described, counted again for each signer that uses them: many signers
/// with one huge certificate would otherwise fill the memory.
const MAX_DESCRIBED_BYTES: usize = 2 * 1024 * 1024;

/// Reads a CMS in BER or DER.
///
/// # Errors
///
/// [`InspectError`]; never a panic, whatever the bytes.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    let read = SignedData::read(bytes)?;
    let mut described_bytes = 0;
    let mut signers = Vec::with_capacity(read.signers.len());
    for info in &read.signers {
        let certificate = read.certificate(info);
        // All that is described of a signer but its certificate is inside of its own value.
        described_bytes += info.raw.len();
        described_bytes += certificate.map_or(0, |certificate| certificate.der().len());
        if described_bytes > MAX_DESCRIBED_BYTES {
            return Err(InspectError::Malformed(
                "its signers and their certificates are too large to read",
            ));
        }
        signers.push(Signer {
            identifier: identifier(info)?,
            certificate: certificate
                .map(|certificate| certificate.describe())
                .transpose()?,
            digest_algorithm: algorithm(&info.digest_algorithm),
            signature_algorithm: algorithm(&info.signature_algorithm),
            signing_time_ms: signing_time_ms(info),
            timestamp_ms: timestamp_ms(info),
            level: level(info),
            countersignatures: info.unsigned_values(oid::COUNTERSIGNATURE).count(),
        });
    }
    Ok(Inspection {
        detached: read.content.is_none(),
        content_type: read.content_type,
        content_size: read.content.as_ref().map(|content| content.len() as u64),
        signers,
        certificates: read.certificates.len(),
        revocations: read.revocations,
    })
}

fn identifier(info: &SignerInfo<'_>) -> Result<SignerIdentifier> {
    Ok(match info.identifier {
        Identifier::IssuerAndSerial { issuer, serial } => SignerIdentifier::IssuerAndSerial {
            issuer: read_name(issuer)?,
            serial: hex(serial),
        },
        Identifier::Key(identifier) => SignerIdentifier::SubjectKeyIdentifier(to_hex(identifier)),
    })
}

fn algorithm(algorithm: &AlgorithmIdentifier<'_>) -> Algorithm {
    oid::algorithm(algorithm.oid.clone())
}

/// The `signing-time` among signed attributes; the first one, where a broken signer put several.
pub(super) fn signing_time_ms(info: &SignerInfo<'_>) -> Option<i64> {
    let attribute = info.signed_attributes(oid::SIGNING_TIME).next()?;
    let (_, time) = ASN1Time::from_der(attribute.values.first()?.raw).ok()?;
    Some(time.timestamp().saturating_mul(1000))
}

/// The time of the signature's first time stamp that can be read.
fn timestamp_ms(info: &SignerInfo<'_>) -> Option<i64> {
    let mut tokens = info.unsigned_values(oid::SIGNATURE_TIMESTAMP);
    tokens.find_map(|token| Some(timestamp::read(token.raw)?.time_ms))
}

fn level(info: &SignerInfo<'_>) -> Level {
    let has = |oid: &str| info.unsigned_values(oid).next().is_some();
    let signed = [oid::SIGNING_CERTIFICATE, oid::SIGNING_CERTIFICATE_V2];
    if !signed
        .iter()
        .any(|oid| info.signed_attributes(oid).next().is_some())
    {
        Level::Cms
    } else if oid::ARCHIVE_TIMESTAMPS.iter().any(|oid| has(oid)) {
        Level::Lta
    } else if has(oid::REVOCATION_VALUES) {
        Level::Lt
    } else if has(oid::SIGNATURE_TIMESTAMP) {
        Level::T
    } else {
        Level::B
    }
}
