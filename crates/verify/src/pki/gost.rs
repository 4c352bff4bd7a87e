//! Signatures by GOST R 34.10-2012, the same as 34.10-2015, with 512 bits (RFC 7091), as Kazakhstan's authority makes them.
//! Nothing here is secret, so nothing need take the same time.

use std::sync::LazyLock;

use num_bigint::BigUint;

/// Bytes of a coordinate, a number and half a signature.
const BYTES: usize = 64;
const BITS: u64 = 512;
/// The field's prime is 2^512 minus this.
const PRIME_BELOW: u32 = 569;

/// The curve `id-tc26-gost-3410-2012-512-paramSetA` (RFC 7836 appendix A.1): y² = x³ - 3x + b.
struct Curve {
    /// The prime of the field.
    p: BigUint,
    b: BigUint,
    /// The order of the base point.
    q: BigUint,
    base: Point,
}

static CURVE: LazyLock<Curve> = LazyLock::new(|| {
    let hex = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap_or_default();
    Curve {
        p: (BigUint::from(1_u32) << BITS) - PRIME_BELOW,
        b: hex(
            "e8c2505dedfc86ddc1bd0b2b6667f1da34b82574761cb0e879bd081cfd0b6265ee3cb090f30d27614cb4574010da90dd862ef9d4ebee4761503190785a71c760",
        ),
        q: hex(
            "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff27e69532f48d89116ff22b8d4e0560609b4b38abfad2b85dcacdb1411f10b275",
        ),
        base: Point {
            x: BigUint::from(3_u32),
            y: hex(
                "7503cfe87a836ae3a61b8816e25450e6ce5e1c93acf1abc1778064fdcbefa921df1626be4fd036e93d75e6a50e3a41e98028fe5fc235f5b889a589cb5215f2a4",
            ),
            z: BigUint::from(1_u32),
        },
    }
});

/// A point in Jacobian coordinates, x/z² and y/z³; at infinity where z is 0.
#[derive(Debug, Clone)]
struct Point {
    x: BigUint,
    y: BigUint,
    z: BigUint,
}

/// Whether a signature of this digest holds (RFC 7091 section 6.2).
///
/// The key is x and y, each with its lowest byte first, and the digest is read in that way too; the signature is r and s in
/// that way, or s and r with their highest byte first, as some of the authority's own are.
pub(crate) fn verify(public_key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let (Some((x, y)), Some((first, second))) = (halves(public_key), halves(signature)) else {
        return false;
    };
    let key = Point {
        x: BigUint::from_bytes_le(x),
        y: BigUint::from_bytes_le(y),
        z: BigUint::from(1_u32),
    };
    if digest.len() != BYTES || !CURVE.has(&key) {
        return false;
    }
    let mut e = BigUint::from_bytes_le(digest) % &CURVE.q;
    if e == BigUint::ZERO {
        e = BigUint::from(1_u32);
    }
    let Some(v) = e.modinv(&CURVE.q) else {
        return false;
    };
    let spellings = [
        (
            BigUint::from_bytes_le(first),
            BigUint::from_bytes_le(second),
        ),
        (
            BigUint::from_bytes_be(second),
            BigUint::from_bytes_be(first),
        ),
    ];
    spellings.into_iter().any(|(r, s)| {
        let in_range = |number: &BigUint| *number > BigUint::ZERO && *number < CURVE.q;
        if !in_range(&r) || !in_range(&s) {
            return false;
        }
        let of_base = &s * &v % &CURVE.q;
        let of_key = (&CURVE.q - &r) * &v % &CURVE.q;
        let point = CURVE.sum_of_multiples(&of_base, &key, &of_key);
        CURVE.affine_x(&point).is_some_and(|x| x % &CURVE.q == r)
    })
}

fn halves(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    (bytes.len() == 2 * BYTES).then(|| bytes.split_at(BYTES))
}

impl Curve {
    /// A number below 2^1024 reduced: 2^512 is as much as 569.
    fn reduce(&self, number: BigUint) -> BigUint {
        let mut number = number;
        while number.bits() > BITS {
            let high = &number >> BITS;
            let low = number - (&high << BITS);
            number = high * PRIME_BELOW + low;
        }
        if number >= self.p {
            number -= &self.p;
        }
        number
    }

    fn mul(&self, a: &BigUint, b: &BigUint) -> BigUint {
        self.reduce(a * b)
    }

    fn sub(&self, a: &BigUint, b: &BigUint) -> BigUint {
        if a >= b { a - b } else { a + &self.p - b }
    }

    fn times(&self, a: &BigUint, factor: u32) -> BigUint {
        self.reduce(a * factor)
    }

    /// Whether a point whose z is 1 is on the curve.
    fn has(&self, point: &Point) -> bool {
        if point.x >= self.p || point.y >= self.p {
            return false;
        }
        let cubed = self.mul(&self.mul(&point.x, &point.x), &point.x);
        let right = self.reduce(self.sub(&cubed, &self.times(&point.x, 3)) + &self.b);
        self.mul(&point.y, &point.y) == right
    }

    fn double(&self, point: &Point) -> Point {
        // For a = -3: alpha = 3 (x - z²)(x + z²).
        let delta = self.mul(&point.z, &point.z);
        let gamma = self.mul(&point.y, &point.y);
        let beta = self.mul(&point.x, &gamma);
        let product = self.mul(&self.sub(&point.x, &delta), &self.reduce(&point.x + &delta));
        let alpha = self.times(&product, 3);
        let x = self.sub(&self.mul(&alpha, &alpha), &self.times(&beta, 8));
        let y = self.sub(
            &self.mul(&alpha, &self.sub(&self.times(&beta, 4), &x)),
            &self.times(&self.mul(&gamma, &gamma), 8),
        );
        let z = self.times(&self.mul(&point.y, &point.z), 2);
        Point { x, y, z }
    }

