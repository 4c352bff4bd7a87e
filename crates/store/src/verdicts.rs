//! Queries about the verdicts that are recorded with versions.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use serde_json::Value;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::{SignatureId, StoredVerdict};
use sigpersist_model::term::Overall;

use super::failure::query_error;
use super::log_queue::{Sealed, verdict_event};
use super::pool::Store;
use super::signatures::{version_from_column, version_to_column};
use super::usage;

#[derive(QueryableByName)]
struct VerdictRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Jsonb)]
    verdict: Value,
}

impl VerdictRow {
    fn into_verdict(self) -> Result<StoredVerdict> {
        Ok(StoredVerdict {
            id: self.id,
            version: version_from_column(self.version)?,
            at: self.at,
            verdict: self.verdict,
        })
    }
}

/// The bytes that a verdict adds to a tenant's usage.
pub(super) fn verdict_bytes(text: &str) -> i32 {
    i32::try_from(text.len()).unwrap_or(i32::MAX)
}

/// The term by which a thread with this verdict, which is JSON, is found.
pub(super) fn verdict_term(text: &str) -> &'static str {
    let summary = serde_json::from_str(text).unwrap_or_default();
    Overall::of_summary(&summary).term()
}

impl Store {
    /// Records a verdict, which is JSON, on a version with this SHA-256. Returns none if the version does not exist, or has `most`
    /// verdicts already.
    pub fn verdict_insert(
        &self,
        tenant: TenantId,
        signature: SignatureId,
        version: u32,
        sha256: &[u8],
        most: i64,
        verdict: &str,
    ) -> Result<Option<StoredVerdict>> {
        let event = self.logs.then(|| verdict_event(sha256, verdict));
        let sealed = event.as_deref().map(Sealed::of_event);
        let sealed = sealed.transpose().map_err(query_error)?;
        let query = sql_query(insert_sql())
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(signature.0)
            .bind::<Integer, _>(version_to_column(version))
            .bind::<Integer, _>(verdict_bytes(verdict))
            .bind::<Text, _>(verdict)
            .bind::<BigInt, _>(most)
            .bind::<Nullable<Text>, _>(event)
            .bind::<Nullable<Binary>, _>(sealed.map(|sealed| sealed.salt))
            .bind::<Nullable<Binary>, _>(sealed.map(|sealed| sealed.seal))
            .bind::<Text, _>(verdict_term(verdict));
        let row = self.run(tenant, |connection| {
            query.get_result::<VerdictRow>(connection).optional()
        })?;
        row.map(VerdictRow::into_verdict).transpose()
    }

    /// Verdicts on a thread's versions, or on one of them: the newest version first, then the newest verdict. The
    /// page begins after the place `before`.
    pub fn verdict_list(
        &self,
        tenant: TenantId,
        signature: SignatureId,
        version: Option<u32>,
        before: Option<(u32, i64)>,
        limit: i64,
    ) -> Result<Vec<StoredVerdict>> {
        let (before_version, before_id) = before.unwrap_or((u32::MAX, i64::MAX));
        let query = sql_query(
            "SELECT id, version, at, verdict FROM signature_verdicts \
             WHERE tenant_id = $1 AND signature_id = $2 AND version = coalesce($3, version) \
               AND (version, id) < ($4, $5) \
             ORDER BY version DESC, id DESC LIMIT $6",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<BigInt, _>(signature.0)
        .bind::<Nullable<Integer>, _>(version.map(version_to_column))
        .bind::<Integer, _>(version_to_column(before_version))
        .bind::<BigInt, _>(before_id)
        .bind::<BigInt, _>(limit);
        let rows = self.run(tenant, |connection| query.load::<VerdictRow>(connection))?;
        rows.into_iter().map(VerdictRow::into_verdict).collect()
    }
}

/// The statement that records a verdict.
pub(super) fn insert_sql() -> String {
    format!(
        "WITH recorded AS ( \
                 INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict) \
                 SELECT tenant_id, signature_id, version, $4, $5::jsonb FROM signature_versions \
                 WHERE tenant_id = $1 AND signature_id = $2 AND version = $3 \
                   AND (SELECT count(*) FROM signature_verdicts \
                        WHERE tenant_id = $1 AND signature_id = $2 AND version = $3) < $6 \
                 RETURNING tenant_id, id, version, at, bytes, verdict), \
             logged AS ( \
                 INSERT INTO log_queue (tenant_id, signature_id, version, kind, event, salt, seal) \
                 SELECT tenant_id, $2, version, 'j', $7, $8, $9 FROM recorded WHERE $8 IS NOT NULL), \
             current AS MATERIALIZED ( \
                 SELECT s.tenant_id, s.id, s.created_at FROM signatures s \
                 WHERE s.tenant_id = $1 AND s.id = $2 AND s.version = $3 AND EXISTS (SELECT FROM recorded) FOR SHARE), \
             other AS ( \
                 DELETE FROM signature_terms t USING current \
                 WHERE t.tenant_id = $1 AND t.signature_id = $2 AND t.term >= 'verdict:' AND t.term < 'verdict;' \
                   AND t.term <> $10), \
             found AS ( \
                 INSERT INTO signature_terms (tenant_id, signature_id, created_at, term) \
                 SELECT tenant_id, id, created_at, $10 FROM current ON CONFLICT DO NOTHING), \
             counted AS ({} SELECT tenant_id, bytes, 0, 0, {} FROM recorded {}) \
             SELECT id, version, at, verdict FROM recorded",
        usage::INSERT,
        usage::SHARD,
        usage::OR_ADD
    )
}
