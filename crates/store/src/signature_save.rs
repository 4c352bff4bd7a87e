//! Saving versions: one call of the function `signature_save_1`, so one round trip and one transaction. The function is
//! in `migrations/`, with the rules that it follows.
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
    /// A thread whose name was deleted before needs an event of the audit trail in the same transaction: the call
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
        let save = SaveDraft {
            draft,
            tags,
            parent: version_to_column(over),
            or_first,
            judgement: found.judgement,
            verdict: found.verdict,
        };
        let alone = || {
            let call = SaveCall::new(tenant, &[save]);
            let saved = self.run(tenant, |connection| {
                unless_deleted(call.get_result::<Saved>(connection).optional())
            })?;
            if let Some(saved) = saved {
                return Ok(saved);
            }
            let call = SaveCall {
                may_recreate: true,
                ..SaveCall::new(tenant, &[save])
            };
            self.transaction(tenant, |connection| {
                let saved = call.get_result::<Saved>(connection).optional()?;
                if saved.is_some_and(|saved| saved.version == 1) {
                    self.audit(connection, &(found.recreated)())?;
                }
                Ok(saved)
            })
        };
        let may_go_with_others = over == 0 && draft.body.bytes.len() <= MAX_BYTES;
        // A judgement is recorded once.
        let saved = if may_go_with_others && !(or_first && found.judgement.is_some()) {
            let first = FirstVersion::new(draft, tags, found);
            self.signature_create(tenant, first, or_first, alone)?
        } else {
            alone()?
        };
        let Some(saved) = saved else {
            return Ok(None);
        };
        Ok(Some(Signature {
            id: SignatureId(saved.id),
            key: draft.key.clone(),
            version: version_from_column(saved.version)?,
            stage: draft.stage.clone(),
            created_by: draft.created_by.clone(),
            comment: draft.comment.clone(),
            tags: tags.to_vec(),
            version_created_at: saved.updated_at,
            created_at: saved.created_at,
            updated_at: saved.updated_at,
            body: Some(draft.body.clone()),
        }))
    }
}

/// A draft that was saved.
#[derive(Debug, Clone, Copy, Queryable)]
pub(super) struct Saved {
    /// The place of the draft in its call, from 1.
    pub(super) place: i32,
    id: i64,
    version: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The result of a call; none if it failed because the name of a new thread was deleted before.
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

/// A draft to save.
#[derive(Debug, Clone, Copy)]
pub(super) struct SaveDraft<'a> {
    pub(super) draft: &'a Draft,
    pub(super) tags: &'a [String],
    pub(super) parent: i32,
    pub(super) or_first: bool,
    pub(super) judgement: Option<&'a Judgement>,
    pub(super) verdict: Option<&'a str>,
}

/// The call of `signature_save_1`: a column for each parameter. It is prepared once on a connection.
#[derive(Debug)]
pub(super) struct SaveCall<'a> {
    owner: i32,
    documents: Vec<&'a str>,
    threads: Vec<&'a str>,
    parents: Vec<i32>,
    or_first: Vec<bool>,
    stages: Vec<Option<&'a str>>,
    creators: Vec<Option<&'a str>>,
    comments: Vec<Option<&'a str>>,
    tags: Vec<&'a str>,
    tag_ends: Vec<i32>,
    encodings: Vec<u8>,
    digests: Vec<&'a [u8]>,
    bodies: Vec<&'a [u8]>,
    /// None if no draft has one. So are the columns of judgements.
    verdicts: Option<Vec<Option<&'a str>>>,
    verdict_bytes: Option<Vec<Option<i32>>>,
    judged_versions: Option<Vec<Option<i32>>>,
    inputs: Option<Vec<Option<&'a str>>>,
    input_digests: Option<Vec<Option<[u8; 32]>>>,
    decisions: Option<Vec<Option<&'a str>>>,
    may_recreate: bool,
}

