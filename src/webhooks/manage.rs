//! What those who set up webhooks do.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::key::MasterKeyId;
use sigpersist_model::view::HappeningView;
use sigpersist_model::webhook::{Attempt, Settlement, Webhook, WebhookChange, check_types};
use sigpersist_outbound::webhook::Secret;
use sigpersist_store as store;
use zeroize::Zeroizing;

use super::call::{call, secrets};
use crate::app::App;

/// How long the secret before a new one signs, too.
const OVERLAP: TimeDelta = TimeDelta::days(1);
/// The most events that are replayed at once.
const MAX_REPLAYED: i64 = 1_000;

/// A webhook to make.
#[derive(Debug)]
pub struct NewWebhook {
    /// The URL to call.
    pub url: String,
    /// The types of events; all if there are none.
    pub types: Vec<String>,
    /// The number after which to begin; none for what happens from now on.
    pub after: Option<i64>,
}

/// A webhook with a secret that is shown once.
#[derive(Debug)]
pub struct Made {
    /// The webhook.
    pub webhook: Webhook,
    /// Its secret.
    pub secret: Zeroizing<String>,
}

/// A change of a webhook.
#[derive(Debug, Default)]
pub struct Changed {
    /// Another URL.
    pub url: Option<String>,
    /// Other types of events.
    pub types: Option<Vec<String>>,
    /// Whether it is called.
    pub enabled: Option<bool>,
}

/// Makes a webhook. Blocks, also for DNS.
///
/// # Errors
///
/// [`Error::InvalidParameter`] for what is no URL, [`Error::Refused`] for one that may not be called, without a master key or if the tenant has
/// too many, and the errors of the store.
pub fn create(app: &App, actor: &Actor, tenant: TenantId, new: NewWebhook) -> Result<Made> {
    let url = app.callable_url(&new.url)?;
    check_types(&new.types)?;
    let head = app.store.log_head(tenant)?;
    let cursor = match new.after {
        None => head,
        Some(after) if after <= head => after,
        Some(_) => {
            return Err(Error::invalid(
                "after",
                format!("`after` must not be greater than {head}, the number of the last event."),
            ));
        }
    };
    let secret = Secret::generate().map_err(Error::internal)?.reveal();
    let most = app.config.webhooks.max_per_tenant;
    let made = app.store.webhook_insert(
        tenant,
        &store::NewWebhook {
            url: &url,
            types: &new.types,
            cursor,
        },
        most.into(),
        sealed(app, tenant, &secret)?,
        |id| {
            Event::new(
                Some(tenant),
                actor.clone(),
                "webhook.create",
                id.to_string(),
            )
            .after(json!({ "url": url, "types": new.types }))
        },
    )?;
    let webhook = made.ok_or_else(|| {
        Error::refused(format!(
            "This tenant has {most} webhooks, the most that it may have (webhooks.max_per_tenant). Delete one first."
        ))
    })?;
    Ok(Made { webhook, secret })
}

/// A tenant's webhooks. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn list(app: &App, tenant: TenantId) -> Result<Vec<Webhook>> {
    app.store.webhook_list(tenant)
}

/// A webhook of a tenant. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], and the errors of the store.
pub fn get(app: &App, tenant: TenantId, id: i64) -> Result<Webhook> {
    let found = app.store.webhook_get(tenant, id)?;
    found.ok_or(Error::NotFound(Noun::Webhook))
}

/// Changes a webhook. One that is enabled again goes on where it stopped. Blocks, also for DNS.
///
/// # Errors
///
/// [`Error::NotFound`], the errors of [`App::callable_url`], and those of the store.
pub fn change(
    app: &App,
    actor: &Actor,
    tenant: TenantId,
    id: i64,
    changed: Changed,
) -> Result<Webhook> {
    let url = changed.url.map(|url| app.callable_url(&url)).transpose()?;
    if let Some(types) = &changed.types {
        check_types(types)?;
    }
    let change = WebhookChange {
        url,
        types: changed.types,
        enabled: changed.enabled,
    };
    let changed = app
        .store
        .webhook_update(tenant, id, &change, |before, after| {
            Event::new(
                Some(tenant),
                actor.clone(),
                "webhook.update",
                id.to_string(),
            )
            .before(audited(before))
            .after(audited(after))
        })?;
    changed.ok_or(Error::NotFound(Noun::Webhook))
}

