//! Algorithms of tokens, as the JWT library names them.

use jsonwebtoken as jwt;
use sigpersist_model::key::Algorithm;

const ALL: [Algorithm; 8] = [
    Algorithm::Hs256,
    Algorithm::Hs384,
    Algorithm::Hs512,
    Algorithm::Rs256,
    Algorithm::Ps256,
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
];

/// Our algorithm for the library's; none if no key may be used with it.
pub(super) fn from_jwt(algorithm: jwt::Algorithm) -> Option<Algorithm> {
    ALL.into_iter().find(|ours| to_jwt(*ours) == algorithm)
}

/// The library's algorithm for ours.
pub(super) fn to_jwt(algorithm: Algorithm) -> jwt::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jwt::Algorithm::HS256,
        Algorithm::Hs384 => jwt::Algorithm::HS384,
        Algorithm::Hs512 => jwt::Algorithm::HS512,
        Algorithm::Rs256 => jwt::Algorithm::RS256,
        Algorithm::Ps256 => jwt::Algorithm::PS256,
        Algorithm::Es256 => jwt::Algorithm::ES256,
        Algorithm::Es384 => jwt::Algorithm::ES384,
        Algorithm::EdDsa => jwt::Algorithm::EdDSA,
    }
}
