//! Creating many threads at once: first versions that several requests of a tenant save at the same time are one call
//! and one commit, which takes less than half of what a call for each would.
//!
//! Threads are created in the order of their names, so that two such calls wait for each other in one direction only. A
//! call waits only briefly for a thread that a delete or an import keeps locked. Then each draft is saved by itself, and
//! the others need not wait with that one.

use std::error::Error as _;
use std::sync::Arc;

use diesel::RunQueryDsl as _;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::Judgement;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::Draft;
use tracing::warn;

use super::batches::Joined;
use super::failure::is_lock_timeout;
use super::pool::Store;
use super::signature_save::{Found, SaveCall, SaveDraft, Saved, unless_deleted};

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

    fn to_save(&self) -> SaveDraft<'_> {
        SaveDraft {
            draft: &self.draft,
            tags: &self.tags,
            parent: 0,
            or_first: false,
            judgement: self.judgement.as_ref(),
            verdict: self.verdict.as_deref(),
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
        let drafts: Vec<_> = firsts.iter().map(FirstVersion::to_save).collect();
        let call = SaveCall::new(tenant, &drafts);
        let saved = self.run(tenant, |connection| {
            unless_deleted(call.load::<Saved>(connection))
        });
        match saved {
            // Each finds out by itself whether it needs an event of the audit trail.
            Ok(None) => vec![Fate::Unknown; firsts.len()],
            Ok(Some(saved)) => {
                let mut fates = vec![Fate::Exists; firsts.len()];
                for saved in saved {
                    let place = usize::try_from(saved.place - 1).ok();
                    if let Some(fate) = place.and_then(|place| fates.get_mut(place)) {
                        *fate = Fate::Created(saved);
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
