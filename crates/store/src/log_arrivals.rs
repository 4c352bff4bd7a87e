//! Logs that arrive with their tenants. Their entries are written in batches, and are in no tree until all are there.
//!
//! A tenant with an arrival was made by an import and has no log of its own: the sequencer leaves what happens to it in the
//! queue. One import at a time writes, the one that began last.

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, SmallInt, Text, Timestamptz};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Node, Numbered, Queued};
use sigpersist_model::transfer::ImportedKey;
use sigpersist_tlog::Kind;

use super::changes::Change;
use super::log_append::{Epochs, append, new_epoch};
use super::log_queue::Sealed;
use super::log_sequence::{broken, earlier, new_origin};
use super::log_write::{insert_entries, insert_epoch, insert_nodes, notify};
use super::pool::Store;
use super::schema::{log_arrivals, log_imported_keys, signatures};

/// Rows that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// The right of one import to write the log of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogArrival {
    /// The tenant.
    pub tenant: TenantId,
    run: [u8; 16],
}

/// Whether a log may arrive.
#[derive(Debug)]
pub enum LogArrivalState {
    /// It may; entries up to this number are there already.
    Begun(LogArrival, i64),
    /// Part of another file is there.
    Other,
    /// Part of the log of another file is there, and none of its threads.
    Stale,
    /// It may not: the tenant was there before, or has its log already.
    None,
}

/// An imported tree.
#[derive(Debug, Clone)]
pub struct ImportedTree {
    /// The tree, whole.
    pub epoch: Epoch,
    /// The keys that signed it.
    pub keys: Vec<ImportedKey>,
}

