//! JSON Web Tokens: verifies them as RFC 8725 demands, and issues them for scripts.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken as jwt;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use sigpersist_model::context::{OneDocument, Scope};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::issuer::{DEFAULT_LIFETIME_S, IssuerRules, MAX_ISSUER_BYTES};
use sigpersist_model::key::{Algorithm, StoredKey};
use sigpersist_model::signature::check_label;
use sigpersist_runtime::vault::Vault;

use super::algorithm::{from_jwt, to_jwt};
use super::key::encoding_key;
use crate::config::AuthConfig;

/// Longest token that is read, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Longest `kid`, in bytes.
pub const MAX_KID_BYTES: usize = 128;
const NO_JWT: Error = Error::InvalidToken("it does not have the three parts of a signed JWT");
/// The only message for all cases in which no key verifies a token, so that it does not reveal which keys exist.
pub(super) const UNVERIFIED: Error = Error::InvalidToken(
    "no active key verifies it: check its `kid`, its `alg` and the key that signed it",
);

/// The error for a token of an issuer that no tenant trusts for such tokens.
const OF_NOBODY: Error = Error::InvalidToken(
    "its issuer is trusted only for tokens with another `aud`, or with other values of the claims that are required",
);
/// The error for a token that several tenants trust, or one tenant by several sets of rules.
const OF_SEVERAL: Error = Error::InvalidToken(
    "it matches the rules of more than one issuer here: ask for a token with one `aud`, or one value of the claims that are required",
);

/// The claims of a verified token. Unknown scopes are left out: they allow nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The `sub` claim.
    pub subject: Option<String>,
    /// The scopes of the token.
    pub scopes: Vec<Scope>,
    /// The only document that the token is for.
    pub bound_to: Option<OneDocument>,
    /// Time at which the token expires, with the permitted clock skew.
    pub valid_until: DateTime<Utc>,
}

/// The claims of a token that is issued here.
#[derive(Debug, Serialize)]
struct IssuedClaims {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    scope: String,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sigpersist_document: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sigpersist_thread: Option<String>,
}

/// The claims of a received token, of any JSON type, so that the error can say which one is wrong.
///
/// The parser refuses a claim that is there twice.
#[derive(Debug, Deserialize)]
struct GivenClaims {
    sub: Option<Value>,
    tenant: Option<Value>,
    #[serde(default, deserialize_with = "even_null")]
    scope: Option<Value>,
    #[serde(default, deserialize_with = "even_null")]
    scp: Option<Value>,
    /// Seconds since 1970, which may have a fraction (RFC 7519 section 2).
    iat: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iss: Option<Value>,
    /// Null is an error, since a token that is bound to nothing would allow more than one that is bound.
    #[serde(default, deserialize_with = "even_null")]
    sigpersist_document: Option<Value>,
    #[serde(default, deserialize_with = "even_null")]
    sigpersist_thread: Option<Value>,
}

/// Reads null as a value. A missing claim means no scopes; null is an error.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a claim that must be text, if it is there.
fn text(claim: Option<Value>, otherwise: &'static str) -> Result<Option<String>> {
    match claim {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::InvalidToken(otherwise)),
    }
}

/// Reads a claim that names a document or a thread, if it is there.
fn label(claim: Option<Value>, otherwise: &'static str) -> Result<Option<String>> {
    match text(claim, otherwise)? {
        Some(text) if check_label("", &text).is_err() => Err(Error::InvalidToken(otherwise)),
        text => Ok(text),
    }
}

/// The only document that a token is for, according to its claims.
fn bound_to(document: Option<Value>, thread: Option<Value>) -> Result<Option<OneDocument>> {
    let document = label(
        document,
        "its `sigpersist_document` is not the code of a document",
    )?;
    let thread = label(
        thread,
        "its `sigpersist_thread` is not the name of a thread",
    )?;
    match (document, thread) {
        (Some(document), thread) => Ok(Some(OneDocument { document, thread })),
        (None, Some(_)) => Err(Error::InvalidToken(
            "it has a `sigpersist_thread`, but no `sigpersist_document`",
        )),
        (None, None) => Ok(None),
    }
}