/// Gives a webhook a new secret. The one before it signs beside it for a day. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Refused`] without a master key, and the errors of the store.
pub fn rotate_secret(app: &App, actor: &Actor, tenant: TenantId, id: i64) -> Result<Made> {
    let secret = Secret::generate().map_err(Error::internal)?.reveal();
    let changed = app.store.webhook_rotate(
        tenant,
        id,
        Utc::now() + OVERLAP,
        sealed(app, tenant, &secret)?,
        Event::new(
            Some(tenant),
            actor.clone(),
            "webhook.rotate_secret",
            id.to_string(),
        ),
    )?;
    let webhook = changed.ok_or(Error::NotFound(Noun::Webhook))?;
    Ok(Made { webhook, secret })
}

/// Deletes a webhook, with what it did not take yet. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], and the errors of the store.
pub fn delete(app: &App, actor: &Actor, tenant: TenantId, id: i64) -> Result<()> {
    let deleted = app.store.webhook_delete(tenant, id, |before| {
        Event::new(
            Some(tenant),
            actor.clone(),
            "webhook.delete",
            id.to_string(),
        )
        .before(audited(before))
    })?;
    match deleted {
        true => Ok(()),
        false => Err(Error::NotFound(Noun::Webhook)),
    }
}

/// Calls a webhook with an event of the type `webhook.test`, and returns what came of it. Blocks for as long as a call may
/// take.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::Refused`] without a master key, and the errors of the store.
pub fn test(app: &App, tenant: TenantId, id: i64) -> Result<Attempt> {
    let webhook = get(app, tenant, id)?;
    let secrets = secrets(app.vault()?, &webhook)?;
    let now = Utc::now();
    let name = format!("test_{id}_{}", now.timestamp_micros());
    let event = HappeningView::test(name, now);
    let outbound = app.outbound();
    let outbound = outbound.map_err(|cause| Error::Internal(cause.into()))?;
    let called = call(outbound, &webhook, &secrets, &event, now, None);
    let settlement = Settlement {
        attempts: vec![called.attempt.clone()],
        ..Settlement::default()
    };
    app.store.webhook_attempt_insert(tenant, id, &settlement)?;
    Ok(called.attempt)
}

/// Delivers events again, whose numbers are in this range, both ends included. Returns how many. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::InvalidParameter`] for a range that is empty or too long, and the errors of the store.
pub fn replay(app: &App, tenant: TenantId, id: i64, from: i64, to: i64) -> Result<usize> {
    get(app, tenant, id)?;
    if from < 1 || to < from || to - from >= MAX_REPLAYED {
        return Err(Error::invalid(
            "to",
            format!(
                "`from` must be at least 1, and `to` not less than it: at most {MAX_REPLAYED} events are replayed at once."
            ),
        ));
    }
    app.store.webhook_replay(tenant, id, from, to, MAX_REPLAYED)
}

/// The last calls of a webhook, newest first. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], and the errors of the store.
pub fn attempts(app: &App, tenant: TenantId, id: i64) -> Result<Vec<Attempt>> {
    get(app, tenant, id)?;
    app.store.webhook_attempts(tenant, id)
}

/// Encrypts a secret, under the current master key if it was ever rotated.
fn sealed<'a>(
    app: &'a App,
    tenant: TenantId,
    secret: &'a str,
) -> Result<impl FnOnce(Option<MasterKeyId>) -> Result<Vec<u8>> + use<'a>> {
    let vault = app.vault()?;
    Ok(move |current| vault.encrypt(secret.as_bytes(), &Webhook::binding(tenant), current))
}

fn audited(webhook: &Webhook) -> Value {
    json!({
        "url": webhook.url,
        "types": webhook.types,
        "enabled": webhook.disabled.is_none(),
    })
}
