//! Queries about asking witnesses: which checkpoints they are to sign, who asks, and what came of it.
//!
//! The newest checkpoint of a log moves on each second. All its witnesses are asked to sign the same ones, so that a
//! checkpoint gets the signatures of all. A lease says which server asks a witness. It ends by itself if that server goes
//! away, and no row stays locked.

use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Nullable, SmallInt, Text};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::log::Epoch;
use sigpersist_model::witness::{Witness, WitnessState};

use super::log_epochs::epochs;
use super::log_witnesses::{WitnessRow, select_witnesses};
use super::pool::Store;
use super::transaction::try_lock;

/// Seconds of a lease: more than two requests take.
const LEASE_S: i32 = 60;
/// Minutes for which each checkpoint is kept: longer than an answer takes.
const KEPT_MINUTES: i32 = 10;
/// The advisory lock of who keeps checkpoints.
const LOCK: i64 = i64::from_be_bytes(*b"sigwtchk");

/// A witness that is to be asked, and for what.
#[derive(Debug)]
pub struct Asking {
    /// The witness.
    pub witness: Witness,
    /// The current tree of its log.
    pub epoch: Epoch,
    /// The checkpoint, signed by the log.
    pub checkpoint: String,
}

/// The result of asking a witness.
#[derive(Debug)]
pub struct Asked {
    /// The key of the witness that was asked: another one may have its name by now.
    pub key: String,
    /// Its state now.
    pub state: WitnessState,
    /// Why it did not sign.
    pub why: Option<String>,
    /// Its signature.
    pub cosigned: Option<NewCosignature>,
    /// The time after which it may be asked again.
    pub pause: Duration,
}

/// A verified signature of a witness.
#[derive(Debug)]
pub struct NewCosignature {
    /// The tree.
    pub epoch: i16,
    /// The number of entries that the checkpoint is about.
    pub size: i64,
    /// The line for the checkpoint.
    pub line: String,
}

/// How long a witness of the platform, or any of tenants, has not signed the newest checkpoint that it is to sign.
#[derive(Debug)]
pub struct WitnessLag {
    /// The name of the platform's witness; none for all of tenants together.
    pub witness: Option<String>,
    /// Seconds.
    pub seconds: f64,
}

#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct CheckpointRow {
    #[diesel(sql_type = Text)]
    checkpoint: String,
}

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Text)]
    state: String,
}

#[derive(QueryableByName)]
struct LagRow {
    #[diesel(sql_type = Nullable<Text>)]
    witness: Option<String>,
    #[diesel(sql_type = Double)]
    seconds: f64,
}

impl Store {
    /// Keeps the checkpoints of logs with witnesses that have grown, if none was kept within this time. Forgets those that
    /// are old, if a newer one has as many signatures. Does nothing if another server is doing this.
    pub fn witness_keep_checkpoints(&self, interval: Duration) -> Result<()> {
        self.transaction(PLATFORM, |connection| {
            if !try_lock(connection, LOCK)? {
                return Ok(());
            }
            let kept: Vec<DueRow> = sql_query(
                "WITH kept AS ( \
                     INSERT INTO log_checkpoints (tenant_id, epoch, size, checkpoint) \
                     SELECT n.tenant_id, n.epoch, n.size, n.checkpoint FROM ( \
                         SELECT e.tenant_id, e.epoch, split_part(e.checkpoint, E'\\n', 2)::bigint AS size, e.checkpoint \
                         FROM (SELECT DISTINCT tenant_id FROM log_witnesses) AS w \
                         JOIN log_epochs e ON e.tenant_id = w.tenant_id \
                         WHERE e.closed_at IS NULL AND e.frozen_at IS NULL AND e.checkpoint IS NOT NULL) AS n \
                     WHERE n.size > 0 AND NOT EXISTS ( \
                         SELECT FROM log_checkpoints c WHERE c.tenant_id = n.tenant_id AND c.epoch = n.epoch \
                           AND (c.size >= n.size OR c.at > now() - make_interval(secs => $1))) \
                     RETURNING tenant_id) \
                 UPDATE log_witnesses w SET behind_since = coalesce(w.behind_since, now()) FROM kept \
                 WHERE w.tenant_id = kept.tenant_id RETURNING w.tenant_id, w.name",
            )
            .bind::<Double, _>(interval.as_secs_f64())
            .load(connection)?;
            if kept.is_empty() {
                return Ok(());
            }
            let mut tenants: Vec<i32> = kept.into_iter().map(|row| row.tenant_id).collect();
            tenants.dedup();
            sql_query(
                "DELETE FROM log_checkpoints c WHERE c.tenant_id = ANY ($1) AND c.at < now() - make_interval(mins => $2) \
                   AND EXISTS (SELECT FROM log_checkpoints n \
                       WHERE n.tenant_id = c.tenant_id AND n.epoch = c.epoch AND n.size > c.size \
                         AND (SELECT count(*) FROM log_cosignatures s \
                              WHERE s.tenant_id = n.tenant_id AND s.epoch = n.epoch AND s.size = n.size) \
                          >= (SELECT count(*) FROM log_cosignatures s \
                              WHERE s.tenant_id = c.tenant_id AND s.epoch = c.epoch AND s.size = c.size))",
            )
            .bind::<Array<Integer>, _>(tenants)
            .bind::<Integer, _>(KEPT_MINUTES)
            .execute(connection)
            .map(drop)
        })
    }