/// The names in a claim of scopes: separated by spaces (RFC 8693 section 4.2), or in an array.
fn scope_names(claim: &Value) -> Option<BTreeSet<&str>> {
    match claim {
        Value::String(text) => Some(text.split(' ').filter(|name| !name.is_empty()).collect()),
        Value::Array(names) => names.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// The scopes that the claims allow: `scope`, or `scp`, as Entra and Okta call it.
fn scopes(scope: Option<&Value>, scp: Option<&Value>) -> Result<Vec<Scope>> {
    let names = |claim: Option<&'_ Value>, otherwise| match claim {
        None => Ok(None),
        Some(claim) => match scope_names(claim) {
            Some(names) => Ok(Some(
                names
                    .into_iter()
                    .map(ToOwned::to_owned)
                    .collect::<BTreeSet<_>>(),
            )),
            None => Err(Error::InvalidToken(otherwise)),
        },
    };
    let scope = names(scope, "its `scope` is neither text nor an array of texts")?;
    let scp = names(scp, "its `scp` is neither text nor an array of texts")?;
    if let (Some(scope), Some(scp)) = (&scope, &scp)
        && scope != scp
    {
        // Neither is more trustworthy than the other.
        return Err(Error::InvalidToken(
            "it has both `scope` and `scp`, and they differ",
        ));
    }
    let names = scope.or(scp).unwrap_or_default();
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The header of a token, before anything is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name of the key that signed the token.
    pub kid: String,
    /// The algorithm; none if no key of ours may be used with it.
    pub algorithm: Option<Algorithm>,
    /// The algorithm as the library names it.
    pub(super) jwt: jwt::Algorithm,
}

/// Reads a token's header, and checks that the token has the form of a signed JWT.
///
/// # Errors
///
/// [`Error::InvalidToken`], which tells only what anybody can see in the token.
pub fn header(token: &str) -> Result<Header> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::InvalidToken("it is too long"));
    }
    let mut parts = token.split('.');
    for otherwise in [
        "its header is not base64url without padding",
        "its claims are not base64url without padding",
        "its signature is not base64url without padding",
    ] {
        let part = parts.next().ok_or(NO_JWT)?;
        if URL_SAFE_NO_PAD.decode(part).is_err() {
            return Err(Error::InvalidToken(otherwise));
        }
    }
    if parts.next().is_some() {
        return Err(NO_JWT);
    }
    let header = jwt::decode_header(token).map_err(|_| {
        Error::InvalidToken(
            "its header is not a JSON object with a known algorithm as `alg` and text as `kid`",
        )
    })?;
    if header.crit.is_some() {
        // No extension is supported (RFC 7515 section 4.1.11).
        return Err(Error::InvalidToken("its header has critical extensions"));
    }
    match header.kid {
        Some(kid) if is_key_id(&kid) => Ok(Header {
            kid,
            algorithm: from_jwt(header.alg),
            jwt: header.alg,
        }),
        _ => Err(Error::InvalidToken("its header has no usable `kid`")),
    }
}

/// Whether a text may name a key: printable ASCII without spaces that can be a segment of a path.
pub fn is_key_id(text: &str) -> bool {
    (1..=MAX_KID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        // Clients remove these from a path (RFC 3986 section 5.2.4).
        && !matches!(text, "." | "..")
}

/// Verifies a token with the key that its `kid` names.
///
/// `tenant_slug` is the slug of the key's tenant, none for a key of the platform. The algorithm is that of the key,
/// never that of the token; keys embedded in the token's header are ignored.
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
    let mut validation = validation(to_jwt(algorithm), config);
    if let Some(audience) = &config.audience {
        validation.validate_aud = true;
        validation.set_audience(&[audience]);
        validation.required_spec_claims.insert("aud".to_owned());
    }
    if let Some(issuer) = &config.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    let Checked {
        claims,
        valid_until,
        bound_to,
    } = checked(token, key, &validation, config, config.max_token_lifetime_s)?;
    if bound_to.is_some() && tenant_slug.is_none() {
        return Err(Error::InvalidToken(
            "it is for one document, but its key belongs to no tenant",
        ));
    }
    let tenant = text(claims.tenant, "its `tenant` is not text")?;
    if tenant.is_some_and(|tenant| Some(tenant.as_str()) != tenant_slug) {
        return Err(Error::InvalidToken("it is for another tenant than its key"));
    }
    Ok(Claims {
        valid_until,
        subject: subject(claims.sub)?,
        scopes: scopes(claims.scope.as_ref(), claims.scp.as_ref())?,
        bound_to,
    })
}

