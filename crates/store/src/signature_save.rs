//! Saving a version: one statement, so one round trip and one transaction.
//!
//! Two writers over the same version meet at the row of the thread: the second waits for the first to commit, looks
//! again (READ COMMITTED), no longer finds the version it signed over, and changes nothing. Two that create the same
//! thread meet at its unique index in the same way.

use chrono::{DateTime, Utc};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Binary, Bool, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::Judgement;
use sigpersist_model::error::Result;
use sigpersist_model::signature::{Draft, Signature, SignatureId};

use super::pool::Store;
use super::signature_create::{FirstVersion, MAX_BYTES};
use super::signatures::{encoding_to_code, version_from_column, version_to_column};
use super::usage;
use super::verdicts::verdict_bytes;

/// Records to store with a draft.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Makes the event of the audit trail for a thread whose name was deleted before. Few drafts need it.
    pub recreated: &'a dyn Fn() -> Event,
    /// Decisions of the hooks.
    pub judgement: Option<&'a Judgement>,
    /// The verdict on its signature, as JSON.
    pub verdict: Option<&'a str>,
}

impl Store {
    /// Saves a draft as the next version of its thread. If the thread is not as the caller expects it, changes nothing
    /// and returns none.
    ///
    /// `over` is the version that must be current: 0 for no thread at all. With `or_first`, which needs `over` 0, a
    /// thread at version 1 is accepted too, unless that version is the draft itself. Decisions of hooks are recorded in
    /// either case, and the verdict on the signature with the version.
    ///
    /// A thread whose name was deleted before needs an event of the audit trail in the same transaction: the statement
    /// fails, and is repeated with more round trips.
    pub fn signature_save(
        &self,
        tenant: TenantId,
        draft: &Draft,
        tags: &[String],
        over: u32,
        or_first: bool,
        found: &Found<'_>,
    ) -> Result<Option<Signature>> {
        let judgement = found.judgement.map(JudgementColumns::new);
        let save = Columns {
            tenant_id: tenant.0,
            document: &draft.key.document,
            thread: &draft.key.thread,
            over: if or_first { 1 } else { version_to_column(over) },
            may_create: over == 0,
            may_repeat_first: !or_first,
            may_recreate: false,
            stage: draft.stage.as_deref(),
            created_by: draft.created_by.as_deref(),
            comment: draft.comment.as_deref(),
            tags,
            encoding: encoding_to_code(draft.body.encoding),
            sha256: &draft.body.sha256,
            signature: &draft.body.bytes,
        };
        let run = |connection: &mut PgConnection, save: &Columns<'_>| {
            let (judgement, verdict) = (judgement.as_ref(), found.verdict);
            match (judgement.is_some(), verdict.is_some()) {
                (false, false) => {
                    SaveVersion::<false, false>::new(save, None, None).run(connection)
                }
                (false, true) => {
                    SaveVersion::<false, true>::new(save, None, verdict).run(connection)
                }
                (true, false) => {
                    SaveVersion::<true, false>::new(save, judgement, None).run(connection)
                }
                (true, true) => {
                    SaveVersion::<true, true>::new(save, judgement, verdict).run(connection)
                }
            }
        };
        let alone = || {
            let saved = self.run(tenant, |connection| unless_deleted(run(connection, &save)))?;
            if let Some(saved) = saved {
                return Ok(saved);
            }
            let save = Columns {
                may_recreate: true,
                ..save
            };
            self.transaction(tenant, |connection| {
                let saved = run(connection, &save)?;
                if matches!(saved, Some((_, 1, ..))) {
                    self.audit(connection, &(found.recreated)())?;
                }
                Ok(saved)
            })
        };
        let may_go_with_others = over == 0 && draft.body.bytes.len() <= MAX_BYTES;
        // A judgement is recorded once.
        let saved = if may_go_with_others && !(or_first && judgement.is_some()) {
            let first = FirstVersion::new(draft, tags, found);
            self.signature_create(tenant, first, or_first, alone)?
        } else {
            alone()?
        };
        let Some((id, version, created_at, updated_at)) = saved else {
            return Ok(None);
        };
        Ok(Some(Signature {
            id: SignatureId(id),
            key: draft.key.clone(),
            version: version_from_column(version)?,
            stage: draft.stage.clone(),
            created_by: draft.created_by.clone(),
            comment: draft.comment.clone(),
            tags: tags.to_vec(),
            version_created_at: updated_at,
            created_at,
            updated_at,
            body: Some(draft.body.clone()),
        }))
    }
}

/// Id of the thread; version; times at which the thread and this version were created.
pub(super) type Saved = (i64, i32, DateTime<Utc>, DateTime<Utc>);

