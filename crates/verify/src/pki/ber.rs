//! A reader of ASN.1 values in BER, of definite or indefinite length, without copying.

use std::borrow::Cow;

use asn1_rs::{Any, Class, FromBer as _, Header, Length, Oid, Tag};
use chrono::NaiveDateTime;

use super::Malformed;
use crate::digest::to_hex;

type Result<T> = std::result::Result<T, Malformed>;

/// Values that follow one another: the inside of a SEQUENCE or SET, or a whole file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// One value.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    any: Any<'a>,
    /// The value's whole encoding, header included.
    pub(crate) raw: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next value, of any type; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Value<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.rest;
        let (any, rest) = read(before).ok_or(DAMAGED)?;
        let raw = before.get(..before.len() - rest.len()).unwrap_or(before);
        self.rest = rest;
        Ok(Some(Value { any, raw }))
    }

    /// The bytes that have not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails if values are left: another program could read them as part of the signed data.
    pub(crate) fn end(&self, otherwise: &'static str) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed(otherwise))
        }
    }

    /// The part of `whole` that has been read; `whole` must end where this reader ends.
    pub(crate) fn read_of<'w>(&self, whole: &'w [u8]) -> &'w [u8] {
        let read = whole.len().saturating_sub(self.rest.len());
        whole.get(..read).unwrap_or(whole)
    }

    /// The next value, which must exist and have this universal tag.
    pub(crate) fn expect(&mut self, tag: Tag, otherwise: &'static str) -> Result<Value<'a>> {
        match self.next()? {
            Some(value) if value.is(Class::Universal, tag.0) => Ok(value),
            _ => Err(Malformed(otherwise)),
        }
    }

    /// The next value, if it has this context-specific tag.
    pub(crate) fn optional(&mut self, tag: u32) -> Result<Option<Value<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        // Reads only the header first: the end of the content may take long to find, and is not needed for a value with
        // another tag.
        let (_, header) = Header::from_ber(self.rest).map_err(|_| DAMAGED)?;
        if header.class() == Class::ContextSpecific && header.tag().0 == tag {
            self.next()
        } else {
            Ok(None)
        }
    }
}

/// Reads one value; returns it and the bytes after it.
fn read(bytes: &[u8]) -> Option<(Any<'_>, &[u8])> {
    let (after, header) = Header::from_ber(bytes).ok()?;
    let (content, rest) = match header.length() {
        Length::Definite(length) => after.split_at_checked(length)?,
        Length::Indefinite if header.constructed() => {
            let content = after.get(..length_to_end(after, MAX_OPEN_DEPTH)?)?;
            (content, after.get(content.len() + END.len()..)?)
        }
        Length::Indefinite => return None,
    };
    Some((Any::new(header, content), rest))
}

/// The length of content up to its end-of-contents: two zeros where a value would begin (X.690 section 8.1.5).
fn length_to_end(content: &[u8], depth: u8) -> Option<usize> {
    let left = depth.checked_sub(1)?;
    let mut rest = content;
    while !rest.starts_with(END) {
        let (length, after) = skip_header(rest)?;
        let length = match length {
            Some(length) => length,
            None => length_to_end(after, left)? + END.len(),
        };
        rest = after.get(length..)?;
    }
    Some(content.len() - rest.len())
}

