//! Reading what a log and the store have, to compare them.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, SmallInt, Text};
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Logged};
use sigpersist_model::signature::ThreadKey;
use sigpersist_tlog::Hash;

use super::log_entries::{AFTER_CHECKED, rows_after};
use super::log_epochs::epochs;
use super::log_sequence::hash;
use super::snapshot::Snapshot;

/// Versions that have no entry.
#[derive(Debug, Default)]
pub struct Unlogged {
    /// The number of those that wait for theirs.
    pub waiting: u64,
    /// Some of those that do not.
    pub forged: Vec<(ThreadKey, i32)>,
}

#[derive(QueryableByName)]
struct UnloggedRow {
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    thread: String,
    #[diesel(sql_type = Integer)]
    version: i32,
}

#[derive(QueryableByName)]
struct NodeRow {
    #[diesel(sql_type = SmallInt)]
    level: i16,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

impl Snapshot<'_> {
    /// The tenant's entries after this number, in order, each with whether the bytes of the version that it is about have
    /// their SHA-256.
    pub fn log_entries_checked(&mut self, number: i64, limit: i64) -> Result<Vec<(Logged, bool)>> {
        let tenant = self.tenant;
        self.run(|connection| {
            let rows = rows_after(connection, AFTER_CHECKED, tenant, number, limit)?.into_iter();
            rows.map(|row| {
                let is_intact = row.is_intact.unwrap_or(false);
                Ok((row.into_logged(tenant)?, is_intact))
            })
            .collect()
        })
    }

    /// The trees of the tenant's log, in order.
    pub fn log_epochs(&mut self) -> Result<Vec<Epoch>> {
        let tenant = self.tenant;
        self.run(|connection| epochs(connection, tenant))
    }

    /// The stored nodes of a tree, by level and number.
    pub fn log_nodes(&mut self, epoch: i16) -> Result<BTreeMap<(i16, i64), Hash>> {
        let tenant = self.tenant;
        self.run(|connection| {
            let rows: Vec<NodeRow> = sql_query(
                "SELECT level, number, hash FROM log_nodes WHERE tenant_id = $1 AND epoch = $2",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<SmallInt, _>(epoch)
            .load(connection)?;
            let rows = rows.into_iter();
            rows.map(|row| Ok(((row.level, row.number), hash(row.hash)?)))
                .collect()
        })
    }

    /// The number of the tenant's entries, whether or not they are in a tree; 0 while its log still arrives with an import.
    pub fn log_count(&mut self) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let tenant = self.tenant;
        let row: Count = self.run(|connection| {
            sql_query(
                "SELECT count(*) AS count FROM log_entries \
                 WHERE tenant_id = $1 AND NOT EXISTS (SELECT FROM log_arrivals WHERE tenant_id = $1)",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)
        })?;
        Ok(row.count)
    }

    /// Threads whose current version is not the last one that is stored, at most `limit`.
    pub fn log_set_back(&mut self, limit: i64) -> Result<Vec<ThreadKey>> {
        let tenant = self.tenant;
        let rows: Vec<UnloggedRow> = self.run(|connection| {
            sql_query(
                "SELECT s.document, s.thread, s.version FROM signatures s \
                 WHERE s.tenant_id = $1 AND s.version IS DISTINCT FROM ( \
                     SELECT max(v.version) FROM signature_versions v \
                     WHERE v.tenant_id = s.tenant_id AND v.signature_id = s.id) LIMIT $2",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(limit)
            .load(connection)
        })?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| ThreadKey {
                document: row.document,
                thread: row.thread,
            })
            .collect())
    }

    /// The tenant's versions that have no entry: how many wait for one, and at most `limit` of those that do not.
    pub fn log_unlogged(&mut self, limit: i64) -> Result<Unlogged> {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let tenant = self.tenant;
        self.run(|connection| {
            let waiting: Count = sql_query(
                "SELECT (SELECT count(*) FROM log_queue WHERE tenant_id = $1 AND kind IN ('v', 'b', 'i')) \
                      + (SELECT count(*) FROM signature_versions WHERE tenant_id = $1 AND salt IS NULL) AS count",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)?;
            let forged: Vec<UnloggedRow> = sql_query(
                "SELECT s.document, s.thread, v.version FROM signature_versions v \
                 JOIN signatures s ON s.tenant_id = v.tenant_id AND s.id = v.signature_id \
                 WHERE v.tenant_id = $1 AND v.salt IS NOT NULL \
                   AND NOT EXISTS (SELECT FROM log_entries e \
                                   WHERE e.tenant_id = v.tenant_id AND e.signature_id = v.signature_id \
                                     AND e.version = v.version AND e.kind IN ('v', 'b', 'i')) \
                   AND NOT EXISTS (SELECT FROM log_queue q \
                                   WHERE q.tenant_id = v.tenant_id AND q.signature_id = v.signature_id \
                                     AND q.version = v.version AND q.kind IN ('v', 'b', 'i')) \
                 ORDER BY v.signature_id, v.version LIMIT $2",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(limit)
            .load(connection)?;
            Ok(Unlogged {
                waiting: waiting.count.unsigned_abs(),
                forged: forged
                    .into_iter()
                    .map(|row| {
                        let key = ThreadKey {
                            document: row.document,
                            thread: row.thread,
                        };
                        (key, row.version)
                    })
                    .collect(),
            })
        })
    }
}
