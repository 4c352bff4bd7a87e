//! Saving versions: one call of the function `signature_save_3`, so one round trip and one transaction. The function is
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
use sigpersist_tlog::{Hash, Salt};

use super::failure::query_error;
use super::log_queue::{self, Sealed, SealedVersion, verdict_event};
use super::pool::Store;
use super::signature_create::{FirstVersion, MAX_BYTES};
use super::signatures::{encoding_to_code, version_from_column, version_to_column};
use super::verdicts::{verdict_bytes, verdict_term};

/// Records to store with a draft.
#[derive(Clone, Copy)]
pub struct Found<'a> {
    /// Makes the event of the audit trail for a thread whose name was deleted before. Few drafts need it.
    pub recreated: &'a dyn Fn() -> Event,
    /// Decisions of the hooks.
    pub judgement: Option<&'a Judgement>,
    /// The verdict on its signature, as JSON.
    pub verdict: Option<&'a str>,
    /// The terms of its signers ([`SignerTerm`](sigpersist_model::term::SignerTerm)); none if they are not to be indexed.
    pub signers: Option<&'a [String]>,
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
        let verdict_event = found
            .verdict
            .filter(|_| self.logs)
            .map(|verdict| verdict_event(&draft.body.sha256, verdict));
        let mut call = SaveCall::new(
            tenant,
            draft,
            tags,
            version_to_column(over),
            or_first,
            found,
        );
        if self.logs {
            let version = SealedVersion::of_draft(draft, tags);
            call = call
                .logged(&version, over, verdict_event.as_deref())
                .map_err(query_error)?;
        }
        let alone = || {
            let saved = self.run(tenant, |connection| {
                unless_deleted(call.get_result::<Saved>(connection).optional())
            })?;
            if let Some(saved) = saved {
                return Ok(saved);
            }
            self.transaction(tenant, |connection| {
                let call = SaveCall {
                    may_recreate: true,
                    ..call
                };
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
            let first = FirstVersion::new(draft, tags, found, &call);
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

/// The thread of a draft that was saved.
#[derive(Debug, Clone, Copy, Queryable)]
pub(super) struct Saved {
    pub(super) id: i64,
    pub(super) version: i32,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
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

/// The call of `signature_save_3`: its arguments. It is prepared once on a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SaveCall<'a> {
    owner: i32,
    document: &'a str,
    thread: &'a str,
    parent: i32,
    or_first: bool,
    stage: Option<&'a str>,
    created_by: Option<&'a str>,
    comment: Option<&'a str>,
    tags: &'a [String],
    encoding: u8,
    sha256: &'a [u8],
    signature: &'a [u8],
    verdict: Option<&'a str>,
    verdict_bytes: Option<i32>,
    judged_version: Option<i32>,
    judged_input: Option<&'a str>,
    judged_sha256: Option<[u8; 32]>,
    decisions: Option<&'a str>,
    may_recreate: bool,
    pub(super) salt: Option<Salt>,
    pub(super) seal: Option<Hash>,
    second_seal: Option<Hash>,
    pub(super) verdict_salt: Option<Salt>,
    pub(super) verdict_seal: Option<Hash>,
    pub(super) verdict_event: Option<&'a str>,
    signers: Option<&'a [String]>,
    pub(super) verdict_term: Option<&'static str>,
}

impl<'a> SaveCall<'a> {
    fn new(
        tenant: TenantId,
        draft: &'a Draft,
        tags: &'a [String],
        parent: i32,
        or_first: bool,
        found: &Found<'a>,
    ) -> Self {
        let judgement = found.judgement;
        Self {
            owner: tenant.0,
            document: &draft.key.document,
            thread: &draft.key.thread,
            parent,
            or_first,
            stage: draft.stage.as_deref(),
            created_by: draft.created_by.as_deref(),
            comment: draft.comment.as_deref(),
            tags,
            encoding: encoding_to_code(draft.body.encoding),
            sha256: &draft.body.sha256,
            signature: &draft.body.bytes,
            verdict: found.verdict,
            verdict_bytes: found.verdict.map(verdict_bytes),
            judged_version: judgement.map(|judgement| version_to_column(judgement.version)),
            judged_input: judgement.map(|judgement| &*judgement.input),
            judged_sha256: judgement.map(Judgement::input_sha256),
            decisions: judgement.map(|judgement| &*judgement.decisions),
            may_recreate: false,
            signers: found.signers,
            verdict_term: found.verdict.map(verdict_term),
            ..Self::default()
        }
    }

    /// Adds what the log needs: the seal of the version that comes after `over`, and of version 2 if it may become that,
    /// and the event of the verdict.
    fn logged(
        mut self,
        version: &SealedVersion<'_>,
        over: u32,
        verdict_event: Option<&'a str>,
    ) -> QueryResult<Self> {
        let salt = log_queue::salt()?;
        self.salt = Some(salt);
        self.seal = Some(version.seal(&salt, over.saturating_add(1)));
        self.second_seal = self.or_first.then(|| version.seal(&salt, 2));
        if let Some(event) = verdict_event {
            let sealed = Sealed::of_event(event)?;
            self.verdict_salt = Some(sealed.salt);
            self.verdict_seal = Some(sealed.seal);
            self.verdict_event = Some(event);
        }
        Ok(self)
    }
}

impl QueryId for SaveCall<'_> {
    type QueryId = SaveCall<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for SaveCall<'_> {
    type SqlType = (BigInt, Integer, Timestamptz, Timestamptz);
}

impl RunQueryDsl<PgConnection> for SaveCall<'_> {}

impl QueryFragment<Pg> for SaveCall<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT id, version, created_at, updated_at FROM signature_save_3(owner => ");
        out.push_bind_param::<Integer, _>(&self.owner)?;
        out.push_sql(", draft_document => ");
        out.push_bind_param::<Text, _>(self.document)?;
        out.push_sql(", draft_thread => ");
        out.push_bind_param::<Text, _>(self.thread)?;
        out.push_sql(", parent => ");
        out.push_bind_param::<Integer, _>(&self.parent)?;
        out.push_sql(", or_first => ");
        out.push_bind_param::<Bool, _>(&self.or_first)?;
        out.push_sql(", draft_stage => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.stage)?;
        out.push_sql(", draft_created_by => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.created_by)?;
        out.push_sql(", draft_comment => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.comment)?;
        out.push_sql(", draft_tags => ");
        out.push_bind_param::<Array<Text>, _>(self.tags)?;
        out.push_sql(", draft_encoding => ");
        out.push_bind_param::<CChar, _>(&self.encoding)?;
        out.push_sql(", draft_sha256 => ");
        out.push_bind_param::<Binary, _>(self.sha256)?;
        out.push_sql(", draft_signature => ");
        out.push_bind_param::<Binary, _>(self.signature)?;
        out.push_sql(", verdict => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.verdict)?;
        out.push_sql(", verdict_bytes => ");
        out.push_bind_param::<Nullable<Integer>, _>(&self.verdict_bytes)?;
        out.push_sql(", judged_version => ");
        out.push_bind_param::<Nullable<Integer>, _>(&self.judged_version)?;
        out.push_sql(", judged_input => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.judged_input)?;
        out.push_sql(", judged_sha256 => ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.judged_sha256)?;
        out.push_sql(", decisions => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.decisions)?;
        out.push_sql(", may_recreate => ");
        out.push_bind_param::<Bool, _>(&self.may_recreate)?;
        out.push_sql(", draft_salt => ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.salt)?;
        out.push_sql(", draft_seal => ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.seal)?;
        out.push_sql(", second_seal => ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.second_seal)?;
        out.push_sql(", verdict_salt => ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.verdict_salt)?;
        out.push_sql(", verdict_seal => ");
        out.push_bind_param::<Nullable<Binary>, _>(&self.verdict_seal)?;
        out.push_sql(", verdict_event => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.verdict_event)?;
        out.push_sql(", signers => ");
        out.push_bind_param::<Nullable<Array<Text>>, _>(&self.signers)?;
        out.push_sql(", verdict_term => ");
        out.push_bind_param::<Nullable<Text>, _>(&self.verdict_term)?;
        out.push_sql(")");
        Ok(())
    }
}
