//! Queries that read the log of a tenant for an export.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer};
use sigpersist_model::error::Result;
use sigpersist_model::log::{Logged, Queued};
use sigpersist_model::transfer::ImportedKey;

use super::log_arrivals::imported_keys;
use super::log_entries::{AFTER_SEALED, rows_after};
use super::log_sequence::QueueRow;
use super::snapshot::Snapshot;

impl Snapshot<'_> {
    /// The tenant's entries after this number, in order, with what is sealed of the versions.
    pub fn export_entries(&mut self, number: i64, limit: i64) -> Result<Vec<Logged>> {
        let tenant = self.tenant;
        self.run(|connection| {
            let rows = rows_after(connection, AFTER_SEALED, tenant, number, limit)?.into_iter();
            rows.map(|row| row.into_logged(tenant)).collect()
        })
    }

    /// Changes of the tenant that have no number yet, after this id, in order; without versions, which are logged when
    /// they are imported.
    pub fn export_queued(&mut self, id: i64, limit: i64) -> Result<Vec<Queued>> {
        let tenant = self.tenant;
        self.run(|connection| {
            let rows: Vec<QueueRow> = sql_query(
                "SELECT id, tenant_id, kind, at, signature_id, version, seal, salt, event FROM log_queue \
                 WHERE tenant_id = $1 AND id > $2 AND kind NOT IN ('v', 'b', 'i') ORDER BY id LIMIT $3",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(id)
            .bind::<BigInt, _>(limit)
            .load(connection)?;
            rows.into_iter().map(QueueRow::into_queued).collect()
        })
    }

    /// The number of what [`Self::export_queued`] reads.
    pub fn export_queued_count(&mut self) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let tenant = self.tenant;
        let row: Count = self.run(|connection| {
            sql_query(
                "SELECT count(*) AS count FROM log_queue WHERE tenant_id = $1 AND kind NOT IN ('v', 'b', 'i')",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)
        })?;
        Ok(row.count)
    }

    /// The keys of other servers that signed the imported trees of the tenant's log, by tree.
    pub fn log_imported_keys(&mut self) -> Result<Vec<(i16, ImportedKey)>> {
        let tenant = self.tenant;
        self.run(|connection| imported_keys(connection, tenant))
    }
}
