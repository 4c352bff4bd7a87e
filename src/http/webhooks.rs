//! Handlers for webhooks.

use serde::{Deserialize, Serialize};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::view::{AttemptView, WebhookView};
use utoipa::ToSchema;

use super::openapi::{CalledUrl, EventTypes};
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::webhooks::{self, Changed, Made, NewWebhook};

#[derive(Serialize, ToSchema)]
struct WebhooksContent {
    /// The tenant's webhooks, oldest first.
    webhooks: Vec<WebhookView>,
}

/// Lists the tenant's webhooks.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "list_webhooks",
    responses((status = 200, description = "The webhooks", body = Envelope<WebhooksContent>))
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters()?;
    let webhooks = webhooks::list(&call.app, call.context.tenant()?)?;
    Reply::content(&WebhooksContent {
        webhooks: webhooks.into_iter().map(WebhookView::from).collect(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookForm {
    /// The URL to call: `https`, port 443, at a public address, unless the operator of the server allows others.
    #[schema(value_type = CalledUrl)]
    url: String,
    /// The types of events to be called with; a type that ends with a dot stands for all that begin so. All if it is left
    /// out.
    #[serde(default)]
    #[schema(value_type = Vec<EventTypes>, example = json!(["version.saved", "signature."]), max_items = 32)]
    types: Vec<String>,
    /// The number of the event after which to begin; 0 for the first event. It begins with what happens from now on if it is
    /// left out.
    #[schema(example = 0)]
    after: Option<u32>,
}

#[derive(Serialize, ToSchema)]
struct MadeContent {
    /// The webhook.
    webhook: WebhookView,
    /// The secret with which its calls are signed. It is shown only now.
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    secret: String,
}

fn made(call: &Call, made: Made) -> Result<Reply> {
    let id = made.webhook.id.to_string();
    let reply = Reply::content(&MadeContent {
        webhook: made.webhook.into(),
        secret: made.secret.to_string(),
    })?;
    Ok(reply
        .created_at(&call.location(&["webhooks", &id]))
        .never_stored())
}

/// Makes a webhook: a URL that is called with what happens to the tenant.
///
/// Each call is a POST in the manner of Standard Webhooks, with the headers `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`. Answer 2xx within 15 seconds. A call that fails is repeated for about three days; events about the
/// same signature wait for each other. An event may come more than once, always with the same `webhook-id`.
#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "create_webhook",
    request_body = WebhookForm,
    responses(
        (status = 201, description = "The webhook, and its secret", body = Envelope<MadeContent>),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn create(call: Call) -> Result<Reply> {
    let form: WebhookForm = call.json()?;
    let new = NewWebhook {
        url: form.url,
        types: form.types,
        after: form.after.map(i64::from),
    };
    let tenant = call.context.tenant()?;
    let webhook = webhooks::create(&call.app, &call.context.actor(), tenant, new)?;
    made(&call, webhook)
}

#[derive(Serialize, ToSchema)]
struct OneWebhook {
    /// The webhook.
    webhook: WebhookView,
}

/// Shows a webhook.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    operation_id = "get_webhook",
    responses(
        (status = 200, description = "The webhook", body = Envelope<OneWebhook>),
        (status = 404, description = "webhook_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let webhook = webhooks::get(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&OneWebhook {
        webhook: webhook.into(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookPatch {
    /// Another URL.
    #[schema(value_type = Option<CalledUrl>, example = "https://hooks.example.com/sigpersist")]
    url: Option<String>,
    /// Other types of events.
    #[schema(value_type = Option<Vec<EventTypes>>, example = json!(["version."]), max_items = 32)]
    types: Option<Vec<String>>,
    /// Whether it is called. One that is enabled again goes on where it stopped.
    #[schema(example = true)]
    enabled: Option<bool>,
}

/// Changes a webhook, or switches it on or off.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    operation_id = "update_webhook",
    request_body = WebhookPatch,
    responses(
        (status = 200, description = "The webhook", body = Envelope<OneWebhook>),
        (status = 404, description = "webhook_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn update(call: Call) -> Result<Reply> {
    let patch: WebhookPatch = call.json()?;
    let changed = Changed {
        url: patch.url,
        types: patch.types,
        enabled: patch.enabled,
    };
    let tenant = call.context.tenant()?;
    let webhook = webhooks::change(
        &call.app,
        &call.context.actor(),
        tenant,
        id(&call)?,
        changed,
    )?;
    Reply::content(&OneWebhook {
        webhook: webhook.into(),
    })
}

/// Deletes a webhook, with the events that it did not take yet.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    operation_id = "delete_webhook",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "webhook_not_found"),
    )
)]
pub(super) fn delete(call: Call) -> Result<Reply> {
    call.parameters()?;
    let tenant = call.context.tenant()?;
    webhooks::delete(&call.app, &call.context.actor(), tenant, id(&call)?)?;
    Reply::done()
}

/// Gives a webhook a new secret. For a day, calls are signed with the one before it, too.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/rotate-secret",
    operation_id = "rotate_webhook_secret",
    responses(
        (status = 201, description = "The webhook, and its new secret", body = Envelope<MadeContent>),
        (status = 404, description = "webhook_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn rotate_secret(call: Call) -> Result<Reply> {
    call.parameters()?;
    let tenant = call.context.tenant()?;
    let webhook = webhooks::rotate_secret(&call.app, &call.context.actor(), tenant, id(&call)?)?;
    made(&call, webhook)
}

#[derive(Serialize, ToSchema)]
struct OneAttempt {
    /// The call.
    attempt: AttemptView,
}

/// Calls a webhook now, with an event of the type `webhook.test`, and tells what came of it.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/test",
    operation_id = "test_webhook",
    responses(
        (status = 200, description = "The call was made; `outcome` tells whether it was taken", body = Envelope<OneAttempt>),
        (status = 404, description = "webhook_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn test(call: Call) -> Result<Reply> {
    call.parameters()?;
    let attempt = webhooks::test(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&OneAttempt {
        attempt: attempt.into(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Range {
    /// The number of the first event.
    #[schema(example = 1)]
    from: u32,
    /// The number of the last event; at most 1000 events are replayed at once.
    #[schema(example = 100)]
    to: u32,
}

#[derive(Serialize, ToSchema)]
struct ReplayedContent {
    /// The number of events that are delivered again, if the webhook is called with their types.
    #[schema(example = 100)]
    events: usize,
}

/// Delivers events again, whether or not they were delivered before.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/replay",
    operation_id = "replay_events",
    request_body = Range,
    responses(
        (status = 202, description = "They will be delivered", body = Envelope<ReplayedContent>),
        (status = 404, description = "webhook_not_found"),
    )
)]
pub(super) fn replay(call: Call) -> Result<Reply> {
    let range: Range = call.json()?;
    let tenant = call.context.tenant()?;
    let (from, to) = (i64::from(range.from), i64::from(range.to));
    let events = webhooks::replay(&call.app, tenant, id(&call)?, from, to)?;
    Ok(Reply::content(&ReplayedContent { events })?.accepted())
}

#[derive(Serialize, ToSchema)]
struct AttemptsContent {
    /// The last 100 calls, newest first.
    attempts: Vec<AttemptView>,
}

/// Lists the last calls of a webhook, without their bodies.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/attempts",
    operation_id = "list_webhook_attempts",
    responses(
        (status = 200, description = "The calls", body = Envelope<AttemptsContent>),
        (status = 404, description = "webhook_not_found"),
    )
)]
pub(super) fn attempts(call: Call) -> Result<Reply> {
    call.parameters()?;
    let attempts = webhooks::attempts(&call.app, call.context.tenant()?, id(&call)?)?;
    Reply::content(&AttemptsContent {
        attempts: attempts.into_iter().map(AttemptView::from).collect(),
    })
}

/// The webhook that the path names.
fn id(call: &Call) -> Result<i64> {
    let id = call.name().parse();
    id.map_err(|_| Error::NotFound(Noun::Webhook))
}
