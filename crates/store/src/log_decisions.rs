//! Digests of what hooks decided, a day (UTC) at a time, for the logs of tenants.
//!
//! The digest of a day is the SHA-256 of the hashes of its rows, one after another, in the order of their times and ids. The
//! hash of a row is the SHA-256 of its columns as netstrings. Rows are read in pages, each in a statement of its own.

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Date, Integer, Nullable, Timestamptz};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_tlog::{Hash, Kind};

use super::log_queue::{NewRow, enqueue};
use super::pool::Store;
use super::snapshot::Snapshot;

/// Rows that one statement reads.
const PAGE: i64 = 500;

/// The decisions of a day in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecisionsOfDay {
    /// The number of saves and deletes that hooks judged.
    pub count: u64,
    /// SHA-256 over them.
    pub sha256: Hash,
}

/// Knowledge about running transactions.
#[derive(Debug, Clone, Copy, QueryableByName)]
pub struct Settling {
    /// The day in UTC, an hour ago.
    #[diesel(sql_type = Date)]
    pub today: NaiveDate,
    /// The transaction id below which all have ended.
    #[diesel(sql_type = BigInt)]
    pub ended: i64,
}

/// A tenant whose log lacks digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undigested {
    /// The tenant.
    pub tenant: TenantId,
    /// The day up to which its log has them; none if it has none.
    pub after: Option<NaiveDate>,
}

#[derive(QueryableByName)]
struct HashRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

#[derive(QueryableByName)]
struct AtRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
}