/// The length of the value that begins here (none if indefinite), and the bytes after its header.
///
/// A file may have millions of values, each skipped up to `MAX_OPEN_DEPTH` times. `Header` would take ten times as
/// long.
fn skip_header(bytes: &[u8]) -> Option<(Option<usize>, &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    if first & 0x1f == 0x1f {
        let last = rest
            .iter()
            .take(MAX_TAG_BYTES)
            .position(|it| it & 0x80 == 0)?;
        rest = rest.get(last + 1..)?;
    }
    let (&length, rest) = rest.split_first()?;
    if length < 0x80 {
        return Some((Some(usize::from(length)), rest));
    }
    if length == 0x80 {
        let is_constructed = first & 0x20 != 0;
        return is_constructed.then_some((None, rest));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    let length = digits.iter().try_fold(0_usize, |length, &digit| {
        length.checked_mul(0x100)?.checked_add(usize::from(digit))
    })?;
    Some((Some(length), rest))
}

const DAMAGED: Malformed = Malformed("its ASN.1 is truncated or damaged");
const END: &[u8] = &[0, 0];
const MAX_TAG_BYTES: usize = 5;

impl<'a> Value<'a> {
    pub(crate) fn is(&self, class: Class, tag: u32) -> bool {
        self.any.class() == class && self.any.tag().0 == tag
    }

    /// The value as the library's own type, for callers that take nothing else.
    pub(crate) fn any(&self) -> &Any<'a> {
        &self.any
    }

    pub(crate) fn is_sequence(&self) -> bool {
        self.is(Class::Universal, Tag::Sequence.0)
    }

    /// The value's content, without its header.
    pub(crate) fn content(&self) -> &'a [u8] {
        self.any.data
    }

    /// The values inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader::new(self.any.data)
    }

    /// The value as an OBJECT IDENTIFIER in dotted form.
    pub(crate) fn oid(&self) -> Result<String> {
        // The library accepts any value as an object identifier.
        if !self.is(Class::Universal, Tag::Oid.0) {
            return Err(Malformed("it has an invalid object identifier"));
        }
        Ok(Oid::new(self.any.data.into()).to_id_string())
    }

    /// The value as a time of either kind, in milliseconds since 1970 (X.680 sections 46 and 47; RFC 5280 section 4.1.2.5 for
    /// the century).
    pub(crate) fn time_ms(&self) -> Option<i64> {
        let text = std::str::from_utf8(self.content()).ok()?;
        let text = if self.is(Class::Universal, Tag::UtcTime.0) {
            let century = if text < "50" { "20" } else { "19" };
            Cow::Owned(format!("{century}{text}"))
        } else if self.is(Class::Universal, Tag::GeneralizedTime.0) {
            Cow::Borrowed(text)
        } else {
            return None;
        };
        time_ms(&text)
    }

    /// The content of an OCTET STRING, joined if BER splits it into pieces (X.690 section 8.7.3).
    pub(crate) fn octets(&self) -> Result<Cow<'a, [u8]>> {
        if !self.any.header.constructed() {
            return Ok(Cow::Borrowed(self.any.data));
        }
        let mut whole = Vec::new();
        self.collect(&mut whole, MAX_PIECES_DEPTH)?;
        Ok(Cow::Owned(whole))
    }

    /// Appends the contents of the pieces, and of their pieces.
    fn collect(&self, whole: &mut Vec<u8>, depth: u8) -> Result<()> {
        if !self.any.header.constructed() {
            whole.extend_from_slice(self.any.data);
            return Ok(());
        }
        let left = depth.checked_sub(1);
        let left = left.ok_or(Malformed("the pieces of its content are nested too deeply"))?;
        let mut pieces = self.inside();
        while let Some(piece) = pieces.next()? {
            if !piece.is(Class::Universal, Tag::OctetString.0) {
                return Err(Malformed("a piece of its content is not an octet string"));
            }
            piece.collect(whole, left)?;
        }
        Ok(())
    }

    /// The value encoded anew in DER: lengths are definite, strings whole, and sets sorted (X.690 sections 10 and
    /// 11.6).
    pub(crate) fn to_der(&self) -> Result<Vec<u8>> {
        let mut der = Vec::with_capacity(self.raw.len());
        self.write_der(&mut der, MAX_DER_DEPTH)?;
        Ok(der)
    }

    fn write_der(&self, der: &mut Vec<u8>, depth: u8) -> Result<()> {
        if !self.any.header.constructed() {
            der.extend_from_slice(self.raw);
            return Ok(());
        }
        if self.is(Class::Universal, Tag::OctetString.0) {
            der.extend_from_slice(&tlv(0x04, &self.octets()?));
            return Ok(());
        }
        let left = depth.checked_sub(1);
        let left = left.ok_or(Malformed("its signed attributes are nested too deeply"))?;
        let mut members = Vec::new();
        let mut inside = self.inside();
        while let Some(member) = inside.next()? {
            let mut encoded = Vec::new();
            member.write_der(&mut encoded, left)?;
            members.push(encoded);
        }
        if self.is(Class::Universal, Tag::Set.0) {
            // X.690 compares members as if the shorter were padded with zeros. Slices sort alike, except members that
            // differ only in zeros at their ends.
            members.sort();
        }
        // Where this is needed, no constructed value has a tag of more than one byte.
        let first = self.raw.first().copied().unwrap_or_default();
        if first & 0x1f == 0x1f {
            return Err(Malformed(
                "its signed attributes have a tag that is too large",
            ));
        }
        der.extend_from_slice(&tlv(first, &members.concat()));
        Ok(())
    }
}

/// Deepest nesting of values of indefinite length.
const MAX_OPEN_DEPTH: u8 = 8;
/// Deepest nesting of pieces of strings, and of values that are encoded anew. The sender chooses how deep they nest.
const MAX_PIECES_DEPTH: u8 = 8;
const MAX_DER_DEPTH: u8 = 24;

/// Reads `YYYYMMDDHHMM[SS[.F…]]` with `Z` or an offset from UTC, as milliseconds since 1970.
fn time_ms(text: &str) -> Option<i64> {
    let at = text.find(['Z', '+', '-'])?;
    let (local, zone) = text.split_at_checked(at)?;
    let (seconds, fraction) = match local.split_once(['.', ',']) {
        Some((seconds, fraction)) => (seconds, fraction),
        None => (local, ""),
    };
    let format = match seconds.len() {
        12 => "%Y%m%d%H%M",
        14 => "%Y%m%d%H%M%S",
        _ => return None,
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let local = match NaiveDateTime::parse_from_str(seconds, format) {
        Ok(local) => local.and_utc().timestamp_millis(),
        Err(_) => return None,
    };
    let thousandths = fraction.bytes().chain([b'0'; 3]).take(3);
    let thousandths = thousandths.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let ahead_minutes = match zone.split_at_checked(1)? {
        ("Z", "") => 0,
        (sign, difference) if difference.len() == 4 && digits(difference) => {
            let difference: i64 = difference.parse().ok()?;
            let minutes = difference / 100 * 60 + difference % 100;
            if sign == "-" { -minutes } else { minutes }
        }
        _ => return None,
    };
    Some(local + thousandths - ahead_minutes * 60_000)
}

/// Encodes a value in DER.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<_> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut value = vec![tag];
    match (length.as_slice(), u8::try_from(length.len())) {
        ([], _) => value.push(0),
        ([short], _) if *short < 0x80 => value.push(*short),
        (long, Ok(bytes)) => {
            value.push(0x80 | bytes);
            value.extend_from_slice(long);
        }
        // No content is that long.
        (_, Err(_)) => {}
    }
    value.extend_from_slice(content);
    value
}

