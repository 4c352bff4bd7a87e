//! Creating many threads at once: what several requests of a tenant want saved as first versions at the same time is one
//! statement and one commit, which takes less than half of what a statement for each would.
//!
//! Threads are created in the order of their names, so that two such statements wait for each other in one direction only; and none
//! waits for long where others keep one of the threads locked, a delete or an import: then each goes by itself, and the rest need
//! not wait with that one.

use std::error::Error as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::Judgement;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::Draft;
use tracing::warn;

use super::batches::Joined;
use super::failure::is_lock_timeout;
use super::pool::Store;
use super::signature_save::{Found, Saved, unless_deleted};
use super::signatures::encoding_to_code;
use super::usage;
use super::verdicts::verdict_bytes;

/// Larger signatures are saved by themselves: sending them takes longer than a batch saves.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A first version to save.
#[derive(Debug)]
pub(super) struct FirstVersion {
    draft: Draft,
    tags: Vec<String>,
    judgement: Option<Judgement>,
    verdict: Option<String>,
}

impl FirstVersion {
    pub(super) fn new(draft: &Draft, tags: &[String], found: &Found<'_>) -> Self {
        Self {
            draft: draft.clone(),
            tags: tags.to_vec(),
            judgement: found.judgement.cloned(),
            verdict: found.verdict.map(str::to_owned),
        }
    }
}

/// The result for one first version.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It was saved.
    Created(Saved),
    /// The thread exists already.
    Exists,
    /// The database was not available; its message.
    Unavailable(Arc<str>),
    /// One of the batch is refused, locked, or has a name that was deleted before; it is unknown which.
    Unknown,
}

impl Store {
    /// Saves a first version in a batch with others, or by itself with `alone`. With `or_second`, `alone` also saves it
    /// over the first version of an existing thread; otherwise the result for an existing thread is none.
    pub(super) fn signature_create(
        &self,
        tenant: TenantId,
        first: FirstVersion,
        or_second: bool,
        alone: impl FnOnce() -> Result<Option<Saved>>,
    ) -> Result<Option<Saved>> {
        let fate = match self.firsts.join(tenant, first) {
            None => Fate::Unavailable("it does not answer".into()),
            Some(Joined::Done(fate)) => fate,
            // It is under way until it is saved.
            Some(Joined::Lead(_lead, firsts)) if firsts.len() == 1 => return alone(),
            Some(Joined::Lead(lead, firsts)) => {
                let mut fates = self.fates(tenant, &firsts).into_iter();
                let own = fates.next().unwrap_or(Fate::Unknown);
                lead.tell(fates);
                own
            }
        };
        match fate {
            Fate::Created(saved) => Ok(Some(saved)),
            Fate::Exists if or_second => alone(),
            Fate::Exists => Ok(None),
            Fate::Unavailable(words) => Err(Error::DatabaseUnavailable((&*words).into())),
            Fate::Unknown => alone(),
        }
    }

    fn fates(&self, tenant: TenantId, firsts: &[FirstVersion]) -> Vec<Fate> {
        let statement = CreateThreads::new(tenant, firsts);
        let created = self.run(tenant, |connection| {
            unless_deleted(statement.load::<Created>(connection))
        });
        match created {
            // Each finds out by itself whether it needs an event of the audit trail.
            Ok(None) => vec![Fate::Unknown; firsts.len()],
            Ok(Some(created)) => {
                let mut fates = vec![Fate::Exists; firsts.len()];
                for (number, id, created_at) in created {
                    let place = usize::try_from(number - 1).ok();
                    if let Some(fate) = place.and_then(|place| fates.get_mut(place)) {
                        *fate = Fate::Created((id, 1, created_at, created_at));
                    }
                }
                fates
            }
            Err(Error::DatabaseUnavailable(cause)) if !is_lock_timeout(&*cause) => {
                vec![Fate::Unavailable(cause.to_string().into()); firsts.len()]
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                warn!(
                    cause,
                    "First versions could not be saved in one batch; each is saved by itself"
                );
                vec![Fate::Unknown; firsts.len()]
            }
        }
    }
}

/// Position of a first version in the batch, from 1; id of the thread; time of its creation.
type Created = (i64, i64, DateTime<Utc>);

/// The statement: columns of first versions, and their tags, each with the position of its first version.
#[derive(Debug)]
struct CreateThreads<'a> {
    tenant_id: i32,
    documents: Vec<&'a str>,
    threads: Vec<&'a str>,
    stages: Vec<Option<&'a str>>,
    created_by: Vec<Option<&'a str>>,
    comments: Vec<Option<&'a str>>,
    encodings: Vec<u8>,
    sha256: Vec<&'a [u8]>,
    signatures: Vec<&'a [u8]>,
    verdicts: Vec<Option<&'a str>>,
    verdict_bytes: Vec<Option<i32>>,
    input_sha256: Vec<Option<Vec<u8>>>,
    inputs: Vec<Option<&'a str>>,
    decisions: Vec<Option<&'a str>>,
    tagged: Vec<i64>,
    tags: Vec<&'a str>,
}