    /// Leases witnesses that are to be asked to this server, at most `most` of them: of the platform's log, or of tenants'.
    /// The first are those that have waited longest.
    pub fn witness_lease(
        &self,
        server: &str,
        of_platform: bool,
        most: i64,
    ) -> Result<Vec<(TenantId, String)>> {
        let query = sql_query(
            // Once, and not again for each row.
            "WITH due AS MATERIALIZED ( \
                   SELECT d.tenant_id, d.name FROM log_witnesses d \
                   JOIN log_epochs e ON e.tenant_id = d.tenant_id AND e.closed_at IS NULL AND e.frozen_at IS NULL \
                   WHERE (d.tenant_id = 0) = $3 AND d.next_at <= now() \
                     AND (d.lease_until IS NULL OR d.lease_until < now()) \
                     AND EXISTS (SELECT FROM log_checkpoints c WHERE c.tenant_id = d.tenant_id AND c.epoch = e.epoch \
                                   AND (c.size > d.size OR d.epoch IS DISTINCT FROM e.epoch)) \
                   ORDER BY d.next_at LIMIT $4 FOR UPDATE OF d SKIP LOCKED) \
             UPDATE log_witnesses w SET lease_by = $1, lease_until = now() + make_interval(secs => $2) FROM due \
             WHERE w.tenant_id = due.tenant_id AND w.name = due.name RETURNING w.tenant_id, w.name",
        )
        .bind::<Text, _>(server)
        .bind::<Integer, _>(LEASE_S)
        .bind::<Bool, _>(of_platform)
        .bind::<BigInt, _>(most);
        let rows: Vec<DueRow> = self.run(PLATFORM, |connection| query.load(connection))?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| (TenantId(row.tenant_id), row.name))
            .collect())
    }

    /// A witness that this server has leased, and what it is to sign; none if the lease is over, or the log is frozen.
    pub fn witness_asking(
        &self,
        tenant: TenantId,
        name: &str,
        server: &str,
    ) -> Result<Option<Asking>> {
        self.run(tenant, |connection| {
            let witness: Option<WitnessRow> = sql_query(select_witnesses!(
                "WHERE w.tenant_id = $1 AND w.name = $2 AND w.lease_by = $3 AND w.lease_until >= now()"
            ))
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(name)
            .bind::<Text, _>(server)
            .get_result(connection)
            .optional()?;
            let Some(witness) = witness else {
                return Ok(None);
            };
            let epoch = epochs(connection, tenant)?.pop();
            let Some(epoch) = epoch.filter(|epoch| epoch.frozen.is_none()) else {
                return Ok(None);
            };
            let newest: Option<CheckpointRow> = sql_query(
                "SELECT checkpoint FROM log_checkpoints WHERE tenant_id = $1 AND epoch = $2 ORDER BY size DESC LIMIT 1",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<SmallInt, _>(epoch.epoch)
            .get_result(connection)
            .optional()?;
            let Some(CheckpointRow { checkpoint }) = newest else {
                return Ok(None);
            };
            Ok(Some(Asking {
                witness: witness.into_witness()?,
                epoch,
                checkpoint,
            }))
        })
    }

    /// Ends this server's lease of a witness that was not asked.
    pub fn witness_release(&self, tenant: TenantId, name: &str, server: &str) -> Result<()> {
        let query = sql_query(
            "UPDATE log_witnesses SET lease_by = NULL, lease_until = NULL \
             WHERE tenant_id = $1 AND name = $2 AND lease_by = $3",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Text, _>(name)
        .bind::<Text, _>(server);
        self.run(tenant, |connection| query.execute(connection))
            .map(drop)
    }

    /// Records what came of asking a witness, if this server still has the lease and the witness is still the one with that
    /// key, and ends the lease. Returns the state before; none if nothing was recorded. `event` tells of a witness that begins
    /// to refuse the log.
    pub fn witness_settle(
        &self,
        tenant: TenantId,
        name: &str,
        server: &str,
        asked: &Asked,
        event: impl FnOnce() -> Event,
    ) -> Result<Option<WitnessState>> {
        self.transaction(tenant, |connection| {
            let before: Option<StateRow> = sql_query(
                "SELECT state FROM log_witnesses \
                 WHERE tenant_id = $1 AND name = $2 AND lease_by = $3 AND lease_until >= now() AND key = $4 FOR UPDATE",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(name)
            .bind::<Text, _>(server)
            .bind::<Text, _>(&asked.key)
            .get_result(connection)
            .optional()?;
            let Some(before) = before else {
                return Ok(None);
            };
            let before = before.state.parse().unwrap_or(WitnessState::New);
            let cosigned = asked.cosigned.as_ref();
            if let Some(cosigned) = cosigned {
                insert_cosignature(connection, tenant, name, cosigned)?;
            }
            sql_query(
                "UPDATE log_witnesses SET state = $3, why = $4, since = CASE WHEN state = $3 THEN since ELSE now() END, \
                     failures = CASE WHEN $5 IS NULL THEN failures + 1 ELSE 0 END, \
                     epoch = coalesce($5, epoch), size = coalesce($6, size), \
                     signed_at = CASE WHEN $5 IS NULL THEN signed_at ELSE now() END, \
                     behind_since = CASE WHEN $5 IS NULL THEN behind_since \
                                         ELSE (SELECT min(c.at) FROM log_checkpoints c \
                                               WHERE c.tenant_id = $1 AND c.epoch = $5 AND c.size > $6) END, \
                     next_at = now() + make_interval(secs => $7), lease_by = NULL, lease_until = NULL \
                 WHERE tenant_id = $1 AND name = $2",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(name)
            .bind::<Text, _>(asked.state.as_str())
            .bind::<Nullable<Text>, _>(&asked.why)
            .bind::<Nullable<SmallInt>, _>(cosigned.map(|cosigned| cosigned.epoch))
            .bind::<Nullable<BigInt>, _>(cosigned.map(|cosigned| cosigned.size))
            .bind::<Double, _>(asked.pause.as_secs_f64())
            .execute(connection)?;
            if asked.state == WitnessState::Refused && before != WitnessState::Refused {
                self.audit(connection, &event())?;
            }
            Ok(Some(before))
        })
    }

    /// How long witnesses have not signed the newest checkpoint that they are to sign: each of the platform's, and the one
    /// of tenants that is furthest behind.
    pub fn witness_lags(&self) -> Result<Vec<WitnessLag>> {
        let rows: Vec<LagRow> = self.run(PLATFORM, |connection| {
            sql_query(
                "SELECT CASE WHEN tenant_id = 0 THEN name END AS witness, \
                        coalesce(max(extract(epoch FROM now() - behind_since)), 0)::double precision AS seconds \
                 FROM log_witnesses GROUP BY 1",
            )
            .load(connection)
        })?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| WitnessLag {
                witness: row.witness,
                seconds: row.seconds,
            })
            .collect())
    }
}

/// Keeps a signature, if its checkpoint is still kept.
fn insert_cosignature(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
    cosigned: &NewCosignature,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO log_cosignatures (tenant_id, epoch, size, witness, line) \
         SELECT tenant_id, epoch, size, $4, $5 FROM log_checkpoints WHERE tenant_id = $1 AND epoch = $2 AND size = $3 \
         ON CONFLICT (tenant_id, epoch, size, witness) DO UPDATE SET line = excluded.line, at = now()",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<SmallInt, _>(cosigned.epoch)
    .bind::<BigInt, _>(cosigned.size)
    .bind::<Text, _>(name)
    .bind::<Text, _>(&cosigned.line)
    .execute(connection)
    .map(drop)
}
