//! Comparison of distinguished names (RFC 5280 section 7.1). The encoding of strings, upper and lower case, and the
//! number of blanks do not matter.

use std::cell::OnceCell;

use asn1_rs::{Class, Tag};
use unicode_normalization::UnicodeNormalization as _;

use super::ber::{Reader, Value};
use super::budget::Budget;
use super::name::wide_text;

/// Cost of preparing a byte of a name: three bytes may stand for eighteen characters.
const BYTE_NS: u64 = 400;

/// A name as encoded, and in the form for comparing.
#[derive(Debug)]
pub(crate) struct DistinguishedName<'a> {
    der: &'a [u8],
    prepared: OnceCell<Vec<u8>>,
}

impl<'a> DistinguishedName<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self {
            der,
            prepared: OnceCell::new(),
        }
    }

    /// Whether the names are the same; false if the budget is exhausted.
    pub(crate) fn is(&self, other: &DistinguishedName<'_>, budget: &Budget) -> bool {
        if budget.is_same(self.der, other.der) {
            return true;
        }
        match (self.prepared(budget), other.prepared(budget)) {
            (Some(one), Some(other)) => budget.is_same(one, other),
            _ => false,
        }
    }

    /// Its encoding.
    pub(crate) fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether another name begins with the parts of this one; none if the budget is exhausted.
    pub(crate) fn contains(&self, name: &DistinguishedName<'_>, budget: &Budget) -> Option<bool> {
        // Each part begins with its length, so that a common beginning ends at a part.
        Some(name.prepared(budget)?.starts_with(self.prepared(budget)?))
    }

    /// A spelling that is common to all encodings of the name; none if the budget is exhausted.
    pub(crate) fn key(&self, budget: &Budget) -> Option<Vec<u8>> {
        let prepared = self.prepared(budget)?;
        budget.spend_each(prepared.len(), 1).ok()?;
        Some(prepared.to_vec())
    }

    /// Like [`Self::key`], with one more part: the content of a `RelativeDistinguishedName`.
    pub(crate) fn key_with(&self, part: &[u8], budget: &Budget) -> Option<Vec<u8>> {
        budget.spend_each(part.len(), BYTE_NS).ok()?;
        let mut key = self.key(budget)?;
        prepare_part(&mut key, Reader::new(part))?;
        Some(key)
    }

    fn prepared(&self, budget: &Budget) -> Option<&[u8]> {
        if self.prepared.get().is_none() {
            budget.spend_each(self.der.len(), BYTE_NS).ok()?;
        }
        let prepared = self.prepared.get_or_init(|| {
            // A value that is not a name equals only itself.
            prepare(self.der).unwrap_or_else(|| self.der.to_vec())
        });
        Some(prepared)
    }
}

/// The spelling that is common to all encodings of a name: parts in their order, attributes of one part sorted.
fn prepare(der: &[u8]) -> Option<Vec<u8>> {
    let mut prepared = Vec::with_capacity(der.len());
    let mut parts = Reader::new(der).expect(Tag::Sequence, "").ok()?.inside();
    while let Some(part) = parts.next().ok()? {
        prepare_part(&mut prepared, part.inside())?;
    }
    Some(prepared)
}

/// Appends a part with these attributes.
fn prepare_part(prepared: &mut Vec<u8>, mut all: Reader<'_>) -> Option<()> {
    let mut attributes = Vec::new();
    while let Some(attribute) = all.next().ok()? {
        let mut fields = attribute.inside();
        let kind = fields.expect(Tag::Oid, "").ok()?;
        let value = fields.next().ok()??;
        attributes.push((kind.content(), prepare_value(&value)));
    }
    attributes.sort();
    let count = u32::try_from(attributes.len()).ok()?;
    put(prepared, &count.to_be_bytes());
    for (kind, value) in attributes {
        put(prepared, kind);
        put(prepared, &value);
    }
    Some(())
}

