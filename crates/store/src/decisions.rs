//! Queries about decisions of hooks: their record, the inputs that are kept for replays, and the deletion of both.
//! `decision_list` lists them.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Text, Timestamptz};
use serde_json::Value;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Judgement, Outcome, Verdicts};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{SignatureBody, ThreadKey};

use super::log_refusals;
use super::pool::Store;
use super::schema::hook_inputs;
use super::signatures::{
    encoding_from_code, encoding_to_code, sha256_from_column, version_to_column,
};

/// The tables whose old rows are deleted.
pub(super) const CLEARED: [&str; 2] = ["hook_judgements", "hook_inputs"];

/// The statement that deletes old rows of a table.
pub(super) fn clear_sql(table: &str) -> String {
    format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY( \
             SELECT ctid FROM {table} WHERE tenant_id = $1 AND at < $2 LIMIT $3))"
    )
}

impl Store {
    /// Records the decisions of hooks if nothing was stored, and keeps the signature that they refused, if it is
    /// given.
    ///
    /// A crash of the database may lose what was recorded in this way within its last second.
    pub fn judgement_insert(
        &self,
        tenant: TenantId,
        judgement: &Judgement,
        outcome: Outcome,
        refused: Option<&SignatureBody>,
    ) -> Result<()> {
        self.transaction(tenant, |connection| {
            // Nothing was stored, so nothing that was promised can be lost: nobody waits until this is on disk.
            sql_query("SET LOCAL synchronous_commit = off").execute(connection)?;
            if let Some(body) = refused {
                diesel::insert_into(hook_inputs::table)
                    .values((
                        hook_inputs::tenant_id.eq(tenant.0),
                        hook_inputs::sha256.eq(&body.sha256[..]),
                        hook_inputs::encoding.eq(encoding_to_code(body.encoding)),
                        hook_inputs::signature.eq(&body.bytes[..]),
                    ))
                    .on_conflict((
                        hook_inputs::tenant_id,
                        hook_inputs::sha256,
                        hook_inputs::encoding,
                    ))
                    .do_update()
                    .set(hook_inputs::at.eq(diesel::dsl::now))
                    .execute(connection)?;
            }
            insert(connection, tenant, judgement, outcome)
        })
    }

    /// The verdicts on signatures that hooks received when this version was saved; none if no hook asked for them, or
    /// if they are no longer on record.
    pub fn verdicts_told(
        &self,
        tenant: TenantId,
        key: &ThreadKey,
        version: u32,
        sha256: &[u8; 32],
    ) -> Result<Option<Verdicts>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Jsonb)]
            verdicts: Value,
        }
        let query = sql_query(
            "SELECT input -> 'verdicts' AS verdicts FROM hook_judgements \
             WHERE tenant_id = $1 AND document = $2 AND thread = $3 AND version = $4 \
               AND operation = 'save' AND outcome = 'accepted' AND input ->> 'sha256' = $5 AND input ? 'verdicts' \
             ORDER BY at DESC, id DESC LIMIT 1",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Text, _>(&key.document)
        .bind::<Text, _>(&key.thread)
        .bind::<Integer, _>(version_to_column(version))
        .bind::<Text, _>(to_hex(sha256));
        let row = self.run(tenant, |connection| {
            query.get_result::<Row>(connection).optional()
        })?;
        let verdicts = row.map(|row| serde_json::from_value(row.verdicts));
        verdicts.transpose().map_err(Error::internal)
    }

    /// A signature that hooks refused, if it was kept.
    pub fn input_get(&self, tenant: TenantId, sha256: &[u8]) -> Result<Option<SignatureBody>> {
        let row = self.run(tenant, |connection| {
            hook_inputs::table
                .filter(hook_inputs::tenant_id.eq(tenant.0))
                .filter(hook_inputs::sha256.eq(sha256))
                .select((
                    hook_inputs::encoding,
                    hook_inputs::sha256,
                    hook_inputs::signature,
                ))
                .first::<(u8, Vec<u8>, Vec<u8>)>(connection)
                .optional()
        })?;
        row.map(|(encoding, sha256, bytes)| {
            Ok(SignatureBody {
                encoding: encoding_from_code(encoding)?,
                bytes: bytes.into(),
                sha256: sha256_from_column(sha256)?,
            })
        })
        .transpose()
    }

    /// Deletes at most `limit` judgements of a tenant, and as many kept inputs, that are older than `before`, and erases
    /// what as many refusals in its log say. Returns the number of rows. Several servers may do this at once.
    pub fn decision_clear(
        &self,
        tenant: TenantId,
        before: DateTime<Utc>,
        limit: i64,
    ) -> Result<usize> {
        self.run(tenant, |connection| {
            let mut cleared = 0;
            for table in CLEARED {
                cleared += sql_query(clear_sql(table))
                    .bind::<Integer, _>(tenant.0)
                    .bind::<Timestamptz, _>(before)
                    .bind::<BigInt, _>(limit)
                    .execute(connection)?;
            }
            cleared += log_refusals::erase(connection, tenant, before, limit)?;
            Ok(cleared)
        })
    }
}

/// Records a judgement, in the transaction of the save or delete that it allowed, if there is one.
pub(super) fn insert(
    connection: &mut PgConnection,
    tenant: TenantId,
    judgement: &Judgement,
    outcome: Outcome,
) -> QueryResult<()> {
    sql_query(
        "INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9::jsonb)",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Integer, _>(version_to_column(judgement.version))
    .bind::<Text, _>(judgement.operation.as_str())
    .bind::<Text, _>(outcome.as_str())
    .bind::<Text, _>(&judgement.key.document)
    .bind::<Text, _>(&judgement.key.thread)
    .bind::<Binary, _>(&judgement.input_sha256()[..])
    .bind::<Text, _>(&judgement.input)
    .bind::<Text, _>(&judgement.decisions)
    .execute(connection)?;
    Ok(())
}
