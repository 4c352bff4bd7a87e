//! The time stamps of a signer: of the signature's value (RFC 3161 appendix A), and those that archive it all (ETSI EN 319 122-1
//! clause 5.5.3, and before that TS 101 733 clause 6.4.1); what each is of, and which others it stamps along.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use asn1_rs::{Class, Tag};

use super::content::Content;
use super::signed_data::{Attribute, SignedData, SignerInfo};
use super::timestamp::{Imprint, MAX_TIMESTAMPS, Stamp};
use super::verify::in_der;
use crate::pki::algorithm::AlgorithmIdentifier;
use crate::pki::ber::{Reader, Value, tlv};
use crate::pki::hash::Hash;
use crate::pki::oid;
use crate::pki::work::Work;

/// Digests by one algorithm, and what is found by them.
type Digests = HashSet<Vec<u8>>;

/// What a CMS embeds for all of its signers, digested at most once with each algorithm.
pub(super) struct Embedded<'a> {
    read: &'a SignedData<'a>,
    work: &'a Work,
    /// Of the certificates, and of what tells of revocations.
    digests: RefCell<Vec<(Hash, Rc<[Digests; 2]>)>>,
}

/// A signer, and what its time stamps are of.
pub(super) struct Archived<'a> {
    embedded: &'a Embedded<'a>,
    read: &'a SignedData<'a>,
    signer: &'a SignerInfo<'a>,
    content: Option<&'a Content<'a>>,
    work: &'a Work,
}

/// A time stamp's token, and where it stands.
struct Found<'a> {
    attribute: &'a Attribute<'a>,
    token: &'a Value<'a>,
    imprint: Imprint,
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
            work: embedded.work,
        }
    }

    /// Its time stamps, in the order of the file.
    pub(super) fn stamps(&self) -> Vec<Stamp<'a>> {
        let attributes = self.signer.unsigned.iter();
        let stamps = attributes.filter(|it| is_of_value(it) || is_archive(it));
        let tokens = stamps.flat_map(|attribute| {
            let values = attribute.values.iter();
            values.map(move |token| (attribute, token))
        });
        let found = tokens
            .take(MAX_TIMESTAMPS)
            .filter_map(|(attribute, token)| {
                let imprint = Imprint::read(token.raw, self.work)?;
                Some(Found {
                    attribute,
                    token,
                    imprint,
                })
            });
        let found: Vec<_> = found.collect();
        let stamps = found.iter().map(|stamp| {
            let covers = self.covered(stamp, &found);
            Stamp {
                token: stamp.token.raw,
                time_ms: stamp.imprint.time_ms,
                fits: covers.is_some(),
                covers: covers.unwrap_or_default(),
            }
        });
        stamps.collect()
    }

    /// Places of the others that a stamp stamps along; none where it is not of this signature.
    fn covered(&self, stamp: &Found<'a>, all: &[Found<'a>]) -> Option<Vec<usize>> {
        match stamp.attribute.oid.as_str() {
            oid::ARCHIVE_TIMESTAMP_V3 => self.covered_by_index(stamp, all),
            oid::ARCHIVE_TIMESTAMP_V2 => self.covered_by_all(stamp, all),
            _ => {
                let fits = stamp.imprint.is_of(&self.signer.signature, self.work);
                fits.then(Vec::new)
            }
        }
    }

    /// Version 3: of the content, the signer up to its signature, and an index of what else there was (ETSI EN 319 122-1 clause
    /// 5.5.3).
    fn covered_by_index(&self, stamp: &Found<'a>, all: &[Found<'a>]) -> Option<Vec<usize>> {
        let hash = stamp.imprint.hash()?;
        let token = SignedData::read(stamp.token.raw, self.work).ok()?;
        let [stamper] = token.signers.as_slice() else {
            return None;
        };
        let versions = oid::HASH_INDICES.iter();
        let mut indices = versions.filter_map(|version| {
            let index = stamper.unsigned_values(version).next()?;
            Some((*version, index))
        });
        let (version, index) = indices.next()?;
        let content_type = self.read.parts.content_info.inside().next().ok()??;
        let content = self.content?.digest(hash).ok()?;
        let of = |signer: &[u8], index: &[u8]| {
            let stamped = [content_type.raw, &content, signer, index].concat();
            stamp.imprint.is_of(&stamped, self.work)
        };
        let fits = of(self.signer.up_to_signature, index.raw)
            || of(&self.signer_in_der()?, &in_der(index.raw, self.work)?);
        if !fits {
            return None;
        }
        let index = Index::read(index)?;
        let embedded = self.embedded.digests(index.hash)?;
        let [certificates, revocations] = &*embedded;
        // What is not there any more can't be told from what never was.
        if !index.certificates.is_subset(certificates) || !index.revocations.is_subset(revocations)
        {
            return None;
        }
        let by_value = version == oid::HASH_INDEX_V3;
        let mut left = index.attributes.clone();
        let mut covers = Vec::new();
        for attribute in &self.signer.unsigned {
            for value in &attribute.values {
                let digest = if by_value {
                    digest(
                        index.hash,
                        &[attribute.raw_oid, value.raw].concat(),
                        self.work,
                    )?
                } else {
                    digest(index.hash, attribute.raw, self.work)?
                };
                if index.attributes.contains(&digest) {
                    left.remove(&digest);
                    covers.extend(
                        all.iter()
                            .position(|other| std::ptr::eq(other.token, value)),
                    );
                }
            }
        }
        left.is_empty().then_some(covers)
    }

    /// Version 2: of all that there was (TS 101 733 clause 6.4.1 and table K.3), with what the unsigned attributes begin with or
    /// without (note 3 there).
    fn covered_by_all(&self, stamp: &Found<'a>, all: &[Found<'a>]) -> Option<Vec<usize>> {
        let is_older = |other: &Found<'_>| other.imprint.time_ms < stamp.imprint.time_ms;
        let is_left_out = |attribute: &Attribute<'_>| {
            let mut stamps = all.iter().filter(|it| is_archive(it.attribute));
            stamps.any(|other| std::ptr::eq(other.attribute, attribute) && !is_older(other))
        };
        let attributes = self.signer.unsigned.iter();
        let attributes: Vec<_> = attributes
            .filter(|attribute| !is_left_out(attribute))
            .map(|attribute| attribute.raw)
            .collect();
        let attributes = attributes.concat();
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
        self.work
            .spend_each(before.iter().map(|part| part.len()).sum(), COPY_NS)
            .ok()?;
        let mut stamped = before.concat();
        let length = stamped.len();
        let set = tlv(UNSIGNED, &attributes);
        let fits = [&set, &attributes].into_iter().any(|attributes| {
            stamped.truncate(length);
            stamped.extend_from_slice(attributes);
            stamp.imprint.is_of(&stamped, self.work)
        });
        fits.then(|| {
            let older = all.iter().enumerate().filter(|(_, other)| is_older(other));
            older.map(|(place, _)| place).collect()
        })
    }

    /// The signer up to its signature in DER, which is what is stamped however it is encoded.
    fn signer_in_der(&self) -> Option<Vec<u8>> {
        let mut der = Vec::new();
        let mut fields = Reader::new(self.signer.up_to_signature);
        while let Some(field) = fields.next().ok()? {
            if field.is(Class::ContextSpecific, 0) && self.is_signed_set(&field) {
                let set = in_der(&tlv(SET, field.content()), self.work)?;
                der.extend_from_slice(&tlv(SIGNED, Reader::new(&set).next().ok()??.content()));
            } else {
                der.extend_from_slice(&in_der(field.raw, self.work)?);
            }
        }
        Some(der)
    }

    /// Whether this field is the signed attributes, and not the signer's key.
    fn is_signed_set(&self, field: &Value<'_>) -> bool {
        let signed = self.signer.signed.as_ref();
        signed.is_some_and(|(_, set)| std::ptr::eq(set.raw, field.raw))
    }
}

