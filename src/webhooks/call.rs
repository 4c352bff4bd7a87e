//! One call of a webhook.

use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde::Serialize;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::view::HappeningView;
use sigpersist_model::webhook::{Attempt, Webhook};
use sigpersist_outbound::retry::Outcome;
use sigpersist_outbound::webhook::{Secret, signature};
use sigpersist_outbound::{Limits, Outbound, Request};
use sigpersist_runtime::vault::Vault;

/// The body of a call, as Standard Webhooks recommends it.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a HappeningView,
}

/// What a call came to.
pub(super) struct Called {
    /// The record of it.
    pub(super) attempt: Attempt,
    /// What follows from it.
    pub(super) outcome: Outcome,
    /// The time for which the receiver asks to wait.
    pub(super) retry_after: Option<Duration>,
}

/// The secrets that sign the calls of a webhook now.
pub(super) fn secrets(vault: &Vault, webhook: &Webhook) -> Result<Vec<Secret>> {
    let old = webhook.old_secret.as_ref();
    let old = old.filter(|(_, until)| *until > Utc::now());
    let encrypted = [&webhook.encrypted_secret].into_iter();
    let encrypted = encrypted.chain(old.map(|(secret, _)| secret));
    encrypted
        .map(|encrypted| {
            let text = vault.decrypt(encrypted, &Webhook::binding(webhook.tenant))?;
            let text = std::str::from_utf8(&text).map_err(Error::internal)?;
            Secret::parse(text).map_err(Error::internal)
        })
        .collect()
}

/// Calls a webhook with an event. Blocks for as long as a call may take.
///
/// `number` is the event's; none for a test.
pub(super) fn call(
    outbound: &Outbound,
    webhook: &Webhook,
    secrets: &[Secret],
    event: &HappeningView,
    at: DateTime<Utc>,
    number: Option<i64>,
) -> Called {
    let body = Body {
        r#type: &event.kind,
        timestamp: at.to_rfc3339_opts(SecondsFormat::Micros, true),
        data: event,
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let now = Utc::now().timestamp();
    let secrets: Vec<_> = secrets.iter().collect();
    let signed = signature(&secrets, &event.id, now, &body);
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        // Ids, digits and base64 are always valid here.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(CONTENT_TYPE, "application/json");
    set(
        USER_AGENT,
        concat!("sigpersist/", env!("CARGO_PKG_VERSION")),
    );
    set(HeaderName::from_static("webhook-id"), &event.id);
    set(
        HeaderName::from_static("webhook-timestamp"),
        &now.to_string(),
    );
    set(HeaderName::from_static("webhook-signature"), &signed);
    let request = Request {
        method: http::Method::POST,
        url: &webhook.url,
        headers,
        body: &body,
    };
    let since = Instant::now();
    let answer = outbound.send(request, Limits::default());
    let ms = u32::try_from(since.elapsed().as_millis()).unwrap_or(u32::MAX);
    let (status, outcome, word, retry_after) = match answer {
        Ok(answer) => {
            let outcome = Outcome::of_status(answer.status);
            let word = match outcome {
                Outcome::Delivered => Attempt::DELIVERED,
                Outcome::Gone => "gone",
                Outcome::Failed => "failed",
            };
            (Some(answer.status), outcome, word, answer.retry_after)
        }
        Err(failure) => (None, Outcome::Failed, failure.class(), None),
    };
    Called {
        attempt: Attempt {
            number,
            at: Utc::now(),
            status,
            ms,
            outcome: word.to_owned(),
        },
        outcome,
        retry_after,
    }
}
