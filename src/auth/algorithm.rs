//! The algorithms that tokens may be signed with.

use jsonwebtoken as jwt;

/// Signature algorithms of tokens (RFC 7518 section 3.1, RFC 8037). Never `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

// Spelt as in the `alg` header.
crate::words!(
    Algorithm,
    Hs256 = "HS256",
    Hs384 = "HS384",
    Hs512 = "HS512",
    Rs256 = "RS256",
    Ps256 = "PS256",
    Es256 = "ES256",
    Es384 = "ES384",
    EdDsa = "EdDSA"
);

impl Algorithm {
    const ALL: [Self; 8] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Ps256,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Length of a shared secret that is as strong as the hash (RFC 7518 section 3.2), in bytes; none for public keys.
    pub fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Hs256 => Some(32),
            Self::Hs384 => Some(48),
            Self::Hs512 => Some(64),
            _ => None,
        }
    }

    /// The algorithm with this name in the library; none if no key may be used with it.
    pub(super) fn from_jwt(algorithm: jwt::Algorithm) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|ours| ours.to_jwt() == algorithm)
    }

    pub(super) fn to_jwt(self) -> jwt::Algorithm {
        match self {
            Self::Hs256 => jwt::Algorithm::HS256,
            Self::Hs384 => jwt::Algorithm::HS384,
            Self::Hs512 => jwt::Algorithm::HS512,
            Self::Rs256 => jwt::Algorithm::RS256,
            Self::Ps256 => jwt::Algorithm::PS256,
            Self::Es256 => jwt::Algorithm::ES256,
            Self::Es384 => jwt::Algorithm::ES384,
            Self::EdDsa => jwt::Algorithm::EdDSA,
        }
    }
}
