//! Moves what happened from the queue into the logs, in the background. Every server tries; a lock in the database ensures
//! that only one does it at a time, and is released if that server goes away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::Epoch;
use sigpersist_runtime::{blocking, metrics};
use sigpersist_store::{LowMark, Pass, Sequencing};
use sigpersist_tlog::Checkpoint;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, warn};

use super::heads::Heads;
use super::keys::{LogKeys, sign};
use super::owner::named;
use crate::app::App;

/// Time between two passes that look at the whole queue, whatever the mark says. They find nothing, unless somebody added
/// a row in another way than the mark expects.
const WHOLE_EVERY: Duration = Duration::from_mins(1);
/// Time between two looks at what other servers added, and how much further back each one reaches: clocks differ.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(5);
const LOOK_BACK: TimeDelta = TimeDelta::minutes(1);
/// Pause after a pass that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The state of the sequencer of one server.
#[derive(Debug)]
pub struct Sequencer {
    keys: LogKeys,
    heads: Heads,
    state: Mutex<State>,
    /// When this server last looked what others added.
    looked_at: Mutex<Option<DateTime<Utc>>>,
}

#[derive(Debug, Default)]
struct State {
    mark: LowMark,
    whole_at: Option<Instant>,
}

impl Sequencer {
    /// A sequencer that knows how far the logs were when this server last saw them.
    pub fn new(app: &App) -> Self {
        Self {
            keys: LogKeys::default(),
            heads: Heads::open(app.heads_file.clone()),
            state: Mutex::default(),
            looked_at: Mutex::default(),
        }
    }

    /// Moves some rows, if no other server is doing so. Returns whether more may be waiting. Blocks.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub fn pass(&self, app: &App) -> Result<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_whole = state
            .whole_at
            .is_none_or(|whole_at| whole_at.elapsed() >= WHOLE_EVERY);
        let low = state.mark.low();
        let after = if is_whole { 0 } else { low };
        let pass = match self.sequence(app, after, None) {
            // Something is wrong with one log; the others go on.
            Err(Error::Internal(cause)) => {
                drop(state);
                return self.one_by_one(app, &cause.to_string());
            }
            pass => pass?,
        };
        let Some(pass) = pass else {
            // Whatever happened meanwhile, the mark is right: it only grows.
            return self.look_at_others(app).map(|()| false);
        };
        if is_whole {
            state.whole_at = Some(Instant::now());
        }
        if let Some(late) = pass.least.filter(|least| *least <= low) {
            metrics::log_was_late();
            warn!(late, low, "An entry of the log came late; nothing was lost");
        }
        // Rows of frozen logs, and of those that still arrive, stay in the queue, below whatever was drawn since.
        if pass.has_standing {
            state.mark = LowMark::default();
        } else {
            state.mark.passed(pass.ended, pass.drawn, pass.is_full);
        }
        drop(state);
        self.saw(app, &pass);
        Ok(pass.is_full)
    }

    fn sequence(&self, app: &App, after: i64, only: Option<TenantId>) -> Result<Option<Pass>> {
        let keys = self.keys.signing(app)?;
        app.store.log_sequence(&Sequencing {
            after,
            only,
            origin: &app.config.evidence.origin,
            known: &|tenant| self.heads.known(tenant),
            sign: &|epoch| sign(&checkpoint(epoch), &keys),
        })
    }

    fn saw(&self, app: &App, pass: &Pass) {
        for epoch in &pass.grown {
            self.heads.saw(epoch);
        }
        self.heads.save();
        report(app, pass);
    }

    /// Numbers what happened to one tenant after the other, after all together failed for this reason. The log of a tenant
    /// for which it fails again is frozen; one that is only locked waits.
    fn one_by_one(&self, app: &App, why: &str) -> Result<bool> {
        for tenant in app.store.log_queue_tenants()? {
            match self.sequence(app, 0, Some(tenant)) {
                Ok(pass) => pass.iter().for_each(|pass| self.saw(app, pass)),
                Err(Error::Internal(_)) => {
                    error!(
                        tenant = named(app, tenant),
                        why,
                        "The log of a tenant is frozen, because what is stored of it is damaged: repair it, then run `sigpersist log reopen`. Saves go on"
                    );
                    app.store
                        .log_freeze(tenant, &format!("What is stored of it is damaged: {why}"))?;
                }
                Err(cause) => {
                    let tenant = named(app, tenant);
                    warn!(tenant, %cause, "Changes of a tenant could not be numbered; trying again");
                }
            }
        }
        Ok(false)
    }

    /// Remembers what other servers added, so that this one notices it, too, if the database goes back in time.
    fn look_at_others(&self, app: &App) -> Result<()> {
        let mut looked_at = self
            .looked_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Utc::now();
        if looked_at.is_some_and(|at| now - at < LOOK_EVERY) {
            return Ok(());
        }
        let since = looked_at.unwrap_or(now) - LOOK_BACK;
        for epoch in app.store.log_grown(since)? {
            self.heads.saw(&epoch);
        }
        *looked_at = Some(now);
        self.heads.save();
        Ok(())
    }
}

fn report(app: &App, pass: &Pass) {
    for epoch in &pass.frozen {
        error!(
            tenant = named(app, epoch.tenant),
            why = epoch.frozen,
            "The log of a tenant is frozen: nothing is added to it or signed until somebody runs `sigpersist log reopen`. Saves go on"
        );
    }
    let lag = pass.oldest.map(|oldest| Utc::now() - oldest);
    let lag = lag.and_then(|lag| lag.to_std().ok()).unwrap_or_default();
    metrics::sequenced(pass.taken, lag);
    if pass.taken > 0 {
        let ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        debug!(
            entries = pass.taken,
            logs = pass.grown.len(),
            ms,
            "Numbered what happened"
        );
    }
}

/// The checkpoint of a tree as it is now.
pub(super) fn checkpoint(epoch: &Epoch) -> Checkpoint {
    Checkpoint {
        origin: epoch.origin.clone(),
        size: epoch.size.unsigned_abs(),
        root: epoch.root,
    }
}

/// Starts to number what happens, each `evidence.interval_ms`. The task is stopped when the result is dropped.
pub fn keep_sequencing(app: Arc<App>) -> AbortOnDropHandle<()> {
    let sequencer = Arc::new(Sequencer::new(&app));
    let interval = Duration::from_millis(app.config.evidence.interval_ms.max(1));
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log {
            return;
        }
        let mut fails = false;
        loop {
            let (work, of) = (Arc::clone(&sequencer), Arc::clone(&app));
            let done = blocking::run((), move || work.pass(&of)).await;
            let pause = match done.and_then(|done| done) {
                Ok(true) => Duration::ZERO,
                Ok(false) => interval,
                Err(cause) => {
                    // A database that is down is told by others, and a delete may keep a row for a moment.
                    let is_known = fails || matches!(cause, Error::DatabaseUnavailable(_));
                    let cause = anyhow::Error::new(cause);
                    if is_known {
                        debug!(
                            cause = format!("{cause:#}"),
                            "Changes could not be numbered; trying again"
                        );
                    } else {
                        warn!(
                            cause = format!("{cause:#}"),
                            "Changes could not be numbered; trying again"
                        );
                    }
                    fails = true;
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            fails = false;
            tokio::time::sleep(pause).await;
        }
    }))
}
