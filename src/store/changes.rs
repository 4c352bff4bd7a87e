//! News of what other processes changed: a thread that LISTENs, so that caches are right within a second everywhere.
//!
//! Where notifications do not come through, a counter that is compared twice a second and more tells that something changed, though
//! not what. While the connection is down or silent, everything is told to have changed five times a second.
//!
//! Two threads do it: one waits for the database, and another for the first, since the database may never answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::Bool;
use diesel::{QueryDsl as _, RunQueryDsl as _};
use sigpersist_model::context::TenantId;
use sigpersist_runtime::readiness::Readiness;
use tracing::{debug, info, warn};

use super::connection::connect;
use super::kept::{self, Forgotten};
use super::migrations;
use super::pool::Store;
use super::role::SERVER_ROLE;
use super::schema::change_counter;
use super::url::with_option;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Keys of a tenant, or the tenant itself.
    Keys(TenantId),
    /// Hooks of a tenant.
    Hooks(TenantId),
    /// What a tenant accepts, or whom it trusts.
    Policy(TenantId),
    /// Anything: notifications may have been missed.
    Everything,
}

impl Change {
    /// Reads what the trigger `notify_change` sends; what a newer schema may add means everything.
    fn parse(payload: &str) -> Self {
        let parsed = payload.split_once(':').and_then(|(what, tenant)| {
            let tenant = TenantId(tenant.parse().ok()?);
            match what {
                "keys" => Some(Self::Keys(tenant)),
                "hooks" => Some(Self::Hooks(tenant)),
                "policy" => Some(Self::Policy(tenant)),
                _ => None,
            }
        });
        parsed.unwrap_or(Self::Everything)
    }
}

/// How often waiting notifications are looked for: a read of a socket, without a round trip.
const POLL: Duration = Duration::from_millis(50);
/// How often the counter is compared: what it tells must have been read again within a second.
const COUNT: Duration = Duration::from_millis(400);
/// After how many comparisons the schema is looked at again: somebody may bring it up to date, or back.
const SCHEMA_ROUNDS: u32 = 10;
/// How long what is sent may stay unanswered before the connection counts as cut, in milliseconds.
const SILENCE_MS: &str = "500";
/// How often the connection is tried, and everything is told to have changed while it is down: what is changed just after it
/// was cut must be noticed within a second.
const RETRY: Duration = Duration::from_millis(200);
/// How often the log tells the same cause.
const REPEAT: Duration = Duration::from_secs(10);
/// After which silence something may have been missed.
const DOUBT: Duration = Duration::from_millis(900);
/// After which silence the database counts as one that does not answer.
const SILENT: Duration = Duration::from_secs(2);
/// After which silence another connection is made beside the silent one, and while it is made, which takes several answers.
const LOST: Duration = Duration::from_secs(5);
const NOT_MADE: Duration = Duration::from_secs(15);
/// How many silent ones there may be.
const MOST_LOST: usize = 8;

/// What is heard of the database.
enum News {
    /// It answers; and whether its schema is one that this program works with, where that was looked at.
    Answers(Option<bool>),
    Changed(Change),
    Cut(anyhow::Error),
}

