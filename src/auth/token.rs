//! JSON Web Tokens: reading and verifying them as RFC 8725 demands, and issuing them for scripts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use jsonwebtoken as jwt;
use serde::{Deserialize, Serialize};

use super::Vault;
use super::algorithm::Algorithm;
use super::key::StoredKey;
use crate::config::AuthConfig;
use crate::context::Scope;
use crate::error::{Error, Result};

/// Longest token that is looked at, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Longest `kid`, in bytes.
pub const MAX_KID_BYTES: usize = 128;

/// What a verified token says. Unknown scopes are left out: they allow nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The `sub` claim.
    pub subject: Option<String>,
    /// What the token allows.
    pub scopes: Vec<Scope>,
    /// When it expires, with the skew that is forgiven.
    pub valid_until: DateTime<Utc>,
}

#[derive(Debug, Deserialize, Serialize)]
struct RawClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default)]
    scope: String,
    /// Seconds since 1970, which may have a fraction (RFC 7519 section 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<serde_json::Number>,
    exp: serde_json::Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<OneOrMany>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The `kid` of a token's header, before anything is verified.
///
/// # Errors
///
/// [`Error::InvalidToken`].
pub fn key_id(token: &str) -> Result<String> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::InvalidToken("it is too long"));
    }
    let header = jwt::decode_header(token)
        .map_err(|_| Error::InvalidToken("it is not a signed JWT with a known algorithm"))?;
    if header.crit.is_some() {
        // There are no extensions here that could be understood (RFC 7515 section 4.1.11).
        return Err(Error::InvalidToken("its header has critical extensions"));
    }
    match header.kid {
        Some(kid) if is_key_id(&kid) => Ok(kid),
        _ => Err(Error::InvalidToken("its header has no usable `kid`")),
    }
}

/// Whether a text may name a key: printable ASCII without spaces.
pub fn is_key_id(text: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Verifies a token with the key that its `kid` names.
///
/// `tenant_slug` is that of the key's tenant, none for the platform's keys. The algorithm is the key's, never the token's; keys embedded in the token's header are ignored.
///
/// # Errors
///
/// [`Error::InvalidToken`] or [`Error::ExpiredToken`].
pub fn verify(
    token: &str,
    algorithm: Algorithm,
    key: &jwt::DecodingKey,
    tenant_slug: Option<&str>,
    config: &AuthConfig,
) -> Result<Claims> {
    let mut validation = jwt::Validation::new(algorithm.to_jwt());
    validation.leeway = config.leeway_s;
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp"]);
    match &config.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        None => validation.validate_aud = false,
    }
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    let claims = jwt::decode::<RawClaims>(token, key, &validation)
        .map_err(|error| refusal(error.kind()))?
        .claims;
    let latest = now_s().saturating_add(config.leeway_s);
    // A number beyond f64 is no time either.
    let seconds = |time: serde_json::Number| time.as_f64().map_or(u64::MAX, |time| time as u64);
    let expires_s = seconds(claims.exp);
    if expires_s > latest.saturating_add(config.max_token_lifetime_s) {
        return Err(Error::InvalidToken(
            "it would be valid for longer than tokens may be here",
        ));
    }
    if claims.iat.is_some_and(|iat| seconds(iat) > latest) {
        return Err(Error::InvalidToken("it was issued in the future"));
    }
    if claims
        .tenant
        .is_some_and(|tenant| Some(tenant.as_str()) != tenant_slug)
    {
        return Err(Error::InvalidToken("it is for another tenant than its key"));
    }
    let valid_until_s = i64::try_from(expires_s.saturating_add(config.leeway_s));
    Ok(Claims {
        valid_until: valid_until_s
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .unwrap_or(DateTime::<Utc>::MAX_UTC),
        // Postgres can't store U+0000 in text.
        subject: claims.sub.map(|subject| subject.replace('\0', "\u{fffd}")),
        scopes: claims
            .scope
            .split(' ')
            .filter_map(|scope| scope.parse().ok())
            .collect(),
    })
}

