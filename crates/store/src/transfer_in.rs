//! Queries that import the threads of a tenant's file, in few statements.
//!
//! `COPY` would be faster, but Postgres refuses it under row-level security.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::ThreadKey;
use sigpersist_model::tenant::Usage;
use sigpersist_model::term::Overall;
use sigpersist_model::transfer::{Part, StoredVersion};

use super::audit;
use super::log_arrivals::{LogArrival, is_current};
use super::pool::Store;
use super::schema::{
    signature_tags, signature_terms, signature_verdicts, signature_versions, signatures,
};
use super::signatures::{encoding_to_code, version_to_column};
use super::transfer_known::KnownThread;
use super::usage;
use super::verdicts::verdict_bytes;

/// The most rows of tags or verdicts in one statement, which takes at most 65,535 values.
const MAX_ROWS: usize = 10_000;

/// Versions that are to be added to a thread.
#[derive(Debug)]
pub struct NewPart<'a> {
    /// The thread; none if it is new.
    pub known: Option<&'a KnownThread>,
    /// The versions that it does not have yet.
    pub part: &'a Part,
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

impl Store {
    /// Adds versions to new and existing threads, in one transaction. An import writes signatures only in this way.
    /// Versions have salts only while their log arrives with `arrival`; none is returned if it may not any more.
    ///
    /// Returns for each part whether its thread was as expected; otherwise nothing of the part is written.
    /// `recreated` makes the event for a new thread whose name was deleted before.
    pub fn import_write(
        &self,
        tenant: TenantId,
        parts: &[NewPart<'_>],
        arrival: Option<&LogArrival>,
        recreated: impl Fn(&Part) -> Event,
    ) -> Result<Option<Vec<bool>>> {
        self.transaction(tenant, |connection| {
            if let Some(arrival) = arrival
                && !is_current(connection, arrival)?
            {
                return Ok(None);
            }
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
            let terms: Vec<_> = written()
                .filter_map(|(new, id)| {
                    let created_at = new
                        .known
                        .map_or(new.part.created_at, |known| known.created_at);
                    let verdict = new.part.versions.last()?.verdicts.iter();
                    let newest = verdict.max_by_key(|verdict| verdict.at)?;
                    Some((
                        signature_terms::tenant_id.eq(tenant.0),
                        signature_terms::signature_id.eq(id),
                        signature_terms::created_at.eq(created_at),
                        signature_terms::term.eq(Overall::of_summary(&newest.verdict).term()),
                    ))
                })
                .collect();
            diesel::insert_into(signature_terms::table)
                .values(terms)
                .execute(connection)?;
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
            Ok(Some(ids.iter().map(Option::is_some).collect()))
        })
    }
}

/// The columns of a new version.
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
    diesel::dsl::Eq<signature_versions::salt, Option<&'a [u8]>>,
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
        signature_versions::salt.eq(version.salt.as_ref().map(|salt| &salt[..])),
    )
}

/// The columns of a new verdict.
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

/// The version and stage of a thread after a part is added.
fn last(part: &Part) -> (i32, Option<&str>) {
    let last = part.versions.last();
    (
        last.map_or(0, |last| version_to_column(last.version)),
        last.and_then(|last| last.stage.as_deref()),
    )
}

/// Makes threads in this order, which is also the order of their ids. Returns the threads that nobody else made
/// meanwhile.
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

/// Makes threads under their original ids.
fn create_with_ids(
    connection: &mut PgConnection,
    tenant: TenantId,
    parts: &[&NewPart<'_>],
) -> QueryResult<HashMap<ThreadKey, i64>> {
    let Some(last_id) = parts.iter().filter_map(|new| new.part.id).max() else {
        return Ok(HashMap::new());
    };
    // Reserves the ids first, so that no other new thread takes one of them meanwhile.
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

/// Sets a thread to the last version of a part, and deletes its tags. Returns its id, unless somebody else changed it
/// meanwhile.
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
    diesel::delete(
        signature_terms::table
            .filter(signature_terms::tenant_id.eq(tenant.0))
            .filter(signature_terms::signature_id.eq(known.id.0))
            .filter(signature_terms::term.like("verdict:%")),
    )
    .execute(connection)?;
    Ok(Some(known.id.0))
}