impl<'a> CreateThreads<'a> {
    fn new(tenant: TenantId, firsts: &'a [FirstVersion]) -> Self {
        fn column<'a, T>(
            firsts: &'a [FirstVersion],
            value: impl Fn(&'a FirstVersion) -> T,
        ) -> Vec<T> {
            firsts.iter().map(value).collect()
        }
        let tags = || {
            firsts
                .iter()
                .zip(1..)
                .flat_map(|(first, number)| first.tags.iter().map(move |tag| (number, &**tag)))
        };
        Self {
            tenant_id: tenant.0,
            documents: column(firsts, |first| &*first.draft.key.document),
            threads: column(firsts, |first| &*first.draft.key.thread),
            stages: column(firsts, |first| first.draft.stage.as_deref()),
            created_by: column(firsts, |first| first.draft.created_by.as_deref()),
            comments: column(firsts, |first| first.draft.comment.as_deref()),
            encodings: column(firsts, |first| encoding_to_code(first.draft.body.encoding)),
            sha256: column(firsts, |first| &first.draft.body.sha256[..]),
            signatures: column(firsts, |first| &first.draft.body.bytes[..]),
            verdicts: column(firsts, |first| first.verdict.as_deref()),
            verdict_bytes: column(firsts, |first| first.verdict.as_deref().map(verdict_bytes)),
            input_sha256: column(firsts, |first| {
                let judgement = first.judgement.as_ref()?;
                Some(judgement.input_sha256().to_vec())
            }),
            inputs: column(firsts, |first| Some(&*first.judgement.as_ref()?.input)),
            decisions: column(firsts, |first| Some(&*first.judgement.as_ref()?.decisions)),
            tagged: tags().map(|(number, _)| number).collect(),
            tags: tags().map(|(_, tag)| tag).collect(),
        }
    }
}

impl QueryId for CreateThreads<'_> {
    type QueryId = CreateThreads<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for CreateThreads<'_> {
    type SqlType = (BigInt, BigInt, Timestamptz);
}

impl RunQueryDsl<PgConnection> for CreateThreads<'_> {}

/// If several drafts of a batch are for the same thread, the first gets it. The lock timeout is shorter than
/// `deadlock_timeout` (1 s), after which Postgres would refuse one of two batches that wait for each other. The order of
/// counting is explained in [`super::signature_save`].
impl QueryFragment<Pg> for CreateThreads<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH tenant AS (SELECT ");
        out.push_bind_param::<Integer, _>(&self.tenant_id)?;
        out.push_sql(
            "::integer AS tenant_id, set_config('lock_timeout', '500ms', true)), \
             input AS (SELECT n.tenant_id, i.* FROM tenant n, unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.documents)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Text>, _>(&self.threads)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.stages)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.created_by)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.comments)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<CChar>, _>(&self.encodings)?;
        out.push_sql("::\"char\"[], ");
        out.push_bind_param::<Array<Binary>, _>(&self.sha256)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Binary>, _>(&self.signatures)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.verdicts)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Integer>>, _>(&self.verdict_bytes)?;
        out.push_sql("::integer[], ");
        out.push_bind_param::<Array<Nullable<Binary>>, _>(&self.input_sha256)?;
        out.push_sql("::bytea[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.inputs)?;
        out.push_sql("::text[], ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.decisions)?;
        out.push_sql(
            "::text[]) WITH ORDINALITY AS i (document, thread, stage, created_by, comment, encoding, sha256, signature, \
                                             verdict, verdict_bytes, input_sha256, input, decisions, number)), \
             tags AS (SELECT t.* FROM unnest(",
        );
        out.push_bind_param::<Array<BigInt>, _>(&self.tagged)?;
        out.push_sql("::bigint[], ");
        out.push_bind_param::<Array<Text>, _>(&self.tags)?;
        out.push_sql(
            "::text[]) WITH ORDINALITY AS t (number, tag, place)), \
             created AS ( \
                 INSERT INTO signatures (tenant_id, document, thread, version, stage) \
                 SELECT DISTINCT ON (document, thread) tenant_id, document, thread, 1, stage FROM input \
                 ORDER BY document, thread, number \
                 ON CONFLICT ON CONSTRAINT signatures_thread_key DO NOTHING \
                 RETURNING id, document, thread, created_at, not_deleted_before(tenant_id, document, thread)), \
             saved AS ( \
                 SELECT DISTINCT ON (c.id) c.id, c.created_at, i.number FROM created c JOIN input i USING (document, thread) \
                 ORDER BY c.id, i.number), \
             history AS ( \
                 INSERT INTO signature_versions (tenant_id, signature_id, version, stage, created_by, comment, tags, \
                                                 encoding, sha256, signature) \
                 SELECT i.tenant_id, s.id, 1, i.stage, i.created_by, i.comment, \
                        ARRAY(SELECT t.tag FROM tags t WHERE t.number = s.number ORDER BY t.place), \
                        i.encoding, i.sha256, i.signature \
                 FROM saved s JOIN input i USING (number)), \
             tagged AS ( \
                 INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag) \
                 SELECT n.tenant_id, s.id, s.created_at, t.tag FROM tenant n, saved s JOIN tags t USING (number)), \
             judged AS ( \
                 INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, \
                                              input, decisions) \
                 SELECT i.tenant_id, 1, 'save', CASE WHEN s.id IS NULL THEN 'not_stored' ELSE 'accepted' END, i.document, \
                        i.thread, i.input_sha256, i.input::jsonb, i.decisions::jsonb \
                 FROM input i LEFT JOIN saved s USING (number) WHERE i.decisions IS NOT NULL), \
             verified AS ( \
                 INSERT INTO signature_verdicts (tenant_id, signature_id, version, bytes, verdict) \
                 SELECT i.tenant_id, s.id, 1, i.verdict_bytes, i.verdict::jsonb \
                 FROM saved s JOIN input i USING (number) WHERE i.verdict IS NOT NULL), \
             counted AS ( ",
        );
        out.push_sql(usage::INSERT);
        out.push_sql(
            "SELECT i.tenant_id, sum(octet_length(i.signature) + coalesce(i.verdict_bytes, 0)), count(*), count(*), ",
        );
        out.push_sql(usage::SHARD);
        out.push_sql(" FROM saved s JOIN input i USING (number) GROUP BY i.tenant_id");
        out.push_sql(usage::OR_ADD);
        out.push_sql(") SELECT number, id, created_at FROM saved");
        Ok(())
    }
}
