//! ECDSA on named curves, by libraries; on the curve that no library supports, by [`super::weierstrass`].

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use bp256::{BrainpoolP256r1, BrainpoolP256t1};
use bp384::{BrainpoolP384r1, BrainpoolP384t1};
use ecdsa::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use ecdsa::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize};
use ecdsa::signature::hazmat::PrehashVerifier as _;
use ecdsa::{EcdsaCurve, Signature, VerifyingKey};
use num_bigint::BigUint;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::ber::{Reader, tlv, unsigned};
use super::weierstrass::{Curve as Weierstrass, Domain, Point};

/// The form of the two numbers of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In DER (RFC 3279 section 2.2.3).
    Der,
    /// Concatenated, each as long as the order (BSI TR-03111 section 5.2.1, XMLDSig 1.1 section 6.4.3).
    Plain,
}

/// A named curve (RFC 5480 section 2.1.1.1, RFC 5639 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
    BrainpoolP256r1,
    BrainpoolP256t1,
    BrainpoolP384r1,
    BrainpoolP384t1,
    BrainpoolP512r1,
}

/// RFC 5639 section 3.7.
const BRAINPOOL_P512R1: Domain = Domain {
    p: "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca703308717d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3",
    a: "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca",
    b: "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723",
    q: "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca70330870553e5c414ca92619418661197fac10471db1d381085ddaddb58796829ca90069",
    x: "81aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098eff3b1f78e2d0d48d50d1687b93b97d5f7c6d5047406a5e688b352209bcb9f822",
    y: "7dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111b2dcde494a5f485e5bca4bd88a2763aed1ca2b2fa8f0540678cd1e0f3ad80892",
};

impl Curve {
    /// The curve of an EC key; none if it is not supported.
    pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let parameters = key.algorithm.parameters.as_ref()?;
        Some(match parameters.as_oid().ok()?.to_id_string().as_str() {
            "1.2.840.10045.3.1.7" => Self::P256,
            "1.3.132.0.34" => Self::P384,
            "1.3.132.0.35" => Self::P521,
            "1.3.36.3.3.2.8.1.1.7" => Self::BrainpoolP256r1,
            "1.3.36.3.3.2.8.1.1.8" => Self::BrainpoolP256t1,
            "1.3.36.3.3.2.8.1.1.11" => Self::BrainpoolP384r1,
            "1.3.36.3.3.2.8.1.1.12" => Self::BrainpoolP384t1,
            "1.3.36.3.3.2.8.1.1.13" => Self::BrainpoolP512r1,
            _ => return None,
        })
    }

    /// The length in bytes of a field element, and of the order.
    fn bytes(self) -> usize {
        match self {
            Self::P256 | Self::BrainpoolP256r1 | Self::BrainpoolP256t1 => 32,
            Self::P384 | Self::BrainpoolP384r1 | Self::BrainpoolP384t1 => 48,
            Self::P521 => 66,
            Self::BrainpoolP512r1 => 64,
        }
    }

    /// The cost of verifying a signature, in nanoseconds.
    pub(super) fn cost_ns(self) -> u64 {
        match self {
            Self::P256 => 100_000,
            Self::P384 => 500_000,
            Self::P521 => 800_000,
            Self::BrainpoolP256r1 | Self::BrainpoolP256t1 => 1_000_000,
            Self::BrainpoolP384r1 | Self::BrainpoolP384t1 => 3_000_000,
            Self::BrainpoolP512r1 => 12_000_000,
        }
    }

    /// Whether a signature of a digest holds.
    ///
    /// ECDSA takes as many leftmost bits of the digest as the order of the curve has, as a number (FIPS 186-5 section
    /// 6.4.2). So any digest can be passed as one of the length that the library expects for the curve.
    pub(super) fn verify(self, key: &[u8], digest: &[u8], form: Form, signature: &[u8]) -> bool {
        let Some(plain) = self.plain(form, signature) else {
            return false;
        };
        let aws = |algorithm: &'static dyn VerificationAlgorithm, known| {
            let number = leftmost(digest, digest::Algorithm::output_len(known));
            let number = Digest::import_less_safe(&number, known);
            let key = UnparsedPublicKey::new(algorithm, key);
            number.is_ok_and(|number| key.verify_digest(&number, &plain).is_ok())
        };
        let number = leftmost(digest, self.bytes());
        match self {
            Self::P256 => aws(&signature::ECDSA_P256_SHA256_FIXED, &digest::SHA256),
            Self::P384 => aws(&signature::ECDSA_P384_SHA384_FIXED, &digest::SHA384),
            Self::P521 => aws(&signature::ECDSA_P521_SHA512_FIXED, &digest::SHA512),
            Self::BrainpoolP256r1 => holds::<BrainpoolP256r1>(key, &number, &plain),
            Self::BrainpoolP256t1 => holds::<BrainpoolP256t1>(key, &number, &plain),
            Self::BrainpoolP384r1 => holds::<BrainpoolP384r1>(key, &number, &plain),
            Self::BrainpoolP384t1 => holds::<BrainpoolP384t1>(key, &number, &plain),
            Self::BrainpoolP512r1 => holds_on(BRAINPOOL_P512R1, key, &number, &plain) == Some(true),
        }
    }

    /// The two numbers, concatenated; none if they are not encoded correctly.
    fn plain(self, form: Form, signature: &[u8]) -> Option<Vec<u8>> {
        let bytes = self.bytes();
        if form == Form::Plain {
            return (signature.len() == 2 * bytes).then(|| signature.to_vec());
        }
        let mut fields = Reader::new(signature).next().ok()??.inside();
        let mut plain = Vec::with_capacity(2 * bytes);
        let mut der = Vec::new();
        for _ in 0..2 {
            let content = fields.next().ok()??.content();
            let number = content.strip_prefix(&[0]).unwrap_or(content);
            plain.extend(vec![0; bytes.checked_sub(number.len())?]);
            plain.extend_from_slice(number);
            der.extend(tlv(0x02, &unsigned(number)));
        }
        // Only exact DER, with nothing after it.
        (tlv(0x30, &der) == signature).then_some(plain)
    }
}

