//! The content that a CMS signs.

use std::cell::{OnceCell, RefCell};

use asn1_rs::Tag;

use super::signed_data::SignedData;
use crate::pki::ber::Reader;
use crate::pki::budget::Budget;
use crate::pki::hash::Hash;
use crate::pki::verdict::{Obstacle, UNKNOWN_ALGORITHM};
use crate::pki::{SubIndication, oid};

pub(super) const MISSING: Obstacle = Obstacle::unsure(
    SubIndication::SignedDataNotFound,
    "The signature is detached: give the signed content to verify it.",
);

/// Cost of finding out the type of an attribute.
const ATTRIBUTE_NS: u64 = 300;

/// The signed content, hashed at most once with each algorithm.
pub(crate) struct Content<'a> {
    bytes: &'a [u8],
    digests: RefCell<Vec<(Hash, Vec<u8>)>>,
    is_signed_attributes: OnceCell<bool>,
    budget: &'a Budget,
}

impl<'a> Content<'a> {
    pub(crate) fn new(bytes: &'a [u8], budget: &'a Budget) -> Self {
        Self {
            bytes,
            digests: RefCell::default(),
            is_signed_attributes: OnceCell::new(),
            budget,
        }
    }

    /// The content that a CMS signs: its own, or the given document.
    pub(super) fn of(
        read: &'a SignedData<'_>,
        document: Option<&'a [u8]>,
        budget: &'a Budget,
    ) -> Result<Self, Obstacle> {
        match (&read.content, document) {
            (Some(content), Some(document)) if **content != *document => Err(Obstacle::failed(
                SubIndication::HashFailure,
                "The content inside the signature differs from the content that was given.",
            )),
            (Some(content), _) => Ok(Self::new(content, budget)),
            (None, Some(document)) => Ok(Self::new(document, budget)),
            (None, None) => Err(MISSING),
        }
    }

    /// Whether the content reads as a set of signed attributes. Somebody's signature of such attributes would hold for
    /// this content, too.
    pub(super) fn is_signed_attributes(&self) -> bool {
        *self.is_signed_attributes.get_or_init(|| {
            let set = Reader::new(self.bytes).expect(Tag::Set, "");
            let Ok(mut attributes) = set.map(|set| set.inside()) else {
                return false;
            };
            while let Ok(Some(attribute)) = attributes.next() {
                let kind = attribute.inside().next();
                let kind = kind.ok().flatten().and_then(|kind| kind.oid().ok());
                if self.budget.spend(ATTRIBUTE_NS).is_err()
                    || kind.is_some_and(|kind| kind == oid::MESSAGE_DIGEST)
                {
                    return true;
                }
            }
            false
        })
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn digest(&self, hash: Hash) -> Result<Vec<u8>, Obstacle> {
        let mut digests = self.digests.borrow_mut();
        if let Some((_, known)) = digests.iter().find(|(other, _)| *other == hash) {
            return Ok(known.clone());
        }
        if self.budget.spend_hash(hash, self.bytes.len()).is_err() {
            return Err(UNKNOWN_ALGORITHM);
        }
        let digest = hash.digest(self.bytes);
        digests.push((hash, digest.clone()));
        Ok(digest)
    }
}