/// Sentences of our own, since the library's may quote the token.
fn refusal(kind: &jwt::errors::ErrorKind) -> Error {
    use jwt::errors::ErrorKind;
    match kind {
        ErrorKind::ExpiredSignature => Error::ExpiredToken,
        ErrorKind::ImmatureSignature => Error::InvalidToken("it is not valid yet"),
        ErrorKind::InvalidSignature => Error::InvalidToken("its signature does not verify"),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            Error::InvalidToken("its algorithm is not the one of its key")
        }
        ErrorKind::InvalidIssuer => Error::InvalidToken("its issuer is not the one expected"),
        ErrorKind::InvalidAudience => Error::InvalidToken("its audience is not the one expected"),
        ErrorKind::MissingRequiredClaim(_) => Error::InvalidToken(
            "it lacks a required claim (`exp`, and `iss` and `aud` where they are configured)",
        ),
        _ => Error::InvalidToken("its claims can't be read"),
    }
}

/// Issues a token that a key of the server's signs.
///
/// # Errors
///
/// [`Error::Refused`] where the server can't sign with the key, or no master key is configured.
pub fn issue(
    key: &StoredKey,
    vault: Option<&Vault>,
    subject: Option<String>,
    scopes: &[Scope],
    lifetime: Duration,
    config: &AuthConfig,
) -> Result<String> {
    let now = now_s();
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    let claims = RawClaims {
        sub: subject,
        tenant: key.tenant.as_ref().map(|tenant| tenant.slug.to_string()),
        scope: scopes.join(" "),
        iat: Some(now.into()),
        exp: now.saturating_add(lifetime.as_secs()).into(),
        iss: config.issuer.clone(),
        aud: config.audience.clone().map(OneOrMany::One),
    };
    let mut header = jwt::Header::new(key.algorithm.to_jwt());
    header.kid = Some(key.kid.clone());
    let token =
        jwt::encode(&header, &claims, &key.encoding_key(vault)?).map_err(Error::internal)?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::refused(format!(
            "The token would be longer than the {MAX_TOKEN_BYTES} bytes that are taken: give a shorter subject."
        )));
    }
    Ok(token)
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn verified(token: &str) -> Result<Claims> {
        let key = jwt::DecodingKey::from_secret(SECRET);
        key_id(token)?;
        verify(
            token,
            Algorithm::Hs256,
            &key,
            Some("acme"),
            &AuthConfig::default(),
        )
    }

    fn signed(claims: &serde_json::Value) -> String {
        let mut header = jwt::Header::new(jwt::Algorithm::HS256);
        header.kid = Some("k".to_owned());
        jwt::encode(&header, claims, &jwt::EncodingKey::from_secret(SECRET)).unwrap()
    }

    proptest! {
        #[test]
        fn any_text_is_refused_as_a_token(
            token in prop_oneof![any::<String>(), "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}"],
        ) {
            prop_assert_eq!(verified(&token).unwrap_err().code(), "invalid_token");
        }

        /// Whatever a claim is set to, the token is valid or refused; with nothing odd in it, it says what it was made with.
        #[test]
        fn claims_mean_what_they_say(
            subject in any::<String>(),
            seconds in 60_u64..3_600,
            odd in prop_oneof![
                Just(serde_json::json!(null)),
                any::<f64>().prop_map(|number| serde_json::json!(number)),
                any::<String>().prop_map(|text| serde_json::json!(text)),
                any::<i64>().prop_map(|number| serde_json::json!([number])),
            ],
            claim in "(exp|nbf|iat|iss|aud|sub|tenant|scope|other)",
        ) {
            let mut claims = serde_json::json!({
                "sub": subject, "exp": now_s() + seconds, "scope": "signatures:read nothing", "tenant": "acme",
            });
            let valid = verified(&signed(&claims)).unwrap();
            prop_assert_eq!(valid.subject.as_deref(), Some(&*subject));
            prop_assert_eq!(valid.scopes, [Scope::SignaturesRead]);
            claims[claim] = odd;
            if let Err(error) = verified(&signed(&claims)) {
                prop_assert!(["invalid_token", "expired_token"].contains(&error.code()));
            }
        }

        #[test]
        fn no_bit_of_a_token_can_be_changed(place in 0_usize..10_000, bit in 0_u8..7) {
            let token = signed(&serde_json::json!({ "exp": now_s() + 60, "scope": "signatures:read" }));
            prop_assert!(verified(&token).is_ok());
            let mut bytes = token.clone().into_bytes();
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assert!(verified(&changed).is_err(), "{changed}");
        }
    }
}
