//! Queries that read everything of a tenant, page by page in the order of a key.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Jsonb, Nullable, Text, Timestamptz};
use serde_json::Value;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::StoredKey;
use sigpersist_model::plugin::Digest;
use sigpersist_model::signature::SignatureBody;
use sigpersist_model::transfer::{
    Counts, Hook, HookBinding, InForce, Judgement, Quarantine, StoredVersion, Thread, VerdictLine,
};

use super::hooks::BindingRow;
use super::keys::{all, owner, stored};
use super::plugins::digest_from_column;
use super::schema::{hook_bindings, hook_inputs, hooks, keys, plugin_revisions, plugins};
use super::signatures::{encoding_from_code, sha256_from_column, version_from_column};
use super::snapshot::Snapshot;
use super::version_columns::VersionColumns;

/// The most versions of one page, however small they are.
const MAX_VERSIONS: i64 = 1_000;
/// The most judgements, or bindings, of one page.
const MAX_ROWS: i64 = 200;
/// The most refused signatures of one page.
const MAX_INPUTS: i64 = 4;

/// A version's place in the order of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VersionPlace {
    id: i64,
    version: i32,
}

/// A judgement's place in the order of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JudgementPlace {
    at: DateTime<Utc>,
    id: i64,
}

/// A refused signature's place in the order of export.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InputPlace {
    sha256: Vec<u8>,
    encoding: u8,
}

/// A version, and its thread.
#[derive(Debug)]
pub struct Exported {
    /// The place after which the next page begins.
    pub place: VersionPlace,
    /// Its thread.
    pub thread: Thread,
    /// The version.
    pub version: StoredVersion,
}

/// A signature that hooks refused.
#[derive(Debug)]
pub struct ExportedInput {
    /// The place after which the next page begins.
    pub place: InputPlace,
    /// The time when it was last refused.
    pub at: DateTime<Utc>,
    /// The signature.
    pub body: SignatureBody,
}

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    thread: String,
    #[diesel(sql_type = Integer)]
    versions: i32,
    #[diesel(sql_type = Timestamptz)]
    thread_created_at: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    thread_updated_at: DateTime<Utc>,
    #[diesel(embed)]
    version: VersionColumns,
    #[diesel(sql_type = Binary)]
    signature: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    salt: Option<Vec<u8>>,
}

impl VersionRow {
    fn into_exported(self) -> Result<Exported> {
        Ok(Exported {
            place: VersionPlace {
                id: self.id,
                version: self.version.version,
            },
            thread: Thread {
                id: Some(self.id),
                document: self.document,
                thread: self.thread,
                versions: version_from_column(self.versions)?,
                created_at: self.thread_created_at,
                updated_at: self.thread_updated_at,
            },
            version: StoredVersion {
                salt: self.salt.and_then(|salt| salt.try_into().ok()),
                ..self.version.into_stored(|encoding, sha256| SignatureBody {
                    encoding,
                    bytes: self.signature.into(),
                    sha256,
                })?
            },
        })
    }
}

#[derive(QueryableByName)]
struct VerdictRow {
    #[diesel(sql_type = BigInt)]
    signature_id: i64,
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Jsonb)]
    verdict: Value,
}

#[derive(QueryableByName)]
struct CountsRow {
    #[diesel(sql_type = BigInt)]
    threads: i64,
    #[diesel(sql_type = BigInt)]
    versions: i64,
    #[diesel(sql_type = BigInt)]
    revisions: i64,
    #[diesel(sql_type = BigInt)]
    hooks: i64,
    #[diesel(sql_type = BigInt)]
    bindings: i64,
    #[diesel(sql_type = BigInt)]
    judgements: i64,
    #[diesel(sql_type = BigInt)]
    inputs: i64,
}

#[derive(QueryableByName)]
struct JudgementRow {
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
    #[diesel(sql_type = Jsonb)]
    decisions: Value,
}

/// The parts of a plugin's revision that are exported.
#[derive(Debug, Queryable)]
pub struct ExportedRevision {
    /// Its component.
    pub component: Vec<u8>,
    /// Its test cases.
    pub cases: Value,
    /// The artefact that it came from.
    pub origin: Option<String>,
    /// Its publisher's signature.
    pub signature: Option<String>,
}

