//! The audit trail, which is append-only.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Json, Nullable, Text};
use sigpersist_model::audit::{Event, Head, Recorded};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::key::MasterKeyId;
use sigpersist_runtime::seal::{SealKey, Sealed, StoredSeal, StoredSealKey};

use super::keys::{add_alone, current_master_key};
use super::log_queue::enqueue_change;
use super::pool::Store;
use super::schema::{audit_events, audit_heads, audit_keys, audit_seals};
use super::snapshot::Snapshot;

/// The most seals in one statement, which takes at most 65,535 values.
const MAX_ROWS: usize = 10_000;

/// Adds an event in the transaction of its change. This is the last step, since from here on other changes of the
/// tenant wait.
///
/// The seal needs the hash, which only the database knows, so the seal is a statement of its own.
fn insert(
    connection: &mut PgConnection,
    event: &Event,
    key: Option<&SealKey>,
    baseline: bool,
) -> QueryResult<()> {
    let chain = event.tenant.unwrap_or(PLATFORM);
    let added: Added = sql_query(
        // If the tenant is gone by now, the event is its own deletion, and the target is its slug.
        "INSERT INTO audit_events (tenant_id, tenant, actor_kind, actor, actor_key, request_id, action, target, before, after) \
         VALUES ($1, CASE WHEN $1 <> 0 THEN coalesce((SELECT slug FROM tenants WHERE id = $1), $7) END, $2, $3, $4, $5, $6, $7, $8, $9) \
         RETURNING number, hash",
    )
    .bind::<Integer, _>(chain.0)
    .bind::<Text, _>(event.actor.kind.as_str())
    .bind::<Nullable<Text>, _>(&event.actor.subject)
    .bind::<Nullable<Text>, _>(event.actor.key.as_deref())
    .bind::<Nullable<Text>, _>(event.actor.request_id.as_deref())
    .bind::<Text, _>(event.action)
    .bind::<Text, _>(&event.target)
    .bind::<Nullable<Json>, _>(Some(&event.before).filter(|json| !json.is_null()))
    .bind::<Nullable<Json>, _>(Some(&event.after).filter(|json| !json.is_null()))
    .get_result(connection)?;
    let Some(key) = key else { return Ok(()) };
    let sealed = Sealed {
        chain,
        number: added.number,
        hash: &added.hash,
        baseline,
    };
    diesel::insert_into(audit_seals::table)
        .values(seal_values(&sealed, key))
        .execute(connection)?;
    Ok(())
}

/// The number and hash of an added event.
#[derive(QueryableByName)]
struct Added {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

/// The columns of a seal.
type SealValues = (
    diesel::dsl::Eq<audit_seals::tenant_id, i32>,
    diesel::dsl::Eq<audit_seals::number, i64>,
    diesel::dsl::Eq<audit_seals::key, i32>,
    diesel::dsl::Eq<audit_seals::baseline, bool>,
    diesel::dsl::Eq<audit_seals::seal, Vec<u8>>,
);

fn seal_values(event: &Sealed<'_>, key: &SealKey) -> SealValues {
    (
        audit_seals::tenant_id.eq(event.chain.0),
        audit_seals::number.eq(event.number),
        audit_seals::key.eq(key.number),
        audit_seals::baseline.eq(event.baseline),
        audit_seals::seal.eq(key.seal(event)),
    )
}

/// An event, with the columns of [`event_columns`] or [`imported_columns`].
#[derive(Queryable)]
pub(super) struct EventRow {
    tenant_id: i32,
    number: i64,
    at: DateTime<Utc>,
    tenant: Option<String>,
    actor_kind: String,
    actor: Option<String>,
    actor_key: Option<String>,
    request_id: Option<String>,
    action: String,
    target: String,
    before: Option<String>,
    after: Option<String>,
    previous: Vec<u8>,
    hash: Vec<u8>,
}

impl From<EventRow> for Recorded {
    fn from(row: EventRow) -> Self {
        Self {
            chain: TenantId(row.tenant_id),
            number: row.number,
            at: row.at,
            tenant: row.tenant,
            actor_kind: row.actor_kind,
            actor: row.actor,
            actor_key: row.actor_key,
            request_id: row.request_id,
            action: row.action,
            target: row.target,
            before: row.before,
            after: row.after,
            previous: row.previous,
            hash: row.hash,
        }
    }
}

/// The columns of an [`EventRow`]. JSON is selected as its exact text, which the hash covers.
macro_rules! event_columns {
    () => {
        (
            audit_events::tenant_id,
            audit_events::number,
            audit_events::at,
            audit_events::tenant,
            audit_events::actor_kind,
            audit_events::actor,
            audit_events::actor_key,
            audit_events::request_id,
            audit_events::action,
            audit_events::target,
            sql::<Nullable<Text>>("audit_events.before::text"),
            sql::<Nullable<Text>>("audit_events.after::text"),
            audit_events::previous,
            audit_events::hash,
        )
    };
}

/// The columns of an [`EventRow`] for an imported event.
macro_rules! imported_columns {
    () => {
        (
            audit_imported::source_id,
            audit_imported::number,
            audit_imported::at,
            audit_imported::source.nullable(),
            audit_imported::actor_kind,
            audit_imported::actor,
            audit_imported::actor_key,
            audit_imported::request_id,
            audit_imported::action,
            audit_imported::target,
            sql::<Nullable<Text>>("audit_imported.before::text"),
            sql::<Nullable<Text>>("audit_imported.after::text"),
            audit_imported::previous,
            audit_imported::hash,
        )
    };
}

pub(super) use {event_columns, imported_columns};

/// A chain of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChain {
    /// The tenant, which may be deleted by now, or the platform.
    pub chain: TenantId,
    /// Its slug; none for the platform.
    pub tenant: Option<String>,
    /// The end of the chain; none if it is not stored.
    pub head: Option<Head>,
}

