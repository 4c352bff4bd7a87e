//! A reader of ASN.1 values one after the other, definite or indefinite in length, without copying.

use std::borrow::Cow;

use asn1_rs::{Any, Class, FromBer as _, FromDer as _, Oid, Tag};
use x509_parser::time::ASN1Time;

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

    /// The next value, whatever it is; nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Value<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let before = self.rest;
        let (rest, any) =
            Any::from_ber(before).map_err(|_| Malformed("its ASN.1 is broken off or damaged"))?;
        let raw = before.get(..before.len() - rest.len()).unwrap_or(before);
        self.rest = rest;
        Ok(Some(Value { any, raw }))
    }

    /// The next value, which must be there and be of this universal type.
    pub(crate) fn expect(&mut self, tag: Tag, otherwise: &'static str) -> Result<Value<'a>> {
        match self.next()? {
            Some(value) if value.is(Class::Universal, tag.0) => Ok(value),
            _ => Err(Malformed(otherwise)),
        }
    }

    /// The next value, if it has this context-specific tag.
    pub(crate) fn optional(&mut self, tag: u32) -> Result<Option<Value<'a>>> {
        let mut ahead = *self;
        match ahead.next()? {
            Some(value) if value.is(Class::ContextSpecific, tag) => {
                *self = ahead;
                Ok(Some(value))
            }
            _ => Ok(None),
        }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn is(&self, class: Class, tag: u32) -> bool {
        self.any.class() == class && self.any.tag().0 == tag
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
        Oid::try_from(&self.any)
            .map(|oid| oid.to_id_string())
            .map_err(|_| Malformed("it has an object identifier that is none"))
    }

    /// The value as a time of either kind, in milliseconds since 1970.
    pub(crate) fn time_ms(&self) -> Option<i64> {
        let (_, time) = ASN1Time::from_der(self.raw).ok()?;
        Some(time.timestamp().saturating_mul(1000))
    }

    /// What an OCTET STRING holds, also where BER cuts it into pieces (X.690 section 8.7.3).
    pub(crate) fn octets(&self) -> Result<Cow<'a, [u8]>> {
        if !self.any.header.constructed() {
            return Ok(Cow::Borrowed(self.any.data));
        }
        let mut whole = Vec::new();
        let mut pieces = self.inside();
        while let Some(piece) = pieces.next()? {
            // Pieces of pieces are legal, and nobody makes them; their depth would be the sender's to choose.
            if piece.any.header.constructed() {
                return Err(Malformed("its content is cut into pieces of pieces"));
            }
            whole.extend_from_slice(piece.any.data);
        }
        Ok(Cow::Owned(whole))
    }
}

/// An INTEGER's bytes in hexadecimal; a leading zero byte, which only marks the sign, is left out.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => bytes,
    };
    to_hex(bytes)
}
