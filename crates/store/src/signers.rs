//! Queries that index who signed versions that were stored without that: by an older server, by an import, or while the
//! tenant's policy did not want it.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, CChar, Integer, Text};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::{SignatureBody, SignatureId};

use super::pool::Store;
use super::signatures::{
    encoding_from_code, sha256_from_column, version_from_column, version_to_column,
};

/// The most versions that are read at once.
const MOST: i64 = 200;
/// The most bytes of signatures that are read at once, except for a single signature.
const MOST_BYTES: i64 = 8 * 1024 * 1024;

/// A version whose signers are not indexed.
#[derive(Debug)]
pub struct Unindexed {
    /// The thread.
    pub id: SignatureId,
    /// The version's number.
    pub version: u32,
    /// The signature.
    pub body: SignatureBody,
}

#[derive(QueryableByName)]
struct UnindexedRow {
    #[diesel(sql_type = BigInt)]
    signature_id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = CChar)]
    encoding: u8,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
    #[diesel(sql_type = Binary)]
    signature: Vec<u8>,
}

#[derive(QueryableByName)]
struct HasRow {
    #[diesel(sql_type = Bool)]
    found: bool,
}

impl Store {
    /// Whether a tenant has versions whose signers are not indexed.
    pub fn signers_are_missing(&self, tenant: TenantId) -> Result<bool> {
        let row: HasRow = self.run(tenant, |connection| {
            sql_query(
                "SELECT (SELECT true FROM signature_versions WHERE tenant_id = $1 AND NOT signers_indexed \
                         ORDER BY signature_id, version LIMIT 1) IS NOT NULL AS found",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)
        })?;
        Ok(row.found)
    }

    /// Some of a tenant's versions whose signers are not indexed, oldest threads first; none if its policy does not want
    /// that.
    pub fn signers_unindexed(&self, tenant: TenantId) -> Result<Vec<Unindexed>> {
        let rows: Vec<UnindexedRow> = self.run(tenant, |connection| {
            sql_query(
                "SELECT v.signature_id, v.version, v.encoding, v.sha256, v.signature FROM ( \
                     SELECT u.signature_id, u.version, \
                            sum(octet_length(u.signature)) OVER (ORDER BY u.signature_id, u.version) AS bytes, \
                            row_number() OVER (ORDER BY u.signature_id, u.version) AS place \
                     FROM (SELECT signature_id, version, signature FROM signature_versions \
                           WHERE tenant_id = $1 AND NOT signers_indexed \
                             AND NOT EXISTS (SELECT FROM policies WHERE tenant_id = $1 AND NOT index_signers) \
                           ORDER BY signature_id, version LIMIT $2) u) few \
                 JOIN signature_versions v \
                   ON v.tenant_id = $1 AND v.signature_id = few.signature_id AND v.version = few.version \
                 WHERE few.bytes <= $3 OR few.place = 1 ORDER BY few.place",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(MOST)
            .bind::<BigInt, _>(MOST_BYTES)
            .load(connection)
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(Unindexed {
                    id: SignatureId(row.signature_id),
                    version: version_from_column(row.version)?,
                    body: SignatureBody {
                        encoding: encoding_from_code(row.encoding)?,
                        bytes: row.signature.into(),
                        sha256: sha256_from_column(row.sha256)?,
                    },
                })
            })
            .collect()
    }

    /// Indexes the signers of versions by their terms. Versions that were deleted meanwhile are left out.
    pub fn signers_index(
        &self,
        tenant: TenantId,
        found: &[(SignatureId, u32, Vec<String>)],
    ) -> Result<()> {
        let ids: Vec<i64> = found.iter().map(|(id, _, _)| id.0).collect();
        let versions: Vec<i32> = found
            .iter()
            .map(|(_, version, _)| version_to_column(*version))
            .collect();
        let terms = found.iter().flat_map(|(id, _, terms)| {
            let terms = terms.iter();
            terms.map(|term| (id.0, term.as_str()))
        });
        let (term_ids, terms): (Vec<i64>, Vec<&str>) = terms.unzip();
        self.transaction(tenant, |connection| {
            // Locks the threads in the order of their ids, so that none of them is deleted meanwhile.
            sql_query(
                "INSERT INTO signature_terms (tenant_id, signature_id, created_at, term) \
                 SELECT s.tenant_id, s.id, s.created_at, w.term FROM unnest($2, $3) AS w (id, term) \
                 JOIN (SELECT tenant_id, id, created_at FROM signatures \
                       WHERE tenant_id = $1 AND id = ANY ($2) ORDER BY id FOR KEY SHARE) s ON s.id = w.id \
                 ON CONFLICT DO NOTHING",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Array<BigInt>, _>(&term_ids)
            .bind::<Array<Text>, _>(&terms)
            .execute(connection)?;
            sql_query(
                "UPDATE signature_versions v SET signers_indexed = true \
                 FROM unnest($2, $3) AS w (signature_id, version) \
                 WHERE v.tenant_id = $1 AND v.signature_id = w.signature_id AND v.version = w.version",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Array<BigInt>, _>(&ids)
            .bind::<Array<Integer>, _>(&versions)
            .execute(connection)?;
            Ok(())
        })
    }
}
