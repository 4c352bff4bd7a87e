//! Removes a tenant's own data, in small batches, so that nobody waits long for a lock, and so that an interrupted
//! removal continues where it stopped.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::tenant::Usage;

use super::changes::Change;
use super::pool::Store;
use super::schema::{signatures, tenant_usage, tenants};
use super::transaction::set_tenant;
use super::usage;

/// Rows and bytes of one batch, which is one short transaction.
const BATCH_ROWS: i64 = 1_000;
const BATCH_BYTES: i64 = 32 * 1024 * 1024;
/// The first half of the key of the advisory lock for a tenant's removal; the tenant's id is the second half.
const LOCK: i32 = i32::from_be_bytes(*b"sigp");

const OWN: &str = "tenant_id = $1";
const OF_OWN_PLUGINS: &str = "plugin_id IN (SELECT id FROM plugins WHERE tenant_id = $1)";

/// The tables that are emptied before the tenant is deleted, in this order, with the condition for its rows and the
/// weight of a row.
///
/// A thread's data goes before the thread, and hooks go before the plugins that they run, so that no delete cascades
/// to many rows. Other tables have few and small rows, which are deleted with the tenant.
const TABLES: [(&str, &str, &str); 20] = [
    ("signature_tags", OWN, "0"),
    ("signature_terms", OWN, "0"),
    ("signature_verdicts", OWN, "bytes"),
    ("signature_versions", OWN, "octet_length(signature)"),
    ("signatures", OWN, "0"),
    (
        "hook_judgements",
        OWN,
        "pg_column_size(input) + pg_column_size(decisions)",
    ),
    ("hook_inputs", OWN, "octet_length(signature)"),
    ("hooks", OWN, "0"),
    ("hook_bindings", OWN, "pg_column_size(settings)"),
    (
        "plugin_revisions",
        OF_OWN_PLUGINS,
        "octet_length(component)",
    ),
    ("plugins", OWN, "0"),
    ("keys", OWN, "0"),
    // Without witnesses, no checkpoints are kept for them any more.
    ("log_cosignatures", OWN, "0"),
    ("log_witnesses", OWN, "0"),
    ("log_checkpoints", OWN, "0"),
    ("log_queue", OWN, "0"),
    ("log_entries", OWN, "0"),
    ("log_nodes", OWN, "0"),
    ("log_epochs", OWN, "0"),
    ("log_settings", OWN, "0"),
];

/// The tables, each with the statement that deletes rows of a tenant from it.
pub(super) fn step_sql() -> impl Iterator<Item = (&'static str, String)> {
    TABLES.into_iter().map(|(table, whose, weight)| {
        let statement = format!(
            "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY( \
                 SELECT ctid FROM ( \
                     SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before \
                     FROM (SELECT ctid, ({weight})::bigint AS size FROM {table} WHERE {whose} LIMIT $2) AS own \
                 ) AS weighed WHERE before < $3)) RETURNING ({weight})::bigint AS size) \
             SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes FROM gone"
        );
        (table, statement)
    })
}

/// The result of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// There may be more rows.
    Some,
    /// Nothing is left, except rows that were stored just now by a server that has not heard of the removal yet.
    Everything,
    /// Another server is removing this tenant.
    Elsewhere,
}

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

#[derive(QueryableByName)]
struct Gone {
    #[diesel(sql_type = BigInt)]
    rows: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl Store {
    /// The next tenant after this one that is due to be removed. From now on its deletion can't be cancelled.
    pub fn removal_begin(&self, after: TenantId) -> Result<Option<(TenantId, String)>> {
        let due = tenants::table
            .filter(tenants::id.gt(after.0))
            .filter(tenants::delete_after.le(diesel::dsl::now))
            .order(tenants::id)
            .select((
                tenants::id,
                tenants::slug,
                tenants::removing_since.is_null(),
            ));
        let row = self.run(PLATFORM, |connection| {
            let Some((id, slug, new)) = due.first::<(i32, String, bool)>(connection).optional()?
            else {
                return Ok(None);
            };
            if new {
                let begun = diesel::update(tenants::table.filter(tenants::id.eq(id)))
                    .filter(tenants::delete_after.le(diesel::dsl::now))
                    .set(tenants::removing_since.eq(diesel::dsl::now))
                    .execute(connection)?;
                // Somebody cancelled the deletion at the last moment.
                if begun == 0 {
                    return Ok(None);
                }
            }
            Ok(Some((id, slug)))
        })?;
        Ok(row.map(|(id, slug)| (TenantId(id), slug)))
    }

    /// Removes a batch of a tenant's data. The tenant's usage stays, so that it shows in the end how much was
    /// removed, even if the removal was interrupted.
    pub fn removal_step(&self, tenant: TenantId) -> Result<Removed> {
        self.transaction(tenant, |connection| {
            let lock: Lock = sql_query("SELECT pg_try_advisory_xact_lock($1, $2) AS taken")
                .bind::<Integer, _>(LOCK)
                .bind::<Integer, _>(tenant.0)
                .get_result(connection)?;
            if !lock.taken {
                return Ok(Removed::Elsewhere);
            }
            let (mut rows, mut bytes) = (0, 0);
            for (_, statement) in step_sql() {
                let gone: Gone = sql_query(statement)
                    .bind::<Integer, _>(tenant.0)
                    .bind::<BigInt, _>(BATCH_ROWS - rows)
                    .bind::<BigInt, _>(BATCH_BYTES - bytes)
                    .get_result(connection)?;
                rows += gone.rows;
                bytes += gone.bytes;
                // The next table must wait until this one has no row of the tenant left.
                if rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
                    return Ok(Removed::Some);
                }
            }
            Ok(Removed::Everything)
        })
    }

    /// Removes the tenant itself, and records an event with its usage. Returns whether it was removed.
    pub fn removal_end(
        &self,
        tenant: TenantId,
        event: impl FnOnce(Usage) -> Event,
    ) -> Result<bool> {
        self.changing(Change::Keys(tenant), |connection| {
            // Lock order, as in a save: the tenant's row, the threads, then rows of usage. Few threads are left: those
            // of saves that were under way.
            tenants::table
                .filter(tenants::id.eq(tenant.0))
                .select(tenants::id)
                .for_update()
                .load::<i32>(connection)?;
            set_tenant(connection, tenant)?;
            signatures::table
                .select(signatures::id)
                .for_update()
                .load::<i64>(connection)?;
            set_tenant(connection, PLATFORM)?;
            tenant_usage::table
                .filter(tenant_usage::tenant_id.eq(tenant.0))
                .select(tenant_usage::shard)
                .for_update()
                .load::<i16>(connection)?;
            let stored = usage::sum(connection, tenant)?;
            let removed = diesel::delete(tenants::table.filter(tenants::id.eq(tenant.0)))
                .filter(tenants::removing_since.is_not_null())
                .execute(connection)?;
            if removed > 0 {
                // Of saves that were under way. Their other rows went with the tenant.
                sql_query("DELETE FROM log_queue WHERE tenant_id = $1")
                    .bind::<Integer, _>(tenant.0)
                    .execute(connection)?;
                self.audit(connection, &event(stored))?;
            }
            Ok(removed > 0)
        })
    }
}