/// The rules that are chosen for a token of an identity provider, before anything of it is verified.
#[derive(Debug, Clone, Copy)]
pub(super) enum Chosen<'a> {
    /// The only rules that match, and the claims of the token.
    One(&'a IssuerRules, &'a Map<String, Value>),
    /// None match.
    None,
    /// Several match.
    Several,
}

/// Verifies a token with the key of an identity provider that its `kid` names.
///
/// The algorithm was found to fit the key. Whether the token matches any rules, only somebody learns whose token the provider
/// did sign.
///
/// # Errors
///
/// [`Error::InvalidToken`] or [`Error::ExpiredToken`].
pub(super) fn verify_issued(
    token: &str,
    algorithm: jwt::Algorithm,
    key: &jwt::DecodingKey,
    issuer: &str,
    chosen: Chosen<'_>,
    config: &AuthConfig,
) -> Result<Claims> {
    let mut validation = validation(algorithm, config);
    validation.set_issuer(&[issuer]);
    validation.required_spec_claims.insert("iss".to_owned());
    let lifetime_s = match chosen {
        Chosen::One(rules, _) => rules.max_lifetime_s.unwrap_or(DEFAULT_LIFETIME_S),
        Chosen::None | Chosen::Several => u64::MAX,
    };
    let most_s = config.max_token_lifetime_s.min(lifetime_s);
    let Checked {
        claims,
        valid_until,
        bound_to,
    } = checked(token, key, &validation, config, most_s)?;
    let (rules, all) = match chosen {
        Chosen::One(rules, claims) => (rules, claims),
        Chosen::None => return Err(OF_NOBODY),
        Chosen::Several => return Err(OF_SEVERAL),
    };
    Ok(Claims {
        valid_until,
        subject: subject(claims.sub)?,
        scopes: rules.scopes(all),
        bound_to,
    })
}

/// The `iss` of a token, and all its claims, before anything is verified; none if it has no `iss` of a usable length.
pub(super) fn unverified_issuer(token: &str) -> Option<(String, Map<String, Value>)> {
    let part = token.split('.').nth(1)?;
    let claims: Map<String, Value> =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
    let issuer = claims.get("iss")?.as_str()?.to_owned();
    (1..=MAX_ISSUER_BYTES)
        .contains(&issuer.len())
        .then_some((issuer, claims))
}

/// Checks of all tokens, whoever signed them.
fn validation(algorithm: jwt::Algorithm, config: &AuthConfig) -> jwt::Validation {
    let mut validation = jwt::Validation::new(algorithm);
    validation.leeway = config.leeway_s;
    validation.validate_nbf = true;
    validation.validate_aud = false;
    validation.set_required_spec_claims(&["exp"]);
    validation
}

/// A token whose signature and times are right.
struct Checked {
    claims: GivenClaims,
    /// The time of its end, with the permitted clock skew.
    valid_until: DateTime<Utc>,
    /// The only document that it is for.
    bound_to: Option<OneDocument>,
}

/// Verifies signature and times.
fn checked(
    token: &str,
    key: &jwt::DecodingKey,
    validation: &jwt::Validation,
    config: &AuthConfig,
    max_lifetime_s: u64,
) -> Result<Checked> {
    let claims = jwt::decode::<GivenClaims>(token, key, validation)
        .map_err(|error| refusal(error.kind(), token))?
        .claims;
    let latest = now_s().saturating_add(config.leeway_s);
    // A number beyond f64 counts as a time in the far future.
    let seconds = |time: &Value| match time {
        Value::Number(time) => Some(time.as_f64().map_or(u64::MAX, |time| time as u64)),
        _ => None,
    };
    let expires_s = claims.exp.as_ref().and_then(seconds).ok_or(NO_EXPIRY)?;
    if expires_s > latest.saturating_add(max_lifetime_s) {
        return Err(Error::InvalidToken(
            "it is valid for longer than this server allows",
        ));
    }
    let bound_to = bound_to(
        claims.sigpersist_document.clone(),
        claims.sigpersist_thread.clone(),
    )?;
    if bound_to.is_some() && expires_s > latest.saturating_add(config.max_document_token_lifetime_s)
    {
        return Err(Error::InvalidToken(
            "it is valid for longer than this server allows for a token for one document",
        ));
    }
    match claims.iat.as_ref().map(seconds) {
        None => {}
        Some(None) => {
            return Err(Error::InvalidToken(
                "its `iat` is not a time in seconds since 1970",
            ));
        }
        Some(Some(issued_s)) if issued_s > latest => {
            return Err(Error::InvalidToken("it was issued in the future"));
        }
        Some(Some(_)) => {}
    }
    text(claims.iss.clone(), "its `iss` is not text")?;
    let valid_until_s = i64::try_from(expires_s.saturating_add(config.leeway_s));
    let valid_until = valid_until_s
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok(Checked {
        claims,
        valid_until,
        bound_to,
    })
}

