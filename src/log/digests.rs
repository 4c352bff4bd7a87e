//! Adds digests of what hooks decided to the logs of tenants, a finished day (UTC) at a time. So whoever changes, adds or
//! removes a decision in the database contradicts the log.
//!
//! A decision has the time at which its transaction began, and may appear later. So a day is digested an hour after its end at
//! the earliest, and not before every transaction has ended that had an id then: no transaction of a server lasts nearly as
//! long without one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use serde_json::json;
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::Result;
use sigpersist_runtime::blocking;
use sigpersist_store::{Undigested, day_start};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::app::App;

/// Time between two looks for days that are finished.
const INTERVAL: Duration = Duration::from_mins(5);
/// Pause between two batches.
const PAUSE: Duration = Duration::from_millis(100);
/// Tenants of one batch.
const BATCH: i64 = 100;
/// The type of the event that has a digest.
pub(super) const DIGEST: &str = "decisions.digest";

/// One server's knowledge of days that are finished.
#[derive(Debug, Default)]
pub struct Digests(Mutex<Option<Mark>>);

/// A day, and a transaction id that was drawn when the days before it were over.
#[derive(Debug, Clone, Copy)]
struct Mark {
    today: NaiveDate,
    transaction: i64,
    /// Whether every transaction with a lower id has ended.
    is_settled: bool,
}

/// Starts to add digests. The task is stopped when the result is dropped.
pub fn keep_digesting(app: Arc<App>) -> AbortOnDropHandle<()> {
    let digests = Arc::new(Digests::default());
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log {
            return;
        }
        loop {
            let (work, of) = (Arc::clone(&digests), Arc::clone(&app));
            let done = blocking::run((), move || work.pass(&of)).await;
            let pause = match done.and_then(|more| more) {
                Ok(true) => PAUSE,
                Ok(false) => INTERVAL,
                Err(cause) => {
                    warn!(%cause, "Digests of decisions could not be added to logs; trying again later");
                    INTERVAL
                }
            };
            tokio::time::sleep(pause).await;
        }
    }))
}

impl Digests {
    /// Adds one digest at most to the log of each of some tenants. Returns whether there may be more. Blocks.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub fn pass(&self, app: &App) -> Result<bool> {
        let mut mark = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settling = app.store.log_settling()?;
        let known = mark.filter(|mark| mark.today == settling.today);
        let Some(mut now) = known else {
            *mark = Some(Mark {
                today: settling.today,
                transaction: app.store.log_transaction()?,
                is_settled: false,
            });
            return Ok(true);
        };
        now.is_settled |= settling.ended > now.transaction;
        *mark = Some(now);
        drop(mark);
        if !now.is_settled {
            return Ok(false);
        }
        let through = now.today - Days::new(1);
        let undigested = app.store.log_undigested(through, BATCH)?;
        for undigested in &undigested {
            digest(app, *undigested, through)?;
        }
        Ok(!undigested.is_empty())
    }
}

/// The time before which decisions may be deleted already, if they are kept for so many days (0: for ever).
pub(super) fn kept_since(at: DateTime<Utc>, keep_days: u32) -> DateTime<Utc> {
    /// Clocks of servers differ.
    const LEEWAY: TimeDelta = TimeDelta::hours(1);
    match keep_days {
        0 => DateTime::UNIX_EPOCH,
        days => at - TimeDelta::days(days.into()) + LEEWAY,
    }
}

/// Adds the digest of the next day with decisions of which none are deleted, up to this one.
fn digest(app: &App, undigested: Undigested, through: NaiveDate) -> Result<()> {
    let keep_days = app.config.hooks.keep_decisions_days;
    let kept = first_whole_day(kept_since(Utc::now(), keep_days));
    let next = undigested.after.map_or(kept, |after| after + Days::new(1));
    let tenant = undigested.tenant;
    let first = app
        .store
        .decisions_first(tenant, day_start(next.max(kept)))?;
    let day = first
        .map(|at| at.date_naive())
        .filter(|day| *day <= through);
    let event = match day {
        None => None,
        Some(day) => {
            let found = app.store.decisions_of_day(tenant, day)?;
            let event = json!({
                "type": DIGEST,
                "day": day,
                "count": found.count,
                "sha256": to_hex(&found.sha256),
                "keep_days": keep_days,
            });
            Some(event.to_string())
        }
    };
    // If it was not noted, somebody else did it, or it is done again.
    app.store
        .log_digested(undigested, day.unwrap_or(through), event.as_deref())?;
    Ok(())
}

/// The first day that begins at this time or later.
fn first_whole_day(since: DateTime<Utc>) -> NaiveDate {
    let day = since.date_naive();
    match day_start(day) == since {
        true => day,
        false => day + Days::new(1),
    }
}
