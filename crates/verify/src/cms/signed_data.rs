//! CMS `SignedData` (RFC 5652 section 5): its parts, as encoded in the file.

use std::borrow::Cow;
use std::collections::HashMap;

use asn1_rs::{Class, Tag};

use super::InspectError;
use super::signer_info::{Identifier, Reading, SignerInfo};
use crate::digest::sha256;
use crate::pki::ber::{Reader, Value};
use crate::pki::budget::Budget;
use crate::pki::certificate::Parsed;
use crate::pki::revocation::Evidence;
use crate::pki::{Malformed, oid};

type Result<T, E = Malformed> = std::result::Result<T, E>;
/// The type and content of a CMS; no content if the signature is detached.
type Content<'a> = (String, Option<Cow<'a, [u8]>>);

/// Most signers, certificates, attributes and the like that are read; no honest document has more.
pub(super) const MAX_ENTRIES: usize = 500;
/// Cost of reading a byte: outer values of indefinite length are searched for their end.
const BYTE_NS: u64 = 4;
/// Cost of reading a value.
const VALUE_NS: u64 = 250;

/// A parsed CMS.
#[derive(Debug)]
pub(crate) struct SignedData<'a> {
    /// OID of the content type.
    pub(super) content_type: String,
    /// The signed content; none if the signature is detached.
    pub(super) content: Option<Cow<'a, [u8]>>,
    pub(super) certificates: Vec<Parsed<'a>>,
    /// The parts that archive time stamps cover.
    pub(super) parts: Parts<'a>,
    pub(super) signers: Vec<SignerInfo<'a>>,
    /// Indices of certificates by issuer and serial number, and by key identifier.
    by_serial: HashMap<(&'a [u8], &'a [u8]), usize>,
    by_key: HashMap<&'a [u8], usize>,
}

/// Parts of a `SignedData`, as encoded.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The type and content, `encapContentInfo`.
    pub(super) content_info: Value<'a>,
    /// The certificates and the revocation information, with their tags.
    pub(super) certificates: Option<Value<'a>>,
    pub(super) revocations: Option<Value<'a>>,
}

impl<'a> SignedData<'a> {
    /// Parses a CMS in BER or DER.
    pub(crate) fn read(bytes: &'a [u8], budget: &Budget) -> Result<Self, InspectError> {
        budget.spend_each(bytes.len(), BYTE_NS)?;
        let signed_data = unwrap(bytes)?;
        let mut fields = signed_data.inside();
        let content_info = content_info(&mut fields)?;
        let (content_type, content) = read_content(&content_info)?;
        let parts = Parts {
            content_info,
            certificates: fields.optional(0)?,
            revocations: fields.optional(1)?,
        };
        let certificates = match &parts.certificates {
            Some(certificates) => Parsed::read_all(certificates.inside(), MAX_ENTRIES, budget)?,
            None => Vec::new(),
        };
        let (mut by_serial, mut by_key) = (HashMap::new(), HashMap::new());
        for (place, certificate) in certificates.iter().enumerate() {
            by_serial.entry(certificate.identity()).or_insert(place);
            if let Some(key) = certificate.key_identifier() {
                by_key.entry(key).or_insert(place);
            }
        }
        let mut reading = Reading::new(budget);
        let signer_infos = fields.expect(Tag::Set, "its SignedData has no set of signers")?;
        fields.end("its SignedData has extra data after the signers")?;
        Ok(Self {
            content_type,
            content,
            certificates,
            parts,
            signers: all(
                signer_infos.inside(),
                budget,
                "it has too many signers to read",
                |info| SignerInfo::read(&info, 0, &mut reading),
            )?,
            by_serial,
            by_key,
        })
    }

    /// SHA-256 of the content; none if the signature is detached.
    pub(crate) fn content_sha256(&self) -> Option<[u8; 32]> {
        self.content.as_deref().map(sha256)
    }

    /// The number of revocation lists and OCSP responses that it embeds.
    pub(super) fn count_revocations(&self, budget: &Budget) -> Result<usize> {
        let revocations = self.parts.revocations.as_ref();
        revocations.map_or(Ok(0), |revocations| count(revocations.inside(), budget))
    }

    /// Whether it embeds any revocation information, apart from what its signers add.
    pub(super) fn tells_of_revocations(&self) -> bool {
        let revocations = self.parts.revocations.as_ref();
        revocations.is_some_and(|revocations| !revocations.content().is_empty())
    }

