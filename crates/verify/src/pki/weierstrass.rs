//! Arithmetic of elliptic curves that no maintained library supports: those of GOST R 34.10-2012, and the longest of
//! Brainpool. No input is secret, so nothing needs to take constant time.

use num_bigint::BigUint;

/// The numbers of a curve y² = x³ + ax + b over a prime field, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Domain {
    /// The prime of the field.
    pub(super) p: &'static str,
    pub(super) a: &'static str,
    pub(super) b: &'static str,
    /// The order of the base point.
    pub(super) q: &'static str,
    /// The base point.
    pub(super) x: &'static str,
    pub(super) y: &'static str,
}

impl Domain {
    /// The length in bytes of a field element.
    pub(super) fn bytes(self) -> usize {
        self.p.len() / 2
    }
}

/// A curve with parsed numbers.
pub(super) struct Curve {
    p: BigUint,
    a: BigUint,
    b: BigUint,
    pub(super) q: BigUint,
    base: Point,
}

/// A point in Jacobian coordinates, x/z² and y/z³. It is at infinity if z is 0.
#[derive(Debug, Clone)]
pub(super) struct Point {
    x: BigUint,
    y: BigUint,
    z: BigUint,
}

impl Point {
    /// The point with these affine coordinates.
    pub(super) fn new(x: BigUint, y: BigUint) -> Self {
        let z = BigUint::from(1_u32);
        Self { x, y, z }
    }

    fn infinity() -> Self {
        let one = || BigUint::from(1_u32);
        Self {
            x: one(),
            y: one(),
            z: BigUint::ZERO,
        }
    }

    fn is_infinity(&self) -> bool {
        self.z == BigUint::ZERO
    }
}

impl Curve {
    pub(super) fn new(domain: Domain) -> Self {
        let number = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap_or_default();
        Self {
            p: number(domain.p),
            a: number(domain.a),
            b: number(domain.b),
            q: number(domain.q),
            base: Point::new(number(domain.x), number(domain.y)),
        }
    }

    /// Whether a number may be part of a signature: it is above 0 and below the order.
    pub(super) fn is_scalar(&self, number: &BigUint) -> bool {
        *number > BigUint::ZERO && *number < self.q
    }

    /// Whether a point, not at infinity, is on the curve.
    pub(super) fn has(&self, point: &Point) -> bool {
        let Point { x, y, .. } = point;
        if *x >= self.p || *y >= self.p {
            return false;
        }
        let right = self.mul(&(self.mul(x, x) + &self.a), x) + &self.b;
        self.mul(y, y) == right % &self.p
    }

    /// The x coordinate, modulo the order, of `of_base` times the base point plus `of_key` times the key; none at
    /// infinity.
    pub(super) fn combined(
        &self,
        of_base: &BigUint,
        key: &Point,
        of_key: &BigUint,
    ) -> Option<BigUint> {
        let sum = self.sum_of_multiples(of_base, key, of_key);
        let (x, _) = self.affine(&sum)?;
        Some(x % &self.q)
    }

    fn mul(&self, a: &BigUint, b: &BigUint) -> BigUint {
        a * b % &self.p
    }

    fn sub(&self, a: &BigUint, b: &BigUint) -> BigUint {
        if a >= b { a - b } else { a + &self.p - b }
    }

    fn times(&self, a: &BigUint, factor: u32) -> BigUint {
        a * factor % &self.p
    }

    fn double(&self, point: &Point) -> Point {
        let y2 = self.mul(&point.y, &point.y);
        let z2 = self.mul(&point.z, &point.z);
        let s = self.times(&self.mul(&point.x, &y2), 4);
        let x2 = self.mul(&point.x, &point.x);
        let m = (x2 * 3_u32 + &self.a * self.mul(&z2, &z2)) % &self.p;
        let x = self.sub(&self.mul(&m, &m), &self.times(&s, 2));
        let y4 = self.times(&self.mul(&y2, &y2), 8);
        let y = self.sub(&self.mul(&m, &self.sub(&s, &x)), &y4);
        let z = self.times(&self.mul(&point.y, &point.z), 2);
        Point { x, y, z }
    }

    fn add(&self, a: &Point, b: &Point) -> Point {
        if a.is_infinity() {
            return b.clone();
        }
        if b.is_infinity() {
            return a.clone();
        }
        let (a_z2, b_z2) = (self.mul(&a.z, &a.z), self.mul(&b.z, &b.z));
        let (u1, u2) = (self.mul(&a.x, &b_z2), self.mul(&b.x, &a_z2));
        let s1 = self.mul(&self.mul(&a.y, &b.z), &b_z2);
        let s2 = self.mul(&self.mul(&b.y, &a.z), &a_z2);
        let (h, r) = (self.sub(&u2, &u1), self.sub(&s2, &s1));
        if h == BigUint::ZERO {
            return if r == BigUint::ZERO {
                self.double(a)
            } else {
                Point::infinity()
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

    /// Computes `of_base` times the base point plus `of_key` times the key, both bit by bit together.
    fn sum_of_multiples(&self, of_base: &BigUint, key: &Point, of_key: &BigUint) -> Point {
        let both = self.add(&self.base, key);
        let mut sum = Point::infinity();
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

    /// The affine coordinates of a point; none at infinity.
    fn affine(&self, point: &Point) -> Option<(BigUint, BigUint)> {
        let inverse = point.z.modinv(&self.p)?;
        let inverse2 = self.mul(&inverse, &inverse);
        let y = self.mul(&point.y, &self.mul(&inverse2, &inverse));
        Some((self.mul(&point.x, &inverse2), y))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A multiple of the base point.
    pub(in super::super) fn multiple(curve: &Curve, factor: &BigUint) -> (BigUint, BigUint) {
        let point = curve.sum_of_multiples(factor, &curve.base, &BigUint::ZERO);
        curve.affine(&point).unwrap()
    }

    /// Checks that the base point is on its curve and has the stated order.
    pub(in super::super) fn assert_sound(domain: Domain) {
        let curve = Curve::new(domain);
        assert!(curve.has(&curve.base), "{domain:?}");
        let at_order = curve.sum_of_multiples(&curve.q, &curve.base, &BigUint::ZERO);
        assert!(at_order.is_infinity(), "{domain:?}");
        assert!(curve.p.bits() as usize == domain.bytes() * 8, "{domain:?}");
    }
}
