//! The index of the parts that an archive time stamp of version 3 covers (ETSI EN 319 122-1 clause 5.5.2).

use std::collections::HashSet;

use asn1_rs::{Class, Tag};

use crate::pki::algorithm::AlgorithmIdentifier;
use crate::pki::ber::Value;
use crate::pki::budget::Budget;
use crate::pki::hash::Hash;

/// A set of digests by one algorithm.
pub(super) type Digests = HashSet<Vec<u8>>;

/// Most digests of one list.
const MAX_DIGESTS: usize = 2_000;
/// Cost of reading a digest.
const DIGEST_NS: u64 = 100;

/// The parts that were present when the stamp was made: an `ATSHashIndex` of any version.
pub(super) struct Index {
    pub(super) hash: Hash,
    pub(super) certificates: Digests,
    pub(super) revocations: Digests,
    pub(super) attributes: Digests,
}

impl Index {
    pub(super) fn read(value: &Value<'_>, budget: &Budget) -> Option<Self> {
        let digests = |list: &Value<'_>| digests(list, budget);
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

fn digests(list: &Value<'_>, budget: &Budget) -> Option<Digests> {
    let mut digests = Digests::new();
    let mut all = list.inside();
    while let Some(digest) = all.next().ok()? {
        budget.spend(DIGEST_NS).ok()?;
        if digests.len() == MAX_DIGESTS {
            return None;
        }
        digests.insert(digest.octets().ok()?.into_owned());
    }
    Some(digests)
}
