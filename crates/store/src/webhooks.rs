//! Queries about webhooks, for those who manage them.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::key::MasterKeyId;
use sigpersist_model::webhook::{Attempt, Webhook, WebhookChange};

use super::keys::{add_alone, current_master_key};
use super::pool::Store;

#[derive(QueryableByName)]
pub(super) struct WebhookRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Array<Text>)]
    types: Vec<String>,
    #[diesel(sql_type = BigInt)]
    cursor: i64,
    #[diesel(sql_type = Binary)]
    encrypted_secret: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    encrypted_old_secret: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    old_secret_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    disabled_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    disabled_why: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    failing_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    head: i64,
}

impl From<WebhookRow> for Webhook {
    fn from(row: WebhookRow) -> Self {
        Self {
            tenant: TenantId(row.tenant_id),
            id: row.id,
            created_at: row.created_at,
            url: row.url,
            types: row.types,
            cursor: row.cursor,
            encrypted_secret: row.encrypted_secret,
            old_secret: row.encrypted_old_secret.zip(row.old_secret_until),
            disabled: row
                .disabled_at
                .map(|at| (at, row.disabled_why.unwrap_or_default())),
            failing_since: row.failing_since,
            pending: row.pending,
            head: row.head,
        }
    }
}

/// A statement that selects webhooks.
macro_rules! select_webhooks {
    ($rest:literal) => {
        concat!(
            "SELECT w.tenant_id, w.id, w.created_at, w.url, w.types, w.cursor, w.encrypted_secret, \
                    w.encrypted_old_secret, w.old_secret_until, w.disabled_at, w.disabled_why, w.failing_since, \
                    (SELECT count(*) FROM webhook_pending p \
                     WHERE p.tenant_id = w.tenant_id AND p.webhook_id = w.id) AS pending, \
                    coalesce((SELECT max(e.first + e.size - 1) FROM log_epochs e \
                              WHERE e.tenant_id = w.tenant_id), 0) AS head \
             FROM webhooks w ",
            $rest
        )
    };
}

#[derive(QueryableByName)]
struct AttemptRow {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    status: Option<i16>,
    #[diesel(sql_type = Integer)]
    ms: i32,
    #[diesel(sql_type = Text)]
    outcome: String,
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// A webhook that is to be stored.
#[derive(Debug)]
pub struct NewWebhook<'a> {
    /// The URL that is called.
    pub url: &'a str,
    /// The types of events that it is called with.
    pub types: &'a [String],
    /// The number after which it begins.
    pub cursor: i64,
}