impl<'a> SaveCall<'a> {
    pub(super) fn new(tenant: TenantId, drafts: &[SaveDraft<'a>]) -> Self {
        fn column<'a, T>(drafts: &[SaveDraft<'a>], value: impl Fn(SaveDraft<'a>) -> T) -> Vec<T> {
            drafts.iter().copied().map(value).collect()
        }
        fn optional<'a, T>(
            drafts: &[SaveDraft<'a>],
            value: impl Fn(SaveDraft<'a>) -> Option<T>,
        ) -> Option<Vec<Option<T>>> {
            let column = column(drafts, value);
            column.iter().any(Option::is_some).then_some(column)
        }
        fn judged<'a, T>(
            drafts: &[SaveDraft<'a>],
            value: impl Fn(&'a Judgement) -> T,
        ) -> Option<Vec<Option<T>>> {
            optional(drafts, |it| it.judgement.map(&value))
        }
        let mut tags = Vec::new();
        let mut tag_ends = Vec::with_capacity(drafts.len());
        for draft in drafts {
            tags.extend(draft.tags.iter().map(String::as_str));
            tag_ends.push(i32::try_from(tags.len()).unwrap_or(i32::MAX));
        }
        Self {
            owner: tenant.0,
            documents: column(drafts, |it| &*it.draft.key.document),
            threads: column(drafts, |it| &*it.draft.key.thread),
            parents: column(drafts, |it| it.parent),
            or_first: column(drafts, |it| it.or_first),
            stages: column(drafts, |it| it.draft.stage.as_deref()),
            creators: column(drafts, |it| it.draft.created_by.as_deref()),
            comments: column(drafts, |it| it.draft.comment.as_deref()),
            tags,
            tag_ends,
            encodings: column(drafts, |it| encoding_to_code(it.draft.body.encoding)),
            digests: column(drafts, |it| &it.draft.body.sha256[..]),
            bodies: column(drafts, |it| &it.draft.body.bytes[..]),
            verdicts: optional(drafts, |it| it.verdict),
            verdict_bytes: optional(drafts, |it| it.verdict.map(verdict_bytes)),
            judged_versions: judged(drafts, |judgement| version_to_column(judgement.version)),
            inputs: judged(drafts, |judgement| &*judgement.input),
            input_digests: judged(drafts, Judgement::input_sha256),
            decisions: judged(drafts, |judgement| &*judgement.decisions),
            may_recreate: false,
        }
    }
}

impl QueryId for SaveCall<'_> {
    type QueryId = SaveCall<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for SaveCall<'_> {
    type SqlType = (Integer, BigInt, Integer, Timestamptz, Timestamptz);
}

impl RunQueryDsl<PgConnection> for SaveCall<'_> {}

type Texts = Array<Text>;
type OptionalTexts = Nullable<Array<Nullable<Text>>>;
type OptionalIntegers = Nullable<Array<Nullable<Integer>>>;

impl QueryFragment<Pg> for SaveCall<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "SELECT place, id, version, created_at, updated_at FROM signature_save_1(owner => ",
        );
        out.push_bind_param::<Integer, _>(&self.owner)?;
        out.push_sql(", documents => ");
        out.push_bind_param::<Texts, _>(&self.documents)?;
        out.push_sql(", threads => ");
        out.push_bind_param::<Texts, _>(&self.threads)?;
        out.push_sql(", parents => ");
        out.push_bind_param::<Array<Integer>, _>(&self.parents)?;
        out.push_sql(", or_first => ");
        out.push_bind_param::<Array<Bool>, _>(&self.or_first)?;
        out.push_sql(", stages => ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.stages)?;
        out.push_sql(", creators => ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.creators)?;
        out.push_sql(", comments => ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.comments)?;
        out.push_sql(", tags => ");
        out.push_bind_param::<Texts, _>(&self.tags)?;
        out.push_sql(", tag_ends => ");
        out.push_bind_param::<Array<Integer>, _>(&self.tag_ends)?;
        out.push_sql(", encodings => ");
        out.push_bind_param::<Array<CChar>, _>(&self.encodings)?;
        out.push_sql(", digests => ");
        out.push_bind_param::<Array<Binary>, _>(&self.digests)?;
        out.push_sql(", bodies => ");
        out.push_bind_param::<Array<Binary>, _>(&self.bodies)?;
        out.push_sql(", verdicts => ");
        out.push_bind_param::<OptionalTexts, _>(&self.verdicts)?;
        out.push_sql(", verdict_bytes => ");
        out.push_bind_param::<OptionalIntegers, _>(&self.verdict_bytes)?;
        out.push_sql(", judged_versions => ");
        out.push_bind_param::<OptionalIntegers, _>(&self.judged_versions)?;
        out.push_sql(", inputs => ");
        out.push_bind_param::<OptionalTexts, _>(&self.inputs)?;
        out.push_sql(", input_digests => ");
        out.push_bind_param::<Nullable<Array<Nullable<Binary>>>, _>(&self.input_digests)?;
        out.push_sql(", decisions => ");
        out.push_bind_param::<OptionalTexts, _>(&self.decisions)?;
        out.push_sql(", may_recreate => ");
        out.push_bind_param::<Bool, _>(&self.may_recreate)?;
        out.push_sql(")");
        Ok(())
    }
}
