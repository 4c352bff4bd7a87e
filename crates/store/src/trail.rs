//! Queries about imported chains of the audit trail: reads them for exports and checks, compares them with a file,
//! and adds to them.

use std::collections::HashMap;

use diesel::dsl::{count_star, max, sql};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::audit::{Event, Recorded, STATEMENT};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};

use super::audit::{EventRow, imported_columns};
use super::pool::Store;
use super::schema::{audit_events, audit_imported};
use super::snapshot::Snapshot;
use super::tenants::lock_tenant;

/// A chain that was imported into a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Its number within the tenant, from 1.
    pub number: i32,
    /// The slug that the tenant had at the chain's last event.
    pub source: String,
    /// The number that the tenant had there.
    pub source_id: TenantId,
}

/// A chain of a tenant's trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainOf {
    /// The tenant's own chain.
    Own,
    /// An imported chain, by its number.
    Part(i32),
}

/// Stored events of a chain, to be compared with the events of a file.
#[derive(Debug)]
pub struct KnownEvents {
    /// The number of the chain's last event; none without events.
    pub last: Option<i64>,
    /// Hashes of events, by their numbers.
    pub hashes: HashMap<i64, Vec<u8>>,
}

#[derive(QueryableByName)]
struct PartRow {
    #[diesel(sql_type = Integer)]
    part: i32,
    #[diesel(sql_type = Text)]
    source: String,
    #[diesel(sql_type = Integer)]
    source_id: i32,
}

#[derive(QueryableByName)]
struct LastPart {
    #[diesel(sql_type = Integer)]
    part: i32,
}