/// The first bytes of a digest, as a number of this length.
fn leftmost(digest: &[u8], bytes: usize) -> Vec<u8> {
    let taken = &digest[..digest.len().min(bytes)];
    let mut number = vec![0; bytes - taken.len()];
    number.extend_from_slice(taken);
    number
}

fn holds<C>(key: &[u8], number: &[u8], plain: &[u8]) -> bool
where
    C: EcdsaCurve + CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let key = VerifyingKey::<C>::from_sec1_bytes(key);
    let signature = Signature::<C>::from_slice(plain);
    key.is_ok_and(|key| {
        signature.is_ok_and(|signature| key.verify_prehash(number, &signature).is_ok())
    })
}

/// Verifies by FIPS 186-5 section 6.4.2, on a curve whose order uses all bits of its bytes.
fn holds_on(domain: Domain, key: &[u8], number: &[u8], plain: &[u8]) -> Option<bool> {
    let curve = Weierstrass::new(domain);
    let big = BigUint::from_bytes_be;
    // An uncompressed point (SEC 1 section 2.3.4).
    let (x, y) = key.strip_prefix(&[4])?.split_at_checked(domain.bytes())?;
    let point = Point::new(big(x), big(y));
    let (r, s) = plain.split_at_checked(domain.bytes())?;
    let (r, s) = (big(r), big(s));
    if y.len() != domain.bytes()
        || !curve.has(&point)
        || !curve.is_scalar(&r)
        || !curve.is_scalar(&s)
    {
        return Some(false);
    }
    let inverse = s.modinv(&curve.q)?;
    let of_base = big(number) * &inverse % &curve.q;
    let of_key = &r * &inverse % &curve.q;
    Some(curve.combined(&of_base, &point, &of_key)? == r)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_that_no_library_has_is_sound() {
        super::super::weierstrass::tests::assert_sound(BRAINPOOL_P512R1);
    }
}
