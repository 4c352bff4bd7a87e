//! Refuses public keys for which anybody could forge signatures.
//!
//! An RSA modulus is not factored in earnest. Instead, tests for all known faults of generators find a modulus that can
//! be factored in a second. A point of Ed25519 is tested with the equations of its curve.

use num_bigint::BigUint;

/// Accepted sizes of an RSA modulus, in bits. RFC 7518 section 3.3 sets the minimum, the cost of a verification the
/// maximum.
pub(super) const RSA_BITS: std::ops::RangeInclusive<u64> = 2048..=8192;
/// Greatest size of an RSA exponent, in bits: as much as the library accepts.
const MAX_EXPONENT_BITS: u64 = 33;
/// Upper bound of the primes that are tried as factors.
const SMALL_PRIMES: u32 = 1 << 16;
/// Rounds of Fermat's factorization. Enough for primes that were searched from the same start (CVE-2022-26320).
const FERMAT_ROUNDS: u32 = 100;
/// Largest of the primes that reveal keys of Infineon's library (CVE-2017-15361).
const ROCA_PRIMES: u32 = 167;

/// Checks the size of an RSA modulus and its exponent. The error says why the key is refused.
pub(super) fn refuse_rsa(modulus: &BigUint, exponent: &BigUint) -> Result<(), String> {
    let bits = modulus.bits();
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "The RSA key has {bits} bits: use one with {} to {} bits.",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    if !exponent.bit(0) || exponent.bits() < 2 || exponent.bits() > MAX_EXPONENT_BITS {
        return Err(format!(
            "The exponent of the RSA key must be odd, at least 3 and below 2^{MAX_EXPONENT_BITS}; 65537 is usual."
        ));
    }
    Ok(())
}

/// Checks whether the modulus of an RSA key is easy to factor. The error says why. Takes up to a second.
pub(super) fn refuse_factorable(modulus: &BigUint) -> Result<(), String> {
    let why = if has_small_factor(modulus) {
        "has a small factor"
    } else if is_of_infineon(modulus) {
        "is of the kind that Infineon's library made (ROCA)"
    } else if is_power(modulus) {
        "is a power of one number"
    } else if has_close_factors(modulus) {
        "has two factors that are close together"
    } else if is_prime(modulus) {
        "is a prime"
    } else {
        return Ok(());
    };
    Err(format!(
        "Anybody can forge tokens for this RSA key, because its modulus {why}: make a new key pair, with another program."
    ))
}