fn subject(claim: Option<Value>) -> Result<Option<String>> {
    let subject = text(claim, "its `sub` is not text")?;
    // Postgres can't store U+0000 in text.
    Ok(subject.map(|subject| subject.replace('\0', "\u{fffd}")))
}

/// Reads the claims of a token whose form was checked before.
fn read_claims(part: &str) -> serde_json::Result<GivenClaims> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default())
}

const NO_EXPIRY: Error =
    Error::InvalidToken("its `exp` is missing, or not a time in seconds since 1970");

/// Translates the library's errors to messages of our own, because the library's may quote the token.
fn refusal(kind: &jwt::errors::ErrorKind, token: &str) -> Error {
    use jwt::errors::ErrorKind;
    let claim = |name: &str| match name {
        "exp" => NO_EXPIRY,
        "nbf" => Error::InvalidToken("its `nbf` is not a time in seconds since 1970"),
        "iss" => Error::InvalidToken("its `iss` is missing, or not text"),
        "aud" => Error::InvalidToken("its `aud` is missing, or neither text nor an array of texts"),
        _ => Error::InvalidToken("one of its claims has the wrong type"),
    };
    match kind {
        ErrorKind::ExpiredSignature => Error::ExpiredToken,
        ErrorKind::ImmatureSignature => Error::InvalidToken("it is not valid yet"),
        ErrorKind::InvalidIssuer => Error::InvalidToken("its issuer is not the one expected"),
        ErrorKind::InvalidAudience => Error::InvalidToken("its audience is not the one expected"),
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => claim(name),
        // The library reports a list in place of a time as broken JSON. So the claims are read again, to find the wrong
        // one.
        ErrorKind::Json(_) => match token.split('.').nth(1).map(read_claims) {
            Some(Ok(claims)) if !claims.exp.as_ref().is_some_and(|time| time.is_number()) => {
                claim("exp")
            }
            Some(Ok(claims)) if !claims.nbf.as_ref().is_none_or(|time| time.is_number()) => {
                claim("nbf")
            }
            Some(Err(error)) if !error.is_data() => Error::InvalidToken("its claims are not JSON"),
            _ => {
                Error::InvalidToken("its claims are not a JSON object, or one of them occurs twice")
            }
        },
        _ => UNVERIFIED,
    }
}

/// Issues a token that is signed with a key of the server.
///
/// # Errors
///
/// [`Error::Refused`] if the server can't sign with the key, or no master key is configured.
pub fn issue(
    key: &StoredKey,
    vault: Option<&Vault>,
    subject: Option<String>,
    scopes: &[Scope],
    bound_to: Option<OneDocument>,
    lifetime: Duration,
    config: &AuthConfig,
) -> Result<String> {
    let (document, thread) = bound_to.map(|one| (one.document, one.thread)).unzip();
    let now = now_s();
    let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    let claims = IssuedClaims {
        sub: subject,
        tenant: key.owner.slug().map(str::to_owned),
        scope: scopes.join(" "),
        iat: now,
        exp: now.saturating_add(lifetime.as_secs()),
        iss: config.issuer.clone(),
        aud: config.audience.clone(),
        sigpersist_document: document,
        sigpersist_thread: thread.flatten(),
    };
    let mut header = jwt::Header::new(to_jwt(key.algorithm));
    header.kid = Some(key.kid.clone());
    let token =
        jwt::encode(&header, &claims, &encoding_key(key, vault)?).map_err(Error::internal)?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Error::refused(format!(
            "The token would be longer than {MAX_TOKEN_BYTES} bytes: give a shorter subject."
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
        header(token)?;
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

        /// Any value of a claim gives a valid token or a refusal. A token without odd values has the claims that it was
        /// made with.
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
            claim in "(exp|nbf|iat|iss|aud|sub|tenant|scope|sigpersist_document|sigpersist_thread|other)",
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
