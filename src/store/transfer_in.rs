//! Queries that put a tenant's file into the database: what of it is there already, and the rest in few statements.
//!
//! COPY would be faster, but Postgres refuses it where row-level security holds.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{
    Array, BigInt, Binary, CChar, Integer, Jsonb, Nullable, Text, Timestamptz,
};

use super::hooks::BindingRow;
use super::pool::Store;
use super::schema::{
    hook_bindings, hook_inputs, hooks, signature_tags, signature_verdicts, signature_versions,
    signatures,
};
use super::signatures::{
    encoding_from_code, encoding_to_code, sha256_from_column, version_from_column,
    version_to_column,
};
use super::tenants::lock_tenant;
use super::verdicts::verdict_bytes;
use super::{audit, usage};
use crate::audit::Event;
use crate::context::TenantId;
use crate::error::Result;
use crate::plugins::model::Binding;
use crate::signatures::model::{SignatureBody, SignatureId, ThreadKey};
use crate::tenants::Usage;
use crate::transfer::model::{BodyMark, HookBinding, InForce, Judgement, Part, StoredVersion};

/// Rows of tags, or of verdicts, in one statement, which takes no more than 65,535 values.
const MAX_ROWS: usize = 10_000;

/// A thread that is there.
#[derive(Debug, Clone)]
pub struct KnownThread {
    /// Its number.
    pub id: SignatureId,
    /// Its current version.
    pub version: u32,
    /// When its first version was saved.
    pub created_at: DateTime<Utc>,
}

/// What is to be added to a thread.
#[derive(Debug)]
pub struct NewPart<'a> {
    /// The thread; none where it is new.
    pub known: Option<&'a KnownThread>,
    /// The versions that it has not yet.
    pub part: &'a Part,
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
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    stage: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    comment: Option<String>,
    #[diesel(sql_type = Array<Text>)]
    tags: Vec<String>,
    #[diesel(sql_type = CChar)]
    encoding: u8,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
}

#[derive(QueryableByName)]
struct CreatedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    document: String,
    #[diesel(sql_type = Text)]
    thread: String,
}

/// A version that is there, without its bytes.
type KnownVersion = StoredVersion<BodyMark>;