fn primes_below(bound: u32) -> Vec<u32> {
    let bound = bound as usize;
    let mut composite = vec![false; bound];
    let mut primes = Vec::new();
    for number in 2..bound {
        if !composite[number] {
            primes.extend(u32::try_from(number));
            for multiple in (number * number..bound).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    primes
}

/// The remainder of a division by a number that is not 0.
fn remainder(number: &BigUint, divisor: u64) -> u64 {
    (number % divisor).try_into().unwrap_or_default()
}

fn has_small_factor(modulus: &BigUint) -> bool {
    // The product of four primes below 2^16 fits into a divisor.
    primes_below(SMALL_PRIMES).chunks(4).any(|primes| {
        let product = primes.iter().map(|prime| u64::from(*prime)).product();
        let left = remainder(modulus, product);
        primes
            .iter()
            .any(|prime| left.is_multiple_of(u64::from(*prime)))
    })
}

/// Whether the modulus is a power of 65537 modulo every small prime, as products of Infineon's primes are.
fn is_of_infineon(modulus: &BigUint) -> bool {
    primes_below(ROCA_PRIMES + 1).into_iter().all(|prime| {
        let prime = u64::from(prime);
        let left = remainder(modulus, prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65_537 % prime;
            power == left
        })
    })
}

/// Whether the modulus is a power of a number that is not small.
fn is_power(modulus: &BigUint) -> bool {
    let roots = u32::try_from(modulus.bits()).unwrap_or(u32::MAX) / SMALL_PRIMES.ilog2();
    let mut exponents = primes_below(roots + 1).into_iter();
    exponents.any(|exponent| modulus.nth_root(exponent).pow(exponent) == *modulus)
}

/// Fermat's factorization: a² − n is a square after a few rounds if n = (a − b)(a + b) with a small b.
fn has_close_factors(modulus: &BigUint) -> bool {
    let first = modulus.sqrt();
    (0..FERMAT_ROUNDS).any(|round| {
        let half_sum = &first + round;
        let square = &half_sum * &half_sum;
        square >= *modulus && is_square(&(square - modulus))
    })
}

fn is_square(number: &BigUint) -> bool {
    // Only twelve of the remainders modulo 64 are those of squares.
    const SQUARES: u64 = 0x0202_0212_0203_0213;
    SQUARES >> remainder(number, 64) & 1 == 1 && {
        let root = number.sqrt();
        &root * &root == *number
    }
}

/// Fermat's primality test. Every prime passes it; a product of two large primes practically never does.
fn is_prime(modulus: &BigUint) -> bool {
    let one = BigUint::from(1_u32);
    BigUint::from(2_u32).modpow(&(modulus - &one), modulus) == one
}

/// Checks that this is a public key of Ed25519 (RFC 8032 section 5.1.3) for which only its owner can sign. The error
/// says why not.
pub(super) fn refuse_ed25519(point: &[u8]) -> Result<(), String> {
    let prime = (BigUint::from(1_u32) << 255_u32) - 19_u32;
    // −x² + y² = 1 + dx²y², where d = −121665/121666.
    let (a, b) = (BigUint::from(121_665_u32), BigUint::from(121_666_u32));
    let zero = BigUint::ZERO;
    let mut y = BigUint::from_bytes_le(point);
    // The highest bit is the sign of x.
    y.set_bit(255, false);
    let minus = |number: &BigUint| &prime - number % &prime;
    let square = &y * &y % &prime;
    let fourth = &square * &square % &prime;
    // Zero for points of order 1 or 2, of order 4, and of order 8, whose doubles are of order 4: dy⁴ + 2y² − 1 = 0.
    let of_order_two = (&square + minus(&BigUint::from(1_u32))) % &prime;
    let of_order_eight = (&a * &fourth + minus(&(&b * &square * 2_u32)) + &b) % &prime;
    if [&of_order_two, &(&y % &prime), &of_order_eight].contains(&&zero) {
        return Err(
            "Anybody can forge tokens for this Ed25519 key, because it is a point of small order: make a new key pair."
                .to_owned(),
        );
    }
    // x² = (y² − 1) / (dy² + 1) must have a root (Euler's criterion); both sides are multiplied by squares.
    let ratio = of_order_two * (&b + minus(&(&a * &square))) * &b % &prime;
    let half = (&prime - 1_u32) >> 1_u32;
    if point.len() != 32 || y >= prime || ratio.modpow(&half, &prime) != BigUint::from(1_u32) {
        return Err("The Ed25519 key is not a point on its curve.".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mersenne(exponent: u32) -> BigUint {
        (BigUint::from(1_u32) << exponent) - 1_u32
    }

    /// Two primes of RFC 7515 appendix A.2.1.
    fn primes() -> [BigUint; 2] {
        [
            "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
            "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
        ]
        .map(|text| {
            use base64::Engine as _;
            let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text);
            BigUint::from_bytes_be(&decoded.unwrap())
        })
    }

    #[test]
    fn a_modulus_that_is_easily_factored_is_refused() {
        let [p, q] = primes();
        let good = &p * &q;
        assert_eq!(refuse_factorable(&good), Ok(()));
        // The primorial modulo which Infineon's primes are powers of 65537, and a number that is such a power.
        let primorial: BigUint = primes_below(702).into_iter().map(BigUint::from).product();
        let power = BigUint::from(65_537_u32).modpow(&BigUint::from(9_999_u32), &primorial);
        let mut infineon = (1090_u32..).map(|shift| &power + (&primorial << shift));
        let infineon = infineon.find(|number| !has_small_factor(number)).unwrap();
        for (modulus, why) in [
            (&good + 1_u32, "small factor"),
            (mersenne(1279) * 65_521_u32, "small factor"),
            (mersenne(2048), "small factor"),
            (infineon, "Infineon"),
            (&p * &p, "power"),
            (mersenne(1279).pow(3), "power"),
            (mersenne(607).pow(5), "power"),
            (mersenne(2203), "prime"),
        ] {
            let refused = refuse_factorable(&modulus).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        // Fermat's method finds close factors even if they are no primes.
        assert!(has_close_factors(&(&p * (&p + 2_u32))));
        assert!(has_close_factors(
            &(&p * (&p + (BigUint::from(1_u32) << 510_u32)))
        ));
        assert!(!has_close_factors(&good));
        for factor in [2_u32, 3, 251, 65_521] {
            assert!(has_small_factor(&(&p * factor)), "{factor}");
        }
    }

    #[test]
    fn squares_are_told() {
        let squares: Vec<_> = (0_u32..5_000).filter(|n| is_square(&(*n).into())).collect();
        let expected: Vec<_> = (0..71).map(|root| root * root).collect();
        assert_eq!(squares, expected);
    }

    #[test]
    fn an_rsa_key_of_odd_numbers_is_refused() {
        let modulus = |bits: u32| mersenne(bits);
        let exponent = |number: u64| BigUint::from(number);
        for bits in [0, 1024, 2047, 8193, 16_384] {
            let refused = refuse_rsa(&modulus(bits), &exponent(65_537)).unwrap_err();
            assert!(refused.contains(&format!("{bits} bits")), "{refused}");
        }
        for number in [0, 1, 2, 65_536, 1 << 33, (1 << 40) + 15] {
            let refused = refuse_rsa(&modulus(2048), &exponent(number)).unwrap_err();
            assert!(refused.contains("exponent"), "{refused}");
        }
        for (bits, number) in [(2048, 3), (8192, 65_537), (3072, (1 << 33) - 1)] {
            assert_eq!(refuse_rsa(&modulus(bits), &exponent(number)), Ok(()));
        }
    }

    /// All encodings of the eight points, including those that are not canonical: with either sign, and with the prime
    /// added.
    #[test]
    fn points_of_small_order_are_refused() {
        let prime = mersenne(255) - 18_u32;
        let of_order_eight = BigUint::from_bytes_be(&[
            0x05, 0xfc, 0x53, 0x6d, 0x88, 0x02, 0x38, 0xb1, 0x39, 0x33, 0xc6, 0xd3, 0x05, 0xac,
            0xdf, 0xd5, 0xf0, 0x98, 0xef, 0xf2, 0x89, 0xf4, 0xc3, 0x45, 0xb0, 0x27, 0xb2, 0xc2,
            0x8f, 0x95, 0xe8, 0x26,
        ]);
        let mut tried = 0;
        for y in [
            BigUint::ZERO,
            BigUint::from(1_u32),
            &prime - 1_u32,
            &prime - &of_order_eight,
            of_order_eight,
        ] {
            for added in [y.clone(), &y + &prime] {
                if added.bits() > 255 {
                    continue;
                }
                for sign in [false, true] {
                    let mut encoded = added.clone();
                    encoded.set_bit(255, sign);
                    let mut point = encoded.to_bytes_le();
                    point.resize(32, 0);
                    let refused = refuse_ed25519(&point).unwrap_err();
                    assert!(refused.contains("small order"), "{y}: {refused}");
                    tried += 1;
                }
            }
        }
        assert_eq!(tried, 14);
    }

    #[test]
    fn half_of_all_numbers_are_points_and_canonical_ones_alone() {
        let points = (2_u8..250).filter(|first| {
            let mut point = [7; 32];
            point[0] = *first;
            refuse_ed25519(&point).is_ok()
        });
        assert!((90..160).contains(&points.count()));
        // 2 is no y of a point on the curve, 3 is one. 3 plus the prime is the same point in a forbidden encoding.
        let small = |y: u8| {
            let mut point = [0; 32];
            point[0] = y;
            refuse_ed25519(&point)
        };
        assert!(small(2).unwrap_err().contains("not a point"));
        assert_eq!(small(3), Ok(()));
        let mut beyond = [0xff; 32];
        beyond[31] = 0x7f;
        beyond[0] = 0xed + 3;
        assert!(refuse_ed25519(&beyond).unwrap_err().contains("not a point"));
    }
}
