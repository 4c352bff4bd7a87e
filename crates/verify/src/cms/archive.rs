//! The time stamps of a signer: of the signature's value (RFC 3161 appendix A), and archive time stamps (ETSI EN 319
//! 122-1 clause 5.5.3, and before that TS 101 733 clause 6.4.1). Finds out what each of them covers, including other
//! time stamps.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use asn1_rs::Class;

use super::content::Content;
use super::hash_index::{Digests, Index};
use super::signed_data::SignedData;
use super::signer_info::{Attribute, SignerInfo};
use super::timestamp::{Along, MAX_TIMESTAMPS, Stamp, Token};
use super::verify::in_der;
use crate::digest::sha256;
use crate::pki::ber::{Reader, Value, tlv};
use crate::pki::budget::Budget;
use crate::pki::chain::Trust;
use crate::pki::hash::Hash;
use crate::pki::oid;

/// The parts that a CMS embeds for all of its signers, digested at most once with each algorithm.
pub(super) struct Embedded<'a> {
    read: &'a SignedData<'a>,
    budget: &'a Budget,
    /// Digests of the certificates, and of the revocation information.
    digests: RefCell<Vec<(Hash, Rc<[Digests; 2]>)>>,
}

/// A signer, and the parts that its time stamps may cover.
pub(super) struct Archived<'a> {
    embedded: &'a Embedded<'a>,
    read: &'a SignedData<'a>,
    signer: &'a SignerInfo<'a>,
    content: Option<&'a Content<'a>>,
    budget: &'a Budget,
}

/// A time stamp, and its place in the file.
struct PlacedStamp<'a> {
    /// The index of its attribute among the unsigned ones.
    attribute: usize,
    kind: Kind,
    value: &'a Value<'a>,
    token: Token<'a>,
}

/// The coverage of a time stamp.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The signature's value.
    Value,
    /// Version 2: everything that was present.
    All,
    /// Version 3: an index of everything that was present.
    Index,
}

impl Kind {
    fn of(attribute: &Attribute<'_>) -> Option<Self> {
        match attribute.oid.as_str() {
            oid::SIGNATURE_TIMESTAMP => Some(Self::Value),
            oid::ARCHIVE_TIMESTAMP_V2 => Some(Self::All),
            oid::ARCHIVE_TIMESTAMP_V3 => Some(Self::Index),
            _ => None,
        }
    }
}

impl<'a> Archived<'a> {
    pub(super) fn new(
        embedded: &'a Embedded<'a>,
        signer: &'a SignerInfo<'a>,
        content: Option<&'a Content<'a>>,
    ) -> Self {
        Self {
            embedded,
            read: embedded.read,
            signer,
            content,
            budget: embedded.budget,
        }
    }

    /// Its time stamps, in the order of the file; none without trust anchors, since no authority would count.
    pub(super) fn stamps(&self, trust: &Trust<'_>) -> Vec<Stamp<'a>> {
        if trust.anchors.is_empty() {
            return Vec::new();
        }
        let attributes = self.signer.unsigned.iter().enumerate();
        let stamps = attributes.filter_map(|(place, it)| Some((place, Kind::of(it)?, it)));
        let values = stamps.flat_map(|(place, kind, attribute)| {
            let values = attribute.values.iter();
            values.map(move |value| (place, kind, value))
        });
        let found = values
            .take(MAX_TIMESTAMPS)
            .filter_map(|(attribute, kind, value)| {
                Some(PlacedStamp {
                    attribute,
                    kind,
                    value,
                    token: Token::read(value.raw, self.budget)?,
                })
            });
        let found: Vec<_> = found.collect();
        let along: Vec<_> = found
            .iter()
            .map(|stamp| self.along(stamp, &found))
            .collect();
        let stamps = found.into_iter().zip(along);
        let stamps = stamps.map(|(PlacedStamp { token, .. }, along)| Stamp { token, along });
        stamps.collect()
    }

    /// The other parts that a stamp covers; none if it is not of this signature.
    fn along(&self, stamp: &PlacedStamp<'a>, all: &[PlacedStamp<'a>]) -> Option<Along> {
        match stamp.kind {
            Kind::Index => self.along_by_index(stamp, all),
            Kind::All => self.along_of_all(stamp, all),
            Kind::Value => {
                let imprint = &stamp.token.imprint;
                let fits = imprint.is_of(&self.signer.signature, self.budget);
                fits.then(Along::default)
            }
        }
    }