/// The bytes of an INTEGER in hexadecimal, without a leading zero byte that only marks the sign.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => bytes,
    };
    to_hex(bytes)
}

/// The content of an INTEGER for an unsigned number: its shortest two's complement.
pub(crate) fn unsigned(number: &[u8]) -> Vec<u8> {
    let digits = number.iter().copied().skip_while(|&byte| byte == 0);
    let mut bytes: Vec<u8> = digits.collect();
    if bytes.first().is_none_or(|&first| first >= 0x80) {
        bytes.insert(0, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_however_they_are_written() {
        let time = |tag, text: &str| {
            let value = tlv(tag, text.as_bytes());
            let value = Reader::new(&value).next().unwrap();
            value.and_then(|value| value.time_ms())
        };
        let [utc, generalized] = [0x17, 0x18];
        for (tag, text, ms) in [
            (utc, "260101120000Z", 1_767_268_800_000),
            (utc, "2601011200Z", 1_767_268_800_000),
            (utc, "260101170000+0500", 1_767_268_800_000),
            (utc, "700101000000Z", 0),
            (generalized, "20260101120000Z", 1_767_268_800_000),
            (generalized, "202601011200Z", 1_767_268_800_000),
            (generalized, "202601011700+0500", 1_767_268_800_000),
            (generalized, "20260101120000.5Z", 1_767_268_800_500),
            (generalized, "20260101120000.123456789Z", 1_767_268_800_123),
            (generalized, "20260101093000-0230", 1_767_268_800_000),
            (generalized, "99991231235959Z", 253_402_300_799_000),
        ] {
            assert_eq!(time(tag, text), Some(ms), "{text}");
        }
        for text in [
            "",
            "Z",
            "20260101120000",
            "20261301120000Z",
            "20260101120000.xZ",
            "20260101120000Zx",
            "20260101120000+05",
            "+0260101120000Z",
        ] {
            assert_eq!(time(generalized, text), None, "{text}");
        }
        assert_eq!(time(0x04, "20260101120000Z"), None);
    }

    #[test]
    fn values_of_unknown_length_end_at_two_zeros_alone() {
        let mut reader = Reader::new(&[0x30, 0x80, 0, 0, 7]);
        assert!(reader.next().unwrap().unwrap().content().is_empty());
        assert_eq!(reader.rest(), [7]);
        // Empty values of another class do not end a value.
        for inside in [
            &[0x30, 0x80, 0x80, 0, 5, 0, 0, 0][..],
            &[0x30, 0x80, 0xa0, 0, 5, 0, 0, 0],
        ] {
            let read = Reader::new(inside).next().unwrap().unwrap();
            assert_eq!(read.content(), &inside[2..6]);
        }
        // Long tags and lengths.
        let long = [&[0x30, 0x80, 0xbf, 0x81, 0x02, 0x82, 0, 2][..], &[0; 4]].concat();
        let value = Reader::new(&long).next().unwrap().unwrap();
        assert_eq!(value.content(), &long[2..10]);
        let nested: &[u8] = &[0x30, 0x80, 0x24, 0x80, 4, 1, 0, 0, 0, 0, 0, 9];
        let value = Reader::new(nested).next().unwrap().unwrap();
        assert_eq!((value.content(), value.raw), (&nested[2..9], &nested[..11]));
        for broken in [
            &[0x30, 0x80][..],
            &[0x30, 0x80, 0],
            &[0x30, 0x80, 4, 3, 0, 0],
            // A primitive value can't have an indefinite length.
            &[0x04, 0x80, 0, 0],
            &[0x30, 0x80, 0x04, 0x80, 0, 0, 0, 0],
            &[0x30, 3, 1, 1],
            &[0x30, 0x80, 4, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x30, 0x80, 0x1f, 0x81, 0x81, 0x81, 0x81, 0x81, 1, 0, 0, 0],
        ] {
            assert!(Reader::new(broken).next().is_err(), "{broken:x?}");
        }
        let deep = [0x30, 0x80].repeat(100_000);
        assert!(Reader::new(&deep).next().is_err());
    }

    #[test]
    fn values_are_written_with_the_shortest_length() {
        assert_eq!(tlv(4, &[]), [4, 0]);
        assert_eq!(tlv(4, &[7; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(0x31, &[7; 256])[..4], [0x31, 0x82, 1, 0]);
    }
}
