//! Webhooks as answers and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time;
use crate::webhook::{Attempt, Webhook};

/// A webhook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = WebhookContent)]
pub struct WebhookView {
    /// Its id.
    #[schema(example = 3)]
    pub id: i64,
    /// The URL that is called.
    #[schema(example = "https://hooks.example.com/sigpersist")]
    pub url: String,
    /// The types of events that it is called with; all if there are none.
    #[schema(example = json!(["version.saved", "signature."]))]
    pub types: Vec<String>,
    /// Whether it is called.
    #[schema(example = true)]
    pub enabled: bool,
    /// Why it is not called; null while it is.
    #[schema(example = json!(null))]
    pub disabled_because: Option<String>,
    /// When it was made.
    #[schema(value_type = sigpersist_verify::Time)]
    pub created_at: String,
    /// Since when every call has failed; null if the last one did not.
    #[schema(value_type = Option<sigpersist_verify::Time>)]
    pub failing_since: Option<String>,
    /// The number of the last event that was delivered, or is pending.
    #[schema(example = 8123)]
    pub cursor: i64,
    /// The number of events after that.
    #[schema(example = 0)]
    pub behind: i64,
    /// The number of events that were tried and are tried again.
    #[schema(example = 0)]
    pub pending: i64,
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            enabled: webhook.disabled.is_none(),
            disabled_because: webhook.disabled.map(|(_, why)| why),
            created_at: time::to_text(webhook.created_at),
            failing_since: webhook.failing_since.map(time::to_text),
            cursor: webhook.cursor,
            behind: (webhook.head - webhook.cursor).max(0),
            pending: webhook.pending,
            url: webhook.url,
            types: webhook.types,
        }
    }
}

/// A call of a webhook.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = AttemptContent)]
pub struct AttemptView {
    /// The number of the event; null for a test.
    #[schema(example = 8123)]
    pub number: Option<i64>,
    /// When it ended.
    #[schema(value_type = sigpersist_verify::Time)]
    pub at: String,
    /// `delivered`; `gone` (410); `failed`, with any other status; or why there was no answer: `refused_address`, `dns`,
    /// `connect`, `tls`, `timeout`, `broken`, `too_long`.
    #[schema(example = "delivered")]
    pub outcome: String,
    /// The status of the answer; null if there was none.
    #[schema(example = 204)]
    pub status: Option<u16>,
    /// How many milliseconds it took.
    #[schema(example = 38)]
    pub ms: u32,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            at: time::to_text(attempt.at),
            outcome: attempt.outcome,
            status: attempt.status,
            ms: attempt.ms,
        }
    }
}