impl Store {
    /// Adds a webhook. Returns none if the tenant has `most` of them already. `seal` encrypts its secret; if the master key
    /// was ever rotated, it receives the id of the one that encrypts.
    pub fn webhook_insert(
        &self,
        tenant: TenantId,
        new: &NewWebhook<'_>,
        most: i64,
        seal: impl FnOnce(Option<MasterKeyId>) -> Result<Vec<u8>>,
        event: impl FnOnce(i64) -> Event,
    ) -> Result<Option<Webhook>> {
        self.transaction(tenant, |connection| {
            // Others that add secrets wait, so webhooks are also counted rightly.
            add_alone(connection)?;
            let secret = match seal(current_master_key(connection)?) {
                Ok(secret) => secret,
                Err(error) => return Ok(Err(error)),
            };
            let made: Option<IdRow> = sql_query(
                "INSERT INTO webhooks (tenant_id, url, types, cursor, encrypted_secret) \
                 SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM webhooks WHERE tenant_id = $1) < $6 RETURNING id",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(new.url)
            .bind::<Array<Text>, _>(new.types)
            .bind::<BigInt, _>(new.cursor)
            .bind::<Binary, _>(secret)
            .bind::<BigInt, _>(most)
            .get_result(connection)
            .optional()?;
            let Some(IdRow { id }) = made else {
                return Ok(Ok(None));
            };
            self.audit(connection, &event(id))?;
            get(connection, tenant, id).map(Ok)
        })?
    }

    /// Gives a webhook another secret, which `seal` encrypts. The one before it signs beside it until then. Returns none if
    /// there is no such webhook.
    pub fn webhook_rotate(
        &self,
        tenant: TenantId,
        id: i64,
        until: DateTime<Utc>,
        seal: impl FnOnce(Option<MasterKeyId>) -> Result<Vec<u8>>,
        event: Event,
    ) -> Result<Option<Webhook>> {
        self.transaction(tenant, |connection| {
            add_alone(connection)?;
            let secret = match seal(current_master_key(connection)?) {
                Ok(secret) => secret,
                Err(error) => return Ok(Err(error)),
            };
            let rotated = sql_query(
                "UPDATE webhooks SET encrypted_old_secret = encrypted_secret, old_secret_until = $4, encrypted_secret = $3 \
                 WHERE tenant_id = $1 AND id = $2",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(id)
            .bind::<Binary, _>(secret)
            .bind::<Timestamptz, _>(until)
            .execute(connection)?;
            if rotated == 0 {
                return Ok(Ok(None));
            }
            self.audit(connection, &event)?;
            get(connection, tenant, id).map(Ok)
        })?
    }

    /// A tenant's webhooks, oldest first.
    pub fn webhook_list(&self, tenant: TenantId) -> Result<Vec<Webhook>> {
        let query = sql_query(select_webhooks!("WHERE w.tenant_id = $1 ORDER BY w.id"))
            .bind::<Integer, _>(tenant.0);
        let rows: Vec<WebhookRow> = self.run(tenant, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(Webhook::from).collect())
    }

    /// A webhook with this id.
    pub fn webhook_get(&self, tenant: TenantId, id: i64) -> Result<Option<Webhook>> {
        self.run(tenant, |connection| get(connection, tenant, id))
    }

    /// Changes a webhook. `event` is made from the webhook before and after. Returns none if there is none.
    pub fn webhook_update(
        &self,
        tenant: TenantId,
        id: i64,
        change: &WebhookChange,
        event: impl FnOnce(&Webhook, &Webhook) -> Event,
    ) -> Result<Option<Webhook>> {
        self.transaction(tenant, |connection| {
            let Some(before) = get(connection, tenant, id)? else {
                return Ok(None);
            };
            sql_query(
                "UPDATE webhooks SET url = coalesce($3, url), types = coalesce($4, types), \
                     disabled_at = CASE WHEN $5 THEN NULL WHEN $5 = false THEN coalesce(disabled_at, now()) ELSE disabled_at END, \
                     disabled_why = CASE WHEN $5 THEN NULL WHEN $5 = false THEN coalesce(disabled_why, 'It was switched off.') \
                                         ELSE disabled_why END, \
                     failing_since = CASE WHEN $5 THEN NULL ELSE failing_since END \
                 WHERE tenant_id = $1 AND id = $2",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(id)
            .bind::<Nullable<Text>, _>(&change.url)
            .bind::<Nullable<Array<Text>>, _>(&change.types)
            .bind::<Nullable<Bool>, _>(change.enabled)
            .execute(connection)?;
            if change.enabled == Some(true) {
                // Whatever waits is tried at once.
                sql_query("UPDATE webhook_pending SET next_at = now(), attempts = 0 WHERE tenant_id = $1 AND webhook_id = $2")
                    .bind::<Integer, _>(tenant.0)
                    .bind::<BigInt, _>(id)
                    .execute(connection)?;
            }
            let Some(after) = get(connection, tenant, id)? else {
                return Ok(None);
            };
            self.audit(connection, &event(&before, &after))?;
            Ok(Some(after))
        })
    }

    /// Deletes a webhook. Returns whether there was one.
    pub fn webhook_delete(
        &self,
        tenant: TenantId,
        id: i64,
        event: impl FnOnce(&Webhook) -> Event,
    ) -> Result<bool> {
        self.transaction(tenant, |connection| {
            let Some(before) = get(connection, tenant, id)? else {
                return Ok(false);
            };
            sql_query("DELETE FROM webhooks WHERE tenant_id = $1 AND id = $2")
                .bind::<Integer, _>(tenant.0)
                .bind::<BigInt, _>(id)
                .execute(connection)?;
            self.audit(connection, &event(&before))?;
            Ok(true)
        })
    }

    /// The last calls of a webhook, newest first.
    pub fn webhook_attempts(&self, tenant: TenantId, id: i64) -> Result<Vec<Attempt>> {
        let query = sql_query(
            "SELECT number, at, status, ms, outcome FROM webhook_attempts \
             WHERE tenant_id = $1 AND webhook_id = $2 ORDER BY id DESC",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id);
        let rows: Vec<AttemptRow> = self.run(tenant, |connection| query.load(connection))?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| Attempt {
                number: row.number,
                at: row.at,
                status: row.status.and_then(|status| status.try_into().ok()),
                ms: row.ms.unsigned_abs(),
                outcome: row.outcome,
            })
            .collect())
    }

    /// Makes events with these numbers, both included, pending again, at most `most`. Returns how many.
    pub fn webhook_replay(
        &self,
        tenant: TenantId,
        id: i64,
        from: i64,
        to: i64,
        most: i64,
    ) -> Result<usize> {
        let query = sql_query(
            "INSERT INTO webhook_pending (tenant_id, webhook_id, number, signature_id, attempts, next_at) \
             SELECT $1, $2, number, signature_id, 0, now() FROM log_entries \
             WHERE tenant_id = $1 AND number BETWEEN $3 AND $4 ORDER BY number LIMIT $5 \
             ON CONFLICT (tenant_id, webhook_id, number) DO UPDATE SET attempts = 0, next_at = now()",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id)
        .bind::<BigInt, _>(from)
        .bind::<BigInt, _>(to)
        .bind::<BigInt, _>(most);
        self.run(tenant, |connection| query.execute(connection))
    }
}

pub(super) fn get(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: i64,
) -> QueryResult<Option<Webhook>> {
    let row: Option<WebhookRow> =
        sql_query(select_webhooks!("WHERE w.tenant_id = $1 AND w.id = $2"))
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(id)
            .get_result(connection)
            .optional()?;
    Ok(row.map(Webhook::from))
}
