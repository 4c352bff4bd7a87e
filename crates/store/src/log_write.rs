//! Writing what a pass of the sequencer made: entries, nodes, and the new state of trees.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Binary, CChar, Integer, Nullable, SmallInt, Text, Timestamptz,
};
use sigpersist_model::log::{Epoch, Node, Numbered};

pub(super) fn insert_entries(
    connection: &mut PgConnection,
    entries: &[Numbered],
) -> QueryResult<()> {
    macro_rules! column {
        ($entry:ident => $value:expr) => {
            entries.iter().map(|$entry| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "INSERT INTO log_entries (tenant_id, number, kind, at, signature_id, version, seal, leaf, salt, event, refs) \
         SELECT tenant_id, number, kind, at, signature_id, version, seal, leaf, salt, event, refs::bigint[] \
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             AS e (tenant_id, number, kind, at, signature_id, version, seal, leaf, salt, event, refs)",
    )
    .bind::<Array<Integer>, _>(column!(entry => entry.what.tenant.0))
    .bind::<Array<BigInt>, _>(column!(entry => entry.number))
    .bind::<Array<CChar>, _>(column!(entry => entry.what.kind.code()))
    .bind::<Array<Timestamptz>, _>(column!(entry => entry.what.at))
    .bind::<Array<Nullable<BigInt>>, _>(column!(entry => entry.what.signature))
    .bind::<Array<Nullable<Integer>>, _>(column!(entry => entry.what.version))
    .bind::<Array<Binary>, _>(column!(entry => &entry.what.seal[..]))
    .bind::<Array<Binary>, _>(column!(entry => &entry.leaf[..]))
    .bind::<Array<Nullable<Binary>>, _>(column!(entry => entry.what.salt.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column!(entry => entry.what.event.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column!(entry => refs(entry)))
    .execute(connection)
    .map(drop)
}

/// The references of an entry as a literal of Postgres, since arrays of arrays can't have different lengths; none if there are
/// none.
fn refs(entry: &Numbered) -> Option<String> {
    let refs: Vec<_> = entry.refs.iter().map(i64::to_string).collect();
    (!refs.is_empty()).then(|| format!("{{{}}}", refs.join(",")))
}

pub(super) fn insert_nodes(connection: &mut PgConnection, nodes: &[Node]) -> QueryResult<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($node:ident => $value:expr) => {
            nodes.iter().map(|$node| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "INSERT INTO log_nodes (tenant_id, epoch, level, number, hash) SELECT * FROM unnest($1, $2, $3, $4, $5)",
    )
    .bind::<Array<Integer>, _>(column!(node => node.tenant.0))
    .bind::<Array<SmallInt>, _>(column!(node => node.epoch))
    .bind::<Array<SmallInt>, _>(column!(node => node.level))
    .bind::<Array<BigInt>, _>(column!(node => node.number))
    .bind::<Array<Binary>, _>(column!(node => &node.hash[..]))
    .execute(connection)
    .map(drop)
}

/// Adds a tree. One that is closed already was imported: its head is none that the platform's log gets.
pub(super) fn insert_epoch(connection: &mut PgConnection, epoch: &Epoch) -> QueryResult<()> {
    sql_query(
        "INSERT INTO log_epochs (tenant_id, epoch, origin, first, size, edge, root, checkpoint, at, closed_at, frozen_at, \
                                 frozen_why, seen, anchored) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $11 IS NOT NULL THEN $10 END, $11, nullif($12, 0), \
                 CASE WHEN $10 IS NULL THEN 0 ELSE $5 END)",
    )
    .bind::<Integer, _>(epoch.tenant.0)
    .bind::<SmallInt, _>(epoch.epoch)
    .bind::<Text, _>(&epoch.origin)
    .bind::<BigInt, _>(epoch.first)
    .bind::<BigInt, _>(epoch.size)
    .bind::<Binary, _>(&epoch.edge)
    .bind::<Binary, _>(&epoch.root[..])
    .bind::<Nullable<Text>, _>(&epoch.checkpoint)
    .bind::<Timestamptz, _>(epoch.at)
    .bind::<Nullable<Timestamptz>, _>(epoch.closed_at)
    .bind::<Nullable<Text>, _>(&epoch.frozen)
    .bind::<BigInt, _>(epoch.seen)
    .execute(connection)
    .map(drop)
}

/// Writes the new state of trees.
pub(super) fn update_epochs(connection: &mut PgConnection, epochs: &[Epoch]) -> QueryResult<()> {
    macro_rules! column {
        ($epoch:ident => $value:expr) => {
            epochs.iter().map(|$epoch| $value).collect::<Vec<_>>()
        };
    }
    sql_query(
        "UPDATE log_epochs e SET size = g.size, edge = g.edge, root = g.root, checkpoint = g.checkpoint, at = g.at \
         FROM unnest($1, $2, $3, $4, $5, $6, $7) AS g (tenant_id, epoch, size, edge, root, checkpoint, at) \
         WHERE e.tenant_id = g.tenant_id AND e.epoch = g.epoch",
    )
    .bind::<Array<Integer>, _>(column!(epoch => epoch.tenant.0))
    .bind::<Array<SmallInt>, _>(column!(epoch => epoch.epoch))
    .bind::<Array<BigInt>, _>(column!(epoch => epoch.size))
    .bind::<Array<Binary>, _>(column!(epoch => &epoch.edge[..]))
    .bind::<Array<Binary>, _>(column!(epoch => &epoch.root[..]))
    .bind::<Array<Nullable<Text>>, _>(column!(epoch => epoch.checkpoint.as_deref()))
    .bind::<Array<Timestamptz>, _>(column!(epoch => epoch.at))
    .execute(connection)
    .map(drop)
}

/// Tells all servers which logs have grown.
pub(super) fn notify(connection: &mut PgConnection, grown: &[Epoch]) -> QueryResult<()> {
    let tenants: Vec<i32> = grown.iter().map(|epoch| epoch.tenant.0).collect();
    sql_query("SELECT pg_notify('sigpersist_log', g.tenant::text) FROM unnest($1) AS g (tenant)")
        .bind::<Array<Integer>, _>(tenants)
        .execute(connection)
        .map(drop)
}