impl Store {
    /// The threads of these keys, those that there are, in the order of the keys.
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
                let version = version_from_column(row.version)?;
                Ok((
                    (SignatureId(row.signature_id), version),
                    StoredVersion {
                        version,
                        created_at: row.created_at,
                        stage: row.stage,
                        created_by: row.created_by,
                        comment: row.comment,
                        tags: row.tags,
                        body: BodyMark {
                            encoding: encoding_from_code(row.encoding)?,
                            sha256: sha256_from_column(row.sha256)?,
                        },
                        verdicts: Vec::new(),
                    },
                ))
            })
            .collect()
    }

    /// Those of these ids that threads of the tenant have.
    pub fn import_ids_taken(&self, tenant: TenantId, ids: &[i64]) -> Result<Vec<i64>> {
        self.run(tenant, |connection| {
            signatures::table
                .filter(signatures::tenant_id.eq(tenant.0))
                .filter(signatures::id.eq_any(ids))
                .select(signatures::id)
                .load(connection)
        })
    }

    /// Adds versions to threads, new ones and such as are there, as one transaction: all that an import writes of
    /// signatures. Says of each whether its thread was as expected; of others it writes nothing. `recreated` gives the event that
    /// it is if a thread is new whose name was deleted before.
    pub fn import_write(
        &self,
        tenant: TenantId,
        parts: &[NewPart<'_>],
        recreated: impl Fn(&Part) -> Event,
    ) -> Result<Vec<bool>> {
        self.transaction(tenant, |connection| {
            let created = create(connection, tenant, parts)?;
            let mut ids = Vec::with_capacity(parts.len());
            for new in parts {
                ids.push(match new.known {
                    None => created.get(&new.part.key).copied(),
                    Some(known) => continue_thread(connection, tenant, known, new.part)?,
                });
            }
            let written = || {
                let parts = parts.iter().zip(&ids);
                parts.filter_map(|(new, id)| id.map(|id| (new, id)))
            };
            let versions: Vec<_> = written()
                .flat_map(|(new, id)| {
                    let versions = new.part.versions.iter();
                    versions.map(move |version| version_values(tenant, id, version))
                })
                .collect();
            diesel::insert_into(signature_versions::table)
                .values(versions)
                .execute(connection)?;
            let verdicts: Vec<_> = written()
                .flat_map(|(new, id)| {
                    let versions = new.part.versions.iter();
                    versions.flat_map(move |version| verdict_values(tenant, id, version))
                })
                .collect();
            for verdicts in verdicts.chunks(MAX_ROWS) {
                diesel::insert_into(signature_verdicts::table)
                    .values(verdicts)
                    .execute(connection)?;
            }
            let tags: Vec<_> = written()
                .flat_map(|(new, id)| {
                    let created_at = new
                        .known
                        .map_or(new.part.created_at, |known| known.created_at);
                    let tags = new.part.versions.last().map_or(&[][..], |last| &last.tags);
                    tags.iter().map(move |tag| {
                        (
                            signature_tags::tenant_id.eq(tenant.0),
                            signature_tags::signature_id.eq(id),
                            signature_tags::created_at.eq(created_at),
                            signature_tags::tag.eq(tag),
                        )
                    })
                })
                .collect();
            for tags in tags.chunks(MAX_ROWS) {
                diesel::insert_into(signature_tags::table)
                    .values(tags)
                    .execute(connection)?;
            }
            let mut added = Usage::default();
            for (new, _) in written() {
                added.threads += i64::from(new.known.is_none());
                for version in &new.part.versions {
                    added.versions += 1;
                    added.bytes += i64::try_from(version.body.bytes.len()).unwrap_or(i64::MAX);
                    for verdict in &version.verdicts {
                        added.bytes += i64::from(verdict_bytes(&verdict.verdict.to_string()));
                    }
                }
            }
            usage::add(connection, tenant, added)?;
            let new = written().filter(|(new, _)| new.known.is_none());
            let events = new.map(|(new, _)| recreated(new.part)).collect();
            for event in audit::of_deleted(connection, tenant, events)? {
                self.audit(connection, &event)?;
            }
            Ok(ids.iter().map(Option::is_some).collect())
        })
    }

    /// Adds a binding to a hook's history, as it was; says whether there was none of this number.
    pub fn import_binding(
        &self,
        tenant: TenantId,
        hook: &str,
        line: &HookBinding,
        plugin_id: i32,
    ) -> Result<bool> {
        let row = BindingRow::new(&line.to_binding(plugin_id))?;
        let added = self.run(tenant, |connection| {
            diesel::insert_into(hook_bindings::table)
                .values((
                    hook_bindings::tenant_id.eq(tenant.0),
                    hook_bindings::hook.eq(hook),
                    hook_bindings::number.eq(version_to_column(line.number)),
                    row,
                    hook_bindings::set_by.eq(&line.set_by),
                    hook_bindings::set_at.eq(line.set_at),
                ))
                .on_conflict_do_nothing()
                .execute(connection)
        })?;
        Ok(added > 0)
    }

    /// Puts a binding of a hook's history in force, in place of the one of this number; 0 where there must be none. Says
    /// whether it did.
    pub fn import_hook(
        &self,
        tenant: TenantId,
        name: &str,
        over: u32,
        binding: &Binding,
        in_force: &InForce,
        event: &Event,
    ) -> Result<bool> {
        let row = BindingRow::new(binding)?;
        let quarantine = in_force.quarantine.as_ref();
        let values = (
            hooks::binding.eq(version_to_column(in_force.binding)),
            hooks::plugin_id.eq(row.plugin_id),
            hooks::sha256.eq(&row.sha256),
            hooks::shadow_sha256.eq(row.shadow_sha256.as_ref()),
            hooks::quarantined_at.eq(quarantine.map(|quarantine| quarantine.since)),
            hooks::quarantine_reason.eq(quarantine.map(|quarantine| &quarantine.reason)),
        );
        self.transaction(tenant, |connection| {
            lock_tenant(connection, tenant)?;
            let written = if over == 0 {
                diesel::insert_into(hooks::table)
                    .values((
                        hooks::tenant_id.eq(tenant.0),
                        hooks::name.eq(name),
                        hooks::created_at.eq(in_force.created_at),
                        values,
                    ))
                    .on_conflict_do_nothing()
                    .execute(connection)?
            } else {
                let hook = hooks::table.find((tenant.0, name));
                diesel::update(hook.filter(hooks::binding.eq(version_to_column(over))))
                    .set(values)
                    .execute(connection)?
            };
            if written > 0 {
                self.audit(connection, event)?;
            }
            Ok(written > 0)
        })
    }

    /// Records judgements under the ids that they had, and says how many were not there.
    pub fn import_judgements(&self, tenant: TenantId, judgements: &[Judgement]) -> Result<usize> {
        macro_rules! each {
            ($judgement:ident => $value:expr) => {
                judgements
                    .iter()
                    .map(|$judgement| $value)
                    .collect::<Vec<_>>()
            };
        }
        let query = sql_query(
            "INSERT INTO hook_judgements (tenant_id, at, id, version, operation, outcome, document, thread, input_sha256, input, \
                                          decisions) \
             OVERRIDING SYSTEM VALUE \
             SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        )
        .bind::<Integer, _>(tenant.0)
        .bind::<Array<Timestamptz>, _>(each!(j => j.at))
        .bind::<Array<BigInt>, _>(each!(j => j.id))
        .bind::<Array<Integer>, _>(each!(j => version_to_column(j.version)))
        .bind::<Array<Text>, _>(each!(j => j.operation.as_str()))
        .bind::<Array<Text>, _>(each!(j => j.outcome.as_str()))
        .bind::<Array<Text>, _>(each!(j => j.document.as_str()))
        .bind::<Array<Text>, _>(each!(j => j.thread.as_str()))
        .bind::<Array<Binary>, _>(each!(j => &j.input_sha256.0[..]))
        .bind::<Array<Jsonb>, _>(each!(j => &j.input))
        .bind::<Array<Jsonb>, _>(each!(j => &j.decisions));
        self.run(tenant, |connection| query.execute(connection))
    }

    /// Keeps a signature that hooks refused; says whether it was not there.
    pub fn import_input(
        &self,
        tenant: TenantId,
        at: DateTime<Utc>,
        body: &SignatureBody,
    ) -> Result<bool> {
        let added = self.run(tenant, |connection| {
            diesel::insert_into(hook_inputs::table)
                .values((
                    hook_inputs::tenant_id.eq(tenant.0),
                    hook_inputs::sha256.eq(&body.sha256[..]),
                    hook_inputs::encoding.eq(encoding_to_code(body.encoding)),
                    hook_inputs::at.eq(at),
                    hook_inputs::signature.eq(&body.bytes[..]),
                ))
                .on_conflict_do_nothing()
                .execute(connection)
        })?;
        Ok(added > 0)
    }
}

/// The columns of a version that is new.
type VersionValues<'a> = (
    diesel::dsl::Eq<signature_versions::tenant_id, i32>,
    diesel::dsl::Eq<signature_versions::signature_id, i64>,
    diesel::dsl::Eq<signature_versions::version, i32>,
    diesel::dsl::Eq<signature_versions::created_at, DateTime<Utc>>,
    diesel::dsl::Eq<signature_versions::encoding, u8>,
    diesel::dsl::Eq<signature_versions::sha256, &'a [u8]>,
    diesel::dsl::Eq<signature_versions::stage, Option<&'a str>>,
    diesel::dsl::Eq<signature_versions::created_by, Option<&'a str>>,
    diesel::dsl::Eq<signature_versions::comment, Option<&'a str>>,
    diesel::dsl::Eq<signature_versions::tags, &'a [String]>,
    diesel::dsl::Eq<signature_versions::signature, &'a [u8]>,
);

