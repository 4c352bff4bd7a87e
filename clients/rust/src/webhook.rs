//! Calls of webhooks: that Sigpersist made them, just now, and that nobody changed them (Standard Webhooks).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use serde::Deserialize;

use crate::types::Event;

/// A call that must not be believed. Answer it with 401.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// A secret is `whsec_` and base64.
    #[error("a secret of a webhook is `whsec_` and base64")]
    Secret,
    /// It lacks the headers of a webhook.
    #[error("it lacks the headers of a webhook")]
    Headers,
    /// Nobody with the secret signed it.
    #[error("its signature is wrong")]
    Signature,
    /// It is too old, or the clocks differ.
    #[error("it is too old, or the clocks differ")]
    Time,
    /// It does not tell of an event.
    #[error("it does not tell of an event")]
    Body,
}

/// A call that Sigpersist made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WebhookCall {
    /// The event's id. A call may be repeated, always with the same id.
    pub id: String,
    /// The event's type. Skip types that you do not know.
    pub kind: String,
    /// When the event happened (RFC 3339).
    pub timestamp: String,
    /// The event. The number of a test is 0.
    pub event: Event,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    data: Event,
}

/// Checks the calls of one webhook.
pub struct Webhook {
    keys: Vec<hmac::Key>,
    tolerance: Duration,
}

impl Webhook {
    /// A check by the secrets that the server showed (`whsec_…`): one, or the old and the new one while you rotate it.
    ///
    /// # Errors
    ///
    /// [`WebhookError::Secret`] if one of them is no secret, or there is none.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s str>) -> Result<Self, WebhookError> {
        let keys = secrets.into_iter().map(key);
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(WebhookError::Secret);
        }
        Ok(Self {
            keys,
            tolerance: Duration::from_secs(300),
        })
    }

    /// Sets how old a call may be, and how far in the future by another clock; 5 minutes if it is not set.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// What a call tells, given its headers and its body as it was received.
    ///
    /// # Errors
    ///
    /// [`WebhookError`] if the call is not of Sigpersist, was changed, or is too old.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<WebhookCall, WebhookError> {
        let header = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(WebhookError::Headers)
        };
        let (id, sent) = (header("webhook-id")?, header("webhook-timestamp")?);
        let sent_s: u64 = sent.parse().map_err(|_| WebhookError::Headers)?;
        let signatures = header("webhook-signature")?;
        let mut content = format!("{id}.{sent}.").into_bytes();
        content.extend_from_slice(body);
        let given = signatures.split_ascii_whitespace();
        let given: Vec<_> = given
            .filter_map(|text| BASE64.decode(text.strip_prefix("v1,")?).ok())
            .collect();
        // Each comparison takes the same time, whatever differs.
        let is_signed = self.keys.iter().any(|key| {
            let verifies = |tag: &Vec<u8>| hmac::verify(key, &content, tag).is_ok();
            given.iter().any(verifies)
        });
        if !is_signed {
            return Err(WebhookError::Signature);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        if now.abs_diff(sent_s) > self.tolerance.as_secs() {
            return Err(WebhookError::Time);
        }
        let message: Message = serde_json::from_slice(body).map_err(|_| WebhookError::Body)?;
        Ok(WebhookCall {
            id: id.to_owned(),
            kind: message.kind,
            timestamp: message.timestamp,
            event: message.data,
        })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook(<{} secrets>)", self.keys.len())
    }
}

fn key(secret: &str) -> Result<hmac::Key, WebhookError> {
    let base64 = secret.strip_prefix("whsec_").unwrap_or(secret);
    match BASE64.decode(base64) {
        // With an empty key, anybody could sign.
        Ok(bytes) if !bytes.is_empty() => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        _ => Err(WebhookError::Secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const BODY: &str = r#"{"type":"version.saved","timestamp":"2026-11-29T10:00:00Z","data":{"id":"a-7","number":7,"type":"version.saved","at":"2026-11-29 10:00:00","later":1}}"#;

    fn call(secret: &str, sent: u64, body: &str) -> HeaderMap {
        let tag = hmac::sign(
            &key(secret).unwrap(),
            format!("a-7.{sent}.{body}").as_bytes(),
        );
        let mut headers = HeaderMap::new();
        let signature = format!("v1a,xx v1,AAAA v1,{}", BASE64.encode(tag));
        for (name, value) in [
            ("webhook-id", "a-7"),
            ("webhook-timestamp", &sent.to_string()),
            ("webhook-signature", &signature),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_calls_of_the_server_are_believed() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let webhook = Webhook::new([SECRET]).unwrap();
        let verify = |headers: &HeaderMap, body: &str| webhook.verify(headers, body.as_bytes());
        let good = verify(&call(SECRET, now, BODY), BODY).unwrap();
        assert_eq!((good.id.as_str(), good.event.number), ("a-7", 7));
        // While the secret is rotated, either will do.
        let both = Webhook::new([OTHER, SECRET]).unwrap();
        both.verify(&call(SECRET, now, BODY), BODY.as_bytes())
            .unwrap();
        both.verify(&call(OTHER, now, BODY), BODY.as_bytes())
            .unwrap();
        let changed = BODY.replace("number\":7", "number\":8");
        for (headers, body, error) in [
            (call(OTHER, now, BODY), BODY, WebhookError::Signature),
            (call(SECRET, now, BODY), &changed, WebhookError::Signature),
            (call(SECRET, now - 301, BODY), BODY, WebhookError::Time),
            (call(SECRET, now + 302, BODY), BODY, WebhookError::Time),
            (call(SECRET, now, "{}"), "{}", WebhookError::Body),
            (HeaderMap::new(), BODY, WebhookError::Headers),
        ] {
            assert_eq!(verify(&headers, body), Err(error));
        }
        let patient = Webhook::new([SECRET])
            .unwrap()
            .tolerance(Duration::from_secs(900));
        patient
            .verify(&call(SECRET, now - 600, BODY), BODY.as_bytes())
            .unwrap();
        for secret in ["whsec_", "whsec_?", ""] {
            assert_eq!(Webhook::new([secret]).unwrap_err(), WebhookError::Secret);
        }
        assert_eq!(Webhook::new([]).unwrap_err(), WebhookError::Secret);
        assert!(!format!("{webhook:?}").contains("MfKQ"));
    }
}
