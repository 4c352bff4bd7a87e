//! The trees of the logs, as they are stored.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Nullable, SmallInt, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::log::Epoch;
use sigpersist_tlog::{
    Hash, Kind, ProofError, Stored as _, StoredRange, consistency_proof, inclusion_proof, root,
};

use super::log_append::new_epoch;
use super::log_hashes::StoredTree;
use super::log_queue::{NewRow, enqueue};
use super::log_sequence::{LOCK, broken, hash, new_origin};
use super::log_write::insert_epoch;
use super::pool::Store;
use super::prepared::{Value, prepared};

/// The columns of an [`EpochRow`], between two parts of a statement.
macro_rules! with_epoch_columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " tenant_id, epoch, origin, first, size, edge, root, checkpoint, at, closed_at, frozen_at, frozen_why, seen ",
            $after
        )
    };
}

pub(super) use with_epoch_columns;

#[derive(QueryableByName)]
pub(super) struct EpochRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = SmallInt)]
    epoch: i16,
    #[diesel(sql_type = Text)]
    origin: String,
    #[diesel(sql_type = BigInt)]
    first: i64,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Binary)]
    edge: Vec<u8>,
    #[diesel(sql_type = Binary)]
    root: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    checkpoint: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    closed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    frozen_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    frozen_why: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    seen: Option<i64>,
}

impl EpochRow {
    pub(super) fn into_epoch(self) -> QueryResult<Epoch> {
        Ok(Epoch {
            tenant: TenantId(self.tenant_id),
            epoch: self.epoch,
            origin: self.origin,
            first: self.first,
            size: self.size,
            edge: self.edge,
            root: hash(self.root)?,
            checkpoint: self.checkpoint,
            at: self.at,
            closed_at: self.closed_at,
            frozen: self.frozen_at.map(|_| self.frozen_why.unwrap_or_default()),
            seen: self.seen.unwrap_or(0),
        })
    }
}

/// The root that a stored tree had when it had so many entries. The session acts for its tenant.
pub(super) fn root_at(
    connection: &mut PgConnection,
    epoch: &Epoch,
    size: u64,
) -> QueryResult<Hash> {
    let mut tree = StoredTree::new(connection, epoch);
    root(size, &mut tree).map_err(failed)
}

/// The state in which a server saw a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHead {
    /// The name of the tree.
    pub origin: String,
    /// Which tree of the log it was.
    pub epoch: i16,
    /// The number of its entries.
    pub size: i64,
    /// Its root.
    pub root: Hash,
}

/// Why a stored tree is not what became of the one that was seen; none if it is. The session acts for its tenant.
pub(super) fn fork(
    connection: &mut PgConnection,
    epoch: &Epoch,
    known: &KnownHead,
) -> QueryResult<Option<String>> {
    let seen = known.size;
    if epoch.origin != known.origin {
        let is_there = epochs(connection, epoch.tenant)?
            .iter()
            .any(|epoch| epoch.origin == known.origin);
        // Another tree took its place.
        return Ok((!is_there).then(|| {
            format!(
                "The tree {} with {seen} entries is gone: the database went back in time. If this is another database, remove the file log-heads.",
                known.origin
            )
        }));
    }
    if epoch.size < seen {
        let size = epoch.size;
        return Ok(Some(format!(
            "It had {seen} entries and has {size} now: the database went back in time."
        )));
    }
    let size = u64::try_from(seen).unwrap_or_default();
    let root = if epoch.size == seen {
        epoch.root
    } else {
        root_at(connection, epoch, size)?
    };
    Ok((root != known.root).then(|| {
        format!("Its first {seen} entries are not those that it had: the database went back in time, or somebody changed them.")
    }))
}

fn failed(error: ProofError<diesel::result::Error>) -> diesel::result::Error {
    match error {
        ProofError::Stored(error) => error,
        _ => broken("the stored hashes of a log are not complete"),
    }
}

impl Store {
    /// The trees of a tenant's log, in order.
    pub fn log_epochs(&self, tenant: TenantId) -> Result<Vec<Epoch>> {
        self.run(tenant, |connection| epochs(connection, tenant))
    }

