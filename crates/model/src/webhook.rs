//! Webhooks: URLs that are called with what happens to a tenant. Plain values, no I/O.

use chrono::{DateTime, Utc};

use crate::context::TenantId;
use crate::error::{Error, Result};

/// A webhook, as it is stored.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// The owner.
    pub tenant: TenantId,
    /// Its id.
    pub id: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The URL that is called.
    pub url: String,
    /// The types of events that it is called with; all if there are none. A type that ends with a dot stands for all that
    /// begin so.
    pub types: Vec<String>,
    /// The number of the last event that was delivered, or is pending.
    pub cursor: i64,
    /// The secret that signs calls, encrypted under the master key.
    pub encrypted_secret: Vec<u8>,
    /// The secret before it, and until when it signs, too.
    pub old_secret: Option<(Vec<u8>, DateTime<Utc>)>,
    /// Since when it is not called, and why.
    pub disabled: Option<(DateTime<Utc>, String)>,
    /// Since when every call has failed.
    pub failing_since: Option<DateTime<Utc>>,
    /// The number of events that it did not take yet.
    pub pending: i64,
    /// The number of the tenant's last event.
    pub head: i64,
}

impl Webhook {
    /// What the encrypted secrets of a tenant's webhooks are bound to.
    pub fn binding(tenant: TenantId) -> String {
        format!("webhook of {tenant}")
    }
}

/// The most types that a webhook, or somebody who follows events, names.
pub const MAX_TYPES: usize = 32;

/// Checks names of types, or beginnings of names that end with a dot.
///
/// # Errors
///
/// [`Error::InvalidParameter`].
pub fn check_types(types: &[String]) -> Result<()> {
    let is_type = |text: &String| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
    };
    if types.len() > MAX_TYPES || !types.iter().all(is_type) {
        return Err(Error::invalid(
            "types",
            format!(
                "`types` are at most {MAX_TYPES} types of events, each by itself, such as `version.saved`, or `hook.` for all that begin so."
            ),
        ));
    }
    Ok(())
}

/// Whether a type of events is one of these. There is none for all; one that ends with a dot stands for all that begin so.
pub fn is_wanted(types: &[String], kind: &str) -> bool {
    types.is_empty()
        || types
            .iter()
            .any(|wanted| wanted == kind || (wanted.ends_with('.') && kind.starts_with(&**wanted)))
}

/// An event that a webhook did not take yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The number of the event.
    pub number: i64,
    /// The id of the thread that it is about.
    pub signature: Option<i64>,
    /// The number of attempts so far.
    pub attempts: u32,
    /// When it is tried again.
    pub next_at: DateTime<Utc>,
}

/// A call of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the event; none for a test.
    pub number: Option<i64>,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// The status of the answer; none if there was none.
    pub status: Option<u16>,
    /// How many milliseconds it took.
    pub ms: u32,
    /// `delivered`, `gone`, `failed` by its status, or the class of the error.
    pub outcome: String,
}

/// A change of a webhook.
#[derive(Debug, Clone, Default)]
pub struct WebhookChange {
    /// Another URL.
    pub url: Option<String>,
    /// Other types of events.
    pub types: Option<Vec<String>>,
    /// Whether it is called.
    pub enabled: Option<bool>,
}

/// What came of calls of a webhook.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// The number up to which every event was delivered, or is pending.
    pub cursor: Option<i64>,
    /// Pending events that are no more: they were delivered, or tried often enough.
    pub done: Vec<i64>,
    /// Events that are tried again.
    pub pending: Vec<Pending>,
    /// The calls.
    pub attempts: Vec<Attempt>,
    /// Why it is not called any more.
    pub disabled: Option<String>,
}

impl Settlement {
    /// Whether a call succeeded.
    pub fn has_delivered(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| attempt.outcome == Attempt::DELIVERED)
    }
}

impl Attempt {
    /// The outcome of a call that was taken.
    pub const DELIVERED: &'static str = "delivered";
}
