//! The sequencer's transaction: moves what happened from the queue into the logs.
//!
//! One server at a time does it, for all tenants. It takes rows in the order of their ids: whatever was answered before
//! another request began has the lower id, and is visible wherever the other is. So the numbers in the logs respect real
//! time, and the versions of a thread ascend.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, CChar, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Queued};
use sigpersist_tlog::{Hash, Kind};

use super::changes::Change;
use super::log_append::{Epochs, append, new_epoch};
use super::log_epochs::{EpochRow, KnownHead, fork, with_epoch_columns};
use super::log_low::Drawn;
use super::log_write::{insert_entries, insert_epoch, insert_nodes, notify, update_epochs};
use super::pool::Store;
use super::transaction::set_tenant;

/// The most rows that one pass takes.
const MOST_ROWS: i64 = 8_192;
/// The advisory lock of the sequencer.
pub(super) const LOCK: i64 = i64::from_be_bytes(*b"sigplogs");

/// What a pass needs to know.
pub struct Sequencing<'a> {
    /// The id after which it looks in the queue.
    pub after: i64,
    /// The only tenant whose rows it takes; none for all.
    pub only: Option<TenantId>,
    /// What the names of new trees begin with.
    pub origin: &'a str,
    /// The state in which this server last saw the log of a tenant.
    pub known: &'a dyn Fn(TenantId) -> Option<KnownHead>,
    /// Signs the checkpoint of a tree that has grown; none without a key.
    pub sign: &'a dyn Fn(&Epoch) -> Option<String>,
}

impl std::fmt::Debug for Sequencing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sequencing after {}", self.after)
    }
}

/// What a pass did.
#[derive(Debug, Default)]
pub struct Pass {
    /// The transaction id below which all transactions had ended when it began.
    pub ended: i64,
    /// The state of the queue when it began; none if it found nothing.
    pub drawn: Option<Drawn>,
    /// The number of rows that it took.
    pub taken: usize,
    /// Whether it took as many as it may.
    pub is_full: bool,
    /// When the oldest row that it took was added.
    pub oldest: Option<DateTime<Utc>>,
    /// The least id that it took.
    pub least: Option<i64>,
    /// The trees that have grown.
    pub grown: Vec<Epoch>,
    /// The trees that were found not to be what was seen before.
    pub frozen: Vec<Epoch>,
    /// Whether there are frozen trees, or logs that still arrive, whose rows stay in the queue.
    pub has_standing: bool,
}

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Bool)]
    has_lock: bool,
    #[diesel(sql_type = BigInt)]
    drawn: i64,
    #[diesel(sql_type = BigInt)]
    ended: i64,
}

#[derive(QueryableByName)]
pub(super) struct QueueRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = CChar)]
    kind: u8,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    signature_id: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    version: Option<i32>,
    #[diesel(sql_type = Binary)]
    seal: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    event: Option<String>,
}

impl QueueRow {
    pub(super) fn into_queued(self) -> QueryResult<Queued> {
        Ok(Queued {
            id: self.id,
            tenant: TenantId(self.tenant_id),
            kind: Kind::from_code(self.kind)
                .ok_or_else(|| broken("the queue has an unknown kind"))?,
            at: self.at,
            signature: self.signature_id,
            version: self.version,
            seal: hash(self.seal)?,
            salt: self.salt,
            event: self.event,
        })
    }
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    signature_id: Option<i64>,
}

#[derive(QueryableByName)]
struct TransactionRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Store {
    /// Moves rows of the queue into the logs, in one transaction. Returns none if another server is doing so.
    pub fn log_sequence(&self, sequencing: &Sequencing<'_>) -> Result<Option<Pass>> {
        let pass = self.transaction(PLATFORM, |connection| pass(connection, sequencing))?;
        for epoch in pass.iter().flat_map(|pass| &pass.grown) {
            self.tell(Change::Logged(epoch.tenant));
        }
        Ok(pass)
    }

