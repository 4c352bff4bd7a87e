//! The state of all tenants' webhooks, for monitoring.

use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Double, Integer};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;

use super::pool::Store;
use super::transaction::set_tenant;

/// Pending events that are counted.
const MOST_PENDING: i64 = 100_000;
/// Webhooks whose oldest event is looked up: each takes two statements.
const MOST_BEHIND: i64 = 100;

/// The state of all tenants' webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhooksState {
    /// Webhooks that are called, and whose calls do not all fail.
    pub enabled: i64,
    /// Webhooks that are called, although every call fails.
    pub failing: i64,
    /// Webhooks that are not called.
    pub disabled: i64,
    /// Events that wait to be repeated, or behind such events; at most 100,000 are counted.
    pub pending: i64,
    /// The age of the oldest event that a webhook in force has not delivered. If more than 100 webhooks are behind, only
    /// these are looked at: the ones that have failed for longest, then the ones that were called longest ago.
    pub lag: Duration,
}

#[derive(QueryableByName)]
struct CountsRow {
    #[diesel(sql_type = BigInt)]
    enabled: i64,
    #[diesel(sql_type = BigInt)]
    failing: i64,
    #[diesel(sql_type = BigInt)]
    disabled: i64,
    #[diesel(sql_type = BigInt)]
    pending: i64,
}

#[derive(QueryableByName)]
struct BehindRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct AgeRow {
    #[diesel(sql_type = Double)]
    seconds: f64,
}

impl Store {
    /// The state of all tenants' webhooks.
    pub fn webhooks_state(&self) -> Result<WebhooksState> {
        self.transaction(PLATFORM, |connection| {
            let counts: CountsRow = sql_query(
                "SELECT count(*) FILTER (WHERE disabled_at IS NULL AND failing_since IS NULL) AS enabled, \
                        count(*) FILTER (WHERE disabled_at IS NULL AND failing_since IS NOT NULL) AS failing, \
                        count(*) FILTER (WHERE disabled_at IS NOT NULL) AS disabled, \
                        (SELECT count(*) FROM ( \
                             SELECT FROM webhook_pending p JOIN webhooks w ON w.tenant_id = p.tenant_id AND w.id = p.webhook_id \
                             WHERE w.disabled_at IS NULL LIMIT $1) AS counted) AS pending \
                 FROM webhooks",
            )
            .bind::<BigInt, _>(MOST_PENDING)
            .get_result(connection)?;
            let behind: Vec<BehindRow> = sql_query(
                "SELECT tenant_id, number FROM ( \
                     SELECT w.tenant_id, w.failing_since, w.lease_until, \
                            least((SELECT min(p.number) FROM webhook_pending p \
                                   WHERE p.tenant_id = w.tenant_id AND p.webhook_id = w.id), \
                                  (SELECT w.cursor + 1 FROM log_epochs e WHERE e.tenant_id = w.tenant_id \
                                   HAVING max(e.first + e.size - 1) > w.cursor)) AS number \
                     FROM webhooks w WHERE w.disabled_at IS NULL) AS first \
                 WHERE number IS NOT NULL ORDER BY failing_since, lease_until NULLS FIRST LIMIT $1",
            )
            .bind::<BigInt, _>(MOST_BEHIND)
            .load(connection)?;
            // Only its tenant sees an entry.
            let mut lag = Duration::ZERO;
            for BehindRow { tenant_id, number } in behind {
                set_tenant(connection, TenantId(tenant_id))?;
                lag = lag.max(age(connection, tenant_id, number)?);
            }
            Ok(WebhooksState {
                enabled: counts.enabled,
                failing: counts.failing,
                disabled: counts.disabled,
                pending: counts.pending,
                lag,
            })
        })
    }
}

/// The age of a tenant's first entry from this number on; zero if there is none.
fn age(connection: &mut PgConnection, tenant: i32, number: i64) -> QueryResult<Duration> {
    let row: Option<AgeRow> = sql_query(
        "SELECT extract(epoch FROM now() - at)::double precision AS seconds FROM log_entries \
         WHERE tenant_id = $1 AND number >= $2 ORDER BY number LIMIT 1",
    )
    .bind::<Integer, _>(tenant)
    .bind::<BigInt, _>(number)
    .get_result(connection)
    .optional()?;
    let age = row.and_then(|row| Duration::try_from_secs_f64(row.seconds).ok());
    Ok(age.unwrap_or_default())
}
