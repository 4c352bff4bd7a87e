//! Removing what is a tenant's own: in small batches, so that nobody waits long for anything, and so that it goes on where
//! it was whenever it is broken off.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Bool, Integer};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::tenant::Usage;

use super::pool::Store;
use super::schema::{tenant_usage, tenants};
use super::usage;

/// Rows and bytes of one batch: one short transaction.
const BATCH_ROWS: i64 = 1_000;
const BATCH_BYTES: i64 = 32 * 1024 * 1024;
/// The first half of the name of the lock under which a tenant is removed; its id is the second.
const LOCK: i32 = i32::from_be_bytes(*b"sigp");

const OWN: &str = "tenant_id = $1";
const OF_OWN_PLUGINS: &str = "plugin_id IN (SELECT id FROM plugins WHERE tenant_id = $1)";

/// What is emptied before the tenant goes, in this order; which rows are its own; and what one weighs. What a thread has
/// goes before it, and hooks before what they run, so that no row takes many others along. What is left are few and small
/// rows, which go with the tenant.
const TABLES: [(&str, &str, &str); 11] = [
    ("signature_tags", OWN, "0"),
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
    ("tenant_keys", OWN, "0"),
];

/// What a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// There may be more.
    Some,
    /// Nothing is left but what was stored just now, by a server that has not yet heard of it.
    Everything,
    /// Another server is at it.
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
    /// The next tenant after this one that is due to be removed, which from now on nothing takes back.
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
                // Somebody has taken the deletion back at the last moment.
                if begun == 0 {
                    return Ok(None);
                }
            }
            Ok(Some((id, slug)))
        })?;
        Ok(row.map(|(id, slug)| (TenantId(id), slug)))
    }

    /// Removes a batch of what is a tenant's own. What it had stored stays in its usage, so that in the end that says how
    /// much went, however often the removal was broken off.
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
            for (table, whose, weight) in TABLES {
                let gone: Gone = sql_query(format!(
                    "WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY( \
                         SELECT ctid FROM ( \
                             SELECT ctid, sum(size) OVER (ROWS UNBOUNDED PRECEDING) - size AS before \
                             FROM (SELECT ctid, ({weight})::bigint AS size FROM {table} WHERE {whose} LIMIT $2) AS own \
                         ) AS weighed WHERE before < $3)) RETURNING ({weight})::bigint AS size) \
                     SELECT count(*) AS rows, coalesce(sum(size), 0)::bigint AS bytes FROM gone"
                ))
                .bind::<Integer, _>(tenant.0)
                .bind::<BigInt, _>(BATCH_ROWS - rows)
                .bind::<BigInt, _>(BATCH_BYTES - bytes)
                .get_result(connection)?;
                rows += gone.rows;
                bytes += gone.bytes;
                // What comes next must wait until nothing of this is left.
                if rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
                    return Ok(Removed::Some);
                }
            }
            Ok(Removed::Everything)
        })
    }

    /// Removes the tenant itself, and writes down that it and what it had stored is gone; says whether it did.
    pub fn removal_end(
        &self,
        tenant: TenantId,
        event: impl FnOnce(Usage) -> Event,
    ) -> Result<bool> {
        self.transaction(PLATFORM, |connection| {
            // A save that is still under way holds its row of usage and waits for the tenant's, so they are taken in that
            // order here too.
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
                self.audit(connection, &event(stored))?;
            }
            Ok(removed > 0)
        })
    }
}
