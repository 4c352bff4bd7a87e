//! A signer of a CMS (RFC 5652 section 5.3) with its countersigners: its parts, as encoded in the file.

use std::borrow::Cow;

use asn1_rs::{Class, Tag};

use super::signed_data::{MAX_ENTRIES, all};
use crate::pki::algorithm::AlgorithmIdentifier;
use crate::pki::ber::Value;
use crate::pki::budget::Budget;
use crate::pki::certificate::Parsed;
use crate::pki::same_name::DistinguishedName;
use crate::pki::{Malformed, oid};

type Result<T> = std::result::Result<T, Malformed>;

/// Deepest nesting of countersignatures that is read; no honest document has more.
const MAX_DEPTH: u8 = 8;

/// A `SignerInfo` (RFC 5652 section 5.3).
#[derive(Debug)]
pub(super) struct SignerInfo<'a> {
    /// 0 for a signer of the content, 1 for a countersigner of such a signer, and so on.
    pub(super) depth: u8,
    pub(super) identifier: Identifier<'a>,
    pub(super) digest_algorithm: AlgorithmIdentifier<'a>,
    /// The signed attributes, and their encoding; none if the content alone is signed.
    pub(super) signed: Option<(Vec<Attribute<'a>>, Value<'a>)>,
    pub(super) signature_algorithm: AlgorithmIdentifier<'a>,
    pub(super) signature: Cow<'a, [u8]>,
    pub(super) unsigned: Vec<Attribute<'a>>,
    /// The whole encoding, and its content up to the signature.
    pub(super) raw: &'a [u8],
    pub(super) up_to_signature: &'a [u8],
    /// Countersigners of this signature (RFC 5652 section 11.4).
    pub(super) countersigners: Vec<Self>,
}

/// The identifier of a signer's certificate.
#[derive(Debug)]
pub(super) enum Identifier<'a> {
    /// As encoded: the whole name, and the content of the number.
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    /// The key identifier.
    Key(&'a [u8]),
}

impl Identifier<'_> {
    /// Whether the identifier names this certificate. It may name several.
    pub(super) fn names(&self, certificate: &Parsed<'_>, budget: &Budget) -> bool {
        match self {
            // The same name may be encoded differently (RFC 5280 section 7.1).
            Self::IssuerAndSerial { issuer, serial } => {
                budget.is_same(certificate.identity().1, serial)
                    && certificate
                        .issuer()
                        .is(&DistinguishedName::new(issuer), budget)
            }
            Self::Key(identifier) => {
                let own = certificate.key_identifier();
                own.is_some_and(|own| budget.is_same(own, identifier))
            }
        }
    }
}

/// An attribute of a signer, with its encoded values.
#[derive(Debug)]
pub(super) struct Attribute<'a> {
    pub(super) oid: String,
    /// The whole encoding, and that of the type.
    pub(super) raw: &'a [u8],
    pub(super) raw_oid: &'a [u8],
    pub(super) values: Vec<Value<'a>>,
}

/// Limits for reading signers.
pub(super) struct Reading<'w> {
    countersigners_left: usize,
    budget: &'w Budget,
}

impl<'w> Reading<'w> {
    pub(super) fn new(budget: &'w Budget) -> Self {
        Self {
            // A countersigner costs as much as a signer.
            countersigners_left: MAX_ENTRIES,
            budget,
        }
    }
}

