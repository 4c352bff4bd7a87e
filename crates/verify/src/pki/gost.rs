//! Signatures by GOST R 34.10-2012 (RFC 7091), which is the same as 34.10-2015, in the forms of Kazakhstan's authority
//! and of Russia.

use num_bigint::BigUint;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ber::Reader;
use super::gost_curves::{A512, named};
use super::weierstrass::{Curve, Domain, Point};

/// OIDs of Kazakhstan's authority, for keys of 512 bits and for signatures with them.
pub(super) const KAZAKH: [&str; 2] = ["1.2.398.3.10.1.1.2.2", "1.2.398.3.10.1.1.2.3.2"];
/// `id-tc26-gost3410-12-256` and `-512` (RFC 9215 section 4).
pub(super) const RUSSIAN_256: &str = "1.2.643.7.1.1.1.1";
pub(super) const RUSSIAN_512: &str = "1.2.643.7.1.1.1.2";

/// The encoding of the two numbers of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// r and s in little-endian order, or s and r in big-endian order, as in some of the authority's own signatures.
    Kazakh,
    /// s and r in big-endian order (RFC 9215 section 2).
    Russian,
}

/// A public key.
pub(super) struct Key<'k> {
    domain: Domain,
    spelling: Spelling,
    /// x and y, each in little-endian order.
    coordinates: &'k [u8],
}

impl<'k> Key<'k> {
    /// Reads a key; none if its parameters are not supported.
    pub(super) fn read(key: &'k SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let kind = key.algorithm.algorithm.to_id_string();
        let (domain, spelling) = if KAZAKH.contains(&kind.as_str()) {
            (A512, Spelling::Kazakh)
        } else {
            let parameters = key.algorithm.parameters.as_ref()?;
            let curve = Reader::new(parameters.data).next().ok()??.oid().ok()?;
            (named(&curve)?, Spelling::Russian)
        };
        let bytes = if kind == RUSSIAN_256 { 32 } else { 64 };
        let bits = Reader::new(&key.subject_public_key.data).next().ok()??;
        (domain.bytes() == bytes).then_some(Self {
            domain,
            spelling,
            coordinates: bits.content(),
        })
    }

    /// The length in bytes of a coordinate, a digest and half a signature.
    pub(super) fn bytes(&self) -> usize {
        self.domain.bytes()
    }

    /// Whether a signature of this digest holds (RFC 7091 section 6.2). The digest is read in little-endian order.
    pub(super) fn verify(&self, digest: &[u8], signature: &[u8]) -> bool {
        let (Some((x, y)), Some((first, second))) =
            (self.halves(self.coordinates), self.halves(signature))
        else {
            return false;
        };
        let curve = Curve::new(self.domain);
        let key = Point::new(BigUint::from_bytes_le(x), BigUint::from_bytes_le(y));
        if digest.len() != self.bytes() || !curve.has(&key) {
            return false;
        }
        let (low, high) = (BigUint::from_bytes_le, BigUint::from_bytes_be);
        let russian = (high(second), high(first));
        match self.spelling {
            Spelling::Russian => holds(&curve, &key, digest, &russian),
            Spelling::Kazakh => {
                holds(&curve, &key, digest, &(low(first), low(second)))
                    || holds(&curve, &key, digest, &russian)
            }
        }
    }

    fn halves<'b>(&self, bytes: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
        (bytes.len() == 2 * self.bytes()).then(|| bytes.split_at(self.bytes()))
    }
}

