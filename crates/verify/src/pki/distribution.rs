//! Places where revocation is published: those that a certificate names (RFC 5280 section 4.2.1.13), and the one that a
//! list names as its own (section 5.2.5).

use std::collections::HashSet;

use asn1_rs::{Class, Tag};

use super::ber::{Reader, Value};
use super::budget::Budget;
use super::general_name::{DIRECTORY_NAME, GeneralName};
use super::same_name::DistinguishedName;

/// Cost of reading a name, besides preparing it.
const READ_NS: u64 = 500;

/// All reasons for revoking a certificate: each bit of `ReasonFlags` but the first.
pub(super) const ALL_REASONS: u16 = 0b0111_1111_1000_0000;

/// `DistributionPointName`.
#[derive(Debug, Clone, Copy)]
pub(super) enum PlaceName<'a> {
    /// Names of the place, each of which is enough.
    Full(Reader<'a>),
    /// A part that is appended to the publisher's name.
    Relative(&'a [u8]),
}

/// A name for looking up: its form, and a spelling that is common to all its encodings.
type Key = (u32, Vec<u8>);

impl<'a> PlaceName<'a> {
    /// Reads the content of the explicit tag.
    pub(super) fn read(wrapper: &Value<'a>) -> Option<Self> {
        let name = wrapper.inside().next().ok()??;
        if name.is(Class::ContextSpecific, 0) {
            Some(Self::Full(name.inside()))
        } else {
            name.is(Class::ContextSpecific, 1)
                .then(|| Self::Relative(name.content()))
        }
    }

    /// The names of the place, with this publisher; none if they can't be read, or the budget is exhausted.
    pub(super) fn keys(
        &self,
        publisher: &DistinguishedName<'_>,
        budget: &Budget,
    ) -> Option<HashSet<Key>> {
        match *self {
            Self::Full(names) => keys(names, budget),
            Self::Relative(part) => {
                let name = publisher.key_with(part, budget)?;
                Some(HashSet::from([(DIRECTORY_NAME, name)]))
            }
        }
    }
}

/// Names in the form for looking up.
pub(super) fn keys(mut names: Reader<'_>, budget: &Budget) -> Option<HashSet<Key>> {
    let mut keys = HashSet::new();
    while let Some(name) = names.next().ok()? {
        budget.spend(READ_NS).ok()?;
        keys.insert(GeneralName::read(&name)?.key(budget)?);
    }
    Some(keys)
}

/// `DistributionPoint`.
#[derive(Debug, Default)]
pub(super) struct Point<'a> {
    pub(super) name: Option<PlaceName<'a>>,
    /// The reasons that the lists of this place cover.
    pub(super) reasons: u16,
    /// The publisher, if it is not the issuer.
    pub(super) publisher: Option<Reader<'a>>,
}

impl<'a> Point<'a> {
    /// Reads the extension of a certificate; skips what can't be read.
    pub(super) fn read_all(value: &'a [u8], budget: &Budget) -> Vec<Self> {
        let Ok(list) = Reader::new(value).expect(Tag::Sequence, "") else {
            return Vec::new();
        };
        let mut points = Vec::new();
        let mut all = list.inside();
        while let Ok(Some(point)) = all.next() {
            if budget.spend(READ_NS).is_err() {
                break;
            }
            points.extend(Self::read(&point));
        }
        points
    }

    fn read(point: &Value<'a>) -> Option<Self> {
        let mut fields = point.inside();
        let name = match fields.optional(0).ok()? {
            Some(wrapper) => Some(PlaceName::read(&wrapper)?),
            None => None,
        };
        let reasons = fields.optional(1).ok()?;
        let publisher = fields.optional(2).ok()?;
        Some(Self {
            name,
            reasons: reasons.map_or(Some(ALL_REASONS), |value| read_reasons(&value))?,
            publisher: publisher.map(|names| names.inside()),
        })
    }

    /// Whether an authority with this name publishes there for others.
    pub(super) fn is_published_by(&self, name: &DistinguishedName<'_>, budget: &Budget) -> bool {
        let Some(mut names) = self.publisher else {
            return false;
        };
        while let Ok(Some(one)) = names.next() {
            if budget.spend(READ_NS).is_err() {
                return false;
            }
            let one = GeneralName::read(&one);
            if one.is_some_and(|one| one.is_directory(name, budget)) {
                return true;
            }
        }
        false
    }
}

/// Reads `ReasonFlags`, the first bit highest.
pub(super) fn read_reasons(value: &Value<'_>) -> Option<u16> {
    let (_, bits) = value.content().split_first()?;
    let byte = |place: usize| u16::from(bits.get(place).copied().unwrap_or_default());
    Some((byte(0) << 8 | byte(1)) & ALL_REASONS)
}
