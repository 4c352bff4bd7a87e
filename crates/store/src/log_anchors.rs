//! Heads of logs in the platform's log, and heads of audit trails in the logs of their tenants.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, CChar, Integer, Text};
use serde_json::json;
use sigpersist_model::context::PLATFORM;
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::Result;
use sigpersist_tlog::Kind;

use super::log_queue::Sealed;
use super::pool::Store;
use super::transaction::try_lock;

/// The most heads that are added in one transaction.
const MOST: i64 = 4_096;
/// The advisory lock of who adds them.
const LOCK: i64 = i64::from_be_bytes(*b"siganchr");

#[derive(QueryableByName)]
struct HeadRow {
    #[diesel(sql_type = Text)]
    origin: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Binary)]
    root: Vec<u8>,
}

#[derive(QueryableByName)]
struct TrailRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

impl Store {
    /// Queues the heads of logs that have grown for the platform's log. Returns whether there may be more; false if another
    /// server is doing this.
    pub fn log_anchor(&self) -> Result<bool> {
        self.transaction(PLATFORM, |connection| {
            if !try_lock(connection, LOCK)? {
                return Ok(false);
            }
            let rows: Vec<HeadRow> = sql_query(
                "UPDATE log_epochs e SET anchored = e.size \
                 WHERE (e.tenant_id, e.epoch) IN ( \
                     SELECT g.tenant_id, g.epoch FROM log_epochs g \
                     WHERE g.tenant_id <> 0 AND g.size > g.anchored AND g.checkpoint IS NOT NULL LIMIT $1) \
                 RETURNING e.origin, e.size, e.root",
            )
            .bind::<BigInt, _>(MOST)
            .load(connection)?;
            let heads: Vec<_> = rows
                .iter()
                .map(|head| {
                    let event = json!({
                        "type": "log.head",
                        "origin": head.origin,
                        "size": head.size,
                        "root": to_hex(&head.root),
                    });
                    (PLATFORM.0, event.to_string())
                })
                .collect();
            queue(connection, Kind::Head, &heads)?;
            Ok(i64::try_from(rows.len()).is_ok_and(|rows| rows >= MOST))
        })
    }

    /// Queues the heads of audit trails for the logs of their tenants, and the platform's, if that was not done today.
    /// Returns whether there may be more; false if another server is doing this.
    pub fn log_audit_heads(&self) -> Result<bool> {
        self.transaction(PLATFORM, |connection| {
            if !try_lock(connection, LOCK)? {
                return Ok(false);
            }
            let rows: Vec<TrailRow> = sql_query(
                "UPDATE log_epochs e SET audited_on = current_date FROM audit_heads h \
                 WHERE h.tenant_id = e.tenant_id AND h.number > 0 AND (e.tenant_id, e.epoch) IN ( \
                     SELECT g.tenant_id, g.epoch FROM log_epochs g \
                     WHERE g.closed_at IS NULL AND g.audited_on IS DISTINCT FROM current_date LIMIT $1) \
                 RETURNING e.tenant_id, h.number, h.hash",
            )
            .bind::<BigInt, _>(MOST)
            .load(connection)?;
            let heads: Vec<_> = rows
                .iter()
                .map(|head| {
                    let event = json!({
                        "type": "audit.head",
                        "number": head.number,
                        "hash": to_hex(&head.hash),
                    });
                    (head.tenant_id, event.to_string())
                })
                .collect();
            queue(connection, Kind::Audit, &heads)?;
            Ok(i64::try_from(rows.len()).is_ok_and(|rows| rows >= MOST))
        })
    }
}

/// Adds events, each of a tenant.
fn queue(connection: &mut PgConnection, kind: Kind, events: &[(i32, String)]) -> QueryResult<()> {
    if events.is_empty() {
        return Ok(());
    }
    let sealed: Vec<_> = events
        .iter()
        .map(|(_, event)| Sealed::of_event(event))
        .collect::<QueryResult<_>>()?;
    sql_query(
        "INSERT INTO log_queue (tenant_id, kind, seal, salt, event) \
         SELECT w.tenant_id, $5, w.seal, w.salt, w.event FROM unnest($1, $2, $3, $4) AS w (tenant_id, seal, salt, event)",
    )
    .bind::<Array<Integer>, _>(events.iter().map(|(tenant, _)| *tenant).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(sealed.iter().map(|sealed| &sealed.seal[..]).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(sealed.iter().map(|sealed| &sealed.salt[..]).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(events.iter().map(|(_, event)| event.as_str()).collect::<Vec<_>>())
    .bind::<CChar, _>(kind.code())
    .execute(connection)
    .map(drop)
}