impl<'a> SignerInfo<'a> {
    /// Reads a signer and all of its countersigners. `depth` is 0 for a signer of the content.
    pub(super) fn read(info: &Value<'a>, depth: u8, reading: &mut Reading<'_>) -> Result<Self> {
        let budget = reading.budget;
        if !info.is_sequence() {
            return Err(Malformed("a signer is not a sequence"));
        }
        let mut fields = info.inside();
        fields.expect(Tag::Integer, "a signer has no version")?;
        let identifier = match fields.next()? {
            Some(sid) if sid.is_sequence() => {
                let mut parts = sid.inside();
                let issuer = parts.expect(Tag::Sequence, "a signer's issuer is not a name")?;
                let serial = parts.expect(Tag::Integer, "a signer has no serial number")?;
                parts.end("a signer's reference to its certificate has extra data")?;
                Identifier::IssuerAndSerial {
                    issuer: issuer.raw,
                    serial: serial.content(),
                }
            }
            Some(key) if key.is(Class::ContextSpecific, 0) => Identifier::Key(key.content()),
            _ => {
                return Err(Malformed("a signer does not name its certificate"));
            }
        };
        let digest_algorithm = AlgorithmIdentifier::read(
            &fields.expect(Tag::Sequence, "a signer has no digest algorithm")?,
        )?;
        let signed = match fields.optional(0)? {
            Some(attributes) => Some((read_attributes(&attributes, budget)?, attributes)),
            None => None,
        };
        let signature_algorithm = AlgorithmIdentifier::read(
            &fields.expect(Tag::Sequence, "a signer has no signature algorithm")?,
        )?;
        let signature = fields
            .expect(Tag::OctetString, "a signer has no signature")?
            .octets()?;
        let up_to_signature = fields.read_of(info.content());
        let unsigned = match fields.optional(1)? {
            Some(attributes) => read_attributes(&attributes, budget)?,
            None => Vec::new(),
        };
        fields.end("a signer has extra data after its attributes")?;
        let countersigners = read_countersigners(&unsigned, depth, reading)?;
        let mut signed_along = signed.iter().flat_map(|(attributes, _)| attributes);
        if signed_along.any(|attribute| attribute.oid == oid::COUNTERSIGNATURE) {
            // Nobody can sign a signature before it is made (RFC 5652 section 11.4).
            return Err(Malformed(
                "a countersignature is among the signed attributes",
            ));
        }
        Ok(Self {
            depth,
            identifier,
            digest_algorithm,
            signed,
            signature_algorithm,
            signature,
            unsigned,
            raw: info.raw,
            up_to_signature,
            countersigners,
        })
    }

    /// The signed attributes of this type, repeated ones included.
    pub(super) fn signed_attributes(&self, oid: &str) -> impl Iterator<Item = &Attribute<'a>> {
        let signed = self.signed.iter().flat_map(|(attributes, _)| attributes);
        signed.filter(move |attribute| attribute.oid == oid)
    }

    /// The signed digest of the content. If a broken signer has several, the first one counts.
    pub(super) fn message_digest(&self) -> Option<Cow<'a, [u8]>> {
        let attribute = self.signed_attributes(oid::MESSAGE_DIGEST).next()?;
        attribute.values.first()?.octets().ok()
    }

    /// The values of all unsigned attributes of this type.
    pub(super) fn unsigned_values(&self, oid: &str) -> impl Iterator<Item = &Value<'a>> {
        let attributes = self.unsigned.iter();
        attributes
            .filter(move |attribute| attribute.oid == oid)
            .flat_map(|attribute| &attribute.values)
    }
}

fn read_countersigners<'a>(
    unsigned: &[Attribute<'a>],
    depth: u8,
    reading: &mut Reading<'_>,
) -> Result<Vec<SignerInfo<'a>>> {
    let values = unsigned
        .iter()
        .filter(|attribute| attribute.oid == oid::COUNTERSIGNATURE)
        .flat_map(|attribute| &attribute.values);
    let mut countersigners = Vec::new();
    for value in values {
        if depth == MAX_DEPTH {
            return Err(Malformed(
                "its countersignatures are nested too deeply to read",
            ));
        }
        let left = reading.countersigners_left.checked_sub(1);
        reading.countersigners_left =
            left.ok_or(Malformed("it has too many countersignatures to read"))?;
        // A countersignature that can't be read has not been judged. Leaving it out would say that there is none.
        countersigners.push(SignerInfo::read(value, depth + 1, reading)?);
    }
    Ok(countersigners)
}

fn read_attributes<'a>(attributes: &Value<'a>, budget: &Budget) -> Result<Vec<Attribute<'a>>> {
    all(
        attributes.inside(),
        budget,
        "a signer has too many attributes to read",
        |attribute| {
            if !attribute.is_sequence() {
                return Err(Malformed("an attribute of a signer is not a sequence"));
            }
            let mut parts = attribute.inside();
            let kind = parts.expect(Tag::Oid, "an attribute of a signer has no type")?;
            let values = parts.expect(Tag::Set, "an attribute of a signer has no values")?;
            parts.end("an attribute of a signer has extra data after its values")?;
            let values = all(
                values.inside(),
                budget,
                "an attribute of a signer has too many values to read",
                Ok,
            )?;
            Ok(Attribute {
                oid: kind.oid()?,
                raw: attribute.raw,
                raw_oid: kind.raw,
                values,
            })
        },
    )
}
