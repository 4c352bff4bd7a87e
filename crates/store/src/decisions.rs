//! Queries about decisions of hooks: their record, the inputs that are kept for replays, and the deletion of both.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Jsonb, Nullable, Text, Timestamptz};
use serde_json::Value;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{
    Decision, DecisionId, Input, Judgement, Outcome, Recorded, Verdicts,
};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::page::Page;
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::{SignatureBody, ThreadKey};

use super::log_refusals;
use super::pool::Store;
use super::schema::hook_inputs;
use super::signatures::{
    encoding_from_code, encoding_to_code, sha256_from_column, version_from_column,
    version_to_column,
};

/// The most judgements that one page reads: a filter that matches few decisions costs no more than that.
const MAX_SCANNED: i64 = 5_000;

/// A filter of decisions. By default it matches all.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter<'a> {
    /// Only decisions about this document.
    pub document: Option<&'a str>,
    /// Only decisions about this thread.
    pub thread: Option<&'a str>,
    /// Only decisions of this hook.
    pub hook: Option<&'a str>,
    /// Only decisions with this verdict.
    pub verdict: Option<&'a str>,
    /// Only decisions recorded at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only decisions recorded before this time.
    pub until: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct DecisionRow {
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Text)]
    operation: String,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    thread: String,
    #[diesel(sql_type = Binary)]
    input_sha256: Vec<u8>,
    #[diesel(sql_type = Jsonb)]
    input: Value,
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Nullable<Jsonb>)]
    decision: Option<Value>,
}

impl DecisionRow {
    fn id(&self) -> Result<DecisionId> {
        Ok(DecisionId {
            at: self.at,
            judgement: self.id,
            place: u32::try_from(self.place).map_err(Error::internal)?,
        })
    }

    fn into_recorded(self) -> Result<Option<Recorded>> {
        let id = self.id()?;
        let unreadable = |error: String| Error::internal(error);
        let Some(decision) = self.decision else {
            return Ok(None);
        };
        Ok(Some(Recorded {
            id,
            operation: self.operation.parse::<Operation>().map_err(unreadable)?,
            key: ThreadKey {
                document: self.document,
                thread: self.thread,
            },
            version: version_from_column(self.version)?,
            outcome: self.outcome.parse::<Outcome>().map_err(unreadable)?,
            input_sha256: sha256_from_column(self.input_sha256)?,
            input: serde_json::from_value::<Input>(self.input).map_err(Error::internal)?,
            decision: serde_json::from_value::<Decision>(decision).map_err(Error::internal)?,
        }))
    }
}

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

    /// A page of a tenant's decisions after `after`, newest first.
    pub fn decision_list(
        &self,
        tenant: TenantId,
        filter: &DecisionFilter<'_>,
        after: Option<DecisionId>,
        limit: usize,
    ) -> Result<Page<Recorded, DecisionId>> {
        // `after` is a place within a judgement, which may have more decisions.
        let wanted = i64::try_from(limit).map_err(Error::internal)?;
        // Each judgement has a decision. So without a filter by hook or verdict, no more judgements need be read than
        // decisions are wanted.
        let scanned = match (filter.hook, filter.verdict) {
            (None, None) => wanted + 1,
            _ => MAX_SCANNED,
        };
        let query = sql_query(
            "WITH judged AS MATERIALIZED ( \
                 SELECT * FROM hook_judgements \
                 WHERE tenant_id = $1 \
                   AND ($2 IS NULL OR document = $2) AND ($3 IS NULL OR thread = $3) \
                   AND ($4 IS NULL OR at >= $4) AND ($5 IS NULL OR at < $5) \
                   AND ($6 IS NULL OR (at, id) <= ($6, $7)) \
                 ORDER BY at DESC, id DESC LIMIT $10), \
             found AS ( \
                 SELECT j.at, j.id, j.version, j.operation, j.outcome, j.document, j.thread, j.input_sha256, j.input, \
                        d.ordinality - 1 AS place, d.value AS decision \
                 FROM judged j CROSS JOIN LATERAL jsonb_array_elements(j.decisions) WITH ORDINALITY AS d (value, ordinality) \
                 WHERE ($8 IS NULL OR d.value ->> 'hook' = $8) \
                   AND ($9 IS NULL OR coalesce(d.value ->> 'verdict', 'accepted') = $9) \
                   AND ($6 IS NULL OR (j.at, j.id) < ($6, $7) OR d.ordinality - 1 > $11) \
                 ORDER BY j.at DESC, j.id DESC, d.ordinality LIMIT $12), \
             last AS ( \
                 SELECT at, id FROM judged ORDER BY at, id LIMIT 1) \
             SELECT at, id, version, operation, outcome, document, thread, input_sha256, input, place, decision FROM found \
             UNION ALL \
             SELECT at, id, 0, '', '', '', '', ''::bytea, 'null'::jsonb, 2147483647, NULL \
             FROM last WHERE (SELECT count(*) FROM judged) = $10 AND (SELECT count(*) FROM found) < $12",
        );
        let rows = self.run(tenant, |connection| {
            query
                .bind::<Integer, _>(tenant.0)
                .bind::<Nullable<Text>, _>(filter.document)
                .bind::<Nullable<Text>, _>(filter.thread)
                .bind::<Nullable<Timestamptz>, _>(filter.since)
                .bind::<Nullable<Timestamptz>, _>(filter.until)
                .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.at))
                .bind::<BigInt, _>(after.map_or(0, |after| after.judgement))
                .bind::<Nullable<Text>, _>(filter.hook)
                .bind::<Nullable<Text>, _>(filter.verdict)
                .bind::<BigInt, _>(scanned)
                .bind::<BigInt, _>(after.map_or(-1, |after| i64::from(after.place)))
                .bind::<BigInt, _>(wanted + 1)
                .load::<DecisionRow>(connection)
        })?;
        let mut decisions = Vec::with_capacity(rows.len().min(limit));
        let mut next = None;
        for row in rows {
            let id = row.id()?;
            match row.into_recorded()? {
                // The scan ended before the record did.
                None => next = Some(id),
                Some(_) if decisions.len() == limit => {
                    next = decisions.last().map(|last: &Recorded| last.id);
                }
                Some(recorded) => decisions.push(recorded),
            }
        }
        Ok(Page {
            items: decisions,
            next,
        })
    }

    /// One decision of a tenant, with all decisions of its judgement.
    pub fn decision_get(
        &self,
        tenant: TenantId,
        id: DecisionId,
    ) -> Result<Option<(Recorded, Vec<Decision>)>> {
        let row = self.run(tenant, |connection| {
            sql_query(
                "SELECT at, id, version, operation, outcome, document, thread, input_sha256, input, \
                        $4::bigint AS place, decisions AS decision \
                 FROM hook_judgements WHERE tenant_id = $1 AND at = $2 AND id = $3",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Timestamptz, _>(id.at)
            .bind::<BigInt, _>(id.judgement)
            .bind::<BigInt, _>(i64::from(id.place))
            .get_result::<DecisionRow>(connection)
            .optional()
        })?;
        let Some(mut row) = row else { return Ok(None) };
        let all: Vec<Value> = serde_json::from_value(row.decision.take().unwrap_or_default())
            .map_err(Error::internal)?;
        row.decision = usize::try_from(id.place)
            .ok()
            .and_then(|place| all.get(place))
            .cloned();
        let all = serde_json::from_value(Value::Array(all)).map_err(Error::internal)?;
        Ok(row.into_recorded()?.map(|recorded| (recorded, all)))
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
