//! `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2).

use asn1_rs::Tag;

use super::ber::Value;
use super::hash::Hash;
use super::{Algorithm, Malformed, oid};

/// `id-shake256-len`, whose parameter is the number of output bits.
const SHAKE256_LEN: &str = "2.16.840.1.101.3.4.2.18";
const LENGTH_512: [u8; 4] = [2, 2, 2, 0];

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

    /// The hash algorithm itself, or the one that a signature algorithm uses. SHAKE256 with an explicit length is
    /// accepted with 512 bits, as Ed448 uses it (RFC 8419 section 2.3).
    pub(crate) fn hash(&self) -> Option<Hash> {
        match self.oid.as_str() {
            SHAKE256_LEN => (self.parameters == Some(&LENGTH_512)).then_some(Hash::Shake256),
            other => Hash::of(other),
        }
    }

    /// The algorithm as reports describe it.
    pub(crate) fn describe(&self) -> Algorithm {
        oid::algorithm(self.oid.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shake256_with_a_length_has_512_bits() {
        let hash = |oid: &str, parameters| {
            let oid = oid.to_owned();
            AlgorithmIdentifier { oid, parameters }.hash()
        };
        let length = |bytes: &'static [u8]| hash(SHAKE256_LEN, Some(bytes));
        assert_eq!(length(&[2, 2, 2, 0]), Some(Hash::Shake256));
        assert_eq!(length(&[2, 2, 1, 0]), None);
        assert_eq!(hash(SHAKE256_LEN, None), None);
        assert_eq!(hash("2.16.840.1.101.3.4.2.12", None), Some(Hash::Shake256));
    }
}
