//! Logging versions that were stored without being logged: before there was a log, or by an older server.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, CChar, Integer, Nullable, Text};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_tlog::{Kind, VersionMetadata, seal};

use super::log_queue::salt;
use super::log_sequence::hash;
use super::pool::Store;
use super::signatures::encoding_from_code;

/// The most versions that are logged in one transaction.
const MOST: i64 = 1_000;

#[derive(QueryableByName)]
struct UnloggedRow {
    #[diesel(sql_type = BigInt)]
    signature_id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    thread: String,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
    #[diesel(sql_type = CChar)]
    encoding: u8,
    #[diesel(sql_type = Nullable<Text>)]
    stage: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    comment: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    tags: Vec<String>,
}

impl Store {
    /// Queues versions of a tenant that are not logged yet, oldest threads first. Returns how many; fewer than the most of
    /// one call if none are left, except those that are being deleted now.
    ///
    /// `kind` says how they came to be stored.
    pub fn log_backfill(&self, tenant: TenantId, kind: Kind) -> Result<usize> {
        self.transaction(tenant, |connection| {
            let rows: Vec<UnloggedRow> = sql_query(
                "SELECT v.signature_id, v.version, s.document, s.thread, v.sha256, v.encoding, v.stage, v.created_by, \
                        v.comment, v.tags \
                 FROM signature_versions v JOIN signatures s ON s.tenant_id = v.tenant_id AND s.id = v.signature_id \
                 WHERE v.tenant_id = $1 AND v.salt IS NULL \
                 ORDER BY v.signature_id, v.version LIMIT $2 FOR UPDATE OF v SKIP LOCKED",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(MOST)
            .load(connection)?;
            if !rows.is_empty() {
                queue(connection, tenant, kind, &rows)?;
            }
            Ok(rows.len())
        })
    }

    /// The most versions of one call of [`Self::log_backfill`].
    pub const BACKFILLED_AT_ONCE: usize = MOST as usize;
}

fn queue(
    connection: &mut PgConnection,
    tenant: TenantId,
    kind: Kind,
    rows: &[UnloggedRow],
) -> QueryResult<()> {
    let (mut salts, mut seals) = (Vec::new(), Vec::new());
    for row in rows {
        let salt = salt()?;
        let metadata = VersionMetadata {
            document: &row.document,
            thread: &row.thread,
            version: row.version.unsigned_abs(),
            encoding: encoding_from_code(row.encoding)
                .map_err(|_| super::log_sequence::broken("a version has an unknown encoding"))?
                .as_str(),
            stage: row.stage.as_deref(),
            created_by: row.created_by.as_deref(),
            comment: row.comment.as_deref(),
            tags: &row.tags,
        };
        seals.push(seal(&hash(row.sha256.clone())?, &metadata.blind(&salt)));
        salts.push(salt);
    }
    let ids: Vec<i64> = rows.iter().map(|row| row.signature_id).collect();
    let versions: Vec<i32> = rows.iter().map(|row| row.version).collect();
    sql_query(
        "UPDATE signature_versions v SET salt = w.salt FROM unnest($2, $3, $4) AS w (signature_id, version, salt) \
         WHERE v.tenant_id = $1 AND v.signature_id = w.signature_id AND v.version = w.version",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Array<BigInt>, _>(&ids)
    .bind::<Array<Integer>, _>(&versions)
    .bind::<Array<Binary>, _>(salts.iter().map(|salt| &salt[..]).collect::<Vec<_>>())
    .execute(connection)?;
    sql_query(
        "INSERT INTO log_queue (tenant_id, signature_id, version, kind, seal) \
         SELECT $1, w.signature_id, w.version, $5, w.seal FROM unnest($2, $3, $4) AS w (signature_id, version, seal)",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Array<BigInt>, _>(&ids)
    .bind::<Array<Integer>, _>(&versions)
    .bind::<Array<Binary>, _>(seals.iter().map(|seal| &seal[..]).collect::<Vec<_>>())
    .bind::<CChar, _>(kind.code())
    .execute(connection)
    .map(drop)
}
