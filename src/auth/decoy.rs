//! Verifications that always fail, made only for the time that they take: a token whose `kid` names no key must not be
//! refused sooner than one with a wrong signature.

use std::sync::LazyLock;

use jsonwebtoken as jwt;
use serde_json::json;
use sigpersist_model::key::Algorithm;

use super::key::new_key_pair;
use super::public_key::PublicKey;

/// The modulus of RFC 7515 appendix A.2.1, because generating one takes too long.
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

static RSA: LazyLock<Option<jwt::DecodingKey>> = LazyLock::new(|| {
    let jwk = json!({"kty": "RSA", "n": MODULUS, "e": "AQAB"});
    PublicKey::from_jwk(Algorithm::Rs256, &jwk)
        .and_then(|key| key.decoding_key())
        .ok()
});
static P256: LazyLock<Option<jwt::DecodingKey>> = LazyLock::new(|| made(Algorithm::Es256));
static P384: LazyLock<Option<jwt::DecodingKey>> = LazyLock::new(|| made(Algorithm::Es384));
static ED25519: LazyLock<Option<jwt::DecodingKey>> = LazyLock::new(|| made(Algorithm::EdDsa));
static SECRET: LazyLock<Option<jwt::DecodingKey>> =
    LazyLock::new(|| Some(jwt::DecodingKey::from_secret(&[0; 64])));

fn made(algorithm: Algorithm) -> Option<jwt::DecodingKey> {
    let (public, _) = new_key_pair(algorithm).ok()?;
    public.decoding_key().ok()
}

/// Takes as long as verifying the token with a key of this algorithm would. The result is ignored.
pub(super) fn verify(token: &str, algorithm: jwt::Algorithm) {
    use jwt::Algorithm as Jwt;
    let key = match algorithm {
        Jwt::HS256 | Jwt::HS384 | Jwt::HS512 => &SECRET,
        Jwt::ES256 => &P256,
        Jwt::ES384 => &P384,
        Jwt::EdDSA => &ED25519,
        _ => &RSA,
    };
    if let (Some(key), Some((message, signature))) = (&**key, token.rsplit_once('.')) {
        drop(std::hint::black_box(jwt::crypto::verify(
            signature,
            message.as_bytes(),
            key,
            algorithm,
        )));
    }
}
