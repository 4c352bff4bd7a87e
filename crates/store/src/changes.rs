//! Listens for changes that other processes make: a thread LISTENs, so that all caches are right within a second.
//!
//! If notifications do not arrive, a counter that is compared every 400 ms shows that something changed, but not
//! what. While the connection is down or silent, everything is reported as changed five times a second.
//!
//! There are two threads: one waits for the database, and another waits for the first, since the database may never
//! answer.

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
use sigpersist_postgres::connect;
use sigpersist_postgres::role::SERVER_ROLE;
use sigpersist_postgres::with_option;
use sigpersist_runtime::readiness::Readiness;
use tracing::{debug, info, warn};

use super::kept::{self, Forgotten};
use super::migrations;
use super::pool::Store;
use super::schema::change_counter;

/// A possible change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Keys of a tenant, or the tenant itself.
    Keys(TenantId),
    /// Hooks of a tenant.
    Hooks(TenantId),
    /// The policy or trust anchors of a tenant.
    Policy(TenantId),
    /// The log of a tenant, or the platform's, has grown.
    Logged(TenantId),
    /// Anything, since notifications may have been missed.
    Everything,
}

impl Change {
    /// Parses a notification. An unknown one, as of a newer schema, means everything.
    fn parse(channel: &str, payload: &str) -> Self {
        if channel == LOGS {
            let tenant = payload.parse().ok();
            return tenant.map_or(Self::Everything, |tenant| Self::Logged(TenantId(tenant)));
        }
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

/// The channel of the trigger `notify_change`.
const CHANGES: &str = "sigpersist_changes";
/// The channel of logs that have grown. Their growth is not counted: whoever waits for it looks again in any case.
const LOGS: &str = "sigpersist_log";
/// The interval at which waiting notifications are read: this reads a socket, without a round trip.
const POLL: Duration = Duration::from_millis(50);
/// The interval at which the counter is compared: caches must be reloaded within a second of a change.
const COUNT: Duration = Duration::from_millis(400);
/// The number of comparisons after which the schema is checked again: somebody may migrate it, or revert it.
const SCHEMA_ROUNDS: u32 = 10;
/// The most milliseconds that sent data may stay unacknowledged; then the connection counts as cut.
const SILENCE_MS: &str = "500";
/// The interval at which a lost connection is tried again, and at which everything is reported as changed meanwhile.
/// A change just after the cut must be noticed within a second.
const RETRY: Duration = Duration::from_millis(200);
/// The interval at which the log repeats the same cause.
const REPEAT: Duration = Duration::from_secs(10);
/// The silence after which changes may have been missed.
const DOUBT: Duration = Duration::from_millis(900);
/// The silence after which the database counts as down.
const SILENT: Duration = Duration::from_secs(2);
/// The silence after which another connection is made beside the silent one: `LOST` once a connection was made, and
/// `NOT_MADE` while it is made, which takes several answers.
const LOST: Duration = Duration::from_secs(5);
const NOT_MADE: Duration = Duration::from_secs(15);
/// The most silent connections.
const MOST_LOST: usize = 8;

/// News about the database.
enum News {
    /// The database answers. The flag says whether this program can work with its schema, if that was checked.
    Answers(Option<bool>),
    Changed(Change),
    Cut(anyhow::Error),
}

/// The listening threads. They end when this is dropped.
#[derive(Debug)]
pub struct Changes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Changes {
    /// Starts to listen, and tells the store's listener of each change from now on.
    ///
    /// # Errors
    ///
    /// If the operating system gives no thread.
    pub fn listen(store: &Store, readiness: Arc<Readiness>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let url: Arc<str> = with_option(&store.url, "tcp_user_timeout", SILENCE_MS).into();
        let forgets = Arc::clone(&store.forgets);
        let changed = store.teller();
        let thread = std::thread::Builder::new()
            .name("changes".to_owned())
            .spawn(move || {
                // Counts the listening threads: each holds a clone.
                let listening = Arc::new(());
                // The last cause that was logged, and when.
                let mut told = None;
                while !stopped.load(Ordering::Relaxed) {
                    let lost = Arc::strong_count(&listening) > MOST_LOST;
                    let cause = match (!lost).then(|| start(&url, &stopped, &listening)) {
                        Some(Ok(news)) => follow(&news, &stopped, &readiness, &forgets, &changed),
                        Some(Err(cause)) => Err(cause.into()),
                        None => Err(anyhow::anyhow!("too many connections to it do not answer")),
                    };
                    // A listening thread also ends when it is told to stop, which is no failure.
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
                            debug!(cause, "The connection for notifications from the database was lost again");
                        } else {
                            warn!(
                                cause,
                                "The connection for notifications from the database was lost; connecting again"
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
            // The thread returns nothing, and a panic in it was already printed.
            drop(thread.join());
        }
    }
}

/// Starts a thread that listens on a connection, until nobody receives its news any more.
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
                // There may be no receiver any more.
                drop(news.send(News::Cut(cause)));
            }
        })?;
    Ok(heard)
}

/// Passes news on, until the connection is cut or silent for too long.
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
            Err(RecvTimeoutError::Disconnected) => bail!("the listening thread has ended"),
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
        "SET ROLE {SERVER_ROLE}; LISTEN {CHANGES}; LISTEN {LOGS}"
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
            let notification = notification?;
            let (channel, payload) = (notification.channel, notification.payload);
            debug!(channel, payload, "A notification arrived");
            news.send(News::Changed(Change::parse(&channel, &payload)))?;
            notified |= channel == CHANGES;
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

/// Reads the counter of changes. Fails if the database is read-only: if it was the primary, another host is it now.
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
        let tenant = TenantId(7);
        assert_eq!(Change::parse(CHANGES, "keys:7"), Change::Keys(tenant));
        assert_eq!(Change::parse(CHANGES, "hooks:7"), Change::Hooks(tenant));
        assert_eq!(Change::parse(CHANGES, "policy:7"), Change::Policy(tenant));
        assert_eq!(Change::parse(LOGS, "7"), Change::Logged(tenant));
        for payload in ["", "hooks", "hooks:x", "quotas:7"] {
            assert_eq!(Change::parse(CHANGES, payload), Change::Everything);
            assert_eq!(Change::parse(LOGS, payload), Change::Everything);
        }
    }
}