fn version_values(tenant: TenantId, id: i64, version: &StoredVersion) -> VersionValues<'_> {
    (
        signature_versions::tenant_id.eq(tenant.0),
        signature_versions::signature_id.eq(id),
        signature_versions::version.eq(version_to_column(version.version)),
        signature_versions::created_at.eq(version.created_at),
        signature_versions::encoding.eq(encoding_to_code(version.body.encoding)),
        signature_versions::sha256.eq(&version.body.sha256[..]),
        signature_versions::stage.eq(version.stage.as_deref()),
        signature_versions::created_by.eq(version.created_by.as_deref()),
        signature_versions::comment.eq(version.comment.as_deref()),
        signature_versions::tags.eq(&version.tags[..]),
        signature_versions::signature.eq(&version.body.bytes[..]),
    )
}

/// The columns of a verdict that is new.
type VerdictValues<'a> = (
    diesel::dsl::Eq<signature_verdicts::tenant_id, i32>,
    diesel::dsl::Eq<signature_verdicts::signature_id, i64>,
    diesel::dsl::Eq<signature_verdicts::version, i32>,
    diesel::dsl::Eq<signature_verdicts::at, DateTime<Utc>>,
    diesel::dsl::Eq<signature_verdicts::bytes, i32>,
    diesel::dsl::Eq<signature_verdicts::verdict, &'a serde_json::Value>,
);

fn verdict_values(
    tenant: TenantId,
    id: i64,
    version: &StoredVersion,
) -> impl Iterator<Item = VerdictValues<'_>> {
    version.verdicts.iter().map(move |verdict| {
        (
            signature_verdicts::tenant_id.eq(tenant.0),
            signature_verdicts::signature_id.eq(id),
            signature_verdicts::version.eq(version_to_column(version.version)),
            signature_verdicts::at.eq(verdict.at),
            signature_verdicts::bytes.eq(verdict_bytes(&verdict.verdict.to_string())),
            signature_verdicts::verdict.eq(&verdict.verdict),
        )
    })
}