    /// Version 3 covers the content, the signer up to its signature, and an index of the other parts (ETSI EN 319 122-1
    /// clause 5.5.3).
    fn along_by_index(&self, stamp: &PlacedStamp<'a>, all: &[PlacedStamp<'a>]) -> Option<Along> {
        let imprint = &stamp.token.imprint;
        let hash = imprint.hash()?;
        let stamper = stamp.token.stamper()?;
        let versions = oid::HASH_INDICES.iter();
        let mut indices = versions.filter_map(|version| {
            let index = stamper.unsigned_values(version).next()?;
            Some((*version, index))
        });
        let (version, index) = indices.next()?;
        let content_type = self.read.parts.content_info.inside().next().ok()??;
        let content = self.content_digest(hash)?;
        let of = |signer: &[u8], index: &[u8]| {
            let stamped = [content_type.raw, &content, signer, index].concat();
            imprint.is_of(&stamped, self.budget)
        };
        let fits = of(self.signer.up_to_signature, index.raw)
            || of(&self.signer_in_der()?, &in_der(index.raw, self.budget)?);
        if !fits {
            return None;
        }
        let index = Index::read(index, self.budget)?;
        let embedded = self.embedded.digests(index.hash)?;
        let [certificates, revocations] = &*embedded;
        // A part that is no longer present can't be told from one that never was.
        if !index.certificates.is_subset(certificates) || !index.revocations.is_subset(revocations)
        {
            return None;
        }
        let by_value = version == oid::HASH_INDEX_V3;
        let mut left = index.attributes.clone();
        let mut along = Along::default();
        for certificate in &self.read.certificates {
            self.budget.spend(LOOK_NS).ok()?;
            let is_named = if index.hash == Hash::Sha256 {
                index.certificates.contains(certificate.sha256().as_slice())
            } else {
                let digest = digest(index.hash, certificate.der(), self.budget)?;
                index.certificates.contains(&digest)
            };
            if is_named {
                along.certificates.push(*certificate.sha256());
            }
        }
        for attribute in &self.signer.unsigned {
            let of_all = if by_value {
                None
            } else {
                Some(digest(index.hash, attribute.raw, self.budget)?)
            };
            for value in &attribute.values {
                let own;
                let digest = match &of_all {
                    Some(digest) => digest,
                    None => {
                        let stamped = [attribute.raw_oid, value.raw].concat();
                        own = digest(index.hash, &stamped, self.budget)?;
                        &own
                    }
                };
                if index.attributes.contains(digest) {
                    left.remove(digest);
                    along.add(value, all, self.signer);
                    if attribute.oid == oid::CERTIFICATE_VALUES {
                        along.add_certificates(value, self.budget)?;
                    }
                }
            }
        }
        left.is_empty().then_some(along)
    }

    /// The digest of the content. Without the content, it is the signed digest.
    fn content_digest(&self, hash: Hash) -> Option<Vec<u8>> {
        match self.content {
            Some(content) => content.digest(hash).ok(),
            None if self.signer.digest_algorithm.hash() == Some(hash) => {
                self.signer.message_digest().map(Cow::into_owned)
            }
            None => None,
        }
    }

    /// Version 2 covers everything that was present (TS 101 733 clause 6.4.1 and table K.3), with or without the header
    /// of the unsigned attributes (note 3 there).
    fn along_of_all(&self, stamp: &PlacedStamp<'a>, all: &[PlacedStamp<'a>]) -> Option<Along> {
        let imprint = &stamp.token.imprint;
        let is_older = |other: &PlacedStamp<'_>| other.token.time_ms() < stamp.token.time_ms();
        let later = all
            .iter()
            .filter(|other| other.kind != Kind::Value && !is_older(other));
        let left_out: HashSet<_> = later.map(|other| other.attribute).collect();
        let unsigned = &self.signer.unsigned;
        self.budget.spend_each(unsigned.len(), LOOK_NS).ok()?;
        let attributes = unsigned.iter().enumerate();
        let attributes: Vec<_> = attributes
            .filter(|(place, _)| !left_out.contains(place))
            .map(|(_, attribute)| attribute.raw)
            .collect();
        let parts = &self.read.parts;
        let outside = match self.read.content {
            None => self.content?.bytes(),
            Some(_) => &[],
        };
        let raw = |part: &Option<Value<'a>>| part.as_ref().map_or(&[][..], |part| part.raw);
        let before = [
            parts.content_info.raw,
            outside,
            raw(&parts.certificates),
            raw(&parts.revocations),
            self.signer.up_to_signature,
        ];
        let copied = before.iter().chain(&attributes).map(|part| part.len());
        self.budget.spend_each(copied.sum(), COPY_NS).ok()?;
        let attributes = attributes.concat();
        let mut stamped = before.concat();
        let length = stamped.len();
        let set = tlv(UNSIGNED, &attributes);
        let fits = [&set, &attributes].into_iter().any(|attributes| {
            stamped.truncate(length);
            stamped.extend_from_slice(attributes);
            imprint.is_of(&stamped, self.budget)
        });
        if !fits {
            return None;
        }
        let others = all.iter().enumerate();
        let older = others.filter(|(_, it)| is_older(it) && !left_out.contains(&it.attribute));
        let certificates = &self.read.certificates;
        self.budget.spend_each(certificates.len(), LOOK_NS).ok()?;
        let mut along = Along {
            stamps: older.map(|(place, _)| place).collect(),
            countersignatures: (0..self.signer.countersigners.len()).collect(),
            certificates: certificates.iter().map(|it| *it.sha256()).collect(),
        };
        for values in self.signer.unsigned_values(oid::CERTIFICATE_VALUES) {
            along.add_certificates(values, self.budget)?;
        }
        Some(along)
    }

    /// The signer up to its signature in DER. The stamp is over this, however the signer is encoded.
    fn signer_in_der(&self) -> Option<Vec<u8>> {
        let mut der = Vec::new();
        let mut fields = Reader::new(self.signer.up_to_signature);
        while let Some(field) = fields.next().ok()? {
            if field.is(Class::ContextSpecific, 0) && self.is_signed_set(&field) {
                let set = in_der(&tlv(SET, field.content()), self.budget)?;
                der.extend_from_slice(&tlv(SIGNED, Reader::new(&set).next().ok()??.content()));
            } else {
                der.extend_from_slice(&in_der(field.raw, self.budget)?);
            }
        }
        Some(der)
    }

    /// Whether this field is the signed attributes, and not the signer's key identifier.
    fn is_signed_set(&self, field: &Value<'_>) -> bool {
        let signed = self.signer.signed.as_ref();
        signed.is_some_and(|(_, set)| std::ptr::eq(set.raw, field.raw))
    }
}

