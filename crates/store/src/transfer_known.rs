//! Queries that find parts of a tenant's file that are stored already.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::{SignatureId, ThreadKey};
use sigpersist_model::transfer::{BodyMark, StoredVersion};

use super::pool::Store;
use super::signatures::{version_from_column, version_to_column};
use super::version_columns::VersionColumns;

/// A stored thread.
#[derive(Debug, Clone)]
pub struct KnownThread {
    /// Its id.
    pub id: SignatureId,
    /// Its current version.
    pub version: u32,
    /// The time when its first version was saved.
    pub created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct ThreadRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = BigInt)]
    signature_id: i64,
    #[diesel(embed)]
    version: VersionColumns,
}

/// A stored version without its bytes.
type KnownVersion = StoredVersion<BodyMark>;

impl Store {
    /// The stored threads of these keys, in the order of the keys; none for a key without a thread.
    pub fn import_threads(
        &self,
        tenant: TenantId,
        keys: &[&ThreadKey],
    ) -> Result<Vec<Option<KnownThread>>> {
        let (documents, threads): (Vec<_>, Vec<_>) = keys
            .iter()
            .map(|key| (key.document.as_str(), key.thread.as_str()))
            .unzip();
        let query = sql_query(
            "SELECT k.place, s.id, s.version, s.created_at \
             FROM unnest($2, $3) WITH ORDINALITY AS k (document, thread, place) \
             JOIN signatures s ON s.tenant_id = $1 AND s.document = k.document AND s.thread = k.thread",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Array<Text>, _>(documents)
        .bind::<Array<Text>, _>(threads);
        let rows = self.run(tenant, |connection| query.load::<ThreadRow>(connection))?;
        let mut known = vec![None; keys.len()];
        for row in rows {
            let place = usize::try_from(row.place - 1).ok();
            if let Some(known) = place.and_then(|place| known.get_mut(place)) {
                *known = Some(KnownThread {
                    id: SignatureId(row.id),
                    version: version_from_column(row.version)?,
                    created_at: row.created_at,
                });
            }
        }
        Ok(known)
    }

    /// The versions of threads in these ranges, both ends included, without their bytes.
    pub fn import_versions(
        &self,
        tenant: TenantId,
        ranges: &[(SignatureId, u32, u32)],
    ) -> Result<HashMap<(SignatureId, u32), KnownVersion>> {
        let ids: Vec<_> = ranges.iter().map(|(id, ..)| id.0).collect();
        let column = |version: &u32| version_to_column(*version);
        let from: Vec<_> = ranges.iter().map(|(_, from, _)| column(from)).collect();
        let to: Vec<_> = ranges.iter().map(|(.., to)| column(to)).collect();
        let query = sql_query(
            "SELECT v.signature_id, v.version, v.created_at, v.stage, v.created_by, v.comment, v.tags, v.encoding, v.sha256 \
             FROM unnest($2, $3, $4) AS r (id, first, last) \
             JOIN signature_versions v ON v.tenant_id = $1 AND v.signature_id = r.id AND v.version BETWEEN r.first AND r.last",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Array<Integer>, _>(from)
        .bind::<Array<Integer>, _>(to);
        let rows = self.run(tenant, |connection| query.load::<VersionRow>(connection))?;
        rows.into_iter()
            .map(|row| {
                let mark = |encoding, sha256| BodyMark { encoding, sha256 };
                let version = row.version.into_stored(mark)?;
                Ok(((SignatureId(row.signature_id), version.version), version))
            })
            .collect()
    }

    /// Returns the ids among these that threads of the tenant have, or had: the entries about a deleted thread must not become
    /// another one's. While the log arrives with the threads, its entries are about them.
    pub fn import_ids_taken(
        &self,
        tenant: TenantId,
        ids: &[i64],
        log_arrives: bool,
    ) -> Result<Vec<i64>> {
        #[derive(QueryableByName)]
        struct Id {
            #[diesel(sql_type = BigInt)]
            id: i64,
        }
        let query = sql_query(
            "SELECT id FROM signatures WHERE tenant_id = $1 AND id = ANY ($2) \
             UNION SELECT signature_id FROM log_entries WHERE tenant_id = $1 AND signature_id = ANY ($2) AND NOT $3 \
             UNION SELECT signature_id FROM log_queue WHERE tenant_id = $1 AND signature_id = ANY ($2) AND NOT $3",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Array<BigInt>, _>(ids)
        .bind::<Bool, _>(log_arrives);
        let taken: Vec<Id> = self.run(tenant, |connection| query.load(connection))?;
        Ok(taken.into_iter().map(|row| row.id).collect())
    }
}
