//! Queries about the calls of webhooks: who makes them, which are due, and what came of them.
//!
//! A lease says which server calls a webhook. It ends by itself if that server goes away, and no row stays locked.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::webhook::{Pending, Settlement, Webhook};

use super::pool::Store;
use super::webhooks::get;

/// Seconds of a lease.
const LEASE_S: i32 = 30;
/// The number of calls that are kept of each webhook.
const KEPT_ATTEMPTS: i64 = 100;

#[derive(QueryableByName)]
struct LeasedRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct PendingRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    signature_id: Option<i64>,
    #[diesel(sql_type = Integer)]
    attempts: i32,
    #[diesel(sql_type = Timestamptz)]
    next_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

impl Store {
    /// Leases webhooks that have something to deliver to this server, at most `most` of them: those first that were called
    /// longest ago.
    pub fn webhook_lease(&self, server: &str, most: i64) -> Result<Vec<(TenantId, i64)>> {
        let query = sql_query(
            // Once, and not again for each row.
            "WITH due AS MATERIALIZED ( \
                   SELECT d.tenant_id, d.id FROM webhooks d \
                   WHERE d.disabled_at IS NULL AND (d.lease_until IS NULL OR d.lease_until < now()) \
                     AND (d.cursor < (SELECT max(e.first + e.size - 1) FROM log_epochs e WHERE e.tenant_id = d.tenant_id) \
                          OR EXISTS (SELECT FROM webhook_pending p \
                                     WHERE p.tenant_id = d.tenant_id AND p.webhook_id = d.id AND p.next_at <= now())) \
                   ORDER BY d.lease_until NULLS FIRST LIMIT $3 FOR UPDATE OF d SKIP LOCKED) \
             UPDATE webhooks w SET lease_by = $1, lease_until = now() + make_interval(secs => $2) FROM due \
             WHERE w.tenant_id = due.tenant_id AND w.id = due.id RETURNING w.tenant_id, w.id",
        )
        .bind::<Text, _>(server)
        .bind::<Integer, _>(LEASE_S)
        .bind::<BigInt, _>(most);
        let rows: Vec<LeasedRow> = self.run(PLATFORM, |connection| query.load(connection))?;
        let rows = rows.into_iter();
        Ok(rows.map(|row| (TenantId(row.tenant_id), row.id)).collect())
    }