    fn add(&self, a: &Point, b: &Point) -> Point {
        if a.z == BigUint::ZERO {
            return b.clone();
        }
        if b.z == BigUint::ZERO {
            return a.clone();
        }
        let (a_z2, b_z2) = (self.mul(&a.z, &a.z), self.mul(&b.z, &b.z));
        let (u1, u2) = (self.mul(&a.x, &b_z2), self.mul(&b.x, &a_z2));
        let s1 = self.mul(&self.mul(&a.y, &b.z), &b_z2);
        let s2 = self.mul(&self.mul(&b.y, &a.z), &a_z2);
        let (h, r) = (self.sub(&u2, &u1), self.sub(&s2, &s1));
        if h == BigUint::ZERO {
            if r == BigUint::ZERO {
                return self.double(a);
            }
            return Point {
                x: BigUint::from(1_u32),
                y: BigUint::from(1_u32),
                z: BigUint::ZERO,
            };
        }
        let h2 = self.mul(&h, &h);
        let h3 = self.mul(&h2, &h);
        let u1_h2 = self.mul(&u1, &h2);
        let x = self.sub(&self.sub(&self.mul(&r, &r), &h3), &self.times(&u1_h2, 2));
        let y = self.sub(&self.mul(&r, &self.sub(&u1_h2, &x)), &self.mul(&s1, &h3));
        let z = self.mul(&self.mul(&h, &a.z), &b.z);
        Point { x, y, z }
    }

    /// `of_base` times the base point and `of_key` times the key, bit by bit together.
    fn sum_of_multiples(&self, of_base: &BigUint, key: &Point, of_key: &BigUint) -> Point {
        let both = self.add(&self.base, key);
        let mut sum = Point {
            x: BigUint::from(1_u32),
            y: BigUint::from(1_u32),
            z: BigUint::ZERO,
        };
        for bit in (0..of_base.bits().max(of_key.bits())).rev() {
            sum = self.double(&sum);
            match (of_base.bit(bit), of_key.bit(bit)) {
                (true, true) => sum = self.add(&sum, &both),
                (true, false) => sum = self.add(&sum, &self.base),
                (false, true) => sum = self.add(&sum, key),
                (false, false) => {}
            }
        }
        sum
    }

    /// The point's first coordinate; none at infinity.
    fn affine_x(&self, point: &Point) -> Option<BigUint> {
        let inverse = point.z.modinv(&self.p)?;
        Some(self.mul(&point.x, &self.mul(&inverse, &inverse)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn multiple(of_base: &BigUint) -> (BigUint, BigUint) {
        let point = CURVE.sum_of_multiples(of_base, &CURVE.base, &BigUint::ZERO);
        let inverse = point.z.modinv(&CURVE.p).unwrap();
        let inverse2 = CURVE.mul(&inverse, &inverse);
        let y = CURVE.mul(&point.y, &CURVE.mul(&inverse2, &inverse));
        (CURVE.mul(&point.x, &inverse2), y)
    }

    fn little(number: &BigUint) -> Vec<u8> {
        let mut bytes = number.to_bytes_le();
        bytes.resize(BYTES, 0);
        bytes
    }

    /// RFC 7091 section 6.1, with a number of the test's own where a random one belongs.
    fn sign(private: &BigUint, digest: &[u8], k: &BigUint) -> (BigUint, BigUint) {
        let e = BigUint::from_bytes_le(digest) % &CURVE.q;
        let r = multiple(k).0 % &CURVE.q;
        let s = (&r * private + k * e) % &CURVE.q;
        (r, s)
    }

    fn private() -> BigUint {
        BigUint::from_bytes_be(&[0x5a; 60])
    }

    /// The public key that `sign_with` signs for, as certificates have it.
    pub(in super::super) fn key() -> Vec<u8> {
        let (x, y) = multiple(&private());
        [little(&x), little(&y)].concat()
    }

    /// A signature of a digest, as the authority spells it.
    pub(in super::super) fn sign_with(digest: &[u8]) -> Vec<u8> {
        let (r, s) = sign(&private(), digest, &BigUint::from_bytes_be(&[0x3c; 62]));
        [little(&r), little(&s)].concat()
    }

    #[test]
    fn the_base_point_is_on_the_curve_and_of_its_order() {
        assert!(CURVE.has(&CURVE.base));
        let point = CURVE.sum_of_multiples(&CURVE.q, &CURVE.base, &BigUint::ZERO);
        assert_eq!(point.z, BigUint::ZERO);
    }

    #[test]
    fn a_signature_holds_for_its_key_and_digest_alone() {
        let private = BigUint::from_bytes_be(&[0x5a; 60]);
        let digest = [0x17; BYTES];
        let (r, s) = sign(&private, &digest, &BigUint::from_bytes_be(&[0x3c; 62]));
        let (x, y) = multiple(&private);
        let key = [little(&x), little(&y)].concat();
        let signature = [little(&r), little(&s)].concat();
        assert!(verify(&key, &digest, &signature));
        // As some production roots spell it.
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
        let zero = BigUint::ZERO;
        for (r, s) in [(&zero, &s), (&r, &zero), (&CURVE.q, &s), (&r, &CURVE.q)] {
            let signature = [little(r), little(s)].concat();
            assert!(!verify(&key, &digest, &signature));
        }
        assert!(!verify(&key[1..], &digest, &signature));
        assert!(!verify(&key, &digest[1..], &signature));
        assert!(!verify(&key, &digest, &signature[1..]));
    }
}