impl Snapshot<'_> {
    /// The number of rows of each kind.
    pub fn export_counts(&mut self) -> Result<Counts> {
        let query = sql_query(
            "SELECT (SELECT count(*) FROM signatures WHERE tenant_id = $1) AS threads, \
                    (SELECT count(*) FROM signature_versions WHERE tenant_id = $1) AS versions, \
                    (SELECT count(*) FROM plugin_revisions r JOIN plugins p ON p.id = r.plugin_id \
                     WHERE p.tenant_id = $1) AS revisions, \
                    (SELECT count(DISTINCT hook) FROM hook_bindings WHERE tenant_id = $1) AS hooks, \
                    (SELECT count(*) FROM hook_bindings WHERE tenant_id = $1) AS bindings, \
                    (SELECT count(*) FROM hook_judgements WHERE tenant_id = $1) AS judgements, \
                    (SELECT count(*) FROM hook_inputs WHERE tenant_id = $1) AS inputs",
        )
        .bind::<Integer, _>(self.tenant.0);
        let row: CountsRow = self.run(|connection| query.get_result(connection))?;
        let count = |rows: i64| u64::try_from(rows).map_err(Error::internal);
        Ok(Counts {
            threads: count(row.threads)?,
            versions: count(row.versions)?,
            // These are counted when they are read.
            keys: 0,
            issuers: 0,
            audit_chains: 0,
            audit_events: 0,
            log_epochs: 0,
            log_entries: 0,
            log_queued: 0,
            policies: u64::from(self.export_policy()?.is_some()),
            revisions: count(row.revisions)?,
            hooks: count(row.hooks)?,
            bindings: count(row.bindings)?,
            judgements: count(row.judgements)?,
            inputs: count(row.inputs)?,
        })
    }

    /// The keys that are not revoked, the oldest first.
    pub fn export_keys(&mut self) -> Result<Vec<StoredKey>> {
        let query = stored()
            .filter(owner().eq(self.tenant.0))
            .filter(keys::revoked_at.is_null())
            .order((keys::created_at, keys::kid));
        self.run(|connection| query.load(connection).and_then(all))
    }

    /// A page of versions of all threads, after this place. It ends with the version that brings its bytes to
    /// `max_bytes`. `with_log` adds the salts of those that have an entry in the log.
    pub fn export_versions(
        &mut self,
        after: VersionPlace,
        max_bytes: i64,
        with_log: bool,
    ) -> Result<Vec<Exported>> {
        // The bytes of versions outside the page are never read.
        let query = sql_query(
            "SELECT s.id, s.document, s.thread, s.version AS versions, s.created_at AS thread_created_at, \
                    s.updated_at AS thread_updated_at, v.version, v.created_at, v.stage, v.created_by, v.comment, v.tags, \
                    v.encoding, v.sha256, v.signature, \
                    CASE WHEN $6 AND v.salt IS NOT NULL AND EXISTS ( \
                                  SELECT FROM log_entries e \
                                  WHERE e.tenant_id = $1 AND e.signature_id = v.signature_id AND e.version = v.version \
                                    AND e.kind IN ('v', 'b', 'i')) \
                         THEN v.salt END AS salt \
             FROM (SELECT *, sum(bytes) OVER (ORDER BY signature_id, version) - bytes AS bytes_before \
                   FROM (SELECT *, octet_length(signature) + coalesce(( \
                                    SELECT sum(d.bytes) FROM signature_verdicts d \
                                    WHERE d.tenant_id = $1 AND d.signature_id = w.signature_id AND d.version = w.version), 0) \
                                AS bytes \
                         FROM signature_versions w \
                         WHERE tenant_id = $1 AND (signature_id, version) > ($2, $3) \
                         ORDER BY signature_id, version LIMIT $4) page) v \
             JOIN signatures s ON s.tenant_id = $1 AND s.id = v.signature_id \
             WHERE v.bytes_before < $5 ORDER BY v.signature_id, v.version",
        )
        .bind::<Integer, _>(self.tenant.0)
        .bind::<BigInt, _>(after.id)
        .bind::<Integer, _>(after.version)
        .bind::<BigInt, _>(MAX_VERSIONS)
        .bind::<BigInt, _>(max_bytes)
        .bind::<Bool, _>(with_log);
        let rows = self.run(|connection| query.load::<VersionRow>(connection))?;
        let page: Result<Vec<_>> = rows.into_iter().map(VersionRow::into_exported).collect();
        let mut page = page?;
        if let Some(last) = page.last() {
            let mut verdicts = self.export_verdicts(after, last.place)?;
            for exported in &mut page {
                exported.version.verdicts = verdicts.remove(&exported.place).unwrap_or_default();
            }
        }
        Ok(page)
    }

    /// The verdicts on versions after the first place, up to the second; of each version the oldest verdict first.
    fn export_verdicts(
        &mut self,
        after: VersionPlace,
        last: VersionPlace,
    ) -> Result<HashMap<VersionPlace, Vec<VerdictLine>>> {
        let query = sql_query(
            "SELECT signature_id, version, at, verdict FROM signature_verdicts \
             WHERE tenant_id = $1 AND (signature_id, version) > ($2, $3) AND (signature_id, version) <= ($4, $5) \
             ORDER BY signature_id, version, id",
        )
        .bind::<Integer, _>(self.tenant.0)
        .bind::<BigInt, _>(after.id)
        .bind::<Integer, _>(after.version)
        .bind::<BigInt, _>(last.id)
        .bind::<Integer, _>(last.version);
        let rows = self.run(|connection| query.load::<VerdictRow>(connection))?;
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            let place = VersionPlace {
                id: row.signature_id,
                version: row.version,
            };
            found.entry(place).or_default().push(VerdictLine {
                at: row.at,
                verdict: row.verdict,
            });
        }
        Ok(found)
    }

    /// The revisions of the tenant's own plugins; of each plugin from the oldest to the newest.
    pub fn export_revisions(&mut self) -> Result<Vec<(i32, String, Digest)>> {
        let tenant = self.tenant.0;
        let rows: Vec<(i32, String, Vec<u8>)> = self.run(|connection| {
            plugin_revisions::table
                .inner_join(plugins::table)
                .filter(plugins::tenant_id.eq(tenant))
                .order((plugins::name, plugin_revisions::uploaded_at))
                .select((plugins::id, plugins::name, plugin_revisions::sha256))
                .load(connection)
        })?;
        rows.into_iter()
            .map(|(id, name, sha256)| Ok((id, name, digest_from_column(sha256)?)))
            .collect()
    }

    /// The parts of a revision that are exported.
    pub fn export_component(&mut self, plugin_id: i32, sha256: Digest) -> Result<ExportedRevision> {
        self.run(|connection| {
            plugin_revisions::table
                .find((plugin_id, &sha256.0[..]))
                .select((
                    plugin_revisions::component,
                    plugin_revisions::cases,
                    plugin_revisions::origin,
                    plugin_revisions::signature,
                ))
                .first(connection)
        })
    }

    /// All hooks, including deleted ones.
    pub fn export_hooks(&mut self) -> Result<Vec<Hook>> {
        type Row = (
            String,
            i32,
            DateTime<Utc>,
            Option<DateTime<Utc>>,
            Option<String>,
        );
        let tenant = self.tenant.0;
        let all: Vec<(String, i64)> = self.run(|connection| {
            hook_bindings::table
                .filter(hook_bindings::tenant_id.eq(tenant))
                .group_by(hook_bindings::hook)
                .order(hook_bindings::hook)
                .select((hook_bindings::hook, count_star()))
                .load(connection)
        })?;
        let there: Vec<Row> = self.run(|connection| {
            hooks::table
                .filter(hooks::tenant_id.eq(tenant))
                .select((
                    hooks::name,
                    hooks::binding,
                    hooks::created_at,
                    hooks::quarantined_at,
                    hooks::quarantine_reason,
                ))
                .load(connection)
        })?;
        let mut there = there
            .into_iter()
            .map(|(name, binding, created_at, since, reason)| {
                let quarantine = since.zip(reason);
                let in_force = InForce {
                    binding: version_from_column(binding)?,
                    created_at,
                    quarantine: quarantine.map(|(since, reason)| Quarantine { since, reason }),
                };
                Ok((name, in_force))
            })
            .collect::<Result<HashMap<_, _>>>()?;
        all.into_iter()
            .map(|(name, bindings)| {
                Ok(Hook {
                    bindings: u32::try_from(bindings).map_err(Error::internal)?,
                    in_force: there.remove(&name),
                    name,
                })
            })
            .collect()
    }

    /// A page of a hook's bindings after this number.
    pub fn export_bindings(&mut self, hook: &str, after: u32) -> Result<Vec<HookBinding>> {
        let tenant = self.tenant.0;
        let after = super::signatures::version_to_column(after);
        let rows: Vec<(i32, Option<String>, DateTime<Utc>, BindingRow)> =
            self.run(|connection| {
                hook_bindings::table
                    .filter(hook_bindings::tenant_id.eq(tenant))
                    .filter(hook_bindings::hook.eq(hook))
                    .filter(hook_bindings::number.gt(after))
                    .order(hook_bindings::number)
                    .limit(MAX_ROWS)
                    .select((
                        hook_bindings::number,
                        hook_bindings::set_by,
                        hook_bindings::set_at,
                        BindingRow::as_select(),
                    ))
                    .load(connection)
            })?;
        rows.into_iter()
            .map(|(number, set_by, set_at, row)| {
                let number = version_from_column(number)?;
                Ok(HookBinding::new(
                    number,
                    row.into_binding()?,
                    set_by,
                    set_at,
                ))
            })
            .collect()
    }

    /// A page of judgements after this place, and the place after which the next page begins.
    pub fn export_judgements(
        &mut self,
        after: Option<JudgementPlace>,
    ) -> Result<(Vec<Judgement>, Option<JudgementPlace>)> {
        let query = sql_query(
            "SELECT at, id, version, operation, outcome, document, thread, input_sha256, input, decisions \
             FROM hook_judgements WHERE tenant_id = $1 AND (at, id) > (coalesce($2, '-infinity'), $3) \
             ORDER BY at, id LIMIT $4",
        )
        .bind::<Integer, _>(self.tenant.0)
        .bind::<Nullable<Timestamptz>, _>(after.map(|after| after.at))
        .bind::<BigInt, _>(after.map_or(0, |after| after.id))
        .bind::<BigInt, _>(MAX_ROWS);
        let rows = self.run(|connection| query.load::<JudgementRow>(connection))?;
        let next = rows.last().map(|row| JudgementPlace {
            at: row.at,
            id: row.id,
        });
        let judgements = rows.into_iter().map(|row| {
            Ok(Judgement {
                at: row.at,
                id: row.id,
                version: version_from_column(row.version)?,
                operation: row.operation,
                outcome: row.outcome,
                document: row.document,
                thread: row.thread,
                input_sha256: digest_from_column(row.input_sha256)?,
                input: row.input,
                decisions: row.decisions,
            })
        });
        Ok((judgements.collect::<Result<_>>()?, next))
    }

    /// A page of signatures that hooks refused, after this place.
    pub fn export_inputs(&mut self, after: &InputPlace) -> Result<Vec<ExportedInput>> {
        type Row = (Vec<u8>, u8, DateTime<Utc>, Vec<u8>);
        let tenant = self.tenant.0;
        let rows: Vec<Row> = self.run(|connection| {
            hook_inputs::table
                .filter(hook_inputs::tenant_id.eq(tenant))
                .filter(
                    hook_inputs::sha256.gt(&after.sha256).or(hook_inputs::sha256
                        .eq(&after.sha256)
                        .and(hook_inputs::encoding.gt(after.encoding))),
                )
                .order((hook_inputs::sha256, hook_inputs::encoding))
                .limit(MAX_INPUTS)
                .select((
                    hook_inputs::sha256,
                    hook_inputs::encoding,
                    hook_inputs::at,
                    hook_inputs::signature,
                ))
                .load(connection)
        })?;
        rows.into_iter()
            .map(|(sha256, encoding, at, signature)| {
                Ok(ExportedInput {
                    at,
                    body: SignatureBody {
                        encoding: encoding_from_code(encoding)?,
                        bytes: signature.into(),
                        sha256: sha256_from_column(sha256.clone())?,
                    },
                    place: InputPlace { sha256, encoding },
                })
            })
            .collect()
    }
}