    /// The revocation information that it embeds, including what signers and countersigners add.
    pub(super) fn evidence(&self, budget: &Budget) -> Evidence<'a> {
        let mut evidence = Evidence::default();
        if let Some(choices) = &self.parts.revocations {
            evidence.add_choices(choices.inside(), budget);
        }
        for signer in self.everybody() {
            for values in signer.unsigned_values(oid::REVOCATION_VALUES) {
                evidence.add_values(values, budget);
            }
        }
        evidence
    }

    /// Certificates that signers and countersigners add to those of the CMS.
    pub(super) fn added_certificates(&self, budget: &Budget) -> Vec<Parsed<'a>> {
        let everybody = self.everybody();
        let values = everybody.flat_map(|signer| signer.unsigned_values(oid::CERTIFICATE_VALUES));
        let mut added = Vec::new();
        for values in values {
            let left = MAX_ENTRIES.saturating_sub(added.len());
            let read = Parsed::read_all(values.inside(), left, budget);
            added.extend(read.unwrap_or_default());
        }
        added
    }

    /// All signers and countersigners.
    fn everybody(&self) -> impl Iterator<Item = &SignerInfo<'a>> {
        let mut waiting: Vec<_> = self.signers.iter().collect();
        std::iter::from_fn(move || {
            let next = waiting.pop()?;
            waiting.extend(&next.countersigners);
            Some(next)
        })
    }

    /// The certificate that a signer names, if it is embedded.
    pub(super) fn certificate(
        &self,
        signer: &SignerInfo<'a>,
        budget: &Budget,
    ) -> Option<&Parsed<'a>> {
        let place = match signer.identifier {
            Identifier::IssuerAndSerial { issuer, serial } => self.by_serial.get(&(issuer, serial)),
            Identifier::Key(identifier) => self.by_key.get(identifier),
        };
        match (place, &signer.identifier) {
            (Some(place), _) => self.certificates.get(*place),
            // The same name may be encoded differently (RFC 5280 section 7.1).
            (None, identifier @ Identifier::IssuerAndSerial { .. }) => {
                let mut certificates = self.certificates.iter();
                certificates.find(|certificate| identifier.names(certificate, budget))
            }
            (None, Identifier::Key(_)) => None,
        }
    }
}

/// Unwraps `ContentInfo { contentType = signedData, [0] content }`; anything else is not a CMS for us.
fn unwrap(bytes: &[u8]) -> Result<Value<'_>, InspectError> {
    let mut file = Reader::new(bytes);
    let Ok(Some(content_info)) = file.next() else {
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
    if !file.rest().iter().copied().all(is_padding) {
        return Err(InspectError::Malformed(
            "there is extra data after the signature: send a second signature separately",
        ));
    }
    let wrapper = fields
        .optional(0)?
        .ok_or(Malformed("its ContentInfo is empty"))?;
    fields.end("its ContentInfo has extra data after the SignedData")?;
    let mut wrapped = wrapper.inside();
    let signed_data = wrapped.expect(Tag::Sequence, "its SignedData is not a sequence")?;
    wrapped.end("its ContentInfo has extra data after the SignedData")?;
    Ok(signed_data)
}

/// Whether a byte after a CMS means nothing. PDF fills the space reserved for a CMS with zeros (ISO 32000-1 section
/// 12.8.3.3.1), as other programs do too, and editors end files with line breaks.
fn is_padding(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

/// Whether this is a CMS with signatures, even if it is broken.
pub(crate) fn is_signed_data(bytes: &[u8]) -> bool {
    !matches!(unwrap(bytes), Err(InspectError::NotCms))
}

/// The type and content of a CMS, without its signers.
pub(super) fn read_content_alone(bytes: &[u8]) -> Result<Content<'_>, InspectError> {
    let signed_data = unwrap(bytes)?;
    Ok(read_content(&content_info(&mut signed_data.inside())?)?)
}

/// Reads the first fields of a `SignedData`, and returns the one with the content.
fn content_info<'a>(fields: &mut Reader<'a>) -> Result<Value<'a>> {
    fields.expect(Tag::Integer, "its SignedData has no version")?;
    fields.expect(Tag::Set, "its SignedData names no digest algorithms")?;
    fields.expect(Tag::Sequence, "its SignedData has no content info")
}

fn read_content<'a>(content: &Value<'a>) -> Result<Content<'a>> {
    let mut fields = content.inside();
    let kind = fields.expect(Tag::Oid, "its content has no type")?.oid()?;
    let wrapper = fields.optional(0)?;
    fields.end("there is extra data after its content")?;
    let Some(wrapper) = wrapper else {
        return Ok((kind, None));
    };
    let mut inside = wrapper.inside();
    let content = match inside.next()? {
        Some(octets) if octets.is(Class::Universal, Tag::OctetString.0) => octets.octets()?,
        // PKCS#7 content of other types may be a value instead (RFC 5652 section 5.2.1). Its tag and length are not
        // signed, so only a sequence is accepted: another tag would go unnoticed.
        Some(value) if value.is_sequence() && kind != oid::DATA => Cow::Borrowed(value.content()),
        _ => return Err(Malformed("its content is not an octet string")),
    };
    inside.end("it has more than one content")?;
    Ok((kind, Some(content)))
}

pub(super) fn all<'a, T>(
    mut values: Reader<'a>,
    budget: &Budget,
    too_many: &'static str,
    mut read: impl FnMut(Value<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    while let Some(value) = values.next()? {
        if found.len() == MAX_ENTRIES {
            return Err(Malformed(too_many));
        }
        budget.spend(VALUE_NS)?;
        found.push(read(value)?);
    }
    Ok(found)
}

fn count(mut values: Reader<'_>, budget: &Budget) -> Result<usize> {
    let mut count = 0;
    while values.next()?.is_some() {
        budget.spend(VALUE_NS)?;
        count += 1;
    }
    Ok(count)
}