/// Appends bytes with their length in front, so that their end is known.
fn put(prepared: &mut Vec<u8>, bytes: &[u8]) {
    prepared.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    prepared.extend_from_slice(bytes);
}

/// A string as RFC 4518 section 2 prepares it for comparing; any other value as encoded.
fn prepare_value(value: &Value<'_>) -> Vec<u8> {
    let Some(text) = text(value) else {
        return value.raw.to_vec();
    };
    // Composing first may yield characters to fold; folding may decompose, so that it is composed again.
    let folded = text.nfkc().flat_map(char::to_lowercase);
    let folded: String = folded.nfkc().collect();
    let words: Vec<_> = folded.split_whitespace().collect();
    // No encoding of a value begins with this byte.
    let mut prepared = vec![0];
    prepared.extend_from_slice(words.join(" ").as_bytes());
    prepared
}

/// The characters of a value that is a string (X.680 section 41).
fn text(value: &Value<'_>) -> Option<String> {
    let is = |tag: Tag| value.is(Class::Universal, tag.0);
    let bytes = value.content();
    if is(Tag::Utf8String) {
        String::from_utf8(bytes.to_vec()).ok()
    } else if [
        Tag::PrintableString,
        Tag::NumericString,
        Tag::Ia5String,
        Tag::VisibleString,
    ]
    .into_iter()
    .any(is)
    {
        bytes
            .is_ascii()
            .then(|| bytes.iter().copied().map(char::from).collect())
    } else {
        wide_text(value.any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::ber::tlv;

    /// A name of one part with one attribute, the common name.
    fn name(tag: u8, value: &[u8]) -> Vec<u8> {
        let attribute = [&[0x06, 3, 0x55, 4, 3][..], &tlv(tag, value)].concat();
        tlv(0x30, &tlv(0x31, &tlv(0x30, &attribute)))
    }

    fn are_same(one: &[u8], other: &[u8]) -> bool {
        let (one, other) = (DistinguishedName::new(one), DistinguishedName::new(other));
        one.is(&other, &Budget::new())
    }

    #[test]
    fn names_are_the_same_however_they_are_spelt() {
        let utf8 = |text: &str| name(0x0c, text.as_bytes());
        let bmp: Vec<u8> = "Ақ Жол".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (one, other, same) in [
            (utf8("Test CA"), name(0x13, b"Test CA"), true),
            (utf8("Test CA"), name(0x13, b"  test   cA "), true),
            (utf8("Ақ Жол"), name(0x1e, &bmp), true),
            (utf8("АҚ ЖОЛ"), name(0x1e, &bmp), true),
            (utf8("é"), name(0x14, &[0xe9]), true),
            (utf8("e\u{301}"), utf8("É"), true),
            (utf8("Test CA"), utf8("TestCA"), false),
            (utf8("Test CA"), utf8("Test CA 2"), false),
            // A value that is not a string, and a string of the same bytes.
            (name(0x04, b"x"), utf8("x"), false),
            (name(0x04, b"x"), name(0x04, b"X"), false),
        ] {
            assert_eq!(are_same(&one, &other), same, "{one:x?} {other:x?}");
        }
    }

    #[test]
    fn attributes_of_one_part_have_no_order_and_parts_have() {
        let attribute = |last: u8, value: &str| {
            let kind = [0x06, 3, 0x55, 4, last];
            tlv(0x30, &[&kind[..], &tlv(0x0c, value.as_bytes())].concat())
        };
        let (a, b) = (attribute(3, "a"), attribute(10, "b"));
        let together = |one: &[u8], other: &[u8]| tlv(0x30, &tlv(0x31, &[one, other].concat()));
        assert!(are_same(&together(&a, &b), &together(&b, &a)));
        let apart =
            |one: &[u8], other: &[u8]| tlv(0x30, &[tlv(0x31, one), tlv(0x31, other)].concat());
        assert!(!are_same(&apart(&a, &b), &apart(&b, &a)));
        assert!(!are_same(&apart(&a, &b), &together(&a, &b)));
    }
}