    /// Tenants with rows in the queue, among as many as one pass takes, without those whose logs are frozen or still
    /// arrive.
    pub fn log_queue_tenants(&self) -> Result<Vec<TenantId>> {
        #[derive(QueryableByName)]
        struct Waiting {
            #[diesel(sql_type = Integer)]
            tenant_id: i32,
        }
        let rows: Vec<Waiting> = self.run(PLATFORM, |connection| {
            let frozen = standing(connection)?;
            sql_query(
                "SELECT DISTINCT q.tenant_id FROM ( \
                     SELECT tenant_id FROM log_queue WHERE tenant_id <> ALL ($1) ORDER BY id LIMIT $2) AS q",
            )
            .bind::<Array<Integer>, _>(frozen)
            .bind::<BigInt, _>(MOST_ROWS)
            .load(connection)
        })?;
        Ok(rows
            .into_iter()
            .map(|row| TenantId(row.tenant_id))
            .collect())
    }

    /// Freezes the log of a tenant, because something is wrong with what is stored of it.
    pub fn log_freeze(&self, tenant: TenantId, why: &str) -> Result<()> {
        self.run(PLATFORM, |connection| {
            sql_query(
                "UPDATE log_epochs SET frozen_at = now(), frozen_why = $2, seen = size \
                 WHERE tenant_id = $1 AND closed_at IS NULL AND frozen_at IS NULL",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(why)
            .execute(connection)
        })?;
        Ok(())
    }

    /// The logs that have grown since this time, as they are now.
    pub fn log_grown(&self, since: DateTime<Utc>) -> Result<Vec<Epoch>> {
        self.run(PLATFORM, |connection| {
            let rows: Vec<EpochRow> = sql_query(with_epoch_columns!(
                "SELECT",
                "FROM log_epochs WHERE closed_at IS NULL AND frozen_at IS NULL AND at >= $1"
            ))
            .bind::<Timestamptz, _>(since)
            .load(connection)?;
            rows.into_iter().map(EpochRow::into_epoch).collect()
        })
    }

    /// Whether the queue has more rows than one pass takes.
    pub fn log_queue_is_long(&self) -> Result<bool> {
        let query = sql_query("SELECT id AS number, signature_id FROM log_queue OFFSET $1 LIMIT 1")
            .bind::<BigInt, _>(MOST_ROWS);
        let found: Option<NumberRow> = self.run(PLATFORM, |connection| {
            query.get_result(connection).optional()
        })?;
        Ok(found.is_some())
    }

    /// The number of rows in the queue, and when the oldest was added.
    pub fn log_queue_depth(&self) -> Result<(i64, Option<DateTime<Utc>>)> {
        #[derive(QueryableByName)]
        struct Depth {
            #[diesel(sql_type = BigInt)]
            rows: i64,
            #[diesel(sql_type = Nullable<Timestamptz>)]
            oldest: Option<DateTime<Utc>>,
        }
        let depth: Depth = self.run(PLATFORM, |connection| {
            sql_query("SELECT count(*) AS rows, min(at) AS oldest FROM log_queue")
                .get_result(connection)
        })?;
        Ok((depth.rows, depth.oldest))
    }
}

fn pass(connection: &mut PgConnection, sequencing: &Sequencing<'_>) -> QueryResult<Option<Pass>> {
    // The order matters: what was drawn is looked up before the pass has a transaction id (`log_low`).
    let state: StateRow = sql_query(
        "SELECT pg_try_advisory_xact_lock($1) AS has_lock, \
                (SELECT last_value FROM log_queue_id_seq) AS drawn, \
                pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS ended",
    )
    .bind::<BigInt, _>(LOCK)
    .get_result(connection)?;
    if !state.has_lock {
        return Ok(None);
    }
    // A delete may keep a row of the queue for a moment. Then this pass fails, and the next one takes it.
    connection.batch_execute("SET LOCAL lock_timeout = '500ms'")?;
    let mut pass = Pass {
        ended: state.ended,
        ..Pass::default()
    };
    let standing = standing(connection)?;
    pass.has_standing = !standing.is_empty();
    connection.batch_execute("SAVEPOINT taken")?;
    let rows = take(connection, sequencing, &standing)?;
    if rows.is_empty() {
        return Ok(Some(pass));
    }
    pass.taken = rows.len();
    pass.is_full = i64::try_from(rows.len()).is_ok_and(|taken| taken >= MOST_ROWS);
    pass.oldest = rows.iter().map(|row| row.at).min();
    pass.least = rows.first().map(|row| row.id);
    let transaction: TransactionRow =
        sql_query("SELECT pg_current_xact_id()::text::bigint AS id").get_result(connection)?;
    pass.drawn = Some(Drawn {
        id: state.drawn,
        transaction: transaction.id,
    });
    let mut epochs = epochs(connection, &rows, sequencing.origin)?;
    for epoch in epochs.values() {
        let Some(known) = (sequencing.known)(epoch.tenant) else {
            continue;
        };
        set_tenant(connection, epoch.tenant)?;
        if let Some(why) = fork(connection, epoch, &known)? {
            pass.frozen.push(Epoch {
                frozen: Some(why),
                seen: known.size,
                ..epoch.clone()
            });
        }
    }
    set_tenant(connection, PLATFORM)?;
    if !pass.frozen.is_empty() {
        return freeze(connection, pass).map(Some);
    }
    let earlier = earlier(connection, &rows)?;
    let appended = append(rows, &mut epochs, &earlier)
        .ok_or_else(|| broken("the stored edge of a log does not fit its size"))?;
    let at = Utc::now();
    for epoch in epochs.values_mut() {
        epoch.at = at;
        epoch.checkpoint = (sequencing.sign)(epoch).or(epoch.checkpoint.take());
    }
    insert_entries(connection, &appended.entries)?;
    insert_nodes(connection, &appended.nodes)?;
    let grown: Vec<_> = epochs.into_values().collect();
    update_epochs(connection, &grown)?;
    notify(connection, &grown)?;
    pass.grown = grown;
    Ok(Some(pass))
}

/// Tenants whose log is frozen or still arrives with an import. Their rows stay in the queue.
fn standing(connection: &mut PgConnection) -> QueryResult<Vec<i32>> {
    #[derive(QueryableByName)]
    struct Standing {
        #[diesel(sql_type = Integer)]
        tenant_id: i32,
    }
    let standing: Vec<Standing> = sql_query(
        "SELECT tenant_id FROM log_epochs WHERE frozen_at IS NOT NULL AND closed_at IS NULL \
         UNION ALL SELECT tenant_id FROM log_arrivals",
    )
    .load(connection)?;
    Ok(standing.into_iter().map(|row| row.tenant_id).collect())
}

/// Takes rows out of the queue, in order.
fn take(
    connection: &mut PgConnection,
    sequencing: &Sequencing<'_>,
    standing: &[i32],
) -> QueryResult<Vec<Queued>> {
    // A tenant whose log arrives may have been made since `standing` was read.
    let rows: Vec<QueueRow> = sql_query(
        "WITH taken AS ( \
             DELETE FROM log_queue WHERE id = ANY (ARRAY( \
                 SELECT id FROM log_queue WHERE id > $1 AND tenant_id <> ALL ($2) AND tenant_id = coalesce($4, tenant_id) \
                       AND tenant_id <> ALL (ARRAY(SELECT a.tenant_id FROM log_arrivals a)) \
                 ORDER BY id LIMIT $3)) \
             RETURNING id, tenant_id, kind, at, signature_id, version, seal, salt, event) \
         SELECT * FROM taken ORDER BY id",
    )
    .bind::<BigInt, _>(sequencing.after)
    .bind::<Array<Integer>, _>(standing)
    .bind::<BigInt, _>(MOST_ROWS)
    .bind::<Nullable<Integer>, _>(sequencing.only.map(|tenant| tenant.0))
    .load(connection)?;
    rows.into_iter().map(QueueRow::into_queued).collect()
}

/// The trees that the rows go into, locked. Tenants without one get one; those that are gone, or are being removed, have
/// none.
fn epochs(connection: &mut PgConnection, rows: &[Queued], origin: &str) -> QueryResult<Epochs> {
    #[derive(QueryableByName)]
    struct Existing {
        #[diesel(sql_type = Integer)]
        id: i32,
    }
    let tenants: BTreeSet<i32> = rows.iter().map(|row| row.tenant.0).collect();
    let existing: Vec<Existing> = sql_query(
        "SELECT w.id FROM unnest($1) AS w (id) \
         WHERE w.id = 0 OR EXISTS (SELECT FROM tenants t WHERE t.id = w.id AND t.removing_since IS NULL) ORDER BY 1",
    )
    .bind::<Array<Integer>, _>(tenants.into_iter().collect::<Vec<_>>())
    .load(connection)?;
    let wanted: Vec<i32> = existing.into_iter().map(|row| row.id).collect();
    let known: Vec<EpochRow> = sql_query(with_epoch_columns!(
        "SELECT",
        "FROM log_epochs WHERE tenant_id = ANY ($1) AND closed_at IS NULL ORDER BY tenant_id FOR UPDATE"
    ))
    .bind::<Array<Integer>, _>(&wanted)
    .load(connection)?;
    let mut epochs = Epochs::new();
    for row in known {
        let epoch = row.into_epoch()?;
        epochs.insert(epoch.tenant, epoch);
    }
    for tenant in wanted.into_iter().map(TenantId) {
        if let Entry::Vacant(missing) = epochs.entry(tenant) {
            let epoch = new_epoch(tenant, 1, new_origin(origin)?, 1, Utc::now());
            insert_epoch(connection, &epoch)?;
            missing.insert(epoch);
        }
    }
    Ok(epochs)
}

/// A name for a new tree, which tells nothing about its tenant.
pub(super) fn new_origin(origin: &str) -> QueryResult<String> {
    let mut id = [0; 16];
    rand::fill(&mut id)
        .map_err(|_| DieselError::SerializationError("there is no randomness".into()))?;
    Ok(format!("{origin}/{}", to_hex(&id)))
}

/// The numbers of stored entries about threads that were deleted. Only a tenant may read its entries. The transaction acts
/// for the platform.
pub(super) fn earlier(
    connection: &mut PgConnection,
    rows: &[Queued],
) -> QueryResult<BTreeMap<(TenantId, i64), Vec<i64>>> {
    let mut deleted: BTreeMap<TenantId, Vec<i64>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == Kind::Deleted) {
        deleted.entry(row.tenant).or_default().extend(row.signature);
    }
    let mut earlier: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for (tenant, signatures) in deleted {
        set_tenant(connection, tenant)?;
        let numbers: Vec<NumberRow> = sql_query(
            "SELECT number, signature_id FROM log_entries WHERE tenant_id = $1 AND signature_id = ANY ($2)",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Array<BigInt>, _>(&signatures)
        .load(connection)?;
        for row in numbers {
            let thread = (tenant, row.signature_id.unwrap_or_default());
            earlier.entry(thread).or_default().push(row.number);
        }
    }
    for numbers in earlier.values_mut() {
        numbers.sort_unstable();
    }
    set_tenant(connection, PLATFORM)?;
    Ok(earlier)
}

/// Puts the rows of a pass back: the trees that are not what was seen before are frozen, and the next pass takes the rows
/// of the others.
fn freeze(connection: &mut PgConnection, pass: Pass) -> QueryResult<Pass> {
    connection.batch_execute("ROLLBACK TO SAVEPOINT taken")?;
    for epoch in &pass.frozen {
        sql_query(
            "UPDATE log_epochs SET frozen_at = now(), frozen_why = $3, seen = $4 WHERE tenant_id = $1 AND epoch = $2",
        )
        .bind::<Integer, _>(epoch.tenant.0)
        .bind::<SmallInt, _>(epoch.epoch)
        .bind::<Nullable<Text>, _>(&epoch.frozen)
        .bind::<BigInt, _>(epoch.seen)
        .execute(connection)?;
    }
    Ok(Pass {
        taken: 0,
        drawn: None,
        // Others' rows are waiting.
        is_full: true,
        has_standing: true,
        ..pass
    })
}

pub(super) fn hash(bytes: Vec<u8>) -> QueryResult<Hash> {
    bytes
        .try_into()
        .map_err(|_| broken("a hash in the log has another length"))
}

pub(super) fn broken(what: &'static str) -> DieselError {
    DieselError::DeserializationError(what.into())
}