impl Snapshot<'_> {
    /// The number of events of a chain, with the events that were imported into its tenant.
    pub fn audit_count(&mut self, chain: TenantId) -> Result<u64> {
        let own = audit_events::table
            .filter(audit_events::tenant_id.eq(chain.0))
            .select(count_star());
        let imported = audit_imported::table
            .filter(audit_imported::tenant_id.eq(chain.0))
            .select(count_star());
        let events = self.run(|connection| {
            Ok(own.first::<i64>(connection)? + imported.first::<i64>(connection)?)
        })?;
        u64::try_from(events).map_err(Error::internal)
    }

    /// The chains that were imported into a tenant and have events, in order.
    pub fn audit_parts(&mut self, tenant: TenantId) -> Result<Vec<StoredPart>> {
        let query = sql_query(
            "SELECT DISTINCT ON (part) part, source, source_id FROM audit_imported WHERE tenant_id = $1 \
             ORDER BY part, number DESC",
        )
        .bind::<Integer, _>(tenant.0);
        let rows = self.run(|connection| query.load::<PartRow>(connection))?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| StoredPart {
                number: row.part,
                source: row.source,
                source_id: TenantId(row.source_id),
            })
            .collect())
    }

    /// Events of an imported chain after this number, in order.
    pub fn audit_part(
        &mut self,
        tenant: TenantId,
        part: i32,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Recorded>> {
        let query = audit_imported::table
            .filter(audit_imported::tenant_id.eq(tenant.0))
            .filter(audit_imported::part.eq(part))
            .filter(audit_imported::number.gt(after))
            .order(audit_imported::number)
            .limit(limit)
            .select(imported_columns!());
        let rows = self.run(|connection| query.load::<EventRow>(connection))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl Store {
    /// The chain of a tenant's trail that has this event, if there is one.
    pub fn import_chain_of(
        &self,
        tenant: TenantId,
        number: i64,
        hash: &[u8],
    ) -> Result<Option<ChainOf>> {
        self.run(tenant, |connection| {
            let own = audit_events::table
                .filter(audit_events::tenant_id.eq(tenant.0))
                .filter(audit_events::number.eq(number))
                .filter(audit_events::hash.eq(hash));
            if diesel::select(diesel::dsl::exists(own)).get_result(connection)? {
                return Ok(Some(ChainOf::Own));
            }
            let part = audit_imported::table
                .filter(audit_imported::tenant_id.eq(tenant.0))
                .filter(audit_imported::number.eq(number))
                .filter(audit_imported::hash.eq(hash))
                .select(audit_imported::part)
                .first(connection)
                .optional()?;
            Ok(part.map(ChainOf::Part))
        })
    }

    /// The number of the last chain that was imported into a tenant, even if its events are gone; 0 if there is none.
    pub fn import_last_part(&self, tenant: TenantId) -> Result<i32> {
        let query = sql_query(
            "SELECT greatest((SELECT max(part) FROM audit_imported WHERE tenant_id = $1), \
                             (SELECT max((after ->> 'part')::integer) FROM audit_events WHERE tenant_id = $1 AND action = $2), \
                             0) AS part",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Text, _>(STATEMENT);
        let row: LastPart = self.run(tenant, |connection| query.get_result(connection))?;
        Ok(row.part)
    }

    /// The events of a chain with these numbers, both included.
    pub fn import_known_events(
        &self,
        tenant: TenantId,
        chain: ChainOf,
        from: i64,
        to: i64,
    ) -> Result<KnownEvents> {
        macro_rules! known {
            ($rows:expr, $table:ident) => {
                self.run(tenant, |connection| {
                    Ok(KnownEvents {
                        last: $rows.select(max($table::number)).first(connection)?,
                        hashes: $rows
                            .filter($table::number.between(from, to))
                            .select(($table::number, $table::hash))
                            .load::<(i64, Vec<u8>)>(connection)?
                            .into_iter()
                            .collect(),
                    })
                })
            };
        }
        match chain {
            ChainOf::Own => known!(
                audit_events::table.filter(audit_events::tenant_id.eq(tenant.0)),
                audit_events
            ),
            ChainOf::Part(part) => known!(
                audit_imported::table
                    .filter(audit_imported::tenant_id.eq(tenant.0))
                    .filter(audit_imported::part.eq(part)),
                audit_imported
            ),
        }
    }

    /// Adds events to an imported chain, and the event that states its new end. Returns false and adds nothing if the
    /// chain does not end with `last`.
    pub fn import_events(
        &self,
        tenant: TenantId,
        slug: &str,
        part: i32,
        last: Option<i64>,
        events: &[&Recorded],
        statement: &Event,
    ) -> Result<bool> {
        self.transaction(tenant, |connection| {
            lock_tenant(connection, tenant)?;
            let ends: Option<i64> = audit_imported::table
                .filter(audit_imported::tenant_id.eq(tenant.0))
                .filter(audit_imported::part.eq(part))
                .select(max(audit_imported::number))
                .first(connection)?;
            if ends != last {
                return Ok(false);
            }
            insert(connection, tenant, slug, part, events)?;
            self.audit(connection, statement)?;
            Ok(true)
        })
    }
}

/// Adds events unchanged, with JSON as its exact text.
fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    slug: &str,
    part: i32,
    events: &[&Recorded],
) -> QueryResult<()> {
    macro_rules! each {
        ($event:ident => $value:expr) => {
            events.iter().map(|$event| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "INSERT INTO audit_imported (tenant_id, tenant, part, source_id, number, at, source, actor_kind, actor, actor_key, request_id, \
                                     action, target, before, after, previous, hash) \
         SELECT $1, $2, $3, source_id, number, at, source, actor_kind, actor, actor_key, request_id, action, target, before::json, \
                after::json, previous, hash \
         FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
              AS e (source_id, number, at, source, actor_kind, actor, actor_key, request_id, action, target, before, after, previous, hash)",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Text, _>(slug)
    .bind::<Integer, _>(part)
    .bind::<Array<Integer>, _>(each!(e => e.chain.0))
    .bind::<Array<BigInt>, _>(each!(e => e.number))
    .bind::<Array<Timestamptz>, _>(each!(e => e.at))
    .bind::<Array<Text>, _>(each!(e => e.tenant.as_deref().unwrap_or_default()))
    .bind::<Array<Text>, _>(each!(e => e.actor_kind.as_str()))
    .bind::<Array<Nullable<Text>>, _>(each!(e => e.actor.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(each!(e => e.actor_key.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(each!(e => e.request_id.as_deref()))
    .bind::<Array<Text>, _>(each!(e => e.action.as_str()))
    .bind::<Array<Text>, _>(each!(e => e.target.as_str()))
    .bind::<Array<Nullable<Text>>, _>(each!(e => e.before.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(each!(e => e.after.as_deref()))
    .bind::<Array<Binary>, _>(each!(e => e.previous.as_slice()))
    .bind::<Array<Binary>, _>(each!(e => e.hash.as_slice()))
    .execute(connection)?;
    Ok(())
}