    /// Goes on with a lease. Returns the webhook; none if this server has lost the lease, or must not call it any more.
    pub fn webhook_renew(
        &self,
        tenant: TenantId,
        id: i64,
        server: &str,
    ) -> Result<Option<Webhook>> {
        self.run(tenant, |connection| {
            let renewed = sql_query(
                "UPDATE webhooks SET lease_until = now() + make_interval(secs => $4) \
                 WHERE tenant_id = $1 AND id = $2 AND lease_by = $3 AND lease_until >= now() AND disabled_at IS NULL",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(id)
            .bind::<Text, _>(server)
            .bind::<Integer, _>(LEASE_S)
            .execute(connection)?;
            match renewed {
                0 => Ok(None),
                _ => get(connection, tenant, id),
            }
        })
    }

    /// Ends a lease. The webhook that was called longest ago is leased first, so the end is kept: without it, Postgres would
    /// return the same ones again and again while others wait.
    pub fn webhook_release(&self, tenant: TenantId, id: i64, server: &str) -> Result<()> {
        let query = sql_query(
            "UPDATE webhooks SET lease_by = NULL, lease_until = now() WHERE tenant_id = $1 AND id = $2 AND lease_by = $3",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id)
        .bind::<Text, _>(server);
        self.run(tenant, |connection| query.execute(connection))?;
        Ok(())
    }

    /// Pending events of a webhook that are due, at most `most`: of each thread the first one, and no others before it.
    pub fn webhook_due(&self, tenant: TenantId, id: i64, most: i64) -> Result<Vec<Pending>> {
        let query = sql_query(
            "SELECT number, signature_id, attempts, next_at FROM ( \
                 SELECT DISTINCT ON (signature_id) number, signature_id, attempts, next_at FROM webhook_pending \
                 WHERE tenant_id = $1 AND webhook_id = $2 ORDER BY signature_id, number) AS first \
             WHERE next_at <= now() ORDER BY number LIMIT $3",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id)
        .bind::<BigInt, _>(most);
        let rows: Vec<PendingRow> = self.run(tenant, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(pending).collect())
    }

    /// Pending events of a webhook about these threads, in order.
    pub fn webhook_held_back(
        &self,
        tenant: TenantId,
        id: i64,
        signatures: &[Option<i64>],
    ) -> Result<Vec<Pending>> {
        let query = sql_query(
            "SELECT number, signature_id, attempts, next_at FROM webhook_pending \
             WHERE tenant_id = $1 AND webhook_id = $2 AND coalesce(signature_id, 0) = ANY ($3) ORDER BY number",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id)
        .bind::<Array<BigInt>, _>(
            signatures
                .iter()
                .map(|signature| signature.unwrap_or(0))
                .collect::<Vec<_>>(),
        );
        let rows: Vec<PendingRow> = self.run(tenant, |connection| query.load(connection))?;
        Ok(rows.into_iter().map(pending).collect())
    }

    /// The number of a webhook's pending events.
    pub fn webhook_pending(&self, tenant: TenantId, id: i64) -> Result<i64> {
        let query = sql_query(
            "SELECT count(*) AS count FROM webhook_pending WHERE tenant_id = $1 AND webhook_id = $2",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id);
        let row: CountRow = self.run(tenant, |connection| query.get_result(connection))?;
        Ok(row.count)
    }

    /// Records what came of calls, if this server still has the lease. `event` tells that the webhook was disabled.
    pub fn webhook_settle(
        &self,
        tenant: TenantId,
        id: i64,
        server: &str,
        settlement: &Settlement,
        event: impl FnOnce(&str) -> Event,
    ) -> Result<bool> {
        self.transaction(tenant, |connection| {
            let delivered = settlement.has_delivered();
            let settled = sql_query(
                "UPDATE webhooks SET cursor = coalesce($4, cursor), \
                     failing_since = CASE WHEN $5 THEN NULL WHEN $6 THEN coalesce(failing_since, now()) ELSE failing_since END, \
                     disabled_at = CASE WHEN $7 IS NULL THEN disabled_at ELSE now() END, \
                     disabled_why = coalesce($7, disabled_why), \
                     lease_until = now() + make_interval(secs => $8) \
                 WHERE tenant_id = $1 AND id = $2 AND lease_by = $3 AND lease_until >= now()",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(id)
            .bind::<Text, _>(server)
            .bind::<Nullable<BigInt>, _>(settlement.cursor)
            .bind::<diesel::sql_types::Bool, _>(delivered)
            .bind::<diesel::sql_types::Bool, _>(!settlement.attempts.is_empty())
            .bind::<Nullable<Text>, _>(&settlement.disabled)
            .bind::<Integer, _>(LEASE_S)
            .execute(connection)?;
            if settled == 0 {
                return Ok(false);
            }
            delete_pending(connection, tenant, id, &settlement.done)?;
            upsert_pending(connection, tenant, id, &settlement.pending)?;
            insert_attempts(connection, tenant, id, settlement)?;
            if let Some(why) = &settlement.disabled {
                self.audit(connection, &event(why))?;
            }
            Ok(true)
        })
    }

    /// Records a call that no event was the reason for.
    pub fn webhook_attempt_insert(
        &self,
        tenant: TenantId,
        id: i64,
        settlement: &Settlement,
    ) -> Result<()> {
        self.transaction(tenant, |connection| {
            insert_attempts(connection, tenant, id, settlement)
        })
    }
}

fn pending(row: PendingRow) -> Pending {
    Pending {
        number: row.number,
        signature: row.signature_id,
        attempts: row.attempts.unsigned_abs(),
        next_at: row.next_at,
    }
}

fn delete_pending(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: i64,
    numbers: &[i64],
) -> QueryResult<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    sql_query("DELETE FROM webhook_pending WHERE tenant_id = $1 AND webhook_id = $2 AND number = ANY ($3)")
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(id)
        .bind::<Array<BigInt>, _>(numbers)
        .execute(connection)
        .map(drop)
}

fn upsert_pending(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: i64,
    rows: &[Pending],
) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($row:ident => $value:expr) => {
            rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "INSERT INTO webhook_pending (tenant_id, webhook_id, number, signature_id, attempts, next_at) \
         SELECT $1, $2, * FROM unnest($3, $4, $5, $6) \
         ON CONFLICT (tenant_id, webhook_id, number) DO UPDATE SET attempts = excluded.attempts, next_at = excluded.next_at",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<BigInt, _>(id)
    .bind::<Array<BigInt>, _>(column!(row => row.number))
    .bind::<Array<Nullable<BigInt>>, _>(column!(row => row.signature))
    .bind::<Array<Integer>, _>(column!(row => i32::try_from(row.attempts).unwrap_or(i32::MAX)))
    .bind::<Array<Timestamptz>, _>(column!(row => row.next_at))
    .execute(connection)
    .map(drop)
}

/// Adds calls, and forgets those that are too old to be kept.
fn insert_attempts(
    connection: &mut PgConnection,
    tenant: TenantId,
    id: i64,
    settlement: &Settlement,
) -> QueryResult<()> {
    let attempts = &settlement.attempts;
    if attempts.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($attempt:ident => $value:expr) => {
            attempts.iter().map(|$attempt| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "INSERT INTO webhook_attempts (tenant_id, webhook_id, number, at, status, ms, outcome) \
         SELECT $1, $2, * FROM unnest($3, $4, $5, $6, $7)",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<BigInt, _>(id)
    .bind::<Array<Nullable<BigInt>>, _>(column!(attempt => attempt.number))
    .bind::<Array<Timestamptz>, _>(column!(attempt => attempt.at))
    .bind::<Array<Nullable<SmallInt>>, _>(
        column!(attempt => attempt.status.and_then(|status| i16::try_from(status).ok())),
    )
    .bind::<Array<Integer>, _>(column!(attempt => i32::try_from(attempt.ms).unwrap_or(i32::MAX)))
    .bind::<Array<Text>, _>(column!(attempt => attempt.outcome.as_str()))
    .execute(connection)?;
    sql_query(
        "DELETE FROM webhook_attempts WHERE tenant_id = $1 AND webhook_id = $2 AND id <= ( \
             SELECT id FROM webhook_attempts WHERE tenant_id = $1 AND webhook_id = $2 ORDER BY id DESC OFFSET $3 LIMIT 1)",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<BigInt, _>(id)
    .bind::<BigInt, _>(KEPT_ATTEMPTS)
    .execute(connection)
    .map(drop)
}
