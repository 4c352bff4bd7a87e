//! Tokens: a text, a source of them, or a tenant's key that signs them.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::Error;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Getting = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Seconds before its end at which a token is replaced.
const RENEW_S: u64 = 30;

/// Where tokens come from: a text, a [`TenantKey`], or [`Token::from_fn`].
#[derive(Clone)]
pub struct Token(Source);

#[derive(Clone)]
enum Source {
    Text(Zeroizing<String>),
    Key(Arc<TenantKey>),
    Function(Arc<dyn Fn() -> Getting + Send + Sync>),
}

impl Token {
    /// Tokens from a function. It is called before each request, so let it keep a token for some minutes. If the server does
    /// not take a token, it is called once more.
    pub fn from_fn<F, G>(get: F) -> Self
    where
        F: Fn() -> G + Send + Sync + 'static,
        G: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        Self(Source::Function(Arc::new(move || Box::pin(get()))))
    }

    /// The token for the next request.
    pub(crate) async fn next(&self) -> Result<Zeroizing<String>, Error> {
        match &self.0 {
            Source::Text(text) => Ok(text.clone()),
            Source::Key(key) => Ok(key.token()),
            Source::Function(get) => get().await.map(Zeroizing::new).map_err(Error::Token),
        }
    }
}

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(Source::Text(Zeroizing::new(text)))
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<TenantKey> for Token {
    fn from(key: TenantKey) -> Self {
        Self(Source::Key(Arc::new(key)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Signs tokens with a shared secret of a tenant (HS256), as `sigpersist key add` shows it. The secret is not sent.
pub struct TenantKey {
    key_id: String,
    key: hmac::Key,
    subject: String,
    scope: String,
    lifetime: Duration,
    /// A token, and when it ends in seconds since 1970.
    current: Mutex<(Zeroizing<String>, u64)>,
}

impl TenantKey {
    /// The key with this `kid` and secret, for the scopes of an application.
    pub fn new(key_id: impl Into<String>, secret: &str) -> Self {
        Self {
            key_id: key_id.into(),
            // The text itself is the key.
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            subject: "sigpersist-rust".to_owned(),
            scope: "signatures:read signatures:write signatures:delete events:read".to_owned(),
            lifetime: Duration::from_secs(300),
            current: Mutex::default(),
        }
    }

    /// Sets the subject of its tokens.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Sets the scopes of its tokens.
    #[must_use]
    pub fn scopes<'s>(mut self, scopes: impl IntoIterator<Item = &'s str>) -> Self {
        self.scope = scopes.into_iter().collect::<Vec<_>>().join(" ");
        self
    }

    /// Sets how long a token serves; 5 minutes if it is not set. The server caches those that it has verified.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// A token that is good for a while.
    fn token(&self) -> Zeroizing<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let lifetime = self.lifetime.as_secs().max(1);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.1.saturating_sub(now) < RENEW_S.min(lifetime.div_ceil(2)) {
            let end = now.saturating_add(lifetime);
            *current = (self.signed(now, end), end);
        }
        current.0.clone()
    }

    fn signed(&self, now: u64, end: u64) -> Zeroizing<String> {
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = json!({ "alg": "HS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({ "sub": self.subject, "scope": self.scope, "iat": now, "exp": end });
        let signed = format!("{}.{}", encoded(&header), encoded(&claims));
        let tag = hmac::sign(&self.key, signed.as_bytes());
        Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantKey").field(&self.key_id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_serves_for_a_while() {
        let key = TenantKey::new("k", "secret");
        let first = key.token();
        assert_eq!(first, key.token());
        assert_eq!(first.split('.').count(), 3);
        // One that is about to end is replaced.
        let end = key.current.lock().unwrap().1;
        key.current.lock().unwrap().1 = end - 280;
        drop(key.token());
        assert!(key.current.lock().unwrap().1 >= end);
        assert!(
            !format!("{key:?} {:?}", Token::from(TenantKey::new("k", "secret"))).contains("secret")
        );
    }
}
