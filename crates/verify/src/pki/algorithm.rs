//! `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2).

use asn1_rs::Tag;

use super::ber::Value;
use super::{Algorithm, Malformed, oid};

/// An algorithm and its parameters.
#[derive(Debug, Clone)]
pub(crate) struct AlgorithmIdentifier<'a> {
    pub(crate) oid: String,
    /// The parameters' whole encoding.
    pub(crate) parameters: Option<&'a [u8]>,
}

impl<'a> AlgorithmIdentifier<'a> {
    pub(crate) fn read(algorithm: &Value<'a>) -> Result<Self, Malformed> {
        let mut fields = algorithm.inside();
        Ok(Self {
            oid: fields
                .expect(Tag::Oid, "an algorithm has no identifier")?
                .oid()?,
            parameters: fields.next()?.map(|parameters| parameters.raw),
        })
    }

    /// The same for people.
    pub(crate) fn describe(&self) -> Algorithm {
        oid::algorithm(self.oid.clone())
    }
}
