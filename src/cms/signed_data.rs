//! CMS `SignedData` (RFC 5652 section 5), as far as it tells who signed, with what and when.

use asn1_rs::{Class, FromDer as _, Tag};
use x509_parser::time::ASN1Time;

use super::ber::{Reader, Value, hex};
use super::certificate::{Embedded, read_name};
use super::{Algorithm, InspectError, Inspection, Signer, SignerIdentifier, oid};
use crate::digest::to_hex;

type Result<T> = std::result::Result<T, InspectError>;

/// Most signers and certificates that are read; no honest document has more.
const MAX_ENTRIES: usize = 500;
/// Most bytes of certificates and issuers that are described, counted again for each signer that uses them: many signers
/// with one huge certificate would otherwise fill the memory.
const MAX_DESCRIBED_BYTES: usize = 2 * 1024 * 1024;

/// Reads a CMS in BER or DER.
///
/// # Errors
///
/// [`InspectError`]; never a panic, whatever the bytes.
pub fn inspect(bytes: &[u8]) -> Result<Inspection> {
    let signed_data = signed_data(bytes)?;
    let mut fields = signed_data.inside();
    fields.expect(Tag::Integer, "its SignedData has no version")?;
    fields.expect(Tag::Set, "its SignedData names no digest algorithms")?;
    let content = fields.expect(Tag::Sequence, "its SignedData has no content info")?;
    let (content_type, content_size) = read_content(&content)?;
    let certificates = match fields.optional(0)? {
        Some(certificates) => Embedded::read_all(certificates.inside(), MAX_ENTRIES)?,
        None => Vec::new(),
    };
    fields.optional(1)?;
    let signer_infos = fields.expect(Tag::Set, "its SignedData has no set of signers")?;
    let mut signers = Vec::new();
    let mut described_bytes = 0;
    let mut infos = signer_infos.inside();
    while let Some(info) = infos.next()? {
        if signers.len() == MAX_ENTRIES {
            return Err(InspectError::Malformed("it has too many signers to read"));
        }
        signers.push(read_signer(&info, &certificates, &mut described_bytes)?);
    }
    Ok(Inspection {
        detached: content_size.is_none(),
        content_type,
        content_size,
        signers,
        certificates: certificates.len(),
    })
}

/// Unwraps `ContentInfo { contentType = signedData, [0] content }`; anything else is not a CMS for us.
fn signed_data(bytes: &[u8]) -> Result<Value<'_>> {
    let Ok(Some(content_info)) = Reader::new(bytes).next() else {
        return Err(InspectError::NotCms);
    };
    if !content_info.is_sequence() {
        return Err(InspectError::NotCms);
    }
    let mut fields = content_info.inside();
    match fields.next() {
        Ok(Some(kind)) if kind.oid().is_ok_and(|oid| oid == oid::SIGNED_DATA) => {}
        _ => return Err(InspectError::NotCms),
    }
    let wrapper = fields
        .optional(0)?
        .ok_or(InspectError::Malformed("its ContentInfo is empty"))?;
    wrapper
        .inside()
        .expect(Tag::Sequence, "its SignedData is no sequence")
}

fn read_content(content: &Value<'_>) -> Result<(String, Option<u64>)> {
    let mut fields = content.inside();
    let kind = fields.expect(Tag::Oid, "its content has no type")?.oid()?;
    let Some(wrapper) = fields.optional(0)? else {
        return Ok((kind, None));
    };
    // PKCS#7 content need not be an OCTET STRING (RFC 5652 section 5.2.1); then its encoding counts.
    let size = match wrapper.inside().next()? {
        Some(octets) if octets.is(Class::Universal, Tag::OctetString.0) => octets.octets()?,
        Some(other) => other.raw.len() as u64,
        None => 0,
    };
    Ok((kind, Some(size)))
}

fn read_signer(
    info: &Value<'_>,
    certificates: &[Embedded<'_>],
    described_bytes: &mut usize,
) -> Result<Signer> {
    let mut fields = info.inside();
    fields.expect(Tag::Integer, "a signer has no version")?;
    // All that is described of a signer but its certificate is inside of its own value.
    *described_bytes += info.raw.len();
    let (identifier, certificate) = match fields.next()? {
        Some(sid) if sid.is_sequence() => {
            let mut parts = sid.inside();
            let issuer = parts.expect(Tag::Sequence, "a signer's issuer is no name")?;
            let serial = parts.expect(Tag::Integer, "a signer has no serial number")?;
            let found = certificates
                .iter()
                .find(|certificate| certificate.is(issuer.raw, serial.content()));
            let identifier = SignerIdentifier::IssuerAndSerial {
                issuer: read_name(issuer.raw)?,
                serial: hex(serial.content()),
            };
            (identifier, found)
        }
        Some(ski) if ski.is(Class::ContextSpecific, 0) => {
            let found = certificates
                .iter()
                .find(|certificate| certificate.has_key_identifier(ski.content()));
            (
                SignerIdentifier::SubjectKeyIdentifier(to_hex(ski.content())),
                found,
            )
        }
        _ => {
            return Err(InspectError::Malformed(
                "a signer does not name its certificate",
            ));
        }
    };
    let digest_algorithm =
        read_algorithm(&fields.expect(Tag::Sequence, "a signer has no digest algorithm")?)?;
    let signing_time_ms = match fields.optional(0)? {
        Some(attributes) => read_signing_time(attributes.inside())?,
        None => None,
    };
    let signature_algorithm =
        read_algorithm(&fields.expect(Tag::Sequence, "a signer has no signature algorithm")?)?;
    *described_bytes += certificate.map_or(0, Embedded::len);
    if *described_bytes > MAX_DESCRIBED_BYTES {
        return Err(InspectError::Malformed(
            "its signers and their certificates are too large to read",
        ));
    }
    Ok(Signer {
        identifier,
        certificate: certificate.map(Embedded::describe).transpose()?,
        digest_algorithm,
        signature_algorithm,
        signing_time_ms,
    })
}

fn read_algorithm(algorithm: &Value<'_>) -> Result<Algorithm> {
    let oid = algorithm
        .inside()
        .expect(Tag::Oid, "an algorithm has no identifier")?
        .oid()?;
    Ok(oid::algorithm(oid))
}

/// The `signing-time` among signed attributes; the first one, where a broken signer put several.
fn read_signing_time(mut attributes: Reader<'_>) -> Result<Option<i64>> {
    while let Some(attribute) = attributes.next()? {
        let mut parts = attribute.inside();
        let kind = parts
            .expect(Tag::Oid, "a signed attribute has no type")?
            .oid()?;
        if kind != oid::SIGNING_TIME {
            continue;
        }
        let values = parts.expect(Tag::Set, "the signing time has no value")?;
        let Some(time) = values.inside().next()? else {
            return Ok(None);
        };
        return Ok(ASN1Time::from_der(time.raw)
            .ok()
            .map(|(_, time)| time.timestamp().saturating_mul(1000)));
    }
    Ok(None)
}