/// The beginning of a day in UTC.
pub fn day_start(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

fn page(
    connection: &mut PgConnection,
    tenant: TenantId,
    day: NaiveDate,
    after: (DateTime<Utc>, i64),
) -> QueryResult<Vec<HashRow>> {
    sql_query(
        "SELECT at, id, sha256( \
             netstring((extract(epoch FROM at) * 1000000)::bigint::text) || netstring(id::text) \
             || netstring(version::text) || netstring(operation) || netstring(outcome) \
             || netstring(document) || netstring(thread) || netstring(encode(input_sha256, 'hex')) \
             || netstring(input::text) || netstring(decisions::text)) AS hash \
         FROM hook_judgements WHERE tenant_id = $1 AND (at, id) > ($2, $3) AND at < $4 ORDER BY at, id LIMIT $5",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Timestamptz, _>(after.0)
    .bind::<BigInt, _>(after.1)
    .bind::<Timestamptz, _>(day_start(day + Days::new(1)))
    .bind::<BigInt, _>(PAGE)
    .load(connection)
}

/// The digest of a day whose rows come in pages.
fn digest(
    day: NaiveDate,
    mut page: impl FnMut((DateTime<Utc>, i64)) -> Result<Vec<HashRow>>,
) -> Result<DecisionsOfDay> {
    let mut hashes = Context::new(&SHA256);
    let mut count = 0;
    let mut after = (day_start(day), i64::MIN);
    loop {
        let rows = page(after)?;
        for row in &rows {
            hashes.update(&row.hash);
            after = (row.at, row.id);
            count += 1;
        }
        if i64::try_from(rows.len()).is_ok_and(|rows| rows < PAGE) {
            break;
        }
    }
    let sha256 = hashes.finish().as_ref().try_into();
    Ok(DecisionsOfDay {
        count,
        sha256: sha256.map_err(Error::internal)?,
    })
}

/// When the first decision since this time was made.
fn first(
    connection: &mut PgConnection,
    tenant: TenantId,
    since: DateTime<Utc>,
) -> QueryResult<Option<DateTime<Utc>>> {
    let row: Option<AtRow> = sql_query(
        "SELECT at FROM hook_judgements WHERE tenant_id = $1 AND at >= $2 ORDER BY at, id LIMIT 1",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Timestamptz, _>(since)
    .get_result(connection)
    .optional()?;
    Ok(row.map(|row| row.at))
}

/// Lets the digests of days be made again from this day on, since decisions of it were imported. Whoever is making one finds
/// out.
pub(super) fn reset(
    connection: &mut PgConnection,
    tenant: TenantId,
    day: NaiveDate,
) -> QueryResult<()> {
    sql_query(
        "UPDATE log_epochs SET decided_on = least(coalesce(decided_on, '1970-01-02'), $2) - 1 \
         WHERE tenant_id = $1 AND closed_at IS NULL",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Date, _>(day)
    .execute(connection)
    .map(drop)
}

impl Store {
    /// Knowledge about running transactions.
    pub fn log_settling(&self) -> Result<Settling> {
        self.run(PLATFORM, |connection| {
            sql_query(
                "SELECT (now() AT TIME ZONE 'UTC' - interval '1 hour')::date AS today, \
                        pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS ended",
            )
            .get_result(connection)
        })
    }

    /// A new transaction id.
    pub fn log_transaction(&self) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }
        let row: Row = self.run(PLATFORM, |connection| {
            sql_query("SELECT pg_current_xact_id()::text::bigint AS id").get_result(connection)
        })?;
        Ok(row.id)
    }

    /// Some tenants whose logs lack digests of days up to this one.
    pub fn log_undigested(&self, through: NaiveDate, limit: i64) -> Result<Vec<Undigested>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Integer)]
            tenant_id: i32,
            #[diesel(sql_type = Nullable<Date>)]
            decided_on: Option<NaiveDate>,
        }
        let rows: Vec<Row> = self.run(PLATFORM, |connection| {
            sql_query(
                "SELECT tenant_id, decided_on FROM log_epochs \
                 WHERE tenant_id <> 0 AND closed_at IS NULL AND frozen_at IS NULL \
                   AND (decided_on IS NULL OR decided_on < $1) LIMIT $2",
            )
            .bind::<Date, _>(through)
            .bind::<BigInt, _>(limit)
            .load(connection)
        })?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| Undigested {
                tenant: TenantId(row.tenant_id),
                after: row.decided_on,
            })
            .collect())
    }

    /// When a tenant's hooks made the first decision since this time.
    pub fn decisions_first(
        &self,
        tenant: TenantId,
        since: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>> {
        self.run(tenant, |connection| first(connection, tenant, since))
    }

    /// The digest of what a tenant's hooks decided on a day. Each page of rows is read by itself.
    pub fn decisions_of_day(&self, tenant: TenantId, day: NaiveDate) -> Result<DecisionsOfDay> {
        digest(day, |after| {
            self.run(tenant, |connection| page(connection, tenant, day, after))
        })
    }

    /// Notes that a tenant's log has the digests of days up to this one, and adds the event of the last, if there is one.
    /// Does nothing and returns false if somebody else did that, or decisions were imported meanwhile.
    pub fn log_digested(
        &self,
        undigested: Undigested,
        through: NaiveDate,
        event: Option<&str>,
    ) -> Result<bool> {
        let Undigested { tenant, after } = undigested;
        self.transaction(PLATFORM, |connection| {
            let is_next = sql_query(
                "UPDATE log_epochs SET decided_on = $2 \
                 WHERE tenant_id = $1 AND closed_at IS NULL AND decided_on IS NOT DISTINCT FROM $3",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Date, _>(through)
            .bind::<Nullable<Date>, _>(after)
            .execute(connection)?
                > 0;
            if let Some(event) = event.filter(|_| is_next) {
                let row = NewRow {
                    tenant,
                    kind: Kind::Audit,
                    signature: None,
                    event,
                };
                enqueue(connection, row)?;
            }
            Ok(is_next)
        })
    }
}

impl Snapshot<'_> {
    /// The digest of what the tenant's hooks decided on a day.
    pub fn decisions_of_day(&mut self, day: NaiveDate) -> Result<DecisionsOfDay> {
        let tenant = self.tenant;
        digest(day, |after| {
            self.run(|connection| page(connection, tenant, day, after))
        })
    }

    /// When the tenant's hooks made the first decision since this time.
    pub fn decisions_first(&mut self, since: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let tenant = self.tenant;
        self.run(|connection| first(connection, tenant, since))
    }

    /// The day up to which the tenant's log has digests of decisions; none if it has none, or if some are on their way.
    pub fn log_decided_on(&mut self) -> Result<Option<NaiveDate>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Nullable<Date>)]
            decided_on: Option<NaiveDate>,
            #[diesel(sql_type = Bool)]
            is_waiting: bool,
        }
        let tenant = self.tenant;
        let row: Option<Row> = self.run(|connection| {
            sql_query(
                "SELECT decided_on, EXISTS (SELECT FROM log_queue q WHERE q.tenant_id = $1 AND q.kind = 'a') AS is_waiting \
                 FROM log_epochs WHERE tenant_id = $1 AND closed_at IS NULL",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)
            .optional()
        })?;
        Ok(row.and_then(|row| row.decided_on.filter(|_| !row.is_waiting)))
    }
}