impl<'a> Embedded<'a> {
    pub(super) fn new(read: &'a SignedData<'a>, budget: &'a Budget) -> Self {
        Self {
            read,
            budget,
            digests: RefCell::default(),
        }
    }

    fn digests(&self, hash: Hash) -> Option<Rc<[Digests; 2]>> {
        let mut known = self.digests.borrow_mut();
        if let Some((_, digests)) = known.iter().find(|(other, _)| *other == hash) {
            return Some(Rc::clone(digests));
        }
        let of = |part: &Option<Value<'a>>| {
            let mut digests = Digests::new();
            let mut inside = match part {
                Some(part) => part.inside(),
                None => return Some(digests),
            };
            while let Some(value) = inside.next().ok()? {
                digests.insert(digest(hash, value.raw, self.budget)?);
            }
            Some(digests)
        };
        let parts = &self.read.parts;
        let digests = Rc::new([of(&parts.certificates)?, of(&parts.revocations)?]);
        known.push((hash, Rc::clone(&digests)));
        Some(digests)
    }
}

fn digest(hash: Hash, bytes: &[u8], budget: &Budget) -> Option<Vec<u8>> {
    budget.spend_hash(hash, bytes.len()).ok()?;
    Some(hash.digest(bytes))
}

const SET: u8 = 0x31;
/// Tags of the signed and the unsigned attributes.
const SIGNED: u8 = 0xa0;
const UNSIGNED: u8 = 0xa1;
/// Cost of copying a byte, and of looking at an attribute.
const COPY_NS: u64 = 1;
const LOOK_NS: u64 = 20;

impl Along {
    /// Adds a value of an unsigned attribute, if it is a stamp or a countersignature.
    fn add(&mut self, value: &Value<'_>, stamps: &[PlacedStamp<'_>], signer: &SignerInfo<'_>) {
        let is_stamp = |other: &PlacedStamp<'_>| std::ptr::eq(other.value.raw, value.raw);
        self.stamps.extend(stamps.iter().position(is_stamp));
        let mut others = signer.countersigners.iter();
        let place = others.position(|other| std::ptr::eq(other.raw, value.raw));
        self.countersignatures.extend(place);
    }

    /// Adds the certificates of a `CertificateValues`.
    fn add_certificates(&mut self, values: &Value<'_>, budget: &Budget) -> Option<()> {
        let mut inside = values.inside();
        while let Some(certificate) = inside.next().ok()? {
            budget
                .spend_hash(Hash::Sha256, certificate.raw.len())
                .ok()?;
            self.certificates.push(sha256(certificate.raw));
        }
        Some(())
    }
}