#[derive(QueryableByName)]
struct ChainRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = Nullable<Text>)]
    slug: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    hash: Option<Vec<u8>>,
}

impl Store {
    /// Adds an event in the transaction of its change, as the last step.
    pub(super) fn audit(&self, connection: &mut PgConnection, event: &Event) -> QueryResult<()> {
        insert(connection, event, self.seal_key.as_deref(), false)?;
        if self.logs {
            enqueue_change(connection, event)?;
        }
        Ok(())
    }

    /// Adds an event in a transaction of its own, for an action that changed nothing in the database or took many
    /// transactions.
    pub fn audit_insert(&self, event: &Event) -> Result<()> {
        let acting = event.tenant.unwrap_or(PLATFORM);
        self.transaction(acting, |connection| self.audit(connection, event))
    }

    /// Adds events whose seals vouch for everything before them in their chains.
    pub fn audit_insert_baselines(&self, events: &[Event], key: &SealKey) -> Result<()> {
        for event in events {
            self.transaction(PLATFORM, |connection| {
                insert(connection, event, Some(key), true)
            })?;
        }
        Ok(())
    }

    /// The keys that seal events, in the order of their numbers. The last key seals new events.
    pub fn seal_keys(&self) -> Result<Vec<StoredSealKey>> {
        self.run(PLATFORM, seal_keys)
    }

    /// Adds a key that seals from now on, and seals the ends of all chains with it.
    ///
    /// `last` is the newest key so far; returns none if somebody else added one meanwhile. `make` makes the key with
    /// this number. If the master key was ever rotated, `make` receives the id of the one that encrypts.
    pub fn seal_key_insert(
        &self,
        last: Option<i32>,
        make: impl FnOnce(i32, Option<MasterKeyId>) -> Result<(StoredSealKey, SealKey)>,
        event: impl FnOnce(&SealKey, usize) -> Event,
    ) -> Result<Option<SealKey>> {
        self.transaction(PLATFORM, |connection| {
            add_alone(connection)?;
            let newest = seal_keys(connection)?.pop().map(|key| key.number);
            if newest != last {
                return Ok(Ok(None));
            }
            let number = last.unwrap_or(0) + 1;
            let (stored, key) = match make(number, current_master_key(connection)?) {
                Ok(made) => made,
                Err(error) => return Ok(Err(error)),
            };
            diesel::insert_into(audit_keys::table)
                .values((
                    audit_keys::number.eq(stored.number),
                    audit_keys::encrypted_key.eq(&stored.encrypted),
                ))
                .execute(connection)?;
            let heads: Vec<(i32, i64, Vec<u8>)> = audit_heads::table
                .filter(audit_heads::number.gt(0))
                .select((
                    audit_heads::tenant_id,
                    audit_heads::number,
                    audit_heads::hash,
                ))
                .load(connection)?;
            for heads in heads.chunks(MAX_ROWS) {
                let seals = heads.iter().map(|(chain, number, hash)| {
                    let head = Sealed {
                        chain: TenantId(*chain),
                        number: *number,
                        hash,
                        baseline: true,
                    };
                    seal_values(&head, &key)
                });
                diesel::insert_into(audit_seals::table)
                    .values(seals.collect::<Vec<_>>())
                    .execute(connection)?;
            }
            insert(connection, &event(&key, heads.len()), Some(&key), true)?;
            Ok(Ok(Some(key)))
        })?
    }

    /// Stores a key that was encrypted again, unless the stored key changed since it was read.
    pub fn seal_key_reencrypt(&self, before: &StoredSealKey, after: &StoredSealKey) -> Result<()> {
        self.run(PLATFORM, |connection| {
            diesel::update(audit_keys::table.find(before.number))
                .filter(audit_keys::encrypted_key.eq(&before.encrypted))
                .set(audit_keys::encrypted_key.eq(&after.encrypted))
                .execute(connection)
        })?;
        Ok(())
    }
}

