//! The usage of tenants, which is what they have stored. Each save and delete updates it in the same transaction.
//!
//! Each connection adds to a row of its own, which it seldom shares with another connection, so that no save waits
//! for another's commit. Lock order: threads first, then this row. After it, only rows that belong to these threads
//! are locked.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Text};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::tenant::Usage;

use super::pool::Store;
use super::schema::tenant_usage;

/// Begins the last part of a statement. A query follows that yields a row: `(tenant_id, bytes, threads, versions)`
/// and [`SHARD`].
pub(super) const INSERT: &str =
    "INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard) ";
/// The row that this connection adds to. There are few servers, each with at most several connections per processor.
pub(super) const SHARD: &str = "(pg_backend_pid() % 64)::smallint";
/// Ends the statement that began with [`INSERT`].
pub(super) const OR_ADD: &str = " ON CONFLICT (tenant_id, shard) DO UPDATE \
    SET bytes = tenant_usage.bytes + excluded.bytes, threads = tenant_usage.threads + excluded.threads, \
        versions = tenant_usage.versions + excluded.versions";

impl Store {
    /// A tenant's usage.
    pub fn usage_get(&self, tenant: TenantId) -> Result<Usage> {
        self.run(tenant, |connection| sum(connection, tenant))
    }
}

#[derive(QueryableByName)]
struct StoredRow {
    #[diesel(sql_type = Text)]
    slug: String,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl Store {
    /// The slugs and stored bytes of the tenants that have stored the most.
    pub fn usage_most(&self, tenants: i64) -> Result<Vec<(String, i64)>> {
        let query = sql_query(
            "SELECT t.slug, sum(u.bytes)::bigint AS bytes FROM tenant_usage u JOIN tenants t ON t.id = u.tenant_id \
             GROUP BY t.id, t.slug ORDER BY bytes DESC, t.id LIMIT $1",
        )
        .bind::<BigInt, _>(tenants);
        let rows = self.run(PLATFORM, |connection| query.load::<StoredRow>(connection))?;
        Ok(rows.into_iter().map(|row| (row.slug, row.bytes)).collect())
    }
}

/// Adds to a tenant's usage, as the last step of a transaction that stores something.
pub(super) fn add(
    connection: &mut PgConnection,
    tenant: TenantId,
    usage: Usage,
) -> QueryResult<()> {
    sql_query(add_sql())
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(usage.bytes)
        .bind::<BigInt, _>(usage.threads)
        .bind::<BigInt, _>(usage.versions)
        .execute(connection)?;
    Ok(())
}

/// The statement of [`add`].
pub(super) fn add_sql() -> String {
    format!("{INSERT}VALUES ($1, $2, $3, $4, {SHARD}){OR_ADD}")
}

/// A tenant's usage: the sum of its rows.
pub(super) fn sum(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<Usage> {
    // Postgres sums `bigint` as `numeric`.
    let sum = |column| diesel::dsl::sql::<BigInt>(column);
    let (bytes, threads, versions) = tenant_usage::table
        .filter(tenant_usage::tenant_id.eq(tenant.0))
        .select((
            sum("coalesce(sum(bytes), 0)::bigint"),
            sum("coalesce(sum(threads), 0)::bigint"),
            sum("coalesce(sum(versions), 0)::bigint"),
        ))
        .first(connection)?;
    Ok(Usage {
        bytes,
        threads,
        versions,
    })
}
