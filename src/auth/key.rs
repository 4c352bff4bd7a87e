//! Keys at work: they verify and sign tokens, and new pairs are made.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use jsonwebtoken as jwt;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{Algorithm, StoredKey};
use sigpersist_runtime::vault::Vault;
use sigpersist_verify::pki::to_pem;
use zeroize::Zeroizing;

use super::public_key::PublicKey;

/// The key in the form that verifies tokens.
///
/// # Errors
///
/// [`Error::Internal`] if the secret can't be decrypted, [`Error::Refused`] if the PEM does not hold a key of the
/// algorithm, or there is no master key.
pub(super) fn decoding_key(key: &StoredKey, vault: Option<&Vault>) -> Result<jwt::DecodingKey> {
    match key.public_key() {
        Some(pem) => PublicKey::from_pem(key.algorithm, pem)?.decoding_key(),
        None => Ok(jwt::DecodingKey::from_secret(&open_secret(key, vault)?)),
    }
}

/// The key in the form that signs tokens.
///
/// # Errors
///
/// [`Error::Refused`] if the server can't sign with the key, [`Error::Internal`] if it can't be decrypted.
pub(super) fn encoding_key(key: &StoredKey, vault: Option<&Vault>) -> Result<jwt::EncodingKey> {
    let secret = open_secret(key, vault)?;
    if key.algorithm.secret_bytes().is_some() {
        return Ok(jwt::EncodingKey::from_secret(&secret));
    }
    let pem = Zeroizing::new(to_pem("PRIVATE KEY", &secret));
    let key = match key.algorithm {
        Algorithm::Rs256 | Algorithm::Ps256 => jwt::EncodingKey::from_rsa_pem(pem.as_bytes()),
        Algorithm::Es256 | Algorithm::Es384 => jwt::EncodingKey::from_ec_pem(pem.as_bytes()),
        _ => jwt::EncodingKey::from_ed_pem(pem.as_bytes()),
    };
    key.map_err(Error::internal)
}

/// Decrypts the part of the key that the vault has encrypted; wiped when dropped.
///
/// # Errors
///
/// [`Error::Refused`] for a public key, or without a master key; [`Error::Internal`] if it can't be decrypted.
pub fn open_secret(key: &StoredKey, vault: Option<&Vault>) -> Result<Zeroizing<Vec<u8>>> {
    let encrypted = key.encrypted().ok_or_else(|| {
        Error::refused("This key is public: its owner signs tokens with the private one.")
    })?;
    vault
        .ok_or_else(no_master_key)?
        .decrypt(encrypted, &key.binding())
}

/// The error for a server without a master key, which can neither store nor use shared secrets.
pub fn no_master_key() -> Error {
    Error::refused(
        "Shared secrets need a master key: make one with `openssl rand -hex 32 > master.key` and set SIGPERSIST_MASTER_KEY_FILE to that file.",
    )
}

/// Generates a key pair: the public key, and the private key as PKCS #8.
///
/// # Errors
///
/// [`Error::Refused`] for algorithms of shared secrets, [`Error::Internal`] if the machine can't generate one.
pub fn new_key_pair(algorithm: Algorithm) -> Result<(PublicKey, Zeroizing<Vec<u8>>)> {
    let made = match algorithm {
        Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::EdDsa => Ed25519KeyPair::generate().and_then(|pair| {
            let private = pair.to_pkcs8v1()?;
            parts(&pair.public_key().as_der()?, private.as_ref())
        }),
        // Considered strong enough beyond 2030 (NIST SP 800-57 part 1, table 2).
        Algorithm::Rs256 | Algorithm::Ps256 => {
            RsaKeyPair::generate(KeySize::Rsa3072).and_then(|pair| {
                let private: Pkcs8V1Der<'_> = pair.as_der()?;
                parts(&pair.public_key().as_der()?, private.as_ref())
            })
        }
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => {
            return Err(Error::refused("A shared secret is not a key pair."));
        }
    };
    let (public, private) = made.map_err(|_| Error::internal("a key pair can't be made"))?;
    Ok((PublicKey::from_der(algorithm, &public)?, private))
}

type Parts = (Vec<u8>, Zeroizing<Vec<u8>>);

fn ecdsa(
    algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm,
) -> Result<Parts, aws_lc_rs::error::Unspecified> {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let private = pair.to_pkcs8v1()?;
    parts(&pair.public_key().as_der()?, private.as_ref())
}

fn parts(
    public: &PublicKeyX509Der<'_>,
    private: &[u8],
) -> Result<Parts, aws_lc_rs::error::Unspecified> {
    Ok((public.as_ref().to_vec(), Zeroizing::new(private.to_vec())))
}