    /// The proof that an entry is in the tree when it has so many entries (RFC 6962 section 2.1.1). `index` counts from
    /// 0.
    pub fn log_inclusion(&self, epoch: &Epoch, index: u64, size: u64) -> Result<Vec<Hash>> {
        self.run(epoch.tenant, |connection| {
            let mut tree = StoredTree::new(connection, epoch).with_edge(size);
            inclusion_proof(index, size, &mut tree).map_err(failed)
        })
    }

    /// The proof that the tree with `new` entries begins with the one of `old` entries (RFC 6962 section 2.1.2).
    pub fn log_consistency(&self, epoch: &Epoch, old: u64, new: u64) -> Result<Vec<Hash>> {
        self.run(epoch.tenant, |connection| {
            consistency_proof(old, new, &mut StoredTree::new(connection, epoch)).map_err(failed)
        })
    }

    /// Closes a tree that is frozen, or that a witness refuses, and begins another one with an entry that says so. `entry` and
    /// `event` are made from the closed one. Returns whether there was one.
    pub fn log_reopen(
        &self,
        tenant: TenantId,
        origin: &str,
        entry: impl FnOnce(&Epoch) -> String,
        event: impl FnOnce(&Epoch) -> Event,
    ) -> Result<bool> {
        self.transaction(PLATFORM, |connection| {
            // No pass of the sequencer meanwhile.
            sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<BigInt, _>(LOCK)
                .execute(connection)?;
            let frozen: Option<EpochRow> = sql_query(with_epoch_columns!(
                "UPDATE log_epochs e SET closed_at = now() WHERE tenant_id = $1 AND closed_at IS NULL \
                   AND (frozen_at IS NOT NULL \
                        OR EXISTS (SELECT FROM log_witnesses w WHERE w.tenant_id = e.tenant_id AND w.state = 'refused')) \
                 RETURNING",
                ""
            ))
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)
            .optional()?;
            let Some(closed) = frozen.map(EpochRow::into_epoch).transpose()? else {
                return Ok(false);
            };
            let first = closed.first + closed.size.max(closed.seen);
            let epoch = new_epoch(
                tenant,
                closed.epoch + 1,
                new_origin(origin)?,
                first,
                Utc::now(),
            );
            insert_epoch(connection, &epoch)?;
            // Witnesses have signed nothing of the new tree, so they are asked at once.
            sql_query(
                "UPDATE log_witnesses SET state = 'new', since = now(), why = NULL, failures = 0, next_at = now() \
                 WHERE tenant_id = $1",
            )
            .bind::<Integer, _>(tenant.0)
            .execute(connection)?;
            enqueue(
                connection,
                NewRow {
                    tenant,
                    kind: Kind::Continues,
                    signature: None,
                    event: &entry(&closed),
                },
            )?;
            self.audit(connection, &event(&closed))?;
            Ok(true)
        })
    }

    /// Stored hashes of a tree.
    pub fn log_hashes(&self, epoch: &Epoch, range: &StoredRange) -> Result<Vec<Hash>> {
        self.run(epoch.tenant, |connection| {
            let mut tree = StoredTree::new(connection, epoch);
            let hashes = tree.hashes(std::slice::from_ref(range))?;
            Ok(hashes.into_iter().next().unwrap_or_default())
        })
    }

    /// The root that a tree had with so many entries.
    pub fn log_root(&self, epoch: &Epoch, size: u64) -> Result<Hash> {
        self.run(epoch.tenant, |connection| root_at(connection, epoch, size))
    }
}

pub(super) fn epochs(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<Vec<Epoch>> {
    let rows: Vec<EpochRow> = prepared(
        with_epoch_columns!(
            "SELECT",
            "FROM log_epochs WHERE tenant_id = $1 ORDER BY epoch"
        ),
        &[Value::Integer(tenant.0)],
    )
    .load(connection)?;
    rows.into_iter().map(EpochRow::into_epoch).collect()
}
