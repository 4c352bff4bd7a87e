//! Creating many threads at once: first versions that several requests of a tenant save at the same time are one call
//! of the function `signature_create_3` and one commit, which takes less than half of what a call for each would.
//!
//! Threads are created in the order of their names, so that two such calls wait for each other in one direction only. A
//! call waits only briefly for a thread that a delete or an import keeps locked. Then each draft is saved by itself, and
//! the others need not wait with that one.

use std::error::Error as _;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Bool, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::Judgement;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::Draft;
use sigpersist_tlog::{Hash, Salt};
use tracing::warn;

use super::batches::Joined;
use super::failure::is_lock_timeout;
use super::pool::Store;
use super::signature_save::{Found, SaveCall, Saved, unless_deleted};
use super::signatures::encoding_to_code;
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
    salt: Option<Salt>,
    seal: Option<Hash>,
    verdict_salt: Option<Salt>,
    verdict_seal: Option<Hash>,
    verdict_event: Option<String>,
    /// None if signers are not to be indexed.
    signers: Option<Vec<String>>,
    verdict_term: Option<&'static str>,
}

impl FirstVersion {
    /// The same version as the call for itself, which has its seals.
    pub(super) fn new(
        draft: &Draft,
        tags: &[String],
        found: &Found<'_>,
        call: &SaveCall<'_>,
    ) -> Self {
        Self {
            draft: draft.clone(),
            tags: tags.to_vec(),
            judgement: found.judgement.cloned(),
            verdict: found.verdict.map(str::to_owned),
            salt: call.salt,
            seal: call.seal,
            verdict_salt: call.verdict_salt,
            verdict_seal: call.verdict_seal,
            verdict_event: call.verdict_event.map(str::to_owned),
            signers: found.signers.map(<[String]>::to_vec),
            verdict_term: call.verdict_term,
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
        let call = CreateCall::new(tenant, firsts);
        let created = self.run(tenant, |connection| {
            unless_deleted(call.load::<Created>(connection))
        });
        match created {
            // Each finds out by itself whether it needs an event of the audit trail.
            Ok(None) => vec![Fate::Unknown; firsts.len()],
            Ok(Some(created)) => {
                let mut fates = vec![Fate::Exists; firsts.len()];
                for (place, id, created_at) in created {
                    let place = usize::try_from(place - 1).ok();
                    if let Some(fate) = place.and_then(|place| fates.get_mut(place)) {
                        *fate = Fate::Created(Saved {
                            id,
                            version: 1,
                            created_at,
                            updated_at: created_at,
                        });
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

/// The place of a first version in the batch, from 1; id of the thread; time of its creation.
type Created = (i32, i64, DateTime<Utc>);

/// The call of `signature_create_3`: a column for each argument. It is prepared once on a connection.
#[derive(Debug, Default)]
pub(super) struct CreateCall<'a> {
    owner: i32,
    documents: Vec<&'a str>,
    threads: Vec<&'a str>,
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
    inputs: Option<Vec<Option<&'a str>>>,
    input_digests: Option<Vec<Option<[u8; 32]>>>,
    decisions: Option<Vec<Option<&'a str>>>,
    salts: Option<Vec<Option<Salt>>>,
    seals: Option<Vec<Option<Hash>>>,
    verdict_salts: Option<Vec<Option<Salt>>>,
    verdict_seals: Option<Vec<Option<Hash>>>,
    verdict_events: Option<Vec<Option<&'a str>>>,
    terms: Vec<&'a str>,
    term_ends: Vec<i32>,
    index_signers: Vec<bool>,
}

impl<'a> CreateCall<'a> {
    fn new(tenant: TenantId, firsts: &'a [FirstVersion]) -> Self {
        fn column<'a, T>(
            firsts: &'a [FirstVersion],
            value: impl Fn(&'a FirstVersion) -> T,
        ) -> Vec<T> {
            firsts.iter().map(value).collect()
        }
        fn optional<'a, T>(
            firsts: &'a [FirstVersion],
            value: impl Fn(&'a FirstVersion) -> Option<T>,
        ) -> Option<Vec<Option<T>>> {
            let column = column(firsts, value);
            column.iter().any(Option::is_some).then_some(column)
        }
        fn judged<'a, T>(
            firsts: &'a [FirstVersion],
            value: impl Fn(&'a Judgement) -> T,
        ) -> Option<Vec<Option<T>>> {
            optional(firsts, |first| first.judgement.as_ref().map(&value))
        }
        let (mut tags, mut terms) = (Vec::new(), Vec::new());
        let (mut tag_ends, mut term_ends) = (Vec::new(), Vec::new());
        let end = |texts: &[&str]| i32::try_from(texts.len()).unwrap_or(i32::MAX);
        for first in firsts {
            tags.extend(first.tags.iter().map(String::as_str));
            tag_ends.push(end(&tags));
            terms.extend(first.signers.iter().flatten().map(String::as_str));
            terms.extend(first.verdict_term);
            term_ends.push(end(&terms));
        }
        Self {
            owner: tenant.0,
            documents: column(firsts, |first| &*first.draft.key.document),
            threads: column(firsts, |first| &*first.draft.key.thread),
            stages: column(firsts, |first| first.draft.stage.as_deref()),
            creators: column(firsts, |first| first.draft.created_by.as_deref()),
            comments: column(firsts, |first| first.draft.comment.as_deref()),
            tags,
            tag_ends,
            encodings: column(firsts, |first| encoding_to_code(first.draft.body.encoding)),
            digests: column(firsts, |first| &first.draft.body.sha256[..]),
            bodies: column(firsts, |first| &first.draft.body.bytes[..]),
            verdicts: optional(firsts, |first| first.verdict.as_deref()),
            verdict_bytes: optional(firsts, |first| first.verdict.as_deref().map(verdict_bytes)),
            inputs: judged(firsts, |judgement| &*judgement.input),
            input_digests: judged(firsts, Judgement::input_sha256),
            decisions: judged(firsts, |judgement| &*judgement.decisions),
            salts: optional(firsts, |first| first.salt),
            seals: optional(firsts, |first| first.seal),
            verdict_salts: optional(firsts, |first| first.verdict_salt),
            verdict_seals: optional(firsts, |first| first.verdict_seal),
            verdict_events: optional(firsts, |first| first.verdict_event.as_deref()),
            terms,
            term_ends,
            index_signers: column(firsts, |first| first.signers.is_some()),
        }
    }
}

impl QueryId for CreateCall<'_> {
    type QueryId = CreateCall<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for CreateCall<'_> {
    type SqlType = (Integer, BigInt, Timestamptz);
}

impl RunQueryDsl<PgConnection> for CreateCall<'_> {}

type OptionalTexts = Nullable<Array<Nullable<Text>>>;
type OptionalBytes = Nullable<Array<Nullable<Binary>>>;

impl QueryFragment<Pg> for CreateCall<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT place, id, created_at FROM signature_create_3(owner => ");
        out.push_bind_param::<Integer, _>(&self.owner)?;
        out.push_sql(", documents => ");
        out.push_bind_param::<Array<Text>, _>(&self.documents)?;
        out.push_sql(", threads => ");
        out.push_bind_param::<Array<Text>, _>(&self.threads)?;
        out.push_sql(", stages => ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.stages)?;
        out.push_sql(", creators => ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.creators)?;
        out.push_sql(", comments => ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.comments)?;
        out.push_sql(", tags => ");
        out.push_bind_param::<Array<Text>, _>(&self.tags)?;
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
        out.push_bind_param::<Nullable<Array<Nullable<Integer>>>, _>(&self.verdict_bytes)?;
        out.push_sql(", inputs => ");
        out.push_bind_param::<OptionalTexts, _>(&self.inputs)?;
        out.push_sql(", input_digests => ");
        out.push_bind_param::<OptionalBytes, _>(&self.input_digests)?;
        out.push_sql(", decisions => ");
        out.push_bind_param::<OptionalTexts, _>(&self.decisions)?;
        out.push_sql(", salts => ");
        out.push_bind_param::<OptionalBytes, _>(&self.salts)?;
        out.push_sql(", seals => ");
        out.push_bind_param::<OptionalBytes, _>(&self.seals)?;
        out.push_sql(", verdict_salts => ");
        out.push_bind_param::<OptionalBytes, _>(&self.verdict_salts)?;
        out.push_sql(", verdict_seals => ");
        out.push_bind_param::<OptionalBytes, _>(&self.verdict_seals)?;
        out.push_sql(", verdict_events => ");
        out.push_bind_param::<OptionalTexts, _>(&self.verdict_events)?;
        out.push_sql(", terms => ");
        out.push_bind_param::<Array<Text>, _>(&self.terms)?;
        out.push_sql(", term_ends => ");
        out.push_bind_param::<Array<Integer>, _>(&self.term_ends)?;
        out.push_sql(", index_signers => ");
        out.push_bind_param::<Array<Bool>, _>(&self.index_signers)?;
        out.push_sql(")");
        Ok(())
    }
}