/// The listening threads; they end when this is dropped.
#[derive(Debug)]
pub struct Changes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Changes {
    /// Starts to listen, and calls `changed` for each change from now on.
    ///
    /// # Errors
    ///
    /// Where the operating system gives no thread.
    pub fn listen(
        store: &Store,
        readiness: Arc<Readiness>,
        changed: impl Fn(Change) + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let url: Arc<str> = with_option(&store.url, "tcp_user_timeout", SILENCE_MS).into();
        let forgets = Arc::clone(&store.forgets);
        let thread = std::thread::Builder::new()
            .name("changes".to_owned())
            .spawn(move || {
                // Each that listens holds one.
                let listening = Arc::new(());
                // What the log has already, and since when.
                let mut told = None;
                while !stopped.load(Ordering::Relaxed) {
                    let lost = Arc::strong_count(&listening) > MOST_LOST;
                    let cause = match (!lost).then(|| start(&url, &stopped, &listening)) {
                        Some(Ok(news)) => follow(&news, &stopped, &readiness, &forgets, &changed),
                        Some(Err(cause)) => Err(cause.into()),
                        None => Err(anyhow::anyhow!("too many connections to it are silent")),
                    };
                    // Whoever listens ends too when it is told to stop: that is no news.
                    if let Err(cause) = cause
                        && !stopped.load(Ordering::Relaxed)
                    {
                        if cause.is::<Forgotten>() {
                            forgets.store(true, Ordering::Relaxed);
                            readiness.database_forgets();
                        } else {
                            readiness.database(false, false);
                        }
                        let cause = cause.to_string();
                        let is_known = |(known, at): &(String, Instant)| {
                            *known == cause && at.elapsed() < REPEAT
                        };
                        if told.as_ref().is_some_and(is_known) {
                            debug!(cause, "Notifications from the database were cut again");
                        } else {
                            warn!(
                                cause,
                                "Notifications from the database were cut; looking again at once"
                            );
                            told = Some((cause, Instant::now()));
                        }
                        changed(Change::Everything);
                        std::thread::park_timeout(RETRY);
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The thread has nothing to say, and a panic in it was printed already.
            drop(thread.join());
        }
    }
}

/// Starts to listen on a connection, until nobody hears of it any more.
fn start(
    url: &Arc<str>,
    stopped: &Arc<AtomicBool>,
    listening: &Arc<()>,
) -> std::io::Result<Receiver<News>> {
    let (url, stopped, listening) = (Arc::clone(url), Arc::clone(stopped), Arc::clone(listening));
    let (news, heard) = mpsc::channel();
    std::thread::Builder::new()
        .name("listen".to_owned())
        .spawn(move || {
            let _listening = listening;
            if let Err(cause) = listen(&url, &stopped, &news) {
                // Nobody need hear it.
                drop(news.send(News::Cut(cause)));
            }
        })?;
    Ok(heard)
}

/// Passes on what is heard, until the connection is cut or silent for too long.
fn follow(
    news: &Receiver<News>,
    stopped: &AtomicBool,
    readiness: &Readiness,
    forgets: &AtomicBool,
    changed: &impl Fn(Change),
) -> anyhow::Result<()> {
    let mut heard_at = Instant::now();
    let mut told_at = heard_at;
    let (mut is_ours, mut patience) = (false, NOT_MADE);
    while !stopped.load(Ordering::Relaxed) {
        match news.recv_timeout(POLL) {
            Ok(News::Answers(looked)) => {
                (heard_at, patience) = (Instant::now(), LOST);
                is_ours = looked.unwrap_or(is_ours);
                forgets.store(false, Ordering::Relaxed);
                readiness.database(true, is_ours);
            }
            Ok(News::Changed(change)) => changed(change),
            Ok(News::Cut(cause)) => return Err(cause),
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that listens has ended"),
            Err(RecvTimeoutError::Timeout) => {
                let silence = heard_at.elapsed();
                if silence > DOUBT && told_at.elapsed() > RETRY {
                    told_at = Instant::now();
                    changed(Change::Everything);
                }
                if silence > SILENT {
                    readiness.database(false, false);
                }
                ensure!(silence < patience, "it does not answer");
            }
        }
    }
    Ok(())
}

/// Listens on a connection of its own.
fn listen(url: &str, stopped: &AtomicBool, news: &Sender<News>) -> anyhow::Result<()> {
    let mut connection: PgConnection = connect(url)?;
    let mark = kept::mark(&mut connection, url)?;
    connection.batch_execute(&format!(
        "SET ROLE {SERVER_ROLE}; LISTEN sigpersist_changes"
    ))?;
    let mut counted = count(&mut connection)?;
    let is_ours = migrations::is_ours(&mut connection)?;
    news.send(News::Answers(Some(is_ours)))?;
    info!("Listening for changes of keys, hooks and policies");
    news.send(News::Changed(Change::Everything))?;
    let mut notified = false;
    let (mut quiet, mut rounds) = (Duration::ZERO, 0_u32);
    while !stopped.load(Ordering::Relaxed) {
        for notification in connection.notifications_iter() {
            let payload = notification?.payload;
            debug!(payload, "Something changed");
            news.send(News::Changed(Change::parse(&payload)))?;
            notified = true;
        }
        std::thread::sleep(POLL);
        quiet += POLL;
        if quiet >= COUNT {
            kept::look(&mut connection, &mark)?;
            // This also shows whether the connection is alive.
            let now = count(&mut connection)?;
            rounds += 1;
            let looks = rounds % SCHEMA_ROUNDS == 0;
            let is_ours = looks.then(|| migrations::is_ours(&mut connection));
            news.send(News::Answers(is_ours.transpose()?))?;
            if now != counted && !notified {
                news.send(News::Changed(Change::Everything))?;
            }
            (counted, notified, quiet) = (now, false, Duration::ZERO);
        }
    }
    Ok(())
}

/// How often anything was changed. Fails on what may not be written to: where that was the primary, another one is by now.
fn count(connection: &mut PgConnection) -> anyhow::Result<i64> {
    let (changes, is_read_only) = change_counter::table
        .select((
            change_counter::changes,
            sql::<Bool>("current_setting('transaction_read_only')::boolean"),
        ))
        .first::<(i64, bool)>(connection)?;
    ensure!(!is_read_only, "the database takes no writes");
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_means_everything() {
        assert_eq!(Change::parse("keys:7"), Change::Keys(TenantId(7)));
        assert_eq!(Change::parse("hooks:7"), Change::Hooks(TenantId(7)));
        assert_eq!(Change::parse("policy:7"), Change::Policy(TenantId(7)));
        for payload in ["", "hooks", "hooks:x", "quotas:7"] {
            assert_eq!(Change::parse(payload), Change::Everything);
        }
    }
}