/// The result of a statement; none if it failed because the name of the new thread was deleted before.
pub(super) fn unless_deleted<T>(result: QueryResult<T>) -> QueryResult<Option<T>> {
    match result {
        Err(DieselError::DatabaseError(DatabaseErrorKind::CheckViolation, information))
            if information.constraint_name() == Some("signatures_not_deleted_before") =>
        {
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// The draft as columns.
#[derive(Debug, Clone, Copy)]
struct Columns<'a> {
    tenant_id: i32,
    document: &'a str,
    thread: &'a str,
    over: i32,
    may_create: bool,
    may_repeat_first: bool,
    may_recreate: bool,
    stage: Option<&'a str>,
    created_by: Option<&'a str>,
    comment: Option<&'a str>,
    tags: &'a [String],
    encoding: u8,
    sha256: &'a [u8],
    signature: &'a [u8],
}

/// The judgement of the hooks as columns.
#[derive(Debug)]
struct JudgementColumns<'a> {
    judgement: &'a Judgement,
    version: i32,
    input_sha256: [u8; 32],
}

impl<'a> JudgementColumns<'a> {
    fn new(judgement: &'a Judgement) -> Self {
        Self {
            judgement,
            version: version_to_column(judgement.version),
            input_sha256: judgement.input_sha256(),
        }
    }
}

/// The statement, of which there are four: with a judgement or without, with a verdict or without. Each is prepared once on a
/// connection, and known by its type.
#[derive(Debug)]
struct SaveVersion<'a, const JUDGED: bool, const VERIFIED: bool> {
    columns: &'a Columns<'a>,
    judgement: Option<&'a JudgementColumns<'a>>,
    verdict: Option<&'a str>,
    verdict_bytes: Option<i32>,
}

impl<'a, const JUDGED: bool, const VERIFIED: bool> SaveVersion<'a, JUDGED, VERIFIED> {
    fn new(
        columns: &'a Columns<'a>,
        judgement: Option<&'a JudgementColumns<'a>>,
        verdict: Option<&'a str>,
    ) -> Self {
        Self {
            columns,
            judgement,
            verdict,
            verdict_bytes: verdict.map(verdict_bytes),
        }
    }

    fn run(self, connection: &mut PgConnection) -> QueryResult<Option<Saved>> {
        self.get_result::<Saved>(connection).optional()
    }
}

impl<const JUDGED: bool, const VERIFIED: bool> QueryId for SaveVersion<'_, JUDGED, VERIFIED> {
    type QueryId = SaveVersion<'static, JUDGED, VERIFIED>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<const JUDGED: bool, const VERIFIED: bool> Query for SaveVersion<'_, JUDGED, VERIFIED> {
    type SqlType = (BigInt, Integer, Timestamptz, Timestamptz);
}

impl<const JUDGED: bool, const VERIFIED: bool> RunQueryDsl<PgConnection>
    for SaveVersion<'_, JUDGED, VERIFIED>
{
}

impl<const JUDGED: bool, const VERIFIED: bool> QueryFragment<Pg>
    for SaveVersion<'_, JUDGED, VERIFIED>
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.columns
            .writes(out.reborrow(), self.verdict_bytes.as_ref())?;
        if let Some(columns) = self.judgement {
            out.push_sql(
                ", judged AS ( \
                     INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, \
                                                  input, decisions) \
                     SELECT i.tenant_id, ",
            );
            out.push_bind_param::<Integer, _>(&columns.version)?;
            out.push_sql(
                ", 'save', CASE WHEN EXISTS (SELECT FROM saved) THEN 'accepted' ELSE 'not_stored' END, i.document, i.thread, ",
            );
            out.push_bind_param::<Binary, _>(&columns.input_sha256[..])?;
            out.push_sql("::bytea, ");
            out.push_bind_param::<Text, _>(&columns.judgement.input)?;
            out.push_sql("::jsonb, ");
            out.push_bind_param::<Text, _>(&columns.judgement.decisions)?;
            out.push_sql("::jsonb FROM input i)");
        }
        if let Some(verdict) = self.verdict {
            out.push_sql(
                ", verified AS ( \
                     INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict) \
                     SELECT i.tenant_id, s.id, s.version, ",
            );
            out.push_bind_param::<Nullable<Integer>, _>(&self.verdict_bytes)?;
            out.push_sql(", ");
            out.push_bind_param::<Text, _>(verdict)?;
            out.push_sql("::jsonb FROM saved s, input i)");
        }
        out.push_sql(SELECT_SAVED);
        Ok(())
    }
}

const SELECT_SAVED: &str = " SELECT id, version, created_at, updated_at FROM saved";