/// The version and stage that a thread has after a part.
fn last(part: &Part) -> (i32, Option<&str>) {
    let last = part.versions.last();
    (
        last.map_or(0, |last| version_to_column(last.version)),
        last.and_then(|last| last.stage.as_deref()),
    )
}

/// Makes threads in this order, which is that of their numbers; gives those that nobody else made meanwhile.
fn create(
    connection: &mut PgConnection,
    tenant: TenantId,
    parts: &[NewPart<'_>],
) -> QueryResult<HashMap<ThreadKey, i64>> {
    let new = parts.iter().filter(|new| new.known.is_none());
    let (with_id, without): (Vec<_>, Vec<_>) = new.partition(|new| new.part.id.is_some());
    let mut ids = create_with_ids(connection, tenant, &with_id)?;
    let rows: Vec<_> = without
        .iter()
        .map(|NewPart { part, .. }| {
            let (version, stage) = last(part);
            (
                signatures::tenant_id.eq(tenant.0),
                signatures::version.eq(version),
                signatures::created_at.eq(part.created_at),
                signatures::updated_at.eq(part.updated_at),
                signatures::document.eq(&part.key.document),
                signatures::thread.eq(&part.key.thread),
                signatures::stage.eq(stage),
            )
        })
        .collect();
    let created: Vec<(i64, String, String)> = diesel::insert_into(signatures::table)
        .values(rows)
        .on_conflict_do_nothing()
        .returning((signatures::id, signatures::document, signatures::thread))
        .get_results(connection)?;
    let created = created.into_iter();
    ids.extend(created.map(|(id, document, thread)| (ThreadKey { document, thread }, id)));
    Ok(ids)
}

/// Makes threads under the ids that they have.
fn create_with_ids(
    connection: &mut PgConnection,
    tenant: TenantId,
    parts: &[&NewPart<'_>],
) -> QueryResult<HashMap<ThreadKey, i64>> {
    let Some(last_id) = parts.iter().filter_map(|new| new.part.id).max() else {
        return Ok(HashMap::new());
    };
    // First, so that no thread that is new here takes one of them meanwhile.
    sql_query("SELECT reserve_signature_ids($1)")
        .bind::<BigInt, _>(last_id)
        .execute(connection)?;
    macro_rules! each {
        ($part:ident => $value:expr) => {
            parts
                .iter()
                .map(|NewPart { part: $part, .. }| $value)
                .collect::<Vec<_>>()
        };
    }
    let rows: Vec<CreatedRow> = sql_query(
        "INSERT INTO signatures (tenant_id, id, version, created_at, updated_at, document, thread, stage) \
         OVERRIDING SYSTEM VALUE \
         SELECT $1, * FROM unnest($2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING \
         RETURNING id, document, thread",
    )
    .bind::<Integer, _>(tenant.0)
    .bind::<Array<BigInt>, _>(each!(part => part.id.unwrap_or_default()))
    .bind::<Array<Integer>, _>(each!(part => last(part).0))
    .bind::<Array<Timestamptz>, _>(each!(part => part.created_at))
    .bind::<Array<Timestamptz>, _>(each!(part => part.updated_at))
    .bind::<Array<Text>, _>(each!(part => part.key.document.as_str()))
    .bind::<Array<Text>, _>(each!(part => part.key.thread.as_str()))
    .bind::<Array<Nullable<Text>>, _>(each!(part => last(part).1))
    .load(connection)?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| {
            let CreatedRow {
                id,
                document,
                thread,
            } = row;
            (ThreadKey { document, thread }, id)
        })
        .collect())
}

/// Moves a thread on to the last version of a part, and takes its tags away; gives its number, if nobody else moved it.
fn continue_thread(
    connection: &mut PgConnection,
    tenant: TenantId,
    known: &KnownThread,
    part: &Part,
) -> QueryResult<Option<i64>> {
    let (version, stage) = last(part);
    let thread = signatures::table.find((tenant.0, known.id.0));
    let moved =
        diesel::update(thread.filter(signatures::version.eq(version_to_column(known.version))))
            .set((
                signatures::version.eq(version),
                signatures::stage.eq(stage),
                signatures::updated_at.eq(part.updated_at),
            ))
            .execute(connection)?;
    if moved == 0 {
        return Ok(None);
    }
    diesel::delete(
        signature_tags::table
            .filter(signature_tags::tenant_id.eq(tenant.0))
            .filter(signature_tags::signature_id.eq(known.id.0)),
    )
    .execute(connection)?;
    Ok(Some(known.id.0))
}