#[derive(QueryableByName)]
struct NumberRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// Lets the log of a tenant that was just made arrive.
pub(super) fn expect_log(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<()> {
    diesel::insert_into(log_arrivals::table)
        .values(log_arrivals::tenant_id.eq(tenant.0))
        .execute(connection)
        .map(drop)
}

/// Whether this import may still write. No other takes its place before the transaction ends.
pub(super) fn is_current(connection: &mut PgConnection, arrival: &LogArrival) -> QueryResult<bool> {
    let found = log_arrivals::table
        .find(arrival.tenant.0)
        .filter(log_arrivals::run.eq(&arrival.run[..]))
        .select(log_arrivals::tenant_id)
        .for_share()
        .first::<i32>(connection)
        .optional()?;
    Ok(found.is_some())
}

/// Takes the right to write from whoever has it; none if no log arrives.
fn seize(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<Option<[u8; 16]>> {
    let mut run = [0; 16];
    rand::fill(&mut run)
        .map_err(|_| DieselError::SerializationError("there is no randomness".into()))?;
    let seized = diesel::update(log_arrivals::table.find(tenant.0))
        .set(log_arrivals::run.eq(&run[..]))
        .execute(connection)?;
    Ok((seized > 0).then_some(run))
}

impl Store {
    /// Begins to write the log of a file, or goes on. `file` identifies it.
    pub fn log_arrival_begin(&self, tenant: TenantId, file: &[u8; 32]) -> Result<LogArrivalState> {
        self.transaction(tenant, |connection| {
            let arrival = log_arrivals::table.find(tenant.0);
            let of: Option<Option<Vec<u8>>> = arrival
                .select(log_arrivals::file)
                .for_update()
                .first(connection)
                .optional()?;
            match of {
                None => return Ok(LogArrivalState::None),
                Some(Some(of)) if of != file => {
                    let has_threads = diesel::select(diesel::dsl::exists(
                        signatures::table.filter(signatures::tenant_id.eq(tenant.0)),
                    ))
                    .get_result(connection)?;
                    return Ok(match has_threads {
                        true => LogArrivalState::Other,
                        false => LogArrivalState::Stale,
                    });
                }
                Some(_) => {}
            }
            diesel::update(arrival)
                .set(log_arrivals::file.eq(&file[..]))
                .execute(connection)?;
            let Some(run) = seize(connection, tenant)? else {
                return Ok(LogArrivalState::None);
            };
            let last: NumberRow = sql_query(
                "SELECT coalesce(max(number), 0) AS number FROM log_entries WHERE tenant_id = $1",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)?;
            Ok(LogArrivalState::Begun(
                LogArrival { tenant, run },
                last.number,
            ))
        })
    }

    /// Writes entries of a log, with the nodes that they complete. Returns whether this import still may.
    pub fn log_arrival_write(
        &self,
        arrival: &LogArrival,
        entries: &[Numbered],
        nodes: &[Node],
    ) -> Result<bool> {
        self.transaction(arrival.tenant, |connection| {
            if !is_current(connection, arrival)? {
                return Ok(false);
            }
            // New threads get other ids than those that are gone and that the log is still about.
            if let Some(last) = entries
                .iter()
                .filter_map(|entry| entry.what.signature)
                .max()
            {
                sql_query("SELECT reserve_signature_ids($1)")
                    .bind::<BigInt, _>(last)
                    .execute(connection)?;
            }
            insert_entries(connection, entries)?;
            insert_nodes(connection, nodes)?;
            Ok(true)
        })
    }

    /// Begins the tree that goes on after the last imported one, with an entry that says so. Returns none if this import may
    /// not write any more.
    pub fn log_arrival_continue(
        &self,
        arrival: &LogArrival,
        origin: &str,
        last: &Epoch,
        event: &str,
    ) -> Result<Option<Epoch>> {
        let tenant = arrival.tenant;
        let first = last.first + last.size.max(last.seen);
        let next = self.transaction(tenant, |connection| {
            if !is_current(connection, arrival)? {
                return Ok(None);
            }
            // Of an import that was interrupted.
            sql_query("DELETE FROM log_entries WHERE tenant_id = $1 AND number >= $2")
                .bind::<Integer, _>(tenant.0)
                .bind::<BigInt, _>(first)
                .execute(connection)?;
            sql_query("DELETE FROM log_nodes WHERE tenant_id = $1 AND epoch > $2")
                .bind::<Integer, _>(tenant.0)
                .bind::<SmallInt, _>(last.epoch)
                .execute(connection)?;
            let Sealed { salt, seal } = Sealed::of_event(event)?;
            let next = new_epoch(
                tenant,
                last.epoch + 1,
                new_origin(origin)?,
                first,
                Utc::now(),
            );
            let continues = Queued {
                id: 0,
                tenant,
                kind: Kind::Continues,
                // Postgres keeps microseconds, and the entry has them.
                at: DateTime::from_timestamp_micros(Utc::now().timestamp_micros())
                    .unwrap_or_default(),
                signature: None,
                version: None,
                seal,
                salt: Some(salt.to_vec()),
                event: Some(event.to_owned()),
            };
            Ok(Some((next, continues)))
        })?;
        match next {
            Some((next, continues)) => self.log_arrival_append(arrival, next, vec![continues]),
            None => Ok(None),
        }
    }

    /// Numbers what had no number where the log comes from, and adds it to the tree that goes on. Returns the tree as it is
    /// then; none if this import may not write any more.
    pub fn log_arrival_append(
        &self,
        arrival: &LogArrival,
        epoch: Epoch,
        rows: Vec<Queued>,
    ) -> Result<Option<Epoch>> {
        self.transaction(PLATFORM, |connection| {
            if !is_current(connection, arrival)? {
                return Ok(None);
            }
            let earlier = earlier(connection, &rows)?;
            let mut epochs = Epochs::from([(arrival.tenant, epoch)]);
            let appended = append(rows, &mut epochs, &earlier)
                .ok_or_else(|| broken("the edge of a new log does not fit its size"))?;
            insert_entries(connection, &appended.entries)?;
            insert_nodes(connection, &appended.nodes)?;
            Ok(epochs.remove(&arrival.tenant))
        })
    }

    /// Whether there is a tree of this name in the database, or of one that ends alike, whoever's.
    pub fn log_origin_exists(&self, origin: &str) -> Result<bool> {
        let found: NumberRow = self.run(PLATFORM, |connection| {
            sql_query("SELECT count(*) AS number FROM log_epochs WHERE public_id = right($1, 32)")
                .bind::<Text, _>(origin)
                .get_result(connection)
        })?;
        Ok(found.number > 0)
    }

    /// Makes the trees of a log that has arrived its tenant's: the imported ones, which are closed, and the one that goes on.
    /// From now on the sequencer adds to it. Webhooks of the tenant begin after the imported entries. Returns whether this
    /// import still might.
    pub fn log_arrival_end(
        &self,
        arrival: &LogArrival,
        trees: &[ImportedTree],
        next: &Epoch,
    ) -> Result<bool> {
        let tenant = arrival.tenant;
        let ended = self.transaction(PLATFORM, |connection| {
            if !is_current(connection, arrival)? {
                return Ok(false);
            }
            let now = Utc::now();
            for tree in trees {
                let closed_at = tree.epoch.closed_at.unwrap_or(now);
                let epoch = Epoch {
                    tenant,
                    closed_at: Some(closed_at),
                    ..tree.epoch.clone()
                };
                insert_epoch(connection, &epoch)?;
                insert_keys(connection, &epoch, &tree.keys, closed_at)?;
            }
            insert_epoch(connection, next)?;
            sql_query("UPDATE webhooks SET cursor = $2 WHERE tenant_id = $1 AND cursor < $2")
                .bind::<Integer, _>(tenant.0)
                .bind::<BigInt, _>(next.first - 1)
                .execute(connection)?;
            diesel::delete(log_arrivals::table.find(tenant.0)).execute(connection)?;
            notify(connection, std::slice::from_ref(next))?;
            Ok(true)
        })?;
        self.tell(Change::Logged(tenant));
        Ok(ended)
    }

    /// Forgets a log that is not to arrive after all, if one is arriving. With `for_good`, the tenant then keeps a log of its
    /// own; otherwise another file's may arrive.
    pub fn log_arrival_forget(&self, tenant: TenantId, for_good: bool) -> Result<()> {
        while !self.forget_some(tenant, for_good)? {}
        Ok(())
    }

    /// Forgets some of a log. Returns whether all is forgotten.
    fn forget_some(&self, tenant: TenantId, for_good: bool) -> Result<bool> {
        self.transaction(tenant, |connection| {
            // Whoever is writing it fails from now on. Without an arrival, nothing is to be forgotten.
            if seize(connection, tenant)?.is_none() {
                return Ok(true);
            }
            let mut is_rest = true;
            for forget in [
                "UPDATE signature_versions SET salt = NULL WHERE tenant_id = $1 AND ctid = ANY (ARRAY( \
                     SELECT ctid FROM signature_versions WHERE tenant_id = $1 AND salt IS NOT NULL LIMIT $2))",
                "DELETE FROM log_entries WHERE tenant_id = $1 AND ctid = ANY (ARRAY( \
                     SELECT ctid FROM log_entries WHERE tenant_id = $1 LIMIT $2))",
                "DELETE FROM log_nodes WHERE tenant_id = $1 AND ctid = ANY (ARRAY( \
                     SELECT ctid FROM log_nodes WHERE tenant_id = $1 LIMIT $2))",
            ] {
                let forgotten = sql_query(forget)
                    .bind::<Integer, _>(tenant.0)
                    .bind::<BigInt, _>(FORGOTTEN_AT_ONCE)
                    .execute(connection)?;
                is_rest &= i64::try_from(forgotten).is_ok_and(|rows| rows < FORGOTTEN_AT_ONCE);
            }
            let arrival = log_arrivals::table.find(tenant.0);
            match (is_rest, for_good) {
                (false, _) => {}
                (true, true) => {
                    diesel::delete(arrival).execute(connection)?;
                }
                (true, false) => {
                    diesel::update(arrival)
                        .set(log_arrivals::file.eq(None::<&[u8]>))
                        .execute(connection)?;
                }
            }
            Ok(is_rest)
        })
    }

    /// The keys of other servers that signed the imported trees of a tenant's log, by tree.
    pub fn log_imported_keys(&self, tenant: TenantId) -> Result<Vec<(i16, ImportedKey)>> {
        self.run(tenant, |connection| imported_keys(connection, tenant))
    }
}

pub(super) fn imported_keys(
    connection: &mut PgConnection,
    tenant: TenantId,
) -> QueryResult<Vec<(i16, ImportedKey)>> {
    type Row = (i16, Vec<u8>, DateTime<Utc>, DateTime<Utc>);
    let rows = log_imported_keys::table
        .filter(log_imported_keys::tenant_id.eq(tenant.0))
        .order((
            log_imported_keys::tenant_id,
            log_imported_keys::epoch,
            log_imported_keys::public_key,
        ))
        .select((
            log_imported_keys::epoch,
            log_imported_keys::public_key,
            log_imported_keys::created_at,
            log_imported_keys::not_after,
        ))
        .load::<Row>(connection)?;
    let keys = rows
        .into_iter()
        .map(|(epoch, public_key, created_at, not_after)| {
            let public_key = public_key
                .try_into()
                .map_err(|_| broken("an imported key of a log has another length"))?;
            let key = ImportedKey {
                public_key,
                created_at,
                not_after: Some(not_after),
            };
            Ok((epoch, key))
        });
    keys.collect()
}

/// Adds the keys that signed an imported tree, which is closed since then.
fn insert_keys(
    connection: &mut PgConnection,
    epoch: &Epoch,
    keys: &[ImportedKey],
    closed_at: DateTime<Utc>,
) -> QueryResult<()> {
    macro_rules! column {
        ($key:ident => $value:expr) => {
            keys.iter().map(|$key| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "INSERT INTO log_imported_keys (tenant_id, epoch, public_key, created_at, not_after) \
         SELECT $1, $2, * FROM unnest($3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind::<Integer, _>(epoch.tenant.0)
    .bind::<SmallInt, _>(epoch.epoch)
    .bind::<Array<Binary>, _>(column!(key => &key.public_key[..]))
    .bind::<Array<Timestamptz>, _>(column!(key => key.created_at))
    .bind::<Array<Timestamptz>, _>(
        column!(key => key.not_after.map_or(closed_at, |until| until.min(closed_at))),
    )
    .execute(connection)
    .map(drop)
}
