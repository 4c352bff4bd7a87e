//! Refused saves and deletes in the logs of their tenants, and erasing what they say.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::ThreadKey;
use sigpersist_tlog::Kind;

use super::log_queue::{NewRow, enqueue};
use super::pool::Store;
use super::schema::{log_settings, signatures};

impl Store {
    /// Adds a refusal to the queue of the log, if the tenant wants that. `event` is its object.
    ///
    /// A crash of the database may lose what was added in this way within its last second.
    pub fn log_refusal(&self, tenant: TenantId, key: &ThreadKey, event: &str) -> Result<()> {
        self.transaction(tenant, |connection| {
            // As for the record of the hooks' decisions: nothing was stored, so nobody waits until this is on disk.
            sql_query("SET LOCAL synchronous_commit = off").execute(connection)?;
            // A delete of the thread comes before this, or waits and erases it.
            let signature = signatures::table
                .filter(signatures::tenant_id.eq(tenant.0))
                .filter(signatures::document.eq(&key.document))
                .filter(signatures::thread.eq(&key.thread))
                .select(signatures::id)
                .for_key_share()
                .first(connection)
                .optional()?;
            // Written before the row of the queue is drawn, as `log_low` needs it.
            let wanted = log_settings::table
                .find(tenant.0)
                .filter(log_settings::refusals);
            let is_wanted = diesel::update(wanted)
                .set(log_settings::refused_at.eq(diesel::dsl::now))
                .execute(connection)?
                > 0;
            if is_wanted {
                let row = NewRow {
                    tenant,
                    kind: Kind::Refused,
                    signature,
                    event,
                };
                enqueue(connection, row)?;
            }
            Ok(())
        })
    }
}

/// Erases what at most `limit` refusals say that are older than `before`. Returns their number.
pub(super) fn erase(
    connection: &mut PgConnection,
    tenant: TenantId,
    before: DateTime<Utc>,
    limit: i64,
) -> QueryResult<usize> {
    sql_query(
        "UPDATE log_entries SET salt = NULL, event = NULL WHERE tenant_id = $1 AND number = ANY (ARRAY( \
             SELECT number FROM log_entries \
             WHERE tenant_id = $1 AND kind = 'r' AND event IS NOT NULL AND at < $2 LIMIT $3))",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Timestamptz, _>(before)
    .bind::<BigInt, _>(limit)
    .execute(connection)
}