/// `input` names the parameters once. Everything that writes depends on `saved`, so a conflict writes nothing; and tags
/// that stay are not written again. Rows are looked up by values of `input` rather than joined with it, so that the plan for
/// any values, with the policies of row-level security in it, is an index lookup too, and Postgres need not plan each save.
/// What is counted comes last in the text, and so first of what follows on `saved`; it
/// waits with nothing in hand but the thread.
impl Columns<'_> {
    fn writes<'b>(
        &'b self,
        mut out: AstPass<'_, 'b, Pg>,
        verdict_bytes: Option<&'b i32>,
    ) -> QueryResult<()> {
        out.push_sql("WITH input AS (SELECT ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql("::integer AS tenant_id, ");
        out.push_bind_param::<Text, _>(self.document)?;
        out.push_sql("::text AS document, ");
        out.push_bind_param::<Text, _>(self.thread)?;
        out.push_sql("::text AS thread, ");
        out.push_bind_param::<Integer, _>(&self.over)?;
        out.push_sql("::integer AS over, ");
        out.push_bind_param::<Bool, _>(&self.may_create)?;
        out.push_sql("::boolean AS may_create, ");
        out.push_bind_param::<Bool, _>(&self.may_repeat_first)?;
        out.push_sql("::boolean AS may_repeat_first, ");
        out.push_bind_param::<Bool, _>(&self.may_recreate)?;
        out.push_sql("::boolean AS may_recreate, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.stage)?;
        out.push_sql("::text AS stage, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.created_by)?;
        out.push_sql("::text AS created_by, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.comment)?;
        out.push_sql("::text AS comment, ");
        out.push_bind_param::<Array<Text>, _>(self.tags)?;
        out.push_sql("::text[] AS tags, ");
        out.push_bind_param::<CChar, _>(&self.encoding)?;
        out.push_sql("::\"char\" AS encoding, ");
        out.push_bind_param::<Binary, _>(self.sha256)?;
        out.push_sql("::bytea AS sha256, ");
        out.push_bind_param::<Binary, _>(self.signature)?;
        out.push_sql(
            "::bytea AS signature), \
             updated AS ( \
                 UPDATE signatures s SET version = s.version + 1, stage = i.stage, updated_at = now() FROM input i \
                 WHERE s.tenant_id = (SELECT tenant_id FROM input) AND s.document = (SELECT document FROM input) \
                   AND s.thread = (SELECT thread FROM input) AND i.over >= 1 AND s.version = i.over \
                   AND (i.may_repeat_first OR NOT EXISTS ( \
                       SELECT FROM signature_versions v \
                       WHERE v.tenant_id = s.tenant_id AND v.signature_id = s.id AND v.version = 1 \
                         AND v.sha256 = i.sha256 AND v.encoding = i.encoding AND v.tags = i.tags \
                         AND v.stage IS NOT DISTINCT FROM i.stage \
                         AND v.created_by IS NOT DISTINCT FROM i.created_by \
                         AND v.comment IS NOT DISTINCT FROM i.comment)) \
                 RETURNING s.id, s.version, s.created_at, s.updated_at), \
             created AS ( \
                 INSERT INTO signatures (tenant_id, document, thread, version, stage) \
                 SELECT tenant_id, document, thread, 1, stage FROM input \
                 WHERE may_create AND NOT EXISTS (SELECT FROM updated) \
                 ON CONFLICT ON CONSTRAINT signatures_thread_key DO NOTHING \
                 RETURNING id, version, created_at, updated_at, \
                           CASE WHEN NOT (SELECT may_recreate FROM input) THEN not_deleted_before(tenant_id, document, thread) END), \
             saved AS (SELECT * FROM updated UNION ALL SELECT id, version, created_at, updated_at FROM created), \
             history AS ( \
                 INSERT INTO signature_versions (tenant_id, signature_id, version, stage, created_by, comment, tags, \
                                                 encoding, sha256, signature) \
                 SELECT i.tenant_id, s.id, s.version, i.stage, i.created_by, i.comment, i.tags, \
                        i.encoding, i.sha256, i.signature \
                 FROM saved s, input i), \
             untagged AS ( \
                 DELETE FROM signature_tags t USING updated u, input i \
                 WHERE t.tenant_id = (SELECT tenant_id FROM input) AND t.signature_id = u.id AND t.tag <> ALL (i.tags)), \
             tagged AS ( \
                 INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag) \
                 SELECT i.tenant_id, s.id, s.created_at, wanted.tag FROM saved s, input i, unnest(i.tags) AS wanted (tag) \
                 ON CONFLICT DO NOTHING), \
             counted AS ( ",
        );
        out.push_sql(usage::INSERT);
        out.push_sql("SELECT i.tenant_id, octet_length(i.signature)");
        if let Some(bytes) = verdict_bytes {
            out.push_sql(" + ");
            out.push_bind_param::<Integer, _>(bytes)?;
        }
        out.push_sql(", (s.version = 1)::integer, 1, ");
        out.push_sql(usage::SHARD);
        out.push_sql(" FROM saved s, input i");
        out.push_sql(usage::OR_ADD);
        out.push_sql(")");
        Ok(())
    }
}