impl<'a> Embedded<'a> {
    pub(super) fn new(read: &'a SignedData<'a>, work: &'a Work) -> Self {
        Self {
            read,
            work,
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
                digests.insert(digest(hash, value.raw, self.work)?);
            }
            Some(digests)
        };
        let parts = &self.read.parts;
        let digests = Rc::new([of(&parts.certificates)?, of(&parts.revocations)?]);
        known.push((hash, Rc::clone(&digests)));
        Some(digests)
    }
}

fn digest(hash: Hash, bytes: &[u8], work: &Work) -> Option<Vec<u8>> {
    work.spend_hash(hash, bytes.len()).ok()?;
    Some(hash.digest(bytes))
}

const SET: u8 = 0x31;
/// Tags of the signed and the unsigned attributes.
const SIGNED: u8 = 0xa0;
const UNSIGNED: u8 = 0xa1;
/// What it costs to put a byte to others.
const COPY_NS: u64 = 1;
/// Most digests of one index.
const MAX_DIGESTS: usize = 2_000;

fn is_of_value(attribute: &Attribute<'_>) -> bool {
    attribute.oid == oid::SIGNATURE_TIMESTAMP
}

fn is_archive(attribute: &Attribute<'_>) -> bool {
    [oid::ARCHIVE_TIMESTAMP_V2, oid::ARCHIVE_TIMESTAMP_V3].contains(&attribute.oid.as_str())
}

/// What was there when the stamp was made: an `ATSHashIndex` of any version.
struct Index {
    hash: Hash,
    certificates: Digests,
    revocations: Digests,
    attributes: Digests,
}

impl Index {
    fn read(value: &Value<'_>) -> Option<Self> {
        let mut fields = value.inside();
        let mut first = fields.expect(Tag::Sequence, "").ok()?;
        let mut hash = Hash::Sha256;
        let first_inside = first.inside().next().ok()?;
        let is_algorithm = first_inside.is_some_and(|kind| kind.is(Class::Universal, Tag::Oid.0));
        if is_algorithm {
            hash = Hash::of(&AlgorithmIdentifier::read(&first).ok()?.oid)?;
            first = fields.expect(Tag::Sequence, "").ok()?;
        }
        let mut next = || fields.expect(Tag::Sequence, "").ok();
        let (second, third) = (next()?, next()?);
        let index = Self {
            hash: Some(hash).filter(|hash| !hash.is_weak())?,
            certificates: digests(&first)?,
            revocations: digests(&second)?,
            attributes: digests(&third)?,
        };
        Some(index)
    }
}

fn digests(list: &Value<'_>) -> Option<Digests> {
    let mut digests = Digests::new();
    let mut all = list.inside();
    while let Some(digest) = all.next().ok()? {
        if digests.len() == MAX_DIGESTS {
            return None;
        }
        digests.insert(digest.octets().ok()?.into_owned());
    }
    Some(digests)
}