fn holds(curve: &Curve, key: &Point, digest: &[u8], (r, s): &(BigUint, BigUint)) -> bool {
    let mut e = BigUint::from_bytes_le(digest) % &curve.q;
    if e == BigUint::ZERO {
        e = BigUint::from(1_u32);
    }
    let Some(v) = e.modinv(&curve.q) else {
        return false;
    };
    if !curve.is_scalar(r) || !curve.is_scalar(s) {
        return false;
    }
    let of_base = s * &v % &curve.q;
    let of_key = (&curve.q - r) * &v % &curve.q;
    curve.combined(&of_base, key, &of_key).as_ref() == Some(r)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::weierstrass::tests::multiple;
    use super::*;

    fn little(number: &BigUint) -> Vec<u8> {
        let mut bytes = number.to_bytes_le();
        bytes.resize(A512.bytes(), 0);
        bytes
    }

    /// Signs by RFC 7091 section 6.1, with the test's own number instead of a random one.
    fn sign(private: &BigUint, digest: &[u8], k: &BigUint) -> (BigUint, BigUint) {
        let curve = Curve::new(A512);
        let e = BigUint::from_bytes_le(digest) % &curve.q;
        let r = multiple(&curve, k).0 % &curve.q;
        let s = (&r * private + k * e) % &curve.q;
        (r, s)
    }

    fn private() -> BigUint {
        BigUint::from_bytes_be(&[0x5a; 60])
    }

    /// The public key for signatures of `sign_with`, as encoded in certificates.
    pub(in super::super) fn key() -> Vec<u8> {
        let (x, y) = multiple(&Curve::new(A512), &private());
        [little(&x), little(&y)].concat()
    }

    /// A signature of a digest, in the authority's encoding.
    pub(in super::super) fn sign_with(digest: &[u8]) -> Vec<u8> {
        let (r, s) = sign(&private(), digest, &BigUint::from_bytes_be(&[0x3c; 62]));
        [little(&r), little(&s)].concat()
    }

    fn verify(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
        let key = Key {
            domain: A512,
            spelling: Spelling::Kazakh,
            coordinates: key,
        };
        key.verify(digest, signature)
    }

    #[test]
    fn a_signature_holds_for_its_key_and_digest_alone() {
        const BYTES: usize = 64;
        let digest = [0x17; BYTES];
        let (key, signature) = (key(), sign_with(&digest));
        let (r, s) = sign(&private(), &digest, &BigUint::from_bytes_be(&[0x3c; 62]));
        assert!(verify(&key, &digest, &signature));
        // As some production roots encode it.
        let mut reversed = signature.clone();
        reversed.reverse();
        assert!(verify(&key, &digest, &reversed));
        let mut other = digest;
        other[0] ^= 1;
        assert!(!verify(&key, &other, &signature));
        for place in [0, BYTES - 1, BYTES, 2 * BYTES - 1] {
            let mut changed = signature.clone();
            changed[place] ^= 1;
            assert!(!verify(&key, &digest, &changed), "{place}");
            let mut off_the_curve = key.clone();
            off_the_curve[place] ^= 1;
            assert!(!verify(&off_the_curve, &digest, &signature), "{place}");
        }
        let q = Curve::new(A512).q;
        let zero = BigUint::ZERO;
        for (r, s) in [(&zero, &s), (&r, &zero), (&q, &s), (&r, &q)] {
            let signature = [little(r), little(s)].concat();
            assert!(!verify(&key, &digest, &signature));
        }
        assert!(!verify(&key[1..], &digest, &signature));
        assert!(!verify(&key, &digest[1..], &signature));
        assert!(!verify(&key, &digest, &signature[1..]));
    }

    /// The example of RFC 7091 section 7.1, on the curve for tests.
    #[test]
    fn the_example_of_the_standard_holds() {
        let domain = Domain {
            p: "8000000000000000000000000000000000000000000000000000000000000431",
            a: "7",
            b: "5fbff498aa938ce739b8e022fbafef40563f6e6a3472fc2a514c0ce9dae23b7e",
            q: "8000000000000000000000000000000150fe8a1892976154c59cfc193accf5b3",
            x: "2",
            y: "8e2a8a0e65147d4bd6316030e16d19c85c97f0a9ca267122b96abbcea7e8fc8",
        };
        super::super::weierstrass::tests::assert_sound(domain);
        let bytes = |hex: &str, reverse: bool| {
            let number = BigUint::parse_bytes(hex.as_bytes(), 16).unwrap();
            let mut bytes = number.to_bytes_le();
            bytes.resize(32, 0);
            if !reverse {
                bytes.reverse();
            }
            bytes
        };
        let coordinates = [
            bytes(
                "7f2b49e270db6d90d8595bec458b50c58585ba1d4e9b788f6689dbd8e56fd80b",
                true,
            ),
            bytes(
                "26f1b489d6701dd185c8413a977b3cbbaf64d1c593d26627dffb101a87ff77da",
                true,
            ),
        ]
        .concat();
        let key = Key {
            domain,
            spelling: Spelling::Russian,
            coordinates: &coordinates,
        };
        let digest = bytes(
            "2dfbc1b372d89a1188c09c52e0eec61fce52032ab1022e8e67ece6672b043ee5",
            true,
        );
        let signature = [
            bytes(
                "1456c64ba4642a1653c235a98a60249bcd6d3f746b631df928014f6c5bf9c40",
                false,
            ),
            bytes(
                "41aa28d2f1ab148280cd9ed56feda41974053554a42767b83ad043fd39dc0493",
                false,
            ),
        ]
        .concat();
        assert!(key.verify(&digest, &signature));
        // Kazakhstan's encoding is not accepted as Russia's.
        let mut reversed = signature.clone();
        reversed.reverse();
        assert!(!key.verify(&digest, &reversed));
        let mut other = signature;
        other[40] ^= 1;
        assert!(!key.verify(&digest, &other));
    }
}