/// Selects the events of threads whose names were deleted before. The target of such an event is the name, as in the
/// event of the delete.
pub(super) fn of_deleted(
    connection: &mut PgConnection,
    tenant: TenantId,
    events: Vec<Event>,
) -> QueryResult<Vec<Event>> {
    if events.is_empty() {
        return Ok(events);
    }
    let targets = events.iter().map(|event| &*event.target);
    let deleted: HashSet<String> = audit_events::table
        .filter(audit_events::tenant_id.eq(tenant.0))
        .filter(audit_events::action.eq(sql::<Text>("'signature.delete'")))
        .filter(audit_events::target.eq_any(targets.collect::<Vec<_>>()))
        .select(audit_events::target)
        .load::<String>(connection)?
        .into_iter()
        .collect();
    let events = events.into_iter();
    Ok(events
        .filter(|event| deleted.contains(&event.target))
        .collect())
}

pub(super) fn seal_keys(connection: &mut PgConnection) -> QueryResult<Vec<StoredSealKey>> {
    let rows = audit_keys::table
        .order(audit_keys::number)
        .select((audit_keys::number, audit_keys::encrypted_key))
        .load(connection)?;
    let keys = rows.into_iter();
    Ok(keys
        .map(|(number, encrypted)| StoredSealKey { number, encrypted })
        .collect())
}

impl Snapshot<'_> {
    /// The keys that seal events, in the order of their numbers.
    pub fn seal_keys(&mut self) -> Result<Vec<StoredSealKey>> {
        self.run(seal_keys)
    }

    /// Whether there is any seal.
    pub fn audit_has_seals(&mut self) -> Result<bool> {
        let query = diesel::select(diesel::dsl::exists(
            audit_seals::table.select(audit_seals::number),
        ));
        self.run(|connection| query.get_result(connection))
    }

    /// The seals of a chain's events with these numbers, both included, in order.
    pub fn audit_seals(&mut self, chain: TenantId, from: i64, to: i64) -> Result<Vec<StoredSeal>> {
        let query = audit_seals::table
            .filter(audit_seals::tenant_id.eq(chain.0))
            .filter(audit_seals::number.between(from, to))
            .order((audit_seals::number, audit_seals::key))
            .select((
                audit_seals::number,
                audit_seals::key,
                audit_seals::baseline,
                audit_seals::seal,
            ));
        let rows = self.run(|connection| query.load(connection))?;
        let seals = rows.into_iter();
        Ok(seals
            .map(|(number, key, baseline, seal)| StoredSeal {
                number,
                key,
                baseline,
                seal,
            })
            .collect())
    }

    /// All chains that exist or should exist, the platform's first.
    pub fn audit_chains(&mut self) -> Result<Vec<StoredChain>> {
        let query = sql_query(
            "SELECT c.tenant_id, h.number, h.hash, \
                    coalesce(t.slug, (SELECT e.tenant FROM audit_events e WHERE e.tenant_id = c.tenant_id \
                                      ORDER BY e.number DESC LIMIT 1), \
                             (SELECT i.tenant FROM audit_imported i WHERE i.tenant_id = c.tenant_id \
                              ORDER BY i.part DESC, i.number DESC LIMIT 1)) AS slug \
             FROM (SELECT 0 AS tenant_id UNION SELECT id FROM tenants UNION SELECT tenant_id FROM audit_heads \
                   UNION SELECT tenant_id FROM audit_events UNION SELECT tenant_id FROM audit_imported) c \
             LEFT JOIN audit_heads h USING (tenant_id) LEFT JOIN tenants t ON t.id = c.tenant_id ORDER BY 1",
        );
        let rows = self.run(|connection| query.load::<ChainRow>(connection))?;
        Ok(rows
            .into_iter()
            .map(|row| StoredChain {
                chain: TenantId(row.tenant_id),
                tenant: row.slug,
                head: row
                    .number
                    .zip(row.hash)
                    .map(|(number, hash)| Head { number, hash }),
            })
            .collect())
    }

    /// The end of a chain; none if it is not stored.
    pub fn audit_head(&mut self, chain: TenantId) -> Result<Option<Head>> {
        let query = audit_heads::table
            .find(chain.0)
            .select((audit_heads::number, audit_heads::hash));
        let row = self.run(|connection| query.first(connection).optional())?;
        Ok(row.map(|(number, hash)| Head { number, hash }))
    }

    /// Events of a chain after this number, in order.
    pub fn audit_events(
        &mut self,
        chain: TenantId,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Recorded>> {
        let query = audit_events::table
            .filter(audit_events::tenant_id.eq(chain.0))
            .filter(audit_events::number.gt(after))
            .order(audit_events::number)
            .limit(limit)
            .select(event_columns!());
        let rows = self.run(|connection| query.load::<EventRow>(connection))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
